//! Webhooks: registered, listed, changed, tried, disabled; their deliveries, and those that failed
//! sent again. Secrets are in the answers that make them, and in no other.

mod members;
mod problems;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};

pub(super) use self::members::{
    Again, Change, Deliveries, NewWebhook, Nothing, Resent, Tried, Wanted, Webhook, Webhooks,
};
use self::{
    members::{delivery, kinds, shown},
    problems::{bad_place, changed_meanwhile, is_disabled, too_many},
};
use super::{
    ApiState, Body, Caller, Params, Problem,
    etag::{self, tagged},
};
use crate::{
    clock::Timestamp,
    links,
    webhooks::{Counts, Endpoint, NewEndpoint, State as Stands, Store, place},
};

/// Deliveries on one page.
const PAGE: usize = 100;

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
