//! One jump from request to response.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::{
    Lanes, Language, Peer,
    page::{Page, blocked},
    record::Recorder,
    request::{code, host, path, referrer_host, user_agent},
    rules::{self, Ruling},
};
use crate::{
    clock::Clock,
    config::{self, FullPolicy, OnFull, OnUnresolved},
    links::{Link, Links, State},
    metrics::Metrics,
    policy::InForce,
    record::{Flow, Jump, Resolution},
    resolver::{Caused, Lookup, Resolver},
    spool,
};

/// What a gateway is made of.
pub struct GatewayParts {
    /// The section `[gateway]`.
    pub config: config::Gateway,
    /// The section `[policy]`.
    pub rules: config::Policy,
    /// The rules in force.
    pub in_force: InForce,
    /// What happens to a jump's record when the spool is full.
    pub on_full: OnFull,
    /// The links.
    pub links: Arc<Links>,
    /// Resolves targets' hosts.
    pub resolver: Arc<Resolver>,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// What the workers share.
pub struct Gateway(GatewayParts);

/// One thread's part of the gateway.
pub struct Worker {
    gateway: Arc<Gateway>,
    recorder: Recorder,
}

/// What becomes of a request.
struct Fate {
    link: Option<Arc<Link>>,
    outcome: &'static str,
    full: FullPolicy,
    lookup: Option<Lookup>,
    /// What a rule says of it.
    ruling: Option<Ruling>,
    /// None to send the visitor on.
    page: Option<Page>,
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        Arc::new(Self(parts))
    }
}

impl Worker {
    /// A worker with lanes of its own.
    pub fn new(gateway: Arc<Gateway>, lanes: Lanes) -> Self {
        Self { gateway, recorder: Recorder::new(lanes) }
    }

    /// Answers one request. Dropping the future is safe at any time: what it pushed is written,
    /// and no response leaves.
    pub async fn serve<B>(&self, request: &Request<B>, peer: Peer) -> Response<Full<Bytes>> {
        let parts = &self.gateway.0;
        let began = parts.clock.monotonic();
        let language = Language::of(request.headers());
        let metrics = &parts.metrics.gateway;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            metrics.malformed.increment(1);
            return Page::Method.response(language);
        }
        let Some(code) = code(request.uri()) else {
            metrics.malformed.increment(1);
            return Page::Unknown.response(language);
        };
        let Some(link) = self.link(code).await else {
            metrics.stopped.increment(1);
            return Page::Busy.response(language);
        };
        let flow = self.recorder.new_flow();
        let fate = self.fate(link).await;
        if !self.keep(request, peer, code, &fate, flow, began).await {
            metrics.stopped.increment(1);
            return Page::Busy.response(language);
        }
        match fate.outcome {
            "unknown" => metrics.unknown.increment(1),
            "disabled" | "expired" => metrics.gone.increment(1),
            _ if fate.page.is_some() => metrics.stopped.increment(1),
            _ => metrics.jumps.increment(1),
        }
        metrics.jump_seconds.record(since(&parts.clock, began).as_secs_f64());
        match (fate.page, fate.link, fate.ruling) {
            (None, Some(link), _) => found(&link),
            (Some(Page::Blocked), _, Some(Ruling { hit: Some(hit), .. })) => {
                blocked(&hit, language, &parts.rules.blocked_by)
            }
            (page, ..) => page.unwrap_or(Page::Unknown).response(language),
        }
    }

    /// The link of `code`; the outer none when the database fails.
    async fn link(&self, code: &str) -> Option<Option<Arc<Link>>> {
        let links = &self.gateway.0.links;
        if let Some(link) = links.cached(code) {
            return Some(Some(link));
        }
        let (links, code) = (Arc::clone(links), code.to_owned());
        match tokio::task::spawn_blocking(move || links.read(&code)).await {
            Ok(Ok(link)) => Some(link),
            Ok(Err(e)) => {
                tracing::error!(error = %e, "links cannot be read");
                None
            }
            Err(e) => {
                tracing::error!(error = %e, "links cannot be read");
                None
            }
        }
    }

    async fn fate(&self, link: Option<Arc<Link>>) -> Fate {
        let parts = &self.gateway.0;
        let stopped = |link, outcome, full, page| Fate {
            link,
            outcome,
            full,
            lookup: None,
            ruling: None,
            page: Some(page),
        };
        let Some(link) = link else {
            return stopped(None, "unknown", parts.on_full.unknown_jumps, Page::Unknown);
        };
        let full = parts.on_full.jumps;
        if link.state == State::Disabled {
            return stopped(Some(link), "disabled", full, Page::Disabled);
        }
        if link.is_expired(parts.clock.now()) {
            return stopped(Some(link), "expired", full, Page::Expired);
        }
        let wait = Duration::from_millis(parts.config.resolve_timeout_ms);
        // Boxed: two questions and their answers would make every request's future, which is moved
        // a few times before it is polled, kilobytes larger.
        let lookup = Box::pin(parts.resolver.addresses(&link.target_host, wait)).await;
        let set = parts.in_force.load_full();
        let ruling = match set.is_empty() {
            true => None,
            false => rules::of_jump(&set, &link, &lookup, parts.clock.now()),
        };
        let unresolved = lookup.addresses.is_empty();
        let (outcome, page) = match &ruling {
            Some(r) if r.hit.is_none() => ("stopped", Some(Page::Busy)),
            Some(r) if r.stops() => ("stopped", Some(Page::Blocked)),
            _ if unresolved && parts.config.on_unresolved == OnUnresolved::Stop => {
                ("unresolved", Some(Page::Unresolved))
            }
            _ if unresolved => ("unresolved", None),
            _ => ("jumped", None),
        };
        if let Some(ruling) = &ruling {
            parts.metrics.decisions(&ruling.feed, ruling.action).increment(1);
        }
        Fate { link: Some(link), outcome, full, lookup: Some(lookup), ruling, page }
    }

    /// Writes the record; whether the request may be answered.
    async fn keep<B>(
        &self,
        request: &Request<B>,
        peer: Peer,
        code: &str,
        fate: &Fate,
        flow: Flow,
        began: Instant,
    ) -> bool {
        let (uri, headers) = (request.uri(), request.headers());
        let link = fate.link.as_deref();
        let ruling = fate.ruling.as_ref();
        let jump = Jump {
            client: peer.client,
            client_key: "",
            server: peer.server,
            method: if *request.method() == Method::HEAD { "HEAD" } else { "GET" },
            host: host(uri, headers),
            path: path(uri),
            code,
            revision: link.map_or(0, |l| l.revision),
            target: link.map_or("", |l| &l.target),
            target_host: link.map_or("", |l| &l.target_host),
            target_registrable_domain: link.map_or("", |l| &l.target_registrable_domain),
            target_addresses: fate.lookup.as_ref().map_or(&[], |l| &l.addresses),
            status: fate.page.map_or(StatusCode::FOUND, Page::status).as_u16(),
            outcome: fate.outcome,
            hop: 0,
            tier: ruling.map_or("", |r| r.tier),
            action: ruling.map_or("", |r| r.action),
            rule: ruling.map_or("", Ruling::rule),
            feed: ruling.map_or("", |r| &r.feed),
            feed_version: ruling.map_or("", |r| &r.feed_version),
            verification: "not_evaluated",
            referrer_host: referrer_host(headers),
            user_agent: user_agent(headers),
            latency_us: micros(since(&self.gateway.0.clock, began)),
            psl_version: link.map_or("", |l| &l.psl_version),
            flow,
            service: "link",
            reason: "",
            client_class: "",
            tier_version: "",
        };
        let caused = fate.lookup.iter().flat_map(|l| &l.caused);
        // An empty tail belongs to an answer that is not recorded.
        let caused = caused.filter(|c| !c.answered.tail.is_empty());
        let caused = caused.map(|c| (resolution(c, peer, flow), c.answered.full));
        self.recorder.keep(&jump, fate.full, caused).await
    }

    /// To be called a few times a second.
    pub fn tick(&self) {
        self.recorder.tick();
    }

    /// Ends the lanes.
    ///
    /// # Errors
    /// When an end mark cannot be written; the next start closes the lane then.
    pub fn close(self) -> Result<(), spool::Error> {
        self.recorder.close()
    }
}

/// A question that a jump caused: the visitor asked it, by way of HTTP.
fn resolution(caused: &Caused, peer: Peer, flow: Flow) -> Resolution<'_> {
    let answered = &caused.answered;
    Resolution {
        client: peer.client,
        client_key: "",
        server: peer.server,
        transport: "http",
        flags: answered.flags,
        latency_us: caused.latency_us,
        min_ttl: answered.min_ttl,
        cache: answered.cache,
        flow,
        tail: &answered.tail,
    }
}

/// The way to the target.
fn found(link: &Link) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, link.location.clone());
    common(headers);
    response
}

/// What every answer carries: nobody keeps it, nobody learns whence the visitor came, no search
/// engine lists it.
pub(super) fn common(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let robots = header::HeaderName::from_static("x-robots-tag");
    headers.insert(robots, HeaderValue::from_static("noindex, nofollow"));
}

fn since(clock: &Clock, began: Instant) -> Duration {
    clock.monotonic().saturating_duration_since(began)
}

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}
