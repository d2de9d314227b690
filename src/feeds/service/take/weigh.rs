//! What there is to say for and against a version: what was in force before, what other feeds say,
//! what it would change.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{runtime::Handle, time::timeout};

use super::super::{
    super::{
        ALLOW, Error, FeedSpec, INSTANT,
        blast::{Blast, PastAsk, blast},
        events::EventKind,
        store::{EventQuery, FeedRow, VersionRow},
    },
    Feeds,
};
use crate::policy::{Action, FeedSettings, Index, Override};

/// Contradictions between feeds that are named.
const CONFLICTS_NAMED: usize = 100;

impl Feeds {
    /// The version of these bytes that a person put the one in force in the place of.
    pub(super) fn rolled_back(
        &self,
        row: &FeedRow,
        digest: [u8; 32],
    ) -> Result<Option<u64>, Error> {
        let (first, in_force) = self.since_put_there(row)?;
        let versions = self.store().versions(&row.name, 0, self.config.versions_kept)?;
        let left = |v: &VersionRow| {
            // The same list was put back by other settings, each of which is left above its own.
            let above = if Some(digest) == in_force { row.version } else { first };
            v.number > above && v.event > row.added && EventKind::DECIDING.contains(&v.last.kind)
        };
        Ok(versions.iter().find(|v| v.arrived.digest == digest && left(v)).map(|v| v.number))
    }

    /// The lowest version by which the list in force has been so without a break, and its digest:
    /// what other settings made of it counts as the same.
    fn since_put_there(&self, row: &FeedRow) -> Result<(u64, Option<[u8; 32]>), Error> {
        let digest_of = |number| -> Result<_, Error> {
            Ok(self.store().version(&row.name, number)?.map(|v| v.arrived.digest))
        };
        let digest = digest_of(row.version)?;
        let events = self.store().events(&EventQuery {
            feed: Some(&row.name),
            kinds: &EventKind::DECIDING,
            newest_first: true,
            limit: self.config.versions_kept,
            ..EventQuery::default()
        })?;
        let mut first = row.version;
        for event in events.iter().take_while(|e| e.id > row.added) {
            if digest_of(event.version)? != digest {
                break;
            }
            first = first.min(event.version);
        }
        Ok((first, digest))
    }

    /// How many rules the version in force has; none for a feed that has none in force.
    pub(super) fn rules_before(&self, row: &FeedRow) -> Option<u64> {
        if row.version == 0 {
            return None;
        }
        let version = self.store().version(&row.name, row.version).ok()??;
        version.judgement.map(|j| j.accepted)
    }

    /// Rules that another feed in force decides otherwise: how many, and some of them.
    pub(super) fn conflicts(&self, name: &str, spec: &FeedSpec, index: &Index) -> (u64, Value) {
        let set = self.in_force.load_full();
        let own = spec.settings();
        let (mut count, mut named) = (0, Vec::new());
        let others = set.feeds().filter(|f| ![name, INSTANT, ALLOW].contains(&&*f.name));
        for other in others {
            // The smaller of the two is looked up in the larger.
            let (small, large, swapped) = if index.len() <= other.index.len() {
                (index, &*other.index, false)
            } else {
                (&*other.index, index, true)
            };
            for rule in small.iter() {
                let Some(found) = large.get(&rule.trigger) else { continue };
                let (ours, theirs) = if swapped { (&found, &rule) } else { (&rule, &found) };
                let ours = word(&own, &ours.action);
                let theirs = word(&other.settings, &theirs.action);
                if ours == theirs {
                    continue;
                }
                count += 1;
                if named.len() < CONFLICTS_NAMED {
                    named.push(json!({
                        "feed": &*other.name, "rule": rule.trigger.to_string(),
                        "ours": ours, "theirs": theirs,
                    }));
                }
            }
        }
        (count, named.into())
    }

    /// What the version would decide otherwise in the past hours.
    pub(super) fn blast_of(
        &self,
        row: &FeedRow,
        spec: &FeedSpec,
        index: &Arc<Index>,
    ) -> Result<Blast, String> {
        let hours = u64::from(self.config.blast_hours);
        if hours == 0 {
            return Ok(Blast::default());
        }
        let query = self.past.get().ok_or("the store is not there yet")?;
        let now = self.clock().now();
        let from = now.saturating_sub(Duration::from_secs(hours * 3_600));
        let new = self.set_with(row, spec, index);
        let old = self.in_force.load_full();
        let ask = PastAsk {
            from,
            kinds_max: self.config.blast_kinds_max,
            timeout_ms: self.config.blast_timeout_ms,
            clients: old.has_client_triggers() || new.has_client_triggers(),
        };
        let limit = Duration::from_millis(self.config.blast_timeout_ms);
        let asked = query(ask);
        let past = Handle::current().block_on(async { timeout(limit, asked).await });
        let past = past.map_err(|_| "the store did not answer in time".to_owned())??;
        Ok(blast(&past, from, (&old, &new), &self.suffixes, now))
    }
}

/// What a rule does in a feed of these settings.
fn word(settings: &FeedSettings, given: &Action) -> &'static str {
    match &settings.action {
        Override::Observe => "observe",
        action => action.of(given).name(),
    }
}

pub(super) fn blast_json(blast: &Result<Blast, String>) -> Value {
    match blast {
        Ok(blast) => json!(blast),
        Err(why) => json!({"unknown": why}),
    }
}
