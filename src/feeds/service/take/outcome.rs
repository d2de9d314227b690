//! What is said of a look at a source, or of a list that somebody gave us.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::super::{super::store::Judgement, view::Changes};

/// What came of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Took {
    /// There was nothing new.
    Unchanged,
    /// It is in force.
    InForce,
    /// It waits for a person.
    Held,
    /// It cannot be read, or its source gave nothing usable.
    Failed,
}

/// What came of looking at a source, or of a list that somebody gave us.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "FeedOutcome")]
pub struct Outcome {
    /// What came of it; of a dry run, what would have.
    pub outcome: Took,
    /// Whether nothing was changed on purpose.
    pub dry_run: bool,
    /// The feed.
    pub feed: String,
    /// The version; 0 where there is none.
    pub version: u64,
    /// SHA-256 of what was received, in hexadecimal.
    pub digest: String,
    /// Rules taken.
    pub accepted: u64,
    /// Entries not taken.
    pub rejected: u64,
    /// Rules that were there already.
    pub duplicates: u64,
    /// Rules that contradict others.
    pub conflicts: u64,
    /// Rules that cannot be decided here.
    pub not_evaluable: u64,
    /// Why it waits, what was rejected for what, what it would change.
    pub findings: Value,
    /// How many rules come, go and change against the version in force; of a dry run alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Outcome {
    pub(super) fn of(outcome: Took, feed: &str, version: u64) -> Self {
        Self {
            outcome,
            dry_run: false,
            feed: feed.to_owned(),
            version,
            digest: String::new(),
            accepted: 0,
            rejected: 0,
            duplicates: 0,
            conflicts: 0,
            not_evaluable: 0,
            findings: Value::Null,
            changes: None,
            problem: None,
        }
    }

    pub(super) fn judged(mut self, judgement: &Judgement, digest: [u8; 32]) -> Self {
        self.digest = hex::encode(digest);
        self.accepted = judgement.accepted;
        self.rejected = judgement.rejected;
        self.duplicates = judgement.duplicates;
        self.conflicts = judgement.conflicts;
        self.not_evaluable = judgement.not_evaluable;
        self.findings = serde_json::from_str(&judgement.findings).unwrap_or_default();
        self
    }

    pub(in crate::feeds::service) fn failed(feed: &str, problem: String) -> Self {
        Self { problem: Some(problem), ..Self::of(Took::Failed, feed, 0) }
    }
}
