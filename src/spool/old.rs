//! A lane of the time before: what is missing in it, and how it is ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU64},
};

use super::{
    Core, Error, Frame, Spool,
    format::{self, Bad, END, FOOTER, ITEM_HEADER, Kind, SEGMENT_HEADER, SegmentHeader, Span},
    index::FrameState,
    io::is_full,
    lane::{self, LaneShared},
    pending::Piece,
    scan::{OpenFrame, Scan, Tail, scan_until},
    segment::{self, Segment, SegmentFile, Stage, state_path},
    state::{Missing, Phase, Reason, STATE_SIZE, State, reason_of},
};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId, Table, rowbinary::Reader},
};

/// The fewest bytes a row can have: a node's name and the rest of the head.
const ROW_BYTES_MIN: u64 = 26;

/// The seq of a lane that are or were in the spool: ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(Vec<(u64, u64)>);

impl Runs {
    /// Every seq below `next`.
    pub(super) fn whole(next: u64) -> Self {
        Self(if next == 0 { Vec::new() } else { vec![(0, next)] })
    }

    fn of(mut all: Vec<(u64, u64)>) -> Self {
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (first, next) in all {
            match merged.last_mut() {
                Some(last) if first <= last.1 => last.1 = last.1.max(next),
                _ => merged.push((first, next)),
            }
        }
        Self(merged)
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.0.iter().any(|r| (r.0..r.1).contains(&seq))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.0 < b.1 && b.0 < a.1))
    }

    /// The seq after the last.
    pub(super) fn next(&self) -> u64 {
        self.0.last().map_or(0, |r| r.1)
    }

    /// The seq between runs, or before the first.
    fn holes(&self) -> impl Iterator<Item = (u64, u64)> {
        let ends = std::iter::once(0).chain(self.0.iter().map(|r| r.1));
        ends.zip(self.0.iter().map(|r| r.0)).filter(|(end, first)| first > end)
    }
}

/// A segment of the time before.
#[derive(Debug)]
pub(super) struct OldSegment {
    pub(super) number: u64,
    pub(super) stage: Stage,
    pub(super) size: u64,
    /// Nothing but zeros: it was never used.
    pub(super) blank: bool,
    /// The machine may have started anew since it was written.
    pub(super) rebooted: bool,
    pub(super) scan: Result<Scan, Bad>,
}

impl OldSegment {
    pub(super) fn frames(&self) -> &[Frame] {
        self.scan.as_ref().map_or(&[], |s| &s.frames)
    }

    /// Whether bytes are not what was written, and no gap row says so yet.
    pub(super) fn is_damaged(&self) -> bool {
        self.stage != Stage::Damaged
            && match &self.scan {
                Ok(s) => match s.tail {
                    Tail::Clean => false,
                    Tail::Unfinished => self.stage != Stage::Open,
                    // The last writes before a power cut, in any mixture: nobody was answered.
                    Tail::Damaged { durable: false, .. }
                        if self.rebooted && s.header.synced && self.stage == Stage::Open =>
                    {
                        false
                    }
                    Tail::Damaged { .. } => true,
                },
                Err(_) => !(self.blank && self.stage == Stage::Open),
            }
    }

    fn is_unused(&self) -> bool {
        self.stage == Stage::Open
            && match &self.scan {
                Ok(s) => s.seqs.is_none() && s.ended.is_none() && !self.is_damaged(),
                Err(_) => self.blank,
            }
    }

    /// Rows that may lie behind the first bad item.
    fn rows_behind(&self) -> u64 {
        let end = self.scan.as_ref().map_or(0, |s| s.end);
        self.size.saturating_sub(end) / ROW_BYTES_MIN
    }
}

/// A lane of the time before.
#[derive(Debug)]
pub(super) struct OldLane {
    pub(super) id: LaneId,
    table: Table,
    pub(super) segments: Vec<OldSegment>,
    pub(super) has_state: bool,
    /// The boot the lane was opened in, where its state file says so.
    boot_id: Option<[u8; 16]>,
    /// The time from which on rows may be missing that no gap row tells of yet.
    pub(super) untold_from: Timestamp,
    writer: Option<Writer>,
}

/// Writes rows that another store has kept.
#[derive(Debug)]
struct Writer {
    segment: Segment,
    /// Bytes allocated for the segment.
    size: u64,
    open: Option<OpenFrame>,
    runs: Vec<(u64, u64)>,
}

impl OldLane {
    pub(super) fn new(id: LaneId, table: Table) -> Self {
        Self {
            id,
            table,
            segments: Vec::new(),
            has_state: false,
            boot_id: None,
            untold_from: started(id),
            writer: None,
        }
    }

    /// Forgets batches at the end of a segment whose seq a later segment has: what a failed write
    /// left, and could not be cut away for good before the rows, or others in their place, were
    /// written to the next segment.
    pub(super) fn drop_doubles(
        &mut self,
        read: impl Fn(u64) -> Result<Vec<u8>, Error>,
    ) -> Result<(), Error> {
        let mut later = Runs::default();
        for s in self.segments.iter_mut().rev() {
            let there = Runs::of(s.frames().iter().map(run_of).collect());
            if s.stage == Stage::Open && there.overlaps(&later) {
                let known = |seq| later.contains(seq);
                s.scan = scan_until(&read(s.number)?, self.id, s.number, known);
            }
            let there = s.frames().iter().map(run_of);
            later = Runs::of(later.0.iter().copied().chain(there).collect());
        }
        Ok(())
    }

    /// What is or was there. Segments are removed from the front, so that everything before the
    /// first one was acknowledged.
    pub(super) fn runs(&self) -> Runs {
        let mut all: Vec<_> =
            self.segments.iter().flat_map(OldSegment::frames).map(run_of).collect();
        if let Some(first) = self.segments.first().filter(|s| s.number > 0) {
            let known = first.scan.as_ref().ok();
            let base = known.and_then(|s| s.seqs.map(|s| s.0).or(s.ended));
            all.extend(base.filter(|&b| b > 0).map(|b| (0, b)));
        }
        all.extend(self.writer.iter().flat_map(|w| w.runs.iter().copied()));
        Runs::of(all)
    }

    /// Whether it has an end mark, or was ended by way of its damage.
    pub(super) fn is_ended(&self) -> bool {
        self.segments.iter().any(|s| s.scan.as_ref().is_ok_and(|s| s.ended.is_some()))
    }

    /// Counts what is missing and not told yet.
    fn missing(&self, core: &Core, reserved: u64) -> Missing {
        let runs = self.runs();
        let (count, upper) = if self.is_ended() {
            self.missing_of_ended(&runs)
        } else {
            let holes: u64 = runs.holes().map(|(a, b)| b - a).sum();
            let beyond = self.beyond(core, &runs, reserved);
            (holes + beyond, beyond > 0)
        };
        if count == 0 {
            return Missing::default();
        }
        let frames = || self.segments.iter().flat_map(OldSegment::frames);
        let hole = runs.holes().next().map_or(runs.next(), |h| h.0);
        let from = frames().filter(|f| f.first_seq < hole).map(|f| f.max_ts).max();
        let to = frames().filter(|f| !upper && f.first_seq >= hole).map(|f| f.min_ts).max();
        let (from, now) = (from.unwrap_or(started(self.id)), core.clock.now());
        Missing { count, from, to: to.unwrap_or(now).max(from), upper }
    }

    /// The header of its last segment that has one.
    fn header(&self) -> Option<&SegmentHeader> {
        self.segments.iter().rev().find_map(|s| s.scan.as_ref().ok()).map(|s| &s.header)
    }

    /// Whether the machine may have started anew since the lane was written.
    fn rebooted(&self, core: &Core) -> bool {
        let of_segment = || self.header().map(|h| h.boot_id);
        self.boot_id.or_else(of_segment) != Some(core.boot_id)
    }

    /// Rows that may have followed the last one found.
    fn beyond(&self, core: &Core, runs: &Runs, reserved: u64) -> u64 {
        let used = self.segments.iter().rev().find(|s| !s.is_unused());
        if self.segments.iter().all(|s| s.blank && s.stage == Stage::Open) {
            // A segment is durable under its name before anything is written to it. Without one
            // the lane reserved seq and then found no room.
            return 0;
        }
        let rebooted = self.rebooted(core);
        let written = self.header().is_none_or(|h| !h.synced);
        let next = runs.next();
        if rebooted && written && reserved > 0 {
            return reserved.saturating_sub(next);
        }
        let Some(last) = used.filter(|s| s.is_damaged()) else { return 0 };
        match &last.scan {
            Ok(Scan { tail: Tail::Damaged { seen: Some(seen), .. }, .. }) => {
                seen.saturating_sub(next)
            }
            _ if reserved > 0 => reserved.saturating_sub(next).min(last.rows_behind()),
            _ => last.rows_behind(),
        }
    }

    fn missing_of_ended(&self, runs: &Runs) -> (u64, bool) {
        let (mut count, mut upper) = (0, false);
        for (n, s) in self.segments.iter().enumerate().filter(|(_, s)| s.is_damaged()) {
            let known = |s: &OldSegment| s.scan.as_ref().ok().and_then(|s| s.seqs);
            let before = self.segments[..n].iter().rev().find_map(known).map_or(0, |s| s.1);
            let next = known(s).map_or(before, |s| s.1);
            let end = self.segments.iter().find_map(|s| s.scan.as_ref().ok()?.ended);
            match runs.holes().find(|h| h.0 == next).map(|h| h.1).or(end) {
                Some(after) => count += after.saturating_sub(next),
                None => {
                    count += s.rows_behind();
                    upper = true;
                }
            }
        }
        (count, upper)
    }

    /// Appends a row that another store has kept. Returns its ts.
    pub(super) fn append(
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
    fn end_writer(&mut self, core: &Core, end: Option<u64>) -> Result<(), Error> {
        let Some(mut w) = self.writer.take() else { return Ok(()) };
        w.close_frame(core, self.id)?;
        if let Some(next) = end {
            w.segment.end(core, self.id, next)?;
        }
        let number = w.segment.number;
        core.seal_old(self.id, &w.segment)?;
        let path = segment::path(&core.dir, self.id, number, Stage::Sealed);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let scan = super::scan::scan(&bytes, self.id, number);
        let size = bytes.len() as u64;
        let (stage, blank, rebooted) = (Stage::Sealed, false, false);
        let old = OldSegment { number, stage, size, blank, rebooted, scan };
        for f in old.frames() {
            core.index().add(f.clone(), FrameState::Ready);
        }
        self.segments.push(old);
        Ok(())
    }

    /// Ends the lane. Returns how many rows are told missing, and how many segments are damaged.
    pub(super) fn finish(&mut self, spool: &Spool) -> Result<(u64, usize), Error> {
        let core = &*spool.core;
        let path = state_path(&core.dir, self.id);
        let fail = |e| Error::io("state", &path, e);
        let damaged = self.segments.iter().filter(|s| s.is_damaged()).count();
        let mut state = match self.has_state {
            true => Some(State::load(core.disk.open(&path).map_err(fail)?).map_err(fail)?),
            false => None,
        };
        self.boot_id = state.as_ref().and_then(State::boot_id);
        let reserved = state.as_ref().map_or(0, State::reserved);
        let missing = self.missing(core, reserved);
        let counted = state.as_ref().and_then(State::oldest);
        let found = (missing.count > 0).then_some(missing.from);
        self.untold_from = counted.into_iter().chain(found).min().unwrap_or(Timestamp::MAX);
        if missing.count > 0 && state.is_none() {
            let file = core.disk.create(&path, STATE_SIZE).map_err(fail)?;
            file.sync().map_err(fail)?;
            core.disk.sync_dir(&core.dir).map_err(fail)?;
            self.has_state = true;
            state = Some(State::load(file).map_err(fail)?);
        }
        let Some(mut state) = state else {
            self.settle(core)?;
            return Ok((0, damaged));
        };
        if self.rebooted(core) {
            state.set_back().map_err(fail)?;
        }
        // A count that is there already is that of a start that was interrupted.
        let mut told = 0;
        if missing.count > 0
            && !state.waiting().iter().any(|(n, _)| reason_of(*n) == Reason::UncleanEnd)
        {
            state.add(Reason::UncleanEnd, missing, true).map_err(fail)?;
            told = missing.count;
        }
        self.settle(core)?;
        // What was reserved is told; a lane without files would be asked for it again.
        state.reserve(0).map_err(fail)?;
        let lane = LaneShared::new(self.id, self.table, 0, false, state);
        let waiting = super::lock(&lane.state).waiting();
        for (n, slot) in waiting {
            spool.write_gap(&lane, n, &slot)?;
        }
        core.disk.remove(&path).map_err(fail)?;
        self.has_state = false;
        Ok((told, damaged))
    }

    /// Turns gap rows to be that were given a place in a lane of `lanes`, and are not there, back
    /// into counts: once that lane is gone nobody could tell that they never arrived. Lanes that
    /// must stay because this fails are put into `keep`.
    pub(super) fn reopen_gaps(
        &self,
        core: &Core,
        lanes: &BTreeMap<LaneId, Runs>,
        keep: &mut BTreeSet<LaneId>,
    ) -> Result<(), Error> {
        if !self.has_state {
            return Ok(());
        }
        let path = state_path(&core.dir, self.id);
        let fail = |e| Error::io("state", &path, e);
        let mut state = State::load(core.disk.open(&path).map_err(fail)?).map_err(fail)?;
        for (n, slot) in state.waiting() {
            if let Phase::Closing { lane, seq } = slot.phase
                && lanes.get(&lane).is_some_and(|runs| !runs.contains(seq))
                && let Err(e) = state.reopen(n)
            {
                core.report(self.id, "reopening of a gap row", &e);
                keep.insert(lane);
            }
        }
        Ok(())
    }

    /// Brings every file into its last state.
    fn settle(&mut self, core: &Core) -> Result<(), Error> {
        let next = self.runs().next();
        let mut open_end = !self.is_ended();
        if self.writer.is_some() {
            self.end_writer(core, open_end.then_some(next))?;
            open_end = false;
        }
        let unused: Vec<_> =
            self.segments.iter().filter(|s| s.is_unused()).map(|s| (s.number, s.size)).collect();
        for (number, size) in unused {
            let path = segment::path(&core.dir, self.id, number, Stage::Open);
            core.disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            core.index().segments.remove(&(self.id, number));
            core.room.give_back(size);
        }
        self.segments.retain(|s| !s.is_unused());
        let last = self.segments.last().map(|s| s.number);
        for s in &mut self.segments {
            if s.is_damaged() {
                let from = segment::path(&core.dir, self.id, s.number, s.stage);
                let to = segment::path(&core.dir, self.id, s.number, Stage::Damaged);
                core.disk.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
                s.stage = Stage::Damaged;
                if let Some(e) = core.index().segments.get_mut(&(self.id, s.number)) {
                    e.damaged = true;
                }
            } else if s.stage == Stage::Open {
                let end = (open_end && last == Some(s.number)).then_some(next);
                open_end &= end.is_none();
                s.seal(core, self.id, end)?;
            }
        }
        if open_end && let Some(last) = last {
            let size = (SEGMENT_HEADER + END) as u64;
            let mut segment = core.allocate_small(self.id, last + 1, size)?;
            segment.end(core, self.id, next)?;
            core.seal_old(self.id, &segment)?;
        }
        core.disk.sync_dir(&core.dir).map_err(|e| Error::io("fsync", &core.dir, e))
    }
}

/// When a lane was opened.
fn started(id: LaneId) -> Timestamp {
    Timestamp::from_secs(i64::try_from(id.start()).unwrap_or(0))
}

fn run_of(f: &Frame) -> (u64, u64) {
    (f.first_seq, f.first_seq + f.count)
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
        let place = Piece::place(lane, &self.segment, 0);
        let crc = format::complete(&mut b, Kind::Batch, place, &span, self.segment.before());
        self.segment.write(core, &b, crc)?;
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
        self.segment.footer(core, lane, &open)
    }
}

impl Segment {
    fn write(&mut self, core: &Core, b: &[u8], crc: u32) -> Result<(), Error> {
        self.file.handle.write_at(b, self.offset).map_err(|e| Error::io("write", &core.dir, e))?;
        self.offset += b.len() as u64;
        self.crc = crc;
        Ok(())
    }

    fn footer(&mut self, core: &Core, lane: LaneId, open: &OpenFrame) -> Result<(), Error> {
        let mut b = [0; FOOTER];
        let place = Piece::place(lane, self, 0);
        let crc = format::footer(&mut b, place, &open.span(), &open.facts(), self.before());
        self.write(core, &b, crc)
    }

    fn end(&mut self, core: &Core, lane: LaneId, next: u64) -> Result<(), Error> {
        let mut b = [0; END];
        let crc = lane::end_mark(&mut b, lane, self, next);
        self.write(core, &b, crc)
    }
}

impl OldSegment {
    /// Cuts what was never finished, completes the last frame, and seals.
    fn seal(&mut self, core: &Core, lane: LaneId, end: Option<u64>) -> Result<(), Error> {
        let Ok(scan) = &mut self.scan else { return Ok(()) };
        let path = segment::path(&core.dir, lane, self.number, Stage::Open);
        let handle = core.disk.open(&path).map_err(|e| Error::io("open", &path, e))?;
        let (written, synced) = (AtomicU64::new(scan.end), AtomicU64::new(0));
        let file = Arc::new(SegmentFile { handle, written, synced });
        let mut s = Segment { file, number: self.number, offset: scan.end, crc: scan.crc };
        if scan.open
            && let Some(frame) = scan.frames.last()
        {
            let open = OpenFrame { frame: frame.clone(), batches: scan.batches };
            s.footer(core, lane, &open)?;
        }
        if let Some(next) = end {
            s.end(core, lane, next)?;
            scan.ended = Some(next);
        }
        core.seal_old(lane, &s)?;
        self.stage = Stage::Sealed;
        self.size = s.offset;
        Ok(())
    }
}

impl Core {
    /// Seals a segment that no lane writes any more.
    fn seal_old(&self, lane: LaneId, s: &Segment) -> Result<(), Error> {
        let open = segment::path(&self.dir, lane, s.number, Stage::Open);
        let sealed = segment::path(&self.dir, lane, s.number, Stage::Sealed);
        let done = s.file.handle.truncate(s.offset);
        done.and_then(|()| s.file.handle.sync())
            .and_then(|()| self.disk.rename(&open, &sealed))
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(|e| Error::io("seal", &open, e))?;
        let before = self.index().segment_sealed(lane, s.number, s.offset);
        self.room.give_back(before.saturating_sub(s.offset));
        Ok(())
    }

    /// A segment for an end mark or one row alone, which may pass our own limits by its few bytes.
    /// Where the disk itself has none left they come out of what is kept back for table `access`.
    fn allocate_small(&self, lane: LaneId, number: u64, size: u64) -> Result<Segment, Error> {
        let path = segment::path(&self.dir, lane, number, Stage::Open);
        let fail = |e| Error::io("create", &path, e);
        self.disk.remove(&path).map_err(fail)?;
        let handle = match self.disk.create(&path, size) {
            Err(e) if is_full(&e) => {
                let reserve = segment::reserve_path(&self.dir, Table::Access);
                let kept = std::fs::metadata(&reserve).map(|m| m.len()).map_err(|_| Error::Full)?;
                self.disk.remove(&reserve).map_err(fail)?;
                self.room.give_back(kept);
                self.disk.create(&path, size).map_err(fail)?
            }
            done => done.map_err(fail)?,
        };
        self.room.found(size);
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
        handle.write_at(&bytes, 0).map_err(fail)?;
        let offset = SEGMENT_HEADER as u64;
        let file = Arc::new(SegmentFile {
            handle,
            written: AtomicU64::new(offset),
            synced: AtomicU64::new(offset),
        });
        self.index().segment_opened(lane, number, size, &file);
        Ok(Segment { file, number, offset, crc })
    }
}
