//! Upkeep, off the serving threads: segments ahead of need, sealing, marks, gap rows, the clock.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Core, Error, Spool,
    lane_view::LaneView,
    lock,
    old::Runs,
    segment::{self, reserve_path},
};
use crate::record::Table;

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
            core.progress.step();
        }
        core.keep_back();
        if let Err(e) = self.take_released().and_then(|()| self.tell_aside()) {
            tracing::debug!(error = %e, "quarantine waits");
        }
        core.progress.step();
        core.copy_aside();
    }
}

impl Core {
    /// The next segment, before the lane needs it.
    fn prepare_spare(&self, lane: &LaneView) {
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
    pub(super) fn bury(&self, lane: &Arc<LaneView>) {
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
}
