//! Zones in and out: bound before feeds are opened, served beside them.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Error;
use crate::{
    clock::Clock,
    config::Config,
    feeds::{
        Feeds,
        share::{
            NotifyBounds, Publisher, PublisherOptions, Registry, ServeBounds, Sockets, Timers,
            Wanted,
        },
        source::Guard,
        transfer::{Bounds, Client, Keys, Tls, Zones},
    },
    metrics::Metrics,
};

/// What is made before feeds are opened.
pub(super) struct Transfers {
    registry: Arc<Registry>,
    keys: Keys,
    sockets: Option<Sockets>,
    clock: Clock,
    root: PathBuf,
    gateway: Vec<IpAddr>,
    ttl: u32,
    config: crate::config::Transfers,
}

impl Transfers {
    /// Reads keys and binds the sockets, where there are to be any; and the source of zones.
    pub(super) fn new(
        config: &Config,
        clock: &Clock,
        guard: Guard,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Zones), Error> {
        let c = &config.feeds.transfer;
        let keys = Keys::load(&c.keys)?;
        let registry = Arc::new(Registry::default());
        let bind = |address: SocketAddr| {
            let bounds = ServeBounds::new(c);
            let (registry, metrics) = (Arc::clone(&registry), Arc::clone(metrics));
            Sockets::bind(address, registry, keys.clone(), clock.clone(), metrics, bounds)
                .map_err(|source| Error::Bind { key: "feeds.transfer.listen", address, source })
        };
        let sockets = c.listen.map(bind).transpose()?;
        let ca_file = Some(c.ca_file.as_path()).filter(|f| !f.as_os_str().is_empty());
        let tls = match Tls::new(ca_file) {
            Ok(tls) => Some(tls),
            Err(source) if ca_file.is_some() => {
                return Err(Error::Io { what: "feeds.transfer.ca_file", source });
            }
            // A machine without authorities serves all the same; its transfers over TLS say why not.
            Err(_) => None,
        };
        let bounds = Bounds::new(c, config.feeds.list_bytes_max);
        let client = Client::new(clock.clone(), bounds, tls);
        let refresh_min = Duration::from_secs(config.feeds.refresh_s_min);
        let zones = Zones::new(client, keys.clone(), guard, Arc::clone(&registry), refresh_min);
        let transfers = Self {
            registry,
            keys,
            sockets,
            clock: clock.clone(),
            root: config.data_dir.join("share"),
            gateway: config.policy.gateway_addresses.clone(),
            ttl: config.policy.ttl_s,
            config: c.clone(),
        };
        Ok((transfers, zones))
    }

    /// Where NOTIFY is heard and zones are served.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.sockets.as_ref().and_then(|s| s.local_addr().ok())
    }

    /// Serves what `feeds` say. Nothing runs where nothing listens.
    pub(super) fn start(
        self,
        feeds: &Arc<Feeds>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Vec<JoinHandle<()>> {
        let Some(sockets) = self.sockets else { return Vec::new() };
        // The source of zones, which feeds hold, holds the registry.
        let told = Arc::downgrade(feeds);
        self.registry.on_told(move |feed| {
            if let Some(feeds) = told.upgrade() {
                feeds.refresh_soon(feed);
            }
        });
        let in_force = feeds.in_force().clone();
        let (feeds, config) = (Arc::clone(feeds), self.config.clone());
        let wanted = move || {
            let specs = feeds.specs();
            specs.iter().filter_map(Wanted::of).chain(Wanted::merged(&config)).collect()
        };
        let publisher = Publisher::new(PublisherOptions {
            in_force,
            wanted: Arc::new(wanted),
            registry: self.registry,
            keys: self.keys,
            root: self.root,
            timers: Timers::new(&self.config, self.ttl),
            differences_max: self.config.differences_max,
            gateway: self.gateway,
            ttl: self.ttl,
            notify: NotifyBounds::new(&self.config),
            clock: self.clock,
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        vec![tasks.spawn(sockets.run(stop.clone(), tasks.clone())), tasks.spawn(publisher.run())]
    }
}
