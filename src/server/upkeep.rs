//! The steady work: the spool's maintenance, gauges, the watchdog.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Error, alive::Alive, core::Core, storage::Storage};
use crate::{
    clock::Clock,
    links::Links,
    metrics::Metrics,
    resolver::Resolver,
    spool::Spool,
    store::engine::{State, Supervisor},
};

/// How often the spool is maintained.
const INTERVAL: Duration = Duration::from_millis(100);
/// How often gauges are set, in intervals.
const GAUGES_EVERY: u32 = 10;

/// The thread that does it.
pub(super) struct Upkeep {
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
    ended: oneshot::Receiver<()>,
}

struct Work {
    spool: Spool,
    metrics: Arc<Metrics>,
    resolver: Arc<Resolver>,
    links: Arc<Links>,
    engine: Option<watch::Receiver<State>>,
    clock: Clock,
    alive: Arc<Alive>,
    stop: CancellationToken,
}

impl Upkeep {
    /// Starts the thread.
    pub(super) fn start(core: &Core, storage: &Storage) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let work = Work {
            spool: core.spool.clone(),
            metrics: Arc::clone(&core.metrics),
            resolver: Arc::clone(&core.resolver),
            links: Arc::clone(&core.links),
            engine: storage.engine.as_ref().map(Supervisor::state),
            clock: core.clock.clone(),
            alive: Arc::clone(&core.alive),
            stop: stop.clone(),
        };
        let (tell, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("upkeep".into())
            .spawn(move || {
                // Dropped when the thread ends, by a panic too.
                let _tell = tell;
                work.run();
            })
            .map_err(Error::io("the upkeep thread"))?;
        Ok(Self { stop, thread: Some(thread), ended })
    }

    /// Waits for the thread to end, which it should not.
    pub(super) async fn ended(&mut self) -> Error {
        // An error is the sender's end: the thread's.
        let (Ok(()) | Err(_)) = (&mut self.ended).await;
        Error::Ended("upkeep".into())
    }

    /// Stops and joins it.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        let Some(thread) = self.thread.take() else { return };
        if let Ok(Err(_)) = tokio::task::spawn_blocking(move || thread.join()).await {
            tracing::error!("the upkeep thread panicked");
        }
    }
}

impl Work {
    fn run(&self) {
        let mut round = 0_u32;
        while !self.stop.is_cancelled() {
            self.spool.maintain();
            if round.is_multiple_of(GAUGES_EVERY) {
                self.gauges();
            }
            round = round.wrapping_add(1);
            self.alive.step();
            thread::sleep(INTERVAL);
        }
    }

    fn gauges(&self) {
        let (stats, m) = (self.spool.stats(), &self.metrics);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let float = |n: u64| n as f64;
        m.spool.disk_bytes.set(float(stats.disk_bytes));
        m.spool.pending_rows.set(float(stats.unshipped_rows));
        m.spool.shed.absolute(stats.shed_rows);
        m.spool.quarantined.set(float(stats.frames_aside as u64));
        let oldest = match stats.oldest_unshipped.0 {
            0 => Duration::ZERO,
            _ => self.clock.now().since(stats.oldest_unshipped),
        };
        m.spool.oldest_seconds.set(oldest.as_secs_f64());
        m.api.control_failed.set(if self.links.store().takes_writes() { 0.0 } else { 1.0 });
        let silent = self.links.store().freshness().and_then(|f| f.silent());
        m.api.control_silent.set(silent.unwrap_or_default().as_secs_f64());
        m.dns.cache_bytes.set(float(self.resolver.cache_size().1));
        if let Some(engine) = &self.engine
            && let State::Ready(endpoint) = &*engine.borrow()
        {
            m.store.engine_restarts.absolute(endpoint.run.saturating_sub(1));
        }
        m.maintain();
    }
}
