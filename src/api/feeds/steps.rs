//! Fetching, and deciding about what was fetched.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{ApiState, Body, Caller, Problem, blocking, by, problem};

/// What a fetch takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct Apply {
    dry_run: bool,
    reason: String,
}

/// Which version, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct Step {
    version: Option<u64>,
    reason: String,
}

/// Why.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct Refresh {
    reason: String,
}

/// `POST /api/v1/feeds/{name}/refresh`.
pub(in crate::api) async fn refresh(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<Refresh>,
) -> Result<Response, Problem> {
    let done = api.feeds.refresh(&name, &by(&caller, body.reason)).await;
    Ok(Json(done.map_err(|e| problem(&e))?).into_response())
}

/// `POST /api/v1/feeds/{name}/apply`.
pub(in crate::api) async fn apply(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<Apply>,
) -> Result<Response, Problem> {
    let done = match body.dry_run {
        true => api.feeds.dry_run(&name, None).await,
        false => api.feeds.refresh(&name, &by(&caller, body.reason)).await,
    };
    Ok(Json(done.map_err(|e| problem(&e))?).into_response())
}

/// `POST /api/v1/feeds/{name}/approve`.
pub(in crate::api) async fn approve(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(step): Body<Step>,
) -> Result<Response, Problem> {
    let who = by(&caller, step.reason);
    let status = blocking(&api, move |feeds| {
        feeds.approve(&name, step.version, &who)?;
        feeds.status(&name)
    });
    Ok(Json(status.await?).into_response())
}

/// `POST /api/v1/feeds/{name}/refuse`.
pub(in crate::api) async fn refuse(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(step): Body<Step>,
) -> Result<Response, Problem> {
    let who = by(&caller, step.reason);
    let status = blocking(&api, move |feeds| {
        feeds.refuse(&name, step.version, &who)?;
        feeds.status(&name)
    });
    Ok(Json(status.await?).into_response())
}

/// `POST /api/v1/feeds/{name}/rollback`.
pub(in crate::api) async fn roll_back(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(step): Body<Step>,
) -> Result<Response, Problem> {
    let who = by(&caller, step.reason);
    let status = blocking(&api, move |feeds| {
        feeds.rollback(&name, step.version, &who)?;
        feeds.status(&name)
    });
    Ok(Json(status.await?).into_response())
}
