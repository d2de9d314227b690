//! What the spool says about itself: health, figures, the machine's boot.

use std::{io, sync::atomic::Ordering, time::Duration};

use super::{
    Core, Error, Spool,
    index::FrameState,
    lane_view::LaneView,
    lock,
    state::{Missing, Reason},
};
use crate::{clock::Timestamp, record::LaneId};

/// The same failure is not logged again for this long.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// A lane that takes no more rows because an fsync failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The lane.
    pub lane: LaneId,
    /// What the system said.
    pub error: String,
}

/// Figures, from memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Bytes of all segments, of copies of frames set aside and of damaged segments kept for people.
    pub disk_bytes: u64,
    /// Of these, copies of frames set aside.
    pub quarantine_bytes: u64,
    /// Segments on disk.
    pub segments: usize,
    /// Frames to be shipped.
    pub frames_ready: usize,
    /// Frames in shipments under way.
    pub frames_shipping: usize,
    /// Frames acknowledged and still on disk.
    pub frames_in_grace: usize,
    /// Frames set aside.
    pub frames_aside: usize,
    /// Rows in closed frames that the store does not have yet.
    pub unshipped_rows: u64,
    /// Their bytes.
    pub unshipped_bytes: u64,
    /// The oldest of them; zero for none.
    #[serde(serialize_with = "display")]
    pub oldest_unshipped: Timestamp,
    /// Rows counted in gap rows since the start.
    pub shed_rows: u64,
    /// Lanes that take rows.
    pub lanes: usize,
}

fn display<S: serde::Serializer>(ts: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(ts)
}

impl Spool {
    /// Figures.
    pub fn stats(&self) -> Stats {
        self.core.collect();
        let lanes = lock(&self.core.lanes).live.len();
        let index = self.core.index();
        let mut stats = Stats {
            disk_bytes: self.core.room.bytes(),
            quarantine_bytes: index.copies.values().sum(),
            segments: index.segments.len(),
            shed_rows: self.core.shed.load(Ordering::Relaxed),
            lanes,
            ..Stats::default()
        };
        for (_, state) in index.frames.values() {
            match state {
                FrameState::Ready => stats.frames_ready += 1,
                FrameState::Shipping => stats.frames_shipping += 1,
                FrameState::Acknowledged(_) => stats.frames_in_grace += 1,
                FrameState::Aside => stats.frames_aside += 1,
            }
        }
        for f in index.unacknowledged() {
            stats.unshipped_rows += f.count;
            stats.unshipped_bytes += f.bytes;
        }
        stats.oldest_unshipped =
            index.unacknowledged().map(|f| f.min_ts).min().unwrap_or(Timestamp::ZERO);
        stats
    }

    /// Lanes that an fsync failed for; empty when all is well. They stay until a restart.
    pub fn health(&self) -> Vec<Failure> {
        lock(&self.core.failures).clone()
    }

    /// The kernel's boot id, as table `nodes` has it.
    pub fn boot_id(&self) -> String {
        hex::encode(self.core.boot_id)
    }
}

impl Core {
    /// Says that an operation failed: a disk that fails does so with every batch, so once in
    /// [`REPORT_EVERY`] for each lane and operation. What follows is counted in gap rows.
    pub(super) fn report(&self, lane: LaneId, what: &'static str, error: &dyn std::error::Error) {
        let now = self.clock.now();
        {
            let mut reported = lock(&self.reported);
            reported.retain(|_, at| now >= *at && now.since(*at) < REPORT_EVERY);
            if reported.contains_key(&(lane, what)) {
                return;
            }
            reported.insert((lane, what), now);
        }
        tracing::warn!(%lane, what, %error, "the spool met an error");
    }

    /// After a failed fsync: nobody knows what is durable, and asking again would be told a lie.
    pub(super) fn fail_lane(&self, lane: &LaneView, error: &io::Error) {
        if !lane.kill() {
            return;
        }
        tracing::error!(lane = %lane.id, %error, "an fsync failed; the lane is closed");
        lock(&self.failures).push(Failure { lane: lane.id, error: error.to_string() });
        let files = self.files_of(lane.id);
        self.collect();
        let index = self.index();
        let mut missing = Missing { upper: true, ..Missing::default() };
        for (f, state) in index.frames.range((lane.id, 0)..=(lane.id, u64::MAX)).map(|(_, f)| f) {
            let unsynced = index.segments.get(&(lane.id, f.segment)).is_some_and(|s| {
                s.file.as_ref().is_some_and(|s| s.synced.load(Ordering::Acquire) < f.end)
            });
            if *state == FrameState::Ready && unsynced {
                let (from, to) = (f.min_ts, f.max_ts);
                missing = missing.and(Missing { count: f.count, from, to, upper: true });
            }
        }
        let counted: u64 = index
            .frames
            .range((lane.id, 0)..=(lane.id, u64::MAX))
            .map(|(_, (f, _))| f.first_seq + f.count)
            .max()
            .unwrap_or(0);
        drop(index);
        let open = lane.next_seq.load(Ordering::Acquire).saturating_sub(counted);
        if open > 0 && files.iter().any(|f| f.is_behind()) {
            let now = self.clock.now();
            let since = lane.since.load(Ordering::Acquire);
            let from = if since > 0 && since < now.0 { Timestamp(since) } else { now };
            missing = missing.and(Missing { count: open, from, to: now, upper: true });
        }
        if missing.count > 0
            && let Err(e) = lock(&lane.state).add(Reason::IoError, missing, true)
        {
            self.report(lane.id, "counting in a gap row", &e);
        }
    }
}

/// The kernel's boot id. Where there is none every start counts as one after a reboot.
pub(super) fn boot_id() -> Result<[u8; 16], Error> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut id = [0; 16];
    if hex::decode_to_slice(text.trim().replace('-', ""), &mut id).is_err() {
        getrandom::fill(&mut id).map_err(|_| Error::Failed)?;
    }
    Ok(id)
}
