//! Appeals: what those who are listed say against it, and what was decided.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{
    ApiState, Body, Caller, Params, Problem,
    feeds::{blocking, by},
    reports,
};
use crate::feeds::{AppealStatus, NewAppeal};

/// Appeals on one page.
const PAGE: usize = 1_000;

/// An appeal to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opened {
    subject: String,
    #[serde(default)]
    feed: String,
    #[serde(default)]
    contact: String,
    #[serde(default)]
    suspend: bool,
    #[serde(default)]
    reason: String,
}

/// A decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decided {
    status: String,
    #[serde(default)]
    reason: String,
}

/// Which of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    status: Option<String>,
    #[serde(default)]
    before: u64,
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
    let next = appeals.last().filter(|_| more).map(|a| a.id);
    Ok(Json(json!({ "appeals": appeals, "next_before": next })).into_response())
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
    Ok((StatusCode::CREATED, Json(made.await?)).into_response())
}

/// `PATCH /api/v1/appeals/{id}`.
pub(super) async fn decide(
    State(api): State<ApiState>,
    caller: Caller,
    Path(id): Path<u64>,
    Body(decided): Body<Decided>,
) -> Result<Response, Problem> {
    let status = status(&decided.status)?;
    let who = by(&caller, decided.reason);
    let (actor, reason) = (who.actor.clone(), who.reason.clone());
    let appeal = blocking(&api, move |feeds| feeds.decide_appeal(id, status, &who)).await?;
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
    Ok(Json(appeal).into_response())
}
