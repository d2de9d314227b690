//! Versions: what came, what befell it, what differs, what it says.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::{Body as HttpBody, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    ApiState, Params, Problem, blocking,
    export::{Export, Format},
};
use crate::{
    feeds::{Event, EventQuery, Rejection, VersionStatus},
    policy::Index,
};

/// Versions, events and entries on one page.
const PAGE: usize = 1_000;

/// Pieces of an export between the writer and the network.
const PIECES_MAX: usize = 16;

/// The length of a piece, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Which page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Before {
    /// Only versions below this one: `next_before` of the page before.
    #[serde(default)]
    before: u64,
}

/// Which entries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct FromLine {
    /// Entries from this line on: `next_line` of the page before.
    #[serde(default)]
    from_line: u64,
}

/// Between which versions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Between {
    /// The version before; the one in force when absent.
    from: Option<u64>,
    /// The version after; the newest when absent.
    to: Option<u64>,
}

/// What is to be written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WantedRules")]
pub(in crate::api) struct Wanted {
    /// `rpz` when absent.
    #[schemars(extend("enum" = ["rpz", "jsonl", "domains"]))]
    format: Option<String>,
    /// The version; the one in force when absent.
    version: Option<u64>,
}

/// A page of versions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FeedVersions")]
pub(in crate::api) struct Versions {
    /// The newest first.
    versions: Vec<VersionStatus>,
    /// `before` of the next page; null on the last.
    next_before: Option<u64>,
}

/// A version, what befell it, and entries that were not taken.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FeedVersionPage")]
pub(in crate::api) struct VersionPage {
    #[serde(flatten)]
    version: VersionStatus,
    /// What befell it, the first first; at most 1,000.
    events: Vec<Event>,
    /// Entries that were not taken, a page at a time.
    rejected: Vec<Rejection>,
    /// `from_line` of the next page; null on the last.
    next_line: Option<u64>,
}

/// `GET /api/v1/feeds/{name}/versions`.
pub(in crate::api) async fn list(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Params(Before { before }): Params<Before>,
) -> Result<Response, Problem> {
    let page = blocking(&api, move |feeds| {
        let mut versions = feeds.versions(&name, before, PAGE + 1)?;
        let more = versions.len() > PAGE;
        versions.truncate(PAGE);
        let next_before = versions.last().filter(|_| more).map(|v| v.version);
        Ok(Versions { versions, next_before })
    });
    Ok(Json(page.await?).into_response())
}

/// `GET /api/v1/feeds/{name}/versions/{version}`.
pub(in crate::api) async fn one(
    State(api): State<ApiState>,
    Path((name, number)): Path<(String, u64)>,
    Params(FromLine { from_line }): Params<FromLine>,
) -> Result<Response, Problem> {
    let page = blocking(&api, move |feeds| {
        let version = feeds.version(&name, number)?;
        let events = feeds.store().events(&EventQuery {
            feed: Some(&name),
            version: Some(number),
            limit: PAGE,
            ..EventQuery::default()
        })?;
        let mut rejected = feeds.rejected(&name, number, from_line, PAGE + 1)?;
        let next = (rejected.len() > PAGE).then(|| rejected.pop()).flatten();
        Ok(VersionPage { version, events, rejected, next_line: next.map(|r| r.line) })
    });
    Ok(Json(page.await?).into_response())
}

/// `GET /api/v1/feeds/{name}/diff`.
pub(in crate::api) async fn diff(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Params(Between { from, to }): Params<Between>,
) -> Result<Response, Problem> {
    let diff = blocking(&api, move |feeds| feeds.diff(&name, from, to, PAGE));
    Ok(Json(diff.await?).into_response())
}

/// `GET /api/v1/feeds/{name}/export`.
pub(in crate::api) async fn export(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let format = Format::from_name(wanted.format.as_deref().unwrap_or("rpz"));
    let format = format.ok_or_else(|| Problem::bad_request("format is rpz, jsonl or domains"))?;
    let of = name.clone();
    let found = blocking(&api, move |feeds| {
        let version = match wanted.version {
            Some(version) => version,
            None => feeds.status(&of)?.in_force_here,
        };
        Ok((version, feeds.rules_of(&of, version)?))
    });
    let (version, index): (u64, Arc<Index>) = found.await?;
    let (send, pieces) = mpsc::channel(PIECES_MAX);
    let feed = name.clone();
    // Ends with the last rule, or when nobody reads any more.
    api.tasks.spawn_blocking(move || {
        let export = Export { feed: &feed, version, index: &index, ttl_s: TTL_S };
        let mut out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(send));
        let done = export.write(format, &mut out).and_then(|()| io::Write::flush(&mut out));
        if let Err(error) = done {
            tracing::debug!(%error, "an export ended early");
        }
    });
    let stream = futures_util::stream::unfold(pieces, |mut pieces| async {
        let piece: Bytes = pieces.recv().await?;
        Some((Ok::<_, io::Error>(piece), pieces))
    });
    let (media, ending) = format.media();
    let mut response =
        ([(header::CONTENT_TYPE, media)], HttpBody::from_stream(stream)).into_response();
    let file = format!("attachment; filename=\"{name}-{version}.{ending}\"");
    if let Ok(file) = HeaderValue::from_str(&file) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

/// The default time to live of an exported zone, in seconds.
const TTL_S: u32 = 300;

/// Hands on what is written, piece by piece.
struct Pieces(mpsc::Sender<Bytes>);

impl io::Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(piece));
        sent.map(|()| piece.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
