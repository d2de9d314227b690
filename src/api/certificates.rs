//! The certificates of the gateway.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ApiState, Caller, Problem, links::out_of_scope};
use crate::{clock::Timestamp, gateway::acme::Standing};

/// The certificate of one host.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Certificate {
    /// The host; `*.` stands for any one label.
    host: String,
    /// `file` for one that is configured, `acme` for one that is obtained.
    #[schemars(with = "String")]
    source: &'static str,
    /// When it ends.
    until: Timestamp,
    /// Orders that failed since the last that did not.
    failures: u32,
    /// What was said of the last that failed.
    error: Option<String>,
}

/// The certificates of the gateway.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Certificates {
    certificates: Vec<Certificate>,
}

/// `GET /api/v1/certificates`.
pub(super) async fn list(State(api): State<ApiState>, caller: Caller) -> Result<Response, Problem> {
    if caller.actor.owner.is_some() {
        return Err(out_of_scope());
    }
    let found = tokio::task::spawn_blocking(move || (api.certificates)()).await;
    let found = found.map_err(|e| Problem::internal(&e))?;
    let of = |s: Standing| Certificate {
        host: s.host,
        source: s.source,
        until: s.until,
        failures: s.failures,
        error: Some(s.error).filter(|error| !error.is_empty()),
    };
    let certificates = found.into_iter().map(of).collect();
    Ok(Json(Certificates { certificates }).into_response())
}
