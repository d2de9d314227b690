//! One request: what it asks for, and the order of what is done with it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;
use tokio::sync::Semaphore;

use super::{
    Lanes, Language, Peer,
    acme::Acme,
    ahead::{Places, hop},
    class::class,
    fate::{Answer, Fate},
    files::Files,
    forward::READERS_MAX,
    known::Secure,
    limit::Limits,
    notice::{self, Agreed, Leads, Notices, OwnHosts, Service, Warned},
    outbound::{self, Unproven},
    page::Page,
    record::Recorder,
    report,
    request::{code_and_rest, names_its_host},
    respond,
    terms::{self, CHECKS_MAX, password},
    told::{self, Fact},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, OnFull},
    links::{self, Link, LinkSettings, Links, onward::Beyond},
    metrics::Metrics,
    policy::InForce,
    record::{Flow, PublicSuffixes},
    reports::Reports,
    resolver::{Lookup, Resolver},
    spool,
    verify::Verdicts,
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
    /// Takes reports of the public; none where they may not.
    pub reports: Option<Arc<Reports>>,
    /// The last verdicts on hosts of targets.
    pub verdicts: Arc<Verdicts>,
    /// Answers challenges; none where no certificates are obtained.
    pub acme: Option<Arc<Acme>>,
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
    /// Passwords that may be checked now.
    pub(super) checks: Arc<Semaphore>,
    /// Forwards that may be asked for now.
    pub(super) readers: Arc<Semaphore>,
    files: Files,
    pub(super) limits: Limits,
    /// The last link that was wanted could not be read.
    unread: AtomicBool,
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
    /// What kind of thing is asked for.
    pub(super) service: Service,
    /// Why its target is shown before anybody goes there.
    pub(super) unproven: Option<Unproven>,
    /// The notice that the visitor goes on from.
    pub(super) agreed: Option<Agreed<'a>>,
    /// What is asked beyond the code.
    pub(super) beyond: Beyond<'a>,
    /// The password it brings.
    pub(super) password: Option<&'a str>,
    /// Which password was given before the notice that is answered; see [`notice::Token`].
    pub(super) passed: &'a str,
    /// How many of our gateways it says it has passed.
    pub(super) hop: u8,
    pub(super) class: &'static str,
    /// Whether it came over TLS of our own.
    pub(super) secure: bool,
    pub(super) language: Language,
    /// Whether a page that goes on by itself stays: the visitor asked to read it.
    pub(super) stays: bool,
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
        Asked { code, service: Service::of_code(code), agreed, ..*self }
    }
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        let public = &parts.rules.gateway_addresses;
        Arc::new(Self {
            places: Places::new(&parts.config, &parts.listening, public),
            own: OwnHosts::new(&parts.config),
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            files: Files::new(&parts.config),
            limits: Limits::new(&parts.config, parts.clock.monotonic()),
            unread: AtomicBool::new(false),
            parts,
        })
    }
}

impl Gateway {
    /// What was read; none when it cannot be, which is said when it begins and ends, and not for
    /// each visitor.
    pub(super) fn told<T>(
        &self,
        read: Result<Result<T, links::Error>, tokio::task::JoinError>,
    ) -> Option<T> {
        let error = match read {
            Ok(Ok(found)) => {
                if self.unread.load(Ordering::Relaxed) && self.unread.swap(false, Ordering::Relaxed)
                {
                    tracing::info!("links can be read again");
                }
                return Some(found);
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !self.unread.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "links cannot be read");
        }
        None
    }
}

impl Worker {
    /// A worker with lanes of its own.
    pub fn new(gateway: Arc<Gateway>, lanes: Lanes) -> Self {
        Self { gateway, recorder: Recorder::new(lanes) }
    }

    /// Answers one request. Dropping the future is safe at any time: what it pushed is written,
    /// and no response leaves.
    /// The body is looked at where it may be the form of a password.
    pub async fn serve<B: AsRef<[u8]>>(
        &self,
        request: &Request<B>,
        peer: Peer,
    ) -> Response<Full<Bytes>> {
        let response = self.respond(request, peer).await;
        told::as_asked(request.headers(), response, &self.gateway.parts.notices)
    }

    async fn respond<B: AsRef<[u8]>>(
        &self,
        request: &Request<B>,
        peer: Peer,
    ) -> Response<Full<Bytes>> {
        let parts = &self.gateway.parts;
        let (uri, headers) = (request.uri(), request.headers());
        let posts = *request.method() == Method::POST;
        let password = if posts { password(request.body().as_ref()) } else { None };
        let asked = Asked {
            method: request.method(),
            uri,
            headers,
            peer,
            code: "",
            service: Service::Link,
            unproven: None,
            agreed: None,
            beyond: Beyond::default(),
            password: password.as_deref(),
            passed: "",
            hop: hop(headers),
            class: class(request.method(), headers),
            secure: request.extensions().get::<Secure>().is_some(),
            language: Language::asked(uri, headers),
            stays: false,
            flow: self.recorder.new_flow(),
            now: parts.clock.now(),
            began: parts.clock.monotonic(),
        };
        let metrics = &parts.metrics.gateway;
        if let Some(over) = self.gateway.limits.client(peer.client.ip(), asked.began) {
            metrics.limited.increment(1);
            return respond::limited(&over, &parts.notices, asked.language);
        }
        if !names_its_host(request.version(), headers) {
            metrics.malformed.increment(1);
            return respond::malformed();
        }
        // Before forwards: it is asked at the very hosts that are forwarded.
        let challenge = || parts.acme.as_ref()?.answer(uri.path());
        if *request.method() == Method::GET
            && let Some(answer) = challenge()
        {
            return answer;
        }
        if let Some(wanted) = notice::wanted(uri) {
            // Boxed, like all that is rare: it would make every request's future larger, which is
            // moved a few times before it is polled.
            return Box::pin(self.answer(&asked, wanted)).await;
        }
        if let Some(wanted) = report::wanted(uri.path())
            && !Box::pin(self.is_forwarded(&asked)).await
        {
            return Box::pin(self.report(&asked, wanted, request.body().as_ref())).await;
        }
        if let Some(response) = self.at_stranger(&asked).await {
            return response;
        }
        let page = match *request.method() {
            Method::GET | Method::HEAD => Page::Unknown,
            Method::POST => Page::Method,
            _ => {
                metrics.malformed.increment(1);
                return Page::Method.response(&parts.notices, asked.language);
            }
        };
        if !posts && let Some(file) = self.gateway.files.find(uri.path()) {
            return file;
        }
        if !posts && uri.path() == outbound::PATH {
            let beyond = Beyond { path: "", query: uri.query().unwrap_or("") };
            return Box::pin(self.go(&Asked { beyond, ..asked })).await;
        }
        let wanted = match code_and_rest(uri.path()) {
            Some((code, None)) if !posts => Some((code, "")),
            Some((code, rest)) if Box::pin(self.takes(code, rest.is_some(), posts)).await => {
                Some((code, rest.unwrap_or("")))
            }
            _ => None,
        };
        let Some((code, path)) = wanted else {
            metrics.malformed.increment(1);
            return page.response(&parts.notices, asked.language);
        };
        if posts && let Some(over) = self.attempt(&asked, code) {
            return over;
        }
        let beyond = Beyond { path, query: uri.query().unwrap_or("") };
        self.visit(&Asked { beyond, ..asked.of(code, None) }).await
    }

    /// Counts an attempt at the password of `code`; the answer to one too many.
    pub(super) fn attempt(&self, asked: &Asked<'_>, code: &str) -> Option<Response<Full<Bytes>>> {
        let over = self.gateway.limits.password(asked.peer.client.ip(), code, asked.began)?;
        let parts = &self.gateway.parts;
        parts.metrics.gateway.limited.increment(1);
        Some(respond::limited(&over, &parts.notices, asked.language))
    }

    /// Whether the link of `code` takes more path behind it, or a form.
    async fn takes(&self, code: &str, more: bool, posts: bool) -> bool {
        let Some(Some(link)) = self.link(code).await else { return false };
        let takes =
            |s: &LinkSettings| (!more || s.forward_path) && (!posts || !s.password.is_empty());
        link.settings().is_some_and(takes)
    }

    /// Answers a request for a link.
    pub(super) async fn visit(&self, asked: &Asked<'_>) -> Response<Full<Bytes>> {
        let links = &self.gateway.parts.links;
        let mut again = true;
        loop {
            let changes = links.changes();
            let Some(link) = self.link(asked.code).await else { return self.busy(asked) };
            let fate = self.fate(link, asked).await;
            // Deciding may take a while (a password, names to look up): whoever stops a link
            // meanwhile is obeyed.
            let newest = fate.link.as_deref().is_none_or(|link| links.is_newest(link, changes));
            if fate.answer != Answer::Go || newest || !again {
                return self.answer_with(asked, fate).await;
            }
            again = false;
        }
    }

    pub(super) fn busy(&self, asked: &Asked<'_>) -> Response<Full<Bytes>> {
        self.gateway.parts.metrics.gateway.stopped.increment(1);
        Page::Busy.response(&self.gateway.parts.notices, asked.language)
    }

    /// The answer to a request whose fate is decided, recorded first.
    pub(super) async fn answer_with(&self, asked: &Asked<'_>, fate: Fate) -> Response<Full<Bytes>> {
        let notices = &self.gateway.parts.notices;
        let link = fate.link.as_deref();
        let outbound = match asked.service {
            Service::Outbound => asked.beyond.rest(),
            _ => String::new(),
        };
        let (shown, mut response) = match (fate.answer, link) {
            (Answer::Warn(tiered), Some(link)) => {
                let issued = notices.issue(&Warned {
                    tiered,
                    hit: fate.ruling.as_ref().and_then(|r| r.hit.as_deref()),
                    listed: fate.ruling.as_ref().and_then(|r| r.place.as_deref()),
                    service: asked.service,
                    code: &link.code,
                    target: fate.target(),
                    registrable_domain: &link.target_registrable_domain,
                    rest: fate.onward.as_ref().map_or(&*outbound, |o| &o.rest),
                    passed: &terms::passed(link),
                    flow: asked.flow,
                    language: asked.language,
                    client: asked.peer.client.ip(),
                    stays: asked.stays,
                    now: asked.now,
                });
                (Some(issued.token), issued.response)
            }
            (Answer::Go, Some(link)) => (None, respond::found(link, fate.onward.as_ref(), asked)),
            (Answer::Page(Page::Password), _) => {
                // What comes with a notice or beyond the code is lost at another address.
                let switches = asked.passed.is_empty()
                    && asked.agreed.is_none()
                    && asked.beyond.rest().is_empty();
                let wrong = asked.password.is_some();
                (None, notices.password(asked.language, wrong, switches))
            }
            (Answer::Page(page), link) => {
                let gone = matches!(page, Page::Disabled | Page::Expired);
                let mut facts = link.filter(|_| gone).map(told::of_gone).unwrap_or_default();
                facts.extend(Some(fate.reason).filter(|r| !r.is_empty()).map(Fact::Reason));
                // Another address would ask for something else than what this query asks for.
                let switches = asked.service != Service::Outbound;
                (None, page.with(notices, asked.language, switches, facts))
            }
            (_, None) => (None, Page::Unknown.response(notices, asked.language)),
        };
        if fate.answer == Answer::Go {
            self.remember(&mut response, asked);
        }
        let pushed = {
            let decided = fate.decided(asked.service, response.status());
            let leads = link.map(|l| Leads::along(l, fate.target()));
            let shown = shown.as_ref().map(|t| notice::event(asked, t, leads, "issued"));
            let shown = shown.map(|event| decided.issued(event));
            let continued = match (fate.answer, asked.agreed) {
                (Answer::Go, Some(a)) => Some(notice::continued(asked, &a, leads)),
                _ => None,
            };
            self.push(asked, &decided, shown.into_iter().chain(continued))
        };
        if !self.recorder.committed(pushed).await {
            return self.busy(asked);
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
        self.gateway.told(tokio::task::spawn_blocking(move || links.read(&code)).await)
    }

    /// The addresses of `host`, as far as they are found in time.
    pub(super) async fn look_up(&self, host: &str) -> Lookup {
        let parts = &self.gateway.parts;
        let wait = Duration::from_millis(parts.config.resolve_timeout_ms);
        // Boxed for its size: two questions and their answers.
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
