//! One row of the table `rules`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    policy::{FeedSettings, Legal, Rule, Trigger, UrlKind},
    record,
};

/// A row, to be encoded once there is room.
#[derive(Clone, Debug)]
pub(super) struct Row {
    rule: String,
    trigger: &'static str,
    pub(super) action: &'static str,
    pub(super) tier: &'static str,
    legal: Arc<Legal>,
    text: String,
    pub(super) more: Value,
}

impl Row {
    /// None of the rules before this version is left, but those that it tells.
    pub(super) fn reset() -> Self {
        Self {
            rule: String::new(),
            trigger: "",
            action: "reset",
            tier: "",
            legal: Arc::default(),
            text: String::new(),
            more: json!({"change": "reset"}),
        }
    }

    pub(super) fn new(rule: &Rule, settings: &FeedSettings, text: String) -> Self {
        let legal = settings.legal_of(&rule.legal);
        Self {
            rule: rule.trigger.to_string(),
            trigger: kind_of(&rule.trigger),
            action: rule.action.name(),
            tier: legal.tier.unwrap_or(settings.tier).name(),
            legal,
            text,
            more: Value::Null,
        }
    }

    pub(super) fn legal(&self) -> String {
        let mut all = json!(*self.legal);
        if let (Value::Object(all), Value::Object(more)) = (&mut all, &self.more) {
            all.extend(more.clone());
        }
        all.to_string()
    }

    pub(super) fn encoded<'a>(
        &'a self,
        feed: &'a str,
        version: &'a str,
        legal: &'a str,
    ) -> record::RuleRow<'a> {
        record::RuleRow {
            feed,
            version,
            rule: &self.rule,
            trigger: self.trigger,
            action: self.action,
            tier: self.tier,
            authority: &self.legal.authority,
            order_number: &self.legal.order_number,
            effective_from: self.legal.effective_from,
            expires_at: self.legal.expires_at,
            text: &self.text,
            legal,
        }
    }
}

/// What kind of trigger it is, for the column `trigger`.
const fn kind_of(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::Qname(_) => "qname",
        Trigger::ClientIp(_) => "client-ip",
        Trigger::ResponseIp(_) => "response-ip",
        Trigger::Nsdname(_) => "nsdname",
        Trigger::Nsip(_) => "nsip",
        Trigger::Url(UrlKind::Host, _) => "url-host",
        Trigger::Url(UrlKind::Prefix | UrlKind::PrefixAnyCase, _) => "url-prefix",
        Trigger::Url(UrlKind::Exact | UrlKind::ExactAnyCase, _) => "url",
        Trigger::Code(_) => "code",
    }
}
