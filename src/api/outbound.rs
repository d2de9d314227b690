//! Outbound targets: signed, and recorded as a conversion.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{
    ApiState, Body, Caller, Problem,
    links::{base_at, blocking},
    time,
};
use crate::{
    clock::Timestamp,
    links::{By, SignRequest},
};

/// A target to be signed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewOutbound {
    #[serde(alias = "url")]
    target: Option<String>,
    expires: Option<String>,
    domain: Option<String>,
    owner: Option<String>,
    reason: String,
}

/// `POST /api/v1/outbound`.
pub(super) async fn sign(
    State(api): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewOutbound>,
) -> Result<Response, Problem> {
    let by = By { actor: caller.actor, client: caller.peer.client };
    let ask = SignRequest {
        target: new.target.ok_or_else(|| Problem::bad_request("missing member target"))?,
        expires: new.expires.as_deref().map(time::parse).transpose()?.unwrap_or(Timestamp::ZERO),
        domain: new.domain.unwrap_or_default().to_ascii_lowercase(),
        owner: new.owner.unwrap_or_else(|| by.actor.name.to_string()),
        reason: new.reason,
    };
    for (member, text) in [("owner", &ask.owner), ("reason", &ask.reason)] {
        if text.len() > api.config.note_bytes_max {
            let why = format!("{member} is longer than api.note_bytes_max");
            return Err(Problem::bad_request(why));
        }
    }
    let (expires, domain) = (Timestamp::from_secs(ask.expires.secs()), ask.domain.clone());
    let signed = {
        let api = api.clone();
        blocking(move || api.links.sign(&ask, &by)).await?
    };
    let body = json!({
        "url": format!("{}/go?{}", base_at(&api.short_url_base, &domain), signed.query),
        "target": signed.target,
        "target_host": signed.target_host,
        "key": signed.key,
        "expires": time::or_null(expires),
        "domain": if domain.is_empty() { None } else { Some(domain) },
        "record": signed.record.to_string(),
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}
