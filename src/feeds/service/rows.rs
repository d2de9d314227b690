//! The records of rules: for every version that took force, what it added, changed and removed.
//!
//! What a rule was in a version is its newest row whose version is not above it. Where the version
//! before is lost, a row `reset` without a rule comes with the next: older rows count no more then. Therefore versions
//! are written one after another, each against the last one written, also those that were in force
//! for a moment only. Rows are written beside everything else, in a lane of their own, and wait
//! while the spool is fuller than `feeds.rules_spool_percent`. How far they are is a mark in the
//! database: after a crash the next start goes on from there; a few rows may then be there twice,
//! with the same content.

use std::{path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{interval, timeout},
};

use super::{
    super::{
        Error, FeedSpec,
        events::EventKind,
        format::{Encoding, Place, Reason, Sink},
        store::{Event, EventQuery},
    },
    Feeds,
    aside::{Yields, aside},
    force::own_rule,
    lock,
    texts::{Texts, text_of},
};
use crate::{
    config::FullPolicy,
    policy::{Action, FeedSettings, Index, Rule, Trigger, UrlKind},
    record::{self, Table},
    spool::{Commit, Lane},
};

/// The worker number of the lane that rules are written in.
const RULES_WORKER: u16 = 2_048;

/// Rows written at once.
const ROWS_AT_ONCE: usize = 500;

/// Entries between two marks.
const MARK_EVERY: u64 = 50_000;

/// Events of own rules read at once.
const EVENTS_AT_ONCE: usize = 1_000;

/// Events that decided on versions, read at once: the first is nearly always the one looked for.
const MISSING_AT_ONCE: usize = 16;

/// Feeds that ended lately whose rules may still have to be told.
const FEEDS_ENDED: usize = 1_000;

/// How often it is looked whether there is room again.
const ROOM_AGAIN: Duration = Duration::from_millis(200);

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

/// A row, to be encoded once there is room.
#[derive(Clone, Debug)]
struct Row {
    rule: String,
    trigger: &'static str,
    action: &'static str,
    tier: &'static str,
    legal: Arc<crate::policy::Legal>,
    text: String,
    more: Value,
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
    pub(super) fn rows_base(&self, feed: &str) -> Result<Option<u64>, Error> {
        let mark = self.rows_mark(feed)?;
        Ok((mark.written > 0).then_some(mark.written))
    }

    /// The first version whose rows are missing.
    pub(super) fn rows_pending_from(&self, feed: &str) -> Result<Option<u64>, Error> {
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

    /// Whether records of rules may take room now.
    fn has_room(&self) -> bool {
        let taken = self.spool.stats().disk_bytes;
        is_below(taken, self.config.rules_spool_percent, self.spool_bytes_max)
    }

    /// Writes the rows of own rules that are missing, those of this node. What cannot be written
    /// now is tried again.
    pub(super) fn write_own_rows(&self, feed: &str) {
        let _one = lock(&self.own_rows);
        if let Err(error) = self.try_own_rows(feed) {
            tracing::warn!(feed, %error, "the records of own rules cannot be written yet");
        }
    }

    fn try_own_rows(&self, feed: &str) -> Result<(), Error> {
        let node = self.ledger.node.as_str();
        let name = format!("{}:{node}", mark_name(feed));
        let written: u64 =
            self.store().mark(&name)?.and_then(|t| t.parse().ok()).unwrap_or_default();
        let kinds = &[
            EventKind::Blocked,
            EventKind::Confirmed,
            EventKind::Lifted,
            EventKind::Allowed,
            EventKind::Disallowed,
        ];
        let mut from = self.event_of(feed, kinds, written)?;
        loop {
            let query = EventQuery { feed: Some(feed), kinds, from, ..EventQuery::default() };
            let events = self.store().events(&EventQuery { limit: EVENTS_AT_ONCE, ..query })?;
            let Some(last) = events.last() else { return Ok(()) };
            from = last.id;
            for event in events.iter().filter(|e| e.node == node) {
                self.own_row(feed, event)?;
                self.store().set_mark(&name, Some(&event.version.to_string()))?;
            }
        }
    }

    /// The event that made this version of own rules; 0 for none.
    fn event_of(&self, feed: &str, kinds: &[EventKind], version: u64) -> Result<u64, Error> {
        let query = EventQuery { feed: Some(feed), kinds, limit: 1, ..EventQuery::default() };
        let found = self.store().events(&EventQuery { version: Some(version), ..query })?;
        Ok(found.first().map_or(0, |e| e.id))
    }

    /// Tells what was true right after the event, whatever happened since.
    fn own_row(&self, feed: &str, event: &Event) -> Result<(), Error> {
        let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
        let id = detail["id"].as_u64().unwrap_or(event.id);
        let Some(own) = self.store().own_rule_at(id, event.id)? else { return Ok(()) };
        let Some(rule) = own_rule(feed, &own) else { return Ok(()) };
        let ended = matches!(event.kind, EventKind::Lifted | EventKind::Disallowed);
        let mut row = Row::new(&rule, &FeedSettings::default(), own.rule.clone());
        let change = match event.kind {
            EventKind::Confirmed => "changed",
            _ if ended => "removed",
            _ => "added",
        };
        row.more = json!({"change": change, "owner": own.owner, "actor": event.actor});
        if ended {
            (row.action, row.tier) = ("removed", "");
        }
        let version = event.version.to_string();
        let legal = row.legal();
        let kept = self.rules_lane.append(&row.encoded(feed, &version, &legal), FullPolicy::Refuse);
        kept.map(|_| ()).map_err(|_| Error::Full)
    }

    /// A feed's settings as they were at an event.
    pub(super) fn spec_of(&self, feed: &str, event: u64) -> Result<FeedSpec, Error> {
        let spec = self.store().spec_at(feed, event)?.ok_or(Error::Unknown("feed"))?;
        Ok(FeedSpec::read(&spec)?)
    }
}

/// Whether `part` is less than `percent` percent of `whole`.
fn is_below(part: u64, percent: u8, whole: u64) -> bool {
    u128::from(part) * 100 < u128::from(whole) * u128::from(percent)
}

fn mark_name(feed: &str) -> String {
    format!("rules:{feed}")
}

/// What kind of trigger it is, for the column `trigger`.
pub(super) const fn kind_of(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::Qname(_) => "qname",
        Trigger::ClientIp(_) => "client-ip",
        Trigger::ResponseIp(_) => "response-ip",
        Trigger::Nsdname(_) => "nsdname",
        Trigger::Nsip(_) => "nsip",
        Trigger::Url(UrlKind::Host, _) => "url-host",
        Trigger::Url(UrlKind::Prefix | UrlKind::PrefixAnyCase, _) => "url-prefix",
        Trigger::Url(UrlKind::Exact | UrlKind::ExactAnyCase, _) => "url",
        Trigger::Code(_) => "code",
    }
}

impl Row {
    /// None of the rules before this version is left, but those that it tells.
    fn reset() -> Self {
        Self {
            rule: String::new(),
            trigger: "",
            action: "reset",
            tier: "",
            legal: Arc::default(),
            text: String::new(),
            more: json!({"change": "reset"}),
        }
    }

    fn new(rule: &Rule, settings: &FeedSettings, text: String) -> Self {
        let legal = settings.legal_of(&rule.legal);
        Self {
            rule: rule.trigger.to_string(),
            trigger: kind_of(&rule.trigger),
            action: rule.action.name(),
            tier: legal.tier.unwrap_or(settings.tier).name(),
            legal,
            text,
            more: Value::Null,
        }
    }

    fn legal(&self) -> String {
        let mut all = json!(*self.legal);
        if let (Value::Object(all), Value::Object(more)) = (&mut all, &self.more) {
            all.extend(more.clone());
        }
        all.to_string()
    }

    fn encoded<'a>(
        &'a self,
        feed: &'a str,
        version: &'a str,
        legal: &'a str,
    ) -> record::RuleRow<'a> {
        record::RuleRow {
            feed,
            version,
            rule: &self.rule,
            trigger: self.trigger,
            action: self.action,
            tier: self.tier,
            authority: &self.legal.authority,
            order_number: &self.legal.order_number,
            effective_from: self.legal.effective_from,
            expires_at: self.legal.expires_at,
            text: &self.text,
            legal,
        }
    }
}

/// Writes the rows of one version as its list is read again.
struct RowsWriter<'a> {
    feeds: &'a Feeds,
    feed: &'a str,
    mark: Mark,
    settings: FeedSettings,
    /// The version, as text.
    text: String,
    subtree: bool,
    base: &'a Index,
    new: &'a Index,
    /// What the version before says of the rules that are in both.
    texts: Texts,
    /// That of the list, once it is known.
    encoding: Encoding,
    seen: u64,
    rows: Vec<Row>,
    lane: Option<Lane>,
    failed: Option<Error>,
}

impl RowsWriter<'_> {
    fn stream(
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
    fn removals(&mut self) -> Result<(), Error> {
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
    fn finish(&mut self) -> Result<bool, Error> {
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
