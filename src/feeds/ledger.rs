//! A change of policy and its record, as one.
//!
//! The record takes its place in the lane first; event and record are one transaction of the
//! database; then the record is appended to the spool and taken off the outbox. The event counts
//! from the commit on: a block must not wait for the spool. What cannot be appended then stays in
//! the outbox, and the next start of this node puts it where it was promised to be.
//!
//! Where the spool has no place for it at all, the event takes force without one and its record
//! waits in the database until there is room: [`Ledger::settle`]. It says then when the event was.
//! More than `feeds.records_waiting_max` of them, and nothing is changed any more.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use metrics::Gauge;
use serde_json::{Map, Value};

use super::{
    Error,
    events::EventKind,
    store::{Body, Event, EventQuery, FeedStore},
};
use crate::{
    clock::Clock,
    links::OutboxRow,
    record::{FeedEvent, NodeName},
    spool::{Prepared, Refused, SharedLane},
};

/// Where events are written.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) store: Arc<dyn FeedStore>,
    pub(super) lane: SharedLane,
    pub(super) node: NodeName,
    pub(super) clock: Clock,
    /// Records that may wait for the spool.
    pub(super) waiting_max: usize,
    /// Those that do.
    pub(super) waiting: Waiting,
}

/// How many records wait: for threads that answer, which must not wait for the database.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) count: Arc<AtomicUsize>,
    pub(super) gauge: Gauge,
}

impl Waiting {
    fn set(&self, count: usize) {
        self.count.store(count, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.gauge.set(count as f64);
    }
}

/// An event to be.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) kind: EventKind,
    pub(super) feed: &'a str,
    pub(super) version: u64,
    pub(super) subject: &'a str,
    pub(super) actor: &'a str,
    pub(super) reason: &'a str,
    /// More, for records and reports.
    pub(super) detail: Map<String, Value>,
    /// Of a version.
    pub(super) digest: [u8; 32],
    pub(super) signer: &'a str,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
}

impl<'a> Entry<'a> {
    pub(super) fn new(kind: EventKind, feed: &'a str) -> Self {
        Self {
            kind,
            feed,
            version: 0,
            subject: "",
            actor: "",
            reason: "",
            detail: Map::new(),
            digest: [0; 32],
            signer: "",
            accepted: 0,
            rejected: 0,
        }
    }

    #[must_use]
    pub(super) fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    #[must_use]
    pub(super) fn by(mut self, actor: &'a str, reason: &'a str) -> Self {
        (self.actor, self.reason) = (actor, reason);
        self
    }

    #[must_use]
    pub(super) fn about(mut self, subject: &'a str) -> Self {
        self.subject = subject;
        self
    }

    #[must_use]
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }
}

impl Ledger {
    /// Writes an event upon `basis` (see [`FeedStore::commit`]).
    pub(super) fn write(
        &self,
        entry: &Entry<'_>,
        body: Body<'_>,
        basis: Option<u64>,
    ) -> Result<Event, Error> {
        let mut event = Event {
            id: 0,
            ts: self.clock.now(),
            node: self.node.to_string(),
            actor: entry.actor.to_owned(),
            kind: entry.kind,
            feed: entry.feed.to_owned(),
            version: entry.version,
            subject: entry.subject.to_owned(),
            reason: entry.reason.to_owned(),
            detail: Value::Object(entry.detail.clone()).to_string(),
        };
        let detail = told(&event, entry.detail.clone());
        let version = version_text(entry.version);
        let row = FeedEvent {
            feed: entry.feed,
            version: &version,
            event: entry.kind.name(),
            digest: entry.digest,
            signer: entry.signer,
            accepted: entry.accepted,
            rejected: entry.rejected,
            detail: &detail,
        };
        let prepared = match self.lane.prepare(&row) {
            Ok(prepared) => prepared,
            // It would never fit; the limits of texts come long before.
            Err(Refused::TooLarge) => return Err(Error::Full),
            Err(why) => {
                event.id = self.write_unplaced(&event, body, basis, why)?;
                return Ok(event);
            }
        };
        let record = outbox_row(&prepared);
        event.id = self.store.commit(&event, body, basis, Some(&record))?;
        self.append(prepared);
        Ok(event)
    }

    fn write_unplaced(
        &self,
        event: &Event,
        body: Body<'_>,
        basis: Option<u64>,
        why: Refused,
    ) -> Result<u64, Error> {
        let waiting = self.store.waiting(&self.node, self.waiting_max)?.len();
        if waiting >= self.waiting_max {
            return Err(Error::Full);
        }
        let id = self.store.commit(event, body, basis, None)?;
        self.waiting.set(waiting + 1);
        let (feed, kind) = (&event.feed, event.kind.name());
        tracing::error!(feed, event = kind, %why, "in force; its record waits for the spool");
        Ok(id)
    }

    /// Appends a record that is in the outbox.
    fn append(&self, prepared: Prepared<'_>) {
        let place = (prepared.id.lane, prepared.id.seq);
        match prepared.append() {
            Ok(_) => {
                // What stays in the outbox is taken off with the next; until then a restart finds
                // it in the spool.
                if let Err(error) = self.store.forget(&self.node, &[place]) {
                    tracing::warn!(%error, "a kept record of a feed stays in the outbox for now");
                }
            }
            Err(error) => {
                tracing::error!(%error, "a record of a feed waits in policy.sqlite for a restart");
            }
        }
    }

    /// Writes the records that wait, oldest first, as far as there is room.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let settled = self.settle_all();
        self.waiting.set(self.store.waiting(&self.node, self.waiting_max)?.len());
        settled
    }

    fn settle_all(&self) -> Result<(), Error> {
        for id in self.store.waiting(&self.node, self.waiting_max)? {
            let query = EventQuery { from: id - 1, limit: 1, ..EventQuery::default() };
            let Some(event) = self.store.events(&query)?.pop() else { continue };
            if !self.settle_one(&event)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there was room.
    fn settle_one(&self, event: &Event) -> Result<bool, Error> {
        let of = match event.version {
            // Own rules have no versions of their own.
            0 => None,
            number => self.store.version(&event.feed, number)?,
        };
        let judged = of.as_ref().and_then(|v| v.judgement.as_ref());
        // Nothing was known of them when they arrived.
        let judged = judged.filter(|_| event.kind != EventKind::Received);
        let mut detail: Map<String, Value> =
            serde_json::from_str(&event.detail).unwrap_or_default();
        detail.insert("at".to_owned(), event.ts.to_string().into());
        let row = FeedEvent {
            feed: &event.feed,
            version: &version_text(event.version),
            event: event.kind.name(),
            digest: of.as_ref().map_or([0; 32], |v| v.arrived.digest),
            signer: of.as_ref().map_or("", |v| &v.arrived.signer),
            accepted: judged.map_or(0, |j| j.accepted),
            rejected: judged.map_or(0, |j| j.rejected),
            detail: &told(event, detail),
        };
        let Ok(prepared) = self.lane.prepare(&row) else { return Ok(false) };
        if self.store.place(&self.node, event.id, &outbox_row(&prepared))? {
            self.append(prepared);
        }
        Ok(true)
    }
}

fn version_text(version: u64) -> String {
    if version == 0 { String::new() } else { version.to_string() }
}

/// An event's detail as its record has it: records have no columns of their own for these.
fn told(event: &Event, mut detail: Map<String, Value>) -> String {
    let more = [("actor", &event.actor), ("reason", &event.reason), ("rule", &event.subject)];
    for (key, text) in more.into_iter().filter(|(_, text)| !text.is_empty()) {
        detail.insert(key.to_owned(), text.as_str().into());
    }
    Value::Object(detail).to_string()
}

fn outbox_row(prepared: &Prepared<'_>) -> OutboxRow {
    OutboxRow {
        lane: prepared.id.lane,
        seq: prepared.id.seq,
        schema: prepared.schema,
        bytes: prepared.bytes.clone(),
    }
}
