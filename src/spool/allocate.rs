//! How segments come into being, and where a few bytes come from on a full disk.

use std::io;

use super::{
    Core, Error,
    format::{SEGMENT_HEADER, SegmentHeader},
    io::{Handle, is_full},
    lock,
    segment::{self, Segment, SegmentFile, Stage, reserve_path},
};
use crate::record::{LaneId, Table};

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
        let path = segment::path(&self.dir, lane, number, Stage::Open);
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
        let (header, crc) = self.segment_header(lane, number, size);
        let written = handle
            .write_at(&header, 0)
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
        Ok(self.opened(handle, lane, number, size, crc))
    }

    /// A segment for an end mark or one row alone, which may pass our own limits by its few bytes.
    pub(super) fn allocate_small(
        &self,
        lane: LaneId,
        number: u64,
        size: u64,
    ) -> Result<Segment, Error> {
        let path = segment::path(&self.dir, lane, number, Stage::Open);
        let fail = |e| Error::io("create", &path, e);
        self.disk.remove(&path).map_err(fail)?;
        let handle = self.with_room(|| self.disk.create(&path, size)).map_err(fail)?;
        self.room.found(size);
        let (header, crc) = self.segment_header(lane, number, size);
        handle.write_at(&header, 0).map_err(fail)?;
        Ok(self.opened(handle, lane, number, size, crc))
    }

    /// Does something that takes a few bytes. Where the disk itself has none left they come out of
    /// what is kept back for table `access`: without the small files of lanes and shipments nothing
    /// would be shipped, and the disk would stay full.
    pub(super) fn with_room<T>(&self, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match work() {
            Err(e) if is_full(&e) && self.give_up_reserve() => work(),
            done => done,
        }
    }

    fn give_up_reserve(&self) -> bool {
        // One at a time, or what one removes would be given back twice.
        let _alone = lock(&self.room.reserve);
        let path = reserve_path(&self.dir, Table::Access);
        let Ok(kept) = std::fs::metadata(&path).map(|m| m.len()) else { return false };
        let removed = self.disk.remove(&path).is_ok();
        if removed {
            self.room.give_back(kept);
        }
        removed
    }

    /// A segment's first bytes, and their CRC.
    fn segment_header(&self, lane: LaneId, number: u64, size: u64) -> ([u8; SEGMENT_HEADER], u32) {
        let header = SegmentHeader {
            synced: self.synced(),
            lane,
            segment: number,
            size,
            boot_id: self.boot_id,
            opened: self.clock.now(),
            node: self.node.clone(),
        };
        header.encode()
    }

    /// A file with its header becomes a segment.
    fn opened(&self, handle: Handle, lane: LaneId, number: u64, size: u64, crc: u32) -> Segment {
        let offset = SEGMENT_HEADER as u64;
        let file = SegmentFile::new(handle, offset, offset);
        self.index().segment_opened(lane, number, size, &file);
        Segment { file, number, offset, crc }
    }
}
