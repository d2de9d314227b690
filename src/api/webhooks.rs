//! Webhooks: registered, listed, changed, tried, disabled; their deliveries, and those that failed
//! sent again. Secrets are in the answers that make them, and in no other.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiState, Body, Caller, Params, Problem, Words,
    etag::{self, tagged},
};
use crate::{
    clock::Timestamp,
    links,
    webhooks::{
        BadPlace, Counts, Delivery, Endpoint, Kind, NewEndpoint, State as Stands, Store, place,
    },
};

/// Deliveries on one page.
const PAGE: usize = 100;

/// An endpoint to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// Where to, by HTTPS.
    url: String,
    /// Everything where there are none.
    #[serde(default)]
    events: Vec<String>,
    /// What it is for.
    #[serde(default)]
    note: String,
}

/// A change of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Where to, by HTTPS.
    url: Option<String>,
    /// Which events; none for everything.
    events: Option<Vec<String>>,
    /// What it is for.
    note: Option<String>,
    /// `enabled` or `disabled`.
    state: Option<String>,
    /// Make another secret.
    #[serde(default)]
    rotate_secret: bool,
}

/// Which deliveries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// `waiting`, `delivered` or `dead`; dead when absent.
    state: Option<String>,
    /// Those with numbers below this.
    before: Option<i64>,
}

/// What to send again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Again {
    /// One delivery, by its number; all when absent.
    delivery: Option<i64>,
}

/// Nothing more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Webhook {
    /// Its number.
    id: i64,
    /// Where to.
    url: String,
    /// Which events; none for everything.
    #[schemars(with = "Vec<String>")]
    events: Vec<&'static str>,
    /// `enabled` or `disabled`.
    #[schemars(with = "String")]
    state: &'static str,
    /// `asked`, or `gone` where it said so itself.
    disabled_because: Option<String>,
    /// What it is for.
    note: String,
    /// When it was registered.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    created: Timestamp,
    /// By which token.
    actor: String,
    /// Deliveries that wait.
    waiting: u64,
    /// Since when the oldest of them does.
    waiting_since: Timestamp,
    /// Deliveries that were given up and are still kept.
    dead: u64,
    /// The secret that signs, where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Every webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Webhooks {
    webhooks: Vec<Webhook>,
}

/// One message on its way to one endpoint.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(super) struct Shown {
    /// Its number.
    delivery: i64,
    /// The message's id.
    message: String,
    /// What is told.
    event: String,
    /// `waiting`, `delivered` or `dead`.
    state: String,
    /// When it came into the queue, or was sent again.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    created: Timestamp,
    /// When it is tried next.
    due: Timestamp,
    /// Attempts so far.
    attempts: i64,
    /// When it ended.
    ended: Timestamp,
    /// The status of the last answer.
    status: Option<i64>,
    /// What came of the last attempt, where it was not taken.
    outcome: Option<String>,
}

/// Deliveries, and where the next page begins.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Deliveries {
    deliveries: Vec<Shown>,
    /// For `before`.
    next_before: Option<i64>,
}

/// A try in the queue.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tried {
    /// The webhook's number.
    webhook: i64,
    /// The message's id.
    message: String,
}

/// Deliveries in the queue again.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Resent {
    /// The webhook's number.
    webhook: i64,
    /// How many.
    resent: u64,
}

/// `POST /api/v1/webhooks`.
pub(super) async fn add(
    State(api): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewWebhook>,
) -> Result<Response, Problem> {
    let url = place(&new.url, &api.webhooks.allowed_hosts).map_err(bad_place)?;
    let kinds = kinds(&new.events)?;
    note(&api, &new.note)?;
    let (salt, now) = (salt()?, api.clock.now());
    let max = api.webhooks.endpoints_max;
    let mut made = None;
    let (endpoint, step) = {
        let api = api.clone();
        blocking(move || {
            api.links.store().transact(&mut |db| {
                if Store::endpoints(db)?.len() >= max {
                    return Ok(());
                }
                let actor = &caller.actor.name;
                let new = NewEndpoint { url: &url, kinds: &kinds, note: &new.note, salt, actor };
                let id = Store::add(db, &new, now)?;
                made = Some((Store::endpoint(db, id)?, Store::last_step(db, id)?));
                Ok(())
            })?;
            Ok(made)
        })
        .await?
        .ok_or_else(too_many)?
    };
    let mut body = shown(&endpoint, Counts::default());
    body.secret = Some(api.signer.shown(endpoint.id, &endpoint.salt));
    Ok(tagged((StatusCode::CREATED, Json(body)).into_response(), &step.to_string()))
}

/// `GET /api/v1/webhooks`.
pub(super) async fn list(State(api): State<ApiState>) -> Result<Response, Problem> {
    let found = blocking(move || {
        let mut found = Vec::new();
        api.links.store().look(&mut |db| {
            found.clear();
            for endpoint in Store::endpoints(db)? {
                let counts = Store::counts(db, endpoint.id)?;
                found.push(shown(&endpoint, counts));
            }
            Ok(())
        })?;
        Ok(found)
    });
    Ok(Json(Webhooks { webhooks: found.await? }).into_response())
}

/// `GET /api/v1/webhooks/{id}`.
pub(super) async fn read(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let (body, step) = one(&api, id).await?;
    Ok(tagged(Json(body).into_response(), &step.to_string()))
}

/// A webhook, and the number of its last change.
async fn one(api: &ApiState, id: i64) -> Result<(Webhook, i64), Problem> {
    let api = api.clone();
    blocking(move || {
        let mut found = None;
        api.links.store().look(&mut |db| {
            let endpoint = Store::endpoint(db, id)?;
            let counts = Store::counts(db, id)?;
            found = Some((shown(&endpoint, counts), Store::last_step(db, id)?));
            Ok(())
        })?;
        found.ok_or(links::Error::Unknown)
    })
    .await
}

/// `PATCH /api/v1/webhooks/{id}`.
pub(super) async fn change(
    State(api): State<ApiState>,
    caller: Caller,
    Path(id): Path<i64>,
    headers: HeaderMap,
    Body(change): Body<Change>,
) -> Result<Response, Problem> {
    let base = base(&headers)?;
    let allowed = &api.webhooks.allowed_hosts;
    let url = change.url.map(|url| place(&url, allowed).map_err(bad_place)).transpose()?;
    let kinds = change.events.map(|events| kinds(&events)).transpose()?;
    note(&api, change.note.as_deref().unwrap_or(""))?;
    let enabled = match change.state.as_deref() {
        None => None,
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => return Err(Problem::bad_request("state is enabled or disabled")),
    };
    let other = url.is_some() || kinds.is_some() || change.note.is_some() || enabled.is_some();
    if !other && !change.rotate_secret {
        let why = "give at least one of url, events, note, state, rotate_secret";
        return Err(Problem::bad_request(why));
    }
    let new_salt = if change.rotate_secret { Some(salt()?) } else { None };
    let now = api.clock.now();
    let until = now.saturating_add(std::time::Duration::from_secs(api.webhooks.secret_overlap_s));
    let salt_now = amend(&api, (id, base), caller, now, move |e| {
        if let Some(url) = &url {
            e.url.clone_from(url);
        }
        if let Some(kinds) = &kinds {
            e.kinds.clone_from(kinds);
        }
        if let Some(note) = &change.note {
            e.note.clone_from(note);
        }
        if let Some(enabled) = enabled {
            e.enabled = enabled;
            e.why = if enabled { String::new() } else { "asked".to_owned() };
        }
        match new_salt {
            None => "changed",
            Some(salt) => {
                e.before = Some((std::mem::replace(&mut e.salt, salt.to_vec()), until));
                "rotated"
            }
        }
    })
    .await?;
    let (mut body, step) = one(&api, id).await?;
    if change.rotate_secret {
        body.secret = Some(api.signer.shown(id, &salt_now));
    }
    Ok(tagged(Json(body).into_response(), &step.to_string()))
}

/// The change that `If-Match` names; none for any.
fn base(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    etag::if_match(headers)?.map(|tag| tag.parse().map_err(|_| etag::bad())).transpose()
}

/// `DELETE /api/v1/webhooks/{id}`: it is told nothing more, and stays known.
pub(super) async fn disable(
    State(api): State<ApiState>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let now = api.clock.now();
    amend(&api, (id, None), caller, now, |e| {
        (e.enabled, e.why) = (false, "asked".to_owned());
        "disabled"
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Changes an endpoint, where this change is its last or it does not matter; what its secret is made of
/// then.
async fn amend(
    api: &ApiState,
    (id, base): (i64, Option<i64>),
    caller: Caller,
    now: Timestamp,
    with: impl Fn(&mut Endpoint) -> &'static str + Send + 'static,
) -> Result<Vec<u8>, Problem> {
    let api = api.clone();
    let salt = blocking(move || {
        let mut salt = None;
        api.links.store().transact(&mut |db| {
            Store::hold(db, id)?;
            let last = Store::last_step(db, id)?;
            if base.is_some_and(|base| base != last) {
                salt = None;
                return Ok(());
            }
            let mut endpoint = Store::endpoint(db, id)?;
            let step = with(&mut endpoint);
            salt = Some(endpoint.salt.clone());
            Store::put(db, &endpoint, step, &caller.actor.name, now)
        })?;
        Ok(salt)
    });
    salt.await?.ok_or_else(changed_meanwhile)
}

/// `POST /api/v1/webhooks/{id}/test`: a message goes the way of all others.
pub(super) async fn test(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Response, Problem> {
    let (salt, now) = (salt()?, api.clock.now());
    let message = blocking(move || {
        let mut message = None;
        api.links.store().transact(&mut |db| {
            message = match Store::endpoint(db, id)?.enabled {
                true => Some(Store::test(db, id, &salt, now)?),
                false => None,
            };
            Ok(())
        })?;
        Ok(message)
    });
    let message = message.await?.ok_or_else(is_disabled)?;
    Ok((StatusCode::ACCEPTED, Json(Tried { webhook: id, message })).into_response())
}

/// `GET /api/v1/webhooks/{id}/deliveries`.
pub(super) async fn deliveries(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let state = wanted.state.as_deref().unwrap_or("dead");
    let state = Stands::from_name(state)
        .ok_or_else(|| Problem::bad_request("state is waiting, delivered or dead"))?;
    let before = wanted.before.unwrap_or(i64::MAX);
    let mut found = blocking(move || {
        let mut found = Vec::new();
        api.links.store().look(&mut |db| {
            Store::endpoint(db, id)?;
            found = Store::deliveries(db, id, state, before, PAGE + 1)?;
            Ok(())
        })?;
        Ok(found)
    })
    .await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| more).map(|d| d.id);
    let deliveries = found.into_iter().map(delivery).collect();
    Ok(Json(Deliveries { deliveries, next_before: next }).into_response())
}

/// `POST /api/v1/webhooks/{id}/resend`: what was given up, one or all.
pub(super) async fn resend(
    State(api): State<ApiState>,
    Path(id): Path<i64>,
    Body(again): Body<Again>,
) -> Result<Response, Problem> {
    let now = api.clock.now();
    let count = blocking(move || {
        let mut count = None;
        api.links.store().transact(&mut |db| {
            count = match Store::endpoint(db, id)?.enabled {
                true => Some(Store::resend(db, id, again.delivery, now)?),
                false => None,
            };
            Ok(())
        })?;
        Ok(count)
    });
    let resent = count.await?.ok_or_else(is_disabled)?;
    Ok(Json(Resent { webhook: id, resent }).into_response())
}

fn shown(e: &Endpoint, counts: Counts) -> Webhook {
    Webhook {
        id: e.id,
        url: e.url.clone(),
        events: e.kinds.iter().map(|k| k.name()).collect(),
        state: if e.enabled { "enabled" } else { "disabled" },
        disabled_because: Some(e.why.clone()).filter(|why| !why.is_empty()),
        note: e.note.clone(),
        created: e.created,
        actor: e.actor.clone(),
        waiting: counts.waiting,
        waiting_since: counts.oldest,
        dead: counts.dead,
        secret: None,
    }
}

fn delivery(d: Delivery) -> Shown {
    Shown {
        due: if d.ended == Timestamp::ZERO { d.due } else { Timestamp::ZERO },
        delivery: d.id,
        message: d.message,
        event: d.kind,
        state: d.state,
        created: d.created,
        attempts: d.attempts,
        ended: d.ended,
        status: Some(d.status).filter(|status| *status != 0),
        outcome: Some(d.outcome).filter(|outcome| !outcome.is_empty()),
    }
}

fn kinds(events: &[String]) -> Result<Vec<Kind>, Problem> {
    let mut kinds = Vec::new();
    for event in events {
        let kind = Kind::from_name(event).ok_or_else(|| {
            let all: Vec<&str> = Kind::ALL.iter().map(|k| k.name()).collect();
            Problem::bad_request(format!("events are of {}", all.join(", ")))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn note(api: &ApiState, note: &str) -> Result<(), Problem> {
    match note.len() > api.config.note_bytes_max {
        true => Err(Problem::bad_request("note is longer than api.note_bytes_max")),
        false => Ok(()),
    }
}

fn salt() -> Result<[u8; 32], Problem> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|e| Problem::internal(&e))?;
    Ok(salt)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, links::Error> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Problem::internal(&e))?;
    done.map_err(|e| match e {
        links::Error::Unknown => Problem::not_found(),
        links::Error::Away(_) | links::Error::InDoubt => Problem::unavailable(
            "control_away",
            "The database of webhooks cannot be reached.",
            "目前无法连接事件推送数据库。",
        ),
        e => Problem::internal(&e),
    })
}

fn bad_place(why: BadPlace) -> Problem {
    let chinese = match why {
        BadPlace::Url => "须为 https 地址，不超过 2048 字节，不得含用户信息与片段。",
        BadPlace::NotPublic => "该主机不是公网主机；如需推送，请在 webhooks.allowed_hosts 中列出。",
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "webhook_url_refused",
        "Nobody can be told there.",
        "不能向此地址推送事件。",
    )
    .detail(Words::new(why.to_string(), chinese))
}

fn too_many() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "too_many_webhooks",
        "There are as many webhooks as webhooks.endpoints_max allows.",
        "事件推送地址数量已达 webhooks.endpoints_max 上限。",
    )
}

fn changed_meanwhile() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "changed_meanwhile",
        "Somebody else changed it first.",
        "他人已先行更改。",
    )
}

fn is_disabled() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "webhook_disabled",
        "This webhook is disabled.",
        "该事件推送已停用。",
    )
}
