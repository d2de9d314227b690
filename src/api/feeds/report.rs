//! `GET /api/v1/feeds/{name}/report`: accounting back.
//!
//! Its hits are read from the records, so that whoever asks is recorded by [`crate::trace`], refused
//! askers included.

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

use super::{
    ApiState, Caller, Problem,
    gather::{self, Room, Subject},
    problem,
};
use crate::{
    clock::Timestamp,
    feeds::{
        Error, FeedSpec,
        report::{Part, Report},
    },
    trace::{self, Counted, Look, Tracer},
};

/// Events of one version that are looked through.
const EVENTS_MAX: usize = 10_000;

/// What it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv(Part),
    Xlsx,
}

/// The query string.
#[derive(Debug)]
struct Query {
    format: Format,
    from: Timestamp,
}

impl Query {
    fn read(query: Option<&str>) -> Option<Self> {
        let (mut format, mut part, mut from) = ("json".to_owned(), None, Timestamp::ZERO);
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "format" => format = value.into_owned(),
                "part" => part = Some(Part::from_name(&value)?),
                "from" => from = value.parse().ok()?,
                _ => return None,
            }
        }
        let format = match (format.as_str(), part) {
            ("json", None) => Format::Json,
            ("xlsx", None) => Format::Xlsx,
            ("csv", part) => Format::Csv(part.unwrap_or(Part::Orders)),
            _ => return None,
        };
        Some(Self { format, from })
    }
}

impl Format {
    const fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application/json", "json"),
            Self::Csv(_) => ("text/csv; charset=utf-8; header=present", "csv"),
            Self::Xlsx => {
                ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx")
            }
        }
    }

    fn write(self, report: &Report) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Json => report.json().map_err(|e| Problem::internal(&e)),
            Self::Csv(part) => Ok(report.csv(part)),
            Self::Xlsx => report.xlsx().map_err(|e| Problem::internal(&e)),
        }
    }
}

impl From<trace::Error> for Problem {
    fn from(e: trace::Error) -> Self {
        crate::api::trace::problem(e)
    }
}

/// The report, recorded before it is sent.
pub(in crate::api) async fn report(
    State(api): State<ApiState>,
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let look = Look {
        actor: caller.actor.name.to_string(),
        role: caller.actor.role.name(),
        peer: caller.peer.client,
        case_number: String::new(),
        purpose: String::new(),
    };
    let query = Query::read(query.as_deref());
    let (media, ending) = query.as_ref().map_or(("", ""), |q| q.format.media());
    let from = query.as_ref().map_or(Timestamp::ZERO, |q| q.from);
    let of = name.clone();
    let write = async move |counted: Option<Counted>| {
        let query = query.ok_or_else(|| {
            Problem::bad_request(
                "a report has format (json, csv or xlsx), part (orders, versions, rules or \
                 rejected, of CSV) and from, each once",
            )
        })?;
        let work = move || written(&api, &of, &query, counted.as_ref());
        tokio::task::spawn_blocking(work).await.map_err(|e| Problem::internal(&e))?
    };
    let page = tracer.report(&look, &name, from, write).await?;
    let mut response = ([(header::CONTENT_TYPE, media)], page).into_response();
    let file = format!("attachment; filename=\"{name}-report.{ending}\"");
    if let Ok(file) = HeaderValue::from_str(&file) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

fn written(
    api: &ApiState,
    name: &str,
    query: &Query,
    counted: Option<&Counted>,
) -> Result<Vec<u8>, Problem> {
    let store = &**api.feeds.store();
    let gathered = || -> Result<Report, Error> {
        let standing = store.standing(store.newest()?, api.clock.now())?;
        let row = standing.feeds.iter().find(|f| f.name == name);
        // A feed that was removed is accounted for all the same.
        if row.is_none() && store.newest_version(name)? == 0 {
            return Err(Error::Unknown("feed"));
        }
        let spec = row.and_then(|r| FeedSpec::read(&r.spec).ok());
        let config = &api.config;
        let room = Room {
            versions_max: config.report_versions_max,
            events_max: EVENTS_MAX,
            rejected_max: config.report_rejected_max,
        };
        let now = api.clock.now();
        let orders_of = |version| {
            let index = api.feeds.rules_of(name, version).ok()?;
            let legals = index.iter().map(|rule| rule.legal);
            Some(legals.map(|l| (l.authority.to_string(), l.order_number.to_string())).collect())
        };
        let (spec, from, orders_of) = (spec.as_ref(), query.from, &orders_of);
        let subject = Subject { row, name, spec, from, now, orders_of };
        gather::report(store, &subject, counted, room)
    };
    query.format.write(&gathered().map_err(|e| problem(&e))?)
}
