//! From the versions on disk to rules in memory.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    super::{
        super::{Error, events::EventKind, store::EventQuery},
        Feeds,
        aside::{Yields, aside},
        lock,
    },
    Failure, Loaded,
};
use crate::policy::Index;

/// A version whose rules are at hand until it was decided about.
#[must_use]
pub(in crate::feeds::service) struct Promised<'a> {
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

impl Feeds {
    /// Loads everything, at the start.
    pub(in crate::feeds::service) fn load_all(self: &Arc<Self>) -> Result<(), Error> {
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

    pub(super) fn load_in_background(self: &Arc<Self>, feed: &str, version: u64) {
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
    pub(in crate::feeds::service) fn load(
        &self,
        feed: &str,
        version: u64,
    ) -> Result<Arc<Index>, Error> {
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
    pub(in crate::feeds::service) fn loaded(&self, feed: &str) -> Option<Loaded> {
        lock(&self.force).loaded.get(feed).cloned()
    }

    /// The rules of a version that are in memory: in force here, or until just now.
    pub(in crate::feeds::service) fn at_hand(
        &self,
        feed: &str,
        version: u64,
    ) -> Option<Arc<Index>> {
        let force = lock(&self.force);
        let both = [force.loaded.get(feed), force.former.get(feed)];
        let found = both.into_iter().flatten().find(|l| l.version == version)?;
        Some(Arc::clone(&found.index))
    }

    /// Lets go of the version that was in force before.
    pub(in crate::feeds::service) fn forget_former(&self, feed: &str) {
        let former = lock(&self.force).former.remove(feed);
        // Its memory is given back without anybody waiting for the lock.
        drop(former);
    }

    /// Has the rules of a version at hand for when it is decided; forgets them when the answer is
    /// dropped, which is after it was obeyed.
    pub(in crate::feeds::service) fn make_ready(
        &self,
        feed: &str,
        version: u64,
        index: &Arc<Index>,
    ) -> Promised<'_> {
        let key = (feed.to_owned(), version);
        let mut force = lock(&self.force);
        force.ready.insert(key.clone(), Arc::clone(index));
        force.promised.insert(key.clone());
        Promised { feeds: self, key }
    }
}

/// A list that makes its reader panic fails like any other that cannot be read.
fn contained<T>(load: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(load))
        .unwrap_or_else(|_| Err(Error::Unreadable("its reader panicked".to_owned())))
}
