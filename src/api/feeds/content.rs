//! A list in the body of a request, so that it need not lie on the server.

use axum::{
    Json,
    body::{Body, BodyDataStream, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{ApiState, Caller, Params, Problem, Words, by, problem};
use crate::feeds::source::{Brought, Incoming, Part, SourceError};

/// Pieces of a body between the network and the disk.
const PIECES_MAX: usize = 16;

/// The longest file name kept, in bytes.
const FILE_NAME_BYTES_MAX: usize = 255;

/// The query string.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FeedContent")]
pub(in crate::api) struct Query {
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// The name of the file it was.
    #[serde(default)]
    file: String,
    /// Why; it is kept.
    #[serde(default)]
    reason: String,
}

/// `POST /api/v1/feeds/{name}/content`.
pub(in crate::api) async fn content(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<String>,
    Params(query): Params<Query>,
    body: Body,
) -> Result<Response, Problem> {
    let of = name.clone();
    let status = super::blocking(&api, move |feeds| feeds.status(&of)).await?;
    let signed = status.spec["minisign_key"].as_str().is_some_and(|key| !key.is_empty());
    if signed && !query.dry_run {
        return Err(unsigned());
    }
    let incoming = api.feeds.receive().map_err(|e| not_received(&e))?;
    let list = receive(incoming, body.into_data_stream()).await?;
    let file = crate::record::capped(&query.file, FILE_NAME_BYTES_MAX);
    let brought = Brought {
        list,
        manifest: None,
        from: format!("sent by {}: {file}", caller.actor.name),
        signer: String::new(),
        validator: String::new(),
    };
    let done = match query.dry_run {
        true => api.feeds.dry_run(&name, Some(brought)).await,
        false => api.feeds.apply(&name, brought, &by(&caller, query.reason)).await,
    };
    Ok(Json(done.map_err(|e| problem(&e))?).into_response())
}

/// Writes a body down as it comes.
async fn receive(mut incoming: Incoming, mut body: BodyDataStream) -> Result<Part, Problem> {
    let (send, mut pieces) = mpsc::channel::<Bytes>(PIECES_MAX);
    let written = tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            incoming.push(&piece)?;
        }
        Ok(incoming)
    });
    let mut whole = true;
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else {
            whole = false;
            break;
        };
        if send.send(piece).await.is_err() {
            break;
        }
    }
    drop(send);
    let incoming: Result<Incoming, SourceError> =
        written.await.map_err(|e| Problem::internal(&e))?;
    let incoming = incoming.map_err(|e| not_received(&e))?;
    if !whole {
        return Err(Problem::bad_request("the body ended early"));
    }
    let finished = tokio::task::spawn_blocking(move || incoming.finish()).await;
    finished.map_err(|e| Problem::internal(&e))?.map_err(|e| not_received(&e))
}

fn not_received(error: &SourceError) -> Problem {
    match error {
        SourceError::TooLong(max) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "list_too_long",
            "The list is longer than feeds.list_bytes_max.",
            "名单超过 feeds.list_bytes_max 限制。",
        )
        .with("bytes_max", *max),
        other => {
            tracing::warn!(error = %other, "a list that was sent cannot be kept");
            Problem::unavailable(
                "no_room_for_list",
                "The list cannot be written down now; nothing was changed.",
                "目前无法写入该名单；未作任何更改。",
            )
        }
    }
}

fn unsigned() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "signature_required",
        "This feed takes signed files alone.",
        "该名单仅接受带签名的文件。",
    )
    .detail(Words::new(
        "Its settings name a minisign_key: what is sent here has no signature. Put the file and its \
         signature where the feed's source is.",
        "其设置含 minisign_key，而此处提交的内容没有签名。请将文件及其签名放到该名单的来源处。",
    ))
}
