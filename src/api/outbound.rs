//! Outbound targets: signed, and recorded as a conversion.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["target"]))]
pub(super) struct NewOutbound {
    /// Where it leads; refused as the target of a link is. `url` is another name for it.
    #[serde(alias = "url")]
    #[schemars(with = "String")]
    target: Option<String>,
    /// From when on the signature is void, in whole seconds; never without.
    #[schemars(with = "Timestamp")]
    expires: Option<String>,
    /// The host of ours at which alone it counts, one of `gateway.domains`.
    domain: Option<String>,
    /// For whom; the token's name without.
    owner: Option<String>,
    /// Why; it is kept.
    reason: String,
}

/// A signed target.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Outbound {
    /// The address for the site: `/go` with `url` and `sig`.
    url: String,
    /// What `Location` will say: the WHATWG serialisation.
    target: String,
    /// Its host.
    target_host: String,
    /// The id of the key that signed.
    key: String,
    /// From when on the signature is void.
    expires: Timestamp,
    /// The host of ours at which alone it counts.
    domain: Option<String>,
    /// The id of the conversion's record.
    record: String,
}

/// `POST /api/v1/outbound`.
pub(super) async fn sign(
    State(api): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewOutbound>,
) -> Result<Response, Problem> {
    let by = By { actor: caller.actor, client: caller.peer.client };
    let own = || by.actor.owner.as_ref().unwrap_or(&by.actor.name).to_string();
    let ask = SignRequest {
        target: new.target.ok_or_else(|| Problem::bad_request("missing member target"))?,
        expires: new.expires.as_deref().map(time::parse).transpose()?.unwrap_or(Timestamp::ZERO),
        domain: new.domain.unwrap_or_default().to_ascii_lowercase(),
        owner: new.owner.unwrap_or_else(own),
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
    let body = Outbound {
        url: format!("{}/go?{}", base_at(&api.short_url_base, &domain), signed.query),
        target: signed.target,
        target_host: signed.target_host,
        key: signed.key.to_string(),
        expires,
        domain: (!domain.is_empty()).then_some(domain),
        record: signed.record.to_string(),
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}
