//! Who reported or appealed, how they are reached and in which words: looks at persons.
//!
//! Each needs a case number and a purpose, and is a record of [`crate::trace`], refused or not.
//! Everywhere else the columns about these persons are withheld.

use std::net::IpAddr;

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::Response,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ApiState, Caller, Problem, feeds, reports, trace as looks};
use crate::{
    clock::Timestamp,
    feeds::{Appeal, AppealStatus},
    reports::{Error, Person},
    trace::{Look, Tracer},
};

/// `GET /api/v1/reports/{number}/person`.
pub(super) async fn of_report(
    State(api): State<ApiState>,
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    Path(number): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let look = look(&caller, query.as_deref())?;
    let of = number.clone();
    let read = || async move {
        let person = reports::blocking(&api, move |desk| {
            let id = desk.one(&of)?.report.id;
            desk.store().person(id)?.ok_or(Error::Unknown)
        });
        page(&ToldPerson::of(&person.await?))
    };
    Ok(looks::json(tracer.person(&look, ("report", &number), read).await?))
}

/// `GET /api/v1/appeals/{id}/person`: whoever appealed, by a report or through an operator.
pub(super) async fn of_appeal(
    State(api): State<ApiState>,
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    Path(id): Path<u64>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let look = look(&caller, query.as_deref())?;
    let read = || async move {
        let appeal = feeds::blocking(&api, move |feeds| feeds.appeal(id)).await?;
        let reported = reports::blocking(&api, move |desk| {
            let Some(standing) = desk.store().of_appeal(id)? else { return Ok(None) };
            let person = desk.store().person(standing.report.id)?;
            Ok(person.map(|person| (standing.report.number, person)))
        });
        let reported = reported.await?;
        page(&match &reported {
            Some((number, person)) => ToldAppellant {
                appeal: appeal.id,
                report: Some(number),
                contact: &person.contact,
                text: Some(&person.text),
                client: Some(person.client.ip()),
                client_port: Some(person.client.port()),
            },
            None => ToldAppellant {
                appeal: appeal.id,
                report: None,
                contact: &appeal.claimant,
                text: None,
                client: None,
                client_port: None,
            },
        })
    };
    Ok(looks::json(tracer.person(&look, ("appeal", &id.to_string()), read).await?))
}

/// Who reported, and in which words.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportPerson")]
pub(super) struct ToldPerson<'a> {
    /// How to be reached; empty for not at all.
    contact: &'a str,
    /// What they wrote.
    text: &'a str,
    /// The address they connected from.
    client: IpAddr,
    /// And its port.
    client_port: u16,
}

impl<'a> ToldPerson<'a> {
    fn of(person: &'a Person) -> Self {
        let (client, client_port) = (person.client.ip(), person.client.port());
        Self { contact: &person.contact, text: &person.text, client, client_port }
    }
}

/// Who appealed; with a report, also in which words and from where.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AppealPerson")]
pub(super) struct ToldAppellant<'a> {
    /// The appeal.
    appeal: u64,
    /// How to be reached.
    contact: &'a str,
    /// The number of the report that opened the appeal; absent where an operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a str>,
    /// What they wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The address they connected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    /// And its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
}

/// An appeal against a rule, without the person behind it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Appeal")]
pub(super) struct ToldAppeal {
    /// Its id: that of the event that opened it.
    id: u64,
    /// When it was opened.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    ts: Timestamp,
    /// The feed whose rule it is about; empty for every feed's.
    feed: String,
    /// The rule's trigger.
    subject: String,
    /// How to reach whoever appeals: withheld.
    claimant: Option<String>,
    /// Why they appeal.
    reason: String,
    /// Who took it down.
    opened_by: String,
    /// How it stands.
    status: AppealStatus,
    /// Why it was decided so.
    decision: String,
    /// Who decided.
    decided_by: String,
    /// When; null for not yet.
    decided_at: Timestamp,
    /// The members that are withheld.
    withheld: Vec<&'static str>,
}

impl From<Appeal> for ToldAppeal {
    fn from(a: Appeal) -> Self {
        Self {
            id: a.id,
            ts: a.ts,
            feed: a.feed,
            subject: a.subject,
            claimant: None,
            reason: a.reason,
            opened_by: a.opened_by,
            status: a.status,
            decision: a.decision,
            decided_by: a.decided_by,
            decided_at: a.decided_at,
            withheld: vec!["claimant"],
        }
    }
}

fn page(told: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(told).map_err(|e| Problem::internal(&e))
}

/// Who looks, and why.
fn look(caller: &Caller, query: Option<&str>) -> Result<Look, Problem> {
    let mut look = Look {
        actor: caller.actor.name.to_string(),
        role: caller.actor.role.name(),
        peer: caller.peer.client,
        case_number: String::new(),
        purpose: String::new(),
    };
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "case" => look.case_number = value.into_owned(),
            "purpose" => look.purpose = value.into_owned(),
            _ => return Err(Problem::bad_request("case and purpose can be given")),
        }
    }
    Ok(look)
}
