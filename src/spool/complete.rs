//! How far the store is complete, and the clock that this is told by.

use std::sync::atomic::Ordering;

use super::{
    Spool,
    lane_view::{BUSY, IDLE},
    lock,
};
use crate::{
    clock::Timestamp,
    record::{GapRow, Table},
};

/// `complete_through` stays this far behind the clock, and smaller steps back go unreported.
const CLOCK_MARGIN_MS: u64 = 100;

impl Spool {
    /// Every row of this node with an earlier ts is acknowledged, or named in a gap row that is
    /// acknowledged itself. Lanes without rows do not hold it. It never steps back: when the clock
    /// does, a gap row `clock_step` says for which time it cannot be relied on.
    pub fn complete_through(&self) -> Timestamp {
        let core = &self.core;
        // The clock is read first: a row that nobody can see yet has a later ts.
        let now = core.clock.now();
        let mut through = now.saturating_sub(std::time::Duration::from_millis(CLOCK_MARGIN_MS)).0;
        let lanes: Vec<_> = {
            let lanes = lock(&core.lanes);
            through = through.min(lanes.deferred.values().map(|t| t.0).min().unwrap_or(i64::MAX));
            lanes.live.values().cloned().collect()
        };
        for lane in lanes {
            match lane.since.load(Ordering::SeqCst) {
                BUSY => through = i64::MIN,
                IDLE => {}
                ts => through = through.min(ts),
            }
            // After that: rows are counted before their lane is said to be idle. Before the index:
            // a gap row is known there before its count is gone here.
            let oldest = lock(&lane.state).oldest();
            through = through.min(oldest.map_or(i64::MAX, |t| t.0));
        }
        core.collect();
        let oldest = core.index().oldest_missing();
        through = through.min(oldest.map_or(i64::MAX, |t| t.0));
        let before = core.floor.fetch_max(through, Ordering::AcqRel);
        Timestamp(before.max(through))
    }

    pub(super) fn watch_clock(&self, now: Timestamp) {
        let before = {
            let mut newest = lock(&self.core.newest_now);
            let before = *newest;
            *newest = now;
            before
        };
        if before.since(now).as_millis() <= u128::from(CLOCK_MARGIN_MS) {
            return;
        }
        let done = self.gaps().and_then(|gaps| {
            let lane = gaps.lane_id();
            let row = GapRow {
                stream: Table::Gaps,
                gap_lane: lane,
                gap_id: (1 << 62) | u64::try_from(before.0).unwrap_or(0),
                count: 0,
                bound: "exact",
                from_ts: now,
                to_ts: before,
                reason: "clock_step",
                detail: "",
            };
            self.append_gap(gaps.prepare(&row)?, row.from_ts)
        });
        if let Err(e) = done {
            // Told by the next call instead.
            tracing::warn!(error = %e, "the clock stepped back and no gap row could say so yet");
            *lock(&self.core.newest_now) = before;
        }
    }
}
