//! `run.json`: where a running server listens, for its own command line.
//!
//! The server keeps the file locked for as long as it lives (an open file description lock, which
//! the kernel drops with the process, however it ends). A file that nobody holds was left behind:
//! what it names may belong to a stranger by now, its process id too, and no token goes there.

use std::{
    fs::{self, File},
    io,
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::fcntl::{FcntlArg, fcntl};
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
    /// The gateway over TLS.
    pub gateway_tls: Option<SocketAddr>,
    /// The API.
    pub api: Option<SocketAddr>,
    /// The embedded engine.
    pub engine: Option<SocketAddr>,
    /// Zones in and out.
    pub transfers: Option<SocketAddr>,
}

/// The file, removed when this is dropped: a clean end leaves no address behind.
#[derive(Debug)]
pub(super) struct RunFile {
    path: PathBuf,
    /// Locked while it is open.
    _held: File,
}

impl RunFile {
    /// Writes `<data_dir>/run.json`, whole or not at all, and holds it.
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
        // Before it has its name: nobody ever sees it there without its owner.
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file()))?;
        fs::rename(&new, &path)?;
        Ok(Self { path, _held: file })
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "run.json could not be removed");
        }
    }
}

/// Whether the server that wrote this run file still lives. Asking takes no lock, so that nobody
/// who asks is ever in the way of a server that starts.
///
/// # Errors
/// The system's.
pub fn is_held(run_file: &File) -> io::Result<bool> {
    let mut lock = whole_file();
    fcntl(run_file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// A lock for writing, from the first byte to wherever the file ends.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
