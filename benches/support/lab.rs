//! A spool and the real engine in one place, without a server around them.

use std::{path::Path, sync::Arc, time::Duration};

use tracegate::{
    clock::Clock,
    config::{self, Durability},
    metrics::Metrics,
    record::NodeName,
    spool::{self, Spool},
    store::{
        Credentials, Store,
        engine::{Endpoint, Options, Secrets, Supervisor},
    },
};

/// No statement of a benchmark is meant to time out, merging a hundred million rows neither.
const PATIENCE_MS: u64 = 3_600_000;

/// What a shipper or a tracer is made of.
pub(crate) struct Lab {
    /// The engine.
    pub(crate) supervisor: Supervisor,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// The store in it, its tables made.
    pub(crate) store: Store,
    /// A spool of node `bench`.
    pub(crate) spool: Spool,
    /// The same node.
    pub(crate) node: NodeName,
    /// The machine's clock.
    pub(crate) clock: Clock,
    /// Nobody's.
    pub(crate) metrics: Arc<Metrics>,
}

impl Lab {
    /// Starts everything below `dir` with the limits that are the defaults.
    pub(crate) async fn start(dir: &Path) -> Self {
        let clock = Clock::system();
        let secrets = Secrets::generate().expect("random bytes");
        let password = secrets.internal.reveal().to_owned();
        let supervisor = Supervisor::start(Options {
            program: env!("CARGO_BIN_EXE_tracegate").into(),
            data_dir: dir.to_owned(),
            config: config::Engine {
                listen: ([127, 0, 0, 1], 0).into(),
                query_timeout_ms: PATIENCE_MS,
                ..config::Engine::default()
            },
            secrets,
            looks: None,
            clock: clock.clone(),
        });
        let endpoint = supervisor
            .ready(Duration::from_secs(60))
            .await
            .expect("the engine: run scripts/fetch-engine");
        let config = config::Store { insert_timeout_ms: PATIENCE_MS, ..config::Store::default() };
        let credentials = Credentials { user: "default".into(), password };
        let store = Store::connect(&config, &endpoint.url(), credentials);
        store.prepare(Durability::Written).await.expect("the tables");
        let node: NodeName = "bench".parse().expect("a name");
        let (spool, recovery) = Spool::open(spool::Options {
            dir: dir.join("spool"),
            node: node.clone(),
            config: config::Spool::default(),
            clock: clock.clone(),
        })
        .expect("a spool");
        recovery.finish().expect("its recovery");
        Self { supervisor, endpoint, store, spool, node, clock, metrics: Metrics::new() }
    }
}
