//! The end of a lane of the time before: what is missing is told, every file is settled.

use std::collections::{BTreeMap, BTreeSet};

use super::{OldLane, OldSegment, Runs};
use crate::{
    clock::Timestamp,
    record::LaneId,
    spool::{
        Core, Error, Spool,
        format::{END, SEGMENT_HEADER},
        frame::OpenFrame,
        lane_view::LaneView,
        lock,
        segment::{self, Segment, SegmentFile, Stage, state_path},
        state::{Phase, Reason, STATE_SIZE, State, reason_of},
    },
};

impl OldLane {
    /// Ends the lane. Returns how many rows are told missing, and how many segments are damaged.
    pub(in crate::spool) fn finish(&mut self, spool: &Spool) -> Result<(u64, usize), Error> {
        let core = &*spool.core;
        let path = state_path(&core.dir, self.id);
        let fail = |e| Error::io("state", &path, e);
        let damaged = self.segments.iter().filter(|s| s.is_damaged()).count();
        let mut state = match self.has_state {
            true => Some(State::load(core.disk.open(&path).map_err(fail)?).map_err(fail)?),
            false => None,
        };
        self.boot_id = state.as_ref().and_then(State::boot_id);
        let reserved = state.as_ref().map_or(0, State::reserved);
        let missing = self.missing(core, reserved);
        let counted = state.as_ref().and_then(State::oldest);
        let found = (missing.count > 0).then_some(missing.from);
        self.untold_from = counted.into_iter().chain(found).min().unwrap_or(Timestamp::MAX);
        if missing.count > 0 && state.is_none() {
            let file = core.disk.create(&path, STATE_SIZE).map_err(fail)?;
            file.sync().map_err(fail)?;
            core.disk.sync_dir(&core.dir).map_err(fail)?;
            self.has_state = true;
            state = Some(State::load(file).map_err(fail)?);
        }
        let Some(mut state) = state else {
            self.settle(core)?;
            return Ok((0, damaged));
        };
        if self.rebooted(core) {
            state.set_back().map_err(fail)?;
        }
        // A count that is there already is that of a start that was interrupted.
        let mut told = 0;
        if missing.count > 0
            && !state.waiting().iter().any(|(n, _)| reason_of(*n) == Reason::UncleanEnd)
        {
            state.add(Reason::UncleanEnd, missing, true).map_err(fail)?;
            told = missing.count;
        }
        self.settle(core)?;
        // What was reserved is told; a lane without files would be asked for it again.
        state.reserve(0).map_err(fail)?;
        let lane = LaneView::new(self.id, self.table, 0, false, state);
        let waiting = lock(&lane.state).waiting();
        for (n, slot) in waiting {
            spool.write_gap(&lane, n, &slot)?;
        }
        core.disk.remove(&path).map_err(fail)?;
        self.has_state = false;
        Ok((told, damaged))
    }

    /// Turns gap rows to be that were given a place in a lane of `lanes`, and are not there, back
    /// into counts: once that lane is gone nobody could tell that they never arrived. Lanes that
    /// must stay because this fails are put into `keep`.
    pub(in crate::spool) fn reopen_gaps(
        &self,
        core: &Core,
        lanes: &BTreeMap<LaneId, Runs>,
        keep: &mut BTreeSet<LaneId>,
    ) -> Result<(), Error> {
        if !self.has_state {
            return Ok(());
        }
        let path = state_path(&core.dir, self.id);
        let fail = |e| Error::io("state", &path, e);
        let mut state = State::load(core.disk.open(&path).map_err(fail)?).map_err(fail)?;
        for (n, slot) in state.waiting() {
            if let Phase::Closing { lane, seq } = slot.phase
                && lanes.get(&lane).is_some_and(|runs| !runs.contains(seq))
                && let Err(e) = state.reopen(n)
            {
                core.report(self.id, "reopening of a gap row", &e);
                keep.insert(lane);
            }
        }
        Ok(())
    }

    /// Brings every file into its last state.
    fn settle(&mut self, core: &Core) -> Result<(), Error> {
        let next = self.runs().next();
        let mut open_end = !self.is_ended();
        if self.writer.is_some() {
            self.end_writer(core, open_end.then_some(next))?;
            open_end = false;
        }
        let unused: Vec<_> =
            self.segments.iter().filter(|s| s.is_unused()).map(|s| (s.number, s.size)).collect();
        for (number, size) in unused {
            let path = segment::path(&core.dir, self.id, number, Stage::Open);
            core.disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            core.index().segments.remove(&(self.id, number));
            core.room.give_back(size);
        }
        self.segments.retain(|s| !s.is_unused());
        let last = self.segments.last().map(|s| s.number);
        for s in &mut self.segments {
            if s.is_damaged() {
                let from = segment::path(&core.dir, self.id, s.number, s.stage);
                let to = segment::path(&core.dir, self.id, s.number, Stage::Damaged);
                core.disk.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
                s.stage = Stage::Damaged;
                if let Some(e) = core.index().segments.get_mut(&(self.id, s.number)) {
                    e.damaged = true;
                }
            } else if s.stage == Stage::Open {
                let end = (open_end && last == Some(s.number)).then_some(next);
                open_end &= end.is_none();
                s.seal(core, self.id, end)?;
            }
        }
        if open_end && let Some(last) = last {
            let size = (SEGMENT_HEADER + END) as u64;
            let mut segment = core.allocate_small(self.id, last + 1, size)?;
            segment.write_end(self.id, next).map_err(|e| Error::io("write", &core.dir, e))?;
            core.seal_old(self.id, &segment)?;
        }
        core.disk.sync_dir(&core.dir).map_err(|e| Error::io("fsync", &core.dir, e))
    }
}

impl OldSegment {
    /// Cuts what was never finished, completes the last frame, and seals.
    fn seal(&mut self, core: &Core, lane: LaneId, end: Option<u64>) -> Result<(), Error> {
        let Ok(scan) = &mut self.scan else { return Ok(()) };
        let path = segment::path(&core.dir, lane, self.number, Stage::Open);
        let fail = |e| Error::io("write", &path, e);
        let handle = core.disk.open(&path).map_err(|e| Error::io("open", &path, e))?;
        let file = SegmentFile::new(handle, scan.end, 0);
        let mut s = Segment { file, number: self.number, offset: scan.end, crc: scan.crc };
        if scan.open
            && let Some(frame) = scan.frames.last()
        {
            let open = OpenFrame { frame: frame.clone(), batches: scan.batches };
            s.write_footer(lane, &open).map_err(fail)?;
        }
        if let Some(next) = end {
            s.write_end(lane, next).map_err(fail)?;
            scan.ended = Some(next);
        }
        core.seal_old(lane, &s)?;
        self.stage = Stage::Sealed;
        self.size = s.offset;
        Ok(())
    }
}
