//! The service: a question comes in with the one who asks, a page goes out after it is recorded.

use std::{fmt, sync::Arc};

use futures_util::try_join;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Error, Kind, Look, Question, Record, ShortUrls, Sight, Subject, Window,
    access::{Asked, Begun},
    chain::{self, Room},
    coverage::{self, Coverage},
    cursor::Cursor,
    lists,
    matching::Matching,
    question,
    reader::Reader,
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    metrics::Metrics,
    record::{NodeName, PublicSuffixes, Table},
    spool::{SharedLane, Spool},
};

/// Tells something about a text, without waiting for long.
pub type Tells = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// What a [`Tracer`] is made of.
pub struct Parts {
    /// The store.
    pub client: clickhouse::Client,
    /// Whether the store is a server of its own rather than the embedded engine.
    pub external: bool,
    /// Where looks are recorded, and this node's own word on its completeness.
    pub spool: Spool,
    /// This node.
    pub node: NodeName,
    /// The time now.
    pub clock: Clock,
    /// Section `[trace]`.
    pub limits: config::Trace,
    /// Our own short URLs.
    pub short_urls: ShortUrls,
    /// Whether a code names a link.
    pub known: Tells,
    /// What lies below a public suffix.
    pub suffixes: Arc<PublicSuffixes>,
    /// How often and how long.
    pub metrics: Arc<Metrics>,
}

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub struct Tracer(Arc<Inner>);

struct Inner {
    reader: Reader,
    access: SharedLane,
    permits: Semaphore,
    parts: Parts,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

/// A question as it arrives.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The text.
    pub text: String,
    /// The kind, where one is declared.
    pub kind: Option<String>,
    /// The beginning of the window.
    pub from: Option<String>,
    /// The end of the window.
    pub to: Option<String>,
    /// The place after the page before.
    pub cursor: Option<String>,
    /// Fewer records than a page holds.
    pub limit: Option<u32>,
    /// Whether something was given that no question has.
    pub misfit: bool,
}

impl Ask {
    fn asked<'a>(&'a self, kind: Option<&'a str>) -> Asked<'a> {
        Asked {
            text: &self.text,
            kind: kind.or(self.kind.as_deref()),
            from: self.from.as_deref(),
            to: self.to.as_deref(),
            cursor: self.cursor.as_deref(),
        }
    }
}

/// A page of the chain of records that answers a question.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TracePage")]
pub struct TracePage<'a> {
    /// What was asked.
    question: Heading<'a>,
    #[serde(flatten)]
    coverage: Coverage,
    /// The records, oldest first.
    #[schemars(with = "Vec<Record>")]
    records: Vec<Map<String, Value>>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// What was asked.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AskedQuestion")]
struct Heading<'a> {
    /// As it was read.
    text: &'a str,
    /// What kind of question it was taken for.
    kind: Kind,
}

impl Tracer {
    /// Opens the lane of the looks.
    ///
    /// # Errors
    /// As [`Spool::shared`].
    pub fn new(parts: Parts) -> Result<Self, crate::spool::Error> {
        Ok(Self(Arc::new(Inner {
            reader: Reader::new(&parts.client, parts.external, &parts.limits),
            access: parts.spool.shared(Table::Access)?,
            permits: Semaphore::new(parts.limits.concurrent_max),
            parts,
        })))
    }

    /// One page of the answer, as JSON, recorded before it is returned.
    ///
    /// # Errors
    /// Whatever kept the question from being answered, recorded too.
    pub async fn page(&self, look: &Look, ask: &Ask) -> Result<Vec<u8>, Error> {
        let mut begun = Begun::new(&self.0.access, look, &ask.asked(None));
        let started = self.0.parts.clock.monotonic();
        let answer = match self.question(look, ask) {
            Ok((question, sight)) => {
                begun.asks(&ask.asked(Some(question.kind().name())));
                self.0.answer(ask, &question, sight).await
            }
            Err(e) => Err(e),
        };
        self.0.parts.metrics.api.trace_seconds.record(started.elapsed());
        self.finish(begun, answer).await
    }

    /// One record, as JSON, recorded before it is returned.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, and as [`Tracer::page`].
    pub async fn record(&self, look: &Look, ask: &Ask) -> Result<Vec<u8>, Error> {
        let begun = Begun::new(&self.0.access, look, &ask.asked(None));
        let answer = match self.question(look, ask) {
            Ok((question, sight)) => self.0.one(&question, sight).await,
            Err(e) => Err(e),
        };
        self.finish(begun, answer).await
    }

    fn question(&self, look: &Look, ask: &Ask) -> Result<(Question, Sight), Error> {
        let sight = look.sight()?;
        if ask.misfit {
            return Err(Error::Parameter);
        }
        let kind = ask.kind.as_deref().map(str::parse).transpose()?;
        let parts = &self.0.parts;
        let question = question::parse(&ask.text, kind, &parts.short_urls, &parts.known)?;
        if question.kind() == Kind::Client && sight != Sight::Persons {
            return Err(Error::Persons);
        }
        Ok((question, sight))
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.0.reader
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    pub(super) fn access(&self) -> &SharedLane {
        &self.0.access
    }

    pub(super) fn local(&self) -> (String, Timestamp) {
        self.0.local()
    }

    /// Leave to ask the store, until it is dropped.
    pub(super) fn permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.0.permits.try_acquire().map_err(|_| Error::Busy)
    }

    pub(super) async fn finish(
        &self,
        begun: Begun<'_>,
        answer: Result<(Vec<u8>, u64), Error>,
    ) -> Result<Vec<u8>, Error> {
        self.0.parts.metrics.api.accesses.increment(1);
        match answer {
            Ok((page, rows)) => begun.answered(&page, rows).await.map(|()| page),
            Err(e) => Err(begun.unanswered(e).await),
        }
    }
}

impl Inner {
    async fn answer(
        &self,
        ask: &Ask,
        question: &Question,
        sight: Sight,
    ) -> Result<(Vec<u8>, u64), Error> {
        let (window, after) = match &ask.cursor {
            Some(text) => {
                let cursor = Cursor::parse(text, question)?;
                (cursor.window, Some(cursor.after))
            }
            None => {
                let now = self.parts.clock.now();
                (Window::parse(ask.from.as_deref(), ask.to.as_deref(), now)?, None)
            }
        };
        let _permit = self.permits.try_acquire().map_err(|_| Error::Busy)?;
        let (reader, subject) = (&self.reader, &question.subject);
        // Completeness is read first: what arrives in between is then more than is claimed.
        let (through, around) =
            try_join!(coverage::through(reader, self.local()), chain::around(reader, subject))?;
        // Only now: rows that came after the word on completeness need not be found.
        let others = match subject {
            Subject::Domain(name) if self.registered(name) => {
                lists::others(reader, window, self.parts.suffixes.version()).await?
            }
            _ => Vec::new(),
        };
        let matching = Matching::new(subject, |name| self.registered(name), &others, around);
        let windows = (window, around);
        let (coverage, page) = try_join!(
            coverage::of(reader, subject, window, through),
            chain::page(reader, &matching, windows, after, self.room(ask.limit)),
        )?;
        let next = page.next.map(|after| Cursor { window, after }.print(question));
        let rows = page.records.len() as u64;
        let body = TracePage {
            question: Heading { text: &question.text, kind: question.kind() },
            coverage,
            records: page.records.into_iter().map(|r| chain::json(r, sight)).collect(),
            next_cursor: next,
        };
        Ok((json(&body)?, rows))
    }

    async fn one(&self, question: &Question, sight: Sight) -> Result<(Vec<u8>, u64), Error> {
        let Subject::Record(id) = &question.subject else { return Err(Error::NotFound) };
        let _permit = self.permits.try_acquire().map_err(|_| Error::Busy)?;
        let found = chain::record(&self.reader, id).await?.ok_or(Error::NotFound)?;
        Ok((json(&chain::json(found, sight))?, 1))
    }

    fn local(&self) -> (String, Timestamp) {
        (self.parts.node.to_string(), self.parts.spool.complete_through())
    }

    fn room(&self, limit: Option<u32>) -> Room {
        let limits = &self.parts.limits;
        let rows_max = limit.unwrap_or(u32::MAX).clamp(1, limits.page_rows_max);
        Room { rows_max, bytes_max: limits.page_bytes_max }
    }

    /// Whether names at or below `name` share a registrable domain at or above it. Reverse names
    /// do not: each is its own.
    fn registered(&self, name: &str) -> bool {
        let reverse = name == "arpa" || name.ends_with(".arpa");
        !reverse && !self.parts.suffixes.is_suffix(name)
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|_| Error::Malformed)
}
