//! The listeners: DNS, gateway, API; started last, stopped first.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Addresses, Error, acme, core::Core, policy, storage::Storage};
use crate::{
    api::{self, ApiParts, ApiState, Check, Hosts},
    gateway::{
        Gateway, GatewayParts, Lanes,
        acme::{Standing, in_files},
        notice::{self, Notices},
    },
    links::Links,
    listener::{
        Dns, Parts,
        http::{Certificates, GatewayThread, HttpError, HttpLimits, TlsListener, serve_api},
    },
    record::Table,
    store::engine,
    trace::{self, ShortUrls, Tracer},
    verify,
};

/// The first worker number of the gateway's lanes; UDP threads count from 0.
const GATEWAY_WORKER: u16 = 1_024;
/// What a thread may take to end beyond the grace.
const MARGIN: Duration = Duration::from_secs(5);

/// Everything that listens.
pub(super) struct Listeners {
    dns: Option<Dns>,
    gateway: Vec<thread::JoinHandle<()>>,
    gateway_running: usize,
    gateway_ended: mpsc::Receiver<Result<(), HttpError>>,
    api: Option<JoinHandle<Result<(), HttpError>>>,
    stop: CancellationToken,
    gateway_address: Option<std::net::SocketAddr>,
    gateway_tls_address: Option<std::net::SocketAddr>,
    api_address: Option<std::net::SocketAddr>,
}

impl Listeners {
    /// Starts all of them. Everything that answers is in force.
    pub(super) fn start(core: &mut Core, storage: &mut Storage) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let gateway_sockets = std::mem::take(&mut core.sockets.gateway);
        let tls_sockets = std::mem::take(&mut core.sockets.gateway_tls);
        let api_sockets = std::mem::take(&mut core.sockets.api);
        let dns_sockets = core.sockets.dns.take();
        let address = |l: &[std::net::TcpListener]| l.first().and_then(|l| l.local_addr().ok());
        let (gateway_address, api_address) = (address(&gateway_sockets), address(&api_sockets));
        let gateway_tls_address = address(&tls_sockets);
        let gateway_threads = gateway_sockets.len().max(tls_sockets.len());
        let (say_ended, gateway_ended) = mpsc::channel(gateway_threads.max(1));
        let mut all = Self {
            dns: None,
            gateway_running: gateway_threads,
            gateway: Vec::new(),
            gateway_ended,
            api: None,
            stop: stop.clone(),
            gateway_address,
            gateway_tls_address,
            api_address,
        };
        if let Some(bound) = dns_sockets {
            all.dns = Some(Dns::start(
                bound,
                Parts {
                    config: &core.config.dns,
                    spool: &core.spool,
                    shared: core.spool.shared(Table::Resolutions)?,
                    resolver: Arc::clone(&core.resolver),
                    clock: core.clock.clone(),
                    metrics: Arc::clone(&core.metrics),
                    runtime: Handle::current(),
                },
            )?);
        }
        watch_outbound_keys(core, &stop);
        all.gateway = start_gateway(core, gateway_sockets, tls_sockets, &stop, &say_ended)?;
        for socket in api_sockets {
            let router = api_router(core, storage, gateway_address)?;
            storage.learn_codes(core);
            all.api = Some(core.tasks.spawn(serve_api(
                socket,
                router,
                HttpLimits::api(&core.config.api),
                core.clock.clone(),
                stop.clone(),
                Duration::from_millis(core.config.drain_grace_ms),
            )));
        }
        Ok(all)
    }

    /// Where they listen.
    pub(super) fn addresses(&self, storage: &Storage) -> Addresses {
        Addresses {
            pid: std::process::id(),
            dns: self.dns.as_ref().map(|d| d.addresses().to_vec()).unwrap_or_default(),
            gateway: self.gateway_address,
            gateway_tls: self.gateway_tls_address,
            api: self.api_address,
            engine: storage.engine_address,
            transfers: None,
        }
    }

    /// Waits for one to end, which none should.
    pub(super) async fn ended(&mut self) -> Error {
        let dns = async {
            match &mut self.dns {
                None => std::future::pending().await,
                Some(dns) => dns.ended().await,
            }
        };
        let api = async {
            match &mut self.api {
                None => std::future::pending().await,
                Some(api) => api.await,
            }
        };
        tokio::select! {
            ended = dns => match ended.outcome {
                Ok(()) => Error::Ended(ended.name),
                Err(error) => error.into(),
            },
            Some(ended) = self.gateway_ended.recv() => {
                self.gateway_running = self.gateway_running.saturating_sub(1);
                ended.map_or_else(Error::from, |()| Error::Ended("a gateway thread".into()))
            }
            ended = api => {
                self.api = None;
                match ended {
                    Ok(Err(error)) => error.into(),
                    _ => Error::Ended("the API".into()),
                }
            }
        }
    }

    /// Stops accepting, answers what is in flight within `grace`, closes the lanes.
    pub(super) async fn stop(mut self, grace: Duration) -> Result<(), Error> {
        self.stop.cancel();
        let dns = async {
            match self.dns.take() {
                None => Ok(()),
                Some(dns) => dns.stop(grace).await.map_err(Error::from),
            }
        };
        let gateway = async {
            let mut outcome = Ok(());
            while self.gateway_running > 0 {
                let Some(ended) = self.gateway_ended.recv().await else { break };
                self.gateway_running -= 1;
                outcome = outcome.and(ended.map_err(Error::from));
            }
            outcome
        };
        let api = async {
            match self.api.take() {
                None => Ok(()),
                Some(api) => match api.await {
                    Ok(served) => served.map_err(Error::from),
                    Err(_) => Err(Error::Ended("the API".into())),
                },
            }
        };
        let all = async { tokio::join!(dns, gateway, api) };
        match timeout(grace + MARGIN, all).await {
            Ok((dns, gateway, api)) => {
                for thread in self.gateway.drain(..) {
                    // It has said that it ended.
                    thread.join().map_err(|_| Error::Ended("a gateway thread".into()))?;
                }
                dns.and(gateway).and(api)
            }
            Err(_) => Err(Error::Ended("the grace of the drain".into())),
        }
    }
}

fn start_gateway(
    core: &Core,
    sockets: Vec<std::net::TcpListener>,
    tls_sockets: Vec<std::net::TcpListener>,
    stop: &CancellationToken,
    say_ended: &mpsc::Sender<Result<(), HttpError>>,
) -> Result<Vec<thread::JoinHandle<()>>, Error> {
    let gateway = Gateway::new(GatewayParts {
        config: core.config.gateway.clone(),
        rules: core.config.policy.clone(),
        listening: sockets.iter().chain(&tls_sockets).filter_map(|s| s.local_addr().ok()).collect(),
        in_force: core.in_force.clone(),
        notices: notices(core)?,
        suffixes: Arc::clone(&core.suffixes),
        on_full: core.config.spool.on_full.clone(),
        links: Arc::clone(&core.links),
        resolver: Arc::clone(&core.resolver),
        verdicts: Arc::clone(core.verifier.verdicts()),
        acme: core.acme.clone(),
        reports: core.config.gateway.reports.enabled.then(|| Arc::clone(&core.reports)),
        clock: core.clock.clone(),
        metrics: Arc::clone(&core.metrics),
    });
    let limits = HttpLimits::gateway(&core.config.gateway);
    let tls = match tls_sockets.is_empty() {
        true => None,
        false => Some(certificates(core, stop)?.server_config().map_err(HttpError::from)?),
    };
    let mut threads = Vec::new();
    let count = sockets.len().max(tls_sockets.len());
    let (mut sockets, mut tls_sockets) = (sockets.into_iter(), tls_sockets.into_iter());
    for worker in (GATEWAY_WORKER..).take(count) {
        let listener = sockets.next();
        let tls = tls_sockets.next().zip(tls.clone());
        let tls = tls.map(|(listener, config)| TlsListener { listener, config });
        let lanes = Lanes {
            jumps: core.spool.lane(Table::Jumps, worker)?,
            resolutions: core.spool.lane(Table::Resolutions, worker)?,
            notices: core.spool.lane(Table::Notices, worker)?,
        };
        let thread = GatewayThread {
            listener,
            tls,
            gateway: Arc::clone(&gateway),
            lanes,
            limits: limits.clone(),
            clock: core.clock.clone(),
            metrics: Arc::clone(&core.metrics),
            stop: stop.clone(),
            grace: Duration::from_millis(core.config.drain_grace_ms),
        };
        let say_ended = say_ended.clone();
        let started = thread::Builder::new()
            .name(format!("http-{}", worker - GATEWAY_WORKER))
            .spawn(move || Watch { ended: None, say: say_ended }.run(thread))
            .map_err(Error::io("a gateway thread"))?;
        threads.push(started);
    }
    Ok(threads)
}

/// What visitors are told. To exchange the key that signs pages: rename `notices.key` to
/// `notices.key.previous` and start again.
fn notices(core: &Core) -> Result<Notices, Error> {
    let keys = notice::Keys {
        current: core.secrets.load_or_make("notices.key")?,
        previous: core.secrets.load_if_there("notices.key.previous")?,
        step_up: core.secrets.load_or_make("step_up.key")?,
    };
    Ok(Notices::open(&core.config.gateway, &core.config.policy.blocked_by, keys)?)
}

/// Looks at the keys of outbound targets until `stop`.
fn watch_outbound_keys(core: &Core, stop: &CancellationToken) {
    let poll = Duration::from_millis(core.config.gateway.outbound.keys_poll_ms);
    let (keys, stop) = (Arc::clone(core.links.outbound()), stop.clone());
    core.tasks.spawn(async move {
        while timeout(poll, stop.cancelled()).await.is_err() {
            let looked = Arc::clone(&keys);
            match tokio::task::spawn_blocking(move || looked.refresh()).await {
                Ok(Ok(true)) => tracing::info!("changed keys of outbound targets are in force"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "changed keys cannot be used; those before stay");
                }
                Err(error) => tracing::error!(%error, "keys were not looked at"),
            }
        }
    });
}

/// The certificates, looked at again until `stop`.
fn certificates(core: &Core, stop: &CancellationToken) -> Result<Arc<Certificates>, Error> {
    let config = &core.config.gateway;
    let obtained = core.acme.is_some().then(|| acme::dir(&core.config));
    let certificates =
        Certificates::load(&config.certificates, obtained).map_err(HttpError::from)?;
    let poll = Duration::from_millis(config.certificates_poll_ms);
    let (kept, stop) = (Arc::clone(&certificates), stop.clone());
    core.tasks.spawn(async move {
        while timeout(poll, stop.cancelled()).await.is_err() {
            let looked = Arc::clone(&kept);
            match tokio::task::spawn_blocking(move || looked.refresh()).await {
                Ok(Ok(true)) => tracing::info!("changed certificates are in force"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "changed certificates cannot be used; those before stay");
                }
                Err(error) => tracing::error!(%error, "certificates were not looked at"),
            }
        }
    });
    Ok(certificates)
}

/// Says that a gateway thread ended when it is dropped, by a panic too.
struct Watch {
    ended: Option<Result<(), HttpError>>,
    say: mpsc::Sender<Result<(), HttpError>>,
}

impl Watch {
    fn run(mut self, thread: GatewayThread) {
        self.ended = Some(thread.run());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let panicked = || Err(HttpError::Io(io::Error::other("a gateway thread panicked")));
        // There is room for every thread; nobody listening means that the server is gone.
        if self.say.try_send(self.ended.take().unwrap_or_else(panicked)).is_err() {
            tracing::debug!("a gateway thread ended after its owner");
        }
    }
}

fn api_router(
    core: &Core,
    storage: &Storage,
    gateway: Option<std::net::SocketAddr>,
) -> Result<axum::Router, Error> {
    let resolver = Arc::clone(&core.resolver);
    let public_url = match (&core.config.gateway.public_url, gateway) {
        (url, Some(address)) if url.is_empty() => format!("http://{address}"),
        (url, _) => url.clone(),
    };
    let known = {
        let links = Arc::clone(&core.links);
        Box::new(move |code: &str| {
            links.cached(code).is_some() || matches!(links.read(code), Ok(Some(_)))
        })
    };
    let tracer = Tracer::new(trace::Parts {
        client: storage.store.client().clone(),
        external: storage.engine.is_none(),
        spool: core.spool.clone(),
        node: core.node.clone(),
        clock: core.clock.clone(),
        limits: core.config.trace.clone(),
        short_urls: ShortUrls::new([public_url.as_str()]),
        known,
        suffixes: Arc::clone(&core.suffixes),
        metrics: Arc::clone(&core.metrics),
    })?;
    core.verifier.remembers(records(&tracer));
    let state = ApiState::new(ApiParts {
        config: core.config.api.clone(),
        hosts: Hosts::new(&core.config.api),
        links: Arc::clone(&core.links),
        short_url_base: public_url,
        feeds: Arc::clone(&core.feeds),
        reports: Arc::clone(&core.reports),
        verifier: Arc::clone(&core.verifier),
        tasks: core.tasks.clone(),
        tokens: Arc::clone(&core.tokens),
        webhooks: core.config.webhooks.clone(),
        signer: Arc::clone(&core.signer),
        metrics: Arc::clone(&core.metrics),
        clock: core.clock.clone(),
        certificates: certificates_standing(core),
        checks: checks(core, storage),
        reload_zones: Box::new(move || resolver.reload_zones()),
    });
    Ok(api::router(state, api::trace_routes(tracer)))
}

/// What verification reads of the records.
fn records(tracer: &Tracer) -> verify::here::Records {
    let walked = tracer.clone();
    let redirects: verify::here::Redirects = Box::new(move |domain, from| {
        let tracer = walked.clone();
        Box::pin(async move { tracer.redirected(&domain, from).await.map_err(drop) })
    });
    let tracer = tracer.clone();
    let history: verify::here::History = Box::new(move |name, from| {
        let tracer = tracer.clone();
        Box::pin(async move {
            let found = tracer.answered(&name, from).await.map_err(drop)?;
            let seen = |a: trace::Answered| verify::here::SeenBefore {
                address: a.address,
                first: a.first,
                last: a.last,
                count: a.count,
            };
            Ok(found.into_iter().map(seen).collect())
        })
    });
    verify::here::Records { history, redirects }
}

/// How the gateway's certificates stand.
fn certificates_standing(core: &Core) -> Box<dyn Fn() -> Vec<Standing> + Send + Sync> {
    let (files, acme) = (core.config.gateway.certificates.clone(), core.acme.clone());
    Box::new(move || {
        let mut all = in_files(&files);
        all.extend(acme.iter().flat_map(|acme| acme.standing()));
        all
    })
}

/// Jumps go on from what the database has; nothing in it can be changed.
fn control(links: &Links) -> Option<String> {
    let why = "takes no writes until a restart: nobody knows what became of one";
    if !links.store().takes_writes() {
        return Some(why.to_owned());
    }
    let silent = links.store().freshness()?.silent()?;
    Some(format!("changes made on other nodes are not heard for {} s", silent.as_secs()))
}

fn checks(core: &Core, storage: &Storage) -> Vec<Check> {
    let spool = core.spool.clone();
    let mut checks = vec![Check {
        name: "spool",
        needed: true,
        look: Box::new(move || {
            let failure = spool.health().into_iter().next()?;
            Some(format!("a lane takes no more rows until a restart: {}", failure.error))
        }),
    }];
    let links = Arc::clone(&core.links);
    checks.push(Check { name: "control", needed: false, look: Box::new(move || control(&links)) });
    let look = Box::new(policy::check(&core.feeds));
    checks.push(Check { name: "feeds", needed: false, look });
    if let Some(acme) = core.acme.clone() {
        let look = Box::new(move || acme.trouble());
        checks.push(Check { name: "certificates", needed: false, look });
    }
    if let Some(engine) = &storage.engine {
        let state = engine.state();
        checks.push(Check {
            name: "engine",
            needed: false,
            look: Box::new(move || match &*state.borrow() {
                engine::State::Ready(_) => None,
                engine::State::Starting(why) => Some(format!("starting: {why}")),
                engine::State::Down(why) => Some(format!("down: {why}")),
            }),
        });
    }
    let health = Arc::clone(&storage.health);
    checks.push(Check { name: "store", needed: false, look: Box::new(move || health.why_not()) });
    let unknown = Arc::clone(&storage.unknown_codes);
    checks.push(Check {
        name: "codes",
        needed: false,
        look: Box::new(move || unknown.get().cloned()),
    });
    checks
}
