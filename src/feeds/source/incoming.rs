//! A list while it is being received.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::SourceError;

/// A file being received: bounded, hashed as it comes, and gone unless it is kept.
#[derive(Debug)]
pub struct Incoming {
    part: Part,
    file: File,
    hash: Sha256,
    bytes_max: u64,
}

/// A file that was received, whole and on disk; gone when it is dropped, unless it was moved.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    digest: [u8; 32],
    bytes: u64,
}

fn away(error: &io::Error) -> SourceError {
    SourceError::Away(format!("the list cannot be written down: {error}"))
}

impl Incoming {
    /// Begins a file in `dir`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(dir: &Path, bytes_max: u64) -> Result<Self, SourceError> {
        let mut name = [0; 16];
        let random = getrandom::fill(&mut name);
        random.map_err(|e| SourceError::Away(format!("no random numbers: {e}")))?;
        let path = dir.join(format!("{}.part", hex::encode(name)));
        let made = File::options().write(true).create_new(true).open(&path);
        let file = made.map_err(|e| away(&e))?;
        let part = Part { path, digest: [0; 32], bytes: 0 };
        Ok(Self { part, file, hash: Sha256::new(), bytes_max })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`SourceError::TooLong`], or when it cannot be written.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), SourceError> {
        self.part.bytes += piece.len() as u64;
        if self.part.bytes > self.bytes_max {
            return Err(SourceError::TooLong(self.bytes_max));
        }
        self.hash.update(piece);
        self.file.write_all(piece).map_err(|e| away(&e))
    }

    /// The whole file, on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<Part, SourceError> {
        self.file.sync_all().map_err(|e| away(&e))?;
        self.part.digest = self.hash.finalize().into();
        Ok(self.part)
    }
}

impl Part {
    /// SHA-256 of the bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the file to `to`, on the same file system.
    ///
    /// # Errors
    /// When that fails; the file is gone then.
    pub fn keep(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What stays behind is removed at the next start.
        if !self.path.as_os_str().is_empty() && fs::remove_file(&self.path).is_err() {
            tracing::debug!("a received file was gone already");
        }
    }
}
