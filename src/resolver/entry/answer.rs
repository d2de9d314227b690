//! An answer as the stage that made it sees it.

use metrics::Counter;

use super::super::{
    message::{Ede, Extended, Rcode, Record},
    read::Sections,
};

/// An answer as the stage that made it sees it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub rcode: Rcode,
    /// We are authoritative for the first owner name.
    pub authoritative: bool,
    pub sections: Sections,
    /// Errors to send.
    pub ede: Vec<Extended>,
    /// Who answered us; empty for ourselves.
    pub upstream: String,
    /// How it leaves.
    pub manner: Manner,
    /// The rule that decided; none where no rule applies.
    pub applied: Option<Box<Applied>>,
    /// Where it is a failure, whose fault that is.
    pub fault: Fault,
}

/// Whether a failure is that of validation (RFC 4035 §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is no failure, or has another cause.
    Other,
    /// An upstream that may validate says SERVFAIL, and not why.
    Unsaid,
    /// An upstream says that the answer is forged.
    Bogus,
    /// An upstream failed although it was asked not to check.
    Unchecked,
}

/// How an answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With its records, as far as there is room.
    Whole,
    /// With TC set and without records.
    Truncated,
    /// Not at all: it is recorded, and nothing is sent.
    Silent,
}

/// What policy did to an answer, as its record keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// The column `action`.
    pub action: &'static str,
    /// The rule's trigger.
    pub rule: String,
    pub feed: String,
    pub feed_version: String,
    /// What it replaced, where that is known.
    pub original: Vec<Record>,
    /// Count the answers it is applied to.
    pub counts: Vec<Counter>,
}

impl Answer {
    /// An answer without records.
    pub(crate) fn bare(rcode: Rcode) -> Self {
        Self {
            rcode,
            authoritative: false,
            sections: Sections::default(),
            ede: Vec::new(),
            upstream: String::new(),
            manner: Manner::Whole,
            applied: None,
            fault: Fault::Other,
        }
    }

    /// An answer without records that says why.
    pub(crate) fn error(rcode: Rcode, ede: Ede, text: &'static str) -> Self {
        Self { ede: vec![Extended::new(ede, text)], ..Self::bare(rcode) }
    }
}
