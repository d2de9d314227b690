//! Shipments: which frames go to the store together, under which token, and what became of them.
//!
//! A shipment is a small file. Its name says where it stands: `shipments/TOKEN.pending` before its
//! first attempt, `shipments/TOKEN.acked` from its acknowledgement until the segments of its
//! frames are gone, `quarantine/TOKEN.aside…` when it was set aside. A frame stands where its
//! shipment does; without one it is to be shipped. First line: CRC32C of the second, in
//! hexadecimal. Second line: JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, Frame, Spool, format::FOOTER, index::FrameState, lock, scan, segment};
use crate::{
    clock::Timestamp,
    record::{GapRow, LaneId},
};

/// Whole frames of one table: one INSERT, one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The INSERT's deduplication token: a digest of the frames, new for every shipment made.
    pub token: String,
    /// The frames, in the order in which their rows are sent.
    pub frames: Vec<Frame>,
}

/// A shipment's file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShipmentFile {
    pub(super) token: String,
    /// The shipment this one was split from. While that one's file is there, the split has not
    /// happened.
    pub(super) parent: Option<String>,
    /// Why it was set aside.
    pub(super) reason: Option<String>,
    pub(super) frames: Vec<FrameKey>,
}

/// A frame by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrameKey {
    pub(super) lane: u64,
    pub(super) first_seq: u64,
    pub(super) count: u64,
}

impl From<&Frame> for FrameKey {
    fn from(f: &Frame) -> Self {
        Self { lane: f.lane.0, first_seq: f.first_seq, count: f.count }
    }
}

impl ShipmentFile {
    fn encode(&self) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_string(self).map_err(|_| Error::Damaged)?;
        Ok(format!("{:08x}\n{json}\n", crc32c::crc32c(json.as_bytes())).into_bytes())
    }

    /// Reads a file back.
    pub(super) fn decode(b: &[u8]) -> Option<Self> {
        let (crc, json) = std::str::from_utf8(b).ok()?.split_once('\n')?;
        let json = json.strip_suffix('\n')?;
        let crc = u32::from_str_radix(crc, 16).ok()?;
        (crc == crc32c::crc32c(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
    }
}

/// What `TOKEN.aside…` says about the gap row: nothing yet, or the place it was given.
pub(super) fn parse_aside(path: &Path) -> Option<(String, Option<(LaneId, u64)>)> {
    let (token, rest) = path.file_name()?.to_str()?.split_once(".aside")?;
    if rest.is_empty() {
        return Some((token.to_owned(), None));
    }
    let (lane, seq) = rest.strip_prefix('-')?.split_once('-')?;
    Some((token.to_owned(), Some((LaneId(lane.parse().ok()?), seq.parse().ok()?))))
}

impl Spool {
    /// Closed frames that are in no shipment and not set aside, oldest first per lane. From memory.
    pub fn frames(&self) -> Vec<Frame> {
        let core = &self.core;
        core.collect();
        let lanes = lock(&core.lanes);
        let index = core.index();
        let ready = index.frames.values().filter(|(_, state)| *state == FrameState::Ready);
        // What a failed fsync left in doubt is not shipped: the next start ships what it finds.
        ready
            .map(|(frame, _)| frame)
            .filter(|f| !lanes.live.get(&f.lane).is_some_and(|l| l.is_dead()))
            .cloned()
            .collect()
    }

    /// Waits until a frame was closed since the last call.
    pub async fn frame_closed(&self) {
        self.core.closed.notified().await;
    }

    /// A frame's rows, checked by CRC and durable before they are returned.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first bad batch; any other error may pass.
    pub fn read(&self, frame: &Frame) -> Result<Vec<u8>, Error> {
        self.core.make_durable(frame)?;
        let file = self.core.open_segment(frame)?;
        let len = frame.end.checked_sub(frame.offset).and_then(|n| usize::try_from(n).ok());
        let mut b = vec![0; len.ok_or(Error::NotInState)?];
        let dir = &self.core.dir;
        file.read_at(&mut b, frame.offset).map_err(|e| Error::io("read", dir, e))?;
        scan::rows(&b, frame).map_err(|(offset, bad)| Error::Corrupt {
            lane: frame.lane,
            segment: frame.segment,
            offset,
            bad,
        })
    }

    /// Puts frames of one table together. Their list is durable before this returns, and comes
    /// back from [`Spool::open_shipments`] under the same token after a restart.
    ///
    /// # Errors
    /// When a frame is not to be shipped, or something cannot be made durable; the frames are as
    /// they were then.
    pub fn begin_shipment(&self, frames: Vec<Frame>) -> Result<Shipment, Error> {
        let table = frames.first().ok_or(Error::NotInState)?.table;
        if frames.iter().any(|f| f.table != table) {
            return Err(Error::NotInState);
        }
        self.core.index().turn(&frames, FrameState::Ready, FrameState::Shipping)?;
        let shipment = Shipment { token: token(&frames, None)?, frames };
        let written = shipment
            .frames
            .iter()
            .try_for_each(|f| self.core.make_durable(f))
            .and_then(|()| self.write_pending(&shipment, None));
        let mut index = self.core.index();
        match written {
            Ok(()) => {
                index.pending.insert(shipment.token.clone(), shipment.frames.clone());
                Ok(shipment)
            }
            Err(e) => {
                index.turn(&shipment.frames, FrameState::Shipping, FrameState::Ready)?;
                Err(e)
            }
        }
    }

    fn write_pending(&self, shipment: &Shipment, parent: Option<&str>) -> Result<(), Error> {
        let path = self.pending_path(&shipment.token);
        let file = ShipmentFile {
            token: shipment.token.clone(),
            parent: parent.map(str::to_owned),
            reason: None,
            frames: shipment.frames.iter().map(FrameKey::from).collect(),
        };
        let written = self.core.disk.publish(&path, &file.encode()?);
        written.map_err(|e| {
            // Best effort: should the file stay, the next start ships its frames under its token,
            // which nobody used.
            match self.core.disk.remove(&path) {
                Ok(()) | Err(_) => Error::io("write", &path, e),
            }
        })
    }

    pub(super) fn pending_path(&self, token: &str) -> PathBuf {
        self.core.dir.join("shipments").join(format!("{token}.pending"))
    }

    fn acked_path(&self, token: &str) -> PathBuf {
        self.core.dir.join("shipments").join(format!("{token}.acked"))
    }

    /// Shipments under way: after a restart those that were when the process ended. Whether the
    /// store has their rows is in doubt.
    pub fn open_shipments(&self) -> Vec<Shipment> {
        let index = self.core.index();
        let pending = index.pending.iter();
        pending
            .map(|(token, frames)| Shipment { token: token.clone(), frames: frames.clone() })
            .collect()
    }

    /// The store has every row. Durable before it returns.
    ///
    /// # Errors
    /// When the shipment is not under way, or its file cannot be renamed; to be tried again then.
    pub fn acknowledge(&self, shipment: Shipment) -> Result<(), Error> {
        let core = &self.core;
        if !core.index().pending.contains_key(&shipment.token) {
            return Err(Error::NotInState);
        }
        let (from, to) = (self.pending_path(&shipment.token), self.acked_path(&shipment.token));
        core.disk.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
        {
            let now = core.clock.now();
            let mut index = core.index();
            index.turn(&shipment.frames, FrameState::Shipping, FrameState::Acknowledged(now))?;
            index.arrived(&shipment.frames);
            index.pending.remove(&shipment.token);
            index.acknowledged.insert(shipment.token, shipment.frames);
        }
        self.sync_shipments();
        Ok(())
    }

    /// Makes the names of shipments durable, after what they say is known here. Should it fail,
    /// a power cut may bring older names back: shipments under way, whose rows are counted in the
    /// store before anything is sent.
    fn sync_shipments(&self) {
        if let Err(e) = self.core.disk.sync_dir(&self.core.dir.join("shipments")) {
            self.core.report(LaneId(0), "fsync of the shipments", &e);
        }
    }

    /// The same frames in new shipments under new tokens: what is missing after doubt, or one
    /// frame each when the store refuses the whole. The old token is never used again.
    ///
    /// # Errors
    /// When the parts are not exactly the shipment's frames, or files cannot be written; the
    /// shipment is as it was then.
    pub fn split(
        &self,
        shipment: Shipment,
        parts: Vec<Vec<Frame>>,
    ) -> Result<Vec<Shipment>, Error> {
        let core = &self.core;
        let key = |f: &Frame| (f.lane, f.first_seq);
        let mut old: Vec<_> = shipment.frames.iter().map(key).collect();
        let mut new: Vec<_> = parts.iter().flatten().map(key).collect();
        old.sort_unstable();
        new.sort_unstable();
        if old != new
            || parts.iter().any(Vec::is_empty)
            || !core.index().pending.contains_key(&shipment.token)
        {
            return Err(Error::NotInState);
        }
        let mut made: Vec<Shipment> = Vec::with_capacity(parts.len());
        for frames in parts {
            let part = Shipment { token: token(&frames, Some(&shipment.token))?, frames };
            if let Err(e) = self.write_pending(&part, Some(&shipment.token)) {
                self.unmake(&made);
                return Err(e);
            }
            made.push(part);
        }
        let parent = self.pending_path(&shipment.token);
        if let Err(e) = core.disk.remove(&parent) {
            self.unmake(&made);
            return Err(Error::io("remove", &parent, e));
        }
        {
            let mut index = core.index();
            index.pending.remove(&shipment.token);
            for part in &made {
                index.pending.insert(part.token.clone(), part.frames.clone());
            }
        }
        self.sync_shipments();
        Ok(made)
    }

    /// Removes parts of a split that did not happen. One that stays means nothing while the parent
    /// is there.
    fn unmake(&self, parts: &[Shipment]) {
        for part in parts {
            self.core.disk.remove(&self.pending_path(&part.token)).unwrap_or_default();
        }
    }

    /// Sets the one frame of a shipment aside until somebody releases it. [`Spool::maintain`]
    /// writes its gap row `quarantine`.
    ///
    /// # Errors
    /// When it has several frames, or files cannot be written.
    pub fn set_aside(&self, shipment: Shipment, reason: &str) -> Result<(), Error> {
        let core = &self.core;
        if shipment.frames.len() != 1 || !core.index().pending.contains_key(&shipment.token) {
            return Err(Error::NotInState);
        }
        let path = core.dir.join("quarantine").join(format!("{}.aside", shipment.token));
        let file = ShipmentFile {
            token: shipment.token.clone(),
            parent: None,
            reason: Some(reason.to_owned()),
            frames: shipment.frames.iter().map(FrameKey::from).collect(),
        };
        core.disk
            .publish(&path, &file.encode()?)
            .and_then(|()| core.disk.remove(&self.pending_path(&shipment.token)))
            .map_err(|e| Error::io("set aside", &path, e))?;
        let mut index = core.index();
        index.turn(&shipment.frames, FrameState::Shipping, FrameState::Aside)?;
        index.untold.extend(shipment.frames.iter().map(|f| (f.lane, f.first_seq)));
        index.pending.remove(&shipment.token);
        Ok(())
    }

    /// Writes the gap rows of what was set aside and has none yet. For maintenance alone: two at
    /// once would tell the same frame twice.
    pub(super) fn tell_aside(&self) -> Result<(), Error> {
        if self.core.index().untold.is_empty() {
            return Ok(());
        }
        for (path, placed) in self.core.aside()? {
            let told = match placed {
                Some((lane, seq)) => self.core.is_kept(lane, seq),
                None => false,
            };
            let Some(file) = read_file(&path) else { continue };
            let Some(frame) = file.frames.first().and_then(|k| self.core.frame(k)) else {
                continue;
            };
            if told {
                self.core.index().untold.remove(&(frame.lane, frame.first_seq));
                continue;
            }
            if !self.core.index().is_in(&frame, FrameState::Aside) {
                // Being set aside at this moment; that may still fail.
                continue;
            }
            self.tell_one_aside(&path, &file, &frame)?;
        }
        Ok(())
    }

    fn tell_one_aside(&self, path: &Path, file: &ShipmentFile, frame: &Frame) -> Result<(), Error> {
        let detail = file.reason.clone().unwrap_or_default();
        let row = GapRow {
            stream: frame.table,
            gap_lane: frame.lane,
            // Above every id a state file gives.
            gap_id: (1 << 63) | frame.first_seq,
            count: frame.count,
            bound: "exact",
            from_ts: frame.min_ts,
            to_ts: frame.max_ts,
            reason: "quarantine",
            detail: crate::record::capped(&detail, 1024),
        };
        let disk = &self.core.disk;
        let gaps = self.gaps()?;
        let prepared = gaps.prepare(&row)?;
        let named = path.with_file_name(format!(
            "{}.aside-{}-{}",
            file.token, prepared.id.lane, prepared.id.seq
        ));
        let dir = self.core.dir.join("quarantine");
        disk.rename(path, &named)
            .and_then(|()| disk.sync_dir(&dir))
            .map_err(|e| Error::io("rename", path, e))?;
        self.append_gap(prepared, row.from_ts)?;
        self.core.index().untold.remove(&(frame.lane, frame.first_seq));
        Ok(())
    }

    /// Whether the store may have the frame's rows although no shipment of it is under way: it was
    /// set aside and released, or the file that would say so is damaged. They are to be counted in
    /// the store before they are sent.
    pub fn attempted(&self, frame: &Frame) -> bool {
        self.core.index().attempted.contains(&(frame.lane, frame.first_seq))
    }

    /// Acknowledged frames that are still on disk: to be counted again after a reboot, which may
    /// have taken rows from a store that said it had them.
    pub fn in_grace(&self) -> Vec<Frame> {
        let index = self.core.index();
        let all = index.frames.values();
        all.filter(|(_, s)| matches!(s, FrameState::Acknowledged(_)))
            .map(|(f, _)| f.clone())
            .collect()
    }

    /// Acknowledged frames that the store turns out not to have are to be shipped again, in a new
    /// shipment under a new token.
    ///
    /// # Errors
    /// When a frame is not acknowledged, or the new shipment cannot be made durable.
    pub fn ship_again(&self, frames: Vec<Frame>) -> Result<Shipment, Error> {
        let states: Vec<FrameState> = {
            let index = self.core.index();
            let state = |f: &Frame| index.frames.get(&(f.lane, f.first_seq)).map(|(_, s)| *s);
            frames.iter().filter_map(state).collect()
        };
        if frames.is_empty()
            || states.len() != frames.len()
            || !states.iter().all(|s| matches!(s, FrameState::Acknowledged(_)))
        {
            return Err(Error::NotInState);
        }
        let shipment = Shipment { token: token(&frames, None)?, frames };
        // A pending shipment outweighs an acknowledged one.
        self.write_pending(&shipment, None)?;
        let gaps: Vec<_> = shipment.frames.iter().flat_map(|f| self.gaps_in(f)).collect();
        let mut index = self.core.index();
        for f in &shipment.frames {
            index.add(f.clone(), FrameState::Shipping);
        }
        index.gaps.extend(gaps);
        index.pending.insert(shipment.token.clone(), shipment.frames.clone());
        Ok(shipment)
    }

    /// Removes sealed segments all of whose frames were acknowledged before `before` (now less the
    /// grace), and the files of shipments that nothing on disk needs any more.
    ///
    /// # Errors
    /// When a file cannot be removed; the rest is tried again by the next call.
    pub fn purge(&self, before: Timestamp) -> Result<(), Error> {
        let core = &self.core;
        // A lane goes on until its state file is gone, which would be asked for the rest.
        let goes_on: BTreeSet<LaneId> = {
            let lanes = lock(&core.lanes);
            lanes.live.keys().chain(lanes.deferred.keys()).copied().collect()
        };
        let finished = core.index().finished(before, |lane| goes_on.contains(&lane));
        for ((lane, number), bytes) in finished {
            let path = segment::path(&core.dir, lane, number, segment::Stage::Sealed);
            core.disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            core.room.give_back(bytes);
            let mut index = core.index();
            index.segments.remove(&(lane, number));
            index.frames.retain(|_, (f, _)| f.lane != lane || f.segment != number);
        }
        core.forget_shipments()
    }
}

impl super::Core {
    /// Removes the files of released frames that are in the store.
    fn forget_tried(&self) {
        let dir = self.dir.join("shipments");
        for path in self.disk.list(&dir).unwrap_or_default() {
            if path.extension().is_none_or(|e| e != "tried") {
                continue;
            }
            let Some(file) = read_file(&path) else { continue };
            let index = self.index();
            let waits = |k: &FrameKey| index.attempted.contains(&(LaneId(k.lane), k.first_seq));
            if !file.frames.iter().any(waits)
                && let Err(e) = self.disk.remove(&path)
            {
                self.report(LaneId(0), "removal of a released frame's file", &e);
            }
        }
    }

    /// Removes the files of acknowledged shipments whose frames are all gone. The segments' end is
    /// made durable first: a shipment forgotten before its segment would ship it again.
    pub(super) fn forget_shipments(&self) -> Result<(), Error> {
        let gone: Vec<String> = {
            let index = self.index();
            let there = |f: &Frame| index.frames.contains_key(&(f.lane, f.first_seq));
            let all = index.acknowledged.iter();
            all.filter(|(_, frames)| !frames.iter().any(there)).map(|(t, _)| t.clone()).collect()
        };
        self.forget_tried();
        if gone.is_empty() {
            return Ok(());
        }
        self.disk.sync_dir(&self.dir).map_err(|e| Error::io("fsync", &self.dir, e))?;
        for token in gone {
            let path = self.dir.join("shipments").join(format!("{token}.acked"));
            self.disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            self.index().acknowledged.remove(&token);
        }
        Ok(())
    }

    /// Fsyncs a frame's segment unless the frame is known to be durable.
    fn make_durable(&self, frame: &Frame) -> Result<(), Error> {
        let key = (frame.lane, frame.segment);
        let file = self.index().segments.get(&key).and_then(|s| s.file.clone());
        let Some(file) = file else { return Ok(()) };
        let need = (frame.end + FOOTER as u64).min(file.written.load(Ordering::Acquire));
        if file.synced.load(Ordering::Acquire) >= need {
            return Ok(());
        }
        let lane = lock(&self.lanes).live.get(&frame.lane).cloned();
        if lane.as_ref().is_some_and(|l| l.is_dead()) {
            return Err(Error::Failed);
        }
        file.sync().map_err(|e| {
            if let Some(lane) = &lane {
                self.fail_lane(lane, &e);
            }
            Error::Failed
        })
    }

    /// Every file in quarantine, with the place of its gap row.
    pub(super) fn aside(&self) -> Result<BTreeMap<PathBuf, Option<(LaneId, u64)>>, Error> {
        let dir = self.dir.join("quarantine");
        let files = self.disk.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        Ok(files.into_iter().filter_map(|p| Some((p.clone(), parse_aside(&p)?.1))).collect())
    }
}

/// Reads a shipment's file; none when it is damaged or gone.
pub(super) fn read_file(path: &Path) -> Option<ShipmentFile> {
    ShipmentFile::decode(&std::fs::read(path).ok()?)
}

/// A token: a digest of the frames and of what makes this shipment another one than any before.
fn token(frames: &[Frame], parent: Option<&str>) -> Result<String, Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| Error::Failed)?;
    let mut hash = Sha256::new();
    hash.update(b"tracegate shipment 1");
    hash.update(salt);
    hash.update(parent.unwrap_or_default());
    for f in frames {
        for v in [f.lane.0, f.segment, f.first_seq, f.count, f.bytes, u64::from(f.crc)] {
            hash.update(v.to_le_bytes());
        }
    }
    let mut text = String::with_capacity(64);
    for b in hash.finalize() {
        write!(text, "{b:02x}").map_err(|_| Error::Failed)?;
    }
    Ok(text)
}
