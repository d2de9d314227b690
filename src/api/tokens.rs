//! Tokens: made, listed, revoked by the operator.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiState, Body, Caller, Problem, Words, time};
use crate::{
    clock::Timestamp,
    links::{self, Role, TokenRow},
};

/// A token to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    name: String,
    /// Its own name where there is none.
    #[serde(default)]
    person: Option<String>,
    role: String,
    #[serde(default)]
    expires: Option<String>,
}

/// Makes a token; its secret is in the answer and nowhere else.
pub(super) async fn create(
    State(api): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    let role = Role::from_name(&new.role).ok_or_else(|| {
        Problem::bad_request("role is one of operator, investigator, auditor, writer")
    })?;
    let expires = new.expires.as_deref().map(time::parse).transpose()?.unwrap_or(Timestamp::ZERO);
    if expires != Timestamp::ZERO && expires <= api.clock.now() {
        return Err(time::past());
    }
    let (name, person) = (new.name.clone(), new.person.unwrap_or_else(|| new.name.clone()));
    let mut body = json!({
        "name": name,
        "person": person,
        "role": role.name(),
        "expires": time::or_null(expires),
    });
    let made = tokio::task::spawn_blocking(move || {
        api.tokens.create(&name, &person, role, expires, &caller.actor)
    });
    let secret = made.await.map_err(|e| Problem::internal(&e))?.map_err(|e| problem(&e))?;
    body["token"] = secret.into();
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Every token, without its secret.
pub(super) async fn list(State(api): State<ApiState>) -> Result<Response, Problem> {
    let rows = tokio::task::spawn_blocking(move || api.tokens.list())
        .await
        .map_err(|e| Problem::internal(&e))?
        .map_err(|e| problem(&e))?;
    let rows: Vec<Value> = rows.iter().map(shown).collect();
    Ok(Json(json!({"tokens": rows})).into_response())
}

/// Ends a token.
pub(super) async fn revoke(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let ended = tokio::task::spawn_blocking(move || api.tokens.revoke(&name, &caller.actor));
    match ended.await.map_err(|e| Problem::internal(&e))?.map_err(|e| problem(&e))? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found()),
    }
}

fn shown(t: &TokenRow) -> Value {
    json!({
        "name": t.name,
        "person": t.person,
        "role": t.role,
        "created": t.created.to_string(),
        "expires": time::or_null(t.expires),
        "actor": t.actor,
    })
}

fn problem(e: &links::Error) -> Problem {
    match e {
        links::Error::Away(_) | links::Error::InDoubt => Problem::unavailable(
            "control_away",
            "The database of tokens cannot be reached.",
            "目前无法连接令牌数据库。",
        ),
        links::Error::Taken => Problem::new(
            StatusCode::CONFLICT,
            "token_exists",
            "The name is in use.",
            "名称已被使用。",
        ),
        links::Error::BadTokenName => {
            let chinese = "令牌及持有人名称为 1 至 64 个字符，可用 A-Z a-z 0-9 . _ - @。";
            Problem::bad_request("").detail(Words::new(e.to_string(), chinese))
        }
        links::Error::TooManyTokens(_) => Problem::new(
            StatusCode::CONFLICT,
            "too_many_tokens",
            "There are as many tokens as api.tokens_max allows.",
            "令牌数量已达 api.tokens_max 上限。",
        ),
        e => Problem::internal(e),
    }
}
