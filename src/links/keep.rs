//! Revisions and their records in one transaction, then the append, then the answer.

use std::ptr;

use serde_json::Value;

use super::{
    Error, Keep, Links, OutboxRow, Revision, Standing, Standings,
    forward::is_forward,
    group::{Batch, Beside, Outcome, ROWS_MAX},
};
use crate::{
    record::{Conversion, RecordId},
    spool::{PreparedMany, Refused, SharedLane},
};

/// What a record has besides the texts of its revision, with room to spare.
const ROW_BYTES: usize = 512;

/// The records of revisions on their way.
struct Keeper<'a> {
    lane: &'a SharedLane,
    standings: &'a Standings,
    revisions: &'a [Revision],
    /// One each.
    beside: &'a [Beside],
    prepared: Option<PreparedMany<'a>>,
    first: Option<RecordId>,
}

impl Keep for Keeper<'_> {
    fn prepare(&mut self, accepted: &[&Revision]) -> Result<Vec<OutboxRow>, Error> {
        let told = accepted.iter().map(|r| Value::Object(r.settings.told()).to_string());
        let told: Vec<String> = told.collect();
        // They come in the order in which they were given.
        let mut given = self.revisions.iter().zip(self.beside);
        let mut rows: Vec<Conversion<'_>> = Vec::with_capacity(accepted.len());
        for (r, settings) in accepted.iter().zip(&told) {
            let beside = given.find(|(given, _)| ptr::eq(*given, *r)).ok_or(Error::Failed)?.1;
            rows.push(record(r, settings, beside, (self.standings)(&r.target_host)));
        }
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

    fn abandon(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            prepared.abandon();
        }
    }
}

fn record<'r>(
    r: &'r Revision,
    settings: &'r str,
    beside: &'r Beside,
    standing: Standing,
) -> Conversion<'r> {
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
        client: beside.client,
        client_key: "",
        expires: r.expires,
        verification: standing.word,
        psl_version: &r.psl_version,
        flow: beside.flow,
        service: if is_forward(&r.code) { "forward" } else { "link" },
        domain: &r.domain,
        state: r.state.name(),
        settings,
        previous: &beside.previous,
    }
}

impl Links {
    /// Writes a batch in one transaction, which others may share, and says what became of each of
    /// its revisions: the id of its record, or why it was not written. Blocks on the disk.
    ///
    /// # Errors
    /// Of all of them.
    pub(super) fn convert(&self, batch: Batch) -> Outcome {
        self.group.write(batch, self.batch_bytes_max, |revisions, beside| {
            self.write_rows(revisions, beside)
        })
    }

    fn write_rows(&self, revisions: &[Revision], beside: &[Beside]) -> Outcome {
        let mut keeper = Keeper {
            lane: &self.lane,
            standings: &self.standings,
            revisions,
            beside,
            prepared: None,
            first: None,
        };
        let results = self.store.revise(revisions, &mut keeper)?;
        let mut next = keeper.first.take();
        let mut made = 0;
        let results = revisions.iter().zip(results).map(|(revision, result)| {
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
pub(super) fn room(r: &Revision) -> usize {
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
