//! Links that may be followed so many times: visits are taken from the database in portions.
//!
//! What was taken and is not used when the process ends, or when its place in memory is needed, is
//! lost: such a link may stop early, and never late. A portion is an eighth of all visits, so that
//! what can be lost stays small beside them.

use std::{
    array,
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use quick_cache::sync::Cache;

use super::{Error, Link, Links};

/// A portion is this part of all visits.
const PARTS: u32 = 8;

/// Links whose portions are taken at once: a slow database holds up no more than one in so many.
const SHARDS: usize = 64;

/// Visits that may be made without asking the database.
#[derive(Debug)]
pub(super) struct Visits {
    leases: Cache<Box<str>, Arc<Lease>>,
    portion_max: u32,
    /// Each held while a portion is taken for one of the links that share it.
    taking: [Mutex<()>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug)]
struct Lease {
    left: AtomicU32,
    /// Of how many; a lease of fewer or more is another one.
    max: u32,
    /// The database had no more to give.
    last: bool,
}

impl Lease {
    fn take(&self) -> bool {
        let taken =
            self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        taken.is_ok()
    }
}

impl Visits {
    /// Leases of at most `leases_max` links, each of at most `portion_max` visits.
    pub(super) fn new(leases_max: usize, portion_max: u32) -> Self {
        Self {
            leases: Cache::new(leases_max),
            portion_max,
            taking: array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
        }
    }

    fn taking(&self, code: &str) -> &Mutex<()> {
        &self.taking[self.hasher.hash_one(code) as usize % SHARDS]
    }
}

impl Links {
    /// Takes one visit of a link if memory knows whether there is one left; none when only
    /// [`Links::take_visit`] can tell. Links without a limit always have one. Does not block.
    pub fn take_visit_in_memory(&self, link: &Link) -> Option<bool> {
        let max = link.settings().map_or(0, |s| s.visits_max);
        if max == 0 {
            return Some(true);
        }
        let lease = self.visits.leases.get(&*link.code).filter(|lease| lease.max == max)?;
        if lease.take() {
            return Some(true);
        }
        lease.last.then_some(false)
    }

    /// Takes one visit of a link: whether there was one left. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails; the visit must not be made then.
    pub fn take_visit(&self, link: &Link) -> Result<bool, Error> {
        let _one = self.visits.taking(&link.code).lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have taken a portion while we waited.
        if let Some(known) = self.take_visit_in_memory(link) {
            return Ok(known);
        }
        let max = link.settings().map_or(0, |s| s.visits_max);
        let portion = (max / PARTS).clamp(1, self.visits.portion_max);
        let given = self.store.lease_visits(&link.code, portion, max)?;
        let lease =
            Lease { left: AtomicU32::new(given.saturating_sub(1)), max, last: given < portion };
        self.visits.leases.insert(link.code.clone(), Arc::new(lease));
        Ok(given > 0)
    }
}
