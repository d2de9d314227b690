//! A feed's accounting report, from the control state and from what was counted in the store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    clock::Timestamp,
    feeds::{
        Error, Event, EventKind, EventQuery, FeedRow, FeedSpec, FeedStore, VersionRow,
        report::{Hits, InForce, Order, Rejected, Report, RuleHits, Version, in_time},
    },
    trace::Counted,
};

/// What a report may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Versions.
    pub(super) versions_max: usize,
    /// Events of one version.
    pub(super) events_max: usize,
    /// Entries that were not taken, of all versions.
    pub(super) rejected_max: usize,
}

/// What is asked.
pub(super) struct Subject<'a> {
    /// The feed as it stands; none where it was removed.
    pub(super) row: Option<&'a FeedRow>,
    /// Its name.
    pub(super) name: &'a str,
    /// Its newest settings.
    pub(super) spec: Option<&'a FeedSpec>,
    /// Since when hits are counted.
    pub(super) from: Timestamp,
    /// Now.
    pub(super) now: Timestamp,
    /// The orders that a version's rules name: authority and number; none where it is no longer kept.
    pub(super) orders_of: &'a dyn Fn(u64) -> Option<BTreeSet<(String, String)>>,
}

/// The report.
///
/// # Errors
/// When the control state cannot be read.
pub(super) fn report(
    store: &dyn FeedStore,
    subject: &Subject<'_>,
    counted: Option<&Counted>,
    room: Room,
) -> Result<Report, Error> {
    let rows = store.versions(subject.name, 0, room.versions_max.saturating_add(1))?;
    let mut truncated = Vec::new();
    if rows.len() > room.versions_max {
        truncated.push("versions");
    }
    let mut versions = Vec::new();
    let mut rejected = Vec::new();
    for row in rows.iter().take(room.versions_max) {
        versions.push(version(store, subject, row, counted, room)?);
        let left = room.rejected_max.saturating_sub(rejected.len());
        let found = store.rejections(subject.name, row.number, 0, left.saturating_add(1))?;
        if found.len() > left && !truncated.contains(&"rejected") {
            truncated.push("rejected");
        }
        rejected.extend(found.into_iter().take(left).map(|r| Rejected {
            version: row.number,
            line: r.line,
            code: r.code,
            reason: r.reason,
            text: r.text,
        }));
    }
    if counted.is_some_and(|c| c.more) {
        truncated.extend(["rules", "orders"]);
    }
    let orders = orders(subject, &versions, counted);
    due(&mut versions, &orders, subject.now);
    let spec = |pick: fn(&FeedSpec) -> String| subject.spec.map(pick).unwrap_or_default();
    Ok(Report {
        generated_at: subject.now,
        feed: subject.name.to_owned(),
        authority: spec(|s| s.authority.clone()),
        order_number: spec(|s| s.order_number.clone()),
        content_class: spec(|s| s.content_class.clone()),
        source: spec(|s| s.source.to_string()),
        format: spec(|s| s.format.clone()),
        tier: spec(|s| s.tier.name().to_owned()),
        hits_from: subject.from,
        complete_through: counted.map(|c| c.complete_through.clone()),
        gaps: counted.map_or(Value::Null, |c| c.gaps.clone()),
        rules: counted.map(rules).unwrap_or_default(),
        versions,
        orders,
        rejected,
        truncated,
    })
}

fn version(
    store: &dyn FeedStore,
    subject: &Subject<'_>,
    row: &VersionRow,
    counted: Option<&Counted>,
    room: Room,
) -> Result<Version, Error> {
    let events = store.events(&EventQuery {
        feed: Some(subject.name),
        version: Some(row.number),
        limit: room.events_max,
        ..EventQuery::default()
    })?;
    let received_at = row.arrived.received_at;
    let in_force = on_nodes(&events, received_at);
    let approved = events.iter().rev().find(|e| e.kind == EventKind::Approved);
    let judged = row.judgement.clone().unwrap_or_default();
    Ok(Version {
        version: row.number,
        state: state(subject.row, row).to_owned(),
        digest: hex::encode(row.arrived.digest),
        signer: row.arrived.signer.clone(),
        received_at,
        accepted: judged.accepted,
        rejected: judged.rejected,
        duplicates: judged.duplicates,
        conflicts: judged.conflicts,
        not_evaluable: judged.not_evaluable,
        approved_by: approved.map(|e| e.actor.clone()).unwrap_or_default(),
        approved_at: approved.map(|e| e.ts).unwrap_or_default(),
        seconds_to_force: in_force.iter().map(|n| n.seconds).reduce(f64::max),
        in_force,
        due_at: Timestamp::ZERO,
        in_time: "not_applicable",
        hits: counted.map(|c| {
            let mut hits = Hits::default();
            let number = row.number.to_string();
            for hit in c.versions.iter().filter(|h| h.version == number) {
                hits.add(hit.jumps, &hit.action, hit.count);
            }
            hits
        }),
    })
}

/// What became of a version, in one word.
pub(super) fn state(feed: Option<&FeedRow>, row: &VersionRow) -> &'static str {
    let in_force = feed.is_some_and(|f| f.version == row.number);
    match row.last.kind {
        _ if in_force => "in-force",
        EventKind::Received => "received",
        EventKind::Held => "held",
        EventKind::Refused => "refused",
        EventKind::Failed => "failed",
        _ if feed.is_none() => "removed",
        _ => "superseded",
    }
}

/// The first time on each node.
fn on_nodes(events: &[Event], received_at: Timestamp) -> Vec<InForce> {
    let mut nodes: Vec<InForce> = Vec::new();
    for event in events.iter().filter(|e| e.kind == EventKind::InForce) {
        if nodes.iter().any(|n| n.node == event.node) {
            continue;
        }
        let seconds = event.ts.since(received_at).as_secs_f64();
        nodes.push(InForce { node: event.node.clone(), at: event.ts, seconds });
    }
    nodes
}

/// The orders behind the rules; the feed's own where the rules' are not known.
fn orders(subject: &Subject<'_>, versions: &[Version], counted: Option<&Counted>) -> Vec<Order> {
    let (authority, order_number, class) = subject.spec.map_or(("", "", ""), |s| {
        (s.authority.as_str(), s.order_number.as_str(), s.content_class.as_str())
    });
    let own = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    let mut orders: BTreeMap<(String, String), Order> = BTreeMap::new();
    for o in counted.map_or(&[][..], |c| &c.orders) {
        let key = (own(&o.authority, authority), own(&o.order_number, order_number));
        let order = orders.entry(key.clone()).or_insert_with(|| Order {
            authority: key.0,
            order_number: key.1,
            content_class: own(&o.content_class, class),
            version: o.version,
            hits: Some(Hits::default()),
            ..Order::default()
        });
        order.version = order.version.min(o.version);
        order.rules += o.rules;
        order.due_at = first(order.due_at, o.due_at);
    }
    for hit in counted.map_or(&[][..], |c| &c.order_hits) {
        let key = (own(&hit.authority, authority), own(&hit.order_number, order_number));
        if let Some(hits) = orders.get_mut(&key).and_then(|o| o.hits.as_mut()) {
            hits.add(hit.jumps, &hit.action, hit.count);
        }
    }
    if let (true, Some(oldest)) = (orders.is_empty(), versions.last()) {
        let order = Order {
            authority: authority.to_owned(),
            order_number: order_number.to_owned(),
            content_class: class.to_owned(),
            version: oldest.version,
            rules: versions.first().map(|v| v.accepted).unwrap_or_default(),
            hits: counted.map(|_| Hits::default()),
            ..Order::default()
        };
        orders.insert((String::new(), String::new()), order);
    }
    let mut orders: Vec<Order> = orders.into_values().collect();
    let mut read = BTreeMap::new();
    for order in &mut orders {
        let arrived = arrival(order.version, versions, |version| {
            let named = read.entry(version).or_insert_with(|| (subject.orders_of)(version));
            named.as_ref().is_some_and(|named| {
                named.iter().any(|(a, n)| {
                    (own(a, authority), own(n, order_number))
                        == (order.authority.clone(), order.order_number.clone())
                })
            })
        });
        order.received_at = arrived.unwrap_or(order.received_at);
        timing(order, versions, subject.now);
    }
    orders.sort_by(|a, b| (a.version, &a.order_number).cmp(&(b.version, &b.order_number)));
    orders
}

/// When the order arrived that took force with version `decided`: with that one, or with the first of
/// those before it that were held or refused and had it. `versions` are newest first.
fn arrival(
    decided: u64,
    versions: &[Version],
    mut has: impl FnMut(u64) -> bool,
) -> Option<Timestamp> {
    let own = versions.iter().find(|v| v.version == decided)?;
    let before = versions.iter().filter(|v| v.version < decided);
    // What failed has no rules; it hides nothing.
    let undecided =
        before.take_while(|v| ["held", "refused", "failed", "received"].contains(&&*v.state));
    let waited: Vec<&Version> =
        undecided.filter(|v| v.state == "held" || v.state == "refused").collect();
    let first = waited.into_iter().rev().find(|v| has(v.version));
    Some(first.unwrap_or(own).received_at)
}

/// The first time that a version with an order was in force anywhere.
fn timing(order: &mut Order, versions: &[Version], now: Timestamp) {
    let since = versions.iter().rev().filter(|v| v.version >= order.version);
    for version in since {
        let at = version.in_force.iter().map(|n| n.at).min();
        let Some(at) = at else { continue };
        order.in_force_at = at;
        order.approved_by.clone_from(&version.approved_by);
        if order.received_at != Timestamp::ZERO {
            order.seconds_to_force = Some(at.since(order.received_at).as_secs_f64());
        }
        break;
    }
    let done = Some(order.in_force_at).filter(|t| *t != Timestamp::ZERO);
    order.in_time = in_time(order.due_at, done, now);
}

/// A version is due when the first of the orders that came with it is.
fn due(versions: &mut [Version], orders: &[Order], now: Timestamp) {
    for version in versions {
        for order in orders.iter().filter(|o| o.version == version.version) {
            version.due_at = first(version.due_at, order.due_at);
        }
        let done = version.in_force.iter().map(|n| n.at).min();
        version.in_time = in_time(version.due_at, done, now);
    }
}

/// The earlier of two dates, where there are any.
fn first(a: Timestamp, b: Timestamp) -> Timestamp {
    match (a, b) {
        (Timestamp::ZERO, other) | (other, Timestamp::ZERO) => other,
        (a, b) => a.min(b),
    }
}

/// One line for each rule and version.
fn rules(counted: &Counted) -> Vec<RuleHits> {
    let mut rules: Vec<RuleHits> = Vec::new();
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for hit in &counted.rules {
        let place = *places.entry((&hit.rule, &hit.version)).or_insert_with(|| {
            rules.push(RuleHits {
                rule: hit.rule.clone(),
                version: hit.version.clone(),
                first: hit.first,
                last: hit.last,
                ..RuleHits::default()
            });
            rules.len() - 1
        });
        let rule = &mut rules[place];
        rule.hits.add(hit.jumps, &hit.action, hit.count);
        (rule.first, rule.last) = (rule.first.min(hit.first), rule.last.max(hit.last));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_was_held_arrived_with_the_version_that_was() {
        let version = |version, state: &str| Version {
            version,
            state: state.into(),
            received_at: Timestamp::from_secs(version.cast_signed()),
            ..Version::default()
        };
        let versions = [
            version(6, "in-force"),
            version(5, "failed"),
            version(4, "held"),
            version(3, "refused"),
            version(2, "superseded"),
            version(1, "held"),
        ];
        let check = |decided, having: &[u64], expected: Option<i64>| {
            let found = arrival(decided, &versions, |v| having.contains(&v));
            assert_eq!(found, expected.map(Timestamp::from_secs), "{decided} {having:?}");
        };
        check(6, &[], Some(6));
        check(6, &[4], Some(4));
        check(6, &[3, 4], Some(3));
        // What was in force without it in between says that it was another order then.
        check(6, &[1], Some(6));
        check(2, &[1], Some(1));
        check(9, &[], None);
    }
}
