//! Starting: the lock, what the files hold, and the end of every lane of the time before.
//!
//! [`open`] only reads, apart from removing what was never finished. [`Recovery::finish`] ends old
//! lanes: what is missing is counted durably first, then the files are settled, then the count
//! becomes a gap row; a crash at any point leaves a state from which the next start goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64},
    },
};

use rustix::fs::FlockOperation;
use tokio::sync::Notify;

use super::{
    Core, Error, Lanes, Options, Spool,
    format::capacity,
    found::Found,
    index::{FrameState, Room},
    io::Disk,
    lock,
    old::OldLane,
    progress::Progress,
};
use crate::{
    clock::Timestamp,
    config,
    record::{LaneId, SchemaId, Table},
};

/// What was found at the start, until [`Recovery::finish`].
#[derive(Debug)]
pub struct Recovery {
    pub(super) spool: Spool,
    pub(super) lanes: BTreeMap<LaneId, OldLane>,
    pub(super) newest: Option<Timestamp>,
    pub(super) report: Report,
}

/// What became of a row handed to [`Recovery::restore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The spool has it, or had it until the store acknowledged it.
    AlreadyThere,
    /// It was missing and is in the spool now.
    Restored,
}

/// What a start found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Lanes of the time before that are still on disk.
    pub lanes: usize,
    /// Of these, ended now.
    pub closed: usize,
    /// Frames on disk.
    pub frames: usize,
    /// Rows put back by [`Recovery::restore`].
    pub restored: u64,
    /// Rows told missing in gap rows now.
    pub missing: u64,
    /// Segments found damaged now.
    pub damaged: usize,
    /// Shipments under way.
    pub shipments: usize,
    /// Shipment files that cannot be read: their frames go again, under new tokens.
    pub shipments_damaged: usize,
    /// Lanes that could not be ended now (no room, for example); the next start tries again.
    pub deferred: usize,
}

pub(super) fn open(
    options: Options,
    disk: Disk,
    boot_id: [u8; 16],
    progress: Progress,
) -> Result<(Spool, Recovery), Error> {
    let Options { dir, node, config, clock } = options;
    check(&config)?;
    for sub in ["", "shipments", "quarantine"] {
        let path = dir.join(sub);
        disk.directory(&path).map_err(|e| Error::io("create", &path, e))?;
    }
    let held = take_lock(&dir)?;
    let room = Room::new(config.disk_bytes_max, config.disk_free_bytes_min);
    let found = Found::read(&disk, &dir, boot_id, &progress)?;
    let now = clock.now();
    let core = Core {
        room,
        lanes: Mutex::new(Lanes { high: found.high, seen: found.seen, ..Lanes::default() }),
        index: Mutex::default(),
        closed: Notify::new(),
        failures: Mutex::default(),
        reported: Mutex::default(),
        floor: AtomicI64::new(i64::MIN),
        upkeep: Mutex::default(),
        newest_now: Mutex::new(now),
        closed_for_good: AtomicBool::new(false),
        shed: AtomicU64::new(0),
        _lock: held,
        dir,
        node,
        config,
        clock,
        progress,
        disk,
        boot_id,
    };
    let mut report = Report { lanes: found.lanes.len(), ..Report::default() };
    let newest = core.take_in(&found)?;
    core.take_in_shipments(&mut report)?;
    core.keep_back();
    // A clock that went back while nobody looked is told by the first upkeep.
    *lock(&core.newest_now) = now.max(newest.unwrap_or(now));
    report.frames = core.index().frames.len();
    let spool = Spool { core: Arc::new(core), shared: Arc::default() };
    let unacknowledged: Vec<_> = {
        let index = spool.core.index();
        let all = index.frames.values();
        let open = all.filter(|(_, s)| !matches!(s, FrameState::Acknowledged(_)));
        open.map(|(f, _)| f.clone()).collect()
    };
    let gaps: Vec<_> = unacknowledged
        .iter()
        .flat_map(|f| {
            spool.core.progress.step();
            spool.gaps_in(f)
        })
        .collect();
    spool.core.index().gaps.extend(gaps);
    Ok((spool.clone(), Recovery { spool, lanes: found.lanes, newest, report }))
}

fn check(c: &config::Spool) -> Result<(), Error> {
    for size in [c.segment_bytes_max, c.shared_segment_bytes_max] {
        if capacity(size) < u64::from(c.batch_bytes_max) + 1024 {
            return Err(Error::Limits("batch_bytes_max: a segment must hold more than a batch"));
        }
    }
    if c.frame_rows_max == 0 || c.frame_bytes_max == 0 || c.batch_bytes_max == 0 {
        return Err(Error::Limits("frame_rows_max, frame_bytes_max, batch_bytes_max: above 0"));
    }
    Ok(())
}

fn take_lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let fail = |e| Error::io("lock", &path, e);
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked(dir.to_owned())),
        Err(e) => Err(fail(e.into())),
    }
}

impl Recovery {
    /// The largest ts in the spool: a clock far from it is not to be believed.
    pub fn newest_ts(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Puts a row that another store has kept (its place, schema and bytes exactly) where it was
    /// promised to be, unless it is or was there.
    ///
    /// # Errors
    /// When the bytes are not a row for that place, or cannot be written.
    pub fn restore(
        &mut self,
        lane: LaneId,
        seq: u64,
        schema: SchemaId,
        row_bytes: &[u8],
    ) -> Result<Restored, Error> {
        let core = Arc::clone(&self.spool.core);
        let table = lane.table().filter(|t| schema.table() == Some(*t)).ok_or(Error::NotInState)?;
        let known = self.lanes.contains_key(&lane);
        {
            let mut lanes = lock(&core.lanes);
            if !known && lane.start() <= lanes.high {
                return Ok(Restored::AlreadyThere);
            }
            // Lanes opened from now on lie above.
            lanes.seen = lanes.seen.max(lane.start());
        }
        let old = self.lanes.entry(lane).or_insert_with(|| OldLane::new(lane, table));
        if old.runs().contains(seq) {
            return Ok(Restored::AlreadyThere);
        }
        let ts = old.append(&core, seq, schema, row_bytes)?;
        self.newest = self.newest.max(Some(ts));
        self.report.restored += 1;
        Ok(Restored::Restored)
    }

    /// Before any lane ends: see [`OldLane::reopen_gaps`]. Returns the lanes that must not end now.
    fn reopen_gaps(&self) -> BTreeSet<LaneId> {
        let core = &self.spool.core;
        let lanes: BTreeMap<_, _> = self.lanes.iter().map(|(id, l)| (*id, l.runs())).collect();
        let gaps = || lanes.keys().filter(|l| l.table() == Some(Table::Gaps)).copied();
        let mut keep = BTreeSet::new();
        for lane in self.lanes.values() {
            if let Err(e) = lane.reopen_gaps(core, &lanes, &mut keep) {
                core.report(lane.id, "look at its gap rows", &e);
                keep.extend(gaps());
            }
        }
        if let Err(e) = core.unplace_aside(&lanes) {
            core.report(LaneId(0), "look at the quarantine", &e);
            keep.extend(gaps());
        }
        keep
    }

    /// Ends every lane of the time before. A lane that cannot be ended now is left to the next
    /// start; its frames are shipped all the same.
    ///
    /// # Errors
    /// When nothing at all can be written.
    pub fn finish(mut self) -> Result<Report, Error> {
        let core = Arc::clone(&self.spool.core);
        let keep = self.reopen_gaps();
        for lane in self.lanes.values_mut() {
            core.progress.step();
            if keep.contains(&lane.id) {
                self.report.deferred += 1;
                lock(&core.lanes).deferred.insert(lane.id, lane.untold_from);
                continue;
            }
            let was_ended = lane.is_ended();
            match lane.finish(&self.spool) {
                Ok((missing, damaged)) => {
                    self.report.closed += usize::from(!was_ended);
                    self.report.missing += missing;
                    self.report.damaged += damaged;
                }
                Err(error) => {
                    tracing::warn!(lane = %lane.id, %error, "a lane cannot be ended yet");
                    self.report.deferred += 1;
                    lock(&core.lanes).deferred.insert(lane.id, lane.untold_from);
                }
            }
            lock(&core.lanes).ended.insert(lane.id, lane.runs());
        }
        // Before any segment of an ended lane goes, its state file must be gone.
        core.disk.sync_dir(&core.dir).map_err(|e| Error::io("fsync", &core.dir, e))?;
        core.forget_shipments()?;
        self.report.frames = core.index().frames.len();
        Ok(self.report)
    }
}
