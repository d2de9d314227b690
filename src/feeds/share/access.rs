//! Who may have a zone, and who may tell us of a new version of one.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

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
}

impl Watched {
    pub(super) fn allows(&self, peer: IpAddr, signed: Option<&str>) -> bool {
        let by_key = !self.key.is_empty() && signed == Some(self.key.as_str());
        by_key || self.primaries.iter().any(|p| p.to_canonical() == peer)
    }
}

/// A zone's name, and who takes it.
type OfZone = (Box<[u8]>, Watched);

/// Who is told.
struct Told(Box<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// What the sockets for transfers serve; changed while they do.
#[derive(Debug, Default)]
pub struct Registry {
    shared: RwLock<BTreeMap<Box<[u8]>, Arc<Sharing>>>,
    watched: RwLock<BTreeMap<String, OfZone>>,
    told: OnceLock<Told>,
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

    /// Calls `told` with the name of each feed whose primary tells of a new version. It must not
    /// block. Only the first call counts.
    pub fn on_told(&self, told: impl Fn(&str) + Send + Sync + 'static) {
        if self.told.set(Told(Box::new(told))).is_err() {
            tracing::debug!("somebody listens to primaries already");
        }
    }

    /// Tells whoever takes `apex` from `peer`; whether anybody does.
    pub(super) fn told(&self, apex: &Name, peer: IpAddr, signed: Option<&str>) -> bool {
        let all = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let apex = apex.lower();
        let ours = |(zone, w): &OfZone| **zone == *apex.wire() && w.allows(peer, signed);
        let feeds: Vec<&String> = all.iter().filter(|(_, w)| ours(w)).map(|(f, _)| f).collect();
        if let Some(Told(told)) = self.told.get() {
            feeds.iter().for_each(|feed| told(feed));
        }
        !feeds.is_empty()
    }
}
