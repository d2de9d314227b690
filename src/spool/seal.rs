//! How segments are sealed: cut, fsynced, renamed, directory fsynced.

use super::{
    Core, Error,
    lane_view::LaneView,
    lock,
    segment::{self, Retired, Segment, Stage},
};
use crate::record::LaneId;

impl Core {
    /// Seals the segments a lane is done with: cut, fsynced, renamed, directory fsynced. What fails
    /// before the fsync is tried again; a failed fsync never is.
    pub(super) fn seal_retired(&self, lane: &LaneView) {
        let mut renamed = Vec::new();
        loop {
            let next = lock(&lane.retired).pop_front();
            let Some(r) = next else { break };
            match self.seal(lane, &r) {
                Ok(()) => renamed.push(r),
                Err(Sealing::Later) => {
                    lock(&lane.retired).push_front(r);
                    break;
                }
                Err(Sealing::Never) => {}
            }
        }
        if renamed.is_empty() {
            return;
        }
        if let Err(e) = self.disk.sync_dir(&self.dir) {
            // The old name is as good as the new one to whoever reads it after a crash.
            self.report(lane.id, "fsync of the directory", &e);
        }
        self.collect();
        for r in renamed {
            let before = self.index().segment_sealed(lane.id, r.number, r.end);
            self.room.give_back(before.saturating_sub(r.end));
        }
    }

    fn seal(&self, lane: &LaneView, r: &Retired) -> Result<(), Sealing> {
        if lane.is_dead() {
            return Err(Sealing::Never);
        }
        r.file.handle.truncate(r.end).map_err(|_| Sealing::Later)?;
        if let Err(e) = r.file.sync() {
            self.fail_lane(lane, &e);
            return Err(Sealing::Never);
        }
        let open = segment::path(&self.dir, lane.id, r.number, Stage::Open);
        let sealed = segment::path(&self.dir, lane.id, r.number, Stage::Sealed);
        self.disk.rename(&open, &sealed).map_err(|_| Sealing::Later)
    }

    /// Seals a segment that no lane writes any more.
    pub(super) fn seal_old(&self, lane: LaneId, s: &Segment) -> Result<(), Error> {
        let open = segment::path(&self.dir, lane, s.number, Stage::Open);
        let sealed = segment::path(&self.dir, lane, s.number, Stage::Sealed);
        let done = s.file.handle.truncate(s.offset);
        done.and_then(|()| s.file.handle.sync())
            .and_then(|()| self.disk.rename(&open, &sealed))
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(|e| Error::io("seal", &open, e))?;
        let before = self.index().segment_sealed(lane, s.number, s.offset);
        self.room.give_back(before.saturating_sub(s.offset));
        Ok(())
    }
}

enum Sealing {
    Later,
    Never,
}
