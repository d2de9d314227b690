//! What was pushed and not yet committed: batches and footers in one buffer that is used again.

use super::{
    Frame,
    format::{self, FOOTER, ITEM_HEADER, Kind, Span, TRAILER, capacity},
    frame::OpenFrame,
    segment::Segment,
    state::Missing,
};
use crate::{
    clock::Timestamp,
    config::{self, FullPolicy},
    record::{Head, LaneId, SchemaId},
};

/// A stretch of the buffer.
#[derive(Debug)]
pub(super) enum Piece {
    /// A batch: header, rows and (once it is finished) trailer.
    Batch { at: usize, end: usize, span: Span },
    /// A footer's place.
    Footer { at: usize },
}

#[derive(Debug)]
pub(super) struct Pending {
    buf: Vec<u8>,
    pieces: Vec<Piece>,
    /// Bytes at the front that fell away: the footer of a frame that was closed otherwise.
    skip: usize,
    rows: u32,
    shed: Missing,
    dropped: Missing,
    dropped_refuse: bool,
    /// The frame as it will be once this is written.
    frame: Option<FrameSize>,
    last_ts: Timestamp,
    last_len: usize,
    capacity: usize,
    batch_bytes_max: usize,
    frame_rows_max: u64,
    frame_bytes_max: u64,
}

#[derive(Clone, Copy, Debug)]
struct FrameSize {
    rows: u64,
    bytes: u64,
    min_ts: Timestamp,
    max_ts: Timestamp,
    schema: SchemaId,
}

impl FrameSize {
    /// Whether a row may join. A frame spans at most two days, so that it touches at most two
    /// partitions of the store.
    fn takes(&self, p: &Pending, ts: Timestamp, schema: SchemaId, bytes: u64) -> bool {
        let day = |t: Timestamp| t.secs().div_euclid(86_400);
        self.rows < p.frame_rows_max
            && self.bytes + bytes <= p.frame_bytes_max
            && self.schema == schema
            && day(self.max_ts.max(ts)) - day(self.min_ts.min(ts)) <= 1
    }
}

impl Pending {
    pub(super) fn new(config: &config::Spool, segment_size: u64) -> Self {
        Self {
            buf: Vec::new(),
            pieces: Vec::new(),
            skip: 0,
            rows: 0,
            shed: Missing::default(),
            dropped: Missing::default(),
            dropped_refuse: false,
            frame: None,
            last_ts: Timestamp::ZERO,
            last_len: 0,
            capacity: usize::try_from(capacity(segment_size)).unwrap_or(usize::MAX),
            batch_bytes_max: config.batch_bytes_max as usize,
            frame_rows_max: u64::from(config.frame_rows_max),
            frame_bytes_max: u64::from(config.frame_bytes_max),
        }
    }

    /// Encodes one row at the end. A row larger than a limit is dropped, and counted as such.
    pub(super) fn push(
        &mut self,
        open: Option<&OpenFrame>,
        head: &Head<'_>,
        schema: SchemaId,
        full: FullPolicy,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let ts = head.ts;
        let one = Missing { count: 1, from: ts, to: ts, upper: false };
        if self.is_empty() {
            self.frame = open.map(|o| FrameSize {
                rows: o.frame.count,
                bytes: o.frame.bytes,
                min_ts: o.frame.min_ts,
                max_ts: o.frame.max_ts,
                schema: o.frame.schema,
            });
        }
        let start = self.buf.len();
        encode(&mut self.buf);
        let len = self.buf.len() - start;
        if len > self.batch_bytes_max
            || self.buf.len() + ITEM_HEADER + 2 * TRAILER + 2 * FOOTER > self.capacity
        {
            self.buf.truncate(start);
            match full {
                FullPolicy::Shed => self.dropped = self.dropped.and(one),
                FullPolicy::Refuse => self.dropped_refuse = true,
            }
            return;
        }
        let new_frame = self.frame.as_ref().is_some_and(|f| !f.takes(self, ts, schema, len as u64));
        self.place(start, len, new_frame, head, schema);
        self.rows += 1;
        (self.last_ts, self.last_len) = (ts, len);
        if full == FullPolicy::Shed {
            self.shed = self.shed.and(one);
        }
        let frame = if new_frame { None } else { self.frame };
        self.frame = Some(frame.map_or(
            FrameSize { rows: 1, bytes: len as u64, min_ts: ts, max_ts: ts, schema },
            |f| FrameSize {
                rows: f.rows + 1,
                bytes: f.bytes + len as u64,
                min_ts: f.min_ts.min(ts),
                max_ts: f.max_ts.max(ts),
                schema,
            },
        ));
    }

    /// Puts the row at `start` into the last batch, or into a new one behind headers that are
    /// squeezed in before it.
    fn place(
        &mut self,
        start: usize,
        len: usize,
        new_frame: bool,
        head: &Head<'_>,
        schema: SchemaId,
    ) {
        if let Some(Piece::Batch { at, end, span }) = self.pieces.last_mut() {
            let fits = start + len - *at - ITEM_HEADER <= self.batch_bytes_max;
            if fits && !new_frame {
                *end = start + len;
                span.count += 1;
                span.min_ts = span.min_ts.min(head.ts);
                span.max_ts = span.max_ts.max(head.ts);
                return;
            }
        }
        let trailer = if let Some(Piece::Batch { end, .. }) = self.pieces.last_mut() {
            *end += TRAILER;
            TRAILER
        } else {
            0
        };
        let footer = if new_frame { FOOTER } else { 0 };
        let at = start + trailer + footer;
        self.buf.resize(at + ITEM_HEADER + len, 0);
        self.buf.copy_within(start..start + len, at + ITEM_HEADER);
        if new_frame {
            self.pieces.push(Piece::Footer { at: start + trailer });
        }
        let span = Span { first_seq: head.seq, count: 1, schema, min_ts: head.ts, max_ts: head.ts };
        self.pieces.push(Piece::Batch { at, end: at + ITEM_HEADER + len, span });
    }

    /// Ends the last batch, and the frame when it is old enough.
    pub(super) fn finish(&mut self, age_ms_max: u64) {
        if let Some(Piece::Batch { end, .. }) = self.pieces.last_mut() {
            *end += TRAILER;
            self.buf.resize(*end, 0);
        }
        let aged = |f: FrameSize| self.last_ts.since(f.min_ts).as_millis() >= age_ms_max.into();
        if self.frame.is_some_and(aged) {
            self.pieces.push(Piece::Footer { at: self.buf.len() });
            self.buf.resize(self.buf.len() + FOOTER, 0);
        }
    }

    /// The frame that was open before was closed otherwise: no footer for it here.
    pub(super) fn frame_ended(&mut self) {
        if let Some(Piece::Footer { at: 0 }) = self.pieces.first() {
            self.skip = FOOTER;
        }
    }

    /// Writes every header for the place where `segment` ends. Returns the frame left open and the
    /// last item's CRC; frames that end here go to `closed`.
    pub(super) fn lay(
        &mut self,
        lane: LaneId,
        segment: &Segment,
        mut open: Option<OpenFrame>,
        closed: &mut Vec<Frame>,
    ) -> (Option<OpenFrame>, u32) {
        let mut before = segment.before();
        let skipped = usize::from(self.skip > 0);
        for piece in &self.pieces[skipped..] {
            match piece {
                Piece::Batch { at, end, span } => {
                    let place = segment.place(lane, at - self.skip);
                    let item = &mut self.buf[*at..*end];
                    before.crc = format::complete(item, Kind::Batch, place, span, before);
                    let bytes = (item.len() - ITEM_HEADER - TRAILER) as u64;
                    let after = place.offset + item.len() as u64;
                    match &mut open {
                        Some(o) => o.add(span, bytes, after, before.crc),
                        none => *none = OpenFrame::new(place, span, bytes, after, before.crc),
                    }
                }
                Piece::Footer { at } => {
                    let Some(frame) = open.take() else { continue };
                    let place = segment.place(lane, at - self.skip);
                    let item = &mut self.buf[*at..at + FOOTER];
                    before.crc = format::footer(item, place, &frame.span(), &frame.facts(), before);
                    closed.push(frame.frame);
                }
            }
        }
        (open, before.crc)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.skip..]
    }

    /// The row pushed last; what is pushed later may move it.
    pub(super) fn last_row(&self) -> &[u8] {
        &self.buf[self.buf.len() - self.last_len..]
    }

    pub(super) fn clear(&mut self) {
        self.buf.clear();
        self.pieces.clear();
        self.skip = 0;
        self.rows = 0;
        self.shed = Missing::default();
        self.dropped = Missing::default();
        self.dropped_refuse = false;
        self.frame = None;
        self.last_len = 0;
    }

    /// Whether nothing was pushed.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0 && self.dropped.count == 0 && !self.dropped_refuse
    }

    /// Rows to write.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// Of these, what may be shed.
    pub(super) fn shed(&self) -> Missing {
        self.shed
    }

    /// Rows larger than a limit: those that may be shed, and whether there are others.
    pub(super) fn dropped(&self) -> (Missing, bool) {
        (self.dropped, self.dropped_refuse)
    }

    pub(super) fn last_ts(&self) -> Timestamp {
        self.last_ts
    }
}
