//! `zone`: the zones a running server serves.

use std::io::Write;

use clap::{Args, Subcommand};
use http::Method;

use super::{
    Exit, Global,
    client::{Api, ServerArgs, block_on},
    layout::print,
};

/// Work on the zones of a running server.
#[derive(Clone, Debug, Args)]
pub(super) struct Zone {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Read every zone file anew; a bad one keeps its last good version.
    Reload,
}

impl Zone {
    /// Asks the API. A zone that could not be loaded is a failure.
    ///
    /// # Errors
    /// When there is no server, or it refuses.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let api = Api::open(&self.server, global)?;
        let Action::Reload = self.action;
        let path = ["api", "v1", "zones", "reload"];
        let answer = block_on(api.json(Method::POST, &path, &[], Some(&serde_json::json!({}))))?;
        std::io::stdout().lock().write_all(print(&answer, global.format).as_bytes())?;
        let zones = answer["zones"].as_array().map(Vec::as_slice).unwrap_or_default();
        let all = zones.iter().all(|z| z["outcome"] == "loaded");
        Ok(if all { Exit::Ok } else { Exit::Failed })
    }
}
