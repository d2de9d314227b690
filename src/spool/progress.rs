//! A sign of life, between steps each of which is bounded.

use std::{fmt, sync::Arc};

/// What is called between the steps of anything long: a segment read at the start, a lane's upkeep.
/// From any thread, many times a second, sometimes with a lock held: it must be quick.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn() + Send + Sync>);

impl Progress {
    /// Calls `tell`.
    pub fn new(tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn step(&self) {
        (self.0)();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(|| ())
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
