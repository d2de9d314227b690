//! Writes down the end of links whose end has come.
//!
//! No jump waits for it: an end counts from its time on. It is written so that it has a record, and
//! is looked for again until that has worked.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use crate::{
    clock::{Clock, Timestamp},
    links::{Error, Links},
};

/// Links ended at a time.
const AT_ONCE: usize = 500;

/// Ends are looked for again this long after they were: clocks of several nodes differ, and a
/// link may be given its end while others are looked for.
const LOOK_BACK: Duration = Duration::from_secs(86_400);

/// The task that does it.
pub(super) struct Expiry {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Expiry {
    pub(super) fn start(core: &Core) -> Self {
        let stop = CancellationToken::new();
        let (links, clock) = (Arc::clone(&core.links), core.clock.clone());
        let interval = Duration::from_millis(core.config.gateway.expire_interval_ms);
        let (tasks, stopped) = (core.tasks.clone(), stop.clone());
        let task = core.tasks.spawn(async move {
            let mut from = Timestamp::ZERO;
            while stopped.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
                let (links, clock, stopped) = (Arc::clone(&links), clock.clone(), stopped.clone());
                let sweep = tasks.spawn_blocking(move || sweep(&links, &clock, from, &stopped));
                match sweep.await {
                    Ok(Ok(next)) => from = next,
                    Ok(Err(error)) => tracing::warn!(%error, "ends of links cannot be written"),
                    Err(error) => tracing::error!(%error, "the search for ended links failed"),
                }
            }
        });
        Self { stop, task }
    }

    /// Stops it; what is under way is finished first.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the search for ended links failed");
        }
    }
}

/// Ends every link whose end lies at or after `from`; from where to look the next time.
fn sweep(
    links: &Links,
    clock: &Clock,
    from: Timestamp,
    stopped: &CancellationToken,
) -> Result<Timestamp, Error> {
    let until = clock.now();
    while !stopped.is_cancelled() {
        if links.expire(from, AT_ONCE)? < AT_ONCE {
            return Ok(until.saturating_sub(LOOK_BACK).max(Timestamp::ZERO));
        }
    }
    Ok(from)
}
