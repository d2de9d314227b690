//! Segments byte by byte, in version 1 (the table is in the [module page](super)). Pure.

use std::fmt;

use crate::{
    clock::Timestamp,
    record::{LaneId, NodeName, SchemaId},
};

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 128;
/// Bytes before an item's body.
pub(super) const ITEM_HEADER: usize = 80;
/// Bytes after an item's body.
pub(super) const TRAILER: usize = 4;
/// Bytes of a whole frame footer.
pub(super) const FOOTER: usize = ITEM_HEADER + FOOTER_FACTS + FOOTER_SEAL + TRAILER;
/// Bytes of a whole end mark.
pub(super) const END: usize = ITEM_HEADER + TRAILER;
/// What every segment keeps free behind its last batch: a footer and an end mark.
pub(super) const TAIL_ROOM: usize = FOOTER + END;

/// Bytes of rows and headers that one commit can write at most.
pub(super) const fn capacity(segment_size: u64) -> u64 {
    segment_size.saturating_sub((SEGMENT_HEADER + TAIL_ROOM + 2 * FOOTER) as u64)
}

const FOOTER_FACTS: usize = 24;
const FOOTER_SEAL: usize = 100;
const SEGMENT_MAGIC: &[u8; 8] = b"TGSPOOL1";
const TRAILER_MAGIC: &[u8; TRAILER] = b"TGZ1";
const VERSION: u16 = 1;

/// The first bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) synced: bool,
    pub(super) lane: LaneId,
    pub(super) segment: u64,
    pub(super) size: u64,
    pub(super) boot_id: [u8; 16],
    pub(super) opened: Timestamp,
    pub(super) node: NodeName,
}

impl SegmentHeader {
    /// The bytes, and the CRC that the first item names as its predecessor.
    pub(super) fn encode(&self) -> ([u8; SEGMENT_HEADER], u32) {
        let mut b = [0; SEGMENT_HEADER];
        b[..8].copy_from_slice(SEGMENT_MAGIC);
        b[8..10].copy_from_slice(&VERSION.to_le_bytes());
        b[10..12].copy_from_slice(&u16::from(self.synced).to_le_bytes());
        b[16..24].copy_from_slice(&self.lane.0.to_le_bytes());
        b[24..32].copy_from_slice(&self.segment.to_le_bytes());
        b[32..40].copy_from_slice(&self.size.to_le_bytes());
        b[40..56].copy_from_slice(&self.boot_id);
        b[56..64].copy_from_slice(&self.opened.0.to_le_bytes());
        let node = self.node.as_str().as_bytes();
        b[64] = node.len() as u8;
        b[65..65 + node.len()].copy_from_slice(node);
        let crc = segment_crc(&b);
        b[12..16].copy_from_slice(&crc.to_le_bytes());
        (b, crc)
    }

    /// Reads it back with its CRC.
    pub(super) fn parse(b: &[u8]) -> Result<(Self, u32), Bad> {
        let b: &[u8; SEGMENT_HEADER] = b.first_chunk().ok_or(Bad::Short)?;
        if &b[..8] != SEGMENT_MAGIC {
            return Err(Bad::Magic);
        }
        let crc = u32_at(b, 12);
        if segment_crc(b) != crc {
            return Err(Bad::Crc);
        }
        if u16_at(b, 8) != VERSION {
            return Err(Bad::Version);
        }
        let name = b.get(65..65 + usize::from(b[64])).ok_or(Bad::Node)?;
        let name = std::str::from_utf8(name).map_err(|_| Bad::Node)?;
        let mut boot_id = [0; 16];
        boot_id.copy_from_slice(&b[40..56]);
        let header = Self {
            synced: u16_at(b, 10) == 1,
            lane: LaneId(u64_at(b, 16)),
            segment: u64_at(b, 24),
            size: u64_at(b, 32),
            boot_id,
            opened: Timestamp(u64_at(b, 56).cast_signed()),
            node: name.parse().map_err(|_| Bad::Node)?,
        };
        Ok((header, crc))
    }
}

fn segment_crc(b: &[u8; SEGMENT_HEADER]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&b[..12]), &b[16..])
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows.
    Batch,
    /// The end of a frame.
    Footer,
    /// The end of a lane.
    End,
}

impl Kind {
    const fn magic(self) -> &'static [u8; 4] {
        match self {
            Self::Batch => b"TGB1",
            Self::Footer => b"TGF1",
            Self::End => b"TGE1",
        }
    }

    fn from_magic(b: &[u8]) -> Option<Self> {
        [Self::Batch, Self::Footer, Self::End].into_iter().find(|k| k.magic().as_slice() == b)
    }

    /// Bytes of the body that the CRC covers: a footer's seal may be filled in later.
    const fn covered(self, body: usize) -> usize {
        match self {
            Self::Batch => body,
            Self::Footer => FOOTER_FACTS,
            Self::End => 0,
        }
    }
}

/// The place of an item: a batch that was written elsewhere is not accepted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lane: LaneId,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// What an item says about the file before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// The CRC of the item before, or of the segment's header.
    pub(super) crc: u32,
    /// How much of the file was known to be durable: what is damaged below it was lost by the
    /// disk, not by a power cut.
    pub(super) durable: u64,
}

/// What an item says about rows: its own, its frame's, or (`count` 0) the seq its lane ends before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first_seq: u64,
    pub(super) count: u32,
    pub(super) schema: SchemaId,
    pub(super) min_ts: Timestamp,
    pub(super) max_ts: Timestamp,
}

/// What a footer adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Where the frame's first batch begins.
    pub(super) offset: u64,
    /// Bytes of its rows.
    pub(super) bytes: u64,
    /// Its batches.
    pub(super) batches: u32,
}

/// Completes an item that lies in `b` from its first to its last byte, and returns its CRC. The
/// body is in place already; header and trailer are written here.
pub(super) fn complete(b: &mut [u8], kind: Kind, place: Place, span: &Span, before: Before) -> u32 {
    let body = b.len() - ITEM_HEADER - TRAILER;
    b[..4].copy_from_slice(kind.magic());
    b[8..12].copy_from_slice(&before.crc.to_le_bytes());
    b[12..16].copy_from_slice(&(body as u32).to_le_bytes());
    b[16..24].copy_from_slice(&place.lane.0.to_le_bytes());
    b[24..32].copy_from_slice(&place.segment.to_le_bytes());
    b[32..40].copy_from_slice(&place.offset.to_le_bytes());
    b[40..48].copy_from_slice(&span.first_seq.to_le_bytes());
    b[48..52].copy_from_slice(&span.count.to_le_bytes());
    b[52..54].copy_from_slice(&span.schema.0.to_le_bytes());
    b[54..56].copy_from_slice(&[0; 2]);
    b[56..64].copy_from_slice(&span.min_ts.0.to_le_bytes());
    b[64..72].copy_from_slice(&span.max_ts.0.to_le_bytes());
    b[72..80].copy_from_slice(&before.durable.to_le_bytes());
    let crc = crc32c::crc32c(&b[8..ITEM_HEADER + kind.covered(body)]);
    b[4..8].copy_from_slice(&crc.to_le_bytes());
    let end = b.len() - TRAILER;
    b[end..].copy_from_slice(TRAILER_MAGIC);
    crc
}

/// Writes a footer into `b`, which has [`FOOTER`] bytes.
pub(super) fn footer(
    b: &mut [u8],
    place: Place,
    span: &Span,
    facts: &Facts,
    before: Before,
) -> u32 {
    b.fill(0);
    let body = &mut b[ITEM_HEADER..];
    body[..8].copy_from_slice(&facts.offset.to_le_bytes());
    body[8..16].copy_from_slice(&facts.bytes.to_le_bytes());
    body[16..20].copy_from_slice(&facts.batches.to_le_bytes());
    complete(b, Kind::Footer, place, span, before)
}

/// An item that was read back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) kind: Kind,
    pub(super) span: Span,
    pub(super) crc: u32,
    pub(super) before: Before,
    /// A batch's rows.
    pub(super) body: &'a [u8],
    /// Bytes of the whole item.
    pub(super) size: usize,
}

impl Item<'_> {
    /// What a footer adds; none for other items.
    pub(super) fn facts(&self) -> Option<Facts> {
        (self.kind == Kind::Footer && self.body.len() >= FOOTER_FACTS).then(|| Facts {
            offset: u64_at(self.body, 0),
            bytes: u64_at(self.body, 8),
            batches: u32_at(self.body, 16),
        })
    }
}

/// Reads the item at the beginning of `b`, which must have been written for `place`.
pub(super) fn parse(b: &[u8], place: Place) -> Result<Item<'_>, Bad> {
    let head = b.get(..ITEM_HEADER).ok_or(Bad::Short)?;
    let kind = Kind::from_magic(&head[..4]).ok_or(Bad::Magic)?;
    let found = Place {
        lane: LaneId(u64_at(head, 16)),
        segment: u64_at(head, 24),
        offset: u64_at(head, 32),
    };
    if found != place {
        return Err(Bad::Place);
    }
    let body = u32_at(head, 12) as usize;
    let fixed = match kind {
        Kind::Batch => body,
        Kind::Footer => FOOTER_FACTS + FOOTER_SEAL,
        Kind::End => 0,
    };
    let size = body.checked_add(ITEM_HEADER + TRAILER).ok_or(Bad::Length)?;
    if body != fixed || size > b.len() {
        return Err(Bad::Length);
    }
    let crc = u32_at(head, 4);
    if crc32c::crc32c(&b[8..ITEM_HEADER + kind.covered(body)]) != crc {
        return Err(Bad::Crc);
    }
    if &b[size - TRAILER..size] != TRAILER_MAGIC {
        return Err(Bad::Trailer);
    }
    let span = Span {
        first_seq: u64_at(head, 40),
        count: u32_at(head, 48),
        schema: SchemaId(u16_at(head, 52)),
        min_ts: Timestamp(u64_at(head, 56).cast_signed()),
        max_ts: Timestamp(u64_at(head, 64).cast_signed()),
    };
    let body = &b[ITEM_HEADER..ITEM_HEADER + body];
    let before = Before { crc: u32_at(head, 8), durable: u64_at(head, 72) };
    Ok(Item { kind, span, crc, before, body, size })
}

/// Whether `b`, which goes to the end of the file, can be the beginning of an item whose `pwrite`
/// was cut short: the kernel copies page by page, so everything from some page edge on is still
/// zero, and what lies before is right as far as it goes.
pub(super) fn is_unfinished(b: &[u8], place: Place, previous: u32) -> bool {
    const PAGE: u64 = 4096;
    let Some(last) = b.iter().rposition(|&x| x != 0) else { return true };
    let edge = (place.offset + last as u64 + 1).next_multiple_of(PAGE) - place.offset;
    let edge = usize::try_from(edge).unwrap_or(usize::MAX);
    if edge >= ITEM_HEADER {
        let Some(head) = b.get(..ITEM_HEADER) else { return false };
        let end = (u32_at(head, 12) as usize).saturating_add(ITEM_HEADER + TRAILER);
        return Kind::from_magic(&head[..4]).is_some()
            && u32_at(head, 8) == previous
            && u64_at(head, 16) == place.lane.0
            && u64_at(head, 24) == place.segment
            && u64_at(head, 32) == place.offset
            && end > edge;
    }
    // Even the header is cut: at least what there is of the magic must be ours.
    let known = edge.min(4).min(b.len());
    [Kind::Batch, Kind::Footer, Kind::End].iter().any(|k| k.magic()[..known] == b[..known])
}

/// What is wrong with bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The file ends in the middle.
    Short,
    /// No item begins here.
    Magic,
    /// A version that this build does not read.
    Version,
    /// The node's name cannot be one.
    Node,
    /// Written for another lane, segment or offset.
    Place,
    /// The length cannot be right.
    Length,
    /// The CRC does not match.
    Crc,
    /// The trailer is missing.
    Trailer,
    /// It does not follow the item before it.
    Chain,
    /// The seq does not follow.
    Seq,
    /// A footer that does not describe its batches.
    Footer,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "the file ends in the middle",
            Self::Magic => "no item begins here",
            Self::Version => "unknown format version",
            Self::Node => "bad node name",
            Self::Place => "written for another lane, segment or offset",
            Self::Length => "impossible length",
            Self::Crc => "CRC mismatch",
            Self::Trailer => "trailer missing",
            Self::Chain => "does not follow the item before it",
            Self::Seq => "seq does not follow",
            Self::Footer => "footer does not describe its batches",
        })
    }
}

pub(super) fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

pub(super) fn u32_at(b: &[u8], at: usize) -> u32 {
    let mut v = [0; 4];
    v.copy_from_slice(&b[at..at + 4]);
    u32::from_le_bytes(v)
}

pub(super) fn u64_at(b: &[u8], at: usize) -> u64 {
    let mut v = [0; 8];
    v.copy_from_slice(&b[at..at + 8]);
    u64::from_le_bytes(v)
}
