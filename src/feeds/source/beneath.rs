//! Files below configured roots, and nowhere else.
//!
//! The kernel resolves the path (`openat2`, `RESOLVE_BENEATH`): links are followed as long as they
//! stay below the root, and nothing can be put in the way between a look and the opening.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

use super::SourceError;
use crate::clock::Timestamp;

/// A file's identity and state: another one, or another state, is another list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change of its bytes.
    modified: (i64, i64),
}

impl Stamp {
    pub(super) fn of(file: &File) -> std::io::Result<Self> {
        let stat = file.metadata()?;
        let modified = (stat.mtime(), stat.mtime_nsec());
        Ok(Self { inode: stat.ino(), size: stat.len(), modified })
    }

    /// When it was written last.
    pub(super) fn modified(&self) -> Timestamp {
        let (seconds, nanoseconds) = self.modified;
        Timestamp(seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000))
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { inode, size, modified: (seconds, nanoseconds) } = self;
        write!(f, "{inode} {size} {seconds}.{nanoseconds:09}")
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Opened {
    /// A file.
    File(File),
    /// A directory, and the files in it: names without those that are hidden, or being written.
    Directory(OwnedFd, Vec<String>),
}

/// Opens what lies at `path`, which must be below one of `roots`.
pub(super) fn open(
    roots: &[PathBuf],
    path: &Path,
    files_max: usize,
) -> Result<Opened, SourceError> {
    let refused = |why: &str| SourceError::Refused(format!("{}: {why}", path.display()));
    let mut below = roots.iter().filter_map(|root| {
        let real = root.canonicalize().ok()?;
        let inside = path.strip_prefix(root).or_else(|_| path.strip_prefix(&real)).ok()?;
        Some((real, inside.to_owned()))
    });
    let (root, inside) = below.next().ok_or_else(|| refused("not below feeds.roots"))?;
    // The root itself is a directory of lists, too.
    let inside = if inside.as_os_str().is_empty() { PathBuf::from(".") } else { inside };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let root = openat(CWD, root, flags | OFlags::DIRECTORY, Mode::empty());
    let root = root.map_err(|e| away(path, e))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(root, inside, flags, Mode::empty(), resolve).map_err(|e| away(path, e))?;
    let file = File::from(found);
    let kind = file.metadata().map_err(|e| io(path, &e))?.file_type();
    if kind.is_file() {
        return Ok(Opened::File(file));
    }
    if !kind.is_dir() {
        return Err(refused("neither a file nor a directory"));
    }
    let names = names(&file, path, files_max)?;
    Ok(Opened::Directory(file.into(), names))
}

/// Opens a file of a directory. A link there is not followed.
pub(super) fn open_in(directory: &OwnedFd, name: &str, path: &Path) -> Result<File, SourceError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let path = path.join(name);
    let file = openat2(directory, name, flags, Mode::empty(), resolve);
    let file = File::from(file.map_err(|e| away(&path, e))?);
    match file.metadata() {
        Ok(stat) if stat.is_file() => Ok(file),
        Ok(_) => Err(SourceError::Refused(format!("{}: not a file", path.display()))),
        Err(e) => Err(io(&path, &e)),
    }
}

/// The files of a directory, in the order of their names.
fn names(directory: &File, path: &Path, files_max: usize) -> Result<Vec<String>, SourceError> {
    let refused = |why: String| SourceError::Refused(format!("{}: {why}", path.display()));
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(|e| away(path, e))? {
        let entry = entry.map_err(|e| away(path, e))?;
        let Ok(name) = entry.file_name().to_str() else {
            return Err(refused("a file's name is not UTF-8".into()));
        };
        let hidden = name.starts_with('.');
        let unfinished = name.ends_with('~') || name.ends_with(".part") || name.ends_with(".tmp");
        if hidden || unfinished || entry.file_type() == FileType::Directory {
            continue;
        }
        if names.len() == files_max {
            return Err(refused(format!("more than {files_max} files")));
        }
        names.push(name.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn away(path: &Path, e: Errno) -> SourceError {
    match e {
        Errno::XDEV | Errno::LOOP => {
            let why = "a link leads out of feeds.roots";
            SourceError::Refused(format!("{}: {why}", path.display()))
        }
        e => SourceError::Away(format!("{}: {e}", path.display())),
    }
}

pub(super) fn io(path: &Path, e: &std::io::Error) -> SourceError {
    SourceError::Away(format!("{}: {e}", path.display()))
}
