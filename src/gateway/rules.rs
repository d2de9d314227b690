//! What the rules in force say of a jump.
//!
//! Code, URL, host, chain of aliases and addresses are looked at together, by
//! [`PolicySet::jump`]; the addresses come from before policy, so that a rule which rewrites answers
//! does not hide from us where a target really is.
//!
//! | tier | the visitor | column `action` |
//! |---|---|---|
//! | `block` | 451, whatever the rule does in DNS | `stop` |
//! | `interstitial` | 451: there is no page yet that could be dismissed | `stop` |
//! | `hint` | is sent on | `hint` |
//! | any, PASSTHRU or TCP-only | is sent on | `passthru`, `tcp-only` |
//! | any, of a feed that observes | is sent on | `observe` |
//!
//! A feed without which nothing may be answered and that is not there stops every jump with 503.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    links::{Link, Listed, Target},
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
}

impl Ruling {
    /// The rule's trigger; empty for none.
    pub(super) fn rule(&self) -> &str {
        self.hit.as_ref().map_or("", |h| &h.rule)
    }

    /// Whether the visitor is not sent on.
    pub(super) fn stops(&self) -> bool {
        matches!(self.action, "stop" | "closed")
    }
}

/// What `set` says of a jump along `link`, whose target's addresses are in `lookup`.
pub(super) fn of_jump(
    set: &PolicySet,
    link: &Link,
    lookup: &Lookup,
    now: Timestamp,
) -> Option<Ruling> {
    if let Some(feed) = set.closed() {
        let (tier, action, feed_version) = ("", "closed", String::new());
        return Some(Ruling { tier, action, feed: Arc::clone(feed), feed_version, hit: None });
    }
    let host = lower(&link.target_host);
    let chain: Vec<Name> = lookup.chain.iter().filter_map(|n| lower(n)).collect();
    let facts = JumpFacts {
        url: &link.target,
        host: host.as_ref(),
        code: Some(&link.code),
        addresses: &lookup.addresses,
        chain: &chain,
    };
    ruling(set, &facts, now)
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
    if ruling(&set, &facts, now).is_some_and(|r| r.stops()) { Listed::Yes } else { Listed::No }
}

fn ruling(set: &PolicySet, facts: &JumpFacts<'_>, now: Timestamp) -> Option<Ruling> {
    let outcome = set.jump(facts, now);
    let acts = outcome.hit.is_some();
    let hit = outcome.hit.or(outcome.observed)?;
    let action = match (&hit.action, hit.tier) {
        _ if !acts => "observe",
        (Action::Passthru | Action::TcpOnly, _) => hit.action.name(),
        (_, Tier::Hint) => "hint",
        (_, Tier::Interstitial | Tier::Block) => "stop",
    };
    Some(Ruling {
        tier: hit.tier.name(),
        action,
        feed: Arc::clone(&hit.feed),
        feed_version: hit.feed_version.to_string(),
        hit: Some(hit),
    })
}

/// A host as a name in lower case; none for an address.
fn lower(host: &str) -> Option<Name> {
    if host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    Name::from_text(host).ok().map(|n| n.lower())
}
