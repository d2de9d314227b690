//! `tracegate serve`: the server.

use super::{Exit, Global};
use crate::{log, server};

/// Answers DNS, follows links, keeps every record, until SIGTERM.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {}

impl Serve {
    /// Serves until it is told to end.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let config = global.load()?.config;
        log::init(&config.log)?;
        server::serve(config, |_| {})?;
        Ok(Exit::Ok)
    }
}
