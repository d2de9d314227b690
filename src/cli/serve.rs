//! `tracegate serve`: the server.

use super::{Exit, Global};
use crate::{config, log, server};

/// Answers DNS, follows links, keeps every record, until SIGTERM.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {}

impl Serve {
    /// Serves until it is told to end.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let loaded = global.load()?;
        log::init(&loaded.config.log)?;
        for warning in config::warnings(&loaded) {
            tracing::warn!("{warning}");
        }
        server::serve(loaded.config, |_| {})?;
        Ok(Exit::Ok)
    }
}
