//! Reports and appeals by the public: listed, looked into, decided, acted on.
//!
//! Lists and reports hold nothing about persons: see [`super::persons`]. A decision is written before
//! what it asks for is done, and that it was done is written after it; what fails in between is seen
//! as decided and not acted, and can be done again.

mod told;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use self::told::shown;
pub(super) use self::told::{Listed, ToldReport, ToldStatus};

use super::{ApiState, Body, Caller, Params, Problem, Words, feeds, links};
use crate::{
    clock::Timestamp,
    feeds::{AppealStatus, NewBlock},
    links::{Edit, State as LinkState},
    reports::{Act, Category, Decided, Decision, Error, Report, ReportQuery, Reports},
};

/// Reports on one page.
const PAGE: usize = 1_000;

/// Which of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WhichReports")]
pub(super) struct Which {
    /// Undecided ones alone, or those of them that are late.
    #[schemars(extend("enum" = ["open", "overdue"]))]
    state: Option<String>,
    /// At most so many; 1,000 when absent.
    #[schemars(range(min = 1, max = PAGE))]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A decision.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReportDecision", extend("required" = ["decision", "reason"]))]
pub(super) struct Said {
    /// Whether it is right.
    #[schemars(with = "Decision")]
    decision: String,
    /// What is done; lift where an appeal is accepted, else none, when absent.
    #[serde(default)]
    #[schemars(with = "Option<Act>")]
    act: Option<String>,
    /// Why, for us.
    #[serde(default)]
    reason: String,
    /// What the claimant is told besides the decision.
    #[serde(default)]
    answer: String,
    /// Whom it is forwarded to, or who ordered the block.
    #[serde(default)]
    authority: String,
    /// How long a block lasts, in seconds.
    for_s: Option<u64>,
}

/// `GET /api/v1/reports`.
pub(super) async fn list(
    State(api): State<ApiState>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let now = api.clock.now();
    let mut query = ReportQuery { limit: which.limit.unwrap_or(PAGE), ..ReportQuery::default() };
    if !(1..=PAGE).contains(&query.limit) {
        return Err(Problem::bad_request(format!("limit is 1 to {PAGE}")));
    }
    match which.state.as_deref() {
        None => {}
        Some("open") => query.open = true,
        Some("overdue") => query.due_before = now,
        Some(_) => return Err(Problem::bad_request("state is open or overdue")),
    }
    if let Some(cursor) = &which.cursor {
        query.before = cursor.parse().map_err(|_| Problem::bad_request("no such cursor"))?;
    }
    let limit = query.limit;
    query.limit += 1;
    let mut found = blocking(&api, move |desk| desk.store().list(&query)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|s| s.report.id.to_string());
    let reports = found.iter().map(|s| shown(s, now)).collect();
    Ok(Json(Listed { reports, next_cursor }).into_response())
}

/// `GET /api/v1/reports/{number}`.
pub(super) async fn read(
    State(api): State<ApiState>,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let standing = blocking(&api, move |desk| desk.one(&number)).await?;
    Ok(Json(shown(&standing, api.clock.now())).into_response())
}

/// `GET /api/v1/reports/status`: how many wait, and since when one should have been decided. It is no
/// part of `/readyz`: a node whose people are late serves as well as any other.
pub(super) async fn status(State(api): State<ApiState>) -> Result<Response, Problem> {
    let counts = blocking(&api, Reports::count).await?;
    let status = ToldStatus {
        open: counts.open,
        overdue: counts.overdue,
        next_due: (counts.next_due != Timestamp::ZERO).then_some(counts.next_due),
        decide_within_s: api.reports.config().decide_within_s,
    };
    Ok(Json(status).into_response())
}

/// `POST /api/v1/reports/{number}/decision`.
pub(super) async fn decide(
    State(api): State<ApiState>,
    caller: Caller,
    Path(number): Path<String>,
    Body(said): Body<Said>,
) -> Result<Response, Problem> {
    let words = "decision is accepted or rejected";
    let decision = Decision::from_name(&said.decision);
    let decision = decision.ok_or_else(|| Problem::bad_request(words))?;
    let of = number.clone();
    let standing = blocking(&api, move |desk| desk.one(&of)).await?;
    let report = &standing.report;
    let usual = match (report.category, decision) {
        (Category::Appeal, Decision::Accepted) if report.appeal > 0 => Act::Lift,
        _ => Act::Nothing,
    };
    let act = match said.act.as_deref() {
        None => usual,
        Some(act) => Act::from_name(act).ok_or_else(|| {
            Problem::bad_request("act is none, disable_link, enable_link, block, forward or lift")
        })?,
    };
    fits(report, decision, act, &said)?;
    let mut by = Decided {
        decision,
        act,
        reason: said.reason.clone(),
        answer: said.answer.clone(),
        actor: caller.actor.name.to_string(),
    };
    let (of, first) = (number.clone(), by.clone());
    let mut standing = blocking(&api, move |desk| desk.step(&of, false, &first)).await?;
    if let Some(done) = done(&api, &caller, &standing.report, &by, &said).await? {
        by.reason = done;
        standing = blocking(&api, move |desk| desk.step(&number, true, &by)).await?;
    }
    Ok(Json(shown(&standing, api.clock.now())).into_response())
}

/// Whether this can be done about this report.
fn fits(report: &Report, decision: Decision, act: Act, said: &Said) -> Result<(), Problem> {
    let accepted = decision == Decision::Accepted;
    let why_not = match act {
        Act::Nothing => return Ok(()),
        _ if !accepted => "only an accepted report is acted on",
        Act::DisableLink | Act::EnableLink if report.code.is_empty() => "it is about no link",
        Act::Lift if report.appeal == 0 => "it is no appeal against a rule",
        Act::Forward if said.authority.trim().is_empty() => "authority must be given",
        _ => return Ok(()),
    };
    Err(Problem::bad_request(why_not))
}

/// Does what a decision asks for: what was done, in words; none for nothing.
async fn done(
    api: &ApiState,
    caller: &Caller,
    report: &Report,
    by: &Decided,
    said: &Said,
) -> Result<Option<String>, Problem> {
    let reason = format!("{}: {}", report.number, by.reason);
    if report.appeal > 0 && report.category == Category::Appeal {
        let status = match by.decision {
            Decision::Accepted => AppealStatus::Lifted,
            Decision::Rejected => AppealStatus::Refused,
        };
        let (id, who) = (report.appeal, feeds::by(caller, reason.clone()));
        let decided =
            feeds::blocking(api, move |feeds| match feeds.decide_appeal(id, status, &who) {
                // It was decided so where appeals are.
                Err(crate::feeds::Error::Over) => feeds.appeal(id),
                decided => decided,
            });
        let appeal = decided.await?;
        if by.act == Act::Lift || by.decision == Decision::Rejected {
            return Ok(Some(format!("appeal {} {}", appeal.id, appeal.status.name())));
        }
    }
    match by.act {
        Act::Nothing | Act::Lift => Ok(None),
        Act::Forward => Ok(Some(format!("told {}", said.authority.trim()))),
        Act::DisableLink | Act::EnableLink => {
            let state = match by.act {
                Act::DisableLink => LinkState::Disabled,
                _ => LinkState::Enabled,
            };
            let edit = Edit { state: Some(state), reason: reason.clone(), ..Edit::default() };
            let revision = links::edit(api, caller, &report.code, edit).await?;
            Ok(Some(format!("link {} {}, revision {revision}", report.code, state.name())))
        }
        Act::Block => {
            let block = NewBlock {
                what: report.subject.clone(),
                seconds: said.for_s.unwrap_or(0),
                authority: said.authority.clone(),
                order_number: String::new(),
            };
            let who = feeds::by(caller, reason);
            let rule = feeds::blocking(api, move |feeds| feeds.block_now(&block, &who)).await?;
            Ok(Some(format!("rule {} {}", rule.id, rule.rule)))
        }
    }
}

/// What the decision of an appeal, where appeals are, means for the report that opened it. Blocks.
pub(super) fn appeal_decided(
    desk: &Reports,
    id: u64,
    status: AppealStatus,
    actor: &str,
    reason: &str,
) -> Result<(), Error> {
    let decision = match status {
        AppealStatus::Lifted => Decision::Accepted,
        AppealStatus::Refused => Decision::Rejected,
        // Nothing is decided yet, or need be.
        AppealStatus::Open | AppealStatus::Suspended | AppealStatus::Withdrawn => return Ok(()),
    };
    let Some(standing) = desk.store().of_appeal(id)? else { return Ok(()) };
    let act = if decision == Decision::Accepted { Act::Lift } else { Act::Nothing };
    let reason = if reason.trim().is_empty() { status.name() } else { reason };
    let by = Decided {
        decision,
        act,
        reason: reason.to_owned(),
        answer: String::new(),
        actor: actor.to_owned(),
    };
    let number = &standing.report.number;
    desk.step(number, false, &by)?;
    let done = Decided { reason: format!("appeal {id} {}", status.name()), ..by };
    desk.step(number, true, &done)?;
    Ok(())
}

/// Runs `work` where it may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    api: &ApiState,
    work: impl FnOnce(&Reports) -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    let desk = Arc::clone(&api.reports);
    let done = tokio::task::spawn_blocking(move || work(&desk)).await;
    done.map_err(|e| Problem::internal(&e))?.map_err(problem)
}

fn problem(e: Error) -> Problem {
    let said = e.to_string();
    match e {
        Error::Unknown => Problem::not_found(),
        Error::Conflict => Problem::new(
            StatusCode::CONFLICT,
            "changed_meanwhile",
            "Somebody else decided meanwhile: look again.",
            "其他人刚刚作出了决定，请重新查看。",
        ),
        Error::Missing(_) | Error::TooLong(..) | Error::Subject => Problem::bad_request(said),
        Error::Full | Error::InDoubt | Error::Postgres(_) | Error::TooMany(_) => {
            Problem::unavailable(
                "control_unavailable",
                "It cannot be written down now.",
                "暂时无法记录。",
            )
            .detail(Words::new(said.clone(), said))
        }
        e => Problem::internal(&e),
    }
}
