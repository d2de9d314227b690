//! What any database of policy must do. `tests/it/feeds_conformance.rs` runs against each.
//!
//! Everything is an event. A change is one event, the rows that belong to it and its record, in one
//! transaction, made upon the newest event that its maker has seen of that feed: whoever comes
//! second is told [`Error::Conflict`] and looks again. What stands is computed from the events up to
//! one of them, so that the past is asked as the present is.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Error, events::EventKind};
use crate::{
    clock::Timestamp,
    links::OutboxRow,
    record::{LaneId, NodeName},
};

/// One change of policy, or one thing that befell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FeedEvent")]
pub struct Event {
    /// Its number: later events have higher ones. 0 before it is kept.
    pub id: u64,
    /// When.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub ts: Timestamp,
    /// The node it happened on.
    pub node: String,
    /// The token that asked for it; empty for the node itself.
    pub actor: String,
    /// What happened.
    #[serde(rename = "event")]
    pub kind: EventKind,
    /// The feed; `instant` and `allow` for the operator's own rules.
    pub feed: String,
    /// The version; 0 for the feed as a whole.
    pub version: u64,
    /// The rule's trigger; empty for none.
    pub subject: String,
    /// Why, in a person's words.
    pub reason: String,
    /// More, as a JSON object.
    #[serde(serialize_with = "raw_json")]
    #[schemars(with = "serde_json::Value")]
    pub detail: String,
}

fn raw_json<S: serde::Serializer>(text: &str, s: S) -> Result<S::Ok, S::Error> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    value.serialize(s)
}

/// What belongs to an event besides itself.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Nothing.
    None,
    /// A feed's settings, as JSON.
    Spec(&'a str),
    /// A version that arrived.
    Version(&'a NewVersion),
    /// What reading and judging a version found, and entries that were not taken.
    Judgement(&'a Judgement, &'a [Rejection]),
    /// A rule of the operator's own.
    OwnRule(&'a NewOwnRule),
    /// A second person's confirmation of the own rule of this id.
    Confirmed(u64),
    /// The end of the own rule of this id.
    Ended(u64),
    /// An appeal.
    Appeal {
        /// The feed whose rule it is about; empty for every feed's.
        feed: &'a str,
        /// How to reach whoever appeals.
        claimant: &'a str,
    },
    /// A decision about the appeal of this id.
    AppealStep(u64, AppealStatus),
}

/// A version as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    /// SHA-256 of its bytes as received.
    pub digest: [u8; 32],
    /// How many bytes.
    pub bytes: u64,
    /// When the last of them arrived.
    pub received_at: Timestamp,
    /// Where they came from.
    pub source: String,
    /// Who signed them, or the key that their transfer was signed with; empty for nobody.
    pub signer: String,
}

/// What reading and judging a version found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Judgement {
    /// Rules taken.
    pub accepted: u64,
    /// Entries not taken.
    pub rejected: u64,
    /// Rules that were there already.
    pub duplicates: u64,
    /// Rules that contradict an earlier one of the list, or another feed's.
    pub conflicts: u64,
    /// Rules that cannot be decided here.
    pub not_evaluable: u64,
    /// More, as a JSON object: rejections by reason, conflicts, what it would change.
    #[serde(serialize_with = "raw_json")]
    #[schemars(with = "serde_json::Value")]
    pub findings: String,
}

/// An entry that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RejectedEntry")]
pub struct Rejection {
    /// The line, row or element, from 1.
    pub line: u64,
    /// A word for counting.
    pub code: String,
    /// A sentence for whoever wrote the list.
    pub reason: String,
    /// Its text, cut to a limit.
    pub text: String,
}

/// A rule of the operator's own, as it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOwnRule {
    /// Whose it is.
    pub owner: String,
    /// The person who makes it.
    pub person: String,
    /// Who ordered it; empty for nobody.
    pub authority: String,
    /// The order's number.
    pub order_number: String,
    /// When it ends; [`Timestamp::ZERO`] for never.
    pub expires: Timestamp,
    /// When it ends once a second person has confirmed it.
    pub expires_confirmed: Timestamp,
}

/// A rule of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OwnRule {
    /// Its id: that of the event that made it.
    pub id: u64,
    /// The trigger.
    pub rule: String,
    /// Whose it is.
    pub owner: String,
    /// Who ordered it; empty for nobody.
    pub authority: String,
    /// The order's number.
    pub order_number: String,
    /// The token that made it.
    pub actor: String,
    /// The person who bore it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub since: Timestamp,
    /// Until when, as things stand; [`Timestamp::ZERO`] for without end.
    #[schemars(description = "Until when, as things stand; null for without end")]
    pub expires: Timestamp,
    /// Until when once it is confirmed.
    pub expires_confirmed: Timestamp,
    /// Who confirmed it; empty for nobody.
    pub confirmed_by: String,
    /// When; [`Timestamp::ZERO`] for never.
    #[schemars(description = "When; null for never")]
    pub confirmed_at: Timestamp,
    /// Who ended it before its time; empty for nobody.
    pub ended_by: String,
    /// When; [`Timestamp::ZERO`] for never.
    #[schemars(description = "When; null for never")]
    pub ended_at: Timestamp,
}

impl OwnRule {
    /// Whether it counts at `now`.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        let over = self.expires != Timestamp::ZERO && self.expires <= now;
        self.ended_at == Timestamp::ZERO && self.since <= now && !over
    }
}

/// How an appeal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AppealStatus {
    /// Nobody has decided.
    Open,
    /// The rule does not count until it is decided.
    Suspended,
    /// It was right: the rule does not count.
    Lifted,
    /// It was not: the rule counts.
    Refused,
    /// Whoever appealed no longer does: the rule counts.
    Withdrawn,
}

impl AppealStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Suspended, Self::Lifted, Self::Refused, Self::Withdrawn];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Suspended => "suspended",
            Self::Lifted => "lifted",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The status of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Whether the rule does not count.
    pub const fn suspends(self) -> bool {
        matches!(self, Self::Suspended | Self::Lifted)
    }
}

/// An appeal against a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Appeal {
    /// Its id: that of the event that opened it.
    pub id: u64,
    /// When it was opened.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub ts: Timestamp,
    /// The feed whose rule it is about; empty for every feed's.
    pub feed: String,
    /// The rule's trigger.
    pub subject: String,
    /// How to reach whoever appeals.
    pub claimant: String,
    /// Why they appeal.
    pub reason: String,
    /// Who took it down.
    pub opened_by: String,
    /// How it stands.
    pub status: AppealStatus,
    /// Why it was decided so.
    pub decision: String,
    /// Who decided.
    pub decided_by: String,
    /// When; [`Timestamp::ZERO`] for not yet.
    #[schemars(description = "When; null for not yet")]
    pub decided_at: Timestamp,
}

impl Appeal {
    /// How it stands and since when, in a word: another one after every decision.
    pub fn standing(&self) -> String {
        format!("{}-{}", self.status.name(), self.decided_at.0)
    }
}

/// A feed as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// Its name.
    pub name: String,
    /// Its settings, as JSON.
    pub spec: String,
    /// The event that added it.
    pub added: u64,
    /// When its settings were last changed.
    pub changed_at: Timestamp,
    /// Who changed them.
    pub changed_by: String,
    /// The version that is to be in force everywhere; 0 for none yet.
    pub version: u64,
    /// The event that said so; 0 for none.
    pub version_event: u64,
    /// The settings that it was read and judged by, as JSON; empty for none.
    pub read_by: String,
    /// Its newest version; 0 for none.
    pub newest: u64,
    /// Whether that one could not be read, and no version was decided for since.
    pub newest_failed: bool,
}

/// A version as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The feed.
    pub feed: String,
    /// The number.
    pub number: u64,
    /// What arrived.
    pub arrived: NewVersion,
    /// The node that it arrived at.
    pub node: String,
    /// The event of its arrival.
    pub event: u64,
    /// What reading and judging found; none while that is not done.
    pub judgement: Option<Judgement>,
    /// The newest event that says what is to become of it.
    pub last: Event,
}

/// Everything that stands at one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The event up to which events were added up.
    pub event: u64,
    /// The feeds, by name.
    pub feeds: Vec<FeedRow>,
    /// Instant blocks that were not ended; some may have expired.
    pub instant: Vec<OwnRule>,
    /// Allow rules that were not ended; some may have expired.
    pub allow: Vec<OwnRule>,
    /// The newest change of instant blocks.
    pub instant_version: u64,
    /// The newest change of allow rules.
    pub allow_version: u64,
    /// Feed (empty for every feed) and trigger of rules that appeals suspend.
    pub suspended: Vec<(String, String)>,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery<'a> {
    /// Of this feed.
    pub feed: Option<&'a str>,
    /// Of this version.
    pub version: Option<u64>,
    /// That happened on this node.
    pub node: Option<&'a str>,
    /// Of these kinds; empty for all.
    pub kinds: &'a [EventKind],
    /// About this trigger.
    pub subject: Option<&'a str>,
    /// With ids above this, oldest first; or, when `newest_first`, below it, 0 for no bound.
    pub from: u64,
    /// The newest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// The control state of policy, append-only. Every call may block on a disk.
pub trait FeedStore: Send + Sync + Debug {
    /// The newest event's id; 0 for none. Cheap: every node asks several times a second.
    fn newest(&self) -> Result<u64, Error>;

    /// The newest event's id of one feed, what a node tells of what it has in force left aside.
    fn newest_of(&self, feed: &str) -> Result<u64, Error>;

    /// The newest event that had happened by `at`; 0 for none.
    fn newest_at(&self, at: Timestamp) -> Result<u64, Error>;

    /// Writes a change in one transaction, durably: the event, what belongs to it, its record into
    /// the outbox, or, where it has no place yet, that it waits for one. Returns its id. `basis` is the newest event of its feed that it is made upon;
    /// none for events that depend on nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is a newer one; [`Error::Full`] without room on the disk.
    /// Nothing was changed then. [`Error::Failed`] after a write whose outcome is unknown: only a
    /// restart helps.
    fn commit(
        &self,
        event: &Event,
        body: Body<'_>,
        basis: Option<u64>,
        record: Option<&OutboxRow>,
    ) -> Result<u64, Error>;

    /// This node's events whose record has no place yet, oldest first.
    fn waiting(&self, node: &NodeName, limit: usize) -> Result<Vec<u64>, Error>;

    /// Puts the record of an event that waits into the outbox, durably; false when it does not wait.
    fn place(&self, node: &NodeName, event: u64, record: &OutboxRow) -> Result<bool, Error>;

    /// Whether anything can be written: not after [`Error::Failed`], until a restart.
    fn takes_writes(&self) -> bool;

    /// Records of this node's events that may not be in its spool.
    fn outbox(&self, node: &NodeName) -> Result<Vec<OutboxRow>, Error>;

    /// Forgets records of this node that are in its spool.
    fn forget(&self, node: &NodeName, records: &[(LaneId, u64)]) -> Result<(), Error>;

    /// What stands after the event `upto`; own rules that expired before `now` are left out.
    fn standing(&self, upto: u64, now: Timestamp) -> Result<Standing, Error>;

    /// A feed's settings as they were after the event `upto`; none where there were none.
    fn spec_at(&self, feed: &str, upto: u64) -> Result<Option<String>, Error>;

    /// Events.
    fn events(&self, query: &EventQuery<'_>) -> Result<Vec<Event>, Error>;

    /// Versions of a feed below number `before` (0 for no bound), newest first.
    fn versions(&self, feed: &str, before: u64, limit: usize) -> Result<Vec<VersionRow>, Error>;

    /// One version.
    fn version(&self, feed: &str, number: u64) -> Result<Option<VersionRow>, Error>;

    /// The number of a feed's newest version, also of one that was removed; 0 for none.
    fn newest_version(&self, feed: &str) -> Result<u64, Error>;

    /// Entries of a version that were not taken, from line `from` on.
    fn rejections(
        &self,
        feed: &str,
        number: u64,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Rejection>, Error>;

    /// Forgets entries that were not taken, of versions below `number`.
    fn forget_rejections(&self, feed: &str, number: u64) -> Result<(), Error>;

    /// Own rules of `feed` with ids below `before` (0 for no bound), newest first, ended and
    /// expired ones included.
    fn own_rules(&self, feed: &str, before: u64, limit: usize) -> Result<Vec<OwnRule>, Error>;

    /// One own rule.
    fn own_rule(&self, id: u64) -> Result<Option<OwnRule>, Error>;

    /// One own rule as it was after the event `upto`; none before it was made.
    fn own_rule_at(&self, id: u64, upto: u64) -> Result<Option<OwnRule>, Error>;

    /// Appeals that stand so, or all, with ids below `before` (0 for no bound), newest first.
    fn appeals(
        &self,
        status: Option<AppealStatus>,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Appeal>, Error>;

    /// One appeal.
    fn appeal(&self, id: u64) -> Result<Option<Appeal>, Error>;

    /// A value to go on from.
    fn mark(&self, name: &str) -> Result<Option<String>, Error>;

    /// Keeps a value to go on from; none forgets it. Survives a crash of the process, not always a
    /// power cut.
    fn set_mark(&self, name: &str, value: Option<&str>) -> Result<(), Error>;
}
