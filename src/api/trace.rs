//! Questions: `GET /api/v1/trace` and `GET /api/v1/records/{id}`.
//!
//! Both need nothing but a valid token to get here: what a role may see is decided, and a refusal
//! recorded, by [`crate::trace`]. For the same reason the query string is read here, not by an
//! extractor that would answer before anything is recorded.

use axum::{
    Extension, Router,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};

use super::{
    ApiState, Caller, Problem, Words, checks, feeds,
    links::{self, Walked},
    notices, persons, rules,
};
use crate::trace::{Ask, Error, Look, Tracer};

/// The routes, for [`super::router`].
pub fn routes(tracer: Tracer) -> Router<ApiState> {
    Router::new()
        .route("/api/v1/trace", get(page))
        .route("/api/v1/checks/{record}", get(verdict))
        .route("/api/v1/records/{id}", get(record))
        .route("/api/v1/links/{code}/stats", get(stats))
        .route("/api/v1/links/{code}/hops", get(hops))
        .route("/api/v1/forwards/{from}/stats", get(forward_stats))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/notices/summary", get(notices::summary))
        .route("/api/v1/reports/{number}/person", get(persons::of_report))
        .route("/api/v1/appeals/{id}/person", get(persons::of_appeal))
        .route("/api/v1/feeds/{name}/report", get(feeds::report))
        .layer(Extension(tracer))
}

async fn page(
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(query.as_deref());
    let look = given.look(&caller);
    tracer.page(&look, &given.ask).await.map(json).map_err(problem)
}

async fn record(
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(query.as_deref());
    let ask = Ask { text: id, kind: Some("record".to_owned()), ..given.ask.clone() };
    tracer.record(&given.look(&caller), &ask).await.map(json).map_err(problem)
}

/// A recorded verdict, judged again.
async fn verdict(
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    Path(record): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let look = Given::read(query.as_deref()).look(&caller);
    let told = tracer.verdict(&look, &record, checks::named, checks::replay).await;
    told.map(json).map_err(problem)
}

/// What became of a link.
async fn stats(
    State(api): State<ApiState>,
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    Path(code): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(query.as_deref());
    let (from, to) = (given.ask.from.as_deref(), given.ask.to.as_deref());
    let walked = links::standing(&api, &code).await;
    let found = walked.as_ref().map(Walked::found);
    let look = given.look(&caller);
    tracer.link_stats(&look, &code, (from, to), found).await.map(json).map_err(problem)
}

/// What became of a forward.
async fn forward_stats(
    api: State<ApiState>,
    tracer: Extension<Tracer>,
    caller: Caller,
    Path(from): Path<String>,
    query: RawQuery,
) -> Result<Response, Problem> {
    stats(api, tracer, caller, Path(links::forwards::code_of(&from)), query).await
}

/// Where a link leads.
async fn hops(
    State(api): State<ApiState>,
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    Path(code): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(query.as_deref());
    let walked = links::standing(&api, &code).await;
    let standing = walked.as_ref().map(Walked::standing);
    let (look, limit) = (given.look(&caller), given.ask.limit);
    tracer.link_hops(&look, &code, limit, standing).await.map(json).map_err(problem)
}

/// The query string.
#[derive(Debug, Default)]
struct Given {
    ask: Ask,
    case_number: String,
    purpose: String,
}

impl Given {
    fn read(query: Option<&str>) -> Self {
        let mut given = Self::default();
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.into_owned();
            match &*name {
                _ if seen.contains(&name) => given.ask.misfit = true,
                "q" => given.ask.text = value,
                "kind" => given.ask.kind = Some(value),
                "from" => given.ask.from = Some(value),
                "to" => given.ask.to = Some(value),
                "case" => given.case_number = value,
                "purpose" => given.purpose = value,
                "cursor" => given.ask.cursor = Some(value),
                "limit" => match value.parse() {
                    Ok(n) if n > 0 => given.ask.limit = Some(n),
                    _ => given.ask.misfit = true,
                },
                _ => given.ask.misfit = true,
            }
            seen.push(name);
        }
        given
    }

    fn look(&self, caller: &Caller) -> Look {
        Look {
            actor: caller.actor.name.to_string(),
            role: caller.actor.role.name(),
            peer: caller.peer.client,
            case_number: self.case_number.clone(),
            purpose: self.purpose.clone(),
        }
    }
}

pub(super) fn json(page: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], page).into_response()
}

pub(super) fn problem(e: Error) -> Problem {
    let said = e.to_string();
    match e {
        Error::Question(_)
        | Error::Window(_)
        | Error::Cursor(_)
        | Error::Detail
        | Error::Parameter => Problem::bad_request(said),
        Error::Role => new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "This token's role may not look at records.",
            "该令牌的角色无权调阅记录。",
        ),
        Error::Persons => new(
            StatusCode::FORBIDDEN,
            "persons",
            "A question by client needs a case number, a purpose, and a role that may ask it.",
            "按来访者查询须填写案件编号与用途，且角色须有相应权限。",
        )
        .detail(Words::new(
            said,
            "按来访者查询涉及个人信息：须为 operator 或 investigator 角色，并提供 case 与 purpose。",
        )),
        Error::NotFound => new(
            StatusCode::NOT_FOUND,
            "not_found",
            "No such record has arrived in the store.",
            "存储中没有此记录。",
        ),
        Error::Busy => Problem::unavailable(
            "busy",
            "As many questions as trace.concurrent_max allows are being answered.",
            "同时查询数已达 trace.concurrent_max 上限。",
        ),
        Error::Limit(_) => new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "limit",
            "The question needs more than it may take.",
            "查询超出资源限制。",
        )
        .detail(Words::new(said, "请缩短时间范围后重试。")),
        Error::NotRecorded => Problem::unavailable(
            "not_recorded",
            "The look could not be recorded, so nothing is shown.",
            "调阅无法留痕，故不予显示。",
        ),
        Error::Store { code, ref name } => {
            tracing::warn!(code, name, "the store did not answer a question");
            Problem::unavailable(
                "store_unavailable",
                "The store cannot be asked now.",
                "暂时无法查询存储。",
            )
        }
        Error::Malformed => Problem::internal(&e),
    }
}

fn new(
    status: StatusCode,
    code: &'static str,
    english: &'static str,
    chinese: &'static str,
) -> Problem {
    Problem::new(status, code, english, chinese)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_string_is_read_strictly() {
        let given = Given::read(Some("q=a%26b&kind=domain&from=-2h&case=7&purpose=p+q&limit=5"));
        assert_eq!(given.ask.text, "a&b");
        assert_eq!(given.ask.kind.as_deref(), Some("domain"));
        assert_eq!((given.case_number.as_str(), given.purpose.as_str()), ("7", "p q"));
        assert_eq!(given.ask.limit, Some(5));
        assert!(!given.ask.misfit);
        for odd in ["q=a&q=b", "q=a&limit=0", "q=a&limit=x", "q=a&offset=3", "q=a&limit=5000000000"]
        {
            assert!(Given::read(Some(odd)).ask.misfit, "{odd}");
        }
    }
}
