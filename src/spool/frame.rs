//! Frames: closed, and still growing.

use super::format::{self, Place, Span};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId, Table},
};

/// A closed run of one lane's batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its lane.
    pub lane: LaneId,
    /// The table of its rows.
    pub table: Table,
    /// The columns of its rows.
    pub schema: SchemaId,
    /// The seq of its first row; the others follow without holes.
    pub first_seq: u64,
    /// Its rows.
    pub count: u64,
    /// The bytes of its rows.
    pub bytes: u64,
    /// The smallest ts in it.
    pub min_ts: Timestamp,
    /// The largest ts in it.
    pub max_ts: Timestamp,
    /// The number of its segment.
    pub segment: u64,
    /// Where its first batch begins in the file.
    pub offset: u64,
    /// Where its last batch ends.
    pub end: u64,
    /// The last batch's CRC, which chains all of them.
    pub crc: u32,
}

/// A frame that still grows.
#[derive(Clone, Debug)]
pub(super) struct OpenFrame {
    pub(super) frame: Frame,
    pub(super) batches: u32,
}

impl OpenFrame {
    /// The frame that begins with this batch; none for a table that no build of ours wrote.
    pub(super) fn new(place: Place, span: &Span, bytes: u64, end: u64, crc: u32) -> Option<Self> {
        let frame = Frame {
            lane: place.lane,
            table: place.lane.table()?,
            schema: span.schema,
            first_seq: span.first_seq,
            count: u64::from(span.count),
            bytes,
            min_ts: span.min_ts,
            max_ts: span.max_ts,
            segment: place.segment,
            offset: place.offset,
            end,
            crc,
        };
        Some(Self { frame, batches: 1 })
    }

    /// One more batch.
    pub(super) fn add(&mut self, span: &Span, bytes: u64, end: u64, crc: u32) {
        let f = &mut self.frame;
        f.count += u64::from(span.count);
        f.bytes += bytes;
        f.min_ts = f.min_ts.min(span.min_ts);
        f.max_ts = f.max_ts.max(span.max_ts);
        f.end = end;
        f.crc = crc;
        self.batches += 1;
    }

    /// What its footer says about rows.
    pub(super) fn span(&self) -> Span {
        let f = &self.frame;
        Span {
            first_seq: f.first_seq,
            count: u32::try_from(f.count).unwrap_or(u32::MAX),
            schema: f.schema,
            min_ts: f.min_ts,
            max_ts: f.max_ts,
        }
    }

    /// What its footer adds.
    pub(super) fn facts(&self) -> format::Facts {
        format::Facts { offset: self.frame.offset, bytes: self.frame.bytes, batches: self.batches }
    }
}
