//! The set in force, as everybody who decides and whoever changes it hold it.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use super::PolicySet;

/// The set in force. Copies share it; a swap is seen by all of them at once.
#[derive(Clone)]
pub struct InForce(Arc<ArcSwap<PolicySet>>);

impl InForce {
    /// The empty set in force.
    pub fn new() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(PolicySet::empty())))
    }

    /// The set in force now. Whoever decides holds on to it until the decision is made.
    pub fn load(&self) -> Guard<Arc<PolicySet>> {
        self.0.load()
    }

    /// The same, to be kept for longer.
    pub fn load_full(&self) -> Arc<PolicySet> {
        self.0.load_full()
    }

    /// Puts `set` in force; returns the one that was.
    pub fn swap(&self, set: Arc<PolicySet>) -> Arc<PolicySet> {
        self.0.swap(set)
    }
}

impl Default for InForce {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InForce").field("set", &self.load().id()).finish()
    }
}
