//! What every part of the spool shares: the directory, what is known of it, who writes to it.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    Error, Frame, Lane,
    index::{FrameState, Index, Room},
    io::Disk,
    lane_view::LaneView,
    old::Runs,
    progress::Progress,
    segment::{self, SegmentFile},
    shipment_file::FrameKey,
    state::{STATE_SIZE, State},
    stats::Failure,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, Durability},
    record::{LaneId, NodeName, Table},
};

#[derive(Debug)]
pub(super) struct Core {
    pub(super) dir: PathBuf,
    pub(super) node: NodeName,
    pub(super) config: config::Spool,
    pub(super) clock: Clock,
    pub(super) progress: Progress,
    pub(super) disk: Disk,
    pub(super) boot_id: [u8; 16],
    pub(super) room: Room,
    pub(super) lanes: Mutex<Lanes>,
    pub(super) index: Mutex<Index>,
    /// A frame was closed.
    pub(super) closed: Notify,
    pub(super) failures: Mutex<Vec<Failure>>,
    /// What was logged lately.
    pub(super) reported: Mutex<BTreeMap<(LaneId, &'static str), Timestamp>>,
    /// The largest `complete_through` ever given.
    pub(super) floor: AtomicI64,
    /// Held while gap rows are written or something is released: one at a time.
    pub(super) upkeep: Mutex<()>,
    /// The clock when maintenance last looked.
    pub(super) newest_now: Mutex<Timestamp>,
    /// No lane is opened any more.
    pub(super) closed_for_good: AtomicBool,
    /// Rows counted in gap rows since the start.
    pub(super) shed: AtomicU64,
    pub(super) _lock: File,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) live: BTreeMap<LaneId, Arc<LaneView>>,
    /// Lanes that have ended, with what is or was there.
    pub(super) ended: BTreeMap<LaneId, Runs>,
    /// Old lanes that could not be ended yet, with the time from which on rows may be missing that
    /// no gap row tells of.
    pub(super) deferred: BTreeMap<LaneId, Timestamp>,
    /// The high-water file: the largest start of any lane opened here.
    pub(super) high: u64,
    /// The largest start of any lane on disk, or known to another store.
    pub(super) seen: u64,
    /// The start of lanes opened now; above `high` of the time before.
    pub(super) start: Option<u64>,
}

pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking thread leaves behind is whole: every change is one assignment or insert.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(super) fn synced(&self) -> bool {
        self.config.durability == Durability::Synced
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// Shared lanes carry less, and have smaller segments.
    pub(super) fn shared_segment_size(&self) -> u64 {
        self.config.shared_segment_bytes_max
    }

    pub(super) fn open_lane(
        self: &Arc<Self>,
        table: Table,
        worker: u16,
        shared: bool,
    ) -> Result<Lane, Error> {
        let id = self.next_lane(table, worker)?;
        let path = segment::state_path(&self.dir, id);
        let fail = |e| Error::io("create", &path, e);
        let state = self.with_room(|| self.disk.create(&path, STATE_SIZE)).map_err(fail)?;
        let mut state = State::load(state).map_err(fail)?;
        state.begin(self.boot_id).map_err(fail)?;
        self.disk.sync_dir(&self.dir).map_err(fail)?;
        let size = if shared { self.shared_segment_size() } else { self.config.segment_bytes_max };
        let keep_back = shared && matches!(table, Table::Gaps | Table::Access);
        let lane = Arc::new(LaneView::new(id, table, size, keep_back, state));
        match lane.segment(self) {
            Ok(s) => *lock(&lane.spare) = Some(s),
            // It sheds and refuses until there is room.
            Err(Error::Full) => lane.wants_spare.store(true, Ordering::Release),
            Err(e) => return Err(e),
        }
        lock(&self.lanes).live.insert(id, Arc::clone(&lane));
        Ok(Lane::new(Arc::clone(self), lane, self.synced() && !shared))
    }

    /// An id that no lane had before, whatever the clock says: the starts of one process lie above
    /// all of the time before, which a file's name keeps for later ones.
    pub(super) fn next_lane(&self, table: Table, worker: u16) -> Result<LaneId, Error> {
        let mut lanes = lock(&self.lanes);
        let now = u64::try_from(self.clock.now().secs()).unwrap_or(0);
        let id = |start| LaneId::new(start, worker, table);
        let used = |id: &LaneId| lanes.live.contains_key(id) || lanes.ended.contains_key(id);
        if let Some(start) = lanes.start
            && !used(&id(start))
        {
            return Ok(id(start));
        }
        let start = now.max(lanes.high.max(lanes.seen) + 1);
        let (from, to) = (self.high_path(lanes.high), self.high_path(start));
        let fail = |e| Error::io("rename", &to, e);
        if from.exists() {
            self.disk.rename(&from, &to).map_err(fail)?;
        } else {
            self.disk.create(&to, 0).map_err(fail)?;
        }
        self.disk.sync_dir(&self.dir).map_err(fail)?;
        lanes.high = start;
        lanes.start = Some(start);
        Ok(id(start))
    }

    pub(super) fn high_path(&self, start: u64) -> PathBuf {
        self.dir.join(format!("high-{start}"))
    }

    /// Takes over the frames that lanes have closed.
    pub(super) fn collect(&self) {
        let lanes: Vec<_> = lock(&self.lanes).live.values().cloned().collect();
        for lane in lanes {
            let mut index = self.index();
            for frame in lock(&lane.closed).drain(..) {
                index.add(frame, FrameState::Ready);
            }
        }
    }

    /// The frame at a place.
    pub(super) fn frame(&self, key: &FrameKey) -> Option<Frame> {
        let index = self.index();
        let (frame, _) = index.frames.get(&(LaneId(key.lane), key.first_seq))?;
        (frame.count == key.count).then(|| frame.clone())
    }

    /// A lane's files that are not sealed.
    pub(super) fn files_of(&self, lane: LaneId) -> Vec<Arc<SegmentFile>> {
        let index = self.index();
        let all = index.segments.range((lane, 0)..=(lane, u64::MAX));
        all.filter_map(|(_, s)| s.file.clone()).collect()
    }
}
