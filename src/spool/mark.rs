//! The reserved-seq mark: no seq from it on may be used, so that what a power cut takes has a
//! bound. It is durable before any seq below it is used, kept ahead of use by maintenance, and taken
//! back from lanes that are idle.

use std::{io, sync::atomic::Ordering};

use super::{
    Core,
    lane_view::{IDLE, LaneView},
    lock,
    state::State,
};
use crate::clock::Timestamp;

/// The fewest seq a mark is moved ahead by.
const RESERVE_MIN: u64 = 1024;

/// The most.
const RESERVE_MAX: u64 = 1 << 22;

/// A lane that wrote nothing for this long gives back its reserved seq, so that a power cut is not
/// said to have taken what was never there.
const MARK_IDLE_MS: u128 = 60_000;

/// What maintenance remembers of a lane.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    pub(super) seq: u64,
    pub(super) changed: Timestamp,
    pub(super) window: u64,
}

impl LaneView {
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
}

impl Core {
    /// Keeps the mark ahead of use, and takes it back from lanes that are idle.
    pub(super) fn keep_mark(&self, lane: &LaneView, now: Timestamp) {
        if self.synced() || lane.is_dead() || lane.ended.load(Ordering::Acquire) {
            return;
        }
        let next = lane.next_seq.load(Ordering::Acquire);
        let (ahead, idle) = {
            let mut upkeep = lock(&lane.upkeep);
            let grown = next - upkeep.seq;
            if grown > 0 || now < upkeep.changed {
                upkeep.changed = now;
            }
            // About twenty rounds pass in two seconds; half the window is left when it moves.
            upkeep.window = upkeep.window.max(grown.saturating_mul(20));
            upkeep.seq = next;
            (upkeep.window, now.since(upkeep.changed).as_millis() >= MARK_IDLE_MS)
        };
        let reserved = lane.reserved.load(Ordering::Acquire);
        let done = if idle && reserved > next {
            self.lower_mark(lane, next)
        } else if next > 0 && !idle && reserved - next.min(reserved) < ahead / 2 {
            lane.extend_by(next, ahead)
        } else {
            Ok(())
        };
        if let Err(e) = done {
            self.fail_lane(lane, &e);
        }
    }

    fn lower_mark(&self, lane: &LaneView, next: u64) -> io::Result<()> {
        let files = self.files_of(lane.id);
        if files.iter().any(|f| f.is_behind()) {
            // Rows in the page cache keep their mark until they are durable.
            for f in files {
                f.sync()?;
            }
        }
        let mut state = lock(&lane.state);
        let before = lane.reserved.swap(next, Ordering::SeqCst);
        // A lane that is about to write has read the old mark, or will see the new one.
        let busy = lane.since.load(Ordering::SeqCst) != IDLE
            || lane.next_seq.load(Ordering::SeqCst) != next;
        if busy {
            lane.reserved.store(before, Ordering::SeqCst);
            return Ok(());
        }
        lock(&lane.upkeep).window = 0;
        state.reserve(next)
    }
}
