//! Lists in files of this machine, below configured roots.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use futures_util::future::BoxFuture;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::{Ask, Brought, Incoming, Looked, Source, SourceError};
use crate::feeds::Location;

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a thread that may block takes along.
#[derive(Debug)]
struct Asked {
    validator: String,
    incoming: PathBuf,
    bytes_max: u64,
}

/// Files below the configured roots.
#[derive(Clone, Debug)]
pub struct FileSource {
    roots: Vec<PathBuf>,
}

impl FileSource {
    /// Files below `roots`.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots }
    }

    /// Opens a file below a root. Links are followed as long as they stay below it: nothing can be
    /// put in the way between a look and the opening.
    fn open(&self, path: &Path) -> Result<File, SourceError> {
        let refused = |why: &str| SourceError::Refused(format!("{}: {why}", path.display()));
        let mut below = self.roots.iter().filter_map(|root| {
            let real = root.canonicalize().ok()?;
            let inside = path.strip_prefix(root).or_else(|_| path.strip_prefix(&real)).ok()?;
            Some((real, inside.to_owned()))
        });
        let (root, inside) = below.next().ok_or_else(|| refused("not below feeds.roots"))?;
        let away = |e: rustix::io::Errno| match e {
            rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => {
                refused("a link leads out of feeds.roots")
            }
            e => SourceError::Away(format!("{}: {e}", path.display())),
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let root = openat(CWD, root, flags | OFlags::DIRECTORY, Mode::empty()).map_err(away)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file = openat2(root, inside, flags, Mode::empty(), resolve).map_err(away)?;
        Ok(File::from(file))
    }

    fn read(&self, ask: &Asked, path: &Path) -> Result<Looked, SourceError> {
        let away = |e: std::io::Error| SourceError::Away(format!("{}: {e}", path.display()));
        let mut file = self.open(path)?;
        let stat = file.metadata().map_err(away)?;
        if !stat.is_file() {
            return Err(SourceError::Refused(format!("{}: not a file", path.display())));
        }
        let (inode, size) = (stat.ino(), stat.len());
        let validator = format!("{inode} {size} {}.{:09}", stat.mtime(), stat.mtime_nsec());
        if validator == ask.validator {
            return Ok(Looked::SAME);
        }
        let mut incoming = Incoming::create(&ask.incoming, ask.bytes_max)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece).map_err(away)? {
                0 => break,
                read => incoming.push(&piece[..read])?,
            }
        }
        let after = file.metadata().map_err(away)?;
        if (after.len(), after.mtime(), after.mtime_nsec())
            != (size, stat.mtime(), stat.mtime_nsec())
        {
            return Err(SourceError::Away(format!(
                "{}: it is being written; write another file and rename it",
                path.display()
            )));
        }
        Ok(Looked {
            brought: Some(Brought {
                list: incoming.finish()?,
                manifest: None,
                from: path.display().to_string(),
                signer: String::new(),
                validator,
            }),
            again_after: None,
        })
    }
}

impl Source for FileSource {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        Box::pin(async move {
            let Location::Path(path) = &ask.spec.source else {
                let why = format!("{}: not a file", ask.spec.source);
                return Err(SourceError::Refused(why));
            };
            let (own, path) = (self.clone(), path.clone());
            let asked = Asked {
                validator: ask.validator.to_owned(),
                incoming: ask.incoming.to_owned(),
                bytes_max: ask.bytes_max,
            };
            let read = tokio::task::spawn_blocking(move || own.read(&asked, &path));
            read.await.unwrap_or_else(|e| Err(SourceError::Away(e.to_string())))
        })
    }
}
