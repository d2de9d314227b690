//! The operator's own rules: what is blocked at once, and what is let through.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiState, Body, Caller, Params, Problem,
    feeds::{blocking, by},
    time,
};
use crate::{
    clock::Timestamp,
    feeds::{ALLOW, INSTANT, NewAllow, NewBlock, OwnRule},
};

/// A block to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewBlock")]
pub(super) struct Block {
    /// A name, `*.name`, a URL, an address or a rule.
    name: String,
    /// How long, in seconds; feeds.instant_s when absent.
    for_s: Option<u64>,
    /// Who ordered it.
    #[serde(default)]
    authority: String,
    /// The order's number.
    #[serde(default)]
    order_number: String,
    /// Why; it is kept.
    #[serde(default)]
    reason: String,
}

/// An allow rule to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewAllow", extend("required" = ["name", "reason"]))]
pub(super) struct Allowed {
    /// A name, `*.name`, a URL, an address or a rule.
    name: String,
    /// Whose rule it is.
    #[serde(default)]
    owner: String,
    /// How long, in seconds; or `expires`.
    for_s: Option<u64>,
    /// At most feeds.allow_s_max from now, which is what counts when neither is given.
    #[schemars(with = "Option<Timestamp>")]
    expires: Option<String>,
    /// Why; it is kept.
    #[serde(default)]
    reason: String,
}

/// Why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Why {
    /// Why; it is kept.
    reason: String,
}

/// Which page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BeforeId")]
pub(super) struct Page {
    /// Only ids below this one: `next_before` of the page before.
    #[serde(default)]
    before: u64,
}

/// A rule of the operator's own, and whether it counts now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OwnRuleNow")]
pub(super) struct Shown {
    #[serde(flatten)]
    rule: OwnRule,
    /// Whether it counts now.
    in_force: bool,
}

/// A page of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OwnRules {
    /// The newest first.
    rules: Vec<Shown>,
    /// `before` of the next page; null on the last.
    next_before: Option<u64>,
}

/// `GET /api/v1/blocks`.
pub(super) async fn blocks(
    State(api): State<ApiState>,
    Params(page): Params<Page>,
) -> Result<Response, Problem> {
    list(&api, INSTANT, page).await
}

/// `POST /api/v1/blocks`.
pub(super) async fn block(
    State(api): State<ApiState>,
    caller: Caller,
    Body(new): Body<Block>,
) -> Result<Response, Problem> {
    let who = by(&caller, new.reason);
    let block = NewBlock {
        what: new.name,
        seconds: new.for_s.unwrap_or(0),
        authority: new.authority,
        order_number: new.order_number,
    };
    let made = blocking(&api, move |feeds| feeds.block_now(&block, &who)).await?;
    Ok((StatusCode::CREATED, Json(shown(&api, made))).into_response())
}

/// `POST /api/v1/blocks/{id}/confirm`.
pub(super) async fn confirm(
    State(api): State<ApiState>,
    caller: Caller,
    Path(id): Path<u64>,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    let who = by(&caller, why.reason);
    let rule = blocking(&api, move |feeds| feeds.confirm(id, &who)).await?;
    Ok(Json(shown(&api, rule)).into_response())
}

/// `POST /api/v1/blocks/{id}/lift`.
pub(super) async fn lift(
    State(api): State<ApiState>,
    caller: Caller,
    Path(id): Path<u64>,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    let who = by(&caller, why.reason);
    let rule = blocking(&api, move |feeds| feeds.lift(id, &who)).await?;
    Ok(Json(shown(&api, rule)).into_response())
}

/// `GET /api/v1/allow`.
pub(super) async fn allowed(
    State(api): State<ApiState>,
    Params(page): Params<Page>,
) -> Result<Response, Problem> {
    list(&api, ALLOW, page).await
}

/// `POST /api/v1/allow`.
pub(super) async fn allow(
    State(api): State<ApiState>,
    caller: Caller,
    Body(new): Body<Allowed>,
) -> Result<Response, Problem> {
    let expires = new.expires.as_deref().map(time::parse).transpose()?;
    let expires = match (expires, new.for_s) {
        (Some(_), Some(_)) => return Err(Problem::bad_request("give for_s or expires, not both")),
        (Some(at), None) => at,
        (None, Some(seconds)) => {
            api.clock.now().saturating_add(std::time::Duration::from_secs(seconds))
        }
        (None, None) => Timestamp::ZERO,
    };
    let who = by(&caller, new.reason);
    let rule = NewAllow { what: new.name, owner: new.owner, expires };
    let made = blocking(&api, move |feeds| feeds.allow(&rule, &who)).await?;
    Ok((StatusCode::CREATED, Json(shown(&api, made))).into_response())
}

/// `DELETE /api/v1/allow/{id}`.
pub(super) async fn disallow(
    State(api): State<ApiState>,
    caller: Caller,
    Path(id): Path<u64>,
    Params(why): Params<Why>,
) -> Result<Response, Problem> {
    let who = by(&caller, why.reason);
    blocking(&api, move |feeds| feeds.disallow(id, &who)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list(api: &ApiState, feed: &'static str, page: Page) -> Result<Response, Problem> {
    let mut rules =
        blocking(api, move |feeds| feeds.store().own_rules(feed, page.before, PAGE + 1)).await?;
    let more = rules.len() > PAGE;
    rules.truncate(PAGE);
    let next_before = rules.last().filter(|_| more).map(|r| r.id);
    let rules = rules.into_iter().map(|r| shown(api, r)).collect();
    Ok(Json(OwnRules { rules, next_before }).into_response())
}

/// Rules on one page.
const PAGE: usize = 1_000;

/// A rule, and whether it counts now.
fn shown(api: &ApiState, rule: OwnRule) -> Shown {
    Shown { in_force: rule.is_in_force(api.clock.now()), rule }
}
