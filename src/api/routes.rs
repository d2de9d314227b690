//! Every route of the API and what it takes to use it, in one table.
//!
//! The guard refuses what is not in it, the API's description is made from it, and [`router`] hangs
//! the handlers on it.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderValue, Method, header};

use super::{
    ApiState, Operation, Problem, Right, appeals, auth, certificates, checks, describe, feeds,
    links, outbound, own, problem, reports, system, tokens, webhooks,
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
    /// What is said of it.
    pub is: fn() -> Operation,
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

const fn route(method: Method, path: &'static str, need: Need, is: fn() -> Operation) -> Route {
    Route { method, path, need, carries: Carries::Json, patient: false, is }
}

/// A route that takes a right.
const fn right(method: Method, path: &'static str, right: Right, is: fn() -> Operation) -> Route {
    route(method, path, Need::Right(right), is)
}

/// One that waits for a list to be fetched, read and judged.
const fn patient(path: &'static str, carries: Carries, is: fn() -> Operation) -> Route {
    let need = Need::Right(Right::ChangeFeeds);
    Route { method: Method::POST, path, need, carries, patient: true, is }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    route(Method::GET, "/healthz", Need::Nothing, describe::healthz),
    route(Method::GET, "/readyz", Need::Nothing, describe::readyz),
    route(Method::GET, "/metrics", Need::RightUnlessLoopback(Right::Metrics), describe::metrics),
    route(Method::GET, "/api/v1/openapi.json", Need::Token, describe::openapi),
    right(Method::GET, "/api/v1/links", Right::ReadLinks, describe::list_links),
    route(Method::POST, "/api/v1/links", Need::Right(Right::WriteLinks), describe::create_link),
    Route {
        method: Method::POST,
        path: "/api/v1/links/bulk",
        need: Need::Right(Right::WriteLinks),
        carries: Carries::Lines,
        patient: false,
        is: describe::create_links,
    },
    right(Method::GET, "/api/v1/links/export", Right::ReadLinks, describe::export_links),
    right(Method::POST, "/api/v1/outbound", Right::WriteLinks, describe::sign_outbound),
    // Read from records: whoever asks is recorded, refused or not.
    route(Method::GET, "/api/v1/links/{code}/stats", Need::Token, describe::read_link_stats),
    right(Method::GET, "/api/v1/links/{code}/qr", Right::ReadLinks, describe::link_qr),
    route(Method::GET, "/api/v1/links/{code}/hops", Need::Token, describe::read_link_hops),
    route(Method::GET, "/api/v1/links/{code}", Need::Right(Right::ReadLinks), describe::read_link),
    route(
        Method::PATCH,
        "/api/v1/links/{code}",
        Need::Right(Right::WriteLinks),
        describe::change_link,
    ),
    right(Method::GET, "/api/v1/certificates", Right::ReadLinks, describe::list_certificates),
    right(Method::GET, "/api/v1/forwards", Right::ReadLinks, describe::list_forwards),
    right(Method::POST, "/api/v1/forwards", Right::WriteLinks, describe::create_forward),
    Route {
        method: Method::POST,
        path: "/api/v1/forwards/bulk",
        need: Need::Right(Right::WriteLinks),
        carries: Carries::Lines,
        patient: false,
        is: describe::create_forwards,
    },
    // Read from records: whoever asks is recorded, refused or not.
    route(Method::GET, "/api/v1/forwards/{from}/stats", Need::Token, describe::read_forward_stats),
    right(Method::GET, "/api/v1/forwards/{from}", Right::ReadLinks, describe::read_forward),
    right(Method::PATCH, "/api/v1/forwards/{from}", Right::WriteLinks, describe::change_forward),
    route(Method::POST, "/api/v1/zones/reload", Need::Right(Right::Reload), describe::reload_zones),
    route(Method::GET, "/api/v1/tokens", Need::Right(Right::Tokens), describe::list_tokens),
    route(Method::POST, "/api/v1/tokens", Need::Right(Right::Tokens), describe::create_token),
    route(
        Method::DELETE,
        "/api/v1/tokens/{name}",
        Need::Right(Right::Tokens),
        describe::revoke_token,
    ),
    route(Method::GET, "/api/v1/trace", Need::Token, describe::trace),
    route(Method::GET, "/api/v1/records/{id}", Need::Token, describe::read_record),
    route(Method::GET, "/api/v1/notices/summary", Need::Token, describe::notices_summary),
    right(Method::GET, "/api/v1/reports", Right::ReadReports, describe::list_reports),
    right(Method::GET, "/api/v1/reports/status", Right::ReadReports, describe::read_reports_status),
    right(Method::GET, "/api/v1/reports/{number}", Right::ReadReports, describe::read_report),
    // A look at persons: whoever asks is recorded, refused or not.
    right(Method::GET, "/api/v1/webhooks", Right::Webhooks, describe::list_webhooks),
    right(Method::POST, "/api/v1/webhooks", Right::Webhooks, describe::add_webhook),
    right(Method::GET, "/api/v1/webhooks/{id}", Right::Webhooks, describe::read_webhook),
    right(Method::PATCH, "/api/v1/webhooks/{id}", Right::Webhooks, describe::change_webhook),
    right(Method::DELETE, "/api/v1/webhooks/{id}", Right::Webhooks, describe::disable_webhook),
    right(Method::POST, "/api/v1/webhooks/{id}/test", Right::Webhooks, describe::test_webhook),
    right(
        Method::GET,
        "/api/v1/webhooks/{id}/deliveries",
        Right::Webhooks,
        describe::list_deliveries,
    ),
    right(
        Method::POST,
        "/api/v1/webhooks/{id}/resend",
        Right::Webhooks,
        describe::resend_deliveries,
    ),
    route(
        Method::GET,
        "/api/v1/reports/{number}/person",
        Need::Token,
        describe::read_report_person,
    ),
    right(
        Method::POST,
        "/api/v1/reports/{number}/decision",
        Right::DecideReports,
        describe::decide_report,
    ),
    right(Method::GET, "/api/v1/feeds", Right::ReadFeeds, describe::list_feeds),
    right(Method::POST, "/api/v1/feeds", Right::ChangeFeeds, describe::add_feed),
    right(Method::GET, "/api/v1/feeds/{name}", Right::ReadFeeds, describe::read_feed),
    right(Method::PATCH, "/api/v1/feeds/{name}", Right::ChangeFeeds, describe::change_feed),
    right(Method::DELETE, "/api/v1/feeds/{name}", Right::ChangeFeeds, describe::remove_feed),
    patient("/api/v1/feeds/{name}/refresh", Carries::Json, describe::refresh_feed),
    patient("/api/v1/feeds/{name}/apply", Carries::Json, describe::apply_feed),
    patient("/api/v1/feeds/{name}/content", Carries::Bytes, describe::send_feed),
    patient("/api/v1/feeds/{name}/approve", Carries::Json, describe::approve_feed),
    right(Method::POST, "/api/v1/feeds/{name}/refuse", Right::ChangeFeeds, describe::refuse_feed),
    patient("/api/v1/feeds/{name}/rollback", Carries::Json, describe::rollback_feed),
    right(
        Method::GET,
        "/api/v1/feeds/{name}/versions",
        Right::ReadFeeds,
        describe::list_feed_versions,
    ),
    right(
        Method::GET,
        "/api/v1/feeds/{name}/versions/{version}",
        Right::ReadFeeds,
        describe::read_feed_version,
    ),
    right(Method::GET, "/api/v1/feeds/{name}/diff", Right::ReadFeeds, describe::diff_feed),
    // Whoever asks for hits, or for another time, is recorded, refused or not.
    route(Method::GET, "/api/v1/feeds/{name}/report", Need::Token, describe::report_feed),
    right(Method::GET, "/api/v1/feeds/{name}/export", Right::ReadFeeds, describe::export_feed),
    route(Method::GET, "/api/v1/rules", Need::Token, describe::rules),
    right(Method::GET, "/api/v1/blocks", Right::ReadFeeds, describe::list_blocks),
    right(Method::POST, "/api/v1/blocks", Right::ChangeFeeds, describe::block_now),
    right(Method::POST, "/api/v1/blocks/{id}/confirm", Right::ChangeFeeds, describe::confirm_block),
    right(Method::POST, "/api/v1/blocks/{id}/lift", Right::ChangeFeeds, describe::lift_block),
    right(Method::GET, "/api/v1/allow", Right::ReadFeeds, describe::list_allow),
    right(Method::POST, "/api/v1/allow", Right::ChangeFeeds, describe::allow),
    right(Method::DELETE, "/api/v1/allow/{id}", Right::ChangeFeeds, describe::disallow),
    right(Method::GET, "/api/v1/appeals", Right::ReadFeeds, describe::list_appeals),
    right(Method::POST, "/api/v1/appeals", Right::ChangeFeeds, describe::appeal),
    right(Method::GET, "/api/v1/appeals/{id}", Right::ReadFeeds, describe::read_appeal),
    right(Method::PATCH, "/api/v1/appeals/{id}", Right::ChangeFeeds, describe::decide_appeal),
    Route {
        method: Method::POST,
        path: "/api/v1/checks",
        need: Need::Right(Right::Verify),
        carries: Carries::Json,
        patient: true,
        is: describe::check,
    },
    route(Method::GET, "/api/v1/checks/{record}", Need::Token, describe::replay),
    Route {
        method: Method::GET,
        path: "/api/v1/perspectives/{name}",
        need: Need::Right(Right::Verify),
        carries: Carries::Json,
        patient: true,
        is: describe::perspective,
    },
    right(Method::GET, "/api/v1/coverage", Right::ReadFeeds, describe::coverage),
    right(Method::GET, "/api/v1/declarations", Right::ReadFeeds, describe::list_declarations),
    right(Method::POST, "/api/v1/declarations/{domain}", Right::Declare, describe::declare),
    right(Method::DELETE, "/api/v1/declarations/{domain}", Right::Declare, describe::withdraw),
    // A look at persons, as above.
    route(Method::GET, "/api/v1/appeals/{id}/person", Need::Token, describe::read_appeal_person),
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
        .route("/api/v1/certificates", get(certificates::list))
        .route("/api/v1/forwards", get(links::forwards::list).post(links::forwards::create))
        .route("/api/v1/forwards/bulk", post(links::forwards::bulk))
        .route("/api/v1/forwards/{from}", get(links::forwards::read).patch(links::forwards::change))
        .route("/api/v1/zones/reload", post(system::reload_zones))
        .route("/api/v1/checks", post(checks::check))
        .route("/api/v1/perspectives/{name}", get(checks::perspective))
        .route("/api/v1/coverage", get(checks::coverage))
        .route("/api/v1/declarations", get(checks::declarations))
        .route("/api/v1/declarations/{domain}", post(checks::declare).delete(checks::withdraw))
        .route("/api/v1/reports", get(reports::list))
        .route("/api/v1/reports/status", get(reports::status))
        .route("/api/v1/reports/{number}", get(reports::read))
        .route("/api/v1/reports/{number}/decision", post(reports::decide))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/api/v1/tokens/{name}", delete(tokens::revoke))
        .merge(hooks())
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

/// The routes of webhooks.
fn hooks() -> Router<ApiState> {
    let one = get(webhooks::read).patch(webhooks::change).delete(webhooks::disable);
    Router::new()
        .route("/api/v1/webhooks", get(webhooks::list).post(webhooks::add))
        .route("/api/v1/webhooks/{id}", one)
        .route("/api/v1/webhooks/{id}/test", post(webhooks::test))
        .route("/api/v1/webhooks/{id}/deliveries", get(webhooks::deliveries))
        .route("/api/v1/webhooks/{id}/resend", post(webhooks::resend))
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
        .route("/api/v1/appeals/{id}", get(appeals::read).patch(appeals::decide))
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
