//! Token buckets by key, in a table of fixed size.
//!
//! The table never grows: where a key's four places are taken, the one unseen for longest makes
//! way, and begins with a full bucket should it come back.

use std::{
    cmp::Reverse,
    collections::hash_map::RandomState,
    hash::BuildHasher,
    time::{Duration, Instant},
};

/// Places a key may lie in.
const WAYS: usize = 4;
/// What one use costs in a window of a second: what one use a second gains in a microsecond is 1.
const COST: u64 = 1_000_000;
/// The key of an empty place; no caller may use it.
const EMPTY: u128 = u128::MAX;

/// What became of one use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<'a> {
    /// It is within the quota.
    Within,
    /// It is over the quota.
    Over {
        /// The caller's count of uses over the quota; 0 in a new bucket.
        over: &'a mut u32,
        /// Until the next use is within it.
        wait: Duration,
    },
}

/// The buckets. `quota` uses at once, gained back over `window_s`.
pub(crate) struct Buckets {
    quota: u64,
    cost: u64,
    epoch: Instant,
    /// Secret, so that nobody can aim at the places of another key.
    hasher: RandomState,
    table: Box<[[Bucket; WAYS]]>,
}

#[derive(Clone, Copy)]
struct Bucket {
    key: u128,
    /// What is left, in parts of [`Buckets::cost`].
    tokens: u64,
    /// Microseconds after the epoch of the table.
    seen_us: u64,
    over: u32,
}

impl Buckets {
    /// Full buckets for at least one and about `table_max` keys; none for a quota of 0, which
    /// limits nothing. `now` is any instant no later than the first [`Self::take`].
    pub(crate) fn new(quota: u32, window_s: u32, table_max: usize, now: Instant) -> Self {
        let sets = if quota == 0 { 0 } else { (table_max / WAYS).max(1) };
        let empty = Bucket { key: EMPTY, tokens: u64::MAX, seen_us: 0, over: 0 };
        Self {
            quota: u64::from(quota),
            cost: COST * u64::from(window_s.max(1)),
            epoch: now,
            hasher: RandomState::new(),
            table: vec![[empty; WAYS]; sets].into_boxed_slice(),
        }
    }

    /// Whether there is a quota at all.
    pub(crate) const fn limits(&self) -> bool {
        self.quota > 0
    }

    /// Takes one use out of the bucket of `key`.
    pub(crate) fn take(&mut self, key: u128, now: Instant) -> Taken<'_> {
        if !self.limits() {
            return Taken::Within;
        }
        let now_us = micros(now.saturating_duration_since(self.epoch));
        let full = self.quota.saturating_mul(self.cost);
        let set = self.hasher.hash_one(key) as usize % self.table.len();
        let bucket = place(&mut self.table[set], key, full, now_us);
        let gained = now_us.saturating_sub(bucket.seen_us).saturating_mul(self.quota);
        bucket.tokens = bucket.tokens.saturating_add(gained).min(full);
        bucket.seen_us = now_us;
        if let Some(rest) = bucket.tokens.checked_sub(self.cost) {
            bucket.tokens = rest;
            return Taken::Within;
        }
        let wait = Duration::from_micros((self.cost - bucket.tokens).div_ceil(self.quota));
        Taken::Over { over: &mut bucket.over, wait }
    }

    /// What is left in the bucket of `key`, and until it is full again.
    pub(crate) fn left(&self, key: u128, now: Instant) -> (u64, Duration) {
        if !self.limits() {
            return (u64::MAX, Duration::ZERO);
        }
        let now_us = micros(now.saturating_duration_since(self.epoch));
        let full = self.quota.saturating_mul(self.cost);
        let set = self.hasher.hash_one(key) as usize % self.table.len();
        let Some(bucket) = self.table[set].iter().find(|b| b.key == key) else {
            return (self.quota, Duration::ZERO);
        };
        let gained = now_us.saturating_sub(bucket.seen_us).saturating_mul(self.quota);
        let tokens = bucket.tokens.saturating_add(gained).min(full);
        (tokens / self.cost, Duration::from_micros((full - tokens).div_ceil(self.quota)))
    }

    #[cfg(test)]
    pub(crate) fn sets(&self) -> usize {
        self.table.len()
    }
}

/// The key's bucket, or a full one in the place unseen for longest.
fn place(set: &mut [Bucket; WAYS], key: u128, full: u64, now_us: u64) -> &mut Bucket {
    let mut chosen = 0;
    for (i, bucket) in set.iter().enumerate() {
        if bucket.key == key {
            chosen = i;
            break;
        }
        // Of those seen at once, the one furthest from its limit.
        let rank = |b: &Bucket| (b.seen_us, b.over, Reverse(b.tokens));
        if rank(bucket) < rank(&set[chosen]) {
            chosen = i;
        }
    }
    let bucket = &mut set[chosen];
    if bucket.key != key {
        *bucket = Bucket { key, tokens: full, seen_us: now_us, over: 0 };
    }
    bucket
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_quota_comes_back_over_its_window() {
        let now = Clock::system().monotonic();
        let mut buckets = Buckets::new(6, 60, 64, now);
        let within = |buckets: &mut Buckets, at| {
            (0..20).filter(|_| buckets.take(1, at) == Taken::Within).count()
        };
        assert_eq!(buckets.left(1, now), (6, Duration::ZERO));
        assert_eq!(within(&mut buckets, now), 6);
        assert_eq!(buckets.left(1, now), (0, Duration::from_secs(60)));
        assert_eq!(buckets.left(1, now + Duration::from_secs(25)), (2, Duration::from_secs(35)));
        let Taken::Over { wait, .. } = buckets.take(1, now) else { panic!("over") };
        assert_eq!(wait, Duration::from_secs(10));
        assert_eq!(within(&mut buckets, now + wait), 1);
        assert_eq!(within(&mut buckets, now + Duration::from_secs(600)), 6);
        assert_eq!(buckets.take(2, now), Taken::Within, "another key");
        assert_eq!(Buckets::new(0, 60, 64, now).sets(), 0);
    }
}
