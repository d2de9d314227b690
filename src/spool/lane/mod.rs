//! One writer's stream of one table: push, commit, tick, close.
//!
//! A commit is one `pwrite(2)` of whole batches out of one buffer that is used again. Nothing here
//! takes a lock that another thread holds for long; files are opened, fsynced and renamed by
//! [`Spool::maintain`](super::Spool::maintain), except when a lane outruns it.

mod count;
mod end;
mod rotate;

use std::sync::{Arc, atomic::Ordering};

use super::{
    Core, Frame,
    format::FOOTER,
    frame::OpenFrame,
    lane_view::{BUSY, IDLE, LaneView},
    lock,
    pending::Pending,
    segment::{Segment, SegmentFile},
    state::Reason,
};
use crate::{
    clock::Timestamp,
    config::FullPolicy,
    record::{Flow, Head, LaneId, Row, SchemaId},
};

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

/// A lane, owned by one thread.
#[derive(Debug)]
pub struct Lane {
    core: Arc<Core>,
    pub(in crate::spool) view: Arc<LaneView>,
    segment: Option<Segment>,
    /// After a failure of this kind: wait for a segment that maintenance could prepare.
    waits: Option<Reason>,
    /// The segment may hold part of a failed write past its last good item.
    torn: bool,
    /// It was ended, or that was tried: it takes nothing more.
    over: bool,
    /// It is over because a prepared row failed: another lane is to take its place.
    pub(in crate::spool) abandoned: bool,
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
    pub(in crate::spool) sync_each: bool,
}

impl Lane {
    pub(in crate::spool) fn new(core: Arc<Core>, view: Arc<LaneView>, sync_each: bool) -> Self {
        let pending = Pending::new(&core.config, view.segment_size);
        Self {
            core,
            view,
            segment: None,
            waits: None,
            torn: false,
            over: false,
            abandoned: false,
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
        self.view.id
    }

    /// A flow that no other exchange has.
    pub fn new_flow(&mut self) -> Flow {
        self.flows += 1;
        Flow::new(self.view.id, self.flows - 1)
    }

    /// Encodes a row into the pending batch, with the clock's ts. No I/O. `full` says what may
    /// happen to it when there is no room.
    pub fn push<R: Row>(&mut self, row: &R, full: FullPolicy) {
        debug_assert_eq!(R::TABLE, self.view.table, "a lane has rows of one table");
        if self.since == IDLE {
            // Completeness is computed from the clock read before this is looked at: a row that
            // nobody can see yet always has a later ts.
            self.view.since.swap(BUSY, Ordering::SeqCst);
        }
        let ts = self.core.clock.now();
        if ts.0 < self.since {
            self.since = ts.0;
            self.view.since.store(ts.0, Ordering::SeqCst);
        }
        let head = Head {
            node: &self.core.node,
            lane: self.view.id,
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
    pub(in crate::spool) fn discard(&mut self) {
        self.settle();
    }

    /// After a commit in whatever way.
    fn settle(&mut self) {
        self.pending.clear();
        self.hand_over();
        let since = self.open.as_ref().map_or(IDLE, |o| o.frame.min_ts.0);
        if since != self.since || since == IDLE {
            self.since = since;
            self.view.since.store(since, Ordering::SeqCst);
        }
    }

    /// Gives closed frames to the spool.
    fn hand_over(&mut self) {
        if !self.closing.is_empty() {
            lock(&self.view.closed).append(&mut self.closing);
            self.core.closed.notify_one();
        }
    }

    fn write(&mut self) -> Result<(), Reason> {
        if self.view.is_dead() {
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
                self.pending.lay(self.view.id, segment, self.open.clone(), &mut self.closing);
            let bytes = self.pending.bytes();
            match segment.write(bytes, crc) {
                Ok(()) => {
                    self.open = open;
                    self.waits = None;
                    return self.written();
                }
                Err(e) => {
                    self.closing.truncate(closed);
                    self.core.report(self.view.id, "write", &e);
                    self.give_up()?;
                }
            }
        }
        Err(Reason::IoError)
    }

    fn written(&mut self) -> Result<(), Reason> {
        let Some(segment) = &self.segment else { return Ok(()) };
        if self.sync_each
            && let Err(e) = segment.file.sync()
        {
            self.core.fail_lane(&self.view, &e);
            return Err(Reason::IoError);
        }
        self.next_seq += u64::from(self.pending.rows());
        self.view.next_seq.store(self.next_seq, Ordering::Release);
        if segment.offset * 2 > self.view.segment_size {
            self.view.wants_spare.store(true, Ordering::Release);
        }
        if self.segment_since.is_none() {
            self.segment_since = Some(self.pending.last_ts());
        }
        Ok(())
    }

    /// The rows pushed must lie below the mark, so that the bound of a power cut holds.
    fn within_mark(&self) -> Result<(), Reason> {
        if self.core.synced() {
            return Ok(());
        }
        let last = self.next_seq + u64::from(self.pending.rows()) - 1;
        if last < self.view.reserved.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.view.extend(last).map_err(|e| {
            self.core.report(self.view.id, "reservation of seq", &e);
            Reason::IoError
        })
    }

    /// For prepared rows: whether they will find room together, and the bytes of each.
    pub(in crate::spool) fn prepare<R: Row>(&mut self, rows: &[R]) -> Result<Vec<Vec<u8>>, Reason> {
        let mut encoded = Vec::with_capacity(rows.len());
        for row in rows {
            self.push(row, FullPolicy::Refuse);
            if self.pending.rows() as usize != encoded.len() + 1 {
                break;
            }
            encoded.push(self.pending.last_row().to_vec());
        }
        let ready = if encoded.len() != rows.len() || rows.is_empty() {
            Err(Reason::Overload)
        } else if self.over || self.view.is_dead() {
            Err(Reason::IoError)
        } else {
            let need = self.pending.bytes().len() + FOOTER;
            let whole = if self.torn { self.give_up() } else { Ok(()) };
            whole.and_then(|()| self.within_mark()).and_then(|()| self.fit(need as u64))
        };
        if let Err(reason) = ready {
            self.settle();
            return Err(reason);
        }
        Ok(encoded)
    }

    /// Whether nothing can be written here any more.
    pub fn is_over(&self) -> bool {
        self.over || self.view.is_dead()
    }

    pub(in crate::spool) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Every file that may hold rows not yet durable.
    pub(in crate::spool) fn unsynced(&mut self) -> Vec<Arc<SegmentFile>> {
        let mut files = std::mem::take(&mut self.unsynced);
        files.extend(self.segment.as_ref().map(|s| Arc::clone(&s.file)));
        files.retain(|f| f.is_behind());
        files
    }

    /// Stops without an end mark, so that the next start may still append what was promised to
    /// lie here.
    pub(in crate::spool) fn abandon(&mut self) {
        self.pending.clear();
        self.close_frame();
        // Where the file cannot even be cut the frame ends without a footer.
        self.end_frame();
        self.settle();
        (self.over, self.abandoned) = (true, true);
    }
}
