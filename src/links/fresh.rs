//! How long what is in memory may be believed when other nodes change links too.
//!
//! Every node hears of every change through a channel of the database. The channel proves itself:
//! a beat that was sent at some moment and came back says that everything committed before that
//! moment was heard. So a link in memory is as good as one read at the later of two moments, its
//! own reading and the newest beat that came back (if it was read since we listen), and is
//! believed for [`stale_max`](Freshness::new) after it. Then it is read again; when the database
//! is away, it goes on or not as the configuration says.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::clock::Clock;

/// How long links in memory are not read again after the database could not say what one is.
const SPARED: Duration = Duration::from_secs(1);

/// We do not listen.
const NEVER: u64 = u64::MAX;

/// What is known of the channel. Moments are microseconds since it was made.
#[derive(Debug)]
pub struct Freshness {
    clock: Clock,
    began: Instant,
    stale_max: Duration,
    serve_when_away: bool,
    /// Since when we listen without a break.
    since: AtomicU64,
    /// When the newest beat that came back was sent.
    proven: AtomicU64,
    /// Until when links in memory are not read.
    spared: AtomicU64,
}

impl Freshness {
    /// Links are believed for `stale_max`, and `serve_when_away`, while the database is away, for
    /// as long as they are in memory.
    pub fn new(clock: Clock, stale_max: Duration, serve_when_away: bool) -> Self {
        Self {
            began: clock.monotonic(),
            clock,
            stale_max,
            serve_when_away,
            since: AtomicU64::new(NEVER),
            proven: AtomicU64::new(0),
            spared: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> u64 {
        micros(self.clock.monotonic().saturating_duration_since(self.began))
    }

    pub(super) fn stale_max(&self) -> Duration {
        self.stale_max
    }

    /// The database could not say what a link is: for a while, what is in memory is not asked for
    /// again, so that visitors do not queue behind a database that is slow.
    pub(super) fn spare_reads(&self) {
        self.spared.store(self.now() + micros(SPARED), Ordering::SeqCst);
    }

    pub(super) fn spares_reads(&self) -> bool {
        self.now() < self.spared.load(Ordering::SeqCst)
    }

    pub(super) fn serves_when_away(&self) -> bool {
        self.serve_when_away
    }

    /// Whether a link that was read at `read` may still be believed.
    pub(super) fn believes(&self, read: u64) -> bool {
        let since = self.since.load(Ordering::SeqCst);
        let proven = self.proven.load(Ordering::SeqCst);
        // Not when the channel was lost and found again between the two.
        let unbroken = self.since.load(Ordering::SeqCst) == since;
        let good = if unbroken && read >= since { read.max(proven) } else { read };
        self.now().saturating_sub(good) <= micros(self.stale_max)
    }

    /// Whatever is committed from `at` on is heard.
    pub(super) fn listens(&self, at: u64) {
        self.proven.store(at, Ordering::SeqCst);
        self.since.store(at, Ordering::SeqCst);
    }

    /// A beat came back that was sent at `at`.
    pub(super) fn beat(&self, at: u64) {
        self.proven.fetch_max(at, Ordering::SeqCst);
    }

    /// Nothing is heard any more.
    pub(super) fn lost(&self) {
        self.since.store(NEVER, Ordering::SeqCst);
    }

    /// How long nothing has proved the channel, when that is longer than links are believed.
    pub fn silent(&self) -> Option<Duration> {
        let proven = self.proven.load(Ordering::SeqCst);
        let silent = Duration::from_micros(self.now().saturating_sub(proven));
        (silent > self.stale_max).then_some(silent)
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_of_is_believed() {
        let hour = Duration::from_secs(3_600);
        // Everything here happened an hour and a minute ago or just now.
        let mut fresh = Freshness::new(Clock::system(), Duration::from_secs(60), true);
        let Some(began) = fresh.began.checked_sub(hour + Duration::from_secs(60)) else { return };
        fresh.began = began;
        let (old, now) = (10, fresh.now());
        assert!(!fresh.believes(old) && fresh.believes(now), "without a channel");
        assert!(fresh.silent().is_some_and(|s| s > hour));
        fresh.listens(5);
        assert!(!fresh.believes(old), "nothing came back for an hour");
        fresh.beat(now);
        assert!(fresh.believes(old));
        assert!(!fresh.believes(4), "read before we listened");
        assert_eq!(fresh.silent(), None);
        fresh.lost();
        assert!(!fresh.believes(old));
        fresh.listens(now);
        assert!(!fresh.believes(old), "something may have been missed in between");
    }
}
