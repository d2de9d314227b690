//! Forwards: links by what they forward.

use std::borrow::Cow;

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    super::{ApiState, Body, Caller, Params, Problem, Words},
    From, amend,
    bulk::many,
    checked,
    list::{Wanted, page},
    listed, make,
    members::{Change, NewLink},
    one,
};
use crate::links::{ForwardFrom, NotConverted, Refusal};

/// What a link has and a forward has not.
const OF_LINKS: [&str; 3] = ["code", "domain", "reuse"];

/// A forward to be, as [`create`] reads it: a link with `from` and without what names a link.
#[derive(Debug)]
pub(in crate::api) struct NewForward;

impl JsonSchema for NewForward {
    fn schema_name() -> Cow<'static, str> {
        "NewForward".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = NewLink::json_schema(generator);
        schema.insert("description".into(), "A forward to be.".into());
        schema.insert("required".into(), json!(["from", "target"]));
        if let Some(Value::Object(members)) = schema.get_mut("properties") {
            members.retain(|name, _| !OF_LINKS.contains(&name.as_str()));
            let from = "A host, or a host and a path of at most 4 segments: old.example/sale";
            members.insert("from".into(), json!({ "type": "string", "description": from }));
        }
        schema
    }
}

/// Which forwards to list: as links, but for the host that all of them have.
#[derive(Debug)]
pub(in crate::api) struct WantedForwards;

impl JsonSchema for WantedForwards {
    fn schema_name() -> Cow<'static, str> {
        "WantedForwards".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Wanted::json_schema(generator);
        if let Some(Value::Object(members)) = schema.get_mut("properties") {
            members.retain(|name, _| name != "domain");
        }
        schema
    }
}

/// `GET /api/v1/forwards`.
pub(in crate::api) async fn list(
    State(api): State<ApiState>,
    caller: Caller,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    page(api, &caller, wanted, true).await
}

/// `POST /api/v1/forwards`: as a link, with `from` and without what names a link.
pub(in crate::api) async fn create(
    State(api): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Body(new): Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    let (from, new) = parted(new)?;
    let (by, draft) = checked(&api, caller, &headers, new)?;
    make(api, by, draft.of_forward(from)?, "forwards").await
}

/// What is forwarded, and what else is said of it.
pub(super) fn parted(mut new: Map<String, Value>) -> Result<(ForwardFrom, NewLink), Problem> {
    let Some(Value::String(from)) = new.remove("from") else {
        return Err(Problem::bad_request("missing member from"));
    };
    let from = read_from(&from)?;
    let new = serde_json::from_value::<NewLink>(new.into());
    Ok((from, new.map_err(|e| Problem::bad_request(e.to_string()))?))
}

/// `POST /api/v1/forwards/bulk`.
pub(in crate::api) async fn bulk(
    State(api): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    many(api, caller, headers, request, true)
}

/// The code of the forward that `from` names; as it is for what names none.
pub(in crate::api) fn code_of(from: &str) -> String {
    ForwardFrom::parse(from).map_or_else(|_| format!("fwd:{from}"), |from| from.code())
}

/// `GET /api/v1/forwards/{from}`.
pub(in crate::api) async fn read(
    State(api): State<ApiState>,
    caller: Caller,
    Path(from): Path<String>,
    Params(From { from_revision }): Params<From>,
) -> Result<Response, Problem> {
    one(api, &caller, read_from(&from)?.code(), from_revision).await
}

/// `PATCH /api/v1/forwards/{from}`.
pub(in crate::api) async fn change(
    State(api): State<ApiState>,
    caller: Caller,
    Path(from): Path<String>,
    headers: HeaderMap,
    Body(change): Body<Change>,
) -> Result<Response, Problem> {
    amend(api, caller, read_from(&from)?.code(), &headers, change).await
}

fn read_from(text: &str) -> Result<ForwardFrom, Problem> {
    ForwardFrom::parse(text).map_err(refused)
}

fn refused(why: Refusal) -> Problem {
    let of = Words::new(
        "A forward begins at a host, or a path of it of at most 4 segments, as in old.example/sale.",
        "跳转起点为域名，或域名加不超过 4 段的路径，例如 old.example/sale。",
    );
    let problem = Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "forward_from_refused",
        "This cannot be forwarded.",
        "不能为此设置域名跳转。",
    );
    problem.detail(of).with("reason", why.code())
}

/// What is only ever wrong with forwards.
pub(super) fn problem(e: &NotConverted) -> Problem {
    let refuse = |code, english, chinese| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, english, chinese)
    };
    match e {
        NotConverted::Host(why) => refused(*why),
        NotConverted::HostListed(by) => listed(refused(Refusal::Listed), by),
        NotConverted::Foreign => refuse(
            "forward_host_foreign",
            "No zone served here holds this host.",
            "本服务未承载该域名所在的区域。",
        ),
        NotConverted::Loop(chain) => {
            refuse("loop", "The way would come back to where it began.", "该跳转会形成循环。")
                .with("chain", chain.join(" -> "))
        }
        NotConverted::TooManyHops(chain) => refuse(
            "too_many_hops",
            "The way would take more steps through links and forwards than gateway.hops_max.",
            "该跳转经过的链接与域名跳转次数超过上限（gateway.hops_max）。",
        )
        .with("chain", chain.join(" -> ")),
        other => Problem::internal(other),
    }
}
