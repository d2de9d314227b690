//! `POST /api/v1/checks`: a name, a URL or an address is verified, and the verdict recorded before
//! it is told.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ApiState, Body, Problem, Words};
use crate::verify::{NotVerified, Occasion, Subject};

/// What is to be verified.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["subject"]))]
pub(super) struct NewCheck {
    /// A name in any script, a URL, or an address.
    subject: String,
}

/// `POST /api/v1/checks`.
pub(super) async fn check(
    State(api): State<ApiState>,
    Body(new): Body<NewCheck>,
) -> Result<Response, Problem> {
    let subject = Subject::parse(&new.subject).map_err(|e| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "subject_not_understood",
            "This is nothing that can be verified.",
            "无法核验此内容。",
        )
        .detail(Words::new(e.to_string(), "请填写域名、网址或 IP 地址。"))
    })?;
    let told = api.verifier.verify(&subject, Occasion::Asked).await.map_err(|e| match e {
        NotVerified::Busy => Problem::unavailable(
            "verifications_full",
            "Too many verifications are under way.",
            "同时进行的核验过多，请稍后再试。",
        ),
        NotVerified::Record(_) => Problem::unavailable(
            "no_room_for_record",
            "The record cannot be kept now, so nothing was told.",
            "暂时无法留存记录，未给出结果。",
        ),
    })?;
    Ok(Json(told).into_response())
}
