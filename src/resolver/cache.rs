//! Answers kept ready: what upstream, or a local zone, said before policy.
//!
//! Bounded in bytes. Entries carry their own deadline; one past it is served only to callers that
//! allow stale answers, until it is evicted or replaced.

use std::{sync::Arc, time::Instant};

use quick_cache::{Weighter, sync};

use super::{Transport, entry::Entry, query::Query};
use crate::name::NAME_BYTES_MAX;

/// What tells answers apart, on the stack: type, DO, CD and RD, then the name in lower case.
///
/// RD matters for local zones: with it, what they do not hold is asked upstream. Upstream answers
/// all have it, so that it splits none of theirs.
pub(crate) struct Key {
    len: usize,
    bytes: [u8; NAME_BYTES_MAX + 3],
}

/// The bit of a key for answers over TCP, where that matters.
const OVER_TCP: u8 = 1 << 3;

impl Key {
    /// The key of a question of class IN.
    pub(crate) fn new(q: &Query) -> Self {
        let name = q.lower.wire();
        let mut bytes = [0; NAME_BYTES_MAX + 3];
        bytes[..2].copy_from_slice(&q.qtype.to_be_bytes());
        bytes[2] = u8::from(q.do_bit()) | u8::from(q.cd) << 1 | u8::from(q.rd) << 2;
        bytes[3..3 + name.len()].copy_from_slice(name);
        Self { len: 3 + name.len(), bytes }
    }

    /// The key of what rules make of a question, which may depend on how it arrived.
    pub(crate) fn made(q: &Query, transport: Transport) -> Self {
        let mut key = Self::new(q);
        key.bytes[2] |= if transport == Transport::Tcp { OVER_TCP } else { 0 };
        key
    }

    /// Its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What a look-up came to.
pub(crate) enum Hit {
    /// Within its time.
    Fresh(Arc<Entry>),
    /// Past its time.
    Stale(Arc<Entry>),
    /// Not there.
    Miss,
}

impl Hit {
    /// An answer past its time, where there is one: itself, or what a failure remembers.
    pub(crate) fn into_stale(self) -> Option<Arc<Entry>> {
        match self {
            Self::Fresh(entry) | Self::Stale(entry) if entry.failed() => entry.stale(),
            Self::Stale(entry) => Some(entry),
            Self::Fresh(_) | Self::Miss => None,
        }
    }
}

/// The average entry's size that tables are prepared for, in bytes.
const ENTRY_BYTES_TYPICAL: u64 = 1_024;

/// What an entry takes besides its own bytes: the key's allocation, table and queue slots.
const ENTRY_BYTES_OVERHEAD: usize = 96;

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Box<[u8]>, Arc<Entry>> for Bytes {
    fn weight(&self, key: &Box<[u8]>, entry: &Arc<Entry>) -> u64 {
        (key.len() + entry.bytes() + ENTRY_BYTES_OVERHEAD) as u64
    }
}

/// A cache of answers.
#[derive(Debug)]
pub(crate) struct Cache(sync::Cache<Box<[u8]>, Arc<Entry>, Bytes>);

impl Cache {
    /// One that holds about `bytes_max` bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let items = usize::try_from(bytes_max / ENTRY_BYTES_TYPICAL).unwrap_or(usize::MAX);
        Self(sync::Cache::with_weighter(items, bytes_max, Bytes))
    }

    /// Looks a question up.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Hit {
        match self.0.get(key.as_bytes()) {
            None => Hit::Miss,
            Some(entry) if entry.is_fresh(now) => Hit::Fresh(entry),
            Some(entry) => Hit::Stale(entry),
        }
    }

    /// Keeps an answer, in place of an older one.
    pub(crate) fn insert(&self, key: &Key, entry: Arc<Entry>) {
        self.0.insert(key.as_bytes().into(), entry);
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    /// Answers kept.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
