//! Shipments: which frames go to the store together, under which token, and what became of them.
//!
//! A shipment is a small file. Its name says where it stands: `shipments/TOKEN.pending` before its
//! first attempt, `shipments/TOKEN.acked` from its acknowledgement until the segments of its
//! frames are gone, `quarantine/TOKEN.aside…` when it was set aside. A frame stands where its
//! shipment does; without one it is to be shipped.

use std::{fmt::Write as _, path::PathBuf};

use sha2::{Digest, Sha256};

use super::{
    Error, Frame, Spool,
    index::FrameState,
    lock,
    shipment_file::{FrameKey, ShipmentFile},
};
use crate::record::{LaneId, Table};

/// Whole frames of one table: one INSERT, one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The INSERT's deduplication token: a digest of the frames, new for every shipment made.
    pub token: String,
    /// The frames, in the order in which their rows are sent.
    pub frames: Vec<Frame>,
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

    pub(super) fn write_pending(
        &self,
        shipment: &Shipment,
        parent: Option<&str>,
    ) -> Result<(), Error> {
        let path = self.pending_path(&shipment.token);
        let file = ShipmentFile {
            token: shipment.token.clone(),
            parent: parent.map(str::to_owned),
            reason: None,
            kept: 0,
            frames: shipment.frames.iter().map(FrameKey::from).collect(),
        };
        let bytes = file.encode()?;
        let written = self.core.with_room(|| self.core.disk.publish(&path, &bytes));
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
    pub(super) fn sync_shipments(&self) {
        if let Err(e) = self.core.disk.sync_dir(&self.core.dir.join("shipments")) {
            self.core.report(LaneId(0), "fsync of the shipments", &e);
        }
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

    /// Every closed frame of a table that is on disk, oldest first per lane, whatever became of it:
    /// to be shipped, in a shipment, acknowledged, set aside. Beside them, how many segments of the
    /// table are damaged: what those held beyond these frames cannot be read.
    pub fn holdings(&self, table: Table) -> (Vec<Frame>, usize) {
        let core = &self.core;
        core.collect();
        let index = core.index();
        let frames = index.frames.values().map(|(f, _)| f).filter(|f| f.table == table);
        let of_table = index.segments.iter().filter(|((lane, _), _)| lane.table() == Some(table));
        let damaged = of_table.filter(|(_, s)| s.damaged).count();
        (frames.cloned().collect(), damaged)
    }
}

/// A token: a digest of the frames and of what makes this shipment another one than any before.
pub(super) fn token(frames: &[Frame], parent: Option<&str>) -> Result<String, Error> {
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
