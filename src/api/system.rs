//! Health, measures, the description of the API, zones.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ApiState, Problem};
use crate::resolver::ZoneReport;

/// That the process answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Alive {
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
}

/// How the parts are.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Readiness<'a> {
    /// `ready`; `degraded`: everything is answered and recorded, but a check says what is away; `not
    /// ready` (503).
    #[schemars(extend("enum" = ["ready", "degraded", "not ready"]))]
    status: &'static str,
    /// Part → `ok`, or why it is not.
    checks: BTreeMap<&'a str, String>,
}

/// What became of each zone.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Zones {
    zones: Vec<ZoneReport>,
}

/// The process answers.
pub(super) async fn healthz() -> Response {
    Json(Alive { status: "ok" }).into_response()
}

/// Every part is ready, or why not. Without a part that is not needed we answer and record all the
/// same: were we not ready then, a balancer would take every node out when their one store is away.
pub(super) async fn readyz(State(api): State<ApiState>) -> Response {
    let mut checks = BTreeMap::new();
    let (mut status, mut word) = (StatusCode::OK, "ready");
    for check in &api.checks {
        let why_not = (check.look)();
        if why_not.is_some() && check.needed {
            (status, word) = (StatusCode::SERVICE_UNAVAILABLE, "not ready");
        } else if why_not.is_some() && status == StatusCode::OK {
            word = "degraded";
        }
        checks.insert(check.name, why_not.unwrap_or_else(|| "ok".to_owned()));
    }
    (status, Json(Readiness { status: word, checks })).into_response()
}

/// Prometheus text. It holds no names and no clients.
pub(super) async fn metrics(State(api): State<ApiState>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.metrics.render()).into_response()
}

/// The description of this API.
pub(super) async fn openapi(State(api): State<ApiState>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.0.description.clone()).into_response()
}

/// Loads every zone anew; those that are bad keep their last good version.
pub(super) async fn reload_zones(State(api): State<ApiState>) -> Result<Response, Problem> {
    let reload = api.clone();
    let zones = tokio::task::spawn_blocking(move || (reload.reload_zones)())
        .await
        .map_err(|e| Problem::internal(&e))?;
    Ok(Json(Zones { zones }).into_response())
}
