//! What the shipper does before its first shipment: the store is made ready, and what is in doubt
//! from an earlier run is found.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Error,
    backoff::Backoff,
    choose::choose,
    deliver::{Job, blocking},
    ship::Shipper,
};
use crate::{
    record::Table,
    spool::{Frame, Shipment},
};

/// What a store that starts with us may take, the embedded engine above all, before it is a worry.
const START_UP: Duration = Duration::from_secs(10);

impl Shipper {
    /// Makes the store ready, however long it takes. False when cancelled.
    pub(super) async fn prepare(&mut self) -> Result<bool, Error> {
        let (store, cancel) = (self.delivery.store.clone(), self.delivery.cancel.clone());
        let mut backoff = Backoff::new(&store);
        let begun = self.delivery.clock.monotonic();
        loop {
            let ready = async {
                store.prepare(self.durability).await?;
                self.delivery.health.tables_made();
                self.rule_out_twin().await
            };
            let done = tokio::select! {
                () = cancel.cancelled() => return Ok(false),
                done = ready => done,
            };
            match done {
                Ok(()) => {
                    self.delivery.answered();
                    return Ok(true);
                }
                Err(e) if e.is_final() => return Err(e),
                Err(e) => {
                    self.delivery.failed(&e);
                    let took = self.delivery.clock.monotonic().saturating_duration_since(begun);
                    if took < START_UP {
                        tracing::info!(error = %e, "the store is not ready yet");
                    } else {
                        tracing::warn!(error = %e, "the store is not ready");
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(false),
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Shipments that were under way, and after a reboot what the store lost of acknowledged ones.
    /// None when cancelled.
    pub(super) async fn recount(&self) -> Option<Vec<Job>> {
        let d = &self.delivery;
        let mut backoff = Backoff::new(&d.store);
        loop {
            match self.recount_once().await {
                Ok(jobs) => return Some(jobs),
                Err(e) => {
                    d.failed(&e);
                    tracing::warn!(error = %e, "waiting to count what the store has");
                }
            }
            tokio::select! {
                () = d.cancel.cancelled() => return None,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    async fn recount_once(&self) -> Result<Vec<Job>, Error> {
        let d = &self.delivery;
        let rebooted = d.store.last_boot(&d.node).await?.is_none_or(|id| id != d.spool.boot_id());
        if rebooted {
            // They are among the open ones below.
            self.recount_grace(&mut Vec::new()).await?;
        }
        let remembered = Duration::from_secs(d.store.config().doubt_resend_s);
        let now = d.clock.now();
        let whole_until = |frames: &[Frame]| {
            let newest = frames.iter().map(|f| f.max_ts).max()?;
            let left = remembered.checked_sub(now.since(newest))?;
            (!rebooted).then(|| d.clock.monotonic() + left)
        };
        let open = d.spool.open_shipments().into_iter();
        Ok(open
            .map(|s| {
                let until = whole_until(&s.frames);
                Job::doubtful(s, until)
            })
            .collect())
    }

    /// Counts everything in grace in the store. What is missing is put into shipments of its own,
    /// which `lost` has after an error too.
    pub(super) async fn recount_grace(&self, lost: &mut Vec<Shipment>) -> Result<(), Error> {
        let mut tables: BTreeMap<Table, Vec<Frame>> = BTreeMap::new();
        for frame in self.delivery.spool.in_grace() {
            tables.entry(frame.table).or_default().push(frame);
        }
        for mut frames in tables.into_values() {
            while let Some(chosen) = choose(&mut frames, &self.limits()) {
                lost.extend(self.recount_frames(chosen.frames).await?);
            }
        }
        Ok(())
    }

    async fn recount_frames(&self, frames: Vec<Frame>) -> Result<Option<Shipment>, Error> {
        let d = &self.delivery;
        let presence = d.store.presence(&d.node, &frames).await?;
        let lost: Vec<Frame> = frames
            .into_iter()
            .enumerate()
            .filter_map(|(n, frame)| (!presence.has_whole(n)).then_some(frame))
            .collect();
        if lost.is_empty() {
            return Ok(None);
        }
        tracing::warn!(
            table = %lost[0].table, frames = lost.len(),
            "the store lost rows it had acknowledged; sending them again"
        );
        let spool = d.spool.clone();
        // Under a new token, as an open shipment from here on.
        Ok(Some(blocking(move || spool.ship_again(lost)).await?))
    }
}
