//! Appeals: what those who are listed say against it, and what was decided. How a claimant is reached
//! is withheld everywhere but in a look at the person: see [`super::persons`].

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiState, Body, Caller, Params, Problem,
    etag::{self, tagged},
    feeds::{blocking, by},
    persons::ToldAppeal,
    reports,
};
use crate::feeds::{AppealStatus, NewAppeal};

/// Appeals on one page.
const PAGE: usize = 1_000;

/// An appeal to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewAppeal", extend("required" = ["subject", "contact", "reason"]))]
pub(super) struct Opened {
    /// A name, `*.name`, a URL, an address or a rule.
    subject: String,
    /// The feed whose rule it is about; every feed's when absent.
    #[serde(default)]
    feed: String,
    /// How to reach whoever appeals.
    #[serde(default)]
    contact: String,
    /// The rule does not count until it is decided.
    #[serde(default)]
    suspend: bool,
    /// Why they appeal; it is kept.
    #[serde(default)]
    reason: String,
}

/// A decision.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AppealDecision")]
pub(super) struct Decided {
    /// How it stands from now on.
    #[schemars(with = "AppealStatus")]
    status: String,
    /// Why; it is kept.
    #[serde(default)]
    reason: String,
}

/// Which of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WhichAppeals")]
pub(super) struct Which {
    /// Only those of this status.
    #[schemars(with = "Option<AppealStatus>")]
    status: Option<String>,
    /// Only ids below this one: `next_before` of the page before.
    #[serde(default)]
    before: u64,
}

/// A page of appeals.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Appeals {
    /// The newest first.
    appeals: Vec<ToldAppeal>,
    /// `before` of the next page; null on the last.
    next_before: Option<u64>,
}

fn status(word: &str) -> Result<AppealStatus, Problem> {
    AppealStatus::from_name(word).ok_or_else(|| {
        Problem::bad_request("status is one of open, suspended, lifted, refused, withdrawn")
    })
}

/// `GET /api/v1/appeals`.
pub(super) async fn list(
    State(api): State<ApiState>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let wanted = which.status.as_deref().map(status).transpose()?;
    let mut appeals =
        blocking(&api, move |feeds| feeds.appeals(wanted, which.before, PAGE + 1)).await?;
    let more = appeals.len() > PAGE;
    appeals.truncate(PAGE);
    let next_before = appeals.last().filter(|_| more).map(|a| a.id);
    let appeals = appeals.into_iter().map(ToldAppeal::from).collect();
    Ok(Json(Appeals { appeals, next_before }).into_response())
}

/// `POST /api/v1/appeals`.
pub(super) async fn open(
    State(api): State<ApiState>,
    caller: Caller,
    Body(new): Body<Opened>,
) -> Result<Response, Problem> {
    let who = by(&caller, new.reason);
    let appeal = NewAppeal { feed: new.feed, what: new.subject, claimant: new.contact };
    let made = blocking(&api, move |feeds| {
        let made = feeds.open_appeal(&appeal, &who)?;
        match new.suspend {
            true => feeds.decide_appeal(made.id, AppealStatus::Suspended, &who),
            false => Ok(made),
        }
    });
    let made = made.await?;
    let tag = made.standing();
    Ok(tagged((StatusCode::CREATED, Json(ToldAppeal::from(made))).into_response(), &tag))
}

/// `GET /api/v1/appeals/{id}`.
pub(super) async fn read(
    State(api): State<ApiState>,
    Path(id): Path<u64>,
) -> Result<Response, Problem> {
    let appeal = blocking(&api, move |feeds| feeds.appeal(id)).await?;
    let tag = appeal.standing();
    Ok(tagged(Json(ToldAppeal::from(appeal)).into_response(), &tag))
}

/// `PATCH /api/v1/appeals/{id}`.
pub(super) async fn decide(
    State(api): State<ApiState>,
    caller: Caller,
    Path(id): Path<u64>,
    headers: HeaderMap,
    Body(decided): Body<Decided>,
) -> Result<Response, Problem> {
    let status = status(&decided.status)?;
    let base = etag::if_match(&headers)?.map(str::to_owned);
    let is_conditional = base.is_some();
    let who = by(&caller, decided.reason);
    let (actor, reason) = (who.actor.clone(), who.reason.clone());
    let decided =
        blocking(&api, move |feeds| feeds.decide_appeal_from(id, base.as_deref(), status, &who));
    let appeal = decided.await.map_err(|p| if is_conditional { p.precondition() } else { p })?;
    let tag = appeal.standing();
    // Where the public appealed, the claimant is told.
    let desk = Arc::clone(&api.reports);
    let told = tokio::task::spawn_blocking(move || {
        reports::appeal_decided(&desk, id, status, &actor, &reason)
    });
    match told.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, id, "a report does not say how its appeal was decided")
        }
        Err(error) => return Err(Problem::internal(&error)),
    }
    Ok(tagged(Json(ToldAppeal::from(appeal)).into_response(), &tag))
}
