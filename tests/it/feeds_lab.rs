//! Feeds, their database and a spool in this process, over real files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracegate::{
    clock::{Clock, Timestamp},
    config::{self, Config},
    feeds::{
        By, FeedStore, Feeds, FeedsOptions, Outcome, Protected, SqliteFeeds, Why,
        source::{Files, Source},
    },
    metrics::Metrics,
    name::Name,
    policy::{AnswerFacts, InForce},
    record::{NodeName, PublicSuffixes, Table, rowbinary::Reader},
    spool::{self, Spool},
};

/// The time at which every lab begins; its clock stands still until a test moves it.
pub(crate) const BEGIN: Timestamp = Timestamp::from_secs(1_900_000_000);

/// A machine: a directory of feeds, lists, and nodes that share it.
pub(crate) struct Machine {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) config: config::Feeds,
    /// Where lists come from; files where there is none.
    pub(crate) source: Option<Arc<dyn Source>>,
    /// What the spool of each node may take on disk, in bytes.
    pub(crate) spool_bytes_max: u64,
    /// The directory that the nodes share.
    feeds: PathBuf,
}

/// One node.
pub(crate) struct Node {
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) in_force: InForce,
    pub(crate) spool: Spool,
    pub(crate) runtime: Runtime,
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: Arc<Metrics>,
    tasks: TaskTracker,
    clock: Clock,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lists = dir.path().join("lists");
        fs::create_dir(&lists).unwrap();
        let config = config::Feeds {
            roots: vec![lists],
            blast_hours: 0,
            file_poll_ms: 20,
            file_settle_ms: 10,
            poll_ms: 20,
            ..config::Feeds::default()
        };
        let feeds = dir.path().join("feeds");
        let spool_bytes_max = Config::default().spool.disk_bytes_max;
        let clock = Clock::fixed(BEGIN);
        Self { dir, clock, config, source: None, spool_bytes_max, feeds }
    }

    /// A machine that shares the feeds of a running server.
    pub(crate) fn beside(feeds: &Path, lists: &Path) -> Self {
        let mut machine = Self::new();
        machine.config.roots = vec![lists.to_owned()];
        machine.clock = Clock::system();
        machine.feeds = feeds.to_owned();
        machine
    }

    /// Where a list lies.
    pub(crate) fn list(&self, name: &str) -> PathBuf {
        self.config.roots[0].join(name)
    }

    /// Writes a list as careful people do: another file, renamed.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let part = self.list(&format!("{name}.part"));
        fs::write(&part, text).unwrap();
        fs::rename(part, self.list(name)).unwrap();
    }

    /// The settings of a feed of domains in the file of its name.
    pub(crate) fn spec(&self, name: &str) -> Value {
        json!({"name": name, "source": self.list(name), "format": "domains"})
    }

    pub(crate) fn store(&self) -> Arc<dyn FeedStore> {
        fs::create_dir_all(&self.feeds).unwrap();
        Arc::new(SqliteFeeds::open(&self.feeds.join("policy.sqlite"), 2).unwrap())
    }

    /// Starts a node; its steady work only by [`Node::run`].
    pub(crate) fn node(&self, name: &str) -> Node {
        let store = self.store();
        self.node_over(name, store)
    }

    pub(crate) fn node_over(&self, name: &str, store: Arc<dyn FeedStore>) -> Node {
        let node: NodeName = name.parse().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let _inside = runtime.enter();
        let mut spool_config = Config::default().spool;
        spool_config.shared_segment_bytes_max = 1 << 20;
        spool_config.segment_bytes_max = 1 << 20;
        spool_config.frame_bytes_max = 256 << 10;
        spool_config.batch_bytes_max = 128 << 10;
        spool_config.disk_bytes_max = self.spool_bytes_max;
        let (spool, mut recovery) = Spool::open(spool::Options {
            dir: self.dir.path().join(format!("spool-{name}")),
            node: node.clone(),
            config: spool_config.clone(),
            clock: self.clock.clone(),
        })
        .unwrap();
        let mut kept = Vec::new();
        for record in store.outbox(&node).unwrap() {
            recovery.restore(record.lane, record.seq, record.schema, &record.bytes).unwrap();
            kept.push((record.lane, record.seq));
        }
        recovery.finish().unwrap();
        store.forget(&node, &kept).unwrap();
        let suffixes = Arc::new(PublicSuffixes::load(None).unwrap());
        let mut protected = Protected::new(Arc::clone(&suffixes));
        protected.add("corp.example.org", Why::Apex);
        for name in &self.config.protected {
            protected.add(name, Why::Listed);
        }
        let (in_force, metrics) = (InForce::new(), Metrics::new());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let files = || Arc::new(Files::new(&self.config, self.clock.clone())) as Arc<dyn Source>;
        let feeds = Feeds::open(FeedsOptions {
            config: self.config.clone(),
            dir: self.feeds.clone(),
            store,
            spool: spool.clone(),
            spool_bytes_max: spool_config.disk_bytes_max,
            node,
            clock: self.clock.clone(),
            metrics: Arc::clone(&metrics),
            in_force: in_force.clone(),
            protected,
            suffixes,
            source: self.source.clone().unwrap_or_else(files),
            servers_known: false,
            warns: false,
            tasks: tasks.clone(),
            stop: stop.clone(),
        })
        .unwrap();
        let clock = self.clock.clone();
        drop(_inside);
        Node { feeds, in_force, spool, runtime, stop, metrics, tasks, clock }
    }
}

/// Somebody with a reason.
pub(crate) fn by(actor: &str) -> By {
    By { actor: actor.into(), person: String::new(), reason: "because".into() }
}

impl Node {
    /// Starts the steady work: following, looking at sources, writing rows.
    pub(crate) fn run(&self) {
        let _inside = self.runtime.enter();
        self.tasks.spawn(Arc::clone(&self.feeds).follow());
        self.tasks.spawn(Arc::clone(&self.feeds).watch());
        self.tasks.spawn(Arc::clone(&self.feeds).write_rows());
    }

    /// Adds a feed.
    pub(crate) fn add(&self, spec: &Value) {
        let _inside = self.runtime.enter();
        self.feeds.add(&spec.to_string(), &by("alice")).unwrap();
    }

    /// Looks at a feed's source now.
    pub(crate) fn refresh(&self, feed: &str) -> Outcome {
        self.runtime.block_on(self.feeds.refresh(feed, &by("alice"))).unwrap()
    }

    /// Does something that blocks, as a handler would.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Arc<Feeds>) -> T) -> T {
        let _inside = self.runtime.enter();
        work(&self.feeds)
    }

    /// What is done about a name: the feed and the action; nothing where no rule acts.
    pub(crate) fn decides(&self, name: &str) -> Option<(String, &'static str)> {
        let set = self.in_force.load_full();
        let name = Name::from_text(name).unwrap().lower();
        let outcome = set.answer(&name, &AnswerFacts::default(), self.clock.now()).outcome();
        outcome.hit.map(|hit| (hit.feed.to_string(), hit.action.name()))
    }

    /// Whether a name is blocked.
    pub(crate) fn blocks(&self, name: &str) -> bool {
        self.decides(name).is_some_and(|(_, action)| action == "nxdomain")
    }

    /// Ends it in order, and gives what it wrote: rows by table.
    pub(crate) fn end(self) -> BTreeMap<Table, Vec<Map<String, Value>>> {
        self.stop.cancel();
        self.tasks.close();
        self.runtime.block_on(self.tasks.wait());
        self.spool.close().unwrap();
        let spool = self.spool.clone();
        drop(self);
        [Table::FeedEvents, Table::Rules].map(|t| (t, rows(&spool, t))).into_iter().collect()
    }

    /// Ends it as a crash would: nothing is closed. What it held is given up by the process, which
    /// lives on here.
    pub(crate) fn crash(self) {
        self.stop.cancel();
        self.tasks.close();
        self.runtime.block_on(self.tasks.wait());
    }
}

/// Every row of a table in the spool, in order.
pub(crate) fn rows(spool: &Spool, table: Table) -> Vec<Map<String, Value>> {
    let mut rows = Vec::new();
    for frame in spool.holdings(table).0 {
        let bytes = spool.read(&frame).unwrap();
        let mut input = Reader(&bytes);
        while !input.is_empty() {
            rows.push(frame.schema.read_json(&mut input).unwrap());
        }
    }
    rows
}

/// A directory's files below, for looking at what is kept.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
