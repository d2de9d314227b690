//! A change of policy and its record, as one.
//!
//! The record takes its place in the lane first; event and record are one transaction of the
//! database; then the record is appended to the spool and taken off the outbox. The event counts
//! from the commit on: a block must not wait for the spool. What cannot be appended then stays in
//! the outbox, and the next start of this node puts it where it was promised to be.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Error,
    events::EventKind,
    store::{Body, Event, FeedStore},
};
use crate::{
    clock::Clock,
    links::OutboxRow,
    record::{FeedEvent, NodeName},
    spool::{Refused, SharedLane},
};

/// Where events are written.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) store: Arc<dyn FeedStore>,
    pub(super) lane: SharedLane,
    pub(super) node: NodeName,
    pub(super) clock: Clock,
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
        // Records have no columns of their own for these.
        let mut detail = entry.detail.clone();
        let more = [("actor", entry.actor), ("reason", entry.reason), ("rule", entry.subject)];
        for (key, text) in more.into_iter().filter(|(_, text)| !text.is_empty()) {
            detail.insert(key.to_owned(), text.into());
        }
        let version = if entry.version == 0 { String::new() } else { entry.version.to_string() };
        let row = FeedEvent {
            feed: entry.feed,
            version: &version,
            event: entry.kind.name(),
            digest: entry.digest,
            signer: entry.signer,
            accepted: entry.accepted,
            rejected: entry.rejected,
            detail: &Value::Object(detail).to_string(),
        };
        let prepared = self.lane.prepare(&row).map_err(refused)?;
        let (lane, seq) = (prepared.id.lane, prepared.id.seq);
        let (schema, bytes) = (prepared.schema, prepared.bytes.clone());
        event.id =
            self.store.commit(&event, body, basis, &OutboxRow { lane, seq, schema, bytes })?;
        match prepared.append() {
            Ok(_) => {
                // What stays in the outbox is taken off with the next; until then a restart finds
                // it in the spool.
                if let Err(error) = self.store.forget(&self.node, &[(lane, seq)]) {
                    tracing::warn!(%error, "a kept record of a feed stays in the outbox for now");
                }
            }
            Err(error) => {
                tracing::error!(%error, "a record of a feed waits in policy.sqlite for a restart");
            }
        }
        Ok(event)
    }
}

const fn refused(why: Refused) -> Error {
    match why {
        // A row too large for a batch has no room either; the limits of texts come long before.
        Refused::Full | Refused::TooLarge => Error::Full,
        Refused::Failed => Error::Failed,
    }
}
