//! What the commands of a running server share: an action, where the server is, one answer.
//!
//! They go through the API, so that what they do is recorded as what anybody else does.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Exit, Global,
    client::{Api, ServerArgs, block_on},
    layout,
};

/// An action on a server.
#[derive(Clone, Debug, Args)]
pub(super) struct Remote<A: Subcommand> {
    #[command(subcommand)]
    action: A,
    #[command(flatten)]
    server: ServerArgs,
}

/// What can be asked of a server, and what its answer means.
pub(super) trait Action: Subcommand {
    /// Asks the API.
    ///
    /// # Errors
    /// When there is no server, or it refuses.
    async fn ask(self, api: &Api) -> anyhow::Result<Value>;

    /// Whether an answer is a success.
    fn exit(_answer: &Value) -> Exit {
        Exit::Ok
    }
}

impl<A: Action> Remote<A> {
    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// When there is no server, it refuses, or nobody reads what is printed.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let api = Api::open(&self.server, global)?;
        let answer = block_on(self.action.ask(&api))?;
        std::io::stdout().lock().write_all(layout::print(&answer, global.format()).as_bytes())?;
        Ok(A::exit(&answer))
    }
}
