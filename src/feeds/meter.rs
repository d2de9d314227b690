//! How much of a piece of work is done, for whoever waits for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use schemars::JsonSchema;
use serde::Serialize;

/// Counts that one side moves and another one looks at. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    total: AtomicU64,
    rules: AtomicU64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FeedProgress")]
pub struct Done {
    /// Bytes received, or read.
    pub bytes: u64,
    /// Of so many; none where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Rules read; 0 while bytes are received.
    pub rules: u64,
}

impl Meter {
    /// Begins anew, with so many bytes to come; 0 where nobody knows.
    pub fn begin(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
        self.0.bytes.store(0, Ordering::Relaxed);
        self.0.rules.store(0, Ordering::Relaxed);
    }

    /// More bytes are done.
    pub fn add(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes are done.
    pub fn at(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// So many rules are.
    pub fn rules(&self, rules: u64) {
        self.0.rules.store(rules, Ordering::Relaxed);
    }

    /// How far it is now.
    pub fn done(&self) -> Done {
        let total = self.0.total.load(Ordering::Relaxed);
        Done {
            bytes: self.0.bytes.load(Ordering::Relaxed),
            bytes_total: (total > 0).then_some(total),
            rules: self.0.rules.load(Ordering::Relaxed),
        }
    }
}
