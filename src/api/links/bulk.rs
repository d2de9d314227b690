//! Many links in one request: a JSON object a line in, one a line out.
//!
//! Lines are read as they come, and answered a few hundred at a time: each such chunk is one
//! transaction, and one that is refused takes no other with it. Answers wait in memory, as many as
//! there may be items, for callers that read nothing before they have sent everything. When the
//! body ends early what was read till then is made; with an `Idempotency-Key` the same request
//! again makes what is missing, and answers the rest as before.

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    super::{ApiState, Caller, Problem, problem::ProblemTold},
    forwards::parted,
    members::{CheckedDraft, NewLink, request_of},
    problem,
    shown::short_url,
};
use crate::{
    gateway::Language,
    links::{By, Converted, How},
};

/// Lines answered at once.
const CHUNK_LINES: usize = 500;

/// A chunk is closed when its lines have so many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// A request that is being answered.
struct Work {
    api: ApiState,
    by: By,
    request: Option<String>,
    /// Whether the items are forwards.
    forwards: bool,
    language: Language,
    answers: mpsc::Sender<Bytes>,
    /// Lines with something on them so far.
    items: usize,
}

/// `POST /api/v1/links/bulk`.
pub(in crate::api) async fn bulk(
    State(api): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    many(api, caller, headers, request, false)
}

/// Makes links, or forwards.
pub(super) fn many(
    api: ApiState,
    caller: Caller,
    headers: HeaderMap,
    request: Request,
    forwards: bool,
) -> Result<Response, Problem> {
    let by = By { actor: caller.actor, client: caller.peer.client };
    let key = request_of(&headers, &by.actor.name)?;
    // There is room for all answers: the work never waits for whoever reads them.
    let (answers, mut given) = mpsc::channel(api.config.bulk_items_max + 2);
    let language = Language::of(&headers);
    let work = Work { api: api.clone(), by, request: key, forwards, language, answers, items: 0 };
    api.tasks.spawn(work.run(request.into_body().into_data_stream()));
    let stream = futures_util::stream::poll_fn(move |cx| given.poll_recv(cx));
    let body = Body::from_stream(stream.map(Ok::<_, std::io::Error>));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

impl Work {
    async fn run(mut self, mut body: BodyDataStream) {
        let line_bytes_max = self.api.config.body_bytes_max;
        let (mut rest, mut chunk, mut bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            let piece = match body.next().await {
                Some(Ok(piece)) => piece,
                // A last line without an end counts; half of one is no JSON, and says so.
                Some(Err(_)) | None => break,
            };
            rest.extend_from_slice(&piece);
            let mut from = 0;
            while let Some(end) = memchr::memchr(b'\n', &rest[from..]) {
                let line = rest[from..from + end].trim_ascii().to_vec();
                from += end + 1;
                if line.is_empty() {
                    continue;
                }
                bytes += line.len();
                chunk.push(line);
                if chunk.len() == CHUNK_LINES || bytes >= CHUNK_BYTES {
                    bytes = 0;
                    if !self.chunk(std::mem::take(&mut chunk)).await {
                        return;
                    }
                }
            }
            rest.drain(..from);
            if rest.len() > line_bytes_max {
                self.chunk(chunk).await;
                return self.refuse(too_long()).await;
            }
        }
        let last = rest.trim_ascii();
        if !last.is_empty() {
            chunk.push(last.to_vec());
        }
        self.chunk(chunk).await;
    }

    /// Answers some lines; whether there may be more.
    async fn chunk(&mut self, mut lines: Vec<Vec<u8>>) -> bool {
        let first = self.items + 1;
        let room = self.api.config.bulk_items_max - self.items;
        let too_many = lines.len() > room;
        lines.truncate(room);
        self.items += lines.len();
        if !lines.is_empty() {
            let checked = lines.iter().zip(first..).map(|(line, n)| self.read(line, n)).collect();
            let (api, by, language) = (self.api.clone(), self.by.clone(), self.language);
            // One after the other, as one may close a circle that another opened.
            let at_once = if self.forwards { 1 } else { CHUNK_LINES };
            let work = move || convert(&api, &by, language, (first, at_once), checked);
            let Ok(answers) = self.api.tasks.spawn_blocking(work).await else { return false };
            // Whoever went away reads nothing; what was sent is made all the same.
            if self.answers.send(answers.into()).await.is_err() {}
        }
        if too_many {
            self.refuse(too_many_items()).await;
        }
        !too_many
    }

    fn read(&self, line: &[u8], item: usize) -> Result<CheckedDraft, Problem> {
        let request = self.request.as_ref().map(|key| format!("{key} {item}"));
        let check =
            |new: NewLink| new.check(&self.api, &self.by.actor, request.unwrap_or_default());
        if !self.forwards {
            return check(serde_json::from_slice(line).map_err(Problem::bad_request)?);
        }
        let (from, new) = parted(serde_json::from_slice(line).map_err(Problem::bad_request)?)?;
        check(new)?.of_forward(from)
    }

    /// Answers the line behind those that were read, and ends.
    async fn refuse(&self, why: Problem) {
        let mut last = String::new();
        line(&mut last, &refused(self.items + 1, &why, self.language));
        if self.answers.send(last.into()).await.is_err() {}
    }
}

/// Makes the links of a chunk, and its answers.
fn convert(
    api: &ApiState,
    by: &By,
    language: Language,
    (first, at_once): (usize, usize),
    checked: Vec<Result<CheckedDraft, Problem>>,
) -> String {
    let mut drafts = Vec::new();
    let hashed: Vec<Result<(), Problem>> = checked
        .into_iter()
        .map(|checked| {
            drafts.push(checked?.draft().map_err(|e| problem(&e))?);
            Ok(())
        })
        .collect();
    let mut made = Vec::with_capacity(drafts.len());
    while !drafts.is_empty() {
        let rest = drafts.split_off(at_once.min(drafts.len()));
        made.extend(api.links.create_many(std::mem::replace(&mut drafts, rest), by));
    }
    let mut made = made.into_iter();
    let mut answers = String::new();
    for (item, hashed) in (first..).zip(hashed) {
        let outcome = hashed.and_then(|()| match made.next() {
            Some(outcome) => outcome.map_err(|e| problem(&e)),
            None => Err(Problem::not_found()),
        });
        match &outcome {
            Ok(made) => line(&mut answers, &told(api, item, made)),
            Err(why) => line(&mut answers, &refused(item, why, language)),
        }
    }
    answers
}

/// What became of one item.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::api) enum BulkAnswer<'a> {
    /// It is there.
    Made {
        /// Its line, from 1; empty ones do not count.
        item: usize,
        /// 201 where it was made, 200 where one that is the same was there.
        status: u16,
        /// The link's code.
        code: &'a str,
        /// The revision.
        revision: u32,
        /// Where visitors come.
        short_url: String,
        /// The id of the conversion's record; null when nothing was changed.
        record: Option<String>,
        /// Whether the same request had made it before.
        repeated: bool,
    },
    /// It was refused.
    Refused {
        /// Its line, from 1; empty ones do not count.
        item: usize,
        /// The problem's.
        status: u16,
        /// Why.
        problem: ProblemTold<'a>,
    },
}

fn told<'a>(api: &ApiState, item: usize, made: &'a Converted) -> BulkAnswer<'a> {
    let r = &made.revision;
    let status = if made.how == How::Same { StatusCode::OK } else { StatusCode::CREATED };
    BulkAnswer::Made {
        item,
        status: status.as_u16(),
        code: &r.code,
        revision: r.revision,
        short_url: short_url(&api.short_url_base, r),
        record: made.record.as_ref().map(ToString::to_string),
        repeated: made.how == How::Repeated,
    }
}

fn refused(item: usize, why: &Problem, language: Language) -> BulkAnswer<'_> {
    BulkAnswer::Refused { item, status: why.status().as_u16(), problem: why.told(language) }
}

fn line(lines: &mut String, answer: &BulkAnswer<'_>) {
    // Texts, numbers and maps with texts as keys are always JSON.
    lines.push_str(&serde_json::to_string(answer).unwrap_or_default());
    lines.push('\n');
}

fn too_many_items() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_many_items",
        "There are more items than api.bulk_items_max; this one and those behind it were not read.",
        "条目数超过 api.bulk_items_max 限制；此条及其后的条目均未读取。",
    )
}

fn too_long() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "line_too_long",
        "The line is longer than api.body_bytes_max; it and those behind it were not read.",
        "此行超过 api.body_bytes_max 限制；此行及其后的内容均未读取。",
    )
}
