//! The records of the operator's own rules.

use serde_json::{Value, json};

use super::{
    super::{
        super::{
            Error,
            events::EventKind,
            store::{Event, EventQuery},
        },
        Feeds,
        force::own_rule,
        lock,
    },
    Row, mark_name,
};
use crate::{config::FullPolicy, policy::FeedSettings};

/// Events of own rules read at once.
const EVENTS_AT_ONCE: usize = 1_000;

impl Feeds {
    /// Writes the rows of own rules that are missing, those of this node. What cannot be written
    /// now is tried again.
    pub(in crate::feeds::service) fn write_own_rows(&self, feed: &str) {
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
}
