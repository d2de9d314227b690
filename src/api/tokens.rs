//! Tokens: made, listed, revoked by the operator.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiState, Body, Caller, Problem, Words, time};
use crate::{
    clock::Timestamp,
    links::{self, Role, TokenRow},
};

/// A token to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// Its name, as records keep it.
    name: String,
    /// The person who bears the token; as the token's name when absent.
    #[serde(default)]
    person: Option<String>,
    /// What it is for.
    #[schemars(extend("enum" = Role::ALL.map(Role::name)))]
    role: String,
    /// Whose links alone it is for, where the role is `writer`: what it makes is theirs, and it sees
    /// nobody else's.
    #[serde(default)]
    owner: Option<String>,
    /// Until when it counts.
    #[serde(default)]
    #[schemars(with = "Timestamp")]
    expires: Option<String>,
}

/// A token as it is made: the only time that its secret is shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Secret {
    /// Its name.
    name: String,
    /// The person who bears it.
    person: String,
    /// What it is for.
    #[schemars(extend("enum" = Role::ALL.map(Role::name)))]
    role: &'static str,
    /// Whose links alone it is for; null for everybody's.
    owner: Option<String>,
    /// Until when it counts.
    expires: Timestamp,
    /// The secret.
    token: String,
}

/// A token, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Token<'a> {
    /// Its name.
    name: &'a str,
    /// The person who bears it.
    person: &'a str,
    /// What it is for; a newer build's role opens nothing here.
    role: &'a str,
    /// Whose links alone it is for; null for everybody's.
    owner: Option<&'a str>,
    /// When it was made.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    created: Timestamp,
    /// Until when it counts.
    expires: Timestamp,
    /// The token that made it.
    actor: &'a str,
}

/// Every token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tokens<'a> {
    tokens: Vec<Token<'a>>,
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
    let owner = new.owner.filter(|owner| !owner.is_empty());
    if owner.is_some() && role != Role::Writer {
        return Err(Problem::bad_request("only a writer is for the links of one owner"));
    }
    if owner.as_ref().is_some_and(|owner| owner.len() > api.config.note_bytes_max) {
        return Err(Problem::bad_request("owner is longer than api.note_bytes_max"));
    }
    let (name, person) = (new.name.clone(), new.person.unwrap_or_else(|| new.name.clone()));
    let made = tokio::task::spawn_blocking(move || {
        let of = owner.as_deref().unwrap_or("");
        let token = api.tokens.create(&name, &person, role, of, expires, &caller.actor)?;
        Ok(Secret { name, person, role: role.name(), owner, expires, token })
    });
    let secret = made.await.map_err(|e| Problem::internal(&e))?.map_err(|e| problem(&e))?;
    Ok((StatusCode::CREATED, Json(secret)).into_response())
}

/// Every token, without its secret.
pub(super) async fn list(State(api): State<ApiState>) -> Result<Response, Problem> {
    let rows = tokio::task::spawn_blocking(move || api.tokens.list())
        .await
        .map_err(|e| Problem::internal(&e))?
        .map_err(|e| problem(&e))?;
    Ok(Json(Tokens { tokens: rows.iter().map(shown).collect() }).into_response())
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

fn shown(t: &TokenRow) -> Token<'_> {
    Token {
        name: &t.name,
        person: &t.person,
        role: &t.role,
        owner: Some(&*t.owner).filter(|owner| !owner.is_empty()),
        created: t.created,
        expires: t.expires,
        actor: &t.actor,
    }
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
