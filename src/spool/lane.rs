//! One writer's stream of one table: push, commit, tick, close.
//!
//! A commit is one `pwrite(2)` of whole batches out of one buffer that is used again. Nothing here
//! takes a lock that another thread holds for long; files are opened, fsynced and renamed by
//! [`Spool::maintain`](super::Spool::maintain), except when a lane outruns it.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use super::{
    Core, Error, Frame,
    format::{self, END, FOOTER, Kind, Place, SEGMENT_HEADER, Span, TAIL_ROOM},
    lock,
    pending::{Pending, Piece},
    scan::OpenFrame,
    segment::{Retired, Segment, SegmentFile},
    state::{Missing, Reason, State},
};
use crate::{
    clock::Timestamp,
    config::FullPolicy,
    record::{Flow, Head, LaneId, Row, SchemaId, Table},
};

/// The fewest seq a mark is moved ahead by.
const RESERVE_MIN: u64 = 1024;
/// The most.
const RESERVE_MAX: u64 = 1 << 22;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Every row is kept, as `durability` promises. Everything may be answered.
    Kept,
    /// Rows pushed with [`FullPolicy::Shed`] are kept, or counted in an open gap row, and may be
    /// answered. Rows pushed with [`FullPolicy::Refuse`] may not.
    Shed,
    /// Nothing may be answered.
    Refused,
}

/// What the spool and its maintenance see of a lane.
#[derive(Debug)]
pub(super) struct LaneShared {
    pub(super) id: LaneId,
    pub(super) table: Table,
    pub(super) segment_size: u64,
    /// Shared lanes may take what is kept back for their table.
    pub(super) keep_back: bool,
    /// The smallest ts of rows in no closed frame; [`IDLE`] or [`BUSY`].
    pub(super) since: AtomicI64,
    /// The seq after the last row written.
    pub(super) next_seq: AtomicU64,
    /// The mark: no seq from here on may be used.
    pub(super) reserved: AtomicU64,
    pub(super) closed: Mutex<Vec<Frame>>,
    pub(super) wants_spare: AtomicBool,
    pub(super) spare: Mutex<Option<Segment>>,
    /// The number of the next segment.
    pub(super) next_number: AtomicU64,
    pub(super) retired: Mutex<VecDeque<Retired>>,
    pub(super) state: Mutex<State>,
    pub(super) upkeep: Mutex<Upkeep>,
    dead: AtomicBool,
    pub(super) ended: AtomicBool,
}

/// What maintenance remembers of a lane.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    pub(super) seq: u64,
    pub(super) changed: Timestamp,
    pub(super) window: u64,
}

/// [`LaneShared::since`] when every row is in a closed frame.
pub(super) const IDLE: i64 = i64::MAX;
/// [`LaneShared::since`] while a row reads the clock.
pub(super) const BUSY: i64 = i64::MIN;

impl LaneShared {
    pub(super) fn new(
        id: LaneId,
        table: Table,
        segment_size: u64,
        keep_back: bool,
        state: State,
    ) -> Self {
        Self {
            id,
            table,
            segment_size,
            keep_back,
            since: AtomicI64::new(IDLE),
            next_seq: AtomicU64::new(0),
            reserved: AtomicU64::new(state.reserved()),
            closed: Mutex::default(),
            wants_spare: AtomicBool::new(false),
            spare: Mutex::default(),
            next_number: AtomicU64::new(0),
            retired: Mutex::default(),
            state: Mutex::new(state),
            upkeep: Mutex::default(),
            dead: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Whether an fsync failed: nothing is written here any more.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Marks the lane as dead; whether it was alive.
    pub(super) fn kill(&self) -> bool {
        !self.dead.swap(true, Ordering::AcqRel)
    }

    /// Moves the mark so that `seq` may be used, and as far again as lately.
    pub(super) fn extend(&self, seq: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        if seq < self.reserved.load(Ordering::Acquire) {
            return Ok(());
        }
        let window = {
            let mut upkeep = lock(&self.upkeep);
            upkeep.window = (upkeep.window * 2).clamp(RESERVE_MIN, RESERVE_MAX);
            upkeep.window
        };
        self.move_mark(&mut state, seq.saturating_add(window))
    }

    /// Moves the mark to `ahead` rows past `next`.
    pub(super) fn extend_by(&self, next: u64, ahead: u64) -> io::Result<()> {
        let ahead = ahead.clamp(RESERVE_MIN, RESERVE_MAX);
        self.move_mark(&mut lock(&self.state), next.saturating_add(ahead))
    }

    fn move_mark(&self, state: &mut State, seq: u64) -> io::Result<()> {
        if seq > state.reserved() {
            state.reserve(seq)?;
        }
        self.reserved.store(state.reserved(), Ordering::SeqCst);
        Ok(())
    }

    pub(super) fn segment(&self, core: &Core) -> Result<Segment, Error> {
        let number = self.next_number.load(Ordering::Relaxed);
        let keep_back = self.keep_back.then_some(self.table);
        let segment = core.allocate(self.id, number, self.segment_size, keep_back)?;
        self.next_number.store(number + 1, Ordering::Relaxed);
        Ok(segment)
    }
}

/// A lane, owned by one thread.
#[derive(Debug)]
pub struct Lane {
    core: Arc<Core>,
    pub(super) shared: Arc<LaneShared>,
    segment: Option<Segment>,
    /// After a failed write: wait for a segment that maintenance could prepare.
    only_spare: bool,
    /// The segment may hold part of a failed write past its last good item.
    torn: bool,
    /// It was ended, or that was tried: it takes nothing more.
    over: bool,
    open: Option<OpenFrame>,
    next_seq: u64,
    since: i64,
    flows: u64,
    pending: Pending,
    closing: Vec<Frame>,
    segment_since: Option<Timestamp>,
    /// Files left behind that may hold rows not yet durable.
    unsynced: Vec<Arc<SegmentFile>>,
    /// Whether each commit is made durable here, rather than by a group.
    pub(super) sync_each: bool,
}

impl Lane {
    pub(super) fn new(core: Arc<Core>, shared: Arc<LaneShared>, sync_each: bool) -> Self {
        let pending = Pending::new(&core.config, shared.segment_size);
        Self {
            core,
            shared,
            segment: None,
            only_spare: false,
            torn: false,
            over: false,
            open: None,
            next_seq: 0,
            since: IDLE,
            flows: 0,
            pending,
            closing: Vec::new(),
            segment_since: None,
            unsynced: Vec::new(),
            sync_each,
        }
    }

    /// Its id.
    pub fn id(&self) -> LaneId {
        self.shared.id
    }

    /// A flow that no other exchange has.
    pub fn new_flow(&mut self) -> Flow {
        self.flows += 1;
        Flow::new(self.shared.id, self.flows - 1)
    }

    /// Encodes a row into the pending batch, with the clock's ts. No I/O. `full` says what may
    /// happen to it when there is no room.
    pub fn push<R: Row>(&mut self, row: &R, full: FullPolicy) {
        debug_assert_eq!(R::TABLE, self.shared.table, "a lane has rows of one table");
        if self.since == IDLE {
            // Completeness is computed from the clock read before this is looked at: a row that
            // nobody can see yet always has a later ts.
            self.shared.since.swap(BUSY, Ordering::SeqCst);
        }
        let ts = self.core.clock.now();
        if ts.0 < self.since {
            self.since = ts.0;
            self.shared.since.store(ts.0, Ordering::SeqCst);
        }
        let head = Head {
            node: &self.core.node,
            lane: self.shared.id,
            seq: self.next_seq + u64::from(self.pending.rows()),
            ts,
        };
        self.pending.push(self.open.as_ref(), &head, SchemaId::newest(R::TABLE), full, |out| {
            row.encode(&head, out);
        });
    }

    /// Writes what was pushed since the last commit: one `pwrite(2)`, and `fdatasync(2)` in
    /// `synced`.
    pub fn commit(&mut self) -> Commit {
        if self.pending.is_empty() {
            return Commit::Kept;
        }
        if self.over {
            // Nor is anything counted: the state file may be gone.
            self.settle();
            return Commit::Refused;
        }
        let written = if self.pending.rows() == 0 { Ok(()) } else { self.write() };
        let commit = match written {
            Ok(()) => self.count_dropped(),
            Err(reason) => self.shed(reason),
        };
        self.settle();
        commit
    }

    /// Forgets what was pushed since the last commit; its seq will be used again.
    pub(super) fn discard(&mut self) {
        self.settle();
    }

    /// After a commit in whatever way.
    fn settle(&mut self) {
        self.pending.clear();
        self.hand_over();
        let since = self.open.as_ref().map_or(IDLE, |o| o.frame.min_ts.0);
        if since != self.since || since == IDLE {
            self.since = since;
            self.shared.since.store(since, Ordering::SeqCst);
        }
    }

    /// Gives closed frames to the spool.
    fn hand_over(&mut self) {
        if !self.closing.is_empty() {
            lock(&self.shared.closed).append(&mut self.closing);
            self.core.closed.notify_one();
        }
    }

    fn write(&mut self) -> Result<(), Reason> {
        if self.shared.is_dead() {
            return Err(Reason::IoError);
        }
        self.within_mark()?;
        if self.torn {
            self.give_up()?;
        }
        self.pending.finish(self.core.config.frame_age_ms_max);
        for _ in 0..2 {
            self.fit(self.pending.bytes().len() as u64)?;
            let Some(segment) = &mut self.segment else { return Err(Reason::IoError) };
            let closed = self.closing.len();
            let (open, crc) =
                self.pending.lay(self.shared.id, segment, self.open.clone(), &mut self.closing);
            let bytes = self.pending.bytes();
            match segment.file.handle.write_at(bytes, segment.offset) {
                Ok(()) => {
                    segment.offset += bytes.len() as u64;
                    segment.crc = crc;
                    self.open = open;
                    self.only_spare = false;
                    return self.written();
                }
                Err(e) => {
                    self.closing.truncate(closed);
                    self.core.report(self.shared.id, "write", &e);
                    self.give_up()?;
                }
            }
        }
        Err(Reason::IoError)
    }

    fn written(&mut self) -> Result<(), Reason> {
        let Some(segment) = &self.segment else { return Ok(()) };
        segment.file.written.store(segment.offset, Ordering::Release);
        if self.sync_each
            && let Err(e) = segment.file.sync()
        {
            self.core.fail_lane(&self.shared, &e);
            return Err(Reason::IoError);
        }
        self.next_seq += u64::from(self.pending.rows());
        self.shared.next_seq.store(self.next_seq, Ordering::Release);
        if segment.offset * 2 > self.shared.segment_size {
            self.shared.wants_spare.store(true, Ordering::Release);
        }
        if self.segment_since.is_none() {
            self.segment_since = Some(self.pending.last_ts());
        }
        Ok(())
    }

    /// Room for `need` bytes in the current segment, or in the next one.
    fn fit(&mut self, need: u64) -> Result<(), Reason> {
        let tail = TAIL_ROOM as u64;
        if self.segment.as_ref().is_some_and(|s| s.offset + need + tail <= self.shared.segment_size)
        {
            return Ok(());
        }
        self.rotate()
    }

    fn rotate(&mut self) -> Result<(), Reason> {
        // Held while allocating: maintenance may be about to prepare the same segment.
        let shared = Arc::clone(&self.shared);
        let mut spare = lock(&shared.spare);
        let next = match spare.take() {
            Some(s) => s,
            None if self.only_spare => return Err(Reason::IoError),
            None => match self.shared.segment(&self.core) {
                Ok(s) => s,
                Err(Error::Full) => return Err(Reason::DiskFull),
                Err(e) => {
                    self.core.report(self.shared.id, "new segment", &e);
                    return Err(Reason::IoError);
                }
            },
        };
        self.close_frame();
        if self.torn {
            *spare = Some(next);
            return Err(Reason::IoError);
        }
        drop(spare);
        self.retire();
        self.segment = Some(next);
        self.segment_since = None;
        Ok(())
    }

    /// Leaves the segment where its last good item ends. What a failed write left behind that is
    /// cut away first: whole batches of it would have the same seq as what is written next.
    fn give_up(&mut self) -> Result<(), Reason> {
        if let Some(s) = &self.segment {
            let cut = s.file.handle.truncate(s.offset);
            self.torn = cut.is_err();
            cut.map_err(|e| {
                self.core.report(self.shared.id, "cut after a failed write", &e);
                Reason::IoError
            })?;
        }
        self.end_frame();
        self.retire();
        self.only_spare = true;
        self.shared.wants_spare.store(true, Ordering::Release);
        Ok(())
    }

    fn retire(&mut self) {
        // Its frames are known before it can be sealed: a sealed segment without frames that
        // anybody needs is removed.
        self.hand_over();
        if let Some(s) = self.segment.take() {
            self.unsynced.retain(|f| f.is_behind());
            self.unsynced.push(Arc::clone(&s.file));
            let r = Retired { file: s.file, number: s.number, end: s.offset };
            lock(&self.shared.retired).push_back(r);
        }
    }

    /// Writes the open frame's footer. Without one, the frame ends where the segment does.
    fn close_frame(&mut self) {
        if self.shared.is_dead() {
            // What the file holds past its last good fsync is for the next start to find out.
            return self.end_frame();
        }
        if self.torn {
            // A footer would lie over what has to be cut away.
            return;
        }
        let (Some(open), Some(segment)) = (&self.open, &mut self.segment) else { return };
        let mut b = [0; FOOTER];
        let place = Place { lane: self.shared.id, segment: segment.number, offset: segment.offset };
        let crc = format::footer(&mut b, place, &open.span(), &open.facts(), segment.before());
        match segment.file.handle.write_at(&b, segment.offset) {
            Ok(()) => {
                segment.offset += FOOTER as u64;
                segment.crc = crc;
                segment.file.written.store(segment.offset, Ordering::Release);
                self.end_frame();
            }
            Err(e) => {
                self.core.report(self.shared.id, "write of a footer", &e);
                // Should it not be cut, the next write finds that out again.
                if self.give_up().is_err() {}
            }
        }
    }

    fn end_frame(&mut self) {
        self.closing.extend(self.open.take().map(|o| o.frame));
        self.pending.frame_ended();
    }

    /// The rows pushed must lie below the mark, so that the bound of a power cut holds.
    fn within_mark(&self) -> Result<(), Reason> {
        if self.core.synced() {
            return Ok(());
        }
        let last = self.next_seq + u64::from(self.pending.rows()) - 1;
        if last < self.shared.reserved.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.shared.extend(last).map_err(|e| {
            self.core.report(self.shared.id, "reservation of seq", &e);
            Reason::IoError
        })
    }

    fn count_dropped(&self) -> Commit {
        let (shed, refused) = self.pending.dropped();
        if shed.count == 0 && !refused {
            return Commit::Kept;
        }
        self.count(Reason::Overload, shed)
    }

    fn shed(&self, reason: Reason) -> Commit {
        let (dropped, _) = self.pending.dropped();
        if dropped.count > 0 && self.count(Reason::Overload, dropped) == Commit::Refused {
            return Commit::Refused;
        }
        let shed = self.pending.shed();
        if shed.count == 0 && dropped.count == 0 {
            return Commit::Refused;
        }
        self.count(reason, shed)
    }

    fn count(&self, reason: Reason, missing: Missing) -> Commit {
        if missing.count == 0 {
            return Commit::Shed;
        }
        // Whether rows of a failed write or fsync will be found again after all, nobody can say.
        let missing = Missing { upper: reason == Reason::IoError, ..missing };
        match lock(&self.shared.state).add(reason, missing, self.core.synced()) {
            Ok(()) => {
                self.core.shed.fetch_add(missing.count, Ordering::Relaxed);
                Commit::Shed
            }
            Err(e) => {
                self.core.report(self.shared.id, "counting in a gap row", &e);
                Commit::Refused
            }
        }
    }

    /// Closes the frame and the segment by age. To be called at least every 200 ms when idle.
    pub fn tick(&mut self) {
        if self.over || !self.pending.is_empty() {
            return;
        }
        let now = self.core.clock.now();
        let aged =
            |since: Timestamp, ms| now < since || now.since(since).as_millis() >= u128::from(ms);
        let config = &self.core.config;
        let (frame_age, segment_age) = (config.frame_age_ms_max, config.segment_age_ms_max);
        if self.open.as_ref().is_some_and(|o| aged(o.frame.min_ts, frame_age)) {
            self.close_frame();
            self.settle();
        }
        if self.open.is_none() && self.segment_since.is_some_and(|s| aged(s, segment_age)) {
            self.shared.wants_spare.store(true, Ordering::Release);
            if lock(&self.shared.spare).is_some() && self.rotate().is_ok() {
                self.settle();
            }
        }
    }

    /// Ends the lane in order: footer, end mark, sealed. What was pushed and not committed is
    /// forgotten.
    ///
    /// # Errors
    /// When the end mark cannot be written; the next start ends the lane then.
    pub fn close(mut self) -> Result<(), Error> {
        self.end()
    }

    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.over = true;
        self.pending.clear();
        if self.torn && self.give_up().is_err() {
            self.settle();
            return Err(Error::Failed);
        }
        self.close_frame();
        self.settle();
        if self.shared.is_dead() {
            return Err(Error::Failed);
        }
        if self.segment.is_none() && self.next_seq > 0 {
            self.fit(0).map_err(|_| Error::Full)?;
        }
        if let Some(segment) = &mut self.segment {
            let mut b = [0; END];
            end_mark(&mut b, self.shared.id, segment, self.next_seq);
            segment
                .file
                .handle
                .write_at(&b, segment.offset)
                .map_err(|e| Error::io("end", &self.core.dir, e))?;
            segment.offset += END as u64;
            segment.file.written.store(segment.offset, Ordering::Release);
        }
        self.retire();
        self.shared.ended.store(true, Ordering::Release);
        self.core.seal_retired(&self.shared);
        if self.shared.is_dead() { Err(Error::Failed) } else { Ok(()) }
    }

    /// For a prepared row: whether it will find room, and its bytes.
    pub(super) fn prepare<R: Row>(&mut self, row: &R) -> Result<Vec<u8>, Reason> {
        self.push(row, FullPolicy::Refuse);
        let ready = if self.pending.rows() != 1 {
            Err(Reason::Overload)
        } else if self.over || self.shared.is_dead() {
            Err(Reason::IoError)
        } else {
            let need = self.pending.bytes().len() + FOOTER;
            let whole = if self.torn { self.give_up() } else { Ok(()) };
            whole.and_then(|()| self.within_mark()).and_then(|()| self.fit(need as u64))
        };
        match ready {
            Ok(()) => Ok(self.pending.first_row().to_vec()),
            Err(reason) => {
                self.settle();
                Err(reason)
            }
        }
    }

    /// Whether nothing can be written here any more.
    pub(super) fn is_over(&self) -> bool {
        self.over || self.shared.is_dead()
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Every file that may hold rows not yet durable.
    pub(super) fn unsynced(&mut self) -> Vec<Arc<SegmentFile>> {
        let mut files = std::mem::take(&mut self.unsynced);
        files.extend(self.segment.as_ref().map(|s| Arc::clone(&s.file)));
        files.retain(|f| f.is_behind());
        files
    }

    /// Stops without an end mark, so that the next start may still append what was promised to
    /// lie here.
    pub(super) fn abandon(&mut self) {
        self.pending.clear();
        self.close_frame();
        self.settle();
    }
}

/// Writes a lane's end mark into `b`.
pub(super) fn end_mark(b: &mut [u8; END], lane: LaneId, segment: &Segment, next_seq: u64) -> u32 {
    let place = Place { lane, segment: segment.number, offset: segment.offset };
    let span = Span {
        first_seq: next_seq,
        count: 0,
        schema: SchemaId(0),
        min_ts: Timestamp::ZERO,
        max_ts: Timestamp::ZERO,
    };
    format::complete(b, Kind::End, place, &span, segment.before())
}

/// Bytes of rows and headers that one commit can write at most.
pub(super) const fn capacity(segment_size: u64) -> u64 {
    segment_size.saturating_sub((SEGMENT_HEADER + TAIL_ROOM + 2 * FOOTER) as u64)
}

impl Piece {
    pub(super) fn place(lane: LaneId, segment: &Segment, at: usize) -> Place {
        Place { lane, segment: segment.number, offset: segment.offset + at as u64 }
    }
}
