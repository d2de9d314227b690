//! Gap rows: counts become rows of table `gaps`, exactly once.

use std::sync::atomic::Ordering;

use super::{
    Core, Error, Frame, Prepared, SharedLane, Spool,
    lane_view::LaneView,
    lock,
    state::{Phase, Slot, reason_of},
};
use crate::{
    clock::Timestamp,
    record::{
        GapRow, LaneId, Table,
        rowbinary::{Reader, Truncated},
    },
};

/// A gap row is written once nothing was added for this long …
const GAP_QUIET_MS: u128 = 1_000;

/// … or once it has been open for this long.
const GAP_OPEN_MS: u128 = 60_000;

impl Spool {
    pub(super) fn write_gaps(&self, lane: &LaneView, now: Timestamp) {
        let waiting = lock(&lane.state).waiting();
        for (n, slot) in waiting {
            let Slot { missing, phase, .. } = slot;
            let quiet = now < missing.to || now.since(missing.to).as_millis() >= GAP_QUIET_MS;
            let long = now.since(missing.from).as_millis() >= GAP_OPEN_MS;
            let due = quiet || long || lane.ended.load(Ordering::Acquire);
            if phase == Phase::Open && !due {
                continue;
            }
            if let Err(e) = self.write_gap(lane, n, &slot) {
                tracing::debug!(error = %e, "a gap row waits");
            }
        }
    }

    /// Turns a slot into a row of table `gaps`, exactly once.
    pub(super) fn write_gap(&self, lane: &LaneView, n: usize, slot: &Slot) -> Result<(), Error> {
        let fail = |e| Error::io("gap", &self.core.dir, e);
        if let Phase::Closing { lane: gaps, seq } = slot.phase {
            if self.core.is_dead(gaps) {
                // Only the files can tell, once the disk is read again.
                return Err(Error::Failed);
            }
            if self.core.is_kept(gaps, seq) {
                return lock(&lane.state).done(n).map_err(fail);
            }
        }
        let missing = slot.missing;
        let row = GapRow {
            stream: lane.table,
            gap_lane: lane.id,
            gap_id: slot.gap_id,
            count: missing.count,
            bound: if missing.upper { "upper" } else { "exact" },
            from_ts: missing.from,
            to_ts: missing.to,
            reason: reason_of(n).name(),
            detail: "",
        };
        let gaps = self.gaps()?;
        let prepared = gaps.prepare(&row)?;
        let (gaps_lane, seq) = (prepared.id.lane, prepared.id.seq);
        if !lock(&lane.state).closing(n, slot, gaps_lane, seq).map_err(fail)? {
            return Ok(());
        }
        self.append_gap(prepared, row.from_ts)?;
        gaps.sync()?;
        lock(&lane.state).done(n).map_err(fail)
    }

    /// Appends a gap row. From here until it is acknowledged nothing is complete past its start.
    pub(super) fn append_gap(&self, row: Prepared<'_>, from: Timestamp) -> Result<(), Error> {
        let place = (row.id.lane, row.id.seq);
        self.core.index().gaps.insert(place, from);
        let done = row.append();
        if done.is_err() {
            self.core.index().gaps.remove(&place);
        }
        done?;
        Ok(())
    }

    /// The gap rows in a frame: their places and the times they begin with.
    pub(super) fn gaps_in(&self, frame: &Frame) -> Vec<((LaneId, u64), Timestamp)> {
        if frame.table != Table::Gaps {
            return Vec::new();
        }
        let begins = |bytes: &[u8]| -> Option<Vec<Timestamp>> {
            let (mut rows, mut all) = (Reader(bytes), Vec::new());
            while !rows.is_empty() {
                let mut r = Reader(frame.schema.take_row(&mut rows).ok()?);
                all.push(gap_begins(&mut r).ok()?);
            }
            Some(all)
        };
        // Of rows that cannot be read at least their own time is known.
        let unknown = || vec![frame.min_ts];
        let all = self.read(frame).ok().and_then(|b| begins(&b)).unwrap_or_else(unknown);
        let places = (frame.first_seq..).map(|seq| (frame.lane, seq));
        places.zip(all).collect()
    }

    pub(super) fn gaps(&self) -> Result<SharedLane, Error> {
        self.shared(Table::Gaps)
    }
}

/// When the rows that a gap row names begin.
fn gap_begins(r: &mut Reader<'_>) -> Result<Timestamp, Truncated> {
    // The head: node, lane, seq, ts.
    r.bytes()?;
    r.take(3 * 8)?;
    // stream, gap_lane, gap_id, count, bound.
    r.bytes()?;
    r.take(3 * 8)?;
    r.bytes()?;
    r.ts()
}

impl Core {
    /// Whether this record of ours is in the spool or, by way of it, in the store.
    pub(super) fn is_kept(&self, lane: LaneId, seq: u64) -> bool {
        let lanes = lock(&self.lanes);
        if let Some(live) = lanes.live.get(&lane) {
            return seq < live.next_seq.load(Ordering::Acquire);
        }
        match lanes.ended.get(&lane) {
            Some(runs) => runs.contains(seq),
            // Long gone: nothing leaves the spool before it is acknowledged.
            None => lane.start() <= lanes.high,
        }
    }

    fn is_dead(&self, lane: LaneId) -> bool {
        lock(&self.lanes).live.get(&lane).is_some_and(|l| l.is_dead())
    }
}
