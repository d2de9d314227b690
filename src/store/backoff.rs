//! Waits between attempts.

use std::time::Duration;

use super::Store;

/// The first wait after a failed attempt.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Waits that double up to a limit, each a little different, so that nodes do not come back as one.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(store: &Store) -> Self {
        let max = Duration::from_millis(store.config().backoff_ms_max);
        Self { next: BACKOFF_MIN.min(max), max }
    }

    /// The next wait: between half of the step and the whole of it.
    pub(super) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        // Without randomness the whole step will do.
        let part = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        step.mul_f64(0.5 + part / 2.0)
    }
}
