//! Feeds: declared, fetched, looked at, decided about, accounted for.
//!
//! Thin over [`crate::feeds::Feeds`]: what may be done and what it means is said there; here bodies
//! become values and answers become JSON. Who may is in [`super::auth`]: operators change; auditors
//! and investigators read.

mod content;
mod export;
mod gather;
mod patch;
mod report;
mod steps;
mod versions;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use self::patch::merge;
pub(super) use self::{
    content::{Query as Content, content},
    patch::{FeedPatch, NewFeed},
    report::report,
    steps::{Apply, Refresh, Step, apply, approve, refresh, refuse, roll_back},
    versions::{
        Before, Between, FromLine, VersionPage, Versions, Wanted, diff, export,
        list as list_versions, one as read_version,
    },
};
use super::{
    ApiState, Body, Caller, Params, Problem, Words,
    etag::{self, tagged},
    time,
};
use crate::feeds::{By, Error, FeedStatus, Feeds, Needed, SpecError};

/// Why, in a query.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Reason {
    /// Why; it is kept.
    pub(super) reason: String,
}

/// Every feed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AllFeeds {
    /// In their order.
    feeds: Vec<FeedStatus>,
}

/// `GET /api/v1/feeds`: in their order.
pub(super) async fn list(State(api): State<ApiState>) -> Result<Response, Problem> {
    let mut feeds = blocking(&api, |feeds| feeds.list()).await?;
    feeds.sort_by_key(|f| f.spec["position"].as_u64());
    Ok(Json(AllFeeds { feeds }).into_response())
}

/// `POST /api/v1/feeds`.
pub(super) async fn add(
    State(api): State<ApiState>,
    caller: Caller,
    Body(spec): Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    let (spec, reason) = split(spec)?;
    let who = by(&caller, reason);
    let status = blocking(&api, move |feeds| {
        let spec = feeds.add(&spec.to_string(), &who)?;
        feeds.status(&spec.name)
    });
    let status = status.await?;
    let place = HeaderValue::from_str(&format!("/api/v1/feeds/{}", status.name));
    let mut response = shown(StatusCode::CREATED, status);
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `GET /api/v1/feeds/{name}`.
pub(super) async fn read(
    State(api): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    Ok(shown(StatusCode::OK, blocking(&api, move |feeds| feeds.status(&name)).await?))
}

/// `PATCH /api/v1/feeds/{name}`: a merge patch (RFC 7396) of the settings.
pub(super) async fn change(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    let (patch, reason) = split(patch)?;
    let who = by(&caller, reason);
    let tag = etag::if_match(&headers)?.map(str::to_owned);
    let is_conditional = tag.is_some();
    let status = blocking(&api, move |feeds| {
        let base = feeds.status(&name)?.spec;
        if tag.is_some_and(|tag| tag != tag_of(&base)) {
            return Err(Error::Conflict);
        }
        let mut spec = base.clone();
        merge(&mut spec, &patch);
        // Whoever changed it since then is not undone.
        feeds.change_from(&name, Some(&base), &spec.to_string(), &who)?;
        feeds.status(&name)
    });
    let status = status.await.map_err(|p| if is_conditional { p.precondition() } else { p })?;
    Ok(shown(StatusCode::OK, status))
}

/// A feed, with the ETag of its settings.
fn shown(status: StatusCode, feed: FeedStatus) -> Response {
    let tag = tag_of(&feed.spec);
    tagged((status, Json(feed)).into_response(), &tag)
}

/// Another one for other settings.
fn tag_of(spec: &Value) -> String {
    hex::encode(&Sha256::digest(spec.to_string())[..8])
}

/// `DELETE /api/v1/feeds/{name}`.
pub(super) async fn remove(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Params(Reason { reason }): Params<Reason>,
) -> Result<Response, Problem> {
    let who = by(&caller, reason);
    blocking(&api, move |feeds| feeds.remove(&name, &who)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Settings, and the reason that stands beside them.
fn split(mut body: Map<String, Value>) -> Result<(Value, String), Problem> {
    let reason = match body.remove("reason") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(reason)) => reason,
        Some(_) => return Err(Problem::bad_request("reason is a text")),
    };
    Ok((Value::Object(body), reason))
}

/// Who does it, and why.
pub(super) fn by(caller: &Caller, reason: String) -> By {
    let actor = &caller.actor;
    By { actor: actor.name.to_string(), person: actor.person.to_string(), reason }
}

/// Runs what blocks on a disk where it may.
pub(super) async fn blocking<T: Send + 'static>(
    api: &ApiState,
    work: impl FnOnce(&Arc<Feeds>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    let feeds = Arc::clone(&api.feeds);
    let done = tokio::task::spawn_blocking(move || work(&feeds)).await;
    done.map_err(|e| Problem::internal(&e))?.map_err(|e| problem(&e))
}

/// The members of an object; nothing for anything else.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

fn bad_spec(error: &SpecError) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_settings",
        "These settings cannot be used.",
        "该设置不可用。",
    )
    .detail(Words::new(error.to_string(), error.chinese()))
    .with("key", error.key.as_str())
}

/// What went wrong, for the caller.
pub(super) fn problem(error: &Error) -> Problem {
    let new = Problem::new;
    let (conflict, wrong) = (StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY);
    match error {
        Error::Unknown(_) => Problem::not_found(),
        Error::Spec(e) => bad_spec(e),
        Error::Taken => {
            new(conflict, "feed_exists", "There is a feed of that name.", "已有同名名单。")
        }
        Error::Conflict => new(
            conflict,
            "changed_meanwhile",
            "Somebody else changed it first.",
            "他人已先行更改。",
        ),
        Error::Over => new(
            conflict,
            "over_already",
            "That has happened already, or its time is over.",
            "该操作已完成，或已过期。",
        ),
        Error::SamePerson => {
            new(conflict, "second_person", "Somebody else has to confirm it.", "须由另一人确认。")
        }
        Error::NotHeld => {
            new(conflict, "not_held", "No such version waits for approval.", "没有待批准的该版本。")
        }
        Error::Superseded => new(
            conflict,
            "superseded",
            "A later version has been in force meanwhile.",
            "其后的版本已生效。",
        ),
        Error::InForceAlready => {
            new(conflict, "in_force_already", "It is in force already.", "已经生效。")
        }
        Error::NotKept(_) | Error::Damaged(_) | Error::Unreadable(_) => new(
            conflict,
            "version_not_kept",
            "That version cannot be read any more.",
            "该版本已无法读取。",
        )
        .detail(Words::new(error.to_string(), "该版本的文件已不在或已损坏。")),
        Error::BadRule(_) => new(
            wrong,
            "bad_rule",
            "This is neither a name, a URL with its scheme, an address nor a rule.",
            "既非域名、带协议的网址、地址，也非规则。",
        ),
        Error::Protected(why) => {
            new(wrong, "protected", "No rule may touch that.", "规则不得涉及该对象。")
                .detail(Words::new(why.clone(), format!("受保护：{why}")))
        }
        Error::Past => time::past(),
        Error::TooLate(max) => {
            new(wrong, "too_long", "It may not last that long.", "时长超过上限。")
                .with("seconds_max", *max)
        }
        Error::TooMany(what, max) => {
            new(conflict, "too_many", "There are as many as there may be.", "数量已达上限。")
                .detail(Words::new(error.to_string(), format!("{what} 最多 {max} 个。")))
        }
        Error::Missing(needed) => {
            let chinese = match needed {
                Needed::Reason => "须说明理由。",
                Needed::Contact => "须提供申诉人的联系方式。",
            };
            new(wrong, "missing", "Something that has to be said is missing.", "缺少必填内容。")
                .detail(Words::new(format!("{} must be given.", needed.name()), chinese))
        }
        Error::TooLong(max) => Problem::bad_request(format!("a text is longer than {max} bytes")),
        Error::Full => Problem::unavailable(
            "no_room_for_record",
            "The record cannot be kept now; nothing was changed.",
            "目前无法保存记录；未作任何更改。",
        ),
        Error::Failed => Problem::unavailable(
            "control_state_failed",
            "Feeds cannot be changed until the service is restarted.",
            "服务重启之前无法更改名单。",
        ),
        e => Problem::internal(e),
    }
}
