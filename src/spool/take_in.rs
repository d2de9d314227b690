//! The shipments of the time before, and what was set aside.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    Core, Error, Frame, Report,
    index::FrameState,
    old::Runs,
    quarantine::parse_aside,
    shipment_file::{ShipmentFile, read_file},
};
use crate::record::LaneId;

impl Core {
    pub(super) fn take_in_shipments(&self, report: &mut Report) -> Result<(), Error> {
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
            let key = (f.lane, f.first_seq);
            index.untold.insert(key);
            if !index.copies.contains_key(&key) {
                index.uncopied.insert(key);
            }
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
                Some("tried" | "damaged") => read_file(path),
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
            } else if let Some((token, _)) = parse_aside(&path) {
                let Some(file) = self.shipment(&path, report) else { continue };
                aside.push((token, self.known(&file)));
            }
        }
        self.disk.sync_dir(&dir).map_err(fail)?;
        Ok(aside)
    }

    fn shipment(&self, path: &Path, report: &mut Report) -> Option<ShipmentFile> {
        let file = read_file(path);
        if file.is_none() {
            report.shipments_damaged += 1;
            tracing::error!(file = %path.display(), "a shipment's file is damaged");
        }
        file
    }

    /// As `OldLane::reopen_gaps`, for the gap rows of frames set aside.
    pub(super) fn unplace_aside(&self, lanes: &BTreeMap<LaneId, Runs>) -> Result<(), Error> {
        let dir = self.dir.join("quarantine");
        let fail = |e| Error::io("recover", &dir, e);
        for path in self.disk.list(&dir).map_err(fail)? {
            if let Some((token, Some((lane, seq)))) = parse_aside(&path)
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
