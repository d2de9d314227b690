//! Versions: what came, what befell it, what differs, what it says.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::{Body as HttpBody, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    ApiState, Params, Problem, blocking,
    export::{Export, Format},
    object,
};
use crate::{feeds::EventQuery, policy::Index};

/// Versions, events and entries on one page.
const PAGE: usize = 1_000;

/// Pieces of an export between the writer and the network.
const PIECES_MAX: usize = 16;

/// The length of a piece, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Before {
    #[serde(default)]
    before: u64,
}

/// Which entries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct FromLine {
    #[serde(default)]
    from_line: u64,
}

/// Between which versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Between {
    from: Option<u64>,
    to: Option<u64>,
}

/// What is to be written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Wanted {
    format: Option<String>,
    version: Option<u64>,
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
        let next = versions.last().filter(|_| more).map(|v| v.version);
        Ok(json!({ "versions": versions, "next_before": next }))
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
        let mut page = object(json!(feeds.version(&name, number)?));
        let events = feeds.store().events(&EventQuery {
            feed: Some(&name),
            version: Some(number),
            limit: PAGE,
            ..EventQuery::default()
        })?;
        let mut rejected = feeds.rejected(&name, number, from_line, PAGE + 1)?;
        let next = (rejected.len() > PAGE).then(|| rejected.pop()).flatten();
        page.insert("events".into(), json!(events));
        page.insert("rejected".into(), json!(rejected));
        page.insert("next_line".into(), next.map(|r| r.line).into());
        Ok(Value::Object(page))
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
