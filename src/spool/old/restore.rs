//! Rows that another store has kept, put back where they were promised to be.

use super::{OldLane, OldSegment};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId, rowbinary::Reader},
    spool::{
        Core, Error,
        format::{self, END, FOOTER, ITEM_HEADER, Kind, SEGMENT_HEADER, Span},
        frame::OpenFrame,
        index::FrameState,
        scan,
        segment::{self, Segment, Stage},
    },
};

/// Writes rows that another store has kept.
#[derive(Debug)]
pub(super) struct Writer {
    segment: Segment,
    /// Bytes allocated for the segment.
    size: u64,
    open: Option<OpenFrame>,
    pub(super) runs: Vec<(u64, u64)>,
}

impl OldLane {
    /// Appends a row that another store has kept. Returns its ts.
    pub(in crate::spool) fn append(
        &mut self,
        core: &Core,
        seq: u64,
        schema: SchemaId,
        row: &[u8],
    ) -> Result<Timestamp, Error> {
        let ts = self.check_row(core, seq, schema, row).ok_or(Error::NotInState)?;
        let after = self.writer.as_ref().and_then(|w| w.runs.last()).is_some_and(|r| seq < r.1);
        let size = core.shared_segment_size();
        let need = (ITEM_HEADER + row.len() + 2 * FOOTER + END + format::TRAILER) as u64;
        let full = self.writer.as_ref().is_some_and(|w| w.segment.offset + need > w.size);
        if after || full {
            self.end_writer(core, None)?;
        }
        let number = self.segments.last().map_or(0, |s| s.number + 1);
        let writer = match &mut self.writer {
            Some(w) => w,
            none => {
                // A full disk must not stand between the server and its start: then there is room
                // for this row alone.
                let small = SEGMENT_HEADER as u64 + need;
                let (segment, size) = match core.allocate(self.id, number, size, None) {
                    Ok(segment) => (segment, size),
                    Err(Error::Full) => (core.allocate_small(self.id, number, small)?, small),
                    Err(e) => return Err(e),
                };
                none.insert(Writer { segment, size, open: None, runs: Vec::new() })
            }
        };
        writer.append(core, self.id, &Row { seq, schema, ts, bytes: row })?;
        Ok(ts)
    }

    fn check_row(&self, core: &Core, seq: u64, schema: SchemaId, row: &[u8]) -> Option<Timestamp> {
        let mut r = Reader(row);
        let whole = schema.take_row(&mut r).ok()?;
        let mut head = Reader(whole);
        let right = r.is_empty()
            && head.bytes().ok()? == core.node.as_str().as_bytes()
            && head.u64().ok()? == self.id.0
            && head.u64().ok()? == seq
            && row.len() <= core.config.batch_bytes_max as usize;
        right.then(|| head.ts().ok())?
    }

    /// Seals what was restored; with an end mark when `end` gives its seq.
    pub(super) fn end_writer(&mut self, core: &Core, end: Option<u64>) -> Result<(), Error> {
        let Some(mut w) = self.writer.take() else { return Ok(()) };
        w.close_frame(core, self.id)?;
        if let Some(next) = end {
            w.segment.write_end(self.id, next).map_err(|e| Error::io("write", &core.dir, e))?;
        }
        let number = w.segment.number;
        core.seal_old(self.id, &w.segment)?;
        let path = segment::path(&core.dir, self.id, number, Stage::Sealed);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let scan = scan::scan(&bytes, self.id, number);
        let size = bytes.len() as u64;
        let (stage, blank, rebooted) = (Stage::Sealed, false, false);
        let old = OldSegment { number, stage, size, blank, rebooted, scan };
        for f in old.frames() {
            core.index().add(f.clone(), FrameState::Ready);
        }
        self.segments.push(old);
        Ok(())
    }
}

struct Row<'a> {
    seq: u64,
    schema: SchemaId,
    ts: Timestamp,
    bytes: &'a [u8],
}

impl Writer {
    fn append(&mut self, core: &Core, lane: LaneId, row: &Row<'_>) -> Result<(), Error> {
        let follows = self.open.as_ref().is_some_and(|o| {
            let f = &o.frame;
            let day = |t: Timestamp| t.secs().div_euclid(86_400);
            f.first_seq + f.count == row.seq
                && f.schema == row.schema
                && f.count < u64::from(core.config.frame_rows_max)
                && f.bytes + row.bytes.len() as u64 <= u64::from(core.config.frame_bytes_max)
                && day(f.max_ts.max(row.ts)) - day(f.min_ts.min(row.ts)) <= 1
        });
        if !follows {
            self.close_frame(core, lane)?;
        }
        let mut b = vec![0; ITEM_HEADER + row.bytes.len() + format::TRAILER];
        b[ITEM_HEADER..ITEM_HEADER + row.bytes.len()].copy_from_slice(row.bytes);
        let (first_seq, schema) = (row.seq, row.schema);
        let span = Span { first_seq, count: 1, schema, min_ts: row.ts, max_ts: row.ts };
        let place = self.segment.place(lane, 0);
        let crc = format::complete(&mut b, Kind::Batch, place, &span, self.segment.before());
        self.segment.write(&b, crc).map_err(|e| Error::io("write", &core.dir, e))?;
        let (bytes, end) = (row.bytes.len() as u64, self.segment.offset);
        match &mut self.open {
            Some(o) => o.add(&span, bytes, end, crc),
            none => *none = OpenFrame::new(place, &span, bytes, end, crc),
        }
        match self.runs.last_mut() {
            Some(r) if r.1 == row.seq => r.1 += 1,
            _ => self.runs.push((row.seq, row.seq + 1)),
        }
        Ok(())
    }

    fn close_frame(&mut self, core: &Core, lane: LaneId) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let done = self.segment.write_footer(lane, &open);
        done.map_err(|e| Error::io("write", &core.dir, e))
    }
}
