//! The last verdicts in memory, for whoever cannot wait: a jump, a conversion. And who is to be
//! verified because somebody wanted to know.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{Occasion, Overall, book::Last};
use crate::clock::Timestamp;

/// The last verdicts by host.
#[derive(Debug)]
pub struct Verdicts {
    by: RwLock<HashMap<Box<str>, Arc<Last>>>,
    verdicts_max: usize,
    wanted: Mutex<BTreeMap<Box<str>, Occasion>>,
    wanted_max: usize,
}

impl Verdicts {
    /// Of at most `verdicts_max` hosts, and wishes about at most `wanted_max`.
    pub fn new(verdicts_max: usize, wanted_max: usize) -> Self {
        Self { by: RwLock::default(), verdicts_max, wanted: Mutex::default(), wanted_max }
    }

    /// The last verdict on a host that may be believed at `now`.
    pub fn standing(&self, host: &str, now: Timestamp) -> Option<Arc<Last>> {
        let by = self.by.read().unwrap_or_else(PoisonError::into_inner);
        by.get(host).filter(|last| now <= last.valid_until).cloned()
    }

    /// The same; without one the host is wanted.
    pub fn standing_or_wanted(
        &self,
        host: &str,
        now: Timestamp,
        occasion: Occasion,
    ) -> Option<Arc<Last>> {
        let found = self.standing(host, now);
        if found.is_none() {
            self.want(host, occasion);
        }
        found
    }

    /// Notes that somebody wants to know about a host. Where too many are wanted already, it is not
    /// noted: whoever is sent there next wants it again.
    pub fn want(&self, host: &str, occasion: Occasion) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if !host.is_empty() && (wanted.len() < self.wanted_max || wanted.contains_key(host)) {
            wanted.entry(host.into()).or_insert(occasion);
        }
    }

    /// Takes what is wanted.
    pub(super) fn take_wanted(&self) -> BTreeMap<Box<str>, Occasion> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a verdict. Where there are too many, those that may not be believed any more go, and then
    /// any.
    pub fn put(&self, host: &str, last: Last, now: Timestamp) {
        let mut by = self.by.write().unwrap_or_else(PoisonError::into_inner);
        if by.len() >= self.verdicts_max && !by.contains_key(host) {
            by.retain(|_, kept| now <= kept.valid_until);
            while by.len() >= self.verdicts_max {
                let Some(any) = by.keys().next().cloned() else { break };
                by.remove(&any);
            }
        }
        by.insert(host.into(), Arc::new(last));
    }
}

impl Last {
    /// The verdict as an outcome: what policy goes by. Unverified is not known, and never false.
    pub const fn outcome(&self) -> &'static str {
        match self.overall {
            Overall::Verified | Overall::VerifiedWithNotes => "true",
            Overall::Unverified => "unknown",
            Overall::Discrepant | Overall::Contradicted => "false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(valid_until: i64) -> Last {
        Last {
            overall: Overall::Discrepant,
            adverse: vec!["RES-07"],
            at: Timestamp::from_secs(0),
            valid_until: Timestamp::from_secs(valid_until),
            record: "n-1-0".into(),
        }
    }

    #[test]
    fn verdicts_end_and_are_bounded() {
        let at = Timestamp::from_secs;
        let verdicts = Verdicts::new(2, 2);
        verdicts.put("a", last(10), at(0));
        assert_eq!(verdicts.standing("a", at(10)).unwrap().outcome(), "false");
        assert_eq!(verdicts.standing("a", at(11)), None);
        verdicts.put("b", last(20), at(0));
        verdicts.put("c", last(20), at(11));
        assert_eq!(verdicts.standing("a", at(0)), None, "it went");
        assert!(
            verdicts.standing("b", at(11)).is_some() && verdicts.standing("c", at(11)).is_some()
        );
        verdicts.put("d", last(20), at(11));
        let left =
            ["b", "c", "d"].iter().filter(|h| verdicts.standing(h, at(11)).is_some()).count();
        assert_eq!(left, 2);
        for host in ["x", "y", "z", "x"] {
            assert_eq!(verdicts.standing_or_wanted(host, at(0), Occasion::FirstSeen), None);
        }
        assert_eq!(verdicts.take_wanted().len(), 2);
        assert!(verdicts.take_wanted().is_empty());
    }
}
