//! Obeying the database, several times a second.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{
    super::{super::Error, Feeds, lock},
    Force,
};
use crate::policy::PolicySet;

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

    /// Builds the set anew and swaps it, where anything in it is new.
    pub(super) fn rebuild(&self, force: &mut Force) {
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
    pub(in crate::feeds::service) fn failure(&self, feed: &str) -> Option<String> {
        lock(&self.force).failures.get(feed).map(|failure| failure.why.clone())
    }
}
