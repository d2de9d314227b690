//! Reading a segment from its first byte to its last: frames, and where it stops making sense.
//! Pure; what recovery, `fsck` and `dump` share.

use super::{
    Frame,
    format::{self, Bad, Item, Kind, Place, SEGMENT_HEADER, SegmentHeader},
    frame::OpenFrame,
};
use crate::record::LaneId;

/// What a segment holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) header: SegmentHeader,
    /// Frames in order. The last one has no footer when `open` says so.
    pub(super) frames: Vec<Frame>,
    /// Whether the last frame has no footer.
    pub(super) open: bool,
    /// The batches of the last frame, when it is open.
    pub(super) batches: u32,
    /// The seq of the first row, and the one after the last.
    pub(super) seqs: Option<(u64, u64)>,
    /// The seq in the lane's end mark.
    pub(super) ended: Option<u64>,
    /// The first byte after the last good item.
    pub(super) end: u64,
    /// That item's CRC.
    pub(super) crc: u32,
    /// What follows.
    pub(super) tail: Tail,
}

/// What follows the last good item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, or preallocated zeros.
    Clean,
    /// The beginning of an item whose write was cut short: it was never acknowledged to anybody.
    Unfinished,
    /// Something else. Good items further on reach up to the seq `seen`; `durable` when one of them
    /// says that the damage lies where the file was durable before it.
    Damaged { bad: Bad, seen: Option<u64>, durable: bool },
}

/// Reads a segment.
///
/// # Errors
/// When its header is not that of this lane and segment; nothing behind it can be trusted then.
pub(super) fn scan(b: &[u8], lane: LaneId, segment: u64) -> Result<Scan, Bad> {
    scan_until(b, lane, segment, |_| false)
}

/// As [`scan`], up to the first batch whose first seq is `over`: as if nothing followed.
pub(super) fn scan_until(
    b: &[u8],
    lane: LaneId,
    segment: u64,
    over: impl Fn(u64) -> bool,
) -> Result<Scan, Bad> {
    let (header, crc) = SegmentHeader::parse(b)?;
    if header.lane != lane || header.segment != segment {
        return Err(Bad::Place);
    }
    let mut walk = Walk { lane, segment, frame: None, frames: Vec::new(), seqs: None, crc };
    let (mut at, mut ended) = (SEGMENT_HEADER, None);
    let mut stopped = None;
    while ended.is_none() {
        let place = Place { lane, segment, offset: at as u64 };
        let item = format::parse(&b[at..], place);
        if item.as_ref().is_ok_and(|i| i.kind == Kind::Batch && over(i.span.first_seq)) {
            break;
        }
        match item.and_then(|i| walk.take(&i, place.offset).map(|()| i)) {
            Ok(item) => {
                at += item.size;
                ended = (item.kind == Kind::End).then_some(item.span.first_seq);
            }
            Err(bad) => {
                stopped = Some(bad);
                break;
            }
        }
    }
    let place = Place { lane, segment, offset: at as u64 };
    let tail = stopped.map_or(Tail::Clean, |bad| judge(&b[at..], place, walk.crc, bad));
    let open = walk.frame.is_some();
    let batches = walk.frame.as_ref().map_or(0, |f| f.batches);
    walk.frames.extend(walk.frame.take().map(|f| f.frame));
    let Walk { frames, seqs, crc, .. } = walk;
    Ok(Scan { header, frames, open, batches, seqs, ended, end: at as u64, crc, tail })
}

fn judge(rest: &[u8], place: Place, previous: u32, bad: Bad) -> Tail {
    if rest.iter().all(|&b| b == 0) {
        return Tail::Clean;
    }
    let Some((seen, durable)) = resync(rest, place) else {
        if format::is_unfinished(rest, place, previous) {
            return Tail::Unfinished;
        }
        return Tail::Damaged { bad, seen: None, durable: false };
    };
    Tail::Damaged { bad, seen: Some(seen), durable: durable > place.offset }
}

/// Looks for good items anywhere in `rest`: items name their own place, so that one found at its
/// place is one. Returns the seq they reach up to and the offset they know to be durable.
fn resync(rest: &[u8], place: Place) -> Option<(u64, u64)> {
    let mut found: Option<(u64, u64)> = None;
    for at in 1..rest.len().saturating_sub(format::ITEM_HEADER) {
        if rest[at] != b'T' {
            continue;
        }
        let there = Place { offset: place.offset + at as u64, ..place };
        if let Ok(i) = format::parse(&rest[at..], there) {
            let next = i.span.first_seq.saturating_add(u64::from(i.span.count));
            let (seen, durable) = found.unwrap_or_default();
            found = Some((seen.max(next), durable.max(i.before.durable)));
        }
    }
    found
}

/// Reads a frame's rows out of `b`, its bytes from first to last batch.
///
/// # Errors
/// What is wrong, and where in the file.
pub(super) fn rows(b: &[u8], frame: &Frame) -> Result<Vec<u8>, (u64, Bad)> {
    let mut out = Vec::with_capacity(usize::try_from(frame.bytes).unwrap_or(0).min(b.len()));
    let (mut at, mut seq, mut crc) = (0, frame.first_seq, None);
    while at < b.len() {
        let offset = frame.offset + at as u64;
        let place = Place { lane: frame.lane, segment: frame.segment, offset };
        let item = format::parse(&b[at..], place).map_err(|bad| (offset, bad))?;
        if crc.is_some_and(|c| c != item.before.crc) || item.kind != Kind::Batch {
            return Err((offset, Bad::Chain));
        }
        if item.span.first_seq != seq {
            return Err((offset, Bad::Seq));
        }
        out.extend_from_slice(item.body);
        seq += u64::from(item.span.count);
        crc = Some(item.crc);
        at += item.size;
    }
    let whole = seq == frame.first_seq + frame.count && crc == Some(frame.crc);
    if whole { Ok(out) } else { Err((frame.end, Bad::Footer)) }
}

struct Walk {
    lane: LaneId,
    segment: u64,
    frame: Option<OpenFrame>,
    frames: Vec<Frame>,
    seqs: Option<(u64, u64)>,
    crc: u32,
}

impl Walk {
    fn take(&mut self, item: &Item<'_>, offset: u64) -> Result<(), Bad> {
        if item.before.crc != self.crc {
            return Err(Bad::Chain);
        }
        let span = &item.span;
        match item.kind {
            Kind::Batch => {
                let next = span.first_seq.checked_add(u64::from(span.count)).ok_or(Bad::Seq)?;
                // A jump in seq is legal between frames only: recovery leaves one where rows that
                // were lost lie between rows that another store gave back.
                if span.count == 0
                    || span.schema.table() != self.lane.table()
                    || self.seqs.is_some_and(|(_, n)| {
                        span.first_seq < n || (self.frame.is_some() && span.first_seq != n)
                    })
                {
                    return Err(Bad::Seq);
                }
                if self.frame.as_ref().is_some_and(|f| f.frame.schema != span.schema) {
                    return Err(Bad::Seq);
                }
                let end = offset + item.size as u64;
                let place = Place { lane: self.lane, segment: self.segment, offset };
                let bytes = item.body.len() as u64;
                match &mut self.frame {
                    Some(f) => f.add(span, bytes, end, item.crc),
                    none => *none = OpenFrame::new(place, span, bytes, end, item.crc),
                }
                self.seqs = Some((self.seqs.map_or(span.first_seq, |s| s.0), next));
            }
            Kind::Footer => {
                let frame = self.frame.take().ok_or(Bad::Footer)?;
                let ok = item.facts() == Some(frame.facts()) && *span == frame.span();
                self.frames.push(frame.frame);
                if !ok {
                    self.frame = self.frames.pop().map(|f| OpenFrame { frame: f, batches: 0 });
                    return Err(Bad::Footer);
                }
            }
            Kind::End => {
                if self.frame.is_some() || self.seqs.is_some_and(|(_, n)| span.first_seq < n) {
                    return Err(Bad::Seq);
                }
            }
        }
        self.crc = item.crc;
        Ok(())
    }
}
