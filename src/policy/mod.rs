//! Policy: what to do with a question or an answer, as a value.
//!
//! Deciding does no I/O and reads no clock. Feeds of rules are not built yet: the one
//! [`PolicySet`] there is holds no rule, so every decision is [`Decision::None`]. The types are
//! the seam between the listener, the resolver and the gateway on one side and feeds on the other.

mod content;
mod rule;

pub use content::{CONTENT_CLASSES, ContentClass};
pub use rule::{Action, Legal, LocalRecord, NamePattern, Rule, Tier, Trigger, UrlKind};

/// What policy says about one question or answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// No rule applies.
    #[default]
    None,
    /// One rule decided.
    Decided(Action),
    /// It depends on an answer that is not known yet.
    Undecided,
}

/// Every rule in force, as one immutable value.
#[derive(Clone, Debug, Default)]
pub struct PolicySet(());

impl PolicySet {
    /// The set without a rule.
    pub const fn empty() -> Self {
        Self(())
    }

    /// What it says about a question for `qname`, a name in lower-case wire form.
    pub const fn decide_question(&self, _qname: &[u8], _qtype: u16) -> Decision {
        Decision::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_set_decides_nothing() {
        assert_eq!(PolicySet::empty().decide_question(b"\x03www\0", 1), Decision::None);
    }
}
