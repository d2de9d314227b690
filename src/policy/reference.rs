//! Deciding as the specification tells it, without an index, stages or memory: every rule is held
//! against everything, and what applies is sorted. Slow, and what [`super::PolicySet`] is held to.

use std::{cmp::Reverse, net::IpAddr};

use super::{Action, Cut, FeedSettings, Kind, NamePattern, Override, Rule, Tier, Trigger};
use crate::{clock::Timestamp, name::Name};

/// What a feed is beside its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Instant,
    Allow,
    Feed,
}

#[derive(Clone, Debug)]
pub(super) struct RefFeed {
    pub role: Role,
    pub settings: FeedSettings,
    pub rules: Vec<Rule>,
    /// The texts of rules that do not count.
    pub suspended: Vec<String>,
}

/// Everything that is known of a question and its answer.
#[derive(Clone, Debug)]
pub(super) struct RefFacts {
    pub client: IpAddr,
    /// The name asked and those that aliases led to.
    pub names: Vec<Name>,
    pub addresses: Vec<IpAddr>,
    /// For each name, its servers' names and addresses where they are known.
    pub cuts: Vec<Option<(Vec<Name>, Vec<IpAddr>)>>,
}

impl RefFacts {
    pub(super) fn cuts(&self) -> Vec<Cut<'_>> {
        let cuts = self.cuts.iter().map(|cut| match cut {
            Some((names, addresses)) => Cut::Known { names, addresses, complete: true },
            None => Cut::Unknown,
        });
        cuts.collect()
    }
}

/// How close: the smaller, the closer.
type Near = (bool, Reverse<u32>, bool, Vec<Vec<u8>>);

/// One rule that applies, in the order of its fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub position: usize,
    pub late: bool,
    pub feed: usize,
    pub kind: Kind,
    pub near: Near,
    pub rule: String,
}

/// The feed and the rule that act, and those that would have acted.
pub(super) type Expected = (Option<(usize, String)>, Option<(usize, String)>);

fn labels(name: &Name) -> Vec<Vec<u8>> {
    let mut labels: Vec<_> = name.labels().map(<[u8]>::to_vec).collect();
    labels.reverse();
    labels
}

fn near_name(pattern: &NamePattern, name: &Name, subtree: bool) -> Option<Near> {
    let (rule, name) = (labels(&pattern.name), labels(name));
    if !name.starts_with(&rule) {
        return None;
    }
    let below = name.len() > rule.len();
    let said = below == pattern.wildcard;
    let size = Reverse(rule.len() as u32);
    (said || subtree).then_some((below, size, !said, rule))
}

fn near_address(net: &ipnet::IpNet, address: IpAddr) -> Option<Near> {
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let length = u32::from(net.prefix_len()) + if net.addr().is_ipv4() { 96 } else { 0 };
    let order = vec![mapped(net.network()).octets().to_vec()];
    net.contains(&address).then_some((false, Reverse(length), false, order))
}

/// Every way in which a rule applies: position, kind, closeness.
fn ways(rule: &Rule, subtree: bool, facts: &RefFacts) -> Vec<(usize, Kind, Near)> {
    let mut ways = Vec::new();
    let last = facts.names.len() - 1;
    for (position, name) in facts.names.iter().enumerate() {
        let mut add = |kind, near: Option<Near>| ways.extend(near.map(|n| (position, kind, n)));
        let cut = facts.cuts.get(position).and_then(Option::as_ref);
        match &rule.trigger {
            Trigger::Qname(p) => add(Kind::Qname, near_name(p, name, subtree)),
            Trigger::ClientIp(net) if position == 0 => {
                add(Kind::ClientIp, near_address(net, facts.client));
            }
            Trigger::ResponseIp(net) if position == last => {
                let all = facts.addresses.iter();
                all.for_each(|a| add(Kind::ResponseIp, near_address(net, *a)));
            }
            Trigger::Nsdname(p) => {
                let all = cut.into_iter().flat_map(|c| &c.0);
                all.for_each(|n| add(Kind::Nsdname, near_name(p, n, subtree)));
            }
            Trigger::Nsip(net) => {
                let all = cut.into_iter().flat_map(|c| &c.1);
                all.for_each(|a| add(Kind::Nsip, near_address(net, *a)));
            }
            _ => {}
        }
    }
    ways
}

fn needs_answer(rule: &Rule) -> bool {
    matches!(rule.trigger, Trigger::ResponseIp(_) | Trigger::Nsdname(_) | Trigger::Nsip(_))
}

/// Whether what the question meets in feed `i` has to wait for the answer.
fn waits(feeds: &[RefFeed], i: usize) -> bool {
    let may_lose_to = |earlier: &RefFeed| {
        let acts = match earlier.role {
            Role::Allow => yields(&feeds[i]),
            Role::Instant => true,
            Role::Feed => earlier.settings.action != Override::Observe,
        };
        acts && earlier.rules.iter().any(needs_answer)
    };
    feeds[i].settings.qname_wait_recurse && feeds[..i].iter().any(may_lose_to)
}

pub(super) fn yields(feed: &RefFeed) -> bool {
    feed.role == Role::Feed && feed.settings.allow_may_win
}

/// Everything that applies, in order.
pub(super) fn candidates(feeds: &[RefFeed], facts: &RefFacts, now: Timestamp) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (i, feed) in feeds.iter().enumerate() {
        for rule in &feed.rules {
            let legal = feed.settings.legal_of(&rule.legal);
            let text = rule.trigger.to_string();
            if !legal.is_in_force(now) || feed.suspended.contains(&text) {
                continue;
            }
            for (position, kind, near) in ways(rule, feed.settings.subtree, facts) {
                let early = matches!(kind, Kind::ClientIp | Kind::Qname) && !waits(feeds, i);
                let late = position == 0 && !early;
                let rule = text.clone();
                found.push(Candidate { position, late, feed: i, kind, near, rule });
            }
        }
    }
    found.sort();
    // Of a kind, the closest of a feed speaks for it.
    found.dedup_by_key(|c| (c.position, c.late, c.feed, c.kind));
    found
}

/// Whether a feed's rules let through, whatever they say; the rules themselves block.
fn lets_through(feed: &RefFeed) -> bool {
    feed.settings.action == Override::Action(Action::Passthru)
}

/// Whether a rule leaves the answer as it is and merely tells of it. No name leads to the gateway.
pub(super) fn tells(feeds: &[RefFeed], c: &Candidate) -> bool {
    let feed = &feeds[c.feed];
    if feed.role == Role::Allow || feed.settings.action == Override::Observe || lets_through(feed) {
        return false;
    }
    let rule = feed.rules.iter().find(|r| r.trigger.to_string() == c.rule);
    let tier = rule.and_then(|r| feed.settings.legal_of(&r.legal).tier);
    tier.unwrap_or(feed.settings.tier) != Tier::Block
}

/// What allow rules leave of all that applies to act: those that tell, too, but nobody who observes.
fn standing<'a>(feeds: &'a [RefFeed], all: &'a [Candidate]) -> impl Iterator<Item = &'a Candidate> {
    let allowed = all.iter().position(|c| feeds[c.feed].role == Role::Allow);
    let stands = move |(at, c): &(usize, &Candidate)| {
        let feed = &feeds[c.feed];
        let observes = feed.role == Role::Feed && feed.settings.action == Override::Observe;
        feed.role != Role::Allow && !observes && !(yields(feed) && allowed.is_some_and(|a| a < *at))
    };
    all.iter().enumerate().filter(stands).map(|(_, c)| c)
}

/// Whether a rule of feed `i` about the servers of the name at `position` could change what acts.
pub(super) fn is_open(feeds: &[RefFeed], all: &[Candidate], position: usize, i: usize) -> bool {
    let place = (position, position == 0, i, Kind::Nsdname);
    let before = |c: &Candidate| place < (c.position, c.late, c.feed, c.kind);
    let allow = all.iter().find(|c| feeds[c.feed].role == Role::Allow);
    standing(feeds, all).find(|c| !tells(feeds, c)).is_none_or(before)
        && (!yields(&feeds[i]) || allow.is_none_or(before))
}

/// What acts.
pub(super) fn decide(feeds: &[RefFeed], facts: &RefFacts, now: Timestamp) -> Expected {
    let all = candidates(feeds, facts, now);
    let allowed = all.iter().position(|c| feeds[c.feed].role == Role::Allow);
    let mut observed = None;
    // The first that merely tells, and what would have acted before it.
    let mut told = None;
    for (at, c) in all.iter().enumerate() {
        let feed = &feeds[c.feed];
        if feed.role == Role::Allow || (yields(feed) && allowed.is_some_and(|a| a < at)) {
            continue;
        }
        if feed.role == Role::Feed && feed.settings.action == Override::Observe {
            observed = observed.or(Some((c.feed, c.rule.clone())));
        } else if tells(feeds, c) {
            told = told.or(Some((Some((c.feed, c.rule.clone())), observed.clone())));
        } else if let Some(told) = told.take_if(|_| lets_through(feed)) {
            return told;
        } else {
            return (Some((c.feed, c.rule.clone())), observed);
        }
    }
    if let Some(told) = told {
        return told;
    }
    (allowed.map(|a| (all[a].feed, all[a].rule.clone())), observed)
}
