//! Segment files: their names and what is written to them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    format::{self, Before, END, FOOTER, Kind, Place, Span},
    frame::OpenFrame,
    io::Handle,
};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId, Table},
};

/// The state of a segment, which is its file's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Being written, or about to be.
    Open,
    /// Whole and durable; nothing writes to it again.
    Sealed,
    /// Found damaged, and the gap row for what is lost is written.
    Damaged,
    /// A damaged one, once everything good in it is in the store. Kept for people.
    Remains,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Open, Self::Sealed, Self::Damaged, Self::Remains];

    /// The extension, which is also the stage's word.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Damaged => "damaged",
            Self::Remains => "remains",
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
    /// A file that is written up to `written`, and durable up to `synced`.
    pub(super) fn new(handle: Handle, written: u64, synced: u64) -> Arc<Self> {
        let (written, synced) = (AtomicU64::new(written), AtomicU64::new(synced));
        Arc::new(Self { handle, written, synced })
    }

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

    /// The place `at` bytes past where the next item goes.
    pub(super) fn place(&self, lane: LaneId, at: usize) -> Place {
        Place { lane, segment: self.number, offset: self.offset + at as u64 }
    }

    /// Writes items that were laid for this place, the last of them with this CRC.
    pub(super) fn write(&mut self, items: &[u8], crc: u32) -> io::Result<()> {
        self.file.handle.write_at(items, self.offset)?;
        self.offset += items.len() as u64;
        self.crc = crc;
        self.file.written.store(self.offset, Ordering::Release);
        Ok(())
    }

    /// Writes a frame's footer.
    pub(super) fn write_footer(&mut self, lane: LaneId, open: &OpenFrame) -> io::Result<()> {
        let mut b = [0; FOOTER];
        let place = self.place(lane, 0);
        let crc = format::footer(&mut b, place, &open.span(), &open.facts(), self.before());
        self.write(&b, crc)
    }

    /// Writes the lane's end mark.
    pub(super) fn write_end(&mut self, lane: LaneId, next_seq: u64) -> io::Result<()> {
        let span = Span {
            first_seq: next_seq,
            count: 0,
            schema: SchemaId(0),
            min_ts: Timestamp::ZERO,
            max_ts: Timestamp::ZERO,
        };
        let mut b = [0; END];
        let crc = format::complete(&mut b, Kind::End, self.place(lane, 0), &span, self.before());
        self.write(&b, crc)
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
