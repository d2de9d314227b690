//! Fetching, and deciding about what was fetched.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ApiState, Body, Caller, Problem, blocking, by, problem};
use crate::feeds::{By, Error, Feeds};

/// What a fetch takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "FeedApply")]
pub(in crate::api) struct Apply {
    /// Say what it would change, and change nothing.
    dry_run: bool,
    /// Why; it is kept.
    reason: String,
}

/// Which version, and why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "FeedStep")]
pub(in crate::api) struct Step {
    /// Which version; the newest that waits, or the one before this one, when absent.
    version: Option<u64>,
    /// Why; it is kept.
    reason: String,
}

/// Why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "FeedRefresh")]
pub(in crate::api) struct Refresh {
    /// Wait for the fetch that adding or changing the feed began, instead of another.
    first: bool,
    /// Why; it is kept.
    reason: String,
}

/// `POST /api/v1/feeds/{name}/refresh`.
pub(in crate::api) async fn refresh(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<Refresh>,
) -> Result<Response, Problem> {
    let done = match body.first {
        true => api.feeds.first_look(&name).await,
        false => api.feeds.refresh(&name, &by(&caller, body.reason)).await,
    };
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
    decide(&api, &caller, name, step, Feeds::approve).await
}

/// `POST /api/v1/feeds/{name}/refuse`.
pub(in crate::api) async fn refuse(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(step): Body<Step>,
) -> Result<Response, Problem> {
    decide(&api, &caller, name, step, |f, n, v, by| f.refuse(n, v, by)).await
}

/// `POST /api/v1/feeds/{name}/rollback`.
pub(in crate::api) async fn roll_back(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(step): Body<Step>,
) -> Result<Response, Problem> {
    decide(&api, &caller, name, step, Feeds::rollback).await
}

/// Decides about a version, and says how the feed stands then.
async fn decide(
    api: &ApiState,
    caller: &Caller,
    name: String,
    step: Step,
    change: impl FnOnce(&Arc<Feeds>, &str, Option<u64>, &By) -> Result<u64, Error> + Send + 'static,
) -> Result<Response, Problem> {
    let who = by(caller, step.reason);
    let status = blocking(api, move |feeds| {
        change(feeds, &name, step.version, &who)?;
        feeds.status(&name)
    });
    Ok(Json(status.await?).into_response())
}
