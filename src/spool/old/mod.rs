//! A lane of the time before: what is there, what is missing, and how it is ended.

mod finish;
mod missing;
mod restore;
mod runs;

pub(super) use runs::Runs;

use super::{
    Error, Frame,
    format::Bad,
    scan::{Scan, Tail, scan_until},
    segment::Stage,
};
use crate::{
    clock::Timestamp,
    record::{LaneId, Table},
};
use restore::Writer;

/// A segment of the time before.
#[derive(Debug)]
pub(in crate::spool) struct OldSegment {
    pub(in crate::spool) number: u64,
    pub(in crate::spool) stage: Stage,
    pub(in crate::spool) size: u64,
    /// Nothing but zeros: it was never used.
    pub(in crate::spool) blank: bool,
    /// The machine may have started anew since it was written.
    pub(in crate::spool) rebooted: bool,
    pub(in crate::spool) scan: Result<Scan, Bad>,
}

impl OldSegment {
    pub(in crate::spool) fn frames(&self) -> &[Frame] {
        self.scan.as_ref().map_or(&[], |s| &s.frames)
    }

    /// Whether bytes are not what was written, and no gap row says so yet.
    pub(in crate::spool) fn is_damaged(&self) -> bool {
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
}

/// A lane of the time before.
#[derive(Debug)]
pub(in crate::spool) struct OldLane {
    pub(in crate::spool) id: LaneId,
    table: Table,
    pub(in crate::spool) segments: Vec<OldSegment>,
    pub(in crate::spool) has_state: bool,
    /// The boot the lane was opened in, where its state file says so.
    boot_id: Option<[u8; 16]>,
    /// The time from which on rows may be missing that no gap row tells of yet.
    pub(in crate::spool) untold_from: Timestamp,
    writer: Option<Writer>,
}

impl OldLane {
    pub(in crate::spool) fn new(id: LaneId, table: Table) -> Self {
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
    pub(in crate::spool) fn drop_doubles(
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
    pub(in crate::spool) fn runs(&self) -> Runs {
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
    pub(in crate::spool) fn is_ended(&self) -> bool {
        self.segments.iter().any(|s| s.scan.as_ref().is_ok_and(|s| s.ended.is_some()))
    }
}

/// When a lane was opened.
fn started(id: LaneId) -> Timestamp {
    Timestamp::from_secs(i64::try_from(id.start()).unwrap_or(0))
}

fn run_of(f: &Frame) -> (u64, u64) {
    (f.first_seq, f.first_seq + f.count)
}
