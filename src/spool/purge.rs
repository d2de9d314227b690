//! What nothing needs any more is removed.

use std::collections::BTreeSet;

use super::{
    Core, Error, Frame, Spool, copy, lock,
    segment::{self, Stage},
    shipment_file::{FrameKey, read_file},
};
use crate::{clock::Timestamp, record::LaneId};

impl Spool {
    /// Removes sealed segments all of whose frames were acknowledged before `before` (now less the
    /// grace) or have a file of their own, such files of frames acknowledged before then, and the
    /// files of shipments that nothing on disk needs any more. Damaged segments get another name
    /// instead, and are not looked at again.
    ///
    /// # Errors
    /// When a file cannot be removed; the rest is tried again by the next call.
    pub fn purge(&self, before: Timestamp) -> Result<(), Error> {
        let core = &self.core;
        // A lane goes on until its state file is gone, which would be asked for the rest.
        let goes_on: BTreeSet<LaneId> = {
            let lanes = lock(&core.lanes);
            lanes.live.keys().chain(lanes.deferred.keys()).copied().collect()
        };
        let finished = core.index().finished(before, |lane| goes_on.contains(&lane));
        for ((lane, number), bytes, damaged) in finished {
            let path = |stage| segment::path(&core.dir, lane, number, stage);
            if damaged {
                // Kept for whoever wants to look, and in nobody's way.
                let (from, to) = (path(Stage::Damaged), path(Stage::Remains));
                core.disk.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
                core.room.give_back(bytes);
                core.room.found_beside(bytes);
            } else {
                let path = path(Stage::Sealed);
                core.disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
                core.room.give_back(bytes);
            }
            core.index().segment_removed(lane, number);
        }
        let copies = core.index().finished_copies(before);
        for ((lane, first_seq), bytes) in copies {
            let path = copy::path(&core.dir, lane, first_seq);
            core.disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            core.room.gone_beside(bytes);
            core.index().copy_removed((lane, first_seq));
        }
        core.forget_shipments()
    }
}

impl Core {
    /// Removes the files of released frames that are in the store.
    fn forget_tried(&self) {
        let dir = self.dir.join("shipments");
        for path in self.disk.list(&dir).unwrap_or_default() {
            if path.extension().is_none_or(|e| e != "tried") {
                continue;
            }
            let Some(file) = read_file(&path) else { continue };
            let index = self.index();
            let waits = |k: &FrameKey| index.attempted.contains(&(LaneId(k.lane), k.first_seq));
            if !file.frames.iter().any(waits)
                && let Err(e) = self.disk.remove(&path)
            {
                self.report(LaneId(0), "removal of a released frame's file", &e);
            }
        }
    }

    /// Removes the files of acknowledged shipments whose frames are all gone. The end of segments
    /// and copies is made durable first: what outlives its shipment would be shipped again.
    pub(super) fn forget_shipments(&self) -> Result<(), Error> {
        let gone: Vec<String> = {
            let index = self.index();
            let there = |f: &Frame| index.frames.contains_key(&(f.lane, f.first_seq));
            let all = index.acknowledged.iter();
            all.filter(|(_, frames)| !frames.iter().any(there)).map(|(t, _)| t.clone()).collect()
        };
        self.forget_tried();
        if gone.is_empty() {
            return Ok(());
        }
        for dir in [self.dir.clone(), self.dir.join("quarantine")] {
            self.disk.sync_dir(&dir).map_err(|e| Error::io("fsync", &dir, e))?;
        }
        for token in gone {
            let path = self.dir.join("shipments").join(format!("{token}.acked"));
            self.disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            self.index().acknowledged.remove(&token);
        }
        Ok(())
    }
}
