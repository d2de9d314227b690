//! What is in force on this node.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{
    super::{
        ALLOW, Error, FeedSpec, INSTANT, OnFailure,
        events::EventKind,
        ledger::Entry,
        store::{Body, EventQuery, FeedRow, OwnRule, Standing},
    },
    Feeds,
    aside::{Yields, aside},
    lock,
};
use crate::{
    clock::Timestamp,
    policy::{
        Action, Extras, FeedInForce, FeedSettings, Index, Legal, PolicySet, Rule, Suspended, Tier,
    },
};

/// What this node has in force, and what it is about to.
#[derive(Debug, Default)]
pub(super) struct Force {
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

/// A version whose rules are at hand until it was decided about.
#[must_use]
pub(super) struct Promised<'a> {
    feeds: &'a Feeds,
    key: (String, u64),
}

impl Drop for Promised<'_> {
    fn drop(&mut self) {
        let mut force = lock(&self.feeds.force);
        force.promised.remove(&self.key);
        let index = force.ready.remove(&self.key);
        drop(force);
        // Its memory is given back without anybody waiting for the lock.
        drop(index);
    }
}

/// A version's rules.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) version: u64,
    pub(super) index: Arc<Index>,
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

/// What tells one set from another.
#[derive(Clone, Debug, PartialEq)]
enum Key {
    Feed { name: String, spec: String, version: u64, closed: bool },
    Own(u64, u64),
    Suspended(Vec<(String, String)>),
}

/// What a node has to tell: a feed, the version that took force there (0 for none), the event that
/// asked for it, and when it did.
#[derive(Clone, Debug)]
struct News {
    feed: String,
    version: u64,
    asked: u64,
    at: Timestamp,
}

/// News kept for a database that cannot be written; the oldest go first.
const NEWS_MAX: usize = 10_000;

impl Feeds {
    /// Puts in force whatever the database says that is not yet, then writes down that it is.
    /// Blocks on the disk, briefly: versions that have to be loaded are loaded beside it. The caller
    /// must be inside a runtime.
    ///
    /// # Errors
    /// When the database cannot be read: what was in force stays.
    pub fn obey(self: &Arc<Self>) -> Result<(), Error> {
        self.take_force()?;
        self.tell();
        Ok(())
    }

    /// Puts in force what the database says. It is only read: whoever writes to it, and for however
    /// long, keeps nothing from taking force.
    fn take_force(self: &Arc<Self>) -> Result<(), Error> {
        let _one = lock(&self.obeying);
        let newest = self.store().newest()?;
        // Read before `force` is locked: others ask there what is in force, on threads that answer.
        let seen = lock(&self.force).seen;
        let read = || self.store().standing(newest, self.clock().now());
        let standing = (newest != seen).then(read).transpose()?;
        let (to_load, gone) = {
            let mut force = lock(&self.force);
            let retired = std::mem::take(&mut force.retired).into_iter();
            let (held, gone): (Vec<_>, Vec<_>) = retired.partition(|s| Arc::strong_count(s) > 1);
            force.retired = held;
            if let Some(standing) = standing {
                (force.standing, force.seen) = (Arc::new(standing), newest);
            }
            self.rebuild(&mut force);
            (force.wanted(self.clock().now()), gone)
        };
        drop(gone);
        for (feed, version) in to_load {
            let feeds = Arc::clone(self);
            self.tasks.spawn_blocking(move || feeds.load_in_background(&feed, version));
        }
        Ok(())
    }

    /// Obeys what other nodes change, until the end.
    pub async fn follow(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_millis(self.config.poll_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        let mut telling: Option<JoinHandle<()>> = None;
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let obeyed = self.blocking(|feeds| feeds.take_force()).await;
            if let Err(error) = &obeyed
                && !failing
            {
                tracing::error!(%error, "policy.sqlite cannot be read; the rules stay as they are");
            }
            failing = obeyed.is_err();
            // Beside it: a database that somebody holds must not keep the next change from force.
            let idle = telling.as_ref().is_none_or(JoinHandle::is_finished);
            if idle && !lock(&self.force).news.is_empty() {
                let feeds = Arc::clone(&self);
                telling = Some(self.tasks.spawn_blocking(move || feeds.tell()));
            }
        }
        if let Some(telling) = telling
            && telling.await.is_err()
        {
            tracing::error!("what is in force here was not written down to its end");
        }
    }

    /// Loads everything, at the start.
    pub(super) fn load_all(self: &Arc<Self>) -> Result<(), Error> {
        let newest = self.store().newest()?;
        let now = self.clock().now();
        let standing = self.store().standing(newest, now)?;
        let expired = self.ages_kept(&standing.feeds)?;
        let wanted = {
            let mut force = lock(&self.force);
            force.expired = expired;
            (force.standing, force.seen) = (Arc::new(standing), newest);
            force.wanted(now)
        };
        let loaded: Vec<_> = std::thread::scope(|scope| {
            let load = |feed: String, version| {
                scope.spawn(move || {
                    (contained(|| self.load_or_older(&feed, version)), feed, version)
                })
            };
            let threads: Vec<_> = wanted.into_iter().map(|(f, v)| load(f, v)).collect();
            threads.into_iter().filter_map(|t| t.join().ok()).collect()
        });
        let mut force = lock(&self.force);
        for (result, feed, version) in loaded {
            force.loading.remove(&(feed.clone(), version));
            match result {
                Ok(loaded) if loaded.version == version => {
                    force.loaded.insert(feed, loaded);
                }
                Ok(older) => {
                    let why = format!("version {version} is not on disk: an older one is in force");
                    tracing::error!(feed, version, older = older.version, "{why}");
                    force.failures.insert(feed.clone(), Failure { version, why, at: now });
                    force.loaded.insert(feed, older);
                }
                Err(error) => {
                    tracing::error!(feed, version, %error, "a feed cannot be loaded");
                    let why = error.to_string();
                    force.failures.insert(feed, Failure { version, why, at: now });
                }
            }
        }
        self.rebuild(&mut force);
        Ok(())
    }

    fn load_in_background(self: &Arc<Self>, feed: &str, version: u64) {
        let loaded = contained(|| aside(Yields::Much, || self.rules_of(feed, version)));
        {
            let mut force = lock(&self.force);
            let key = (feed.to_owned(), version);
            force.loading.remove(&key);
            match loaded {
                Ok(index) => {
                    force.ready.insert(key, index);
                }
                Err(error) => {
                    tracing::error!(feed, version, %error, "a feed's version cannot be loaded");
                    let (why, at) = (error.to_string(), self.clock().now());
                    force.failures.insert(feed.to_owned(), Failure { version, why, at });
                }
            }
        }
        if let Err(error) = self.obey() {
            tracing::error!(feed, %error, "a loaded version is not in force yet");
        }
    }

    /// The newest version that was in force and can be loaded, this one first. Not one of a feed
    /// of the same name that ended, nor one that somebody put an earlier one in the place of.
    fn load_or_older(&self, feed: &str, version: u64) -> Result<Loaded, Error> {
        let first = match self.load(feed, version) {
            Ok(index) => return self.with_settings(feed, version, index),
            Err(error) => error,
        };
        let kinds = &EventKind::DECIDING;
        let query = EventQuery {
            feed: Some(feed),
            kinds,
            newest_first: true,
            limit: self.config.versions_kept,
            ..EventQuery::default()
        };
        let (row, _) = self.feed(feed)?;
        let mut left_above = u64::MAX;
        for event in self.store().events(&query)?.iter().take_while(|e| e.id > row.added) {
            let left = event.version > left_above;
            if event.kind == EventKind::RolledBack {
                left_above = left_above.min(event.version);
            }
            if event.version != version
                && !left
                && let Ok(index) = self.load(feed, event.version)
            {
                return self.with_settings(feed, event.version, index);
            }
        }
        Err(first)
    }

    fn with_settings(&self, feed: &str, version: u64, index: Arc<Index>) -> Result<Loaded, Error> {
        let row = self.store().version(feed, version)?.ok_or(Error::Unknown("version"))?;
        Ok(Loaded { version, index, read_by: self.spec_of(feed, row.event)?.into() })
    }

    /// The rules of a version: compiled, or read anew.
    pub(super) fn load(&self, feed: &str, version: u64) -> Result<Arc<Index>, Error> {
        let row = self.store().version(feed, version)?.ok_or(Error::Unknown("version"))?;
        let digest = row.arrived.digest;
        let kept = self.shelf.version(feed, version, digest);
        if !kept.is_there() {
            return Err(Error::NotKept(version));
        }
        if let Some(index) = kept.index(self.protected.key()) {
            return Ok(Arc::new(index));
        }
        if !kept.is_whole(digest)? {
            return Err(Error::Damaged(version));
        }
        let spec = self.spec_of(feed, row.event)?;
        let read = self.reading(&spec).read(&kept.list(), kept.manifest().as_deref(), None);
        let (index, _) = read.map_err(|e| Error::Unreadable(e.to_string()))?;
        kept.keep_index(&index, self.protected.key());
        Ok(Arc::new(index))
    }

    /// The version of a feed that is in force here, if any.
    pub(super) fn loaded(&self, feed: &str) -> Option<Loaded> {
        lock(&self.force).loaded.get(feed).cloned()
    }

    /// The rules of a version that are in memory: in force here, or until just now.
    pub(super) fn at_hand(&self, feed: &str, version: u64) -> Option<Arc<Index>> {
        let force = lock(&self.force);
        let both = [force.loaded.get(feed), force.former.get(feed)];
        let found = both.into_iter().flatten().find(|l| l.version == version)?;
        Some(Arc::clone(&found.index))
    }

    /// Lets go of the version that was in force before.
    pub(super) fn forget_former(&self, feed: &str) {
        let former = lock(&self.force).former.remove(feed);
        // Its memory is given back without anybody waiting for the lock.
        drop(former);
    }

    /// Has the rules of a version at hand for when it is decided; forgets them when the answer is
    /// dropped, which is after it was obeyed.
    pub(super) fn make_ready(&self, feed: &str, version: u64, index: &Arc<Index>) -> Promised<'_> {
        let key = (feed.to_owned(), version);
        let mut force = lock(&self.force);
        force.ready.insert(key.clone(), Arc::clone(index));
        force.promised.insert(key.clone());
        Promised { feeds: self, key }
    }

    /// The set in force with another version of one feed.
    pub(super) fn set_with(&self, row: &FeedRow, spec: &FeedSpec, index: &Arc<Index>) -> PolicySet {
        let mut force = lock(&self.force);
        let mut feeds = force.feeds();
        feeds.retain(|(_, f)| *f.name != *row.name);
        let version = row.newest + 1;
        let one = in_force(&row.name, version, Arc::clone(index), spec.settings(), false);
        feeds.push(((spec.position, row.name.clone()), Arc::new(one)));
        force.set(feeds, self.clock().now())
    }

    /// Builds the set anew and swaps it, where anything in it is new.
    fn rebuild(&self, force: &mut Force) {
        force.take_loaded();
        let key = force.key();
        if key == force.key {
            return;
        }
        let feeds = force.feeds();
        let set = Arc::new(force.set(feeds, self.clock().now()));
        self.gauges(&set);
        let before = self.in_force.swap(set);
        force.retired.push(before);
        force.key = key;
        force.find_news(self.clock().now());
    }

    /// Writes down what took force here and when. What cannot be written is told again.
    fn tell(&self) {
        let _one = lock(&self.telling);
        loop {
            let Some(item) = lock(&self.force).news.pop_front() else { break };
            let told = self.tell_one(&item);
            let mut force = lock(&self.force);
            let said = std::mem::replace(&mut force.tell_fails, told.is_err());
            if let Err(error) = told {
                if !said {
                    tracing::warn!(feed = item.feed, %error, "not yet written: what is in force");
                }
                force.news.push_front(item);
                break;
            }
        }
    }

    fn tell_one(&self, item: &News) -> Result<(), Error> {
        let store = self.store();
        let kinds = &[EventKind::InForce];
        let query = EventQuery {
            feed: Some(&item.feed),
            node: Some(self.ledger.node.as_str()),
            kinds,
            newest_first: true,
            limit: 1,
            ..EventQuery::default()
        };
        let last = store.events(&query)?.pop();
        // A node that starts again tells nothing new.
        if last.is_some_and(|e| e.version == item.version && e.id > item.asked) {
            return Ok(());
        }
        let row = store.version(&item.feed, item.version)?;
        let mut entry = Entry::new(EventKind::InForce, &item.feed).version(item.version);
        entry = entry.with("in_force_at", item.at.to_string());
        if let Some(row) = &row {
            let asked = store.events(&EventQuery {
                feed: Some(&item.feed),
                from: item.asked.saturating_sub(1),
                limit: 1,
                ..EventQuery::default()
            })?;
            let decided = asked.first().map_or(item.at, |e| e.ts);
            let rolled_back = asked.first().is_some_and(|e| e.kind == EventKind::RolledBack);
            let received = row.arrived.received_at;
            let since = if rolled_back { decided } else { received };
            entry = entry
                .with("received_at", received.to_string())
                .with("decided_at", decided.to_string())
                .with("seconds", item.at.since(since).as_secs_f64());
            (entry.digest, entry.signer) = (row.arrived.digest, row.arrived.signer.as_str());
            let counts = row.judgement.as_ref().map_or((0, 0), |j| (j.accepted, j.rejected));
            (entry.accepted, entry.rejected) = counts;
        }
        self.ledger.write(&entry, Body::None, None)?;
        Ok(())
    }

    fn gauges(&self, set: &PolicySet) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let float = |n: usize| n as f64;
        let rules: usize = set.feeds().map(|f| f.index.len()).sum();
        let bytes: usize = set.feeds().map(|f| f.index.memory_bytes()).sum();
        let m = &self.metrics.feeds;
        m.rules.set(float(rules));
        m.rules_bytes.set(float(bytes));
        m.feeds.set(float(set.feeds().count()));
        m.swaps.increment(1);
        for feed in set.feeds() {
            let of = self.metrics.feed(&feed.name);
            of.rules.set(float(feed.index.len()));
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            of.version.set(feed.version as f64);
        }
    }

    /// Why the feeds are not as they should be, in one sentence; none when they are.
    pub fn why_not(&self) -> Option<String> {
        let force = lock(&self.force);
        if let Some((feed, failure)) = force.failures.first_key_value() {
            return Some(format!("{feed}: {}", failure.why));
        }
        let failed = force.standing.feeds.iter().find(|f| f.newest_failed);
        if let Some(feed) = failed {
            return Some(format!("{}: version {} cannot be read", feed.name, feed.newest));
        }
        drop(force);
        let waiting = self.ledger.waiting.count.load(Ordering::Relaxed);
        if waiting > 0 {
            return Some(format!(
                "records of changes that wait until the spool has room: {waiting}"
            ));
        }
        self.stale().map(|(feed, why)| format!("{feed}: {why}"))
    }

    /// Why a feed's version is not in force here; none when it is.
    pub(super) fn failure(&self, feed: &str) -> Option<String> {
        lock(&self.force).failures.get(feed).map(|failure| failure.why.clone())
    }
}

impl Force {
    /// The feeds that stand, and their settings in JSON.
    pub(super) fn feeds_standing(&self) -> Vec<(String, String)> {
        self.standing.feeds.iter().map(|f| (f.name.clone(), f.spec.clone())).collect()
    }

    /// What stands, as far as it was obeyed.
    pub(super) fn standing_now(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }

    /// These feeds have expired, and no others; whether that is new.
    pub(super) fn expire(&mut self, expired: BTreeSet<String>) -> bool {
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

    fn key(&self) -> Vec<Key> {
        let feeds = self.standing.feeds.iter().filter_map(|row| {
            let (version, closed) = self.state(row)?;
            Some(Key::Feed { name: row.name.clone(), spec: row.spec.clone(), version, closed })
        });
        let mut key: Vec<Key> = feeds.collect();
        key.push(Key::Own(self.standing.instant_version, self.standing.allow_version));
        key.push(Key::Suspended(self.standing.suspended.clone()));
        key
    }

    /// The version of a feed that takes part, and whether nothing may be answered because of it.
    fn state(&self, row: &FeedRow) -> Option<(u64, bool)> {
        let spec = FeedSpec::read(&row.spec).ok()?;
        let loaded = self.loaded.get(&row.name).map(|l| l.version);
        let failed = row.newest_failed
            || self.failures.contains_key(&row.name)
            || self.expired.contains(&row.name);
        match (failed, spec.on_failure) {
            (true, OnFailure::Open) => None,
            (true, OnFailure::Closed) => Some((loaded.unwrap_or(0), true)),
            // Before its first version, nobody knows what it would decide.
            (false, OnFailure::Closed) if loaded.is_none() => Some((0, true)),
            _ => loaded.map(|version| (version, false)),
        }
    }

    /// The feeds that take part, with their places.
    fn feeds(&self) -> Vec<((u32, String), Arc<FeedInForce>)> {
        let feeds = self.standing.feeds.iter().filter_map(|row| {
            let (version, closed) = self.state(row)?;
            let spec = FeedSpec::read(&row.spec).ok()?;
            let (position, index, settings) = match self.loaded.get(&row.name) {
                Some(Loaded { index, read_by, .. }) => {
                    let settings = spec.settings_over(read_by);
                    (spec.position_over(read_by), Arc::clone(index), settings)
                }
                None => (spec.position, Arc::new(Index::empty()), spec.settings()),
            };
            let feed = in_force(&row.name, version, index, settings, closed);
            Some(((position, row.name.clone()), Arc::new(feed)))
        });
        feeds.collect()
    }

    fn set(
        &mut self,
        mut feeds: Vec<((u32, String), Arc<FeedInForce>)>,
        now: Timestamp,
    ) -> PolicySet {
        feeds.sort_by(|(a, _), (b, _)| a.cmp(b));
        let standing = Arc::clone(&self.standing);
        let instant = self.own(0, INSTANT, standing.instant_version, &standing.instant, now);
        let allow = self.own(1, ALLOW, standing.allow_version, &standing.allow, now);
        let suspended = standing.suspended.iter();
        let suspended = suspended
            .map(|(feed, rule)| Suspended {
                feed: feed.as_str().into(),
                rule: rule.as_str().into(),
            })
            .collect();
        self.sets += 1;
        let feeds = feeds.into_iter().map(|(_, feed)| feed).collect();
        PolicySet::new(self.sets, feeds, Extras { instant, allow, suspended })
    }

    /// The operator's own rules as a feed.
    fn own(
        &mut self,
        at: usize,
        feed: &str,
        version: u64,
        rules: &[OwnRule],
        now: Timestamp,
    ) -> Option<Arc<FeedInForce>> {
        let (built, kept) = &self.own[at];
        if *built == version {
            return kept.clone();
        }
        // Of several about one thing, the one that lasts longest counts: until it ends, nobody looks
        // for another. When each begins, the rule itself says.
        let ends = |r: &OwnRule| match r.expires {
            Timestamp::ZERO => Timestamp::MAX,
            end => end,
        };
        let over = |r: &OwnRule| r.ended_at != Timestamp::ZERO || ends(r) <= now;
        let mut rules: Vec<&OwnRule> = rules.iter().filter(|r| !over(r)).collect();
        rules.sort_by_key(|r| std::cmp::Reverse(ends(r)));
        let mut builder = Index::builder();
        for rule in rules {
            if let Some(rule) = own_rule(feed, rule) {
                builder.add(&rule);
            }
        }
        let settings = FeedSettings { allow_may_win: false, ..FeedSettings::default() };
        let built = (!builder.is_empty()).then(|| {
            Arc::new(in_force(feed, version, Arc::new(builder.finish()), settings, false))
        });
        self.own[at] = (version, built.clone());
        built
    }

    /// Finds what there is to tell: versions in force that were not before.
    fn find_news(&mut self, at: Timestamp) {
        let standing = Arc::clone(&self.standing);
        let mut now: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for row in &standing.feeds {
            let version = self.state(row).map_or(0, |(version, _)| version);
            now.insert(&row.name, (version, row.version_event));
        }
        now.insert(INSTANT, (standing.instant_version, 0));
        now.insert(ALLOW, (standing.allow_version, 0));
        let gone = self.told.keys().filter(|feed| !now.contains_key(feed.as_str()));
        let gone: Vec<String> = gone.cloned().collect();
        let gone = gone.into_iter().map(|feed| (feed, (0, 0)));
        let now: Vec<_> = now.into_iter().map(|(feed, state)| (feed.to_owned(), state)).collect();
        for (feed, (version, asked)) in now.into_iter().chain(gone) {
            if self.told.insert(feed.clone(), version).unwrap_or(0) != version {
                self.news.push_back(News { feed, version, asked, at });
            }
        }
        self.told.retain(|_, version| *version > 0);
        if self.news.len() > NEWS_MAX {
            let over = self.news.len() - NEWS_MAX;
            tracing::error!(over, "never written: what was in force here");
            self.news.drain(..over);
        }
    }
}

/// A list that makes its reader panic fails like any other that cannot be read.
fn contained<T>(load: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(load))
        .unwrap_or_else(|_| Err(Error::Unreadable("its reader panicked".to_owned())))
}

fn in_force(
    name: &str,
    version: u64,
    index: Arc<Index>,
    settings: FeedSettings,
    closed: bool,
) -> FeedInForce {
    FeedInForce { name: Arc::from(name), version, index, settings, closed }
}

/// An own rule as deciding takes it.
pub(super) fn own_rule(feed: &str, rule: &OwnRule) -> Option<Rule> {
    let trigger = rule.rule.parse().ok()?;
    let (action, tier) = match feed {
        ALLOW => (Action::Passthru, None),
        _ => (Action::Nxdomain, Some(Tier::Block)),
    };
    let legal = Legal {
        authority: rule.authority.as_str().into(),
        order_number: rule.order_number.as_str().into(),
        reason: rule.reason.as_str().into(),
        tier,
        effective_from: rule.since,
        expires_at: rule.expires,
        approver: rule.confirmed_by.as_str().into(),
        ..Legal::default()
    };
    Some(Rule { trigger, action, legal: Arc::new(legal) })
}
