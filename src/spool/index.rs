//! What the spool remembers of its files while it runs: frames, segments, shipments. All of it can
//! be read back from the files and their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Error, Frame, io::Disk, segment::SegmentFile};
use crate::{
    clock::Timestamp,
    record::{LaneId, Table},
};

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameState {
    /// Closed, in no shipment.
    Ready,
    /// In a shipment.
    Shipping,
    /// In the store since then.
    Acknowledged(Timestamp),
    /// Set aside.
    Aside,
}

#[derive(Debug)]
pub(super) struct SegmentEntry {
    /// Bytes on disk.
    pub(super) bytes: u64,
    /// Open for writing, or with writes that are not durable.
    pub(super) file: Option<Arc<SegmentFile>>,
    pub(super) sealed: bool,
    pub(super) damaged: bool,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) frames: BTreeMap<(LaneId, u64), (Frame, FrameState)>,
    pub(super) segments: BTreeMap<(LaneId, u64), SegmentEntry>,
    /// Shipments under way, by token.
    pub(super) pending: BTreeMap<String, Vec<Frame>>,
    /// Shipments acknowledged, by token, until their segments are gone.
    pub(super) acknowledged: BTreeMap<String, Vec<Frame>>,
    /// Gap rows that are not acknowledged yet, by place: the time each begins with.
    pub(super) gaps: BTreeMap<(LaneId, u64), Timestamp>,
    /// Frames set aside whose gap row is not written yet.
    pub(super) untold: BTreeSet<(LaneId, u64)>,
    /// Frames that have a file of their own, with its bytes.
    pub(super) copies: BTreeMap<(LaneId, u64), u64>,
    /// Frames set aside that have none yet.
    pub(super) uncopied: BTreeSet<(LaneId, u64)>,
    /// The one of these that was tried last.
    pub(super) copy_tried: Option<(LaneId, u64)>,
    /// Frames whose rows the store may have, although no shipment says so.
    pub(super) attempted: BTreeSet<(LaneId, u64)>,
}

impl Index {
    pub(super) fn segment_opened(
        &mut self,
        lane: LaneId,
        number: u64,
        bytes: u64,
        file: &Arc<SegmentFile>,
    ) {
        let file = Some(Arc::clone(file));
        let entry = SegmentEntry { bytes, file, sealed: false, damaged: false };
        self.segments.insert((lane, number), entry);
    }

    /// Returns the bytes it had.
    pub(super) fn segment_sealed(&mut self, lane: LaneId, number: u64, bytes: u64) -> u64 {
        match self.segments.get_mut(&(lane, number)) {
            Some(entry) => {
                entry.file = None;
                entry.sealed = true;
                std::mem::replace(&mut entry.bytes, bytes)
            }
            None => bytes,
        }
    }

    pub(super) fn add(&mut self, frame: Frame, state: FrameState) {
        self.frames.insert((frame.lane, frame.first_seq), (frame, state));
    }

    /// Whether a frame is known and stands there.
    pub(super) fn is_in(&self, frame: &Frame, state: FrameState) -> bool {
        let found = self.frames.get(&(frame.lane, frame.first_seq));
        found.is_some_and(|(known, s)| known == frame && *s == state)
    }

    /// Forgets a segment that was removed. Frames that have a file of their own stay.
    pub(super) fn segment_removed(&mut self, lane: LaneId, number: u64) {
        self.segments.remove(&(lane, number));
        let copies = &self.copies;
        self.frames.retain(|key, (f, _)| {
            f.lane != lane || f.segment != number || copies.contains_key(key)
        });
    }

    /// The next frame to be copied of which `fits` says so. They take turns: one that cannot be
    /// copied holds up nobody else.
    pub(super) fn next_uncopied(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let behind = self.copy_tried.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.uncopied.range((behind, Bound::Unbounded));
        let next = behind.chain(&self.uncopied).find_map(|key| match self.frames.get(key) {
            Some((f, FrameState::Aside)) if fits(f) => Some((*key, f.clone())),
            _ => None,
        });
        let (key, frame) = next?;
        self.copy_tried = Some(key);
        Some(frame)
    }

    /// Copies of frames that were acknowledged before then, with their bytes.
    pub(super) fn finished_copies(&self, before: Timestamp) -> Vec<((LaneId, u64), u64)> {
        let done = |key: &(LaneId, u64)| match self.frames.get(key) {
            Some((_, FrameState::Acknowledged(at))) => *at < before,
            Some(_) => false,
            None => true,
        };
        self.copies.iter().filter(|(key, _)| done(key)).map(|(k, b)| (*k, *b)).collect()
    }

    /// Forgets a copy that was removed, and the frame unless its segment is still there.
    pub(super) fn copy_removed(&mut self, key: (LaneId, u64)) {
        self.copies.remove(&key);
        let there = |f: &Frame| self.segments.contains_key(&(f.lane, f.segment));
        if self.frames.get(&key).is_some_and(|(f, _)| !there(f)) {
            self.frames.remove(&key);
        }
    }

    /// Moves frames from one state to another, all or none.
    pub(super) fn turn(
        &mut self,
        frames: &[Frame],
        from: FrameState,
        to: FrameState,
    ) -> Result<(), Error> {
        for f in frames {
            match self.frames.get(&(f.lane, f.first_seq)) {
                Some((known, state)) if known == f && *state == from => {}
                _ => return Err(Error::NotInState),
            }
        }
        for f in frames {
            if let Some((_, state)) = self.frames.get_mut(&(f.lane, f.first_seq)) {
                *state = to;
            }
        }
        Ok(())
    }

    /// These frames are in the store, and so are the gap rows in them.
    pub(super) fn arrived(&mut self, frames: &[Frame]) {
        for f in frames {
            let key = (f.lane, f.first_seq);
            self.attempted.remove(&key);
            if f.table == Table::Gaps {
                let end = (f.lane, f.first_seq + f.count);
                self.gaps.retain(|place, _| !(key..end).contains(place));
            }
        }
    }

    /// The smallest ts that somebody may still ask for in vain: of rows that are not in the store,
    /// and of rows that a gap row names which is not there either.
    pub(super) fn oldest_missing(&self) -> Option<Timestamp> {
        let untold = self.untold.iter().filter_map(|k| self.frames.get(k)).map(|(f, _)| f.min_ts);
        let rows = self.unacknowledged().map(|f| f.min_ts);
        rows.chain(untold).chain(self.gaps.values().copied()).min()
    }

    /// Frames that are not in the store yet, set-aside ones left out.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &Frame> {
        self.frames.values().filter_map(|(frame, state)| {
            matches!(state, FrameState::Ready | FrameState::Shipping).then_some(frame)
        })
    }

    /// Segments that nothing needs any more, with their bytes and whether they are damaged. From
    /// the front of each lane only, and never its last rows while it `goes_on`: what is left must
    /// tell what was there before.
    pub(super) fn finished(
        &self,
        before: Timestamp,
        goes_on: impl Fn(LaneId) -> bool,
    ) -> Vec<((LaneId, u64), u64, bool)> {
        let mut finished = Vec::new();
        let lanes: BTreeSet<LaneId> = self.segments.keys().map(|k| k.0).collect();
        for lane in lanes {
            let segments = self.segments.range((lane, 0)..=(lane, u64::MAX));
            let mut spans: BTreeMap<u64, Span> = segments
                .map(|((_, n), s)| {
                    let done = if s.damaged { !goes_on(lane) } else { s.sealed };
                    let (bytes, damaged) = (s.bytes, s.damaged);
                    (*n, Span { bytes, damaged, done, first: u64::MAX, next: 0 })
                })
                .collect();
            for (f, state) in self.frames.range((lane, 0)..=(lane, u64::MAX)).map(|(_, f)| f) {
                if let Some(s) = spans.get_mut(&f.segment) {
                    s.first = s.first.min(f.first_seq);
                    s.next = s.next.max(f.first_seq + f.count);
                    let key = (f.lane, f.first_seq);
                    s.done &= matches!(state, FrameState::Acknowledged(at) if *at < before)
                        || (self.copies.contains_key(&key) && !self.untold.contains(&key));
                }
            }
            let all = spans.values().all(|s| s.done) && !goes_on(lane);
            let spans: Vec<_> = spans.into_iter().collect();
            for (at, (number, s)) in spans.iter().enumerate() {
                let rest = &spans[at + 1..];
                let last_rows = rest.iter().all(|(_, r)| r.first == u64::MAX);
                let in_order = rest.iter().all(|(_, r)| r.first >= s.next);
                if !s.done || !(all || in_order) || (last_rows && !all) {
                    break;
                }
                finished.push(((lane, *number), s.bytes, s.damaged));
            }
        }
        finished
    }
}

/// A segment as [`Index::finished`] sees it.
struct Span {
    bytes: u64,
    damaged: bool,
    done: bool,
    first: u64,
    next: u64,
}

/// The disk's room, by our own account and the file system's.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes that `disk_bytes_max` limits.
    pub(super) used: AtomicU64,
    /// Bytes that lie beside it: copies of frames set aside, damaged segments with nothing left to
    /// ship. They must not take what rows yet to come need.
    pub(super) beside: AtomicU64,
    /// Held while a reserve is given up.
    pub(super) reserve: Mutex<()>,
    bytes_max: u64,
    free_bytes_min: u64,
}

impl Room {
    pub(super) fn new(bytes_max: u64, free_bytes_min: u64) -> Self {
        let (used, beside) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { used, beside, reserve: Mutex::default(), bytes_max, free_bytes_min }
    }

    /// Takes `bytes`, unless that would pass a limit.
    pub(super) fn take(&self, disk: &Disk, dir: &std::path::Path, bytes: u64) -> Result<(), Error> {
        self.look(disk, dir, bytes)?;
        let fits = |used: u64| used.checked_add(bytes).filter(|&u| u <= self.bytes_max);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Full),
        }
    }

    /// Whether the file system has so many bytes above what it is to keep free.
    pub(super) fn look(&self, disk: &Disk, dir: &std::path::Path, bytes: u64) -> Result<(), Error> {
        let free = disk.free_bytes(dir).map_err(|e| Error::io("statvfs", dir, e))?;
        if free < self.free_bytes_min.saturating_add(bytes) {
            return Err(Error::Full);
        }
        Ok(())
    }

    /// Counts what is there already.
    pub(super) fn found(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn give_back(&self, bytes: u64) {
        subtract(&self.used, bytes);
    }

    /// Counts what lies beside the limit.
    pub(super) fn found_beside(&self, bytes: u64) {
        self.beside.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn gone_beside(&self, bytes: u64) {
        subtract(&self.beside, bytes);
    }

    /// All of it.
    pub(super) fn bytes(&self) -> u64 {
        let (used, beside) = (&self.used, &self.beside);
        used.load(Ordering::Acquire).saturating_add(beside.load(Ordering::Acquire))
    }
}

fn subtract(from: &AtomicU64, bytes: u64) {
    let less = |n: u64| Some(n.saturating_sub(bytes));
    // Never fails: the closure always gives a value.
    if from.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_err() {}
}
