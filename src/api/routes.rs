//! Every route of the API and what it takes to use it, in one table.
//!
//! The guard refuses what is not in it, a test holds the OpenAPI description to it, and
//! [`router`] hangs the handlers on it.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use http::{HeaderValue, Method, header};

use super::{
    ApiState, Problem, Right, appeals, auth, feeds, links, outbound, own, problem, reports, system,
    tokens,
};

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
    /// What its body is.
    pub carries: Carries,
    /// Whether it may take as long as reading a list takes.
    pub patient: bool,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// JSON.
    Json,
    /// A JSON object a line.
    Lines,
    /// Bytes, such as a list as its author wrote it.
    Bytes,
}

impl Carries {
    /// The content type it takes.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Bytes => "application/octet-stream",
        }
    }
}

const fn route(method: Method, path: &'static str, need: Need) -> Route {
    Route { method, path, need, carries: Carries::Json, patient: false }
}

/// A route that takes a right.
const fn right(method: Method, path: &'static str, right: Right) -> Route {
    route(method, path, Need::Right(right))
}

/// One that waits for a list to be fetched, read and judged.
const fn patient(path: &'static str, carries: Carries) -> Route {
    let need = Need::Right(Right::ChangeFeeds);
    Route { method: Method::POST, path, need, carries, patient: true }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    route(Method::GET, "/healthz", Need::Nothing),
    route(Method::GET, "/readyz", Need::Nothing),
    route(Method::GET, "/metrics", Need::RightUnlessLoopback(Right::Metrics)),
    route(Method::GET, "/api/v1/openapi.json", Need::Token),
    right(Method::GET, "/api/v1/links", Right::ReadLinks),
    route(Method::POST, "/api/v1/links", Need::Right(Right::WriteLinks)),
    Route {
        method: Method::POST,
        path: "/api/v1/links/bulk",
        need: Need::Right(Right::WriteLinks),
        carries: Carries::Lines,
        patient: false,
    },
    right(Method::GET, "/api/v1/links/export", Right::ReadLinks),
    right(Method::POST, "/api/v1/outbound", Right::WriteLinks),
    // Read from records: whoever asks is recorded, refused or not.
    route(Method::GET, "/api/v1/links/{code}/stats", Need::Token),
    right(Method::GET, "/api/v1/links/{code}/qr", Right::ReadLinks),
    route(Method::GET, "/api/v1/links/{code}/hops", Need::Token),
    route(Method::GET, "/api/v1/links/{code}", Need::Right(Right::ReadLinks)),
    route(Method::PATCH, "/api/v1/links/{code}", Need::Right(Right::WriteLinks)),
    right(Method::GET, "/api/v1/forwards", Right::ReadLinks),
    right(Method::POST, "/api/v1/forwards", Right::WriteLinks),
    Route {
        method: Method::POST,
        path: "/api/v1/forwards/bulk",
        need: Need::Right(Right::WriteLinks),
        carries: Carries::Lines,
        patient: false,
    },
    // Read from records: whoever asks is recorded, refused or not.
    route(Method::GET, "/api/v1/forwards/{from}/stats", Need::Token),
    right(Method::GET, "/api/v1/forwards/{from}", Right::ReadLinks),
    right(Method::PATCH, "/api/v1/forwards/{from}", Right::WriteLinks),
    route(Method::POST, "/api/v1/zones/reload", Need::Right(Right::Reload)),
    route(Method::GET, "/api/v1/tokens", Need::Right(Right::Tokens)),
    route(Method::POST, "/api/v1/tokens", Need::Right(Right::Tokens)),
    route(Method::DELETE, "/api/v1/tokens/{name}", Need::Right(Right::Tokens)),
    route(Method::GET, "/api/v1/trace", Need::Token),
    route(Method::GET, "/api/v1/records/{id}", Need::Token),
    route(Method::GET, "/api/v1/notices/summary", Need::Token),
    right(Method::GET, "/api/v1/reports", Right::ReadReports),
    right(Method::GET, "/api/v1/reports/{number}", Right::ReadReports),
    // A look at persons: whoever asks is recorded, refused or not.
    route(Method::GET, "/api/v1/reports/{number}/person", Need::Token),
    right(Method::POST, "/api/v1/reports/{number}/decision", Right::DecideReports),
    right(Method::GET, "/api/v1/feeds", Right::ReadFeeds),
    right(Method::POST, "/api/v1/feeds", Right::ChangeFeeds),
    right(Method::GET, "/api/v1/feeds/{name}", Right::ReadFeeds),
    right(Method::PATCH, "/api/v1/feeds/{name}", Right::ChangeFeeds),
    right(Method::DELETE, "/api/v1/feeds/{name}", Right::ChangeFeeds),
    patient("/api/v1/feeds/{name}/refresh", Carries::Json),
    patient("/api/v1/feeds/{name}/apply", Carries::Json),
    patient("/api/v1/feeds/{name}/content", Carries::Bytes),
    patient("/api/v1/feeds/{name}/approve", Carries::Json),
    right(Method::POST, "/api/v1/feeds/{name}/refuse", Right::ChangeFeeds),
    patient("/api/v1/feeds/{name}/rollback", Carries::Json),
    right(Method::GET, "/api/v1/feeds/{name}/versions", Right::ReadFeeds),
    right(Method::GET, "/api/v1/feeds/{name}/versions/{version}", Right::ReadFeeds),
    right(Method::GET, "/api/v1/feeds/{name}/diff", Right::ReadFeeds),
    // Whoever asks for hits, or for another time, is recorded, refused or not.
    route(Method::GET, "/api/v1/feeds/{name}/report", Need::Token),
    right(Method::GET, "/api/v1/feeds/{name}/export", Right::ReadFeeds),
    route(Method::GET, "/api/v1/rules", Need::Token),
    right(Method::GET, "/api/v1/blocks", Right::ReadFeeds),
    right(Method::POST, "/api/v1/blocks", Right::ChangeFeeds),
    right(Method::POST, "/api/v1/blocks/{id}/confirm", Right::ChangeFeeds),
    right(Method::POST, "/api/v1/blocks/{id}/lift", Right::ChangeFeeds),
    right(Method::GET, "/api/v1/allow", Right::ReadFeeds),
    right(Method::POST, "/api/v1/allow", Right::ChangeFeeds),
    right(Method::DELETE, "/api/v1/allow/{id}", Right::ChangeFeeds),
    right(Method::GET, "/api/v1/appeals", Right::ReadFeeds),
    right(Method::POST, "/api/v1/appeals", Right::ChangeFeeds),
    right(Method::PATCH, "/api/v1/appeals/{id}", Right::ChangeFeeds),
];

/// The whole API. `more` are routes of others (traces), which are in [`ROUTES`] all the same.
pub fn router(api: ApiState, more: Router<ApiState>) -> Router {
    let body_bytes_max = api.config.body_bytes_max;
    Router::new()
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
        .route("/api/v1/openapi.json", get(system::openapi))
        .route("/api/v1/links", get(links::list).post(links::create))
        .route("/api/v1/links/bulk", post(links::bulk))
        .route("/api/v1/links/export", get(links::export))
        .route("/api/v1/links/{code}/qr", get(links::qr))
        .route("/api/v1/links/{code}", get(links::read).patch(links::change))
        .route("/api/v1/outbound", post(outbound::sign))
        .route("/api/v1/forwards", get(links::forwards::list).post(links::forwards::create))
        .route("/api/v1/forwards/bulk", post(links::forwards::bulk))
        .route("/api/v1/forwards/{from}", get(links::forwards::read).patch(links::forwards::change))
        .route("/api/v1/zones/reload", post(system::reload_zones))
        .route("/api/v1/reports", get(reports::list))
        .route("/api/v1/reports/{number}", get(reports::read))
        .route("/api/v1/reports/{number}/decision", post(reports::decide))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/api/v1/tokens/{name}", delete(tokens::revoke))
        .merge(policy())
        .merge(more)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(api.clone(), auth::guard))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(middleware::from_fn_with_state(api.clone(), bound))
        .layer(middleware::from_fn(problem::render))
        .with_state(api)
}

/// The routes of feeds, of the operator's own rules and of appeals.
fn policy() -> Router<ApiState> {
    Router::new()
        .route("/api/v1/feeds", get(feeds::list).post(feeds::add))
        .route("/api/v1/feeds/{name}", get(feeds::read).patch(feeds::change).delete(feeds::remove))
        .route("/api/v1/feeds/{name}/refresh", post(feeds::refresh))
        .route("/api/v1/feeds/{name}/apply", post(feeds::apply))
        .route("/api/v1/feeds/{name}/content", post(feeds::content))
        .route("/api/v1/feeds/{name}/approve", post(feeds::approve))
        .route("/api/v1/feeds/{name}/refuse", post(feeds::refuse))
        .route("/api/v1/feeds/{name}/rollback", post(feeds::roll_back))
        .route("/api/v1/feeds/{name}/versions", get(feeds::list_versions))
        .route("/api/v1/feeds/{name}/versions/{version}", get(feeds::read_version))
        .route("/api/v1/feeds/{name}/diff", get(feeds::diff))
        .route("/api/v1/feeds/{name}/export", get(feeds::export))
        .route("/api/v1/blocks", get(own::blocks).post(own::block))
        .route("/api/v1/blocks/{id}/confirm", post(own::confirm))
        .route("/api/v1/blocks/{id}/lift", post(own::lift))
        .route("/api/v1/allow", get(own::allowed).post(own::allow))
        .route("/api/v1/allow/{id}", delete(own::disallow))
        .route("/api/v1/appeals", get(appeals::list).post(appeals::open))
        .route("/api/v1/appeals/{id}", patch(appeals::decide))
}

async fn not_found() -> Problem {
    Problem::not_found()
}

async fn method_not_allowed() -> Problem {
    problem::method_not_allowed()
}

/// Bounds a request's time, keeps answers out of caches, counts.
async fn bound(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let patient = path.is_some_and(|p| ROUTES.iter().any(|r| r.patient && r.path == p.as_str()));
    let limit = match patient {
        true => api.config.work_timeout_ms,
        false => api.config.request_timeout_ms,
    };
    let limit = Duration::from_millis(limit);
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
