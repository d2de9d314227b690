//! `webhook`: who is told of changes, and what was not taken.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{client::Api, remote::Action};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Webhook {
    /// Tell an endpoint of changes; the secret that signs is shown once.
    Add {
        /// Where to, by HTTPS.
        url: String,
        /// Which events, as link.disabled; everything without. Repeat for several.
        #[arg(long = "event", value_name = "KIND")]
        events: Vec<String>,
        /// What it is for.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List the endpoints, without their secrets.
    List,
    /// Show one endpoint and the deliveries that wait or were given up.
    Status {
        /// Its number.
        id: u64,
    },
    /// Send a message to try an endpoint.
    Test {
        /// Its number.
        id: u64,
    },
    /// Make another secret, shown once; for a while both sign.
    Rotate {
        /// Its number.
        id: u64,
    },
    /// Send what was given up again.
    Resend {
        /// Its number.
        id: u64,
        /// One delivery, by its number; all without.
        #[arg(long, value_name = "NUMBER")]
        delivery: Option<u64>,
    },
    /// Tell an endpoint nothing more.
    Disable {
        /// Its number.
        id: u64,
    },
    /// Tell it again, from now on.
    Enable {
        /// Its number.
        id: u64,
    },
}

impl Action for Webhook {
    async fn ask(self, api: &Api) -> anyhow::Result<Value> {
        let all = ["api", "v1", "webhooks"];
        match self {
            Self::Add { url, events, note } => {
                let body = json!({ "url": url, "events": events, "note": note });
                api.json(Method::POST, &all, &[], Some(&body)).await
            }
            Self::List => api.json(Method::GET, &all, &[], None).await,
            Self::Status { id } => status(api, id).await,
            Self::Test { id } => post(api, id, "test", json!({})).await,
            Self::Resend { id, delivery } => {
                post(api, id, "resend", json!({ "delivery": delivery })).await
            }
            Self::Rotate { id } => change(api, id, json!({ "rotate_secret": true })).await,
            Self::Disable { id } => change(api, id, json!({ "state": "disabled" })).await,
            Self::Enable { id } => change(api, id, json!({ "state": "enabled" })).await,
        }
    }
}

async fn post(api: &Api, id: u64, what: &str, body: Value) -> anyhow::Result<Value> {
    let path = ["api", "v1", "webhooks", &id.to_string(), what];
    api.json(Method::POST, &path, &[], Some(&body)).await
}

async fn change(api: &Api, id: u64, body: Value) -> anyhow::Result<Value> {
    let path = ["api", "v1", "webhooks", &id.to_string()];
    api.json(Method::PATCH, &path, &[], Some(&body)).await
}

async fn status(api: &Api, id: u64) -> anyhow::Result<Value> {
    let id = id.to_string();
    let mut shown = api.json(Method::GET, &["api", "v1", "webhooks", &id], &[], None).await?;
    let path = ["api", "v1", "webhooks", &id, "deliveries"];
    let mut deliveries = Vec::new();
    for state in ["waiting", "dead"] {
        let query = [("state", state)];
        let page = api.json(Method::GET, &path, &query, None).await?;
        deliveries.extend(page["deliveries"].as_array().cloned().unwrap_or_default());
    }
    shown["deliveries"] = deliveries.into();
    Ok(shown)
}
