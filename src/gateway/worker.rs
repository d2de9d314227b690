//! One request: what it asks for, and the order of what is done with it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;

use super::{
    Lanes, Language, Peer,
    ahead::{Places, hop},
    class::class,
    fate::{Answer, Fate},
    files::Files,
    limit::Limits,
    notice::{self, Agreed, Notices, OwnHosts, Service, Warned},
    page::Page,
    record::Recorder,
    request::code,
    respond,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, OnFull},
    links::{Link, Links},
    metrics::Metrics,
    policy::InForce,
    record::{Flow, PublicSuffixes},
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
    /// What visitors are told.
    pub notices: Notices,
    /// The public suffix list in use.
    pub suffixes: Arc<PublicSuffixes>,
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
    pub(super) own: OwnHosts,
    files: Files,
    limits: Limits,
}

/// One thread's part of the gateway.
pub struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) recorder: Recorder,
}

/// One request on its way.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) peer: Peer,
    /// The code asked for; empty where none is.
    pub(super) code: &'a str,
    /// The notice that the visitor goes on from.
    pub(super) agreed: Option<Agreed<'a>>,
    /// How many of our gateways it says it has passed.
    pub(super) hop: u8,
    pub(super) class: &'static str,
    pub(super) language: Language,
    pub(super) flow: Flow,
    pub(super) now: Timestamp,
    pub(super) began: Instant,
}

impl<'a> Asked<'a> {
    /// The same request, as one for a link.
    pub(super) fn of<'b>(&self, code: &'b str, agreed: Option<Agreed<'b>>) -> Asked<'b>
    where
        'a: 'b,
    {
        Asked { code, agreed, ..*self }
    }
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        let public = &parts.rules.gateway_addresses;
        Arc::new(Self {
            places: Places::new(&parts.config, &parts.listening, public),
            own: OwnHosts::new(&parts.config),
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
        let (uri, headers) = (request.uri(), request.headers());
        let asked = Asked {
            method: request.method(),
            uri,
            headers,
            peer,
            code: "",
            agreed: None,
            hop: hop(headers),
            class: class(request.method(), headers),
            language: Language::asked(uri, headers),
            flow: self.recorder.new_flow(),
            now: parts.clock.now(),
            began: parts.clock.monotonic(),
        };
        let metrics = &parts.metrics.gateway;
        if let Some(over) = self.gateway.limits.client(peer.client.ip(), asked.began) {
            metrics.limited.increment(1);
            return respond::limited(&over, &parts.notices, asked.language);
        }
        if let Some(wanted) = notice::wanted(uri) {
            return self.answer(&asked, wanted).await;
        }
        if let Some(response) = self.at_name(&asked).await {
            return response;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            metrics.malformed.increment(1);
            return Page::Method.response(&parts.notices, asked.language);
        }
        if let Some(file) = self.gateway.files.find(uri.path()) {
            return file;
        }
        let Some(code) = code(uri) else {
            metrics.malformed.increment(1);
            return Page::Unknown.response(&parts.notices, asked.language);
        };
        self.visit(&asked.of(code, None)).await
    }

    /// Answers a request for a link.
    pub(super) async fn visit(&self, asked: &Asked<'_>) -> Response<Full<Bytes>> {
        let notices = &self.gateway.parts.notices;
        let busy = || {
            self.gateway.parts.metrics.gateway.stopped.increment(1);
            Page::Busy.response(notices, asked.language)
        };
        let Some(link) = self.link(asked.code).await else { return busy() };
        let fate = self.fate(link, asked).await;
        let link = fate.link.as_deref();
        let (shown, response) = match (fate.answer, link) {
            (Answer::Warn(tiered), Some(link)) => {
                let issued = notices.issue(&Warned {
                    tiered,
                    hit: fate.ruling.as_ref().and_then(|r| r.hit.as_deref()),
                    service: Service::Link,
                    code: &link.code,
                    target: &link.target,
                    registrable_domain: &link.target_registrable_domain,
                    flow: asked.flow,
                    language: asked.language,
                    now: asked.now,
                });
                (Some(issued.token), issued.response)
            }
            (Answer::Go, Some(link)) => (None, respond::found(link, asked)),
            (Answer::Page(page), _) => (None, page.response(notices, asked.language)),
            (_, None) => (None, Page::Unknown.response(notices, asked.language)),
        };
        let decided = fate.decided(response.status());
        let shown = shown.as_ref().map(|t| decided.issued(notice::event(asked, t, link, "issued")));
        let continued = match (fate.answer, asked.agreed) {
            (Answer::Go, Some(a)) => Some(notice::event(asked, a.token, link, "continued")),
            _ => None,
        };
        if !self.keep(asked, &decided, shown.into_iter().chain(continued)).await {
            return busy();
        }
        self.count(&fate, asked.began);
        response
    }

    fn count(&self, fate: &Fate, began: Instant) {
        let metrics = &self.gateway.parts.metrics.gateway;
        match fate.outcome {
            "unknown" => metrics.unknown.increment(1),
            "disabled" | "expired" => metrics.gone.increment(1),
            "warned" => metrics.warned.increment(1),
            _ if fate.answer != Answer::Go => metrics.stopped.increment(1),
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
