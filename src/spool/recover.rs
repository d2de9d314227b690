//! Starting: the lock, what the files hold, and the end of every lane of the time before.
//!
//! [`open`] only reads, apart from removing what was never finished. [`Recovery::finish`] ends old
//! lanes: what is missing is counted durably first, then the files are settled, then the count
//! becomes a gap row; a crash at any point leaves a state from which the next start goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64},
    },
};

use rustix::fs::FlockOperation;
use tokio::sync::Notify;

use super::{
    Core, Error, Frame, Lanes, Options, Spool,
    index::{FrameState, Room, SegmentEntry},
    io::Disk,
    lane::capacity,
    lock,
    old::{OldLane, OldSegment, Runs},
    scan,
    segment::{self, Stage},
    shipment::{self, ShipmentFile},
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
) -> Result<(Spool, Recovery), Error> {
    let Options { dir, node, config, clock } = options;
    check(&config)?;
    for sub in ["", "shipments", "quarantine"] {
        let path = dir.join(sub);
        disk.directory(&path).map_err(|e| Error::io("create", &path, e))?;
    }
    let held = take_lock(&dir)?;
    let room = Room::new(config.disk_bytes_max, config.disk_free_bytes_min);
    let found = Found::read(&disk, &dir, boot_id)?;
    let now = clock.now();
    let core = Core {
        room,
        lanes: Mutex::new(Lanes { high: found.high, seen: found.seen, ..Lanes::default() }),
        index: Mutex::default(),
        closed: Notify::new(),
        failures: Mutex::default(),
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
    let gaps: Vec<_> = unacknowledged.iter().flat_map(|f| spool.gaps_in(f)).collect();
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

/// What lies in a spool's directory.
pub(super) struct Found {
    pub(super) lanes: BTreeMap<LaneId, OldLane>,
    /// What the high-water file says.
    pub(super) high: u64,
    /// The largest start of a lane on disk.
    pub(super) seen: u64,
    reserves: u64,
}

impl Found {
    /// Reads every segment.
    pub(super) fn read(disk: &Disk, dir: &Path, boot_id: [u8; 16]) -> Result<Self, Error> {
        let mut found = Self { lanes: BTreeMap::new(), high: 0, seen: 0, reserves: 0 };
        for path in disk.list(dir).map_err(|e| Error::io("list", dir, e))? {
            let fail = |e| Error::io("read", &path, e);
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if let Some(start) = name.strip_prefix("high-") {
                found.high = found.high.max(start.parse().unwrap_or(0));
            } else if let Some(lane) = segment::parse_state_path(&path) {
                found.lane(lane, |l| l.has_state = true);
            } else if let Some((lane, number, stage)) = segment::parse_path(&path) {
                let bytes = std::fs::read(&path).map_err(fail)?;
                let scan = scan::scan(&bytes, lane, number);
                let segment = OldSegment {
                    number,
                    stage,
                    size: bytes.len() as u64,
                    blank: bytes.iter().all(|&b| b == 0),
                    rebooted: scan.as_ref().is_ok_and(|s| s.header.boot_id != boot_id),
                    scan,
                };
                found.lane(lane, |l| l.segments.push(segment));
            } else if path.extension().is_some_and(|e| e == "reserve") {
                found.reserves += std::fs::metadata(&path).map_err(fail)?.len();
            } else if path.extension().is_some_and(|e| e == "tmp") {
                disk.remove(&path).map_err(fail)?;
            }
        }
        for lane in found.lanes.values_mut() {
            lane.segments.sort_by_key(|s| s.number);
            let id = lane.id;
            lane.drop_doubles(|number| {
                let path = segment::path(dir, id, number, Stage::Open);
                std::fs::read(&path).map_err(|e| Error::io("read", &path, e))
            })?;
        }
        Ok(found)
    }

    fn lane(&mut self, id: LaneId, change: impl FnOnce(&mut OldLane)) {
        self.seen = self.seen.max(id.start());
        if let Some(table) = id.table() {
            change(self.lanes.entry(id).or_insert_with(|| OldLane::new(id, table)));
        }
    }
}

impl Core {
    /// Remembers what was found; returns the newest ts.
    fn take_in(&self, found: &Found) -> Result<Option<Timestamp>, Error> {
        self.room.found(found.reserves);
        let mut newest = None;
        for lane in found.lanes.values() {
            for s in &lane.segments {
                self.room.found(s.size);
                let mut index = self.index();
                let entry = SegmentEntry {
                    bytes: s.size,
                    file: None,
                    sealed: s.stage == Stage::Sealed,
                    damaged: s.stage == Stage::Damaged,
                };
                index.segments.insert((lane.id, s.number), entry);
                for f in s.frames() {
                    newest = newest.max(Some(f.max_ts));
                    index.add(f.clone(), FrameState::Ready);
                }
                drop(index);
                // Frames that a crash left in the page cache must be durable before they ship.
                if s.stage == Stage::Open {
                    let path = segment::path(&self.dir, lane.id, s.number, s.stage);
                    let file = self.disk.open(&path).map_err(|e| Error::io("open", &path, e))?;
                    file.sync().map_err(|e| Error::io("fsync", &path, e))?;
                }
            }
            lock(&self.lanes).ended.insert(lane.id, lane.runs());
        }
        Ok(newest)
    }

    fn take_in_shipments(&self, report: &mut Report) -> Result<(), Error> {
        let now = self.clock.now();
        let aside = self.take_in_aside(report)?;
        let tokens: BTreeSet<&String> = aside.iter().map(|(t, _)| t).collect();
        let dir = self.dir.join("shipments");
        let fail = |e| Error::io("recover", &dir, e);
        let files = self.disk.list(&dir).map_err(fail)?;
        let pending: BTreeSet<String> =
            files.iter().filter_map(|p| token_of(p, "pending")).collect();
        for path in &files {
            if path.extension().is_some_and(|e| e == "tmp") {
                self.disk.remove(path).map_err(fail)?;
            } else if let Some(token) = token_of(path, "acked") {
                let Some(file) = self.shipment(path, report) else { continue };
                let frames = self.known(&file);
                for f in &frames {
                    self.index().add(f.clone(), FrameState::Acknowledged(now));
                }
                self.index().acknowledged.insert(token, frames);
            }
        }
        // After the acknowledged ones: a frame that was shipped again is under way.
        for path in &files {
            let Some(token) = token_of(path, "pending") else { continue };
            let Some(file) = self.shipment(path, report) else { continue };
            let undone = file.parent.as_ref().is_some_and(|p| pending.contains(p));
            if undone || tokens.contains(&token) {
                self.disk.remove(path).map_err(fail)?;
                continue;
            }
            let frames = self.known(&file);
            if frames.len() != file.frames.len() {
                // Its rows are gone with the disk; the rest goes under new tokens.
                report.shipments_damaged += 1;
                self.disk.rename(path, &path.with_extension("damaged")).map_err(fail)?;
                continue;
            }
            for f in &frames {
                self.index().add(f.clone(), FrameState::Shipping);
            }
            report.shipments += 1;
            self.index().pending.insert(token, frames);
        }
        // Last: a frame that was acknowledged, shipped again and set aside is aside.
        for f in aside.into_iter().flat_map(|(_, frames)| frames) {
            let mut index = self.index();
            index.untold.insert((f.lane, f.first_seq));
            index.add(f, FrameState::Aside);
        }
        self.take_in_attempted(&files, report.shipments_damaged > 0);
        self.disk.sync_dir(&dir).map_err(fail)
    }

    /// Finds the frames that may have been sent before, although nothing says so any more. A
    /// damaged file may have named any of them.
    fn take_in_attempted(&self, files: &[PathBuf], damaged: bool) {
        let mut tried: BTreeSet<(LaneId, u64)> = BTreeSet::new();
        for path in files {
            let kind = path.extension().and_then(|e| e.to_str());
            let read = match kind {
                Some("tried" | "damaged") => shipment::read_file(path),
                _ => None,
            };
            let frames = read.iter().flat_map(|f| self.known(f));
            tried.extend(frames.map(|f| (f.lane, f.first_seq)));
        }
        let mut index = self.index();
        let ready = index.frames.iter().filter(|(_, (_, s))| *s == FrameState::Ready);
        let found: Vec<_> =
            ready.map(|(k, _)| *k).filter(|k| damaged || tried.contains(k)).collect();
        index.attempted.extend(found);
    }

    /// What was set aside, by token.
    fn take_in_aside(&self, report: &mut Report) -> Result<Vec<(String, Vec<Frame>)>, Error> {
        let dir = self.dir.join("quarantine");
        let fail = |e| Error::io("recover", &dir, e);
        let mut aside = Vec::new();
        for path in self.disk.list(&dir).map_err(fail)? {
            let released = path.extension().is_some_and(|e| e == "release");
            if released {
                let to = self.dir.join("shipments").join(path.file_name().unwrap_or_default());
                self.disk.rename(&path, &to.with_extension("tried")).map_err(fail)?;
            } else if path.extension().is_some_and(|e| e == "tmp") {
                self.disk.remove(&path).map_err(fail)?;
            } else if let Some((token, _)) = shipment::parse_aside(&path) {
                let Some(file) = self.shipment(&path, report) else { continue };
                aside.push((token, self.known(&file)));
            }
        }
        self.disk.sync_dir(&dir).map_err(fail)?;
        Ok(aside)
    }

    fn shipment(&self, path: &Path, report: &mut Report) -> Option<ShipmentFile> {
        let file = shipment::read_file(path);
        if file.is_none() {
            report.shipments_damaged += 1;
            tracing::error!(file = %path.display(), "a shipment's file is damaged");
        }
        file
    }

    /// As [`OldLane::reopen_gaps`], for the gap rows of frames set aside.
    fn unplace_aside(&self, lanes: &BTreeMap<LaneId, Runs>) -> Result<(), Error> {
        let dir = self.dir.join("quarantine");
        let fail = |e| Error::io("recover", &dir, e);
        for path in self.disk.list(&dir).map_err(fail)? {
            if let Some((token, Some((lane, seq)))) = shipment::parse_aside(&path)
                && lanes.get(&lane).is_some_and(|runs| !runs.contains(seq))
            {
                self.disk.rename(&path, &dir.join(format!("{token}.aside"))).map_err(fail)?;
            }
        }
        self.disk.sync_dir(&dir).map_err(fail)
    }

    /// A shipment's frames that are still on disk.
    fn known(&self, file: &ShipmentFile) -> Vec<Frame> {
        file.frames.iter().filter_map(|k| self.frame(k)).collect()
    }
}

fn token_of(path: &Path, extension: &str) -> Option<String> {
    let right = path.extension().is_some_and(|e| e == extension);
    right.then(|| path.file_stem()?.to_str().map(str::to_owned))?
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
