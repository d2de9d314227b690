//! A frame in a file of its own, byte by byte (the table is in the [module page](super)). Pure.

use std::path::{Path, PathBuf};

use super::{
    Bad, Frame,
    format::{u16_at, u32_at, u64_at},
};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId},
};

/// Bytes before the frame's own.
pub(super) const COPY_HEADER: usize = 128;

const MAGIC: &[u8; 8] = b"TGFRAME1";
const VERSION: u16 = 1;

/// The path of a frame's copy.
pub(super) fn path(dir: &Path, lane: LaneId, first_seq: u64) -> PathBuf {
    dir.join("quarantine").join(format!("{lane}-{first_seq}.frame"))
}

/// Lane and first seq by a copy's name; none for other files.
pub(super) fn parse_path(path: &Path) -> Option<(LaneId, u64)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".frame")?;
    let (lane, first_seq) = name.split_once('-')?;
    Some((LaneId(lane.parse().ok()?), first_seq.parse().ok()?))
}

/// Completes a copy: `b` holds the frame's bytes behind room for the header.
pub(super) fn complete(b: &mut [u8], frame: &Frame, now: Timestamp) {
    let (head, body) = b.split_at_mut(COPY_HEADER);
    head.fill(0);
    head[..8].copy_from_slice(MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[10..12].copy_from_slice(&frame.schema.0.to_le_bytes());
    let numbers = [
        frame.lane.0,
        frame.first_seq,
        frame.count,
        frame.segment,
        body.len() as u64,
        frame.offset,
        frame.end,
        frame.bytes,
        frame.min_ts.0.cast_unsigned(),
        frame.max_ts.0.cast_unsigned(),
        now.0.cast_unsigned(),
    ];
    for (n, v) in numbers.into_iter().enumerate() {
        head[16 + n * 8..24 + n * 8].copy_from_slice(&v.to_le_bytes());
    }
    head[104..108].copy_from_slice(&frame.crc.to_le_bytes());
    head[108..112].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let crc = header_crc(head);
    head[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a copy back: the frame, its bytes, and whether these are as they were copied.
///
/// # Errors
/// When the header cannot be trusted; nothing is known of the frame then.
pub(super) fn parse(b: &[u8]) -> Result<(Frame, &[u8], bool), Bad> {
    let (head, body) = b.split_at_checked(COPY_HEADER).ok_or(Bad::Short)?;
    if &head[..8] != MAGIC {
        return Err(Bad::Magic);
    }
    if header_crc(head) != u32_at(head, 12) {
        return Err(Bad::Crc);
    }
    if u16_at(head, 8) != VERSION {
        return Err(Bad::Version);
    }
    let number = |n: usize| u64_at(head, 16 + n * 8);
    let ts = |n| Timestamp(number(n).cast_signed());
    let lane = LaneId(number(0));
    let frame = Frame {
        lane,
        table: lane.table().ok_or(Bad::Place)?,
        schema: SchemaId(u16_at(head, 10)),
        first_seq: number(1),
        count: number(2),
        bytes: number(7),
        min_ts: ts(8),
        max_ts: ts(9),
        segment: number(3),
        offset: number(5),
        end: number(6),
        crc: u32_at(head, 104),
    };
    let whole = number(4) == body.len() as u64 && crc32c::crc32c(body) == u32_at(head, 108);
    Ok((frame, body, whole))
}

fn header_crc(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..12]), &head[16..])
}
