//! Which rules are about a name, a URL, an address or a code, and what each of them means for it.
//!
//! Deciding finds the one rule that acts; a person wants all of them, with the reason why the
//! others do not act.

mod candidates;

use std::{net::IpAddr, sync::Arc};

use self::candidates::{Host, host_of};
use super::{
    Action, AnswerFacts, Canonical, JumpFacts, Legal, Matches, Outcome, PolicySet, Rule, Tier,
    Trigger, decide::At, hit::HitClass, set::Slot,
};
use crate::{clock::Timestamp, name::Name};

/// What may be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A name, in lower case.
    Name(Box<Name>),
    /// The target of a jump.
    Url(String),
    /// An address: in an answer, of a client, of a server.
    Address(IpAddr),
    /// A link, and where it leads.
    Link {
        /// Its code.
        code: String,
        /// Its target; empty where it is not known.
        target: String,
    },
}

/// What a rule means for a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It decides.
    Acts,
    /// It would decide, were its feed not set to observe.
    Observed,
    /// Another rule comes first.
    Superseded,
    /// It is about answers with this address.
    Answer,
    /// It is about visitors with this address.
    Client,
    /// It is about names that this server serves.
    Server,
    /// It is about jumps to this host.
    Jump,
    /// Its time has not come.
    NotYet,
    /// Its time is over.
    Expired,
    /// An appeal suspends it.
    Suspended,
}

impl Effect {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Acts,
        Self::Observed,
        Self::Superseded,
        Self::Answer,
        Self::Client,
        Self::Server,
        Self::Jump,
        Self::NotYet,
        Self::Expired,
        Self::Suspended,
    ];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acts => "acts",
            Self::Observed => "observed",
            Self::Superseded => "superseded",
            Self::Answer => "answer",
            Self::Client => "client",
            Self::Server => "server",
            Self::Jump => "jump",
            Self::NotYet => "not-yet",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
        }
    }

    /// Whether the rule counts, be it for this thing or for what has to do with it.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::NotYet | Self::Expired | Self::Suspended)
    }
}

/// A rule about a thing.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The feed.
    pub feed: Arc<str>,
    /// Its version in force.
    pub feed_version: u64,
    /// The rule.
    pub trigger: Trigger,
    /// What it does: the feed's override where there is one.
    pub action: Action,
    /// What being listed means.
    pub tier: Tier,
    /// What the law says of it, the feed's defaults included.
    pub legal: Arc<Legal>,
    /// What it means.
    pub effect: Effect,
}

/// Everything about a thing.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// What is done: the word of an action, of a tier that is no block, `closed` or `none`.
    pub decision: &'static str,
    /// The rules about it: the one that acts first, then in the order of feeds.
    pub listings: Vec<Listing>,
}

impl PolicySet {
    /// Every rule about `thing`, and what is done with it at `now`. What depends on an answer that
    /// nobody gave is told of as such.
    pub fn explain(&self, thing: &Thing, now: Timestamp) -> Explained {
        let outcome = self.outcome_of(thing, now);
        let candidates = thing.candidates();
        let mut listings = Vec::new();
        for slot in &self.slots {
            for candidate in &candidates {
                if candidate.implied && !slot.feed.settings.subtree {
                    continue;
                }
                let Some(rule) = slot.feed.index.get(&candidate.trigger) else { continue };
                listings.push(slot.listing(rule, thing, &outcome, now));
            }
        }
        // By feed and closeness; the one that acts before all.
        listings.sort_by_key(|l: &Listing| l.effect != Effect::Acts);
        Explained { decision: self.decision(&outcome), listings }
    }

    fn outcome_of(&self, thing: &Thing, now: Timestamp) -> Outcome {
        match thing {
            Thing::Name(name) => self.answer(name, &AnswerFacts::default(), now).outcome(),
            Thing::Address(address) => {
                let mut matches = Matches::default();
                self.addresses(&[*address], At::new(now, 0), &mut matches);
                matches.outcome()
            }
            Thing::Url(url) => self.jump_to(url, None, now),
            Thing::Link { code, target } => self.jump_to(target, Some(code), now),
        }
    }

    fn jump_to(&self, url: &str, code: Option<&str>, now: Timestamp) -> Outcome {
        let host = Canonical::read(url).map_or(Host::Other, |url| host_of(&url));
        let (host, addresses) = match &host {
            Host::Name(name) => (Some(&**name), Vec::new()),
            Host::Address(address) => (None, vec![*address]),
            Host::Other => (None, Vec::new()),
        };
        self.jump(&JumpFacts { url, host, code, addresses: &addresses, chain: &[] }, now)
    }

    fn decision(&self, outcome: &Outcome) -> &'static str {
        if self.closed().is_some() {
            return "closed";
        }
        match &outcome.hit {
            None => "none",
            Some(hit) if hit.action == Action::Passthru => "passthru",
            Some(hit) if hit.tier != Tier::Block => hit.tier.name(),
            Some(hit) => hit.action.name(),
        }
    }
}

impl Slot {
    fn listing(&self, rule: Rule, thing: &Thing, outcome: &Outcome, now: Timestamp) -> Listing {
        let feed = &self.feed;
        let legal = feed.settings.legal_of(&rule.legal);
        let action = match self.class {
            HitClass::Allow => Action::Passthru,
            _ => feed.settings.action.of(&rule.action).clone(),
        };
        Listing {
            feed: Arc::clone(&feed.name),
            feed_version: feed.version,
            action,
            tier: legal.tier.unwrap_or(feed.settings.tier),
            effect: self.effect(&rule.trigger, &legal, thing, outcome, now),
            legal,
            trigger: rule.trigger,
        }
    }

    fn effect(
        &self,
        trigger: &Trigger,
        legal: &Legal,
        thing: &Thing,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Effect {
        let text = trigger.to_string();
        let is = |hit: Option<&Arc<super::Hit>>| {
            hit.is_some_and(|h| h.feed == self.feed.name && *h.rule == *text)
        };
        let observes = matches!(self.class, HitClass::ObservedFirm | HitClass::ObservedYielding);
        match trigger {
            _ if self.suspended.contains(text.as_str()) => Effect::Suspended,
            _ if now < legal.effective_from => Effect::NotYet,
            _ if !legal.is_in_force(now) => Effect::Expired,
            _ if is(outcome.hit.as_ref()) => Effect::Acts,
            Trigger::ClientIp(_) => Effect::Client,
            Trigger::Nsip(_) | Trigger::Nsdname(_) => Effect::Server,
            Trigger::ResponseIp(_) if matches!(thing, Thing::Name(_)) => Effect::Answer,
            Trigger::Url(..) if matches!(thing, Thing::Name(_) | Thing::Address(_)) => Effect::Jump,
            _ if observes => Effect::Observed,
            _ => Effect::Superseded,
        }
    }
}

#[cfg(test)]
mod tests;
