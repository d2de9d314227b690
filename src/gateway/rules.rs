//! What the rules in force say of a jump.
//!
//! Code, URL, host, chain of aliases and addresses are looked at together, by
//! [`PolicySet::jump`]; the addresses come from before policy, so that a rule which rewrites answers
//! does not hide from us where a target really is.
//!
//! | tier | the visitor | column `action` |
//! |---|---|---|
//! | `block` | gets the page of the block, whatever the rule does in DNS | `stop`, `step_up` |
//! | `interstitial` | gets a page that must be dismissed by hand | `warn` |
//! | `hint` | gets a page, or is sent on where [the rules of tiers](super::notice) say so | `hint` |
//! | any, PASSTHRU or TCP-only | is sent on | `passthru`, `tcp-only` |
//! | any, of a feed that observes | is sent on | `observe` |
//!
//! A forward is asked about twice, as the place that was asked for and as its target. The stricter of
//! what follows is in force.
//!
//! A feed without which nothing may be answered and that is not there stops every jump with 503.

use std::sync::Arc;

use super::notice::{Form, Inputs, Service, Tiered};
use crate::{
    clock::Timestamp,
    links::{Link, Listed, ListedBy, Target},
    name::Name,
    policy::{Action, Hit, InForce, JumpFacts, PolicySet, Tier},
    resolver::Lookup,
};

/// What a rule says of a jump, as its record keeps it.
#[derive(Clone, Debug)]
pub(super) struct Ruling {
    pub(super) tier: &'static str,
    pub(super) action: &'static str,
    pub(super) feed: Arc<str>,
    pub(super) feed_version: String,
    /// The rule; none where a feed that is needed is not there.
    pub(super) hit: Option<Arc<Hit>>,
    /// What being listed means here; none where visitors may pass by the rule.
    pub(super) listed: Option<Tier>,
    /// What is listed, where that is not the target: the place that is forwarded.
    pub(super) place: Option<Box<str>>,
}

impl Ruling {
    /// The rule's trigger; empty for none.
    pub(super) fn rule(&self) -> &str {
        self.hit.as_ref().map_or("", |h| &h.rule)
    }

    /// Whether nothing may be answered.
    pub(super) fn is_closed(&self) -> bool {
        self.hit.is_none()
    }

    /// Whether no link may be made that leads there.
    fn refuses(&self) -> bool {
        self.is_closed() || self.listed.is_some_and(|t| t > Tier::Hint)
    }

    /// The rule, for whoever is refused `what` because of it.
    fn by(&self, what: &str) -> ListedBy {
        let legal = self.hit.as_ref().map(|h| &h.legal);
        ListedBy {
            what: what.split(['?', '#']).next().unwrap_or(what).to_owned(),
            feed: self.feed.to_string(),
            feed_version: self.feed_version.clone(),
            rule: self.rule().to_owned(),
            tier: self.tier,
            authority: legal.map_or_else(String::new, |l| l.authority.to_string()),
            order_number: legal.map_or_else(String::new, |l| l.order_number.to_string()),
        }
    }

    /// How few pass by, `tiered` being the warning: the more, the stricter.
    pub(super) fn weight(&self, tiered: Option<Tiered>) -> (bool, Option<Tier>, bool) {
        let tiered = tiered.filter(|_| self.listed.is_some());
        let stops = tiered.is_some_and(|t| t.tier == Tier::Block && t.form == Form::Stop);
        (self.is_closed(), tiered.map(|t| t.tier), stops)
    }

    /// What is done at the gateway, where the rule lets nobody pass by.
    pub(super) fn warn(&mut self, tiered: Tiered) {
        if self.listed.is_some() {
            self.action = match (tiered.tier, tiered.form()) {
                (Tier::Block, "step_up") => "step_up",
                (Tier::Block, _) => "stop",
                (Tier::Interstitial, _) => "warn",
                (Tier::Hint, _) => "hint",
            };
        }
    }
}

/// What `set` says of a jump along `link` to `target`, whose host's addresses are in `lookup`.
pub(super) fn of_jump(
    set: &PolicySet,
    link: &Link,
    target: &str,
    lookup: &Lookup,
    now: Timestamp,
) -> Option<Ruling> {
    if let Some(feed) = set.closed() {
        let (tier, action, feed_version) = ("", "closed", String::new());
        return Some(Ruling {
            tier,
            action,
            feed: Arc::clone(feed),
            feed_version,
            hit: None,
            listed: None,
            place: None,
        });
    }
    let host = lower(&link.target_host);
    let chain: Vec<Name> = lookup.chain.iter().filter_map(|n| lower(n)).collect();
    let facts = JumpFacts {
        url: target,
        host: host.as_ref(),
        code: Some(&*link.code).filter(|code| !code.is_empty()),
        addresses: &lookup.addresses,
        chain: &chain,
    };
    ruling(set, &facts, now)
}

/// What `set` says of a place on the way from a target, whose host's addresses are in `lookup`.
pub(super) fn of_hop(
    set: &PolicySet,
    url: &str,
    host: &str,
    lookup: &Lookup,
    now: Timestamp,
) -> Option<Ruling> {
    let host = lower(host);
    let chain: Vec<Name> = lookup.chain.iter().filter_map(|n| lower(n)).collect();
    let facts = JumpFacts {
        url,
        host: host.as_ref(),
        code: None,
        addresses: &lookup.addresses,
        chain: &chain,
    };
    ruling(set, &facts, now)
}

/// What `set` says of a host that DNS policy led to us, asked for as `url`.
pub(super) fn of_name(set: &PolicySet, host: &str, url: &str, now: Timestamp) -> Option<Ruling> {
    let host = lower(host)?;
    ruling(set, &JumpFacts { url, host: Some(&host), ..JumpFacts::default() }, now)
}

/// What the tier of a jump is made of.
pub(super) fn inputs(ruling: Option<&Ruling>, service: Service, unresolved: bool) -> Inputs<'_> {
    let ruling = ruling.filter(|r| r.listed.is_some());
    let hit = ruling.and_then(|r| r.hit.as_deref());
    Inputs {
        service,
        listed: ruling.and_then(|r| r.listed),
        action: hit.map_or("", |h| h.action.name()),
        feed: hit.map_or("", |h| &h.feed),
        verdict: "not_evaluated",
        unresolved,
        ..Inputs::default()
    }
}

/// Whether a link may not be made to lead to `target`, because the rules in force would stop it, or
/// stop everything. Nothing is looked up: what only the addresses tell is seen at the jump.
pub fn is_listed(in_force: &InForce, target: &Target, now: Timestamp) -> Listed {
    let set = in_force.load();
    if set.is_empty() {
        return Listed::No;
    }
    if set.closed().is_some() {
        return Listed::Unknown;
    }
    let host = lower(&target.host);
    let address = target.host.trim_matches(['[', ']']).parse().ok();
    let facts = JumpFacts {
        url: &target.serialised,
        host: host.as_ref().filter(|_| address.is_none()),
        addresses: address.as_slice(),
        ..JumpFacts::default()
    };
    match ruling(&set, &facts, now).filter(Ruling::refuses) {
        Some(ruling) => Listed::Yes(Box::new(ruling.by(&target.serialised))),
        None => Listed::No,
    }
}

fn ruling(set: &PolicySet, facts: &JumpFacts<'_>, now: Timestamp) -> Option<Ruling> {
    let outcome = set.jump(facts, now);
    let acts = outcome.hit.is_some();
    let hit = outcome.hit.or(outcome.observed)?;
    let action = match (&hit.action, hit.tier) {
        _ if !acts => "observe",
        (Action::Passthru | Action::TcpOnly, _) => hit.action.name(),
        (_, Tier::Hint) => "hint",
        (_, Tier::Interstitial) => "warn",
        (_, Tier::Block) => "stop",
    };
    let passes = matches!(hit.action, Action::Passthru | Action::TcpOnly);
    let listed = (acts && !passes).then_some(hit.tier);
    Some(Ruling {
        tier: hit.tier.name(),
        action,
        feed: Arc::clone(&hit.feed),
        feed_version: hit.feed_version.to_string(),
        hit: Some(hit),
        listed,
        place: None,
    })
}

/// A host as a name in lower case; none for an address.
fn lower(host: &str) -> Option<Name> {
    if host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    Name::from_text(host).ok().map(|n| n.lower())
}
