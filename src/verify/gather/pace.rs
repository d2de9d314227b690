//! Politeness: one question of a source at a time, so many in a while, and none while it asks for
//! pause or fails.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{
    clock::{Clock, Timestamp},
    verify::Fault,
};

/// The most sources that are remembered; beyond, those that are at rest are forgotten.
const SOURCES_MAX: usize = 4_096;

/// So many faults in a row, and a source is left alone.
const FAULTS_MAX: u32 = 3;

/// For how long, at first; twice as long after each fault more.
const REST: Duration = Duration::from_secs(60);

/// And at most so long, whatever it says.
const REST_MAX: Duration = Duration::from_secs(86_400);

/// Who may be asked when.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    clock: Clock,
    sources: Mutex<HashMap<String, Source>>,
}

#[derive(Clone, Debug)]
struct Source {
    /// Held by whoever asks.
    turn: Arc<AsyncMutex<()>>,
    /// Not before.
    next: Instant,
    faults: u32,
    /// What is said to whoever would ask before.
    resting: Option<(Timestamp, Fault)>,
}

impl Source {
    /// Why it is left alone, where it is.
    fn awake(&self, at: Timestamp) -> Result<(), Fault> {
        match &self.resting {
            Some((until, fault)) if *until > at => Err(fault.clone()),
            _ => Ok(()),
        }
    }
}

/// The right to ask once.
#[derive(Debug)]
pub(super) struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl Pace {
    pub(super) fn new(interval: Duration, clock: Clock) -> Self {
        Self { interval, clock, sources: Mutex::default() }
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// Why the source is left alone now.
    pub(super) async fn turn(&self, source: &str) -> Result<Turn, Fault> {
        let turn = self.with(source, |s, _| {
            s.awake(self.clock.now())?;
            Ok(Arc::clone(&s.turn))
        })?;
        let held = turn.lock_owned().await;
        // Whoever asked meanwhile may have been told to wait.
        let next = self.with(source, |s, _| {
            s.awake(self.clock.now())?;
            Ok(s.next)
        })?;
        tokio::time::sleep_until(next.into()).await;
        self.with(source, |s, now| s.next = now + self.interval);
        Ok(Turn { _held: held })
    }

    /// Takes note of how it went.
    pub(super) fn went<T>(&self, source: &str, how: &Result<T, Fault>) {
        let at = self.clock.now();
        self.with(source, |s, _| {
            let rest = |n: u32| REST.saturating_mul(1 << n.min(10)).min(REST_MAX);
            match how {
                Err(fault @ Fault::RateLimited { retry_at }) => {
                    let said = retry_at.map(|t: Timestamp| t.since(at));
                    let long = said.unwrap_or_else(|| rest(s.faults)).min(REST_MAX);
                    s.faults += 1;
                    s.resting = Some((at.saturating_add(long), fault.clone()));
                }
                Err(
                    Fault::Unreachable | Fault::Untrusted | Fault::Silent | Fault::Failed { .. },
                ) => {
                    s.faults += 1;
                    if s.faults >= FAULTS_MAX {
                        let until = at.saturating_add(rest(s.faults - FAULTS_MAX));
                        s.resting = Some((until, Fault::Spared));
                    }
                }
                _ => (s.faults, s.resting) = (0, None),
            }
        });
    }

    fn with<T>(&self, source: &str, act: impl FnOnce(&mut Source, Instant) -> T) -> T {
        let now = self.clock.monotonic();
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(source) {
            let at = self.clock.now();
            sources.retain(|_, s| s.awake(at).is_err() || s.next > now);
        }
        let new = || Source { turn: Arc::default(), next: now, faults: 0, resting: None };
        act(sources.entry(source.to_owned()).or_insert_with(new), now)
    }
}
