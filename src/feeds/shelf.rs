//! The files of versions: bytes as received, and what was made of them.
//!
//! `versions/<feed>/<number>-<digest>/` holds `list`, `manifest` where there is one, and `index`.
//! Bytes are on disk before the database speaks of them; the digest in the name keeps two nodes that
//! receive different bytes under one number from overwriting each other, whoever is first in the
//! database. The index is derived: missing or damaged, it is made anew.
//!
//! Whoever is about to say that an earlier version is to be in force holds the feed's directory
//! shared (`flock`) until that is said; whoever removes versions holds it alone, from before it looks
//! which ones are needed. Nodes that share the directory so never remove what another one decides.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::{
    Error,
    source::{Brought, Incoming, Part, SourceError},
    store::NewVersion,
};
use crate::{clock::Timestamp, policy::Index};

/// What was being received for so long was left behind by a process that died.
const LEFT_BEHIND: Duration = Duration::from_secs(86_400);

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// The directory of feeds.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    versions: PathBuf,
    incoming: PathBuf,
}

/// A feed's versions, held until this is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    /// What is locked: closing it gives it free.
    _dir: File,
}

/// The files of one version.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    dir: PathBuf,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

fn make(dir: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))
}

fn sync(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error(dir))
}

/// SHA-256 of what was received: of the list, and of both where there is a manifest, too.
pub(super) fn digest(list: [u8; 32], manifest: Option<[u8; 32]>) -> [u8; 32] {
    match manifest {
        None => list,
        Some(manifest) => Sha256::new().chain_update(list).chain_update(manifest).finalize().into(),
    }
}

impl Brought {
    /// SHA-256 of everything in it.
    pub fn digest(&self) -> [u8; 32] {
        digest(self.list.digest(), self.manifest.as_ref().map(Part::digest))
    }
}

impl Shelf {
    /// Opens or makes the directory, and removes what dead processes left half received.
    pub(super) fn open(dir: &Path, now: Timestamp) -> Result<Self, Error> {
        let shelf = Self { versions: dir.join("versions"), incoming: dir.join("incoming") };
        make(&shelf.versions)?;
        make(&shelf.incoming)?;
        let entries = fs::read_dir(&shelf.incoming).map_err(io_error(&shelf.incoming))?;
        for path in entries.flatten().map(|e| e.path()) {
            // Another node may be receiving right now.
            if modified(&path).is_some_and(|at| now.since(at) > LEFT_BEHIND)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "cannot be removed");
            }
        }
        Ok(shelf)
    }

    /// Where lists are received.
    pub(super) fn incoming(&self) -> &Path {
        &self.incoming
    }

    /// The files of a version.
    pub(super) fn version(&self, feed: &str, number: u64, digest: [u8; 32]) -> Kept {
        let name = format!("{number}-{}", hex::encode(&digest[..8]));
        Kept { dir: self.versions.join(feed).join(name) }
    }

    /// Puts what was received on the shelf, durably.
    pub(super) fn keep(&self, feed: &str, number: u64, brought: Brought) -> Result<Kept, Error> {
        let kept = self.version(feed, number, brought.digest());
        let of_feed = self.versions.join(feed);
        make(&kept.dir)?;
        let put = |part: Part, path: PathBuf| part.keep(&path).map_err(io_error(&path));
        put(brought.list, kept.list())?;
        if let Some(manifest) = brought.manifest {
            put(manifest, kept.dir.join("manifest"))?;
        }
        sync(&kept.dir)?;
        sync(&of_feed)?;
        sync(&self.versions)?;
        Ok(kept)
    }

    /// Gives what was kept another number: somebody else was first.
    pub(super) fn renumber(
        &self,
        kept: Kept,
        feed: &str,
        number: u64,
        digest: [u8; 32],
    ) -> Result<Kept, Error> {
        let to = self.version(feed, number, digest);
        fs::rename(&kept.dir, &to.dir).map_err(io_error(&to.dir))?;
        sync(&self.versions.join(feed))?;
        Ok(to)
    }

    /// Keeps everybody who shares the directory from removing versions of `feed`. Waits while
    /// somebody does.
    pub(super) fn hold(&self, feed: &str) -> Result<Hold, Error> {
        let (path, dir) = self.of_feed(feed)?;
        loop {
            match flock(&dir, FlockOperation::LockShared) {
                Ok(()) => return Ok(Hold { _dir: dir }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(io_error(&path)(error.into())),
            }
        }
    }

    /// Lets nobody else hold the versions of `feed`; none while somebody does: what can be removed
    /// can be removed later.
    pub(super) fn hold_alone(&self, feed: &str) -> Result<Option<Hold>, Error> {
        let (path, dir) = self.of_feed(feed)?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Hold { _dir: dir })),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(error) => Err(io_error(&path)(error.into())),
        }
    }

    fn of_feed(&self, feed: &str) -> Result<(PathBuf, File), Error> {
        let path = self.versions.join(feed);
        make(&path)?;
        let dir = File::open(&path).map_err(io_error(&path))?;
        Ok((path, dir))
    }

    /// Removes versions of `feed` below number `below` but those in `keep`.
    pub(super) fn prune(&self, _alone: &Hold, feed: &str, below: u64, keep: &[u64]) {
        let dir = self.versions.join(feed);
        let Ok(entries) = fs::read_dir(&dir) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let number = name.split('-').next().and_then(|n| n.parse::<u64>().ok());
            let old = number.is_some_and(|n| n < below && !keep.contains(&n));
            if old && let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "an old version stays on disk");
            }
        }
    }
}

impl Kept {
    /// The list as received.
    pub(super) fn list(&self) -> PathBuf {
        self.dir.join("list")
    }

    /// What the law wants known of its rules; none where there is no such file.
    pub(super) fn manifest(&self) -> Option<PathBuf> {
        Some(self.dir.join("manifest")).filter(|p| p.exists())
    }

    /// The compiled rules; none where they are missing or damaged. What was protected when they
    /// were compiled is part of their name: with other protection other rules are left.
    pub(super) fn index(&self, protected: u64) -> Option<Index> {
        let path = self.dir.join(index_name(protected));
        let file = File::open(&path).ok()?;
        let read = Index::read(&mut BufReader::with_capacity(PIECE_BYTES, file));
        read.inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "rules are compiled anew");
        })
        .ok()
    }

    /// Keeps the compiled rules. They can be made again: whether that works is nobody's trouble.
    pub(super) fn keep_index(&self, index: &Index, protected: u64) {
        // Another node may be at it, too.
        let part = self.dir.join(format!("index.{}.part", std::process::id()));
        let path = self.dir.join(index_name(protected));
        let write = || {
            let mut file = BufWriter::with_capacity(PIECE_BYTES, File::create(&part)?);
            index.write(&mut file)?;
            file.flush()?;
            fs::rename(&part, &path)
        };
        if let Err(error) = write() {
            tracing::warn!(path = %path.display(), %error, "compiled rules are not kept");
        }
    }

    /// The same bytes, as if their source had brought them again.
    pub(super) fn again(
        &self,
        incoming: &Path,
        arrived: &NewVersion,
        bytes_max: u64,
    ) -> Result<Brought, Error> {
        let copy = |path: &Path| -> Result<Part, Error> {
            let wrong = |e: SourceError| io_error(path)(io::Error::other(e));
            let mut file = File::open(path).map_err(io_error(path))?;
            let mut copy = Incoming::create(incoming, bytes_max).map_err(wrong)?;
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                match file.read(&mut piece).map_err(io_error(path))? {
                    0 => return copy.finish().map_err(wrong),
                    read => copy.push(&piece[..read]).map_err(wrong)?,
                }
            }
        };
        Ok(Brought {
            list: copy(&self.list())?,
            manifest: self.manifest().map(|path| copy(&path)).transpose()?,
            from: arrived.source.clone(),
            signer: arrived.signer.clone(),
            validator: String::new(),
        })
    }

    /// Whether the bytes are there.
    pub(super) fn is_there(&self) -> bool {
        self.list().exists()
    }

    /// Whether the bytes are those of `expected`.
    pub(super) fn is_whole(&self, expected: [u8; 32]) -> Result<bool, Error> {
        let list = digest_of(&self.list())?;
        let manifest = self.manifest().map(|p| digest_of(&p)).transpose()?;
        Ok(digest(list, manifest) == expected)
    }
}

fn index_name(protected: u64) -> String {
    format!("index-{protected:016x}")
}

fn digest_of(path: &Path) -> Result<[u8; 32], Error> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(io_error(path))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(io_error(path))? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&piece[..read]),
        }
    }
}

fn modified(path: &Path) -> Option<Timestamp> {
    use std::os::unix::fs::MetadataExt;
    Some(Timestamp::from_secs(fs::metadata(path).ok()?.mtime()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::source::Incoming;

    fn brought(shelf: &Shelf, list: &[u8], manifest: Option<&[u8]>) -> Brought {
        let part = |bytes: &[u8]| {
            let mut incoming = Incoming::create(shelf.incoming(), 1 << 20).unwrap();
            incoming.push(bytes).unwrap();
            incoming.finish().unwrap()
        };
        Brought {
            list: part(list),
            manifest: manifest.map(part),
            from: String::new(),
            signer: String::new(),
            validator: String::new(),
        }
    }

    #[test]
    fn versions_are_kept_told_apart_and_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path(), Timestamp::ZERO).unwrap();
        let one = brought(&shelf, b"bad.example\n", None);
        let digest = one.digest();
        let kept = shelf.keep("a", 1, one).unwrap();
        assert_eq!(fs::read(kept.list()).unwrap(), b"bad.example\n");
        assert!(kept.is_whole(digest).unwrap() && kept.manifest().is_none());
        let with = brought(&shelf, b"bad.example\n", Some(b"{}"));
        assert_ne!(with.digest(), digest);
        let other = shelf.keep("a", 1, with).unwrap();
        assert!(kept.is_there() && other.manifest().is_some(), "one number, two lists");
        fs::write(kept.list(), b"good.example\n").unwrap();
        assert!(!kept.is_whole(digest).unwrap());
        let third = shelf.keep("a", 3, brought(&shelf, b"x", None)).unwrap();
        let held = shelf.hold("a").unwrap();
        assert!(shelf.hold_alone("a").unwrap().is_none(), "somebody decides");
        drop((held, shelf.hold("a").unwrap()));
        let alone = shelf.hold_alone("a").unwrap().unwrap();
        shelf.prune(&alone, "a", 3, &[]);
        assert!(!kept.is_there() && !other.is_there() && third.is_there());
        assert_eq!(fs::read_dir(shelf.incoming()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_dropped_or_too_long_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path(), Timestamp::ZERO).unwrap();
        drop(brought(&shelf, b"x", None));
        let mut incoming = Incoming::create(shelf.incoming(), 3).unwrap();
        incoming.push(b"abc").unwrap();
        assert!(incoming.push(b"d").is_err());
        drop(incoming);
        assert_eq!(fs::read_dir(shelf.incoming()).unwrap().count(), 0);
    }
}
