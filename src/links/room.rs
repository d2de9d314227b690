//! How many links an owner may have that can be followed.
//!
//! Counting them takes as long as there are many. So what a count found free is used up by a
//! sixteenth before the next one: far from the limit it is rare, at the limit every link is counted.
//! What is promised and not yet written counts as if it were. Several nodes that make links of one
//! owner at once see each other's with the next count, and may together pass the limit by what each
//! may use up in between.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{Error, LinkStore};

/// What is left between two counts, as a part of what is free.
const PART: u64 = 16;

/// Owners remembered; beyond it every link of those that nobody is making links for is counted.
const OWNERS_MAX: usize = 4_096;

/// The links that owners may have.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// 0 for no limit.
    max: u64,
    owners: Mutex<HashMap<String, Owner>>,
}

#[derive(Debug, Default)]
struct Owner {
    /// What may be promised before the next count.
    left: u64,
    /// What is promised and may not be written yet.
    promised: u64,
}

/// What was promised to whoever is making links; given up when dropped, written or not.
#[derive(Debug)]
pub(super) struct Promised<'a> {
    room: &'a Room,
    of: HashMap<String, u64>,
}

impl Room {
    pub(super) fn new(max: u64) -> Self {
        Self { max, owners: Mutex::default() }
    }

    /// The limit.
    pub(super) const fn max(&self) -> u64 {
        self.max
    }

    pub(super) fn begin(&self) -> Promised<'_> {
        Promised { room: self, of: HashMap::new() }
    }
}

impl Promised<'_> {
    /// Takes room for one more of `owner`; whether there is. Blocks on the disk.
    pub(super) fn take(&mut self, store: &dyn LinkStore, owner: &str) -> Result<bool, Error> {
        if self.room.max == 0 {
            return Ok(true);
        }
        // Held while it is counted: others of the same owner would count the same.
        let mut owners = self.room.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= OWNERS_MAX {
            owners.retain(|name, o| o.promised > 0 || name == owner);
        }
        let of = owners.entry(owner.to_owned()).or_default();
        if of.left == 0 {
            let live = store.live(owner, self.room.max)?;
            let free = self.room.max.saturating_sub(live).saturating_sub(of.promised);
            if free == 0 {
                return Ok(false);
            }
            of.left = (free / PART).max(1);
        }
        of.left -= 1;
        of.promised += 1;
        *self.of.entry(owner.to_owned()).or_default() += 1;
        Ok(true)
    }
}

impl Drop for Promised<'_> {
    fn drop(&mut self) {
        if self.of.is_empty() {
            return;
        }
        let mut owners = self.room.owners.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, count) in &self.of {
            if let Some(owner) = owners.get_mut(name) {
                owner.promised = owner.promised.saturating_sub(*count);
            }
        }
    }
}
