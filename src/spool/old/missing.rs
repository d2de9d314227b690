//! What is missing in a lane of the time before, counted.

use super::{OldLane, OldSegment, Runs, started};
use crate::spool::{
    Core,
    format::SegmentHeader,
    scan::{Scan, Tail},
    segment::Stage,
    state::Missing,
};

/// The fewest bytes a row can have: a node's name and the rest of the head.
const ROW_BYTES_MIN: u64 = 26;

impl OldSegment {
    /// Rows that may lie behind the first bad item.
    fn rows_behind(&self) -> u64 {
        let end = self.scan.as_ref().map_or(0, |s| s.end);
        self.size.saturating_sub(end) / ROW_BYTES_MIN
    }
}

impl OldLane {
    /// Counts what is missing and not told yet.
    pub(super) fn missing(&self, core: &Core, reserved: u64) -> Missing {
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
    pub(super) fn rebooted(&self, core: &Core) -> bool {
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
}
