//! Every route of the API and what it takes to use it, in one table.
//!
//! The guard refuses what is not in it, a test holds the OpenAPI description to it, and
//! [`router`] hangs the handlers on it.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderValue, Method, header};

use super::{ApiState, Problem, Right, auth, links, problem, system, tokens};

/// What a caller needs for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Any valid token; the handler asks for more where it must record a refusal.
    Token,
    /// A token whose role has this right.
    Right(Right),
    /// The same, but nothing for callers from this machine.
    RightUnlessLoopback(Right),
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method; GET includes HEAD.
    pub method: Method,
    /// The path as the router has it.
    pub path: &'static str,
    /// What it takes.
    pub need: Need,
}

const fn route(method: Method, path: &'static str, need: Need) -> Route {
    Route { method, path, need }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    route(Method::GET, "/healthz", Need::Nothing),
    route(Method::GET, "/readyz", Need::Nothing),
    route(Method::GET, "/metrics", Need::RightUnlessLoopback(Right::Metrics)),
    route(Method::GET, "/api/v1/openapi.json", Need::Token),
    route(Method::POST, "/api/v1/links", Need::Right(Right::WriteLinks)),
    route(Method::GET, "/api/v1/links/{code}", Need::Right(Right::ReadLinks)),
    route(Method::PATCH, "/api/v1/links/{code}", Need::Right(Right::WriteLinks)),
    route(Method::POST, "/api/v1/zones/reload", Need::Right(Right::Reload)),
    route(Method::GET, "/api/v1/tokens", Need::Right(Right::Tokens)),
    route(Method::POST, "/api/v1/tokens", Need::Right(Right::Tokens)),
    route(Method::DELETE, "/api/v1/tokens/{name}", Need::Right(Right::Tokens)),
    route(Method::GET, "/api/v1/trace", Need::Token),
    route(Method::GET, "/api/v1/records/{id}", Need::Token),
];

/// The whole API. `more` are routes of others (traces), which are in [`ROUTES`] all the same.
pub fn router(api: ApiState, more: Router<ApiState>) -> Router {
    let body_bytes_max = api.config.body_bytes_max;
    Router::new()
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
        .route("/api/v1/openapi.json", get(system::openapi))
        .route("/api/v1/links", post(links::create))
        .route("/api/v1/links/{code}", get(links::read).patch(links::change))
        .route("/api/v1/zones/reload", post(system::reload_zones))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/api/v1/tokens/{name}", delete(tokens::revoke))
        .merge(more)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(api.clone(), auth::guard))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(middleware::from_fn_with_state(api.clone(), bound))
        .layer(middleware::from_fn(problem::render))
        .with_state(api)
}

async fn not_found() -> Problem {
    Problem::not_found()
}

async fn method_not_allowed() -> Problem {
    problem::method_not_allowed()
}

/// Bounds a request's time, keeps answers out of caches, counts.
async fn bound(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    let limit = Duration::from_millis(api.config.request_timeout_ms);
    let mut response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::unavailable("request_timeout", "The request took too long.", "请求处理超时。")
                .into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let counter = match response.status().as_u16() {
        401 | 403 => &api.metrics.api.unauthorized,
        400..=499 => &api.metrics.api.refused,
        500..=599 => &api.metrics.api.failed,
        _ => &api.metrics.api.ok,
    };
    counter.increment(1);
    response
}
