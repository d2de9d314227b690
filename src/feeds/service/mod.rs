//! The life of feeds: what people and sources change, and what is in force on this node.
//!
//! **In force.** [`Feeds::open`] loads the version of every feed that the database says is to be in
//! force, before any listener answers. From then on every node looks several times a second whether
//! there are newer events and obeys ([`Feeds::obey`]): the set of rules is built anew and swapped
//! whole. A change made here is obeyed here before the caller is answered.
//!
//! **A new version** is kept as received, then known to the database, then read and judged; then it
//! is activated or held. A process that dies in between leaves the last good version in force; what
//! it had received it reads and judges at its next start.
//!
//! **Failure.** A list that cannot be read, or a version that cannot be loaded, leaves in force what
//! the feed declares: its last good version, nothing, or no answers at all. So does a version that
//! nobody has confirmed for too long ([`mod@age`]). A database that cannot be
//! written changes nothing and takes nothing out of force.

mod age;
mod anew;
mod appeals;
mod aside;
mod change;
mod force;
mod looks;
mod own;
mod rows;
mod take;
mod texts;
mod view;
mod work;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    appeals::NewAppeal,
    looks::LookState,
    own::{NewAllow, NewBlock},
    take::{Outcome, Took},
    view::{Changes, Diff, FeedStatus, OnNode, VersionStatus},
    work::Stage,
};
use self::{force::Force, work::Work};
use super::{
    Error, FeedSpec, Needed,
    blast::PastQuery,
    ledger::{Ledger, Waiting},
    load::Reading,
    protected::Protected,
    shelf::Shelf,
    source::{Incoming, Source, SourceError},
    store::{FeedRow, FeedStore, Standing},
};
use crate::{
    clock::Clock,
    config,
    metrics::Metrics,
    policy::InForce,
    record::{NodeName, PublicSuffixes, Table},
    spool::Spool,
};

/// How often a change is tried upon what others changed meanwhile.
const ATTEMPTS_MAX: usize = 16;

/// What [`Feeds`] is made of.
pub struct FeedsOptions {
    /// The section `[feeds]`.
    pub config: config::Feeds,
    /// The directory of versions.
    pub dir: PathBuf,
    /// The database.
    pub store: Arc<dyn FeedStore>,
    /// For the records of events and rules.
    pub spool: Spool,
    /// The spool's own limit, in bytes.
    pub spool_bytes_max: u64,
    /// This node.
    pub node: NodeName,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The set that everybody decides by.
    pub in_force: InForce,
    /// What no list may touch.
    pub protected: Protected,
    /// For registrable domains.
    pub suffixes: Arc<PublicSuffixes>,
    /// Where lists come from.
    pub source: Arc<dyn Source>,
    /// Whether the resolver can know the servers of zones: rules about them are not evaluable
    /// otherwise.
    pub servers_known: bool,
    /// Whether names in the tier `interstitial` lead to the gateway.
    pub warns: bool,
    /// Owns every task.
    pub tasks: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
}

/// Who changes something, and why.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// The token's name; empty for the node itself.
    pub actor: String,
    /// The person who bears it; empty for the one it is named after.
    pub person: String,
    /// Why, in the person's words; empty for unsaid.
    pub reason: String,
}

impl By {
    /// The person who does it.
    pub(super) fn person(&self) -> &str {
        if self.person.is_empty() { &self.actor } else { &self.person }
    }
}

/// Feeds, from their sources until they are in force.
pub struct Feeds {
    config: config::Feeds,
    shelf: Shelf,
    ledger: Ledger,
    spool: Spool,
    spool_bytes_max: u64,
    rules_lane: crate::spool::SharedLane,
    metrics: Arc<Metrics>,
    in_force: InForce,
    protected: Protected,
    suffixes: Arc<PublicSuffixes>,
    source: Arc<dyn Source>,
    servers_known: bool,
    warns: bool,
    tasks: TaskTracker,
    stop: CancellationToken,
    past: OnceLock<PastQuery>,
    /// Never held while anything is read from a disk: threads that answer wait for it.
    force: Mutex<Force>,
    /// One at a time reads what stands; a later one must not be overtaken.
    obeying: Mutex<()>,
    /// One at a time tells what is in force.
    telling: Mutex<()>,
    /// One version of a feed is worked on at a time.
    busy: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// Nothing is removed from disk while somebody decides for an older version.
    deciding: Mutex<()>,
    looks: Mutex<HashMap<String, LookState>>,
    /// What is being done.
    work: Mutex<HashMap<String, Work>>,
    /// Wakes whoever waits for a look.
    looked_at: Notify,
    /// Wakes whoever writes the records of rules.
    rows_wanted: Notify,
    /// One writer of own rules' records at a time.
    own_rows: Mutex<()>,
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeds").field("shelf", &self.shelf).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feeds {
    /// Opens the directory and puts in force what the database says, as far as it can be loaded.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// When the database or the directory cannot be read. A feed that cannot be loaded is no error:
    /// what it declares for that is in force, and [`Feeds::why_not`] tells.
    pub fn open(options: FeedsOptions) -> Result<Arc<Self>, Error> {
        let o = options;
        let shelf = Shelf::open(&o.dir, o.clock.now())?;
        let lane = o.spool.shared(Table::FeedEvents)?;
        let rules_lane = o.spool.shared(Table::Rules)?;
        let feeds = Arc::new(Self {
            shelf,
            ledger: Ledger {
                store: o.store,
                lane,
                node: o.node,
                clock: o.clock,
                waiting_max: o.config.records_waiting_max,
                waiting: Waiting {
                    count: Arc::default(),
                    gauge: o.metrics.feeds.records_waiting.clone(),
                },
            },
            config: o.config,
            spool: o.spool,
            spool_bytes_max: o.spool_bytes_max,
            rules_lane,
            metrics: o.metrics,
            in_force: o.in_force,
            protected: o.protected,
            suffixes: o.suffixes,
            source: o.source,
            servers_known: o.servers_known,
            tasks: o.tasks,
            stop: o.stop,
            past: OnceLock::new(),
            force: Mutex::new(Force::new(o.warns)),
            warns: o.warns,
            obeying: Mutex::default(),
            telling: Mutex::default(),
            busy: Mutex::default(),
            deciding: Mutex::default(),
            looks: Mutex::default(),
            work: Mutex::default(),
            looked_at: Notify::new(),
            rows_wanted: Notify::new(),
            own_rows: Mutex::default(),
        });
        feeds.load_all()?;
        Ok(feeds)
    }

    /// Lets the blast radius be asked for; until then, nobody knows what a version would change.
    pub fn ask_past_with(&self, query: PastQuery) {
        if self.past.set(query).is_err() {
            tracing::debug!("the store is asked about the past already");
        }
    }

    /// Whether names in the tier `interstitial` lead to the gateway.
    pub fn warns(&self) -> bool {
        self.warns
    }

    /// The section `[feeds]`.
    pub fn config(&self) -> &config::Feeds {
        &self.config
    }

    /// The database, for questions.
    pub fn store(&self) -> &Arc<dyn FeedStore> {
        &self.ledger.store
    }

    /// The set that everybody decides by.
    pub fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// Begins to receive a list that somebody sends us.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn receive(&self) -> Result<Incoming, SourceError> {
        Incoming::create(self.shelf.incoming(), self.config.list_bytes_max)
    }

    /// What stands now.
    fn standing(&self) -> Result<Standing, Error> {
        let store = self.store();
        store.standing(store.newest()?, self.clock().now())
    }

    fn clock(&self) -> &Clock {
        &self.ledger.clock
    }

    /// A feed as it stands, and its settings.
    fn feed(&self, name: &str) -> Result<(FeedRow, FeedSpec), Error> {
        let row = self.standing()?.feeds.into_iter().find(|f| f.name == name);
        let row = row.ok_or(Error::Unknown("feed"))?;
        let spec = FeedSpec::read(&row.spec)?;
        Ok((row, spec))
    }

    fn reading<'a>(&'a self, spec: &'a FeedSpec) -> Reading<'a> {
        Reading { spec, limits: &self.config, protected: &self.protected, meter: None }
    }

    /// Tries a change upon the newest event of its feed until nobody else was faster.
    fn upon<T>(
        &self,
        feed: &str,
        mut change: impl FnMut(u64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS_MAX {
            match change(self.store().newest_of(feed)?) {
                Err(Error::Conflict) => {}
                done => return done,
            }
        }
        Err(Error::Conflict)
    }

    /// Keeps other threads of this node from working on a version of the same feed.
    fn busy(&self, feed: &str) -> Arc<Mutex<()>> {
        Arc::clone(lock(&self.busy).entry(feed.to_owned()).or_default())
    }

    /// A text that a person gave.
    fn note<'a>(&self, text: &'a str) -> Result<&'a str, Error> {
        let max = self.config.note_bytes_max;
        if text.len() > max { Err(Error::TooLong(max)) } else { Ok(text) }
    }

    /// A text that a person has to give.
    fn needed<'a>(&self, what: Needed, text: &'a str) -> Result<&'a str, Error> {
        if text.trim().is_empty() { Err(Error::Missing(what)) } else { self.note(text) }
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let feeds = Arc::clone(self);
        let done = self.tasks.spawn_blocking(move || work(&feeds)).await;
        done.unwrap_or(Err(Error::Failed))
    }
}
