//! Reports as they are told.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    clock::Timestamp,
    reports::{Act, Category, Decision, Kind, Standing, Step},
};

/// A page of reports.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Reports")]
pub(in crate::api) struct Listed<'a> {
    /// The newest first.
    pub(super) reports: Vec<ToldReport<'a>>,
    /// `cursor` of the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

/// A report or an appeal by the public, without persons.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Report")]
pub(in crate::api) struct ToldReport<'a> {
    /// Its number.
    pub(super) number: &'a str,
    /// How it stands.
    #[schemars(extend("enum" = ["received", "decided", "acted"]))]
    pub(super) state: &'static str,
    /// Whether nobody has decided in time.
    pub(super) overdue: bool,
    /// When it came.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub(super) received: Timestamp,
    /// When it is to be decided at the latest.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub(super) due: Timestamp,
    /// What is said.
    pub(super) category: Category,
    /// What it is about.
    pub(super) kind: Kind,
    /// The URL or host.
    pub(super) subject: &'a str,
    /// The link's code; empty for none.
    pub(super) code: &'a str,
    /// The subject's registrable domain.
    pub(super) registrable_domain: &'a str,
    /// The feed whose rule the notice named; empty for none.
    pub(super) feed: &'a str,
    /// The appeal that it opened.
    pub(super) appeal: Option<u64>,
    /// The flow of its records, in decimal.
    pub(super) flow: String,
    /// What happened to it, in order.
    pub(super) steps: Vec<ToldStep<'a>>,
}

/// What happened to a report.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportStep")]
pub(in crate::api) struct ToldStep<'a> {
    /// When.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub(super) ts: Timestamp,
    /// What.
    #[schemars(extend("enum" = ["decided", "acted"]))]
    pub(super) event: &'static str,
    /// The decision.
    pub(super) decision: Decision,
    /// What is to be done, or was.
    pub(super) act: Act,
    /// Why, for us.
    pub(super) reason: &'a str,
    /// What the claimant is told besides the decision.
    pub(super) answer: &'a str,
    /// Who.
    pub(super) actor: &'a str,
}

/// How many wait for a decision.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportsStatus")]
pub(in crate::api) struct ToldStatus {
    /// Undecided ones.
    pub(super) open: u64,
    /// Of them, those whose time is over.
    pub(super) overdue: u64,
    /// By when the first of them is to be decided; null for none.
    #[schemars(with = "Option<String>")]
    pub(super) next_due: Option<Timestamp>,
    /// The time a decision may take, in seconds.
    pub(super) decide_within_s: u64,
}

/// A report without persons.
pub(super) fn shown(standing: &Standing, now: Timestamp) -> ToldReport<'_> {
    let r = &standing.report;
    ToldReport {
        number: &r.number,
        state: standing.state(),
        overdue: standing.is_overdue(now),
        received: r.received,
        due: r.due,
        category: r.category,
        kind: r.kind,
        subject: &r.subject,
        code: &r.code,
        registrable_domain: &r.registrable_domain,
        feed: &r.feed,
        appeal: (r.appeal > 0).then_some(r.appeal),
        flow: r.flow.to_string(),
        steps: standing.steps.iter().map(told_step).collect(),
    }
}

fn told_step(s: &Step) -> ToldStep<'_> {
    ToldStep {
        ts: s.ts,
        event: s.event,
        decision: s.decision,
        act: s.act,
        reason: &s.reason,
        answer: &s.answer,
        actor: &s.actor,
    }
}
