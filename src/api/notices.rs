//! `GET /api/v1/notices/summary`: reach and compliance of warnings.
//!
//! A look at the records: what a role may see is decided, and a refusal recorded, by
//! [`crate::trace`].

use axum::{
    Extension,
    extract::RawQuery,
    response::{IntoResponse, Response},
};
use http::header;

use super::{Caller, Problem, trace as looks};
use crate::trace::{AskReach, Look, Tracer};

pub(super) async fn summary(
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut ask = AskReach::default();
    let mut look = Look {
        actor: caller.actor.name.to_string(),
        role: caller.actor.role.name(),
        peer: caller.peer.client,
        case_number: String::new(),
        purpose: String::new(),
    };
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            _ if seen.contains(&name) => ask.misfit = true,
            "from" => ask.from = Some(value.into_owned()),
            "to" => ask.to = Some(value.into_owned()),
            "case" => look.case_number = value.into_owned(),
            "purpose" => look.purpose = value.into_owned(),
            _ => ask.misfit = true,
        }
        seen.push(name);
    }
    let page = tracer.reach(&look, &ask).await.map_err(looks::problem)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], page).into_response())
}
