//! `token`: who may use the API, and as what.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{client::Api, remote::Action};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token; its secret is shown once and kept nowhere.
    Create {
        /// Who will bear it, as records name them.
        name: String,
        /// The person who will bear it, where one has several tokens; as its name by default.
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
        /// What it is for: operator, investigator, auditor or writer.
        #[arg(long)]
        role: String,
        /// Whose links alone it is for, where the role is writer.
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
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

impl Action for Token {
    async fn ask(self, api: &Api) -> anyhow::Result<Value> {
        match &self {
            Self::Create { name, person, role, owner, expires } => {
                let mut body = json!({ "name": name, "role": role, "expires": expires });
                for (member, given) in [("person", person), ("owner", owner)] {
                    if let Some(given) = given {
                        body[member] = json!(given);
                    }
                }
                api.json(Method::POST, &["api", "v1", "tokens"], &[], Some(&body)).await
            }
            Self::List => api.json(Method::GET, &["api", "v1", "tokens"], &[], None).await,
            Self::Revoke { name } => {
                let path = ["api", "v1", "tokens", name];
                api.json(Method::DELETE, &path, &[], None).await?;
                Ok(json!({ "name": name, "revoked": true }))
            }
        }
    }
}
