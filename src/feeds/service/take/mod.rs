//! From what a source brought to a version that is activated or held.
//!
//! [`mod@fetch`] looks at sources; here, what is new is kept and made known; [`mod@judge`] reads it
//! and decides by what [`mod@weigh`] finds; [`mod@tidy`] removes what is needed no more.

mod fetch;
mod judge;
mod outcome;
mod tidy;
mod weigh;

use std::sync::Arc;

use serde_json::json;

pub use self::outcome::{Outcome, Took};
use super::{
    super::{
        Error, FeedSpec,
        events::EventKind,
        ledger::Entry,
        shelf::Kept,
        source::Brought,
        store::{Body, FeedRow, NewVersion, VersionRow},
    },
    By, Feeds, lock,
};

impl Feeds {
    /// Keeps, reads and judges what was brought. One at a time of each feed.
    fn take(self: &Arc<Self>, feed: &str, brought: Brought, by: &By) -> Result<Outcome, Error> {
        let busy = self.busy(feed);
        let _busy = lock(&busy);
        let validator = brought.validator.clone();
        let (row, spec) = self.feed(feed)?;
        let name = format!("brought:{feed}");
        let digest = hex::encode(brought.digest());
        let mark = json!([row.added, digest, spec.format, spec.options]).to_string();
        // What the source brought last is nothing new, whatever a person gave or put back since,
        // and whatever other settings made of that.
        let same = self.store().mark(&name)?.as_ref() == Some(&mark);
        let outcome = if same && !row.newest_failed && self.newest_stands(&row, &spec)? {
            Outcome::of(Took::Unchanged, feed, row.newest)
        } else {
            self.take_one(feed, brought, by)?
        };
        if !same {
            self.store().set_mark(&name, Some(&mark))?;
        }
        let mark = Some(validator.as_str()).filter(|v| !v.is_empty());
        self.store().set_mark(&validator_mark(feed), mark)?;
        Ok(outcome)
    }

    /// Whether the newest version is on disk, and was read as it would be now.
    fn newest_stands(&self, row: &FeedRow, spec: &FeedSpec) -> Result<bool, Error> {
        let Some(newest) = self.store().version(&row.name, row.newest)? else { return Ok(false) };
        let kept = self.shelf.version(&row.name, newest.number, newest.arrived.digest);
        Ok(kept.is_there() && self.is_read_by(&newest, spec)?)
    }

    /// The same of a list that somebody gave us. What the source said last stays known: its list
    /// comes back when it changes, not at once.
    fn take_given(
        self: &Arc<Self>,
        feed: &str,
        brought: Brought,
        by: &By,
    ) -> Result<Outcome, Error> {
        let busy = self.busy(feed);
        let _busy = lock(&busy);
        let outcome = self.take_one(feed, brought, by)?;
        if outcome.outcome != Took::Failed {
            self.confirmed(feed, None);
        }
        Ok(outcome)
    }

    pub(in crate::feeds::service) fn take_one(
        self: &Arc<Self>,
        feed: &str,
        brought: Brought,
        by: &By,
    ) -> Result<Outcome, Error> {
        let digest = brought.digest();
        let arrived = NewVersion {
            digest,
            bytes: brought.list.bytes() + brought.manifest.as_ref().map_or(0, |m| m.bytes()),
            received_at: self.clock().now(),
            source: brought.from.clone(),
            signer: brought.signer.clone(),
        };
        let mut brought = Some(brought);
        let mut kept: Option<(u64, Kept)> = None;
        let received = self.upon(feed, |basis| {
            let (row, spec) = self.feed(feed)?;
            if let Some(same) = self.is_known(&row, &spec, digest)? {
                return Ok(Err(same));
            }
            let number = self.store().newest_version(feed)? + 1;
            match (brought.take(), kept.take()) {
                (Some(brought), _) => {
                    kept = Some((number, self.shelf.keep(feed, number, brought)?));
                }
                (None, Some((before, files))) if before != number => {
                    kept = Some((number, self.shelf.renumber(files, feed, number, digest)?));
                }
                (None, files) => kept = files,
            }
            let mut entry =
                Entry::new(EventKind::Received, feed).version(number).by(&by.actor, &by.reason);
            (entry.digest, entry.signer) = (digest, &arrived.signer);
            let entry = entry.with("source", arrived.source.as_str()).with("bytes", arrived.bytes);
            self.ledger.write(&entry, Body::Version(&arrived), Some(basis))?;
            Ok(Ok((number, spec)))
        })?;
        let (number, spec) = match received {
            Ok(received) => received,
            Err(same) => return Ok(Outcome::of(Took::Unchanged, feed, same)),
        };
        self.metrics.feed(feed).versions.increment(1);
        self.judge(feed, &spec, number, &arrived)
    }

    /// The newest version, when it is what was brought and was read as it would be now.
    fn is_known(
        &self,
        row: &FeedRow,
        spec: &FeedSpec,
        digest: [u8; 32],
    ) -> Result<Option<u64>, Error> {
        if row.newest == 0 {
            return Ok(None);
        }
        let Some(newest) = self.store().version(&row.name, row.newest)? else { return Ok(None) };
        if newest.arrived.digest != digest {
            return Ok(None);
        }
        Ok(self.is_read_by(&newest, spec)?.then_some(newest.number))
    }

    /// Whether a version was read as it would be now, or will be: somebody may be at it.
    fn is_read_by(&self, version: &VersionRow, spec: &FeedSpec) -> Result<bool, Error> {
        let read = self.spec_of(&version.feed, version.event)?;
        Ok(read.reading_key() == spec.reading_key())
    }
}

pub(in crate::feeds::service) fn validator_mark(feed: &str) -> String {
    format!("validator:{feed}")
}
