//! `zone`: the zones a running server serves.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{Exit, client::Api, remote::Action};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Zone {
    /// Read every zone file anew; a bad one keeps its last good version.
    Reload,
}

impl Action for Zone {
    async fn ask(self, api: &Api) -> anyhow::Result<Value> {
        let Self::Reload = self;
        api.json(Method::POST, &["api", "v1", "zones", "reload"], &[], Some(&json!({}))).await
    }

    /// A zone that could not be loaded is a failure.
    fn exit(answer: &Value) -> Exit {
        let zones = answer["zones"].as_array().map(Vec::as_slice).unwrap_or_default();
        let all = zones.iter().all(|z| z["outcome"] == "loaded");
        if all { Exit::Ok } else { Exit::Failed }
    }
}
