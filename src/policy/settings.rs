//! What a feed's owner says about the feed as a whole, as far as deciding needs it.

use std::sync::Arc;

use super::{Action, Index, Legal, Tier};
use crate::clock::Timestamp;

/// What is done instead of what a rule says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Override {
    /// What the rule says.
    #[default]
    Given,
    /// Nothing: a hit is reported beside the one that acts, and counted.
    Observe,
    /// This, for every rule of the feed but those that say PASSTHRU.
    Action(Action),
}

impl Override {
    /// What a rule of this action does; of a feed that observes, what it would do. A rule that lets
    /// through does so under any other action, too: it is an exception from the list's other rules,
    /// may name what no list may touch, and must never become a block.
    pub fn of<'a>(&'a self, given: &'a Action) -> &'a Action {
        match self {
            Self::Action(action) if *given != Action::Passthru => action,
            _ => given,
        }
    }
}

/// An extended DNS error (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdeNote {
    /// The code: 4 forged answer, 15 blocked, 16 censored, 17 filtered, 18 prohibited.
    pub code: u16,
    /// The text, such as the order's number.
    pub text: Arc<str>,
}

/// How rules of one feed are read.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// What is done instead of what a rule says.
    pub action: Override,
    /// Whether a rule for `x` is meant for everything below it, too, and one for `*.x` for `x`.
    pub subtree: bool,
    /// The tier of rules that name none.
    pub tier: Tier,
    /// Whether allow rules win over this feed.
    pub allow_may_win: bool,
    /// Whether what the question alone triggers waits for the answer where an earlier feed might
    /// still win by it. Where false, it decides at once, and before those feeds.
    pub qname_wait_recurse: bool,
    /// What clients are told.
    pub ede: Option<EdeNote>,
    /// What rules do not say of themselves.
    pub legal: Legal,
    /// Where a person may turn to, for structured errors; empty for none.
    pub contact: Arc<str>,
    /// Why there is a feed like this, for structured errors; empty for none.
    pub justification: Arc<str>,
}

impl Default for FeedSettings {
    /// Rules act as they say and block; allow rules win; the order of feeds is kept.
    fn default() -> Self {
        Self {
            action: Override::Given,
            subtree: false,
            tier: Tier::Block,
            allow_may_win: true,
            qname_wait_recurse: true,
            ede: None,
            legal: Legal::default(),
            contact: Arc::from(""),
            justification: Arc::from(""),
        }
    }
}

impl FeedSettings {
    /// What the law says of a rule: its own words, the feed's where it has none.
    pub fn legal_of(&self, own: &Arc<Legal>) -> Arc<Legal> {
        let d = &self.legal;
        if *d == Legal::default() {
            return Arc::clone(own);
        }
        let text = |own: &str, default: &str| if own.is_empty() { default } else { own }.into();
        let time = |own: Timestamp, default| if own == Timestamp::ZERO { default } else { own };
        Arc::new(Legal {
            authority: text(&own.authority, &d.authority),
            order_number: text(&own.order_number, &d.order_number),
            reason: text(&own.reason, &d.reason),
            content_class: text(&own.content_class, &d.content_class),
            tier: own.tier.or(d.tier),
            issued_at: time(own.issued_at, d.issued_at),
            effective_from: time(own.effective_from, d.effective_from),
            expires_at: time(own.expires_at, d.expires_at),
            due_at: time(own.due_at, d.due_at),
            approver: text(&own.approver, &d.approver),
            evidence: text(&own.evidence, &d.evidence),
        })
    }

    /// Whether a rule of this feed counts at `now`.
    pub fn is_in_force(&self, own: &Legal, now: Timestamp) -> bool {
        let [from, until] = self.times_of(own);
        from <= now && (until == Timestamp::ZERO || now < until)
    }

    /// From when and until when a rule of this feed counts.
    pub(super) fn times_of(&self, own: &Legal) -> [Timestamp; 2] {
        let time = |own, default| if own == Timestamp::ZERO { default } else { own };
        [
            time(own.effective_from, self.legal.effective_from),
            time(own.expires_at, self.legal.expires_at),
        ]
    }
}

/// One version of a feed as it takes part in deciding.
#[derive(Debug)]
pub struct FeedInForce {
    /// The feed's name, the value of the column `feed`.
    pub name: Arc<str>,
    /// The version in force; 0 where there never was one.
    pub version: u64,
    /// Its rules.
    pub index: Arc<Index>,
    /// How they are read.
    pub settings: FeedSettings,
    /// Whether there is no version to go by and the feed's owner said that nothing may be answered
    /// then (`on_failure = closed`): every decision is [`super::Decision::Closed`].
    pub closed: bool,
}
