//! Revisions and their records in one transaction, then the append, then the answer.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Error, Keep, Links, OutboxRow, Revision, forward::is_forward};
use crate::{
    record::{Conversion, Flow, RecordId},
    spool::{PreparedMany, Refused, SharedLane},
};

/// The most revisions in one transaction.
const ROWS_MAX: usize = 500;

/// What a record has besides the texts of its revision, with room to spare.
const ROW_BYTES: usize = 512;

/// Revisions to be written together.
pub(super) struct Batch<'a> {
    pub(super) revisions: &'a [Revision],
    /// What each changed, as it was before; none for those that are first.
    pub(super) previous: &'a [String],
    pub(super) client: SocketAddr,
    pub(super) flow: Flow,
}

/// The records of a batch on their way.
struct Keeper<'a> {
    lane: &'a SharedLane,
    batch: &'a Batch<'a>,
    prepared: Option<PreparedMany<'a>>,
    first: Option<RecordId>,
}

impl Keep for Keeper<'_> {
    fn prepare(&mut self, accepted: &[&Revision]) -> Result<Vec<OutboxRow>, Error> {
        let told = accepted.iter().map(|r| Value::Object(r.settings.told()).to_string());
        let told: Vec<String> = told.collect();
        let rows: Vec<Conversion<'_>> =
            accepted.iter().zip(&told).map(|(r, settings)| self.record(r, settings)).collect();
        let prepared = self.lane.prepare_many(&rows).map_err(refused)?;
        let (first, schema) = (prepared.first.clone(), prepared.schema);
        let place = |(seq, bytes): (u64, &Vec<u8>)| OutboxRow {
            lane: first.lane,
            seq,
            schema,
            bytes: bytes.clone(),
        };
        let rows = (first.seq..).zip(&prepared.rows).map(place).collect();
        (self.first, self.prepared) = (Some(first), Some(prepared));
        Ok(rows)
    }

    fn append(&mut self) -> Result<(), Error> {
        self.prepared.take().ok_or(Error::Failed)?.append().map_err(refused)
    }
}

impl<'a> Keeper<'a> {
    fn record<'r>(&self, r: &'r Revision, settings: &'r str) -> Conversion<'r>
    where
        'a: 'r,
    {
        let batch = self.batch;
        let same = |b: &&Revision| b.code == r.code && b.revision == r.revision;
        let place = batch.revisions.iter().position(|b| same(&b));
        let previous = place.and_then(|at| batch.previous.get(at));
        Conversion {
            code: &r.code,
            revision: r.revision,
            operation: r.operation.name(),
            target_submitted: &r.target_submitted,
            target: &r.target,
            target_host: &r.target_host,
            target_registrable_domain: &r.target_registrable_domain,
            actor: &r.actor,
            owner: &r.owner,
            reason: &r.reason,
            client: batch.client,
            client_key: "",
            expires: r.expires,
            verification: "not_evaluated",
            psl_version: &r.psl_version,
            flow: batch.flow,
            service: if is_forward(&r.code) { "forward" } else { "link" },
            domain: &r.domain,
            state: r.state.name(),
            settings,
            previous: previous.map_or("", String::as_str),
        }
    }
}

impl Links {
    /// Writes a batch in one transaction, and says what became of each: the id of its record, or
    /// why it was not written.
    ///
    /// # Errors
    /// Of all of them.
    pub(super) fn convert(&self, batch: &Batch<'_>) -> Result<Vec<Result<RecordId, Error>>, Error> {
        let mut keeper = Keeper { lane: &self.lane, batch, prepared: None, first: None };
        let results = self.store.revise(batch.revisions, &mut keeper)?;
        let mut next = keeper.first.take();
        let mut made = 0;
        let results = batch.revisions.iter().zip(results).map(|(revision, result)| {
            result?;
            self.cache.changed(&revision.code);
            made += 1;
            let id = next.clone().ok_or(Error::Failed)?;
            next = Some(RecordId { seq: id.seq + 1, ..id.clone() });
            Ok(id)
        });
        let results = results.collect();
        self.metrics.gateway.conversions.increment(made);
        Ok(results)
    }

    /// How many of the first of them are one transaction: as many records as the spool takes in
    /// one batch, and at least one.
    pub(super) fn fitting<'r>(&self, revisions: impl Iterator<Item = &'r Revision>) -> usize {
        let mut bytes = 0;
        let fit = revisions.take(ROWS_MAX).take_while(|r| {
            bytes += room(r);
            bytes <= self.batch_bytes_max
        });
        fit.count().max(1)
    }
}

/// What the record of a revision takes at most, about.
fn room(r: &Revision) -> usize {
    let settings = r.settings.to_text().len();
    let texts = [
        &r.code,
        &r.target_submitted,
        &r.target,
        &r.target_host,
        &r.target_registrable_domain,
        &r.actor,
        &r.owner,
        &r.reason,
        &r.psl_version,
        &r.domain,
    ];
    ROW_BYTES + settings * 2 + texts.iter().map(|t| t.len()).sum::<usize>()
}

pub(super) const fn refused(why: Refused) -> Error {
    match why {
        // A row too large for a batch has no room either; the API's own limits come long before.
        Refused::Full | Refused::TooLarge => Error::Full,
        Refused::Failed => Error::Failed,
    }
}
