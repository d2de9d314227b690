//! One thing that a check found, with everything it found it by.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    catalogue::{Check, Standard},
    evidence::EvidenceId,
    outcome::{Outcome, words},
};

words! {
    /// How much it matters, from nothing to everything.
    Severity {
        /// Nothing to do.
        Info = "info",
        /// Worth knowing.
        Notice = "notice",
        /// Worth mending.
        Warning = "warning",
        /// Broken, in part.
        Error = "error",
        /// Broken.
        Critical = "critical",
    }
}

words! {
    /// By what authority something is known; the smaller, the better.
    Grade {
        /// Whoever decides it said so, and signed it or spoke over a channel that proves who spoke.
        A = "A",
        /// Whoever decides it said so, over a channel that proves nothing.
        B = "B",
        /// Two sources or more said so that do not decide it.
        C = "C",
        /// One did.
        D = "D",
        /// Nobody did.
        U = "U",
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Finding {
    /// Which check.
    pub id: Check,
    /// What it found.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How much it matters; `info` unless something is wrong.
    pub severity: Severity,
    /// By what authority.
    pub grade: Grade,
    /// What was found, in a sentence.
    pub says: String,
    /// The same by parts, for those who compute.
    pub args: BTreeMap<&'static str, Value>,
    /// What others call it.
    pub standard: Vec<Standard>,
    /// The bodies it was found by.
    pub evidence: Vec<EvidenceId>,
}

impl Finding {
    /// A finding without more than what it says.
    pub fn new(id: Check, outcome: Outcome, says: impl Into<String>) -> Self {
        let grade = if outcome.is_known() { Grade::D } else { Grade::U };
        Self {
            id,
            outcome,
            severity: Severity::Info,
            grade,
            says: says.into(),
            args: BTreeMap::new(),
            standard: id.entry().standards.to_vec(),
            evidence: Vec::new(),
        }
    }

    /// How much it matters.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// By what authority.
    #[must_use]
    pub fn grade(mut self, grade: Grade) -> Self {
        self.grade = grade;
        self
    }

    /// One part of what was found.
    #[must_use]
    pub fn arg(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.args.insert(name, value.into());
        self
    }

    /// What it was found by.
    #[must_use]
    pub fn by(mut self, evidence: impl IntoIterator<Item = EvidenceId>) -> Self {
        self.evidence.extend(evidence);
        self.evidence.sort_unstable();
        self.evidence.dedup();
        self
    }

    /// Whether something is wrong that somebody has to mend.
    pub fn is_adverse(&self) -> bool {
        self.outcome == Outcome::False && self.severity >= Severity::Warning
    }
}
