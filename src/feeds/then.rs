//! The policy of another time, as far as it is about a few rules: what stood then, and of each feed
//! the rules that its version had.
//!
//! It is decided by as the policy in force is, so that the past is told by the same code that made
//! it. What a rule answered with is not kept in `rules`: an action is known by its word.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    ALLOW, Error, EventKind, EventQuery, FeedRow, FeedSpec, FeedStore, INSTANT, OnFailure, OwnRule,
    Standing,
};
use crate::{
    clock::Timestamp,
    policy::{
        Action, Extras, FeedInForce, FeedSettings, Index, Legal, PolicySet, Rule, Suspended,
        Trigger,
    },
};

/// Events of one feed that are looked through at most: decades of daily versions.
const EVENTS_MAX: usize = 100_000;

/// What stood at `at`. `rows` gives the rules of a feed's version, as the table `rules` has them;
/// a row that cannot be read is passed over. `warns` as in [`Extras`].
pub fn then<'a>(
    standing: &Standing,
    at: Timestamp,
    warns: bool,
    mut rows: impl FnMut(&FeedRow) -> Vec<&'a Map<String, Value>>,
) -> PolicySet {
    let mut feeds: Vec<(u32, Arc<FeedInForce>)> = Vec::new();
    for feed in &standing.feeds {
        let Ok(spec) = FeedSpec::read(&feed.spec) else { continue };
        let closed = match spec.on_failure {
            OnFailure::Open if feed.newest_failed => continue,
            OnFailure::Closed => feed.newest_failed || feed.version == 0,
            _ => false,
        };
        let (position, settings) = match FeedSpec::read(&feed.read_by) {
            Ok(read) => (spec.position_over(&read), spec.settings_over(&read)),
            Err(_) => (spec.position, spec.settings()),
        };
        let rules = rows(feed);
        let index = index(rules.iter().filter_map(|row| rule_of(row)));
        let in_force = FeedInForce {
            name: feed.name.as_str().into(),
            version: feed.version,
            index: Arc::new(index),
            settings,
            closed,
        };
        feeds.push((position, Arc::new(in_force)));
    }
    feeds.sort_by(|(p, f), (q, g)| (p, &f.name).cmp(&(q, &g.name)));
    let extras = Extras {
        instant: own(INSTANT, standing.instant_version, &standing.instant, at),
        allow: own(ALLOW, standing.allow_version, &standing.allow, at),
        suspended: standing
            .suspended
            .iter()
            .map(|(feed, rule)| Suspended {
                feed: feed.as_str().into(),
                rule: rule.as_str().into(),
            })
            .collect(),
        warns,
    };
    PolicySet::new(u64::MAX, feeds.into_iter().map(|(_, f)| f).collect(), extras)
}

fn index(rules: impl Iterator<Item = Rule>) -> Index {
    let mut builder = Index::builder();
    for rule in rules {
        builder.add(&rule);
    }
    builder.finish()
}

fn own(name: &str, version: u64, rules: &[OwnRule], at: Timestamp) -> Option<Arc<FeedInForce>> {
    let rules = rules.iter().filter(|r| r.is_in_force(at));
    let index = index(rules.filter_map(|own| {
        let legal = Legal {
            authority: own.authority.as_str().into(),
            order_number: own.order_number.as_str().into(),
            reason: own.reason.as_str().into(),
            effective_from: own.since,
            expires_at: own.expires,
            approver: own.confirmed_by.as_str().into(),
            ..Legal::default()
        };
        let trigger: Trigger = own.rule.parse().ok()?;
        let action = if name == ALLOW { Action::Passthru } else { Action::Nxdomain };
        Some(Rule { trigger, action, legal: Arc::new(legal) })
    }));
    (!index.is_empty()).then(|| {
        Arc::new(FeedInForce {
            name: name.into(),
            version,
            index: Arc::new(index),
            settings: FeedSettings { allow_may_win: false, ..FeedSettings::default() },
            closed: false,
        })
    })
}

fn rule_of(row: &Map<String, Value>) -> Option<Rule> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let action = match text("action") {
        "nxdomain" => Action::Nxdomain,
        "nodata" => Action::Nodata,
        "passthru" => Action::Passthru,
        "drop" => Action::Drop,
        "tcp-only" => Action::TcpOnly,
        "cname" => Action::Cname(Arc::from(&[0][..])),
        "local-data" => Action::LocalData(Arc::from(&[][..])),
        _ => return None,
    };
    let kept: Map<String, Value> = serde_json::from_str(text("legal")).unwrap_or_default();
    let said = |name: &str| kept.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = |name: &str| said(name).parse().unwrap_or_default();
    let legal = Legal {
        authority: text("authority").into(),
        order_number: text("order_number").into(),
        reason: said("reason").into(),
        content_class: said("content_class").into(),
        // Its own. The column has the one that counted when the row was written: where that was the
        // feed's, what the feed said at the time counts.
        tier: crate::policy::Tier::from_name(said("tier")),
        issued_at: time("issued_at"),
        effective_from: column_time(text("effective_from")),
        expires_at: column_time(text("expires_at")),
        due_at: time("due_at"),
        approver: said("approver").into(),
        evidence: said("evidence").into(),
    };
    Some(Rule { trigger: text("rule").parse().ok()?, action, legal: Arc::new(legal) })
}

/// A column's time; the beginning of the epoch, as columns have it, for none.
fn column_time(text: &str) -> Timestamp {
    text.parse().unwrap_or_default()
}

/// Since when, seen at `at`, versions of `feed` from number `first` on have been in force without a
/// break; none where they are not.
///
/// # Errors
/// When the control state cannot be read.
pub fn in_force_since(
    store: &dyn FeedStore,
    feed: &str,
    first: u64,
    at: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let [activated, approved, rolled_back] = EventKind::DECIDING;
    let events = store.events(&EventQuery {
        feed: Some(feed),
        kinds: &[activated, approved, rolled_back, EventKind::FeedRemoved],
        limit: EVENTS_MAX,
        ..EventQuery::default()
    })?;
    let mut since = None;
    for event in events.iter().take_while(|e| e.ts <= at) {
        let has = event.kind != EventKind::FeedRemoved && event.version >= first;
        since = if has { since.or(Some(event.ts)) } else { None };
    }
    Ok(since)
}

#[cfg(test)]
mod tests;
