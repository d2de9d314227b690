//! Segment files: their names, how they come into being and how they are sealed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Core, Error,
    format::{Before, SEGMENT_HEADER, SegmentHeader},
    io::{Handle, is_full},
    lane::LaneShared,
};
use crate::record::{LaneId, Table};

/// The state of a segment, which is its file's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Being written, or about to be.
    Open,
    /// Whole and durable; nothing writes to it again.
    Sealed,
    /// Found damaged, and the gap row for what is lost is written. Kept for people.
    Damaged,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Open, Self::Sealed, Self::Damaged];

    /// The extension, which is also the stage's word.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Damaged => "damaged",
        }
    }
}

/// The path of a segment.
pub(super) fn path(dir: &Path, lane: LaneId, number: u64, stage: Stage) -> PathBuf {
    dir.join(format!("{lane}-{number:06}.{}", stage.extension()))
}

/// Lane, number and stage by a file's name; none for other files.
pub(super) fn parse_path(path: &Path) -> Option<(LaneId, u64, Stage)> {
    let extension = path.extension()?.to_str()?;
    let stage = Stage::ALL.into_iter().find(|s| s.extension() == extension)?;
    let (lane, number) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((LaneId(lane.parse().ok()?), number.parse().ok()?, stage))
}

/// The path of a lane's state file.
pub(super) fn state_path(dir: &Path, lane: LaneId) -> PathBuf {
    dir.join(format!("{lane}.state"))
}

/// The lane of a state file; none for other files.
pub(super) fn parse_state_path(path: &Path) -> Option<LaneId> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".state")?;
    Some(LaneId(stem.parse().ok()?))
}

/// The path of what is kept back for a table whose rows must find room on a full disk.
pub(super) fn reserve_path(dir: &Path, table: Table) -> PathBuf {
    dir.join(format!("{table}.reserve"))
}

/// An open segment's file and how far it is known to be written and durable.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) handle: Handle,
    /// Bytes written, published by the lane after each write.
    pub(super) written: AtomicU64,
    /// Bytes known to be durable.
    pub(super) synced: AtomicU64,
}

impl SegmentFile {
    /// Whether something written may not be durable.
    pub(super) fn is_behind(&self) -> bool {
        self.synced.load(Ordering::Acquire) < self.written.load(Ordering::Acquire)
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let written = self.written.load(Ordering::Acquire);
        self.handle.sync()?;
        self.synced.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }
}

/// A segment that a lane writes.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Arc<SegmentFile>,
    pub(super) number: u64,
    /// Where the next item goes.
    pub(super) offset: u64,
    /// The CRC of the item before it.
    pub(super) crc: u32,
}

impl Segment {
    /// What the next item says about the file before it.
    pub(super) fn before(&self) -> Before {
        Before { crc: self.crc, durable: self.file.synced.load(Ordering::Acquire) }
    }
}

/// A segment that its lane is done with.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) file: Arc<SegmentFile>,
    pub(super) number: u64,
    /// Bytes to keep.
    pub(super) end: u64,
}

impl Core {
    /// A new segment, durable under its name before anything is written to it. `keep_back` lets it
    /// take what is kept back for its table when there is no room.
    pub(super) fn allocate(
        &self,
        lane: LaneId,
        number: u64,
        size: u64,
        keep_back: Option<Table>,
    ) -> Result<Segment, Error> {
        let path = path(&self.dir, lane, number, Stage::Open);
        let made = match self.room.take(&self.disk, &self.dir, size) {
            Ok(()) => self.disk.create(&path, size).map_err(|e| {
                self.room.give_back(size);
                if is_full(&e) { Error::Full } else { Error::io("allocate", &path, e) }
            }),
            Err(e) => Err(e),
        };
        let from_reserve = match (&made, keep_back) {
            (Err(_), Some(table)) => Some(reserve_path(&self.dir, table)),
            _ => None,
        };
        let handle = match &from_reserve {
            Some(reserve) => self.disk.open(reserve).map_err(|_| Error::Full)?,
            None => made?,
        };
        let header = SegmentHeader {
            synced: self.synced(),
            lane,
            segment: number,
            size,
            boot_id: self.boot_id,
            opened: self.clock.now(),
            node: self.node.clone(),
        };
        let (bytes, crc) = header.encode();
        let written = handle
            .write_at(&bytes, 0)
            .and_then(|()| handle.sync())
            .and_then(|()| match &from_reserve {
                Some(reserve) => self.disk.rename(reserve, &path),
                None => Ok(()),
            })
            .and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(e) = written {
            // Nothing was written under this name that anybody counts on. Should it stay, the next
            // start finds an empty segment.
            if from_reserve.is_none() && self.disk.remove(&path).is_ok() {
                self.room.give_back(size);
            }
            return Err(Error::io("prepare", &path, e));
        }
        let offset = SEGMENT_HEADER as u64;
        let file = Arc::new(SegmentFile {
            handle,
            written: AtomicU64::new(offset),
            synced: AtomicU64::new(offset),
        });
        self.index().segment_opened(lane, number, size, &file);
        Ok(Segment { file, number, offset, crc })
    }

    /// Seals the segments a lane is done with: cut, fsynced, renamed, directory fsynced. What fails
    /// before the fsync is tried again; a failed fsync never is.
    pub(super) fn seal_retired(&self, lane: &LaneShared) {
        let mut renamed = Vec::new();
        loop {
            let next = super::lock(&lane.retired).pop_front();
            let Some(r) = next else { break };
            match self.seal(lane, &r) {
                Ok(()) => renamed.push(r),
                Err(Sealing::Later) => {
                    super::lock(&lane.retired).push_front(r);
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

    fn seal(&self, lane: &LaneShared, r: &Retired) -> Result<(), Sealing> {
        if lane.is_dead() {
            return Err(Sealing::Never);
        }
        r.file.handle.truncate(r.end).map_err(|_| Sealing::Later)?;
        if let Err(e) = r.file.sync() {
            self.fail_lane(lane, &e);
            return Err(Sealing::Never);
        }
        let open = path(&self.dir, lane.id, r.number, Stage::Open);
        let sealed = path(&self.dir, lane.id, r.number, Stage::Sealed);
        self.disk.rename(&open, &sealed).map_err(|_| Sealing::Later)
    }
}

enum Sealing {
    Later,
    Never,
}
