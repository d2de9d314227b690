//! `/api/v1/checks` and `/api/v1/declarations`: a name, a URL or an address is verified, and the
//! verdict recorded before it is told; recorded verdicts are judged again; owners' declarations.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ApiState, Body, Caller, Params, Problem, Words};
use crate::{
    trace::Recorded,
    verify::{
        BookError, Coverage, Declaration, Declared, Dossier, NotVerified, Occasion, Perspective,
        Subject, Unjudged, Verdict, evidence::EvidenceId,
    },
};

/// What is to be verified.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["subject"]))]
pub(super) struct NewCheck {
    /// A name in any script, a URL, or an address.
    subject: String,
}

fn subject(text: &str) -> Result<Subject, Problem> {
    Subject::parse(text).map_err(|e| not_understood(e.to_string()))
}

fn not_understood(why: String) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "subject_not_understood",
        "This is nothing that can be verified.",
        "无法核验此内容。",
    )
    .detail(Words::new(why, "请填写域名、网址或 IP 地址。"))
}

/// `POST /api/v1/checks`.
pub(super) async fn check(
    State(api): State<ApiState>,
    Body(new): Body<NewCheck>,
) -> Result<Response, Problem> {
    let subject = subject(&new.subject)?;
    let told =
        api.verifier.verify(&subject, Occasion::Asked).await.map_err(|e| not_verified(&e))?;
    Ok(Json(told).into_response())
}

fn not_verified(error: &NotVerified) -> Problem {
    match error {
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
    }
}

/// `GET /api/v1/perspectives/{name}`.
pub(super) async fn perspective(
    State(api): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Perspective>, Problem> {
    let subject = subject(&name)?;
    let host = subject
        .host()
        .ok_or_else(|| not_understood("an address has no perspectives".to_owned()))?;
    let seen = api.verifier.perspective(host).await;
    seen.map(Json).map_err(|e| not_verified(&e))
}

fn book(error: &BookError) -> Problem {
    tracing::error!(%error, "the book of verifications failed");
    Problem::unavailable(
        "control_away",
        "The control state cannot be read or written now.",
        "控制状态暂时无法读写。",
    )
}

/// `GET /api/v1/coverage`.
pub(super) async fn coverage(State(api): State<ApiState>) -> Result<Json<Coverage>, Problem> {
    let now = api.clock.now();
    let coverage = api.verifier.with_book(move |b| b.coverage(now)).await;
    coverage.map(Json).map_err(|e| book(&e))
}

/// A verdict as it was recorded, and as it is judged now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Replay {
    /// The record.
    #[schemars(with = "BTreeMap<String, Value>")]
    record: Map<String, Value>,
    /// What the same evidence gives now; null where it cannot be judged.
    replayed: Option<Verdict>,
    /// Whether that is what was recorded.
    same: bool,
    /// Why it cannot be judged; empty where it can.
    why: String,
    /// How many bodies it rests on.
    bodies: usize,
}

/// The digests of the bodies that a dossier names.
pub(super) fn named(dossier: &[u8]) -> Vec<String> {
    let outline = Dossier::outline(dossier);
    let named = outline.iter().flat_map(|d| &d.bundle.observations).filter_map(|o| o.evidence());
    let mut named: Vec<String> = named.map(|id| id.to_string()).collect();
    named.sort_unstable();
    named.dedup();
    named
}

/// Judges a recorded verdict again, from what is kept alone.
pub(super) fn replay(recorded: Recorded) -> Vec<u8> {
    let Recorded { record, dossier, bodies } = recorded;
    let (count, judged) = (bodies.len(), judged(dossier, bodies));
    let json = |verdict: &Verdict| {
        let parts =
            (serde_json::to_string(&verdict.grid), serde_json::to_string(&verdict.findings));
        (
            verdict.overall.name().to_owned(),
            parts.0.unwrap_or_default(),
            parts.1.unwrap_or_default(),
        )
    };
    let column =
        |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kept = (column("overall"), column("grid"), column("findings"));
    let (replayed, why) = match judged {
        Ok(verdict) => (Some(verdict), String::new()),
        Err(e) => (None, e.to_string()),
    };
    let same = replayed.as_ref().is_some_and(|verdict| json(verdict) == kept);
    let told = Replay { record, replayed, same, why, bodies: count };
    // Its maps have text for keys.
    serde_json::to_vec(&told).unwrap_or_default()
}

fn judged(dossier: Option<Vec<u8>>, bodies: Vec<(String, Vec<u8>)>) -> Result<Verdict, Unjudged> {
    let dossier = dossier.ok_or(Unjudged::Unreadable)?;
    let id = |(id, body): (String, Vec<u8>)| Some((id.parse::<EvidenceId>().ok()?, body));
    Dossier::unpack(&dossier, bodies.into_iter().filter_map(id).collect())?.judge()
}

/// Which page of the declarations.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct After {
    /// `next_cursor` of the page before.
    cursor: String,
    /// How many at most; 1,000 at most.
    limit: Option<u32>,
}

/// A page of declarations.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Declarations {
    /// By domain.
    declarations: Vec<Declared>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// `GET /api/v1/declarations`.
pub(super) async fn declarations(
    State(api): State<ApiState>,
    Params(After { cursor, limit }): Params<After>,
) -> Result<Json<Declarations>, Problem> {
    let limit = limit.unwrap_or(1_000).clamp(1, 1_000);
    let found = api.verifier.with_book(move |b| b.all_declared(&cursor, limit + 1)).await;
    let mut declarations = found.map_err(|e| book(&e))?;
    let more = declarations.len() > limit as usize;
    declarations.truncate(limit as usize);
    let next_cursor = declarations.last().filter(|_| more).map(|d| d.domain.clone());
    Ok(Json(Declarations { declarations, next_cursor }))
}

/// A domain in the path.
fn domain(text: &str) -> Result<String, Problem> {
    match subject(text)? {
        Subject::Host(name) => Ok(name.to_string()),
        _ => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "subject_not_understood",
            "Declarations are about domains.",
            "申报的对象必须是域名。",
        )),
    }
}

/// `POST /api/v1/declarations/{domain}`.
pub(super) async fn declare(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(declaration): Body<Declaration>,
) -> Result<Json<Declared>, Problem> {
    let domain = domain(&name)?;
    let wrong = |why: String| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "declaration_not_understood",
            "This declares nothing that can be held against anything.",
            "申报内容无效。",
        )
        .detail(Words::new(why, "请检查申报的各项内容。"))
    };
    let mut declaration = declaration.checked().map_err(|e| wrong(e.to_string()))?;
    // Who holds a domain is kept as a digest, like what registries say of it.
    if let Some(holder) = &declaration.holder {
        let registries = api.verifier.registries();
        let digest = registries.map(|r| r.stripper().digest(holder));
        let digest = digest.ok_or_else(|| wrong("holder: no registries are asked here".into()))?;
        declaration.holder = Some(digest);
    }
    let (at, actor) = (api.clock.now(), caller.actor.name.to_string());
    let told = Declared { domain: domain.clone(), at, actor: actor.clone(), declaration };
    let kept = told.declaration.clone();
    let done = api.verifier.with_book(move |b| {
        b.declare(&domain, Some(&kept), &actor, at)?;
        // What was just declared is held against what is so.
        match b.enqueue(&domain, Occasion::Create, at) {
            Err(BookError::Full) => Ok(()),
            other => other,
        }
    });
    done.await.map_err(|e| book(&e))?;
    Ok(Json(told))
}

/// `DELETE /api/v1/declarations/{domain}`.
pub(super) async fn withdraw(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let domain = domain(&name)?;
    let (at, actor) = (api.clock.now(), caller.actor.name.to_string());
    let done = api.verifier.with_book(move |b| b.declare(&domain, None, &actor, at)).await;
    done.map(|()| StatusCode::NO_CONTENT).map_err(|e| book(&e))
}
