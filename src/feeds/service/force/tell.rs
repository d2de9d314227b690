//! Writing down what took force on this node, and when.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{
        super::{
            ALLOW, Error, INSTANT,
            events::EventKind,
            ledger::Entry,
            store::{Body, EventQuery},
        },
        Feeds, lock,
    },
    Force,
};
use crate::clock::Timestamp;

/// What a node has to tell: a feed, the version that took force there (0 for none), the event that
/// asked for it, and when it did.
#[derive(Clone, Debug)]
pub(super) struct News {
    feed: String,
    version: u64,
    asked: u64,
    at: Timestamp,
}

/// News kept for a database that cannot be written; the oldest go first.
const NEWS_MAX: usize = 10_000;

impl Feeds {
    /// Writes down what took force here and when. What cannot be written is told again.
    pub(super) fn tell(&self) {
        let _one = lock(&self.telling);
        loop {
            let Some(item) = lock(&self.force).news.pop_front() else { break };
            let told = self.tell_one(&item);
            let mut force = lock(&self.force);
            let said = std::mem::replace(&mut force.tell_fails, told.is_err());
            if let Err(error) = told {
                if !said {
                    tracing::warn!(feed = item.feed, %error, "not yet written: what is in force");
                }
                force.news.push_front(item);
                break;
            }
        }
    }

    fn tell_one(&self, item: &News) -> Result<(), Error> {
        let store = self.store();
        let kinds = &[EventKind::InForce];
        let query = EventQuery {
            feed: Some(&item.feed),
            node: Some(self.ledger.node.as_str()),
            kinds,
            newest_first: true,
            limit: 1,
            ..EventQuery::default()
        };
        let last = store.events(&query)?.pop();
        // A node that starts again tells nothing new.
        if last.is_some_and(|e| e.version == item.version && e.id > item.asked) {
            return Ok(());
        }
        let row = store.version(&item.feed, item.version)?;
        let mut entry = Entry::new(EventKind::InForce, &item.feed).version(item.version);
        entry = entry.with("in_force_at", item.at.to_string());
        if let Some(row) = &row {
            let asked = store.events(&EventQuery {
                feed: Some(&item.feed),
                from: item.asked.saturating_sub(1),
                limit: 1,
                ..EventQuery::default()
            })?;
            let decided = asked.first().map_or(item.at, |e| e.ts);
            let rolled_back = asked.first().is_some_and(|e| e.kind == EventKind::RolledBack);
            let received = row.arrived.received_at;
            let since = if rolled_back { decided } else { received };
            entry = entry
                .with("received_at", received.to_string())
                .with("decided_at", decided.to_string())
                .with("seconds", item.at.since(since).as_secs_f64());
            (entry.digest, entry.signer) = (row.arrived.digest, row.arrived.signer.as_str());
            let counts = row.judgement.as_ref().map_or((0, 0), |j| (j.accepted, j.rejected));
            (entry.accepted, entry.rejected) = counts;
        }
        self.ledger.write(&entry, Body::None, None)?;
        Ok(())
    }
}

impl Force {
    /// Finds what there is to tell: versions in force that were not before.
    pub(super) fn find_news(&mut self, at: Timestamp) {
        let standing = Arc::clone(&self.standing);
        let mut now: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for row in &standing.feeds {
            let version = self.state(row).map_or(0, |(version, _)| version);
            now.insert(&row.name, (version, row.version_event));
        }
        now.insert(INSTANT, (standing.instant_version, 0));
        now.insert(ALLOW, (standing.allow_version, 0));
        let gone = self.told.keys().filter(|feed| !now.contains_key(feed.as_str()));
        let gone: Vec<String> = gone.cloned().collect();
        let gone = gone.into_iter().map(|feed| (feed, (0, 0)));
        let now: Vec<_> = now.into_iter().map(|(feed, state)| (feed.to_owned(), state)).collect();
        for (feed, (version, asked)) in now.into_iter().chain(gone) {
            if self.told.insert(feed.clone(), version).unwrap_or(0) != version {
                self.news.push_back(News { feed, version, asked, at });
            }
        }
        self.told.retain(|_, version| *version > 0);
        if self.news.len() > NEWS_MAX {
            let over = self.news.len() - NEWS_MAX;
            tracing::error!(over, "never written: what was in force here");
            self.news.drain(..over);
        }
    }
}
