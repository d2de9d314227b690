//! One request: what it asks for, and the order of what is done with it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;

use super::{
    Lanes, Language, Peer,
    ahead::{Places, hop},
    class::class,
    fate::Fate,
    files::Files,
    limit::Limits,
    page::Page,
    record::Recorder,
    request::code,
    respond,
};
use crate::{
    clock::Clock,
    config::{self, OnFull},
    links::{Link, Links},
    metrics::Metrics,
    policy::InForce,
    record::Flow,
    resolver::{Lookup, Resolver},
    spool,
};

/// What a gateway is made of.
pub struct GatewayParts {
    /// The section `[gateway]`.
    pub config: config::Gateway,
    /// The section `[policy]`.
    pub rules: config::Policy,
    /// Where the gateway listens.
    pub listening: Vec<SocketAddr>,
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
pub struct Gateway {
    pub(super) parts: GatewayParts,
    pub(super) places: Places,
    files: Files,
    limits: Limits,
}

/// One thread's part of the gateway.
pub struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) recorder: Recorder,
}

/// A request for a link.
pub(super) struct Asked<'a, B> {
    pub(super) request: &'a Request<B>,
    pub(super) peer: Peer,
    pub(super) code: &'a str,
    /// How many of our gateways it says it has passed.
    pub(super) hop: u8,
    pub(super) class: &'static str,
    pub(super) language: Language,
    pub(super) flow: Flow,
    pub(super) began: Instant,
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        let public = &parts.rules.gateway_addresses;
        Arc::new(Self {
            places: Places::new(&parts.config, &parts.listening, public),
            files: Files::new(&parts.config),
            limits: Limits::new(&parts.config.limits, parts.clock.monotonic()),
            parts,
        })
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
        let parts = &self.gateway.parts;
        let began = parts.clock.monotonic();
        let language = Language::of(request.headers());
        let metrics = &parts.metrics.gateway;
        if let Some(over) = self.gateway.limits.client(peer.client.ip(), began) {
            metrics.limited.increment(1);
            return respond::limited(&over, language);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            metrics.malformed.increment(1);
            return Page::Method.response(language);
        }
        if let Some(file) = self.gateway.files.find(request.uri().path()) {
            return file;
        }
        let Some(code) = code(request.uri()) else {
            metrics.malformed.increment(1);
            return Page::Unknown.response(language);
        };
        let Some(link) = self.link(code).await else {
            metrics.stopped.increment(1);
            return Page::Busy.response(language);
        };
        let headers = request.headers();
        let asked = Asked {
            request,
            peer,
            code,
            hop: hop(headers),
            class: class(request.method(), headers),
            language,
            flow: self.recorder.new_flow(),
            began,
        };
        let fate = self.fate(link, asked.hop).await;
        if !self.keep(&asked, &fate).await {
            metrics.stopped.increment(1);
            return Page::Busy.response(language);
        }
        self.count(&fate, began);
        respond::to(&parts.rules, &asked, &fate)
    }

    fn count(&self, fate: &Fate, began: Instant) {
        let metrics = &self.gateway.parts.metrics.gateway;
        match fate.outcome {
            "unknown" => metrics.unknown.increment(1),
            "disabled" | "expired" => metrics.gone.increment(1),
            _ if fate.page.is_some() => metrics.stopped.increment(1),
            _ => metrics.jumps.increment(1),
        }
        metrics.jump_seconds.record(self.since(began).as_secs_f64());
    }

    /// The link of `code`; the outer none when the database fails.
    pub(super) async fn link(&self, code: &str) -> Option<Option<Arc<Link>>> {
        let links = &self.gateway.parts.links;
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

    /// The addresses of `host`, as far as they are found in time.
    pub(super) async fn look_up(&self, host: &str) -> Lookup {
        let parts = &self.gateway.parts;
        let wait = Duration::from_millis(parts.config.resolve_timeout_ms);
        // Boxed: two questions and their answers would make every request's future, which is moved
        // a few times before it is polled, kilobytes larger.
        Box::pin(parts.resolver.addresses(host, wait)).await
    }

    pub(super) fn since(&self, began: Instant) -> Duration {
        self.gateway.parts.clock.monotonic().saturating_duration_since(began)
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
