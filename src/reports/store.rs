//! What any database of reports must do. `tests/it/reports_conformance.rs` runs against each.

use std::net::SocketAddr;

use url::{Host, Url};

use super::{Act, Category, Decision, Error, Kind};
use crate::{
    clock::Timestamp,
    links::OutboxRow,
    record::{Flow, LaneId},
};

/// A report as it was received, without who reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its place among all, from 1; 0 before it is kept.
    pub id: u64,
    /// Its number, as the claimant was given it.
    pub number: String,
    /// SHA-256 of the secret that shows its state.
    pub secret: [u8; 32],
    /// When it came.
    pub received: Timestamp,
    /// When it is to be decided at the latest.
    pub due: Timestamp,
    /// What is said.
    pub category: Category,
    /// What it is about.
    pub kind: Kind,
    /// The URL or host.
    pub subject: String,
    /// The link; empty for none.
    pub code: String,
    /// The registrable domain of the subject.
    pub registrable_domain: String,
    /// The public suffix list behind it.
    pub psl_version: String,
    /// The exchange: that of the notice, where one is reported.
    pub flow: Flow,
    /// The feed whose rule the notice named; empty for none.
    pub feed: String,
    /// The node that took the appeal down; empty for none.
    pub appeal_node: String,
    /// The appeal's number there; 0 for none.
    pub appeal: u64,
}

impl Report {
    /// The host of the subject.
    pub fn host(&self) -> String {
        match Url::parse(&self.subject).ok().as_ref().and_then(Url::host) {
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => self.subject.clone(),
        }
    }

    /// The appeal of policy it opened, as `node-number`; empty for none.
    pub fn appeal_id(&self) -> String {
        match self.appeal {
            0 => String::new(),
            number => format!("{}-{number}", self.appeal_node),
        }
    }
}

/// Who reported, and in which words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// How to be reached; empty for not at all.
    pub contact: String,
    /// What they wrote.
    pub text: String,
    /// Where they connected from.
    pub client: SocketAddr,
}

/// What happened to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub ts: Timestamp,
    /// `decided` or `acted`.
    pub event: &'static str,
    /// The decision.
    pub decision: Decision,
    /// What is to be done, or was.
    pub act: Act,
    /// Why, for us.
    pub reason: String,
    /// What the claimant is told; empty for no more than the decision.
    pub answer: String,
    /// Who.
    pub actor: String,
}

/// A report and what happened to it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The report.
    pub report: Report,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl Standing {
    /// `received`, `decided` or `acted`.
    pub fn state(&self) -> &'static str {
        self.steps.last().map_or("received", |s| s.event)
    }

    /// Whether nobody has decided in time.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.steps.is_empty() && self.report.due < now
    }
}

/// Something that is to be told to whoever wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// What it is forgotten by.
    pub id: u64,
    /// The report.
    pub report: Report,
    /// The step it was decided in; none where it came.
    pub step: Option<Step>,
}

/// Which reports, newest first.
#[derive(Clone, Debug, Default)]
pub struct ReportQuery {
    /// With ids below this; 0 for no bound.
    pub before: u64,
    /// At most so many.
    pub limit: usize,
    /// Undecided ones alone.
    pub open: bool,
    /// Undecided ones that were due before this; [`Timestamp::ZERO`] for no matter.
    pub due_before: Timestamp,
}

/// How many wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Undecided ones.
    pub open: u64,
    /// Of them, those whose time is over.
    pub overdue: u64,
    /// By when the first of them is to be decided; [`Timestamp::ZERO`] for none.
    pub next_due: Timestamp,
}

/// The control state of reports, append-only. Every call may block on a disk.
pub trait ReportStore: Send + Sync + std::fmt::Debug {
    /// Adds a report, who reported and its record in one transaction.
    ///
    /// # Errors
    /// [`Error::Taken`] when the number is in use.
    fn add(&self, report: &Report, person: &Person, record: &OutboxRow) -> Result<(), Error>;

    /// Adds the step that follows `after` others, and its record.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there are more or fewer.
    fn step(&self, id: u64, after: usize, step: &Step, record: &OutboxRow) -> Result<(), Error>;

    /// The report of this number.
    fn find(&self, number: &str) -> Result<Option<Standing>, Error>;

    /// The report that opened this appeal on this node.
    fn of_appeal(&self, appeal: u64) -> Result<Option<Standing>, Error>;

    /// Reports, newest first.
    fn list(&self, query: &ReportQuery) -> Result<Vec<Standing>, Error>;

    /// Who made the report of this id.
    fn person(&self, id: u64) -> Result<Option<Person>, Error>;

    /// Reports and decisions that nobody was told of yet, oldest first.
    fn untold(&self, limit: usize) -> Result<Vec<Untold>, Error>;

    /// Forgets those of these ids: somebody was told.
    fn told(&self, ids: &[u64]) -> Result<(), Error>;

    /// How many wait.
    fn counts(&self, now: Timestamp) -> Result<Counts, Error>;

    /// This node's records that may not be in its spool.
    fn outbox(&self) -> Result<Vec<OutboxRow>, Error>;

    /// Forgets records that are in the spool.
    fn forget(&self, records: &[(LaneId, u64)]) -> Result<(), Error>;
}

impl Untold {
    /// The `step`th step of a report, from 1; 0 for its coming.
    pub(super) fn new(id: u64, standing: Standing, step: usize) -> Self {
        let Standing { report, mut steps } = standing;
        let at = step.checked_sub(1).filter(|at| *at < steps.len());
        Self { id, report, step: at.map(|at| steps.swap_remove(at)) }
    }
}

impl ReportQuery {
    /// Ids below this, and how many, as SQL has them.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let before = if self.before == 0 { i64::MAX } else { self.before.cast_signed() };
        (before, i64::try_from(self.limit).unwrap_or(i64::MAX))
    }

    /// Undecided ones due before this; none for all reports.
    pub(super) fn due_bound(&self) -> Option<i64> {
        match (self.open, self.due_before) {
            (_, due) if due != Timestamp::ZERO => Some(due.0),
            (true, _) => Some(i64::MAX),
            (false, _) => None,
        }
    }
}

/// The event of a word.
pub(super) fn event(word: &str) -> Option<&'static str> {
    ["decided", "acted"].into_iter().find(|e| *e == word)
}
