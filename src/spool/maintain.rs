//! Upkeep, off the serving threads: segments ahead of need, sealing, marks, gap rows, the clock.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use super::{
    Core, Error, Frame, Prepared, Spool,
    index::FrameState,
    lane::{BUSY, IDLE, LaneShared},
    lock,
    old::Runs,
    segment::{self, reserve_path},
    shared::SharedLane,
    shipment::{parse_aside, read_file},
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
/// A lane that wrote nothing for this long gives back its reserved seq, so that a power cut is not
/// said to have taken what was never there.
const MARK_IDLE_MS: u128 = 60_000;
/// `complete_through` stays this far behind the clock, and smaller steps back go unreported.
const CLOCK_MARGIN_MS: u64 = 100;
/// Tables whose rows find room on a full disk.
const KEPT_BACK: [Table; 2] = [Table::Gaps, Table::Access];

impl Spool {
    /// Does what serving threads leave to others. To be called every 100 to 200 ms by one thread.
    pub fn maintain(&self) {
        let core = &self.core;
        let _alone = lock(&core.upkeep);
        let now = core.clock.now();
        self.watch_clock(now);
        for lane in self.shared_lanes() {
            lane.tick();
        }
        let lanes: Vec<_> = lock(&core.lanes).live.values().cloned().collect();
        for lane in &lanes {
            core.seal_retired(lane);
            core.prepare_spare(lane);
            core.keep_mark(lane, now);
            self.write_gaps(lane, now);
            core.bury(lane);
        }
        core.keep_back();
        if let Err(e) = self.take_released().and_then(|()| self.tell_aside()) {
            tracing::debug!(error = %e, "quarantine waits");
        }
    }

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

    fn watch_clock(&self, now: Timestamp) {
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

    fn write_gaps(&self, lane: &LaneShared, now: Timestamp) {
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
    pub(super) fn write_gap(&self, lane: &LaneShared, n: usize, slot: &Slot) -> Result<(), Error> {
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

    /// Brings a set-aside frame back: it is shipped again, under a new token. Its gap row stays.
    ///
    /// # Errors
    /// When nothing was set aside under this token, or its file cannot be removed.
    pub fn release(&self, token: &str) -> Result<(), Error> {
        let _alone = lock(&self.core.upkeep);
        let aside = self.core.aside()?.into_keys();
        let named = |p: &PathBuf| parse_aside(p).is_some_and(|(t, _)| t == token);
        let path = aside.into_iter().find(named).ok_or(Error::NotInState)?;
        self.bring_back(&path)
    }

    /// Brings back what another process named by `spool release`.
    fn take_released(&self) -> Result<(), Error> {
        let dir = self.core.dir.join("quarantine");
        let files = self.core.disk.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        let named = |p: &&PathBuf| p.extension().is_some_and(|e| e == "release");
        files.iter().filter(named).try_for_each(|p| self.bring_back(p))
    }

    fn bring_back(&self, path: &Path) -> Result<(), Error> {
        let core = &self.core;
        let (dir, shipments) = (core.dir.join("quarantine"), core.dir.join("shipments"));
        let fail = |e| Error::io("release", &dir, e);
        let file = read_file(path).ok_or(Error::Damaged)?;
        let frames: Vec<_> = file.frames.iter().filter_map(|k| core.frame(k)).collect();
        // The file goes on saying that the store may have the rows.
        let tried = shipments.join(format!("{}.tried", file.token));
        core.disk.rename(path, &tried).map_err(fail)?;
        {
            let mut index = core.index();
            for f in &frames {
                index.attempted.insert((f.lane, f.first_seq));
                index.untold.remove(&(f.lane, f.first_seq));
            }
            index.turn(&frames, FrameState::Aside, FrameState::Ready)?;
        }
        if let Err(e) = core.disk.sync_dir(&shipments).and_then(|()| core.disk.sync_dir(&dir)) {
            // A power cut may set the frame aside again.
            core.report(LaneId(0), "fsync of the quarantine", &e);
        }
        core.closed.notify_one();
        Ok(())
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
    /// The next segment, before the lane needs it.
    fn prepare_spare(&self, lane: &LaneShared) {
        if !lane.wants_spare.load(Ordering::Acquire) || lane.ended.load(Ordering::Acquire) {
            return;
        }
        let mut spare = lock(&lane.spare);
        if spare.is_none() {
            match lane.segment(self) {
                Ok(s) => *spare = Some(s),
                Err(Error::Full) => return,
                Err(e) => return self.report(lane.id, "next segment", &e),
            }
        }
        lane.wants_spare.store(false, Ordering::Release);
    }

    /// Keeps the mark ahead of use, and takes it back from lanes that are idle.
    fn keep_mark(&self, lane: &LaneShared, now: Timestamp) {
        if self.synced() || lane.is_dead() || lane.ended.load(Ordering::Acquire) {
            return;
        }
        let next = lane.next_seq.load(Ordering::Acquire);
        let (ahead, idle) = {
            let mut upkeep = lock(&lane.upkeep);
            let grown = next - upkeep.seq;
            if grown > 0 || now < upkeep.changed {
                upkeep.changed = now;
            }
            // About twenty rounds pass in two seconds; half the window is left when it moves.
            upkeep.window = upkeep.window.max(grown.saturating_mul(20));
            upkeep.seq = next;
            (upkeep.window, now.since(upkeep.changed).as_millis() >= MARK_IDLE_MS)
        };
        let reserved = lane.reserved.load(Ordering::Acquire);
        let done = if idle && reserved > next {
            self.lower_mark(lane, next)
        } else if next > 0 && !idle && reserved - next.min(reserved) < ahead / 2 {
            lane.extend_by(next, ahead)
        } else {
            Ok(())
        };
        if let Err(e) = done {
            self.fail_lane(lane, &e);
        }
    }

    fn lower_mark(&self, lane: &LaneShared, next: u64) -> std::io::Result<()> {
        let files = self.files_of(lane.id);
        if files.iter().any(|f| f.is_behind()) {
            // Rows in the page cache keep their mark until they are durable.
            for f in files {
                f.sync()?;
            }
        }
        let mut state = lock(&lane.state);
        let before = lane.reserved.swap(next, Ordering::SeqCst);
        // A lane that is about to write has read the old mark, or will see the new one.
        let busy = lane.since.load(Ordering::SeqCst) != IDLE
            || lane.next_seq.load(Ordering::SeqCst) != next;
        if busy {
            lane.reserved.store(before, Ordering::SeqCst);
            return Ok(());
        }
        lock(&lane.upkeep).window = 0;
        state.reserve(next)
    }

    /// Puts back what was kept back for tables whose rows find room on a full disk.
    pub(super) fn keep_back(&self) {
        for table in KEPT_BACK {
            let path = reserve_path(&self.dir, table);
            let size = self.shared_segment_size();
            match std::fs::metadata(&path).map(|m| m.len()) {
                Ok(len) if len == size => continue,
                // Another configuration's, or never finished.
                Ok(len) if self.disk.remove(&path).is_ok() => self.room.give_back(len),
                Ok(_) => continue,
                Err(_) => {}
            }
            if self.room.take(&self.disk, &self.dir, size).is_err() {
                continue;
            }
            if self.disk.create(&path, size).is_err() {
                self.room.give_back(size);
            }
        }
    }

    /// Forgets a lane that has ended once nothing of it waits any more.
    pub(super) fn bury(&self, lane: &Arc<LaneShared>) {
        if !lane.ended.load(Ordering::Acquire)
            || !lock(&lane.retired).is_empty()
            || !lock(&lane.state).is_empty()
            || !lock(&lane.closed).is_empty()
        {
            return;
        }
        if let Some(spare) = lock(&lane.spare).take() {
            let path = segment::path(&self.dir, lane.id, spare.number, segment::Stage::Open);
            if let Err(e) = self.disk.remove(&path) {
                return self.report(lane.id, "removal of an unused segment", &e);
            }
            self.index().segments.remove(&(lane.id, spare.number));
            self.room.give_back(lane.segment_size);
        }
        // Gone for good before its segments may go: alone it would be asked for lost rows.
        let path = segment::state_path(&self.dir, lane.id);
        match self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.dir)) {
            Ok(()) => {
                let mut lanes = lock(&self.lanes);
                lanes.live.remove(&lane.id);
                lanes.ended.insert(lane.id, Runs::whole(lane.next_seq.load(Ordering::Acquire)));
            }
            Err(e) => self.report(lane.id, "removal of the state file", &e),
        }
    }

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
