//! Who may do what: the guard in front of every handler.
//!
//! A request passes in this order: its `Host` is one of ours (a page that rebinds its name to our
//! address gets 421), its route is in [`ROUTES`] (else 404 or 405, whatever the router knows), its
//! bearer token is valid and its role may (401, 403), and a body is JSON, or bytes where the route
//! takes a list (415; a form of a foreign page can send neither). There are no cookies and no CORS headers.

use std::collections::HashSet;

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{
    ApiState, Problem,
    problem::method_not_allowed,
    quota::Left,
    routes::{Carries, Need, ROUTES, Route},
};
use crate::{
    config,
    gateway::Peer,
    links::{Actor, Role},
};

/// What a role may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read links and their revisions.
    ReadLinks,
    /// Make and change links.
    WriteLinks,
    /// Ask for traces and records.
    Trace,
    /// Read measures.
    Metrics,
    /// Load zones anew.
    Reload,
    /// Make, list and revoke tokens.
    Tokens,
    /// Say who is told of changes, and see what was.
    Webhooks,
    /// See reports by the public, without persons.
    ReadReports,
    /// Decide them.
    DecideReports,
    /// See feeds, their versions, blocks, allow rules and appeals; ask what is listed.
    ReadFeeds,
    /// Change any of them, and decide.
    ChangeFeeds,
    /// Have names and addresses verified.
    Verify,
    /// Say what should be so of a domain.
    Declare,
}

/// The table of who may what.
pub const fn may(role: Role, right: Right) -> bool {
    match right {
        Right::ReadLinks => true,
        Right::WriteLinks => matches!(role, Role::Operator | Role::Writer),
        Right::Trace | Right::ReadFeeds | Right::ReadReports => {
            matches!(role, Role::Operator | Role::Investigator | Role::Auditor)
        }
        Right::Metrics => matches!(role, Role::Operator | Role::Auditor),
        Right::Verify => matches!(role, Role::Operator | Role::Investigator),
        Right::Reload
        | Right::Declare
        | Right::Tokens
        | Right::Webhooks
        | Right::ChangeFeeds
        | Right::DecideReports => {
            matches!(role, Role::Operator)
        }
    }
}

/// Who makes this request; an extractor behind the guard.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token.
    pub actor: Actor,
    /// The connection.
    pub peer: Peer,
}

impl Caller {
    /// Whether the caller's role has this right.
    pub const fn may(&self, right: Right) -> bool {
        may(self.actor.role, right)
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        // Put there by the guard for every route that needs a token.
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthorized)
    }
}

/// The guard.
pub(super) async fn guard(
    State(api): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&api, &mut request) {
        Ok(left) => {
            let mut response = next.run(request).await;
            if let Some(left) = left {
                left.tell(response.headers_mut());
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// Lets a request in; what is left of its token's quota, where it has one.
fn admit(api: &ApiState, request: &mut Request) -> Result<Option<Left>, Problem> {
    let mut left = None;
    let peer = *request.extensions().get::<Peer>().ok_or_else(Problem::not_found)?;
    if !api.hosts.allow(request, peer) {
        return Err(misdirected());
    }
    let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(left) };
    let method = match request.method() {
        &Method::HEAD => &Method::GET,
        method => method,
    };
    // A route that is not in the table is never run, even when the router has it.
    let route = ROUTES.iter().find(|r| r.path == path.as_str() && r.method == *method);
    let &Route { need, carries, .. } = route.ok_or_else(method_not_allowed)?;
    let open = match need {
        Need::Nothing => true,
        Need::RightUnlessLoopback(_) => peer.client.ip().to_canonical().is_loopback(),
        Need::Right(_) | Need::Token => false,
    };
    match bearer(request.headers()).and_then(|secret| api.tokens.verify(secret)) {
        Some(actor) => {
            let allowed = match need {
                Need::Right(right) | Need::RightUnlessLoopback(right) => may(actor.role, right),
                Need::Token | Need::Nothing => true,
            };
            if !allowed && !open {
                return Err(forbidden());
            }
            if !open {
                left = api.0.quotas.request(&actor, api.clock.monotonic())?;
            }
            request.extensions_mut().insert(Caller { actor, peer });
        }
        None if open => {}
        None => return Err(unauthorized()),
    }
    let has_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if has_body && !is(carries.media_type(), request.headers()) {
        return Err(unsupported(carries));
    }
    Ok(left)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn is(media_type: &str, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(media_type)
}

/// The `Host` values we answer to.
#[derive(Clone, Debug)]
pub struct Hosts(HashSet<String>);

impl Hosts {
    /// `api.hosts`; the address a connection arrived at and `localhost` are always allowed.
    pub fn new(api: &config::Api) -> Self {
        Self(api.hosts.iter().map(|h| h.to_ascii_lowercase()).collect())
    }

    fn allow(&self, request: &Request, peer: Peer) -> bool {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = host.to_str() else { return false };
        // A request in absolute form names its host twice; both must agree.
        let agree = request.uri().authority().is_none_or(|a| a.as_str().eq_ignore_ascii_case(host));
        agree && self.is_ours(&host.to_ascii_lowercase(), peer)
    }

    /// With or without a port: a browser that was rebound to us sends a foreign name either way.
    fn is_ours(&self, host: &str, peer: Peer) -> bool {
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) => bare,
            _ => host,
        };
        let address = bare.trim_start_matches('[').trim_end_matches(']').parse();
        bare == "localhost"
            || address.is_ok_and(|a: std::net::IpAddr| {
                a.to_canonical() == peer.server.ip().to_canonical()
            })
            || self.0.contains(bare)
            || self.0.contains(host)
    }
}

fn misdirected() -> Problem {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "unknown_host",
        "This host name is not served here; api.hosts lists those that are.",
        "此处不提供该主机名的服务；可用的主机名由 api.hosts 列出。",
    )
}

fn unauthorized() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "A valid bearer token is required.",
        "需要有效的访问令牌。",
    )
    .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tracegate\""))
}

pub(super) fn forbidden() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "This token's role may not do that.",
        "该令牌的角色无权执行此操作。",
    )
}

fn unsupported(carries: Carries) -> Problem {
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    match carries {
        Carries::Json => Problem::new(
            unsupported,
            "json_required",
            "The content type must be application/json.",
            "内容类型必须为 application/json。",
        ),
        Carries::Lines => Problem::new(
            unsupported,
            "json_lines_required",
            "The content type must be application/x-ndjson.",
            "内容类型必须为 application/x-ndjson。",
        ),
        Carries::Bytes => Problem::new(
            unsupported,
            "bytes_required",
            "The content type must be application/octet-stream.",
            "内容类型必须为 application/octet-stream。",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_ours_or_refused() {
        let api = config::Api { hosts: vec!["Trace.example".into()], ..config::Api::default() };
        let hosts = Hosts::new(&api);
        let peer = Peer {
            client: "192.0.2.9:40000".parse().unwrap(),
            server: "[::ffff:192.0.2.1]:8081".parse().unwrap(),
        };
        for (host, ours) in [
            ("localhost", true),
            ("localhost:8081", true),
            ("192.0.2.1", true),
            ("192.0.2.1:9", true),
            ("[::ffff:192.0.2.1]:8081", true),
            ("192.0.2.2", false),
            ("trace.example", true),
            ("trace.example:443", true),
            ("trace.example.evil.example", false),
            ("localhost.evil.example", false),
            ("evil.example", false),
            ("", false),
            (":8081", false),
            ("[]", false),
        ] {
            assert_eq!(hosts.is_ours(host, peer), ours, "{host}");
        }
    }

    #[test]
    fn bearer_tokens_alone_are_read() {
        for (value, secret) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), secret, "{value}");
        }
    }

    #[test]
    fn content_types_are_read_without_parameters() {
        for (value, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonp", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is("application/json", &headers), json, "{value}");
        }
    }
}
