//! Where libchdb is and whether it is the one we pinned.
//!
//! A path from the configuration or the environment is the operator's own choice and not checked.
//! The cached copy is: its SHA-256 once, remembered in a stamp file with the size and the time of
//! change it was computed for.

use std::{
    env, fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::config;

/// The pinned version of npm's `@chdb/lib-linux-x64-gnu`.
pub const VERSION: &str = "26.7.3-stable.1";
/// SHA-256 of its `libchdb.so`.
pub const SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";
/// The environment variable that names another library.
pub const VARIABLE: &str = "TRACEGATE_ENGINE_LIBRARY";

/// There is no usable library.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// Nothing at the path.
    #[error(
        "the engine's library is not at {0}: run scripts/fetch-engine, or name it in `store.engine.library` or {VARIABLE}"
    )]
    Missing(PathBuf),
    /// Not the pinned file.
    #[error(
        "the engine's library at {path} is not the pinned one (SHA-256 {found}): delete it and run scripts/fetch-engine"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: String,
    },
    /// Neither HOME nor XDG_CACHE_HOME is set.
    #[error(
        "no cache directory: set HOME or XDG_CACHE_HOME, or name the library in `store.engine.library`"
    )]
    NoCache,
    /// It could not be read.
    #[error("cannot read the engine's library at {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Finds the library; checks it when it is the cached one.
///
/// # Errors
/// See [`LibraryError`].
pub fn find(config: &config::Engine) -> Result<PathBuf, LibraryError> {
    let named = config.library.clone().or_else(|| env::var_os(VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        return if path.is_file() { Ok(path) } else { Err(LibraryError::Missing(path)) };
    }
    let path = cached().ok_or(LibraryError::NoCache)?;
    check(&path)?;
    Ok(path)
}

/// Where `scripts/fetch-engine` puts the pinned library.
fn cached() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("tracegate/engine").join(VERSION).join("package/libchdb.so"))
}

fn check(path: &Path) -> Result<(), LibraryError> {
    let io = |source| LibraryError::Io { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(LibraryError::Missing(path.to_owned()));
        }
        Err(e) => return Err(io(e)),
    };
    let stamp_path = path.with_extension("so.checked");
    let stamp = format!(
        "{SHA256} {} {}.{:09} {}\n",
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ino()
    );
    if fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) {
        return Ok(());
    }
    let found = digest(path).map_err(io)?;
    if found != SHA256 {
        return Err(LibraryError::Foreign { path: path.to_owned(), found });
    }
    if let Err(e) = fs::write(&stamp_path, stamp) {
        // Read-only caches are fine: the next start computes it again.
        tracing::debug!(error = %e, "the library's check is not remembered");
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_file_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libchdb.so");
        assert!(matches!(check(&path), Err(LibraryError::Missing(_))));
        fs::write(&path, b"not it").unwrap();
        let error = check(&path).unwrap_err().to_string();
        assert!(error.contains("not the pinned one") && error.contains("fetch-engine"), "{error}");
        assert!(!path.with_extension("so.checked").exists());
    }

    #[test]
    fn a_named_library_must_exist() {
        let config =
            config::Engine { library: Some("/nowhere/x.so".into()), ..config::Engine::default() };
        assert!(matches!(find(&config), Err(LibraryError::Missing(_))));
    }
}
