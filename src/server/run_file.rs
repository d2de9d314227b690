//! `run.json`: where a running server listens, for its own command line.

use std::{
    fs, io,
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// Where a server listens: what the file says.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its process.
    pub pid: u32,
    /// DNS, UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// The gateway.
    pub gateway: Option<SocketAddr>,
    /// The API.
    pub api: Option<SocketAddr>,
    /// The embedded engine.
    pub engine: Option<SocketAddr>,
}

/// The file, removed when this is dropped: a clean end leaves no address behind.
#[derive(Debug)]
pub(super) struct RunFile(PathBuf);

impl RunFile {
    /// Writes `<data_dir>/run.json`, whole or not at all.
    pub(super) fn write(data_dir: &Path, run: &Run) -> io::Result<Self> {
        let path = data_dir.join("run.json");
        let new = data_dir.join("run.json.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(run)?)?;
        fs::rename(&new, &path)?;
        Ok(Self(path))
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "run.json could not be removed");
        }
    }
}
