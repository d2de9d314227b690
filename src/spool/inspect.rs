//! Looking at a spool from outside: no lock is taken, nothing is changed, and a server may run
//! beside. What it is writing at the moment is looked at again before it is called damaged.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Bad, Error, Frame, copy,
    inspect_copies::{self, Copied},
    quarantine::parse_aside,
    scan::{self, Scan, Tail},
    segment::{Stage, parse_path},
    shipment_file::read_file,
};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId},
};

pub use super::inspect_copies::CopyReport;

/// Looks at a segment that is being written before it is called damaged.
const LOOKS: usize = 3;

/// Where a segment stops making sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The offset of the first bad batch in the file.
    pub offset: u64,
    /// What is wrong with it.
    pub bad: Bad,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Its file.
    pub path: PathBuf,
    /// Its lane.
    pub lane: LaneId,
    /// Its number in the lane.
    pub number: u64,
    /// `open`, `sealed`, or told in a gap row already: `damaged`, then `remains`.
    pub stage: &'static str,
    /// Bytes of the file.
    pub size: u64,
    /// Its good frames, one without a footer included.
    pub frames: usize,
    /// Their rows.
    pub rows: u64,
    /// The seq of the first row, and the one after the last.
    pub seqs: Option<(u64, u64)>,
    /// The smallest and the largest ts.
    pub span: Option<(Timestamp, Timestamp)>,
    /// It has its lane's end mark.
    pub ended: bool,
    /// Bytes follow whose write was cut short; nobody was answered for them.
    pub unfinished: bool,
    /// The first bad batch.
    pub damage: Option<Damage>,
}

/// A frame that was set aside.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Aside {
    /// What `release` takes.
    pub token: String,
    /// Why.
    pub reason: String,
    /// The lane of its rows.
    #[serde(serialize_with = "as_text")]
    pub lane: u64,
    /// The seq of the first.
    pub first_seq: u64,
    /// How many.
    pub rows: u64,
    /// It has a file of its own: its segment is not kept for it.
    pub copied: bool,
}

/// Larger than readers of JSON count exactly.
fn as_text<S: serde::Serializer>(lane: &u64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(lane)
}

/// A whole spool.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Every segment, by lane and number.
    pub segments: Vec<SegmentReport>,
    /// Shipments under way.
    pub pending: usize,
    /// Acknowledged shipments whose segments are still here.
    pub acknowledged: usize,
    /// Rows in frames that no acknowledged shipment names and that are not set aside.
    pub unshipped_rows: u64,
    /// Frames that were set aside.
    pub aside: Vec<Aside>,
    /// Frames in files of their own.
    pub copies: Vec<CopyReport>,
    /// Files of shipments and set-aside frames that cannot be read.
    pub unreadable: Vec<PathBuf>,
}

impl Inspection {
    /// Whether something is not as it was written.
    pub fn is_damaged(&self) -> bool {
        !self.unreadable.is_empty()
            || self.segments.iter().any(|s| s.damage.is_some())
            || self.copies.iter().any(|c| c.damage.is_some())
    }

    /// Rows on disk, each counted once.
    pub fn rows(&self) -> u64 {
        let alone = self.copies.iter().filter(|c| c.alone && c.damage.is_none());
        self.segments.iter().map(|s| s.rows).chain(alone.map(|c| c.rows)).sum()
    }

    /// Bytes of all segments and copies.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.size).chain(self.copies.iter().map(|c| c.size)).sum()
    }
}

/// Looks at everything. `step` hears how many of how many segments are done.
///
/// # Errors
/// When the directory or a file in it cannot be read.
pub fn inspect(dir: &Path, mut step: impl FnMut(usize, usize)) -> Result<Inspection, Error> {
    let files = segments(dir)?;
    let mut found = Inspection::default();
    let away = shipments(dir, &mut found)?;
    let mut seen = BTreeSet::new();
    for (n, file) in files.iter().enumerate() {
        if let Some(look) = look(file)? {
            found.segments.push(look.report);
            // What remains of a damaged segment was shipped before it got that name.
            let waits = |f: &&Frame| {
                file.stage != Stage::Remains && !away.contains(&(f.lane.0, f.first_seq))
            };
            let here = look.frames.iter().filter(waits);
            found.unshipped_rows += here.map(|f| f.count).sum::<u64>();
            seen.extend(look.frames.iter().map(|f| (f.lane, f.first_seq)));
        }
        step(n + 1, files.len());
    }
    for path in inspect_copies::paths(dir)? {
        match inspect_copies::read(&path)? {
            None => {}
            Some(Err(path)) => found.unreadable.push(path),
            Some(Ok(Copied { mut report, .. })) => {
                report.alone = !seen.contains(&(report.lane, report.first_seq));
                if report.alone && !away.contains(&(report.lane.0, report.first_seq)) {
                    found.unshipped_rows += report.rows;
                }
                found.copies.push(report);
            }
        }
    }
    Ok(found)
}

/// Hands every good row to `each`, with its columns, in the order of lanes and seq as written;
/// those of frames that only have a file of their own come last.
///
/// # Errors
/// When a file cannot be read, or `each` says so.
pub fn dump<E: From<Error>>(
    dir: &Path,
    wanted: impl Fn(LaneId) -> bool,
    mut each: impl FnMut(SchemaId, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut seen = BTreeSet::new();
    for file in segments(dir)?.iter().filter(|f| wanted(f.lane)) {
        let Some(Look { frames, bytes, .. }) = look(file)? else { continue };
        for f in &frames {
            seen.insert((f.lane, f.first_seq));
            let range = usize::try_from(f.offset).ok().zip(usize::try_from(f.end).ok());
            let bytes = range.and_then(|(a, b)| bytes.get(a..b)).unwrap_or_default();
            let rows = scan::rows(bytes, f).map_err(|(offset, bad)| Error::Corrupt {
                lane: f.lane,
                segment: f.segment,
                offset,
                bad,
            })?;
            each(f.schema, &rows)?;
        }
    }
    for path in inspect_copies::paths(dir)? {
        let Some(Ok(Copied { frame, rows, .. })) = inspect_copies::read(&path)? else { continue };
        if wanted(frame.lane) && !seen.contains(&(frame.lane, frame.first_seq)) {
            each(frame.schema, &rows)?;
        }
    }
    Ok(())
}

/// Asks for a set-aside frame: the running server brings it back at once, the next start else.
/// Returns whether there is one of this token.
///
/// # Errors
/// When the directory cannot be read or changed.
pub fn release(dir: &Path, token: &str) -> Result<bool, Error> {
    let dir = dir.join("quarantine");
    for path in list(&dir)? {
        if parse_aside(&path).is_some_and(|(t, _)| t == token) {
            let to = dir.join(format!("{token}.release"));
            fs::rename(&path, &to)
                .and_then(|()| fs::File::open(&dir)?.sync_all())
                .map_err(|e| Error::io("rename", &path, e))?;
            return Ok(true);
        }
    }
    Ok(false)
}

struct File {
    path: PathBuf,
    lane: LaneId,
    number: u64,
    stage: Stage,
}

struct Look {
    report: SegmentReport,
    frames: Vec<Frame>,
    bytes: Vec<u8>,
}

fn segments(dir: &Path) -> Result<Vec<File>, Error> {
    let mut files: Vec<File> = list(dir)?
        .into_iter()
        .filter_map(|path| {
            let (lane, number, stage) = parse_path(&path)?;
            Some(File { path, lane, number, stage })
        })
        .collect();
    files.sort_by_key(|f| (f.lane, f.number));
    Ok(files)
}

pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |e| Error::io("list", dir, e);
    let entries = fs::read_dir(dir).map_err(fail)?;
    entries.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>().map_err(fail)
}

/// Reads a segment; none when it is gone, or not used yet.
fn look(file: &File) -> Result<Option<Look>, Error> {
    let mut last = None;
    for _ in 0..LOOKS {
        let Some(bytes) = read(file)? else { return Ok(None) };
        if file.stage == Stage::Open && bytes.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let (report, frames) = judge(file, &bytes);
        // A server may have been writing under our eyes.
        let again = file.stage == Stage::Open && report.damage.is_some();
        last = Some(Look { report, frames, bytes });
        if !again {
            break;
        }
    }
    Ok(last)
}

/// A file's bytes, under whatever name it has by now.
fn read(file: &File) -> Result<Option<Vec<u8>>, Error> {
    for path in [&file.path, &file.path.with_extension("sealed")] {
        match fs::read(path) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", path, e)),
        }
    }
    Ok(None)
}

fn judge(file: &File, bytes: &[u8]) -> (SegmentReport, Vec<Frame>) {
    let mut report = SegmentReport {
        path: file.path.clone(),
        lane: file.lane,
        number: file.number,
        stage: file.stage.extension(),
        size: bytes.len() as u64,
        frames: 0,
        rows: 0,
        seqs: None,
        span: None,
        ended: false,
        unfinished: false,
        damage: None,
    };
    match scan::scan(bytes, file.lane, file.number) {
        Err(bad) => {
            report.damage = Some(Damage { offset: 0, bad });
            (report, Vec::new())
        }
        Ok(Scan { frames, seqs, ended, end, tail, .. }) => {
            let min = frames.iter().map(|f| f.min_ts).min();
            report.span = min.zip(frames.iter().map(|f| f.max_ts).max());
            report.frames = frames.len();
            report.rows = frames.iter().map(|f| f.count).sum();
            (report.seqs, report.ended) = (seqs, ended.is_some());
            match tail {
                Tail::Clean => {}
                Tail::Unfinished if file.stage == Stage::Open => report.unfinished = true,
                Tail::Unfinished => {
                    report.damage = Some(Damage { offset: end, bad: Bad::Short });
                }
                Tail::Damaged { bad, .. } => report.damage = Some(Damage { offset: end, bad }),
            }
            (report, frames)
        }
    }
}

/// Reads shipments; returns the frames that are in the store or set aside.
fn shipments(dir: &Path, found: &mut Inspection) -> Result<BTreeSet<(u64, u64)>, Error> {
    let mut away = BTreeSet::new();
    let mut open = BTreeSet::new();
    for path in list(&dir.join("shipments"))? {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let frames = match (extension, read_file(&path)) {
            ("pending" | "acked", Some(file)) => file.frames,
            // Renamed or removed since it was listed.
            ("pending" | "acked", None) if !path.exists() => continue,
            ("pending" | "acked", None) => {
                found.unreadable.push(path);
                continue;
            }
            _ => continue,
        };
        let keys = frames.iter().map(|f| (f.lane, f.first_seq));
        if extension == "acked" {
            found.acknowledged += 1;
            away.extend(keys);
        } else {
            found.pending += 1;
            open.extend(keys);
        }
    }
    away.retain(|f| !open.contains(f));
    for path in list(&dir.join("quarantine"))? {
        let Some((token, _)) = parse_aside(&path) else { continue };
        let Some(file) = read_file(&path) else {
            found.unreadable.push(path);
            continue;
        };
        for f in file.frames {
            away.insert((f.lane, f.first_seq));
            found.aside.push(Aside {
                token: token.clone(),
                reason: file.reason.clone().unwrap_or_default(),
                lane: f.lane,
                first_seq: f.first_seq,
                rows: f.count,
                copied: copy::path(dir, LaneId(f.lane), f.first_seq).exists(),
            });
        }
    }
    Ok(away)
}
