//! Who may have a zone, and who may tell us of a new version of one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::Notify;

use super::zone::SharedZone;
use crate::name::Name;

/// A zone as it is shared.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// The zone.
    pub zone: Arc<SharedZone>,
    /// The name of the key that transfers must be signed with; empty for none.
    pub key: String,
    /// Who is told of new versions, and, where there is no key, who may transfer.
    pub secondaries: Vec<SocketAddr>,
}

impl Sharing {
    /// Whether `peer`, whose question is signed with the key `signed`, may have the zone. Where
    /// there is a key, it decides; else the address.
    pub(super) fn allows(&self, peer: IpAddr, signed: Option<&str>) -> bool {
        if self.key.is_empty() {
            self.secondaries.iter().any(|s| s.ip().to_canonical() == peer)
        } else {
            signed == Some(self.key.as_str())
        }
    }
}

/// A zone that we take from a primary.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The primary's addresses.
    pub primaries: Vec<IpAddr>,
    /// The name of the key that it signs with; empty for none.
    pub key: String,
    /// What is woken when it tells of a new version. Many tellings at once are one.
    pub wake: Arc<Notify>,
}

impl Watched {
    pub(super) fn allows(&self, peer: IpAddr, signed: Option<&str>) -> bool {
        let by_key = !self.key.is_empty() && signed == Some(self.key.as_str());
        by_key || self.primaries.iter().any(|p| p.to_canonical() == peer)
    }
}

/// A zone's name, and who takes it.
type OfZone = (Box<[u8]>, Watched);

/// What the sockets for transfers serve; changed while they do.
#[derive(Debug, Default)]
pub struct Registry {
    shared: RwLock<BTreeMap<Box<[u8]>, Arc<Sharing>>>,
    watched: RwLock<BTreeMap<String, OfZone>>,
}

impl Registry {
    /// Shares a zone, or shares it in another way.
    pub fn share(&self, sharing: Sharing) {
        let key = sharing.zone.apex().wire().into();
        let mut all = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, Arc::new(sharing));
    }

    /// Shares a zone no longer.
    pub fn unshare(&self, apex: &Name) {
        let mut all = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(apex.lower().wire());
    }

    /// The zone of this name.
    pub fn shared(&self, apex: &Name) -> Option<Arc<Sharing>> {
        let all = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        all.get(apex.lower().wire()).cloned()
    }

    /// Listens for tellings about the zone that `feed` comes from.
    pub fn watch(&self, feed: &str, apex: &Name, watched: Watched) {
        let mut all = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(feed.to_owned(), (apex.lower().wire().into(), watched));
    }

    /// Listens no longer for `feed`.
    pub fn unwatch(&self, feed: &str) {
        self.watched.write().unwrap_or_else(PoisonError::into_inner).remove(feed);
    }

    /// Wakes whoever takes `apex` from `peer`; whether anybody does.
    pub(super) fn told(&self, apex: &Name, peer: IpAddr, signed: Option<&str>) -> bool {
        let all = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let apex = apex.lower();
        let ours =
            all.values().filter(|(name, w)| **name == *apex.wire() && w.allows(peer, signed));
        ours.map(|(_, w)| w.wake.notify_one()).count() > 0
    }
}
