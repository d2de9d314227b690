//! What is in force on this node.
//!
//! [`Force`] is what a node has of every feed, behind one lock that nobody holds while anything is
//! read from a disk. [`mod@obey`] takes in what the database says, [`mod@load`] reads versions,
//! [`mod@set`] makes the set of rules of what is there, and [`mod@tell`] writes down what took force.

mod load;
mod obey;
mod set;
mod tell;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

pub(super) use self::{load::Promised, set::own_rule};
use self::{set::Key, tell::News};
use super::super::{
    FeedSpec,
    store::{FeedRow, Standing},
};
use crate::{
    clock::Timestamp,
    policy::{FeedInForce, Index, PolicySet},
};

/// What this node has in force, and what it is about to.
#[derive(Debug, Default)]
pub(in crate::feeds::service) struct Force {
    /// The newest event that was obeyed.
    seen: u64,
    standing: Arc<Standing>,
    /// Versions loaded, by feed.
    loaded: HashMap<String, Loaded>,
    /// Those that they took the place of, until the records of rules are told against them: they
    /// share most of their memory, which what is read from disk does not.
    former: HashMap<String, Loaded>,
    /// Versions being loaded, or that were read just now: feed and number.
    loading: HashSet<(String, u64)>,
    ready: HashMap<(String, u64), Arc<Index>>,
    /// Of these, versions that this node is about to decide for: any, also earlier than those in
    /// force.
    promised: HashSet<(String, u64)>,
    /// Why a feed's version cannot be loaded.
    failures: BTreeMap<String, Failure>,
    /// Feeds whose version nobody has confirmed for too long.
    expired: BTreeSet<String>,
    sets: u64,
    /// See [`FeedsOptions::warns`](super::FeedsOptions::warns).
    warns: bool,
    key: Vec<Key>,
    /// What was in force when there was last something to tell, by feed.
    told: HashMap<String, u64>,
    /// What is to be told, in order.
    news: VecDeque<News>,
    /// Telling failed the last time, which was said.
    tell_fails: bool,
    /// Sets that were in force, until nobody decides by them any more: that a thread which answers
    /// drops the last of a large one would be felt.
    retired: Vec<Arc<PolicySet>>,
    /// Instant blocks and allow rules as they were built last, and their versions.
    own: [(u64, Option<Arc<FeedInForce>>); 2],
}

/// A version's rules.
#[derive(Clone, Debug)]
pub(in crate::feeds::service) struct Loaded {
    pub(in crate::feeds::service) version: u64,
    pub(in crate::feeds::service) index: Arc<Index>,
    /// The settings that they were read and judged by.
    read_by: Arc<FeedSpec>,
}

/// Why a version cannot be loaded. It is tried again: what was missing may come back.
#[derive(Clone, Debug)]
struct Failure {
    version: u64,
    why: String,
    at: Timestamp,
}

/// How long a version that could not be loaded is left alone.
const LOAD_AGAIN: Duration = Duration::from_secs(10);

impl Force {
    /// Nothing in force yet.
    pub(in crate::feeds::service) fn new(warns: bool) -> Self {
        Self { warns, ..Self::default() }
    }

    /// The feeds that stand, and their settings in JSON.
    pub(in crate::feeds::service) fn feeds_standing(&self) -> Vec<(String, String)> {
        self.standing.feeds.iter().map(|f| (f.name.clone(), f.spec.clone())).collect()
    }

    /// What stands, as far as it was obeyed.
    pub(in crate::feeds::service) fn standing_now(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }

    /// These feeds have expired, and no others; whether that is new.
    pub(in crate::feeds::service) fn expire(&mut self, expired: BTreeSet<String>) -> bool {
        let new = self.expired != expired;
        self.expired = expired;
        new
    }

    /// Versions that are to be in force and are neither loaded nor on their way.
    fn wanted(&mut self, now: Timestamp) -> Vec<(String, u64)> {
        let mut wanted = Vec::new();
        for feed in &self.standing.feeds {
            let key = (feed.name.clone(), feed.version);
            let loaded = self.loaded.get(&feed.name).is_some_and(|l| l.version == feed.version);
            let failed = self.failures.get(&feed.name);
            let failed =
                failed.is_some_and(|f| f.version == feed.version && now.since(f.at) < LOAD_AGAIN);
            let coming = self.ready.contains_key(&key) || self.loading.contains(&key);
            if feed.version > 0 && !loaded && !failed && !coming {
                self.loading.insert(key.clone());
                wanted.push(key);
            }
        }
        wanted
    }

    /// The rules of the version that is to be in force, where they are in memory and it is not:
    /// loaded, or in force until a person put it back.
    fn at_hand_for(&mut self, feed: &FeedRow) -> Option<Arc<Index>> {
        if let Some(index) = self.ready.remove(&(feed.name.clone(), feed.version)) {
            return Some(index);
        }
        let loaded = self.loaded.get(&feed.name).is_some_and(|l| l.version == feed.version);
        let former =
            self.former.get(&feed.name).filter(|l| l.version == feed.version && !loaded)?;
        Some(Arc::clone(&former.index))
    }

    /// Takes over what was loaded, and forgets what stands no more.
    fn take_loaded(&mut self) {
        let standing = Arc::clone(&self.standing);
        for feed in &standing.feeds {
            if let Some(index) = self.at_hand_for(feed)
                && let Ok(read_by) = FeedSpec::read(&feed.read_by)
            {
                let loaded = Loaded { version: feed.version, index, read_by: read_by.into() };
                if let Some(former) = self.loaded.insert(feed.name.clone(), loaded) {
                    self.former.insert(feed.name.clone(), former);
                }
                self.failures.remove(&feed.name);
            }
        }
        let stands = |name: &str| standing.feeds.iter().any(|f| f.name == name && f.version > 0);
        // What was overtaken while it was loaded.
        let promised = &self.promised;
        self.ready.retain(|key, _| promised.contains(key));
        self.loaded.retain(|name, _| stands(name));
        self.former.retain(|name, _| stands(name));
        // What is wanted no more fails no more, also where its successor was loaded all along.
        self.failures.retain(|name, failure| {
            standing.feeds.iter().any(|f| f.name == *name && f.version == failure.version)
        });
    }
}
