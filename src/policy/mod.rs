//! Policy: what to do with a question or an answer, as a value.
//!
//! Deciding does no I/O and reads no clock. Feeds of rules are not built yet: the one
//! [`PolicySet`] there is holds no rule, so every decision is [`Decision::None`]. The types are
//! the seam between the listener, the resolver and the gateway on one side and feeds on the other.

/// What a rule does to an answer (the words of response policy zones).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answer that the name does not exist.
    Nxdomain,
    /// Answer that the name has no such data.
    Nodata,
    /// Answer as if there were no rule.
    Passthru,
    /// Do not answer.
    Drop,
    /// Answer over UDP with TC set and nothing else.
    TcpOnly,
    /// Answer with the rule's own records.
    LocalData,
}

impl Action {
    /// The value of the column `action`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nxdomain => "nxdomain",
            Self::Nodata => "nodata",
            Self::Passthru => "passthru",
            Self::Drop => "drop",
            Self::TcpOnly => "tcp-only",
            Self::LocalData => "local-data",
        }
    }
}

/// What policy says about one question or answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
