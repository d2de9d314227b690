//! `tracegate engine`: the embedded engine's process.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{Exit, Global};
use crate::store::engine::{self, Master, Secrets, Start};

/// Runs the embedded ClickHouse engine on loopback.
///
/// `serve` starts it by itself. By hand it is a way to look into a data directory that no `serve`
/// uses: name a file with the two secrets, and end it with ^C.
#[derive(Debug, clap::Args)]
pub(super) struct Engine {
    /// The loopback address to serve, instead of the configuration's.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A JSON file `{"internal": …, "reader": …}` that only its owner may read.
    #[arg(long, value_name = "FILE", required_unless_present = "supervised")]
    secrets_file: Option<PathBuf>,
    /// Settings and secrets come from stdin; the process ends when that does.
    #[arg(long, hide = true, conflicts_with = "secrets_file")]
    supervised: bool,
}

impl Engine {
    /// Runs until it is told to end.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let config = global.load()?.config;
        let listen = self.listen.unwrap_or(config.store.engine.listen);
        let master = match &self.secrets_file {
            None => Master::Supervisor,
            Some(path) => {
                let secrets = read_secrets(path)
                    .with_context(|| format!("cannot use the secrets in {}", path.display()))?;
                let engine = config.store.engine;
                Master::Person(Box::new(Start { secrets, engine, report: false }))
            }
        };
        engine::run(&config.data_dir, listen, master)?;
        Ok(Exit::Ok)
    }
}

fn read_secrets(path: &Path) -> anyhow::Result<Secrets> {
    let mode = fs::metadata(path)?.mode();
    if mode & 0o077 != 0 {
        let reason = "others may read it: run `chmod 600` on it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason).into());
    }
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}
