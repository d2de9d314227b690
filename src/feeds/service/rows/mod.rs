//! The records of rules: for every version that took force, what it added, changed and removed.
//!
//! What a rule was in a version is its newest row whose version is not above it. Where the version
//! before is lost, a row `reset` without a rule comes with the next: older rows count no more then. Therefore versions
//! are written one after another, each against the last one written, also those that were in force
//! for a moment only. Rows are written beside everything else, in a lane of their own, and wait
//! while the spool is fuller than `feeds.rules_spool_percent`. How far they are is a mark in the
//! database: after a crash the next start goes on from there; a few rows may then be there twice,
//! with the same content.

mod own;
mod row;
mod writer;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::interval;

use self::{row::Row, writer::RowsWriter};
use super::{
    super::{
        Error, FeedSpec,
        events::EventKind,
        format::Encoding,
        store::{Event, EventQuery},
    },
    Feeds,
    aside::{Yields, aside},
    texts::Texts,
};
use crate::{policy::Index, record::Table};

/// The worker number of the lane that rules are written in.
const RULES_WORKER: u16 = 2_048;

/// Events that decided on versions, read at once: the first is nearly always the one looked for.
const MISSING_AT_ONCE: usize = 16;

/// Feeds that ended lately whose rules may still have to be told.
const FEEDS_ENDED: usize = 1_000;

/// How often it is looked for versions whose rows are missing, besides when there is news.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A version that another node decided and has not written for so long is written here.
const TAKE_OVER: Duration = Duration::from_secs(600);

/// How far the rows of a feed's rules are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Mark {
    /// The last version that is written whole; 0 for none.
    written: u64,
    /// The one being written; 0 for none.
    version: u64,
    /// Entries of it that are done.
    done: u64,
    /// Whether every rule of that one is told, because it is no longer known what was before.
    #[serde(default)]
    anew: bool,
}

impl Feeds {
    /// Writes the rows that are missing, until the end.
    pub async fn write_rows(self: Arc<Self>) {
        let mut ticks = interval(LOOK_AGAIN);
        loop {
            let wait = async {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = self.rows_wanted.notified() => {}
                }
            };
            if self.stop.run_until_cancelled(wait).await.is_none() {
                return;
            }
            let written = self.blocking(|feeds| {
                feeds.ledger.settle()?;
                feeds.write_own_rows(super::super::INSTANT);
                feeds.write_own_rows(super::super::ALLOW);
                feeds.judge_left_over(false)?;
                aside(Yields::Most, || feeds.write_missing_rows())
            });
            if let Err(error) = written.await {
                tracing::error!(%error, "the records of rules cannot be written yet");
            }
        }
    }

    /// The version that the next one's rows are told against: it has to stay on disk.
    pub(in crate::feeds::service) fn rows_base(&self, feed: &str) -> Result<Option<u64>, Error> {
        let mark = self.rows_mark(feed)?;
        Ok((mark.written > 0).then_some(mark.written))
    }

    /// The first version whose rows are missing.
    pub(in crate::feeds::service) fn rows_pending_from(
        &self,
        feed: &str,
    ) -> Result<Option<u64>, Error> {
        let mark = self.rows_mark(feed)?;
        Ok(self.rows_missing(feed, mark)?.map(|e| e.version))
    }

    fn rows_mark(&self, feed: &str) -> Result<Mark, Error> {
        let text = self.store().mark(&mark_name(feed))?;
        Ok(text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default())
    }

    fn set_rows_mark(&self, feed: &str, mark: Mark) -> Result<(), Error> {
        self.store().set_mark(&mark_name(feed), Some(&json!(mark).to_string()))
    }

    /// The event that decided on the first version whose rows are missing. Versions are decided for
    /// the first time in their order: it comes after the one of the last version that is written.
    fn rows_missing(&self, feed: &str, mark: Mark) -> Result<Option<Event>, Error> {
        let kinds = &[EventKind::Activated, EventKind::Approved];
        let mut from = match mark.written {
            0 => 0,
            written => self.event_of(feed, kinds, written)?,
        };
        loop {
            let query = EventQuery { feed: Some(feed), kinds, from, ..EventQuery::default() };
            let page = self.store().events(&EventQuery { limit: MISSING_AT_ONCE, ..query })?;
            let Some(last) = page.last() else { return Ok(None) };
            from = last.id;
            let missing = page.into_iter().find(|e| e.version > mark.written);
            if missing.is_some() {
                return Ok(missing);
            }
        }
    }

    fn write_missing_rows(self: &Arc<Self>) -> Result<(), Error> {
        let mut names: Vec<String> = self.standing()?.feeds.into_iter().map(|f| f.name).collect();
        // What a feed decided before it ended has records that name its rules.
        let ended = self.store().events(&EventQuery {
            kinds: &[EventKind::FeedRemoved],
            newest_first: true,
            limit: FEEDS_ENDED,
            ..EventQuery::default()
        })?;
        names.extend(ended.into_iter().map(|e| e.feed));
        names.sort_unstable();
        names.dedup();
        for feed in names {
            // One feed's trouble is not the others'.
            if let Err(error) = self.write_missing_of(&feed) {
                tracing::error!(feed, %error, "the records of its rules cannot be written yet");
            }
        }
        Ok(())
    }

    fn write_missing_of(&self, feed: &str) -> Result<(), Error> {
        let written = self.write_until_whole(feed);
        self.forget_former(feed);
        written
    }

    fn write_until_whole(&self, feed: &str) -> Result<(), Error> {
        while !self.stop.is_cancelled() {
            let mark = self.rows_mark(feed)?;
            let missing = self.rows_missing(feed, mark)?;
            let Some(next) = missing else { break };
            let own = next.node == self.ledger.node.as_str();
            if !own && self.clock().now().since(next.ts) < TAKE_OVER {
                break;
            }
            if !self.write_rows_of(feed, next.version, mark)? {
                break;
            }
        }
        Ok(())
    }

    /// Writes the rows of one version; whether that came to its end.
    fn write_rows_of(&self, feed: &str, version: u64, mark: Mark) -> Result<bool, Error> {
        let row = self.store().version(feed, version)?.ok_or(Error::Unknown("version"))?;
        let begun = mark.version == version;
        let base = match mark.written {
            _ if begun && mark.anew => None,
            0 => Some(Arc::new(Index::empty())),
            // Without it every rule is told again, and that no other one is left.
            written => self
                .rules_of(feed, written)
                .inspect_err(|error| {
                    tracing::warn!(feed, version = written, %error, "told again: all rules");
                })
                .ok(),
        };
        let anew = base.is_none();
        let base = base.unwrap_or_else(|| Arc::new(Index::empty()));
        let new = self.rules_of(feed, version)?;
        let spec = self.spec_of(feed, row.event)?;
        let kept = self.shelf.version(feed, version, row.arrived.digest);
        // What was told as a difference is told again, too.
        let done = if begun && mark.anew == anew { mark.done } else { 0 };
        let mark = Mark { written: mark.written, version, done, anew };
        if anew && done == 0 {
            self.set_rows_mark(feed, mark)?;
        }
        let texts = Texts::of(self, feed, (mark.written, version), &base, &new);
        let lane = self.spool.lane(Table::Rules, RULES_WORKER)?;
        let mut writer = RowsWriter {
            feeds: self,
            feed,
            mark,
            settings: spec.settings(),
            text: version.to_string(),
            subtree: spec.subtree,
            base: &base,
            new: &new,
            texts,
            encoding: Encoding::Auto,
            seen: 0,
            rows: Vec::new(),
            lane: Some(lane),
            failed: None,
        };
        if anew && done == 0 {
            writer.rows.push(Row::reset());
        }
        let streamed = writer.stream(&spec, &kept.list(), kept.manifest().as_deref());
        let finished = streamed.and_then(|()| writer.removals());
        let whole = finished.and_then(|()| writer.finish());
        if let Some(lane) = writer.lane.take()
            && let Err(error) = lane.close()
        {
            tracing::warn!(%error, "the lane of a version's rules could not be ended");
        }
        let whole = whole? && !self.stop.is_cancelled();
        if whole {
            self.set_rows_mark(feed, Mark { written: version, ..Mark::default() })?;
            tracing::info!(feed, version, "the records of a version's rules are written");
        }
        Ok(whole)
    }

    /// The event that made this version of own rules; 0 for none.
    fn event_of(&self, feed: &str, kinds: &[EventKind], version: u64) -> Result<u64, Error> {
        let query = EventQuery { feed: Some(feed), kinds, limit: 1, ..EventQuery::default() };
        let found = self.store().events(&EventQuery { version: Some(version), ..query })?;
        Ok(found.first().map_or(0, |e| e.id))
    }

    /// A feed's settings as they were at an event.
    pub(in crate::feeds::service) fn spec_of(
        &self,
        feed: &str,
        event: u64,
    ) -> Result<FeedSpec, Error> {
        let spec = self.store().spec_at(feed, event)?.ok_or(Error::Unknown("feed"))?;
        Ok(FeedSpec::read(&spec)?)
    }
}

fn mark_name(feed: &str) -> String {
    format!("rules:{feed}")
}
