//! Lists in files and directories of this machine.
//!
//! A file is taken when it stands still: its identity, size and time are the same before and after
//! a short wait, and after it was read. Whoever writes another file and renames it is never waited
//! for. The files of a directory are one list, one behind the other in the order of their names.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use super::{
    Ask, Brought, Incoming, Looked, Part, Source, SourceError,
    beneath::{Opened, Stamp, io, open, open_in},
    signature::{self, SIGNATURE_BYTES_MAX, SUFFIX},
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    feeds::{FeedSpec, Location, Meter},
};

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Formats whose files may follow one another as one list.
const JOINABLE: [&str; 6] = ["domains", "hosts", "csv", "jsonl", "adblock", "dnsmasq"];

/// Files below the configured roots.
#[derive(Clone, Debug)]
pub struct Files {
    roots: Vec<PathBuf>,
    settle: Duration,
    files_max: usize,
    companion_bytes_max: u64,
    clock: Clock,
}

/// What a thread that may block takes along.
struct Asked {
    spec: FeedSpec,
    validator: String,
    incoming: PathBuf,
    bytes_max: u64,
    meter: Meter,
}

/// The list as it stands.
enum Found {
    /// A file.
    One(File),
    /// The files of a directory.
    Many(Vec<(String, File)>),
}

impl Files {
    /// Files below the roots that the configuration names.
    pub fn new(config: &config::Feeds, clock: Clock) -> Self {
        Self {
            roots: config.roots.clone(),
            settle: Duration::from_millis(config.file_settle_ms),
            files_max: config.directory_files_max,
            companion_bytes_max: config.companion_bytes_max,
            clock,
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A small file below the roots: a certificate, a manifest.
    ///
    /// # Errors
    /// When it is not there, or not a file below a root, or too large.
    pub(super) fn small(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
        match open(&self.roots, path, 0)? {
            Opened::File(file) => bytes(&file, path, bytes_max),
            Opened::Directory(..) => {
                Err(SourceError::Refused(format!("{}: a directory", path.display())))
            }
        }
    }

    /// The list, its state, and when the newest of its files was written.
    fn find(&self, asked: &Asked, path: &Path) -> Result<(Found, String, Timestamp), SourceError> {
        let mut newest = Timestamp::ZERO;
        let mut stamp = |file: &File| {
            let stamp = Stamp::of(file).map_err(|e| io(path, &e))?;
            newest = newest.max(stamp.modified());
            Ok::<_, SourceError>(stamp)
        };
        let manifest = self.manifest_path(asked, path);
        let beside = match &manifest {
            Some(path) => match open(&self.roots, path, 0)? {
                Opened::File(file) => format!(" + {}", stamp(&file)?),
                Opened::Directory(..) => String::new(),
            },
            None => String::new(),
        };
        let (found, state) = match open(&self.roots, path, self.files_max)? {
            Opened::File(file) => {
                let state = stamp(&file)?.to_string();
                (Found::One(file), state)
            }
            Opened::Directory(directory, names) => {
                if !JOINABLE.contains(&asked.spec.format.as_str()) {
                    let why =
                        format!("a directory cannot be a list of format {}", asked.spec.format);
                    return Err(SourceError::Refused(format!("{}: {why}", path.display())));
                }
                let mut state = Sha256::new();
                let mut files = Vec::new();
                for name in names.into_iter().filter(|n| is_list(n, manifest.as_deref())) {
                    let file = open_in(&directory, &name, path)?;
                    state.update(format!("{name}\n{}\n", stamp(&file)?));
                    files.push((name, file));
                }
                (Found::Many(files), hex::encode(state.finalize()))
            }
        };
        Ok((found, format!("{state}{beside}"), newest))
    }

    /// A manifest stands beside a list's file, or in its directory.
    fn manifest_path(&self, asked: &Asked, path: &Path) -> Option<PathBuf> {
        let name = &asked.spec.options.manifest;
        let directory = || path.metadata().is_ok_and(|m| m.is_dir());
        (!name.is_empty()).then(|| match path.parent() {
            Some(parent) if !directory() => parent.join(name),
            _ => path.join(name),
        })
    }

    /// The list's state if it is new, and how long to wait until it may be taken: whoever writes in
    /// place may be in the midst of it.
    fn state(&self, asked: &Asked, path: &Path) -> Result<Option<(String, Duration)>, SourceError> {
        let (_, validator, newest) = self.find(asked, path)?;
        let age = self.clock.now().since(newest);
        let wait = self.settle.saturating_sub(age);
        Ok((validator != asked.validator).then_some((validator, wait)))
    }

    /// The list, if it still stands as it did when it was `seen`, and none if it is being written.
    fn bring(
        &self,
        asked: &Asked,
        path: &Path,
        seen: &str,
    ) -> Result<Option<Brought>, SourceError> {
        let (found, validator, _) = self.find(asked, path)?;
        if validator != seen {
            return Ok(None);
        }
        let mut signed =
            Signed { files: self, key: &asked.spec.minisign_key, signer: String::new() };
        let list = match &found {
            Found::One(file) => {
                let part = copy(&[file], path, asked)?;
                signed.check(&part, path)?;
                part
            }
            Found::Many(files) if signed.key.is_empty() => {
                copy(&files.iter().map(|(_, file)| file).collect::<Vec<_>>(), path, asked)?
            }
            Found::Many(files) => {
                // The copies that were checked become the list, not the files once more.
                let mut parts = Vec::new();
                for (name, file) in files {
                    let path = path.join(name);
                    let part = copy(&[file], &path, asked)?;
                    signed.check(&part, &path)?;
                    parts.push(part);
                }
                let copies: Result<Vec<_>, _> =
                    parts.iter().map(|p| File::open(p.path())).collect();
                let copies = copies.map_err(|e| io(path, &e))?;
                copy(&copies.iter().collect::<Vec<_>>(), path, asked)?
            }
        };
        let manifest = match self.manifest_path(asked, path) {
            None => None,
            Some(path) => {
                let bytes = self.small(&path, self.companion_bytes_max)?;
                let mut incoming = Incoming::create(&asked.incoming, self.companion_bytes_max)?;
                incoming.push(&bytes)?;
                let part = incoming.finish()?;
                signed.check(&part, &path)?;
                Some(part)
            }
        };
        if self.find(asked, path)?.1 != validator {
            return Ok(None);
        }
        let (from, signer) = (path.display().to_string(), signed.signer);
        Ok(Some(Brought { list, manifest, from, signer, validator }))
    }
}

/// Signatures of one list's files.
struct Signed<'a> {
    files: &'a Files,
    key: &'a str,
    signer: String,
}

impl Signed<'_> {
    /// Checks a file's signature, where the feed has a key.
    fn check(&mut self, part: &Part, path: &Path) -> Result<(), SourceError> {
        if self.key.is_empty() {
            return Ok(());
        }
        let mut name = path.as_os_str().to_owned();
        name.push(SUFFIX);
        let signature = self.files.small(Path::new(&name), SIGNATURE_BYTES_MAX);
        let signature =
            signature.map_err(|e| SourceError::Refused(format!("the signature: {e}")))?;
        self.signer = signature::verified(part, self.key, &signature)?;
        Ok(())
    }
}

fn is_list(name: &str, manifest: Option<&Path>) -> bool {
    let beside = manifest.and_then(Path::file_name).is_some_and(|m| m == name);
    !beside && !name.ends_with(SUFFIX)
}

fn bytes(mut file: &File, path: &Path, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes).map_err(|e| io(path, &e))?;
    if bytes.len() as u64 > bytes_max {
        let why = format!("{}: larger than {bytes_max} bytes", path.display());
        return Err(SourceError::Refused(why));
    }
    Ok(bytes)
}

/// Copies files one behind the other, each from its beginning and ended by a line's end where
/// there is another.
fn copy(files: &[&File], path: &Path, asked: &Asked) -> Result<Part, SourceError> {
    use std::os::unix::fs::FileExt as _;

    let mut incoming = Incoming::create(&asked.incoming, asked.bytes_max)?;
    asked.meter.begin(files.iter().filter_map(|f| Some(f.metadata().ok()?.len())).sum());
    let mut piece = vec![0; PIECE_BYTES];
    for file in files {
        let (mut at, mut last) = (0, b'\n');
        loop {
            let read = file.read_at(&mut piece, at).map_err(|e| io(path, &e))?;
            let Some(&end) = piece[..read].last() else { break };
            incoming.push(&piece[..read])?;
            asked.meter.add(read);
            (at, last) = (at + read as u64, end);
        }
        if files.len() > 1 && last != b'\n' {
            incoming.push(b"\n")?;
        }
    }
    incoming.finish()
}

impl Source for Files {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        Box::pin(async move {
            let Location::Path(path) = &ask.spec.source else {
                return Err(SourceError::Refused(format!("{}: not a file", ask.spec.source)));
            };
            let asked = Asked {
                spec: ask.spec.clone(),
                validator: ask.validator.to_owned(),
                incoming: ask.incoming.to_owned(),
                bytes_max: ask.bytes_max,
                meter: ask.meter.clone(),
            };
            let asked = std::sync::Arc::new(asked);
            let (own, its, at) = (self.clone(), std::sync::Arc::clone(&asked), path.clone());
            let state = blocking(move || own.state(&its, &at)).await?;
            let Some((seen, wait)) = state else { return Ok(Looked::SAME) };
            tokio::time::sleep(wait).await;
            let (own, path) = (self.clone(), path.clone());
            let brought = blocking(move || own.bring(&asked, &path, &seen)).await?;
            // One that is being written is looked at again soon; nothing is wrong with it.
            let again_after = brought.is_none().then_some(self.settle);
            Ok(Looked { brought, again_after, expires_after: None })
        })
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(SourceError::Away(e.to_string())))
}
