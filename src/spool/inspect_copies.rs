//! Frames in files of their own, seen from outside.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Error, Frame, copy,
    inspect::{Damage, list},
    scan,
};
use crate::record::LaneId;

/// A frame in a file of its own: it was set aside, and may have been released since.
#[derive(Clone, Debug)]
pub struct CopyReport {
    /// Its file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub size: u64,
    /// Its lane.
    pub lane: LaneId,
    /// The seq of its first row.
    pub first_seq: u64,
    /// Its rows.
    pub rows: u64,
    /// No segment has it any more.
    pub alone: bool,
    /// The first bad batch, by its offset in the segment it came from.
    pub damage: Option<Damage>,
}

/// A copy that was read.
pub(super) struct Copied {
    pub(super) report: CopyReport,
    pub(super) frame: Frame,
    /// Its rows, unless it is damaged.
    pub(super) rows: Vec<u8>,
}

/// The paths of all copies below `dir`.
pub(super) fn paths(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut all = list(&dir.join("quarantine"))?;
    all.retain(|p| copy::parse_path(p).is_some());
    all.sort_by_key(|p| copy::parse_path(p));
    Ok(all)
}

/// Reads a copy; none when it is gone, an error in its place when its header is damaged.
pub(super) fn read(path: &Path) -> Result<Option<Result<Copied, PathBuf>>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let Ok((frame, body, _)) = copy::parse(&bytes) else { return Ok(Some(Err(path.to_owned()))) };
    let rows = scan::rows(body, &frame);
    let damage = rows.as_ref().err().map(|&(offset, bad)| Damage { offset, bad });
    let report = CopyReport {
        path: path.to_owned(),
        size: bytes.len() as u64,
        lane: frame.lane,
        first_seq: frame.first_seq,
        rows: frame.count,
        alone: true,
        damage,
    };
    Ok(Some(Ok(Copied { report, frame, rows: rows.unwrap_or_default() })))
}
