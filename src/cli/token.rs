//! `token`: who may use the API, and as what.

use std::io::Write;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{
    Exit, Global,
    client::{Api, ServerArgs, block_on},
    layout::print,
};

/// Make, list and revoke tokens of the API.
#[derive(Clone, Debug, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a token; its secret is shown once and kept nowhere.
    Create {
        /// Who will bear it, as records name them.
        name: String,
        /// What it is for: operator, investigator, auditor or writer.
        #[arg(long)]
        role: String,
        /// When it ends, as 2030-01-31T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List the tokens in force, without their secrets.
    List,
    /// End a token.
    Revoke {
        /// Whose.
        name: String,
    },
}

impl Token {
    /// Asks the API.
    ///
    /// # Errors
    /// When there is no server, or it refuses.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let api = Api::open(&self.server, global)?;
        let answer = block_on(async {
            match &self.action {
                Action::Create { name, role, expires } => {
                    let body = json!({ "name": name, "role": role, "expires": expires });
                    api.json(Method::POST, &["api", "v1", "tokens"], &[], Some(&body)).await
                }
                Action::List => api.json(Method::GET, &["api", "v1", "tokens"], &[], None).await,
                Action::Revoke { name } => {
                    let path = ["api", "v1", "tokens", name];
                    api.json(Method::DELETE, &path, &[], None).await?;
                    Ok(json!({ "name": name, "revoked": true }))
                }
            }
        })?;
        std::io::stdout().lock().write_all(print(&answer, global.format).as_bytes())?;
        Ok(Exit::Ok)
    }
}
