//! Writing the rows of one version, as its list is read again.

use std::{path::Path, time::Duration};

use serde_json::json;
use tokio::{runtime::Handle, time::timeout};

use super::{
    super::{
        super::{
            Error, FeedSpec,
            format::{Encoding, Place, Reason, Sink},
        },
        Feeds,
        texts::{Texts, text_of},
    },
    Mark, Row,
};
use crate::{
    config::FullPolicy,
    policy::{Action, FeedSettings, Index, Rule},
    spool::{Commit, Lane},
};

/// Rows written at once.
const ROWS_AT_ONCE: usize = 500;

/// Entries between two marks.
const MARK_EVERY: u64 = 50_000;

/// How often it is looked whether there is room again.
const ROOM_AGAIN: Duration = Duration::from_millis(200);

/// Writes the rows of one version as its list is read again.
pub(super) struct RowsWriter<'a> {
    pub(super) feeds: &'a Feeds,
    pub(super) feed: &'a str,
    pub(super) mark: Mark,
    pub(super) settings: FeedSettings,
    /// The version, as text.
    pub(super) text: String,
    pub(super) subtree: bool,
    pub(super) base: &'a Index,
    pub(super) new: &'a Index,
    /// What the version before says of the rules that are in both.
    pub(super) texts: Texts,
    /// That of the list, once it is known.
    pub(super) encoding: Encoding,
    pub(super) seen: u64,
    pub(super) rows: Vec<Row>,
    pub(super) lane: Option<Lane>,
    pub(super) failed: Option<Error>,
}

impl RowsWriter<'_> {
    pub(super) fn stream(
        &mut self,
        spec: &FeedSpec,
        list: &Path,
        manifest: Option<&Path>,
    ) -> Result<(), Error> {
        let feeds = self.feeds;
        let read = feeds.reading(spec).stream(list, manifest, self);
        read.map_err(|e| Error::Unreadable(e.to_string()))?;
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Rules that the version has no more. All of them, also after a restart: they come in no order.
    pub(super) fn removals(&mut self) -> Result<(), Error> {
        let (base, new) = (self.base, self.new);
        let settings = self.settings.clone();
        let gone = base.iter().filter(|rule| new.get(&rule.trigger).is_none());
        for rule in gone {
            if self.feeds.stop.is_cancelled() {
                return Ok(());
            }
            let mut row = Row::new(&rule, &settings, String::new());
            (row.action, row.tier) = ("removed", "");
            row.more = json!({"change": "removed"});
            self.push(row)?;
        }
        Ok(())
    }

    /// Writes what is left; whether everything is written.
    pub(super) fn finish(&mut self) -> Result<bool, Error> {
        self.write()?;
        Ok(self.rows.is_empty())
    }

    fn push(&mut self, row: Row) -> Result<(), Error> {
        self.rows.push(row);
        if self.rows.len() >= ROWS_AT_ONCE { self.write() } else { Ok(()) }
    }

    /// Writes the rows at hand, waiting for room as long as it takes, or until the end.
    fn write(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let Some(lane) = &mut self.lane else { return Err(Error::Failed) };
        let stop = &self.feeds.stop;
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            if self.feeds.has_room() {
                for row in &self.rows {
                    let legal = row.legal();
                    lane.push(&row.encoded(self.feed, &self.text, &legal), FullPolicy::Refuse);
                }
                if lane.commit() == Commit::Kept {
                    self.rows.clear();
                    return Ok(());
                }
                // The next round goes on in a new lane, from the last mark.
                if lane.is_over() {
                    return Err(Error::Failed);
                }
            }
            lane.tick();
            let wait = async { timeout(ROOM_AGAIN, stop.cancelled()).await };
            if Handle::current().block_on(wait).is_ok() {
                return Ok(());
            }
        }
    }

    fn entry(&mut self, at: Place<'_>, rule: &Rule) -> Result<(), Error> {
        let Some(now) = self.new.get(&rule.trigger) else { return Ok(()) };
        // Of two that contradict each other the other one counts.
        let merged = matches!(now.action, Action::LocalData(_));
        if now.legal != rule.legal || now.action != rule.action && !merged {
            return Ok(());
        }
        let before = self.base.get(&rule.trigger);
        // The same rule in other words is told again: records resolve to the text in force.
        if before.as_ref() == Some(&now) && self.texts.has(at, self.encoding, rule) {
            return Ok(());
        }
        let mut row = Row::new(&now, &self.settings, text_of(at, self.encoding));
        let change = if before.is_some() { "changed" } else { "added" };
        row.more = json!({"change": change, "line": at.line});
        self.push(row)
    }
}

impl Sink for RowsWriter<'_> {
    fn rule(&mut self, at: Place<'_>, rule: Rule) {
        self.seen += 1;
        let refused = || self.feeds.protected.refuses(&rule, self.subtree).is_some();
        if self.seen <= self.mark.done || refused() || self.failed.is_some() {
            return;
        }
        let mut written = self.entry(at, &rule);
        if written.is_ok() && self.seen.is_multiple_of(MARK_EVERY) {
            written = self.write();
            // Rows left over are those of an end that came in between.
            if written.is_ok() && self.rows.is_empty() {
                let mark = Mark { done: self.seen, ..self.mark };
                written = self.feeds.set_rows_mark(self.feed, mark);
            }
        }
        self.failed = written.err();
    }

    fn reject(&mut self, _: Place<'_>, _: Reason) {}

    fn encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
    }

    fn wants_more(&self) -> bool {
        self.failed.is_none() && !self.feeds.stop.is_cancelled()
    }
}

impl Feeds {
    /// Whether records of rules may take room now.
    fn has_room(&self) -> bool {
        let taken = self.spool.stats().disk_bytes;
        is_below(taken, self.config.rules_spool_percent, self.spool_bytes_max)
    }
}

/// Whether `part` is less than `percent` percent of `whole`.
fn is_below(part: u64, percent: u8, whole: u64) -> bool {
    u128::from(part) * 100 < u128::from(whole) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_room_below_their_share_of_the_spool() {
        for (part, percent, whole, below) in [
            (499, 50, 1_000, true),
            (500, 50, 1_000, false),
            (501, 50, 1_000, false),
            (0, 1, 99, true),
            (1, 1, 99, false),
            (u64::MAX - 1, 90, u64::MAX, false),
            (u64::MAX / 2, 90, u64::MAX, true),
        ] {
            assert_eq!(is_below(part, percent, whole), below, "{part} of {whole}");
        }
    }
}
