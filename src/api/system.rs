//! Health, measures, the description of the API, zones.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::json;

use super::{ApiState, Problem};

/// The description, by hand; a test holds it to the routes.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The process answers.
pub(super) async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Every part is ready, or why not. Without a part that is not needed we answer and record all the
/// same: were we not ready then, a balancer would take every node out when their one store is away.
pub(super) async fn readyz(State(api): State<ApiState>) -> Response {
    let mut checks = serde_json::Map::new();
    let (mut status, mut word) = (StatusCode::OK, "ready");
    for check in &api.checks {
        let why_not = (check.look)();
        if why_not.is_some() && check.needed {
            (status, word) = (StatusCode::SERVICE_UNAVAILABLE, "not ready");
        } else if why_not.is_some() && status == StatusCode::OK {
            word = "degraded";
        }
        checks.insert(check.name.into(), json!(why_not.as_deref().unwrap_or("ok")));
    }
    (status, Json(json!({"status": word, "checks": checks}))).into_response()
}

/// Prometheus text. It holds no names and no clients.
pub(super) async fn metrics(State(api): State<ApiState>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.metrics.render()).into_response()
}

/// The description of this API.
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// Loads every zone anew; those that are bad keep their last good version.
pub(super) async fn reload_zones(State(api): State<ApiState>) -> Result<Response, Problem> {
    let reload = api.clone();
    let zones = tokio::task::spawn_blocking(move || (reload.reload_zones)())
        .await
        .map_err(|e| Problem::internal(&e))?;
    Ok(Json(json!({"zones": zones})).into_response())
}
