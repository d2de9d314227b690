//! Links: made, read, listed, changed.

mod bulk;
pub(super) mod forwards;
mod list;
mod members;
mod qr;
mod shown;
mod walked;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    ApiState, Body, Caller, Params, Problem, Words,
    etag::{self, tagged},
    time,
};
use crate::{
    clock::Timestamp,
    links::{By, Edit, Error, How, ListedBy, NotConverted, Refusal, Revision, is_forward},
};

pub(super) use bulk::{BulkAnswer, bulk};
pub(super) use forwards::{NewForward, WantedForwards};
pub(super) use list::{Forwards, Line, Links, Wanted, Whole, export, list};
pub(super) use members::{Change, NewLink};
use members::{CheckedDraft, request_of};
pub(super) use qr::{Form, qr};
pub(super) use shown::{History, MadeLink, base_at};
pub(super) use walked::{Found, Standing, Walked, standing};

/// Which revisions to show.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// The first revision to list.
    #[serde(default)]
    from_revision: u32,
}

/// `POST /api/v1/links`.
pub(super) async fn create(
    State(api): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Body(new): Body<NewLink>,
) -> Result<Response, Problem> {
    api.verifier.before_creation(new.target()).await;
    let (by, checked) = checked(&api, caller, &headers, new)?;
    make(api, by, checked, "links").await
}

/// Whoever asks, and what is asked.
fn checked(
    api: &ApiState,
    caller: Caller,
    headers: &HeaderMap,
    new: NewLink,
) -> Result<(By, CheckedDraft), Problem> {
    let by = By { actor: caller.actor, client: caller.peer.client };
    let request = request_of(headers, &by.actor.name)?;
    let checked = new.check(api, &by.actor, request.unwrap_or_default())?;
    Ok((by, checked))
}

/// Makes a link or a forward, one of `kind`.
async fn make(
    api: ApiState,
    by: By,
    checked: CheckedDraft,
    kind: &str,
) -> Result<Response, Problem> {
    let (made, first) = {
        let api = api.clone();
        blocking(move || {
            let made = api.links.create(checked.draft()?, &by)?;
            let first = first_ts(&api, &made.revision)?;
            Ok((made, first))
        })
        .await?
    };
    let name = made.revision.code.trim_start_matches("fwd:").replace('/', "%2F");
    let place = HeaderValue::from_str(&format!("/api/v1/{kind}/{name}"));
    // What was there before is found, not created.
    let status = if made.how == How::Same { StatusCode::OK } else { StatusCode::CREATED };
    let told = MadeLink::new(&api, &made, first);
    let response = (status, Json(told)).into_response();
    let mut response = tagged(response, &made.revision.revision.to_string());
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// When the first revision of a link was made.
fn first_ts(api: &ApiState, r: &Revision) -> Result<Timestamp, Error> {
    if r.revision == 1 {
        return Ok(r.ts);
    }
    let first = api.links.store().revisions(&r.code, 1, 1)?.pop();
    first.map(|r| r.ts).ok_or(Error::Unknown)
}

/// `GET /api/v1/links/{code}`: the newest revision, and all of them a page at a time.
pub(super) async fn read(
    State(api): State<ApiState>,
    caller: Caller,
    Path(code): Path<String>,
    Params(From { from_revision }): Params<From>,
) -> Result<Response, Problem> {
    if is_forward(&code) {
        return Err(Problem::not_found());
    }
    one(api, &caller, code, from_revision).await
}

/// A link or a forward by its code.
async fn one(
    api: ApiState,
    caller: &Caller,
    code: String,
    from_revision: u32,
) -> Result<Response, Problem> {
    let page = api.config.revisions_max;
    let (first, current, mut revisions, walked) = {
        let (api, actor) = (api.clone(), caller.actor.clone());
        blocking(move || {
            let store = api.links.store();
            let first = store.revisions(&code, 1, 1)?.pop().ok_or(Error::Unknown)?;
            let current = store.current(&code)?.filter(|r| actor.acts_for(&r.owner));
            let current = current.ok_or(Error::Unknown)?;
            let revisions = store.revisions(&code, from_revision, page.saturating_add(1))?;
            let walked = Walked::read(&**store, &code, &current.target)?;
            Ok((first, current, revisions, walked))
        })
        .await?
    };
    let next = (revisions.len() > page).then(|| revisions.pop()).flatten();
    let (standing, next) = (walked.standing(), next.map(|r| r.revision));
    let told = History::new(&api, &current, first.ts, standing, &revisions, next);
    Ok(tagged(Json(told).into_response(), &current.revision.to_string()))
}

/// `PATCH /api/v1/links/{code}`.
pub(super) async fn change(
    State(api): State<ApiState>,
    caller: Caller,
    Path(code): Path<String>,
    headers: HeaderMap,
    Body(change): Body<Change>,
) -> Result<Response, Problem> {
    if is_forward(&code) {
        return Err(Problem::not_found());
    }
    amend(api, caller, code, &headers, change).await
}

/// Changes a link or a forward.
async fn amend(
    api: ApiState,
    caller: Caller,
    code: String,
    headers: &HeaderMap,
    change: Change,
) -> Result<Response, Problem> {
    let if_match = precondition(headers)?;
    let checked = change.check(&api, if_match)?;
    api.0.quotas.conversion(&caller.actor, api.clock.monotonic())?;
    let by = By { actor: caller.actor, client: caller.peer.client };
    let (made, first) = {
        let api = api.clone();
        let changed = blocking(move || {
            let made = api.links.edit(&code, &checked.edit()?, &by)?;
            let first = first_ts(&api, &made.revision)?;
            Ok((made, first))
        });
        // A header that does not hold is 412 (RFC 9110 §13.1.1), a member of the body 409.
        changed.await.map_err(|p| if if_match.is_some() { p.precondition() } else { p })?
    };
    let response = Json(MadeLink::new(&api, &made, first)).into_response();
    Ok(tagged(response, &made.revision.revision.to_string()))
}

/// A change that somebody else's decision asks for; the revision that it made.
pub(super) async fn edit(
    api: &ApiState,
    caller: &Caller,
    code: &str,
    edit: Edit,
) -> Result<u32, Problem> {
    let (api, code) = (api.clone(), code.to_owned());
    let by = By { actor: caller.actor.clone(), client: caller.peer.client };
    blocking(move || Ok(api.links.edit(&code, &edit, &by)?.revision.revision)).await
}

/// Runs what blocks on a disk where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NotConverted> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Problem::internal(&e))?;
    done.map_err(|e| problem(&e))
}

/// The revision of `If-Match`; none for none and for `*`.
fn precondition(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let tag = etag::if_match(headers)?;
    tag.map(|tag| tag.parse().map_err(|_| etag::bad())).transpose()
}

fn problem(e: &NotConverted) -> Problem {
    match e {
        NotConverted::Target(refusal) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            refusal.code(),
            refusal.english(),
            refusal.chinese(),
        ),
        NotConverted::Listed(by) => listed(
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                Refusal::Listed.code(),
                Refusal::Listed.english(),
                Refusal::Listed.chinese(),
            ),
            by,
        ),
        NotConverted::Code => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "code_not_allowed",
            "This code cannot be chosen.",
            "不能选用此短码。",
        )
        .detail(Words::new(
            "A code is 1 to 64 of A-Z a-z 0-9 - _, not reserved, and not of the form of generated codes.",
            "短码为 1 至 64 个字符，可用 A-Z a-z 0-9 - _，不得为保留字，也不得与自动生成的短码形式相同。",
        )),
        NotConverted::Past => time::past(),
        NotConverted::Refuted(finding) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "target_refuted",
            "The target was verified and is not as it should be.",
            "目标经核验存在不符，不能创建链接。",
        )
        .with("finding", *finding),
        NotConverted::Closed => Problem::unavailable(
            "list_not_in_force",
            "A list without which nobody is sent on is not in force; links can be made once it is.",
            "一份必需的名单未能生效，暂停跳转；名单生效后方可创建链接。",
        ),
        NotConverted::Scope => out_of_scope(),
        NotConverted::Domain => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "domain_not_served",
            "No links are served at this host.",
            "本服务不在此域名上提供链接。",
        ),
        NotConverted::NotStopped => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "public_reason_without_stop",
            "Only a link that is stopped has a public reason.",
            "仅已停用的链接可以说明对外公开的停用原因。",
        ),
        NotConverted::Host(_)
        | NotConverted::HostListed(_)
        | NotConverted::Foreign
        | NotConverted::Loop(_)
        | NotConverted::TooManyHops(_) => forwards::problem(e),
        NotConverted::OtherRequest => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "A request of this Idempotency-Key asked for something else.",
            "此 Idempotency-Key 已用于内容不同的请求。",
        ),
        NotConverted::OwnerFull(max) => Problem::new(
            StatusCode::FORBIDDEN,
            "owner_full",
            "This owner has as many links as api.limits.owner_links_max allows.",
            "该所有者的有效链接数已达 api.limits.owner_links_max 上限。",
        )
        .with("limit", *max),
        NotConverted::Control(e) => control(e),
        NotConverted::Together(e) => control(e),
    }
}

/// Somebody else's links.
pub(in crate::api) fn out_of_scope() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "out_of_scope",
        "This token is for the links of one owner alone.",
        "此令牌仅可用于一个所有者的链接。",
    )
}

/// Names the rule that something is refused for.
fn listed(problem: Problem, by: &ListedBy) -> Problem {
    let order = |words: [&str; 2]| match (&*by.authority, &*by.order_number) {
        ("", "") => String::new(),
        (authority, "") => format!("{}{authority}", words[0]),
        ("", number) => format!("{}{number}", words[1]),
        (authority, number) => format!("{}{authority}{}{number}", words[0], words[1]),
    };
    let ListedBy { what, feed, feed_version, rule, .. } = by;
    let english = order([", ordered by ", ", order number "]);
    let chinese = order(["，作出机关：", "，文号："]);
    let words = Words::new(
        format!("{what} is on the list {feed} (version {feed_version}, rule {rule}){english}."),
        format!("{what} 在名单 {feed} 中（版本 {feed_version}，规则 {rule}）{chinese}。"),
    );
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    problem
        .detail(words)
        .with("feed", feed.as_str())
        .with("feed_version", feed_version.as_str())
        .with("rule", rule.as_str())
        .with("tier", by.tier)
        .with("authority", or_null(&by.authority))
        .with("order_number", or_null(&by.order_number))
}

fn control(e: &Error) -> Problem {
    match e {
        Error::Taken => Problem::new(
            StatusCode::CONFLICT,
            "code_taken",
            "The code is in use.",
            "短码已被使用。",
        ),
        Error::Unknown => Problem::not_found(),
        Error::Conflict { current } => Problem::new(
            StatusCode::CONFLICT,
            "revision_conflict",
            "The link is at another revision.",
            "链接已处于其他修订版本。",
        )
        .with("current_revision", *current),
        Error::Repeated => Problem::new(
            StatusCode::CONFLICT,
            "request_under_way",
            "A request of this Idempotency-Key is being answered.",
            "使用此 Idempotency-Key 的请求正在处理中。",
        ),
        Error::Password => Problem::bad_request("this password cannot be used"),
        Error::NoKey => Problem::unavailable(
            "no_signing_key",
            "There is no key to sign with: write one into the file of keys.",
            "没有可用于签名的密钥；请在密钥文件中添加。",
        ),
        Error::Held => Problem::unavailable(
            "starting",
            "The service has just started and cannot give out codes yet.",
            "服务刚启动，暂时无法生成短码。",
        ),
        Error::Away(_) | Error::InDoubt => Problem::unavailable(
            "control_away",
            "The database of links cannot be reached; nothing was changed.",
            "目前无法连接链接数据库；未作任何更改。",
        ),
        Error::Unshown => Problem::unavailable(
            "not_in_force_yet",
            "The change is kept and takes force when the database of links is back.",
            "更改已保存，将在链接数据库恢复后生效。",
        ),
        Error::Pending { node, .. } => Problem::unavailable(
            "pending_elsewhere",
            "Another node has not finished its change of this link.",
            "另一节点尚未完成对该链接的更改。",
        )
        .with("node", node.as_str()),
        Error::Race => Problem::unavailable(
            "changed_at_once",
            "Others change the same links at once; nothing was changed.",
            "他人正在同时更改相同的链接；未作任何更改。",
        ),
        Error::Full => Problem::unavailable(
            "no_room_for_record",
            "The record cannot be kept now; nothing was changed.",
            "目前无法保存记录；未作任何更改。",
        ),
        Error::Failed => Problem::unavailable(
            "control_state_failed",
            "Links cannot be changed until the service is restarted.",
            "服务重启之前无法更改链接。",
        ),
        e => Problem::internal(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions_are_tags_of_ours() {
        for (value, expected) in [
            ("\"3\"", Some(Some(3))),
            ("*", Some(None)),
            ("3", None),
            ("W/\"3\"", None),
            ("\"x\"", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, value.parse().unwrap());
            assert_eq!(precondition(&headers).ok(), expected, "{value}");
        }
    }
}
