//! Links a page at a time, and all of them as lines.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    super::{ApiState, Caller, Params, Problem},
    blocking, out_of_scope,
    shown::{ListedLink, ToldRevision},
};
use crate::links::{Error, LinkQuery, Revision, State as LinkState};

/// Links on a page unless another number is asked for.
const LIMIT: usize = 100;

/// Links read at a time for an export.
const EXPORT_LINKS: usize = 500;

/// Pages of an export between the disk and the network.
const PIECES_MAX: usize = 4;

/// Which links to list.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct Wanted {
    /// `next_cursor` of the page before.
    cursor: String,
    /// At most so many, and at most `api.links_max`; 100 when absent.
    #[schemars(range(min = 1))]
    limit: Option<usize>,
    /// Of this owner.
    owner: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// In this state.
    #[schemars(with = "Option<LinkState>")]
    state: Option<String>,
    /// Served at this host alone; empty for every host of ours.
    domain: Option<String>,
    /// Leading to this host.
    target_host: Option<String>,
}

/// A page of links.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Links<'a> {
    /// By code.
    links: Vec<ListedLink<'a>>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<&'a str>,
}

/// A page of forwards.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Forwards<'a> {
    /// By what is forwarded.
    forwards: Vec<ListedLink<'a>>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<&'a str>,
}

/// A line of an export: a link as it is now, or, where all were asked for, one revision.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ExportedLink")]
pub(in crate::api) enum Line<'a> {
    /// As it is now.
    Link(ListedLink<'a>),
    /// One revision.
    Revision(ToldRevision<'a>),
}

/// What to export.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct Whole {
    /// Every revision of each, not the newest alone.
    revisions: bool,
}

/// `GET /api/v1/links`.
pub(in crate::api) async fn list(
    State(api): State<ApiState>,
    caller: Caller,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    page(api, &caller, wanted, false).await
}

/// A page of links, or of forwards.
pub(super) async fn page(
    api: ApiState,
    caller: &Caller,
    wanted: Wanted,
    forwards: bool,
) -> Result<Response, Problem> {
    let own = caller.actor.owner.as_deref();
    if own.is_some() && wanted.owner.as_deref().is_some_and(|owner| Some(owner) != own) {
        return Err(out_of_scope());
    }
    let state = wanted.state.as_deref().map(|name| {
        LinkState::from_name(name)
            .ok_or_else(|| Problem::bad_request("state is enabled, disabled or expired"))
    });
    let limit = wanted.limit.unwrap_or(LIMIT).clamp(1, api.config.links_max);
    let query = LinkQuery {
        after: wanted.cursor,
        // One more tells that there is one.
        limit: limit + 1,
        owner: own.map(str::to_owned).or(wanted.owner),
        tag: wanted.tag,
        state: state.transpose()?,
        domain: wanted.domain.map(|d| d.to_ascii_lowercase()),
        target_host: wanted.target_host.map(|h| h.to_ascii_lowercase()),
        forwards,
    };
    let mut links = {
        let api = api.clone();
        blocking(move || Ok(api.links.store().list(&query)?)).await?
    };
    let more = links.len() > limit;
    links.truncate(limit);
    let next_cursor = links.last().filter(|_| more).map(|r| r.code.as_str());
    let links = links.iter().map(|r| ListedLink::new(&api, r)).collect();
    Ok(match forwards {
        true => Json(Forwards { forwards: links, next_cursor }).into_response(),
        false => Json(Links { links, next_cursor }).into_response(),
    })
}

/// `GET /api/v1/links/export`: every link, one a line.
pub(in crate::api) async fn export(
    State(api): State<ApiState>,
    caller: Caller,
    Params(whole): Params<Whole>,
) -> Response {
    let (send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES_MAX);
    // Ends with the last link, or when nobody reads any more.
    api.clone().tasks.spawn_blocking(move || {
        if let Err(error) = pages(&api, caller.actor.owner.as_deref(), whole, &send) {
            tracing::error!(%error, "an export of links broke off");
            // The connection is cut, so that nobody takes this for all of them.
            let broken = Err(std::io::Error::other("the export broke off"));
            if send.blocking_send(broken).is_err() {}
        }
    });
    let stream = futures_util::stream::unfold(pieces, |mut pieces| async {
        Some((pieces.recv().await?, pieces))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response()
}

fn pages(
    api: &ApiState,
    owner: Option<&str>,
    whole: Whole,
    send: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<(), Error> {
    // Links first, then forwards.
    for forwards in [false, true] {
        if !pages_of(api, owner, (whole, forwards), send)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether anybody still reads.
fn pages_of(
    api: &ApiState,
    owner: Option<&str>,
    (whole, forwards): (Whole, bool),
    send: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<bool, Error> {
    let store = api.links.store();
    let mut after = String::new();
    loop {
        let owner = owner.map(str::to_owned);
        let query =
            LinkQuery { after, limit: EXPORT_LINKS, owner, forwards, ..LinkQuery::default() };
        let links = store.list(&query)?;
        let Some(last) = links.last() else { return Ok(true) };
        after = last.code.clone();
        let mut lines = String::new();
        for link in &links {
            if whole.revisions {
                for r in all_revisions(api, &link.code)? {
                    line(&mut lines, &Line::Revision(ToldRevision::new(&r)))?;
                }
            } else {
                line(&mut lines, &Line::Link(ListedLink::new(api, link)))?;
            }
        }
        if send.blocking_send(Ok(lines.into())).is_err() {
            return Ok(false);
        }
    }
}

fn all_revisions(api: &ApiState, code: &str) -> Result<Vec<Revision>, Error> {
    let mut all: Vec<Revision> = Vec::new();
    loop {
        let from = all.last().map_or(1, |r| r.revision + 1);
        let more = api.links.store().revisions(code, from, EXPORT_LINKS)?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

fn line(lines: &mut String, line: &Line<'_>) -> Result<(), Error> {
    let line = serde_json::to_string(line).map_err(|_| Error::Failed)?;
    // Callers wrote most of it, and a terminal may be what reads it.
    lines.push_str(&crate::escape::json(&line));
    lines.push('\n');
    Ok(())
}
