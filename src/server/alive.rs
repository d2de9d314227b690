//! Signs of life for the service manager, from whoever works through something long.
//!
//! While the spool is read back they extend the start, which no fixed `TimeoutStartSec` fits: a
//! start that is killed reads the same bytes again. After that they feed the watchdog. They come
//! from the thread that does the work, between steps that end, so that one that hangs is noticed.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{clock::Clock, notify};

/// What one step of the recovery may take: a segment of the largest size on a slow disk.
const STEP_MAX: Duration = Duration::from_secs(300);
/// How often a start is extended.
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// Who tells it, and when it was told last.
#[derive(Debug)]
pub(super) struct Alive {
    clock: Clock,
    watchdog: Option<Duration>,
    recovered: AtomicBool,
    told: Mutex<Option<Instant>>,
}

impl Alive {
    pub(super) fn new(clock: Clock) -> Self {
        let (watchdog, recovered) = (notify::watchdog_interval(), AtomicBool::new(false));
        Self { clock, watchdog, recovered, told: Mutex::default() }
    }

    /// The spool is open: what takes long from now on is not the start.
    pub(super) fn recovered(&self) {
        self.recovered.store(true, Ordering::Release);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A step is done. Cheap: it is told now and then.
    pub(super) fn step(&self) {
        let recovered = self.recovered.load(Ordering::Acquire);
        let every = if recovered { self.watchdog.map(|w| w / 2) } else { Some(EXTEND_EVERY) };
        let Some(every) = every else { return };
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.monotonic();
            if told.is_some_and(|at| now.duration_since(at) < every) {
                return;
            }
            *told = Some(now);
        }
        if recovered {
            notify::watchdog();
        } else {
            notify::extend_start(STEP_MAX);
        }
    }
}
