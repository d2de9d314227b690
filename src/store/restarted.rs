//! A server of another machine that was started anew.
//!
//! A server that does not fsync acknowledges rows that only its kernel has: a power cut there takes
//! the last half minute of them, and nobody says so. When the server turns out to have begun
//! later than before, everything in grace is counted, and what is missing goes again. Until that
//! is done, and while the server cannot be asked, nothing more leaves the grace: what it
//! acknowledged before its end must still be here when it is back.
//!
//! Our own engine needs none of this: killed, it leaves its pages to our kernel, and after a crash
//! of the machine the boot is another one, which is looked at before the first shipment.

use std::sync::{MutexGuard, PoisonError};

use super::{Error, deliver::UPTIME_STEP, ship::Shipper};
use crate::{clock::Timestamp, spool::Shipment};

/// What is known of the server's runs.
#[derive(Debug, Default)]
pub(super) struct ServerRuns {
    /// When the one began that was seen last, by our clock, or a little earlier.
    began: Option<Timestamp>,
    /// Every run until then was seen, and everything in grace counted after each change.
    trusted: Timestamp,
}

impl Shipper {
    /// Counts what is in grace where the server was started anew. Returns until when no restart
    /// of it is left to be found: what was acknowledged a grace before that is safe.
    pub(super) async fn trusted(&self, runs: &mut ServerRuns) -> Timestamp {
        let d = &self.delivery;
        let now = d.clock.now();
        if d.store.config().url == "embedded" {
            return now;
        }
        match self.look_for_restart(runs, now).await {
            Ok(()) => runs.trusted = now,
            Err(e) => d.failed(&e),
        }
        runs.trusted
    }

    async fn look_for_restart(&self, runs: &mut ServerRuns, now: Timestamp) -> Result<(), Error> {
        let d = &self.delivery;
        let uptime = d.store.uptime().await?;
        // However long the answer took, it began between these two.
        let (earliest, latest) = (now.saturating_sub(uptime), d.clock.now().saturating_sub(uptime));
        let restarted = match runs.began {
            Some(before) => latest.saturating_sub(UPTIME_STEP) > before,
            // An earlier run of ours may have shipped to an earlier one of the server.
            None => {
                let before = |ts: Timestamp| ts.saturating_sub(UPTIME_STEP) <= latest;
                d.spool.in_grace().iter().any(|f| before(f.max_ts))
            }
        };
        if restarted {
            let mut lost = Vec::new();
            let counted = self.recount_grace(&mut lost).await;
            self.again().append(&mut lost);
            counted.inspect_err(|e| {
                tracing::warn!(error = %e, "the store was started anew; waiting to count its rows");
            })?;
            tracing::info!("the store was started anew; what it had acknowledged was counted");
        }
        runs.began = Some(earliest);
        Ok(())
    }

    /// What the store lost and the deciding task has not taken on yet.
    pub(super) fn again(&self) -> MutexGuard<'_, Vec<Shipment>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
