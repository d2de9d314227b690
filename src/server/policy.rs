//! Feeds: opened before any listener, followed and written down beside everything else.

use std::{
    fs::DirBuilder,
    io,
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Error, core::Sockets, past, storage::Storage, transfers::Transfers};
use crate::{
    clock::Clock,
    config::{Config, UpstreamMode},
    feeds::{
        self, FeedStore, Feeds, FeedsOptions, Protected, SqliteFeeds, Why,
        source::{Files, Guard, Https, HttpsBounds, Resolve, Source, Sources, Verdicts},
    },
    metrics::Metrics,
    policy::InForce,
    record::{LaneId, NodeName, PublicSuffixes},
    spool::{Recovery, Spool},
    verify::Book,
};

/// The database of policy, and its records that are in the spool by now.
pub(super) struct Opened {
    dir: PathBuf,
    store: Arc<dyn FeedStore>,
    kept: Vec<(LaneId, u64)>,
}

/// What feeds are made of besides their database.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) spool: &'a Spool,
    pub(super) node: &'a NodeName,
    pub(super) clock: &'a Clock,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) in_force: &'a InForce,
    pub(super) suffixes: &'a Arc<PublicSuffixes>,
    pub(super) sockets: &'a Sockets,
    pub(super) tasks: &'a TaskTracker,
    pub(super) stop: &'a CancellationToken,
    pub(super) book: &'a Arc<Book>,
}

impl Opened {
    /// Opens the database, and puts what its outbox promises into the spool.
    pub(super) fn new(
        config: &Config,
        node: &NodeName,
        recovery: &mut Recovery,
    ) -> Result<Self, Error> {
        let dir = config.feeds.dir.clone().unwrap_or_else(|| config.data_dir.join("feeds"));
        make_private(&dir).map_err(Error::io("the directory of feeds"))?;
        let store = SqliteFeeds::open(&dir.join("policy.sqlite"), config.feeds.readers_max)?;
        let mut kept = Vec::new();
        for record in store.outbox(node)? {
            recovery.restore(record.lane, record.seq, record.schema, &record.bytes)?;
            kept.push((record.lane, record.seq));
        }
        Ok(Self { dir, store: Arc::new(store), kept })
    }

    /// Forgets what is in the spool to stay.
    pub(super) fn forget(&self, node: &NodeName) -> Result<(), Error> {
        Ok(self.store.forget(node, &self.kept)?)
    }

    /// Loads what is to be in force and puts it there.
    pub(super) fn start(self, parts: &Parts<'_>) -> Result<(Arc<Feeds>, Transfers), Error> {
        let config = parts.config;
        let (sources, transfers) = sources(config, parts.clock, parts.metrics)?;
        let verdicts = super::verify::list(parts.book, parts.clock);
        let sources: Arc<dyn Source> = Arc::new(sources.with_verdicts(Verdicts::new(verdicts)));
        let feeds = Feeds::open(FeedsOptions {
            config: config.feeds.clone(),
            dir: self.dir,
            store: self.store,
            spool: parts.spool.clone(),
            spool_bytes_max: config.spool.disk_bytes_max,
            node: parts.node.clone(),
            clock: parts.clock.clone(),
            metrics: Arc::clone(parts.metrics),
            in_force: parts.in_force.clone(),
            protected: protected(config, parts.suffixes, parts.sockets),
            suffixes: Arc::clone(parts.suffixes),
            source: sources,
            servers_known: config.dns.upstream.mode == UpstreamMode::Off,
            warns: !config.policy.gateway_addresses.is_empty(),
            tasks: parts.tasks.clone(),
            stop: parts.stop.clone(),
        })?;
        let set = parts.in_force.load();
        tracing::info!(
            feeds = set.feeds().count(),
            rules = set.feeds().map(|f| f.index.len()).sum::<usize>(),
            "policy is in force"
        );
        Ok((feeds, transfers))
    }
}

/// Where lists come from. Hosts are resolved as the rest of the machine does it: a list that names
/// its own server must not be what keeps its next version away.
fn sources(
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<(Sources, Transfers), Error> {
    let resolve: Resolve = Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(|e| e.to_string())?;
            Ok(found.map(|address| address.ip()).collect())
        })
    });
    let guard = Guard::new(resolve, &config.feeds.allowed_hosts);
    let files = Files::new(&config.feeds, clock.clone());
    let (transfers, zones) = Transfers::new(config, clock, guard.clone(), metrics)?;
    let https = Https::new(guard, HttpsBounds::of(&config.feeds), files.clone());
    Ok((Sources::new(files, https, Some(Arc::new(zones))), transfers))
}

/// Makes a directory for its owner alone.
pub(super) fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// What no list may touch.
fn protected(config: &Config, suffixes: &Arc<PublicSuffixes>, sockets: &Sockets) -> Protected {
    let mut protected = Protected::new(Arc::clone(suffixes))
        .with_prefix_min(config.feeds.ipv4_prefix_min, config.feeds.ipv6_prefix_min);
    for zone in &config.dns.zones {
        protected.add(&zone.name, Why::Apex);
    }
    let public = url::Url::parse(&config.gateway.public_url).ok();
    let public = public.as_ref().and_then(url::Url::host_str);
    let gateway = &config.gateway;
    let hosts = public.into_iter().map(str::to_owned);
    let hosts = hosts.chain(gateway.own_hosts.iter().chain(&gateway.domains).cloned());
    // Where names are led to, and where the sockets are: behind NAT these are others.
    let addresses = sockets.addresses().into_iter().map(|a| a.ip().to_string());
    let addresses = addresses.chain(config.policy.gateway_addresses.iter().map(IpAddr::to_string));
    for host in hosts.chain(config.api.hosts.iter().cloned()).chain(addresses) {
        protected.add(&host, Why::OwnHost);
    }
    for name in &config.feeds.protected {
        protected.add(name, Why::Listed);
    }
    protected
}

/// The steady work of feeds.
pub(super) struct Following {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Following {
    /// Starts it. From here on sources are looked at.
    pub(super) fn start(
        feeds: &Arc<Feeds>,
        storage: &Storage,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        memory_bytes_max: u64,
    ) -> Self {
        feeds.ask_past_with(past::query(storage.store.clone(), memory_bytes_max));
        let tasks = vec![
            tasks.spawn(Arc::clone(feeds).follow()),
            tasks.spawn(Arc::clone(feeds).watch()),
            tasks.spawn(Arc::clone(feeds).write_rows()),
        ];
        Self { stop: stop.clone(), tasks }
    }

    /// More of it.
    pub(super) fn also(&mut self, tasks: Vec<JoinHandle<()>>) {
        self.tasks.extend(tasks);
    }

    /// Waits for one to end, which none should.
    pub(super) async fn ended(&mut self) -> Error {
        let (_, at, _) = futures_util::future::select_all(&mut self.tasks).await;
        self.tasks.remove(at);
        Error::Ended("feeds".into())
    }

    /// Ends it, within `grace`: nothing is written to the spool afterwards.
    pub(super) async fn stop(self, grace: Duration) {
        self.stop.cancel();
        for task in self.tasks {
            if timeout(grace, task).await.is_err() {
                tracing::warn!("feeds are still at work; the next start goes on");
            }
        }
    }
}

/// `/readyz`: why the feeds are not as they should be.
pub(super) fn check(feeds: &Arc<Feeds>) -> impl Fn() -> Option<String> + Send + Sync + 'static {
    let feeds = Arc::clone(feeds);
    move || {
        let why = "takes no changes until a restart: nobody knows what became of one";
        feeds.why_not().or_else(|| (!feeds.store().takes_writes()).then(|| why.to_owned()))
    }
}

impl From<feeds::Error> for Error {
    fn from(error: feeds::Error) -> Self {
        Self::Feeds(error)
    }
}
