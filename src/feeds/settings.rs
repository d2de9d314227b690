//! A feed's settings as deciding takes them.

use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{ActionOverride, FeedSpec};
use crate::{
    name::Name,
    policy::{Action, ContentClass, EdeNote, FeedSettings, Legal, Override},
};

impl FeedSpec {
    /// How its rules are read when something is decided.
    pub fn settings(&self) -> FeedSettings {
        let ede = self.ede.as_ref();
        FeedSettings {
            action: self.action.in_force(),
            subtree: self.subtree,
            tier: self.tier,
            allow_may_win: self.allow_may_win,
            qname_wait_recurse: self.qname_wait_recurse,
            ede: ede.map(|e| EdeNote { code: e.code, text: Arc::from(e.text.as_str()) }),
            legal: self.legal(),
            contact: Arc::from(self.contact.join(" ")),
            justification: Arc::from(self.justification.as_str()),
        }
    }

    /// The same for a version that was read and judged by the settings `read`. What decides how much
    /// its rules reach is the version's: more than was judged takes force with a version that is
    /// read by it. Less does at once. Its place among the feeds is [`FeedSpec::position_over`].
    pub fn settings_over(&self, read: &Self) -> FeedSettings {
        let action = if self.action == ActionOverride::Observe { self } else { read };
        FeedSettings {
            action: action.action.in_force(),
            subtree: self.subtree && read.subtree,
            tier: self.tier.min(read.tier),
            allow_may_win: self.allow_may_win || read.allow_may_win,
            ..self.settings()
        }
    }

    /// The place among the feeds of a version that was read and judged by the settings `read`. In
    /// another one, neither is less.
    pub const fn position_over(&self, read: &Self) -> u32 {
        read.position
    }

    /// What of the settings a list's rules, or how much they reach, depend on: another value makes
    /// another version of the same bytes.
    pub(super) fn reading_key(&self) -> String {
        let parts = json!([
            self.format,
            self.options,
            self.authority,
            self.order_number,
            self.content_class,
            self.action,
            self.subtree,
            self.limits.rules_max,
            self.position,
            self.tier,
            self.allow_may_win,
        ]);
        hex::encode(&Sha256::digest(parts.to_string().as_bytes())[..8])
    }

    /// What rules do not say of themselves.
    fn legal(&self) -> Legal {
        let class = ContentClass::find(&self.content_class);
        Legal {
            authority: self.authority.as_str().into(),
            order_number: self.order_number.as_str().into(),
            content_class: class.map_or("", |c| c.code).into(),
            ..Legal::default()
        }
    }
}

impl ActionOverride {
    fn in_force(&self) -> Override {
        Override::Action(match self {
            Self::Given => return Override::Given,
            Self::Observe => return Override::Observe,
            Self::Nxdomain => Action::Nxdomain,
            Self::Nodata => Action::Nodata,
            Self::Passthru => Action::Passthru,
            Self::Drop => Action::Drop,
            Self::TcpOnly => Action::TcpOnly,
            Self::Cname(target) => {
                let below = target.strip_prefix("*.");
                // Checked when the settings were taken; a name that is none would block.
                let Ok(name) = Name::from_text(below.unwrap_or(target)) else {
                    return Override::Action(Action::Nxdomain);
                };
                let wire = Arc::from(name.lower().wire());
                if below.is_some() { Action::CnameBelow(wire) } else { Action::Cname(wire) }
            }
        })
    }
}
