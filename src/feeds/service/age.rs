//! When a feed counts as one that cannot be loaded although its last good version is there: nobody
//! has confirmed it for so long that it may no longer be what its owner says (it has *expired*).
//!
//! A version is confirmed by every look at its source that goes well, and by a person who gives the
//! list. It expires after the feed's own `stale_after_s`; where there is none, a transferred zone
//! after the EXPIRE of its SOA record (RFC 1035 §3.3.13), anything else after
//! `feeds.stale_after_s`, where that is not 0. Then `on_failure` applies, until it is confirmed
//! again. Each node looks, expires and tells for itself.
//!
//! The time counts on while a node is down. A mark in the database, written seldom, keeps when a
//! version was confirmed: after a crash it may expire up to a minute early, never late.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    super::{
        Error, FeedSpec, Location,
        events::EventKind,
        ledger::Entry,
        store::{Body, FeedRow},
    },
    Feeds, lock,
    looks::LookState,
};
use crate::clock::Timestamp;

/// The mark may be this much behind.
const KEPT_BEHIND: Duration = Duration::from_secs(60);

/// And at most this part of the time until the feed expires.
const KEPT_PART: u32 = 10;

/// How old what a node has of a feed is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Age {
    /// The event that added the feed: another feed of its name begins anew.
    added: u64,
    /// When it was confirmed last.
    confirmed_at: Timestamp,
    /// What the zone's SOA record says.
    expire_s: Option<u64>,
    /// Whether it has expired.
    pub(super) expired: bool,
}

/// What has to be written down of one feed.
struct Turned {
    feed: String,
    spec: FeedSpec,
    age: Age,
    limit: Duration,
    problem: Option<String>,
    /// Whether it expired, or was confirmed again, since it was written down last.
    news: bool,
}

impl Feeds {
    /// Takes up how old everything was when this node ended; gives the feeds that have expired.
    pub(super) fn ages_kept(&self, rows: &[FeedRow]) -> Result<BTreeSet<String>, Error> {
        let mut looks = lock(&self.looks);
        for row in rows {
            let kept = self.store().mark(&self.age_mark(&row.name))?;
            let kept: Option<Age> = kept.and_then(|text| serde_json::from_str(&text).ok());
            let Some(kept) = kept.filter(|kept| kept.added == row.added) else { continue };
            let state = looks.entry(row.name.clone()).or_default();
            (state.age, state.age_kept) = (kept.clone(), kept);
        }
        Ok(self.expire(&mut looks, rows).0)
    }

    /// What a node has of the feed was confirmed now: by its source, whose zone says when it
    /// expires, or by a person.
    pub(super) fn confirmed(&self, feed: &str, expires_after: Option<Duration>) {
        let now = self.clock().now();
        let mut looks = lock(&self.looks);
        let state = looks.entry(feed.to_owned()).or_default();
        state.age.confirmed_at = now;
        if let Some(after) = expires_after {
            state.age.expire_s = Some(after.as_secs());
        }
    }

    /// Lets feeds expire whose time has come, and takes them back that were confirmed again; what
    /// each declares is in force when this returns. Blocks.
    pub(super) fn look_at_ages(self: &Arc<Self>) -> Result<(), Error> {
        let rows = lock(&self.force).standing_now();
        let (expired, turned) = self.expire(&mut lock(&self.looks), &rows.feeds);
        if lock(&self.force).expire(expired) {
            self.obey()?;
        }
        for turned in turned {
            if turned.news {
                self.tell_turned(&turned)?;
            }
            let text = json!(turned.age).to_string();
            self.store().set_mark(&self.age_mark(&turned.feed), Some(&text))?;
            if let Some(state) = lock(&self.looks).get_mut(&turned.feed) {
                state.age_kept = turned.age;
            }
        }
        Ok(())
    }

    /// The feeds that have expired by now, and what has to be written down.
    fn expire(
        &self,
        looks: &mut HashMap<String, LookState>,
        rows: &[FeedRow],
    ) -> (BTreeSet<String>, Vec<Turned>) {
        let now = self.clock().now();
        let (mut expired, mut turned) = (BTreeSet::new(), Vec::new());
        for row in rows {
            let Ok(spec) = FeedSpec::read(&row.spec) else { continue };
            let state = looks.entry(row.name.clone()).or_default();
            if state.age.added != row.added {
                let seen = state.age.added == 0 && state.age.confirmed_at != Timestamp::ZERO;
                let confirmed_at = if seen { state.age.confirmed_at } else { now };
                state.age_kept = Age::default();
                let expire_s = state.age.expire_s.filter(|_| seen);
                state.age = Age { added: row.added, confirmed_at, expire_s, expired: false };
            }
            let limit = self.lifetime(&spec, state.age.expire_s);
            let ends = limit.map(|limit| state.age.confirmed_at.saturating_add(limit));
            // A feed without a version is what it declares anyway.
            state.age.expired = row.version > 0 && ends.is_some_and(|ends| ends <= now);
            state.expires_at = ends.unwrap_or(Timestamp::ZERO);
            state.expired = state.age.expired;
            self.metrics.feed(&row.name).expired.set(f64::from(u8::from(state.expired)));
            if state.expired {
                expired.insert(row.name.clone());
            }
            let Some(limit) = limit.or(state.age_kept.expired.then_some(Duration::ZERO)) else {
                continue;
            };
            let behind = state.age.confirmed_at.since(state.age_kept.confirmed_at);
            let news = state.age.expired != state.age_kept.expired;
            let other = (state.age.added, state.age.expire_s)
                != (state.age_kept.added, state.age_kept.expire_s);
            if news || other || behind > KEPT_BEHIND.min(limit / KEPT_PART) {
                turned.push(Turned {
                    feed: row.name.clone(),
                    spec,
                    age: state.age.clone(),
                    limit,
                    problem: state.problem.clone(),
                    news,
                });
            }
        }
        (expired, turned)
    }

    /// How long a version stays good without being confirmed; none for ever.
    fn lifetime(&self, spec: &FeedSpec, expire_s: Option<u64>) -> Option<Duration> {
        let own = (spec.stale_after_s > 0).then_some(spec.stale_after_s);
        let zone = expire_s.filter(|_| matches!(spec.source, Location::Zone(_)));
        let all = (self.config.stale_after_s > 0).then_some(self.config.stale_after_s);
        own.or(zone).or(all).map(Duration::from_secs)
    }

    fn tell_turned(&self, turned: &Turned) -> Result<(), Error> {
        let Turned { feed, spec, age, limit, problem, .. } = turned;
        let (since, after_s) = (age.confirmed_at.to_string(), limit.as_secs());
        let kind = if age.expired {
            tracing::error!(
                feed,
                since,
                after_s,
                "a feed has expired: what it declares is in force"
            );
            EventKind::Expired
        } else {
            tracing::info!(feed, "a feed that had expired is confirmed again");
            EventKind::Renewed
        };
        let entry = Entry::new(kind, feed)
            .with("confirmed_at", since.as_str())
            .with("after_s", after_s)
            .with("on_failure", json!(spec.on_failure))
            .with("problem", problem.as_deref().unwrap_or_default());
        self.ledger.write(&entry, Body::None, None)?;
        Ok(())
    }

    fn age_mark(&self, feed: &str) -> String {
        format!("age:{}:{feed}", self.ledger.node.as_str())
    }
}
