//! What lies in a spool's directory at the start.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Core, Error, Frame, copy,
    index::{FrameState, SegmentEntry},
    io::Disk,
    lock,
    old::{OldLane, OldSegment},
    progress::Progress,
    scan,
    segment::{self, Stage},
};
use crate::{clock::Timestamp, record::LaneId};

/// What lies in a spool's directory.
pub(super) struct Found {
    pub(super) lanes: BTreeMap<LaneId, OldLane>,
    /// What the high-water file says.
    pub(super) high: u64,
    /// The largest start of a lane on disk.
    pub(super) seen: u64,
    /// Bytes of files that are only counted.
    reserves: u64,
    /// The same of damaged segments with nothing left to ship.
    remains: u64,
    copies: Vec<Copied>,
}

/// A file that holds one frame.
struct Copied {
    path: PathBuf,
    size: u64,
    /// The frame, and whether its bytes are as they were copied; none when the header is damaged.
    frame: Option<(Frame, bool)>,
}

impl Found {
    /// Reads every segment.
    pub(super) fn read(
        disk: &Disk,
        dir: &Path,
        boot_id: [u8; 16],
        progress: &Progress,
    ) -> Result<Self, Error> {
        let (lanes, copies) = (BTreeMap::new(), Self::read_copies(dir, disk, progress)?);
        let mut found = Self { lanes, high: 0, seen: 0, reserves: 0, remains: 0, copies };
        for path in disk.list(dir).map_err(|e| Error::io("list", dir, e))? {
            let fail = |e| Error::io("read", &path, e);
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if let Some(start) = name.strip_prefix("high-") {
                found.high = found.high.max(start.parse().unwrap_or(0));
            } else if let Some(lane) = segment::parse_state_path(&path) {
                found.lane(lane, |l| l.has_state = true);
            } else if let Some((lane, number, stage)) = segment::parse_path(&path) {
                if stage == Stage::Remains {
                    found.remains += std::fs::metadata(&path).map_err(fail)?.len();
                    found.seen = found.seen.max(lane.start());
                    continue;
                }
                progress.step();
                let bytes = std::fs::read(&path).map_err(fail)?;
                let scan = scan::scan(&bytes, lane, number);
                let segment = OldSegment {
                    number,
                    stage,
                    size: bytes.len() as u64,
                    blank: bytes.iter().all(|&b| b == 0),
                    rebooted: scan.as_ref().is_ok_and(|s| s.header.boot_id != boot_id),
                    scan,
                };
                found.lane(lane, |l| l.segments.push(segment));
            } else if path.extension().is_some_and(|e| e == "reserve") {
                found.reserves += std::fs::metadata(&path).map_err(fail)?.len();
            } else if path.extension().is_some_and(|e| e == "tmp") {
                disk.remove(&path).map_err(fail)?;
            }
        }
        let of_copies = found.copies.iter().filter_map(|c| c.frame.as_ref());
        found.seen = of_copies.map(|(f, _)| f.lane.start()).fold(found.seen, u64::max);
        for lane in found.lanes.values_mut() {
            lane.segments.sort_by_key(|s| s.number);
            let id = lane.id;
            lane.drop_doubles(|number| {
                let path = segment::path(dir, id, number, Stage::Open);
                std::fs::read(&path).map_err(|e| Error::io("read", &path, e))
            })?;
        }
        Ok(found)
    }

    fn read_copies(dir: &Path, disk: &Disk, progress: &Progress) -> Result<Vec<Copied>, Error> {
        let dir = dir.join("quarantine");
        let files = disk.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        let read = |path: PathBuf| {
            progress.step();
            let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
            let parsed = copy::parse(&bytes).ok();
            // A copy under another frame's name is nobody's.
            let frame = parsed
                .filter(|(f, ..)| Some((f.lane, f.first_seq)) == copy::parse_path(&path))
                .map(|(f, _, whole)| (f, whole));
            Ok(Copied { path, size: bytes.len() as u64, frame })
        };
        files.into_iter().filter(|p| copy::parse_path(p).is_some()).map(read).collect()
    }

    fn lane(&mut self, id: LaneId, change: impl FnOnce(&mut OldLane)) {
        self.seen = self.seen.max(id.start());
        if let Some(table) = id.table() {
            change(self.lanes.entry(id).or_insert_with(|| OldLane::new(id, table)));
        }
    }
}

impl Core {
    /// Remembers what was found; returns the newest ts.
    pub(super) fn take_in(&self, found: &Found) -> Result<Option<Timestamp>, Error> {
        self.room.found(found.reserves);
        self.room.found_beside(found.remains);
        let mut newest = None;
        for lane in found.lanes.values() {
            for s in &lane.segments {
                self.room.found(s.size);
                let mut index = self.index();
                let entry = SegmentEntry {
                    bytes: s.size,
                    file: None,
                    sealed: s.stage == Stage::Sealed,
                    // What is not told yet must not go either.
                    damaged: s.stage == Stage::Damaged || s.is_damaged(),
                };
                index.segments.insert((lane.id, s.number), entry);
                for f in s.frames() {
                    newest = newest.max(Some(f.max_ts));
                    index.add(f.clone(), FrameState::Ready);
                }
                drop(index);
                // Frames that a crash left in the page cache must be durable before they ship.
                if s.stage == Stage::Open {
                    self.progress.step();
                    let path = segment::path(&self.dir, lane.id, s.number, s.stage);
                    let file = self.disk.open(&path).map_err(|e| Error::io("open", &path, e))?;
                    file.sync().map_err(|e| Error::io("fsync", &path, e))?;
                }
            }
            lock(&self.lanes).ended.insert(lane.id, lane.runs());
        }
        for copied in &found.copies {
            newest = newest.max(self.take_in_copy(copied)?);
        }
        Ok(newest)
    }

    /// Remembers a frame that has a file of its own; returns its newest ts.
    fn take_in_copy(&self, copied: &Copied) -> Result<Option<Timestamp>, Error> {
        let Copied { path, size, frame } = copied;
        let Some((frame, whole)) = frame else {
            tracing::error!(file = %path.display(), "the copy of a frame set aside is damaged");
            self.room.found_beside(*size);
            return Ok(None);
        };
        if !whole && self.index().is_in(frame, FrameState::Ready) {
            // The segment has it still: maintenance makes another copy.
            self.disk.remove(path).map_err(|e| Error::io("remove", path, e))?;
            return Ok(None);
        }
        self.room.found_beside(*size);
        let mut index = self.index();
        index.copies.insert((frame.lane, frame.first_seq), *size);
        // Over what a segment has left of it, which may be less by now.
        index.add(frame.clone(), FrameState::Ready);
        Ok(Some(frame.max_ts))
    }
}
