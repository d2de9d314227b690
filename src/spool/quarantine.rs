//! Frames that the store will not take: set aside, told in a gap row, released by hand.
//!
//! `quarantine/TOKEN.aside` names the frame; with `-LANE-SEQ` behind it, also the place of its gap
//! row. `quarantine/LANE-SEQ.frame` is the frame itself: once that is durable and the gap row is
//! written, the segment may go. `quarantine/TOKEN.release` is what another process makes of it to have the frame back, and
//! `shipments/TOKEN.tried` says of a released one that the store may have its rows all the same.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Core, Error, Frame, Shipment, Spool,
    copy::{self, COPY_HEADER},
    index::FrameState,
    lock,
    shipment_file::{FrameKey, ShipmentFile, read_file},
};
use crate::record::{GapRow, LaneId};

/// What `TOKEN.aside…` says about the gap row: nothing yet, or the place it was given.
pub(super) fn parse_aside(path: &Path) -> Option<(String, Option<(LaneId, u64)>)> {
    let (token, rest) = path.file_name()?.to_str()?.split_once(".aside")?;
    if rest.is_empty() {
        return Some((token.to_owned(), None));
    }
    let (lane, seq) = rest.strip_prefix('-')?.split_once('-')?;
    Some((token.to_owned(), Some((LaneId(lane.parse().ok()?), seq.parse().ok()?))))
}

impl Spool {
    /// Sets the one frame of a shipment aside until somebody releases it. [`Spool::maintain`]
    /// writes its gap row `quarantine` and gives it a file of its own.
    ///
    /// # Errors
    /// When it has several frames, or files cannot be written.
    pub fn set_aside(&self, shipment: Shipment, reason: &str) -> Result<(), Error> {
        self.set_aside_in_part(shipment, reason, 0)
    }

    /// The same of a frame of which the store has `kept` rows: the gap row counts the others.
    ///
    /// # Errors
    /// As [`Spool::set_aside`].
    pub fn set_aside_in_part(
        &self,
        shipment: Shipment,
        reason: &str,
        kept: u64,
    ) -> Result<(), Error> {
        let core = &self.core;
        if shipment.frames.len() != 1 || !core.index().pending.contains_key(&shipment.token) {
            return Err(Error::NotInState);
        }
        let path = core.dir.join("quarantine").join(format!("{}.aside", shipment.token));
        let file = ShipmentFile {
            token: shipment.token.clone(),
            parent: None,
            reason: Some(reason.to_owned()),
            kept,
            frames: shipment.frames.iter().map(FrameKey::from).collect(),
        };
        let bytes = file.encode()?;
        core.with_room(|| core.disk.publish(&path, &bytes))
            .and_then(|()| core.disk.remove(&self.pending_path(&shipment.token)))
            .map_err(|e| Error::io("set aside", &path, e))?;
        let mut index = core.index();
        index.turn(&shipment.frames, FrameState::Shipping, FrameState::Aside)?;
        for key in shipment.frames.iter().map(|f| (f.lane, f.first_seq)) {
            index.untold.insert(key);
            if !index.copies.contains_key(&key) {
                index.uncopied.insert(key);
            }
        }
        index.pending.remove(&shipment.token);
        Ok(())
    }

    /// Writes the gap rows of what was set aside and has none yet. For maintenance alone: two at
    /// once would tell the same frame twice.
    pub(super) fn tell_aside(&self) -> Result<(), Error> {
        if self.core.index().untold.is_empty() {
            return Ok(());
        }
        for (path, placed) in self.core.aside()? {
            self.core.progress.step();
            let told = match placed {
                Some((lane, seq)) => self.core.is_kept(lane, seq),
                None => false,
            };
            let Some(file) = read_file(&path) else { continue };
            let Some(frame) = file.frames.first().and_then(|k| self.core.frame(k)) else {
                continue;
            };
            if told {
                self.core.index().untold.remove(&(frame.lane, frame.first_seq));
                continue;
            }
            if !self.core.index().is_in(&frame, FrameState::Aside) {
                // Being set aside at this moment; that may still fail.
                continue;
            }
            self.tell_one_aside(&path, &file, &frame)?;
        }
        Ok(())
    }

    fn tell_one_aside(&self, path: &Path, file: &ShipmentFile, frame: &Frame) -> Result<(), Error> {
        let detail = file.reason.clone().unwrap_or_default();
        let row = GapRow {
            stream: frame.table,
            gap_lane: frame.lane,
            // Above every id a state file gives.
            gap_id: (1 << 63) | frame.first_seq,
            count: frame.count.saturating_sub(file.kept),
            bound: "exact",
            from_ts: frame.min_ts,
            to_ts: frame.max_ts,
            reason: "quarantine",
            detail: crate::record::capped(&detail, 1024),
        };
        let disk = &self.core.disk;
        let gaps = self.gaps()?;
        let prepared = gaps.prepare(&row)?;
        let named = path.with_file_name(format!(
            "{}.aside-{}-{}",
            file.token, prepared.id.lane, prepared.id.seq
        ));
        let dir = self.core.dir.join("quarantine");
        disk.rename(path, &named)
            .and_then(|()| disk.sync_dir(&dir))
            .map_err(|e| Error::io("rename", path, e))?;
        self.append_gap(prepared, row.from_ts)?;
        self.core.index().untold.remove(&(frame.lane, frame.first_seq));
        Ok(())
    }

    /// Whether the store may have the frame's rows although no shipment of it is under way: it was
    /// set aside and released, or the file that would say so is damaged. They are to be counted in
    /// the store before they are sent.
    pub fn attempted(&self, frame: &Frame) -> bool {
        self.core.index().attempted.contains(&(frame.lane, frame.first_seq))
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
    pub(super) fn take_released(&self) -> Result<(), Error> {
        let dir = self.core.dir.join("quarantine");
        let files = self.core.disk.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        let named = |p: &&PathBuf| p.extension().is_some_and(|e| e == "release");
        for path in files.iter().filter(named) {
            // One that cannot be read holds up nobody else.
            if let Err(e) = self.bring_back(path) {
                self.core.report(LaneId(0), "release of a frame set aside", &e);
            }
        }
        Ok(())
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
                index.uncopied.remove(&(f.lane, f.first_seq));
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
}

impl Core {
    /// Gives a frame set aside a file of its own, as far as `quarantine_bytes_max` and the disk go:
    /// one in a round, for each is written and fsynced while the rest of the upkeep waits. What has
    /// none keeps its segment, and those behind it. For maintenance alone.
    pub(super) fn copy_aside(&self) {
        let frame = {
            let mut index = self.index();
            let used: u64 = index.copies.values().sum();
            let left = self.config.quarantine_bytes_max.saturating_sub(used);
            index.next_uncopied(|f| copy_size(f) <= left)
        };
        let Some(frame) = frame else { return };
        match self.copy(&frame) {
            Ok(bytes) => {
                self.room.found_beside(bytes);
                let mut index = self.index();
                index.copies.insert((frame.lane, frame.first_seq), bytes);
                index.uncopied.remove(&(frame.lane, frame.first_seq));
            }
            Err(Error::Full) => {}
            Err(e) => self.report(frame.lane, "copy of a frame set aside", &e),
        }
    }

    fn copy(&self, frame: &Frame) -> Result<u64, Error> {
        let path = copy::path(&self.dir, frame.lane, frame.first_seq);
        self.room.look(&self.disk, &self.dir, copy_size(frame))?;
        let mut b = self.frame_bytes(frame, COPY_HEADER)?;
        copy::complete(&mut b, frame, self.clock.now());
        self.disk.publish_large(&path, &b).map_err(|e| {
            // What there is of it must not take room; else the next attempt removes it.
            match self.disk.remove(&path.with_extension("tmp")) {
                Ok(()) | Err(_) => Error::io("write", &path, e),
            }
        })?;
        Ok(b.len() as u64)
    }

    /// Every file in quarantine, with the place of its gap row.
    fn aside(&self) -> Result<BTreeMap<PathBuf, Option<(LaneId, u64)>>, Error> {
        let dir = self.dir.join("quarantine");
        let files = self.disk.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        Ok(files.into_iter().filter_map(|p| Some((p.clone(), parse_aside(&p)?.1))).collect())
    }
}

/// Bytes of a frame's copy.
fn copy_size(frame: &Frame) -> u64 {
    COPY_HEADER as u64 + frame.end.saturating_sub(frame.offset)
}
