//! What needs no sockets of its own: spool, control state, resolver.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Error, acme, alive::Alive, clock_check, policy, reports, transfers::Transfers};
use crate::{
    clock::Clock,
    config::{Config, OnDown},
    feeds::Feeds,
    gateway::{self, acme::Acme},
    links::{
        self, Codes, Follower, Freshness, LinkStore, Links, LinksOptions, OutboundKeys,
        PostgresLinks, Secrets, SqliteLinks, TargetRules, Tokens,
    },
    listener,
    metrics::Metrics,
    policy::InForce,
    record::{NodeName, PublicSuffixes, Table},
    reports::Reports,
    resolver::{self, Resolver},
    spool::{self, Spool},
    sql::postgres::Settings,
    verify::{Verdicts, Verifier},
    webhooks::Signer,
};

/// The stages below the listeners.
pub(super) struct Core {
    /// Hears what other nodes change, where there are some; not started yet.
    pub(super) follower: Option<Follower>,
    pub(super) config: Config,
    pub(super) node: NodeName,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) alive: Arc<Alive>,
    /// Tasks that no other part owns.
    pub(super) tasks: TaskTracker,
    pub(super) secrets: Secrets,
    pub(super) spool: Spool,
    pub(super) suffixes: Arc<PublicSuffixes>,
    pub(super) links: Arc<Links>,
    pub(super) reports: Arc<Reports>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) tokens: Arc<Tokens>,
    /// Makes the secrets of webhooks.
    pub(super) signer: Arc<Signer>,
    /// The rules in force: whoever changes them swaps the set here.
    pub(super) in_force: InForce,
    /// Whoever changes them.
    pub(super) feeds: Arc<Feeds>,
    /// Ends the work of feeds.
    pub(super) feeds_stop: CancellationToken,
    pub(super) resolver: Arc<Resolver>,
    /// Obtains certificates, where it shall; not started yet.
    pub(super) acme: Option<Arc<Acme>>,
    /// Bound before anything else, so that a port in use is known at once.
    pub(super) sockets: Sockets,
    /// Zones in and out, not served yet.
    pub(super) transfers: Option<Transfers>,
}

/// The sockets, bound and not served yet.
pub(super) struct Sockets {
    pub(super) dns: Option<listener::Bound>,
    pub(super) gateway: Vec<std::net::TcpListener>,
    /// Those of the gateway on which TLS is spoken.
    pub(super) gateway_tls: Vec<std::net::TcpListener>,
    pub(super) api: Vec<std::net::TcpListener>,
}

impl Core {
    /// Builds everything; inside the shared runtime.
    pub(super) fn build(
        mut config: Config,
        clock: Clock,
        metrics: Arc<Metrics>,
        alive: Arc<Alive>,
    ) -> Result<Self, Error> {
        let node = node_name(&config)?;
        let sockets = Sockets::bind(&config)?;
        let dir = &config.data_dir;
        policy::make_private(dir).map_err(Error::io("the data directory"))?;
        let of_spool = spool_options(&config, &node, &clock);
        let told = Arc::clone(&alive);
        let progress = spool::Progress::new(move || told.step());
        let (spool, mut recovery) = Spool::open_with(of_spool, progress)?;
        let [back, ahead] =
            [config.clock_back_max_s, config.clock_ahead_max_s].map(Duration::from_secs);
        clock_check::check(clock.now(), recovery.newest_ts(), back, ahead)?;
        let secrets = Secrets::open(dir)?;
        let (control, shared) = open_control(&config, &node, &clock)?;
        let kept = links::restore(&*control, &mut recovery)?;
        let settings = shared.is_some().then(|| control_settings(&config, &node));
        let of_reports = reports::Opened::new(&config, &node, &clock, settings, &mut recovery)?;
        let of_feeds = policy::Opened::new(&config, &node, &mut recovery)?;
        let report = recovery.finish()?;
        alive.recovered();
        if report.deferred == 0 {
            control.forget(&kept)?;
            of_reports.forget()?;
            of_feeds.forget(&node)?;
        }
        let spool::Report { frames, restored, missing, damaged, .. } = report;
        tracing::info!(frames, restored, missing, damaged, "the spool is open");

        if let Some(bound) = &sockets.dns {
            // Loops to ourselves are found by the addresses really bound.
            config.dns.listen = bound.addresses();
        }
        let suffixes = Arc::new(PublicSuffixes::load(config.dns.public_suffix_file.as_deref())?);
        let tasks = TaskTracker::new();
        let (in_force, feeds_stop) = (InForce::new(), CancellationToken::new());
        let book = super::verify::book_of(&config)?;
        let parts = policy::Parts {
            book: &book,
            config: &config,
            spool: &spool,
            node: &node,
            clock: &clock,
            metrics: &metrics,
            in_force: &in_force,
            suffixes: &suffixes,
            sockets: &sockets,
            tasks: &tasks,
            stop: &feeds_stop,
        };
        let (feeds, transfers) = of_feeds.start(&parts)?;
        let resolver = resolver_of(&config, &node, &in_force, &suffixes, &metrics, &clock, &tasks)?;
        let tokens = Arc::new(Tokens::open(
            Arc::clone(&control),
            &secrets,
            clock.clone(),
            config.api.tokens_max,
        )?);
        let signer = Arc::new(Signer::new(secrets.load_or_make("codes.key")?));
        let verdicts = super::verify::verdicts_of(&config);
        let links = links_of(control, &parts, &secrets, &resolver, &verdicts)?;
        let acme = acme::open(&config, &links, &clock, &metrics)?;
        let desk = of_reports.start(&parts, &secrets, &feeds)?;
        let here = super::here::here(&resolver, &in_force, config.dns.upstream.mode);
        let verifier = super::verify::verifier_of(&parts, &secrets, &verdicts, here)?;
        super::verify::watch(&config, &resolver, &suffixes, &verdicts, &clock);
        let follower = shared.map(|store| follower_of(store, &links, &tokens, &feeds_stop));
        Ok(Self {
            follower,
            config,
            node,
            clock,
            metrics,
            alive,
            tasks,
            secrets,
            spool,
            suffixes,
            links,
            reports: desk,
            verifier,
            tokens,
            signer,
            in_force,
            feeds,
            feeds_stop,
            resolver,
            acme,
            sockets,
            transfers: Some(transfers),
        })
    }

    /// Loads the zones anew without holding up the signals.
    pub(super) fn reload_in_background(&self) {
        let resolver = Arc::clone(&self.resolver);
        // The resolver logs what became of them.
        self.tasks.spawn_blocking(move || resolver.reload_zones());
    }

    /// Seals what is open. After every listener and the shipper have ended.
    pub(super) async fn close_spool(&self) -> Result<(), Error> {
        let spool = self.spool.clone();
        let closed = self.tasks.spawn_blocking(move || spool.close()).await;
        match closed {
            Ok(closed) => Ok(closed?),
            Err(_) => Err(Error::Ended("the closing of the spool".into())),
        }
    }
}

/// The keys that outbound targets are signed with.
fn outbound_keys(config: &Config, secrets: &Secrets) -> Result<OutboundKeys, Error> {
    Ok(match &config.gateway.outbound.keys_file {
        Some(file) => OutboundKeys::open(file)?,
        None => OutboundKeys::open_or_make(&secrets.path("outbound.keys"))?,
    })
}

fn spool_options(config: &Config, node: &NodeName, clock: &Clock) -> spool::Options {
    spool::Options {
        dir: config.data_dir.join("spool"),
        node: node.clone(),
        config: config.spool.clone(),
        clock: clock.clone(),
    }
}

/// Hears what other nodes change of links and tokens.
fn follower_of(
    store: Arc<PostgresLinks>,
    links: &Arc<Links>,
    tokens: &Arc<Tokens>,
    stop: &CancellationToken,
) -> Follower {
    let (links, tokens) = (Arc::clone(links), Arc::clone(tokens));
    Follower { store, links, tokens, stop: stop.clone() }
}

/// The database of links and tokens, and the same again when other nodes use it too.
type Control = (Arc<dyn LinkStore>, Option<Arc<PostgresLinks>>);

fn open_control(config: &Config, node: &NodeName, clock: &Clock) -> Result<Control, Error> {
    let c = &config.control;
    if c.url.is_empty() {
        let file = config.data_dir.join(links::CONTROL);
        let store = SqliteLinks::open(&file, config.gateway.link_readers_max)?;
        return Ok((Arc::new(store), None));
    }
    let settings = control_settings(config, node);
    let stale_max = Duration::from_millis(c.stale_max_ms);
    let fresh = Freshness::new(clock.clone(), stale_max, c.on_down == OnDown::Serve);
    let store = Arc::new(PostgresLinks::open(settings, node, Arc::new(fresh), clock.clone())?);
    Ok((Arc::<PostgresLinks>::clone(&store), Some(store)))
}

/// The links over their database.
fn links_of(
    store: Arc<dyn LinkStore>,
    parts: &policy::Parts<'_>,
    secrets: &Secrets,
    resolver: &Arc<Resolver>,
    verdicts: &Arc<Verdicts>,
) -> Result<Arc<Links>, Error> {
    let gateway = &parts.config.gateway;
    let links = Links::new(LinksOptions {
        store,
        lane: parts.spool.shared(Table::Conversions)?,
        codes: Codes::new(&secrets.load_or_make("codes.key")?, gateway.code_length),
        rules: TargetRules::new(gateway, &parts.sockets.addresses()),
        is_listed: is_listed(parts.in_force, parts.clock),
        serves: serves(resolver),
        suffixes: Arc::clone(parts.suffixes),
        clock: parts.clock.clone(),
        metrics: Arc::clone(parts.metrics),
        gateway: gateway.clone(),
        batch_bytes_max: parts.config.spool.batch_bytes_max as usize,
    });
    let keys = outbound_keys(parts.config, secrets)?;
    let standings = super::verify::standing(verdicts, parts.clock, parts.config);
    let links = links?.with_outbound(Arc::new(keys)).with_standings(standings);
    Ok(Arc::new(links.with_owner_links_max(parts.config.api.limits.owner_links_max)))
}

/// How PostgreSQL is reached.
fn control_settings(config: &Config, node: &NodeName) -> Settings {
    let c = &config.control;
    Settings {
        url: c.url.clone(),
        password_file: c.password_file.clone(),
        ca_file: c.ca_file.clone(),
        connections_max: c.connections_max,
        connect_timeout: Duration::from_millis(c.connect_timeout_ms),
        statement_timeout: Duration::from_millis(c.statement_timeout_ms),
        name: format!("tracegate {node}"),
    }
}

fn resolver_of(
    config: &Config,
    node: &NodeName,
    in_force: &InForce,
    suffixes: &Arc<PublicSuffixes>,
    metrics: &Arc<Metrics>,
    clock: &Clock,
    tasks: &TaskTracker,
) -> Result<Arc<Resolver>, Error> {
    let (resolver, _) = Resolver::new(resolver::Options {
        dns: config.dns.clone(),
        rules: config.policy.clone(),
        in_force: in_force.clone(),
        node: node.clone(),
        on_full: config.spool.on_full.clone(),
        suffixes: Arc::clone(suffixes),
        metrics: Arc::clone(metrics),
        clock: clock.clone(),
        runtime: Handle::current(),
        tasks: tasks.clone(),
    })?;
    Ok(resolver)
}

/// Asks the zones in force about hosts.
fn serves(resolver: &Arc<Resolver>) -> links::Serves {
    let resolver = Arc::clone(resolver);
    Box::new(move |host| resolver.serves(host))
}

/// Asks the rules in force about targets.
fn is_listed(in_force: &InForce, clock: &Clock) -> links::IsListed {
    let (in_force, clock) = (in_force.clone(), clock.clone());
    Box::new(move |target| gateway::is_listed(&in_force, target, clock.now()))
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, Error> {
        let dns = match config.dns.listen[..] {
            [] => None,
            _ => Some(listener::Bound::new(&config.dns)?),
        };
        let threads = match config.gateway.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let http =
            |address: Option<SocketAddr>, count, key| match address {
                None => Ok(Vec::new()),
                Some(address) => listener::http::bind(address, count)
                    .map_err(|source| Error::Bind { key, address, source }),
            };
        let gateway = http(config.gateway.listen, threads, "gateway.listen")?;
        let gateway_tls = http(config.gateway.tls_listen, threads, "gateway.tls_listen")?;
        let api = http(config.api.listen, 1, "api.listen")?;
        Ok(Self { dns, gateway, gateway_tls, api })
    }

    /// Every HTTP address: none of them may be a link's target.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let all = self.gateway.iter().chain(&self.gateway_tls).chain(&self.api);
        all.filter_map(|l| l.local_addr().ok()).collect()
    }
}

fn node_name(config: &Config) -> Result<NodeName, Error> {
    if let Some(node) = &config.node {
        return Ok(node.clone());
    }
    let uname = rustix::system::uname();
    Ok(uname.nodename().to_string_lossy().to_ascii_lowercase().parse()?)
}
