//! What the spool and its maintenance see of a lane, while its owner writes.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use super::{
    Core, Error, Frame,
    mark::Upkeep,
    segment::{self, Retired, Segment, Stage},
    state::State,
};
use crate::record::{LaneId, Table};

/// [`LaneView::since`] when every row is in a closed frame.
pub(super) const IDLE: i64 = i64::MAX;

/// [`LaneView::since`] while a row reads the clock.
pub(super) const BUSY: i64 = i64::MIN;

/// What the spool and its maintenance see of a lane.
#[derive(Debug)]
pub(super) struct LaneView {
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

impl LaneView {
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

    pub(super) fn segment(&self, core: &Core) -> Result<Segment, Error> {
        let number = self.next_number.load(Ordering::Relaxed);
        let keep_back = self.keep_back.then_some(self.table);
        let made = core.allocate(self.id, number, self.segment_size, keep_back);
        // What a failed attempt left behind has the name; the next start removes it.
        let taken = || segment::path(&core.dir, self.id, number, Stage::Open).exists();
        if made.is_ok() || taken() {
            self.next_number.store(number + 1, Ordering::Relaxed);
        }
        made
    }
}
