//! Which rules are about a name, a URL, an address or a code, and what each of them means for it.
//!
//! Deciding finds the one rule that acts; a person wants all of them, with the reason why the
//! others do not act.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    Action, AnswerFacts, Canonical, JumpFacts, Legal, Matches, NamePattern, Outcome, PolicySet,
    Rule, Tier, Trigger, UrlKind, decide::At, hit::HitClass, set::Slot,
};
use crate::{
    clock::Timestamp,
    name::{Name, suffixes},
};

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

/// What a trigger may be about a thing by.
#[derive(Clone, Debug, PartialEq)]
struct Candidate {
    trigger: Trigger,
    /// By the feed's `subtree` alone.
    implied: bool,
}

impl Thing {
    /// Every rule that could be about it, by its text; those that only `subtree` makes so, too.
    pub fn rules(&self) -> Vec<String> {
        let mut texts: Vec<String> =
            self.candidates().iter().map(|c| c.trigger.to_string()).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        match self {
            Self::Name(name) => {
                names(name, Trigger::Qname, &mut all);
                names(name, Trigger::Nsdname, &mut all);
                for host in name.suffixes().filter(|s| s.len() > 1) {
                    let host = Name::from_checked(host).to_string();
                    push(&mut all, Trigger::Url(UrlKind::Host, host.into()));
                }
                // The text of a rule that is no name, such as `24.0.2.0.192.rpz-ip`.
                let trigger = name.to_string().parse::<Trigger>();
                if let Some(trigger) = trigger.ok().filter(|t| !matches!(t, Trigger::Qname(_))) {
                    push(&mut all, trigger);
                }
                if let Some(trigger) = wildcard(name) {
                    push(&mut all, trigger);
                }
            }
            Self::Url(url) => of_url(url, &mut all),
            Self::Address(address) => {
                for net in nets(*address) {
                    push(&mut all, Trigger::ResponseIp(net));
                    push(&mut all, Trigger::ClientIp(net));
                    push(&mut all, Trigger::Nsip(net));
                }
                let host = match address {
                    IpAddr::V4(v4) => v4.to_string(),
                    IpAddr::V6(v6) => format!("[{v6}]"),
                };
                push(&mut all, Trigger::Url(UrlKind::Host, host.into()));
            }
            Self::Link { code, target } => {
                push(&mut all, Trigger::Code(code.as_str().into()));
                of_url(target, &mut all);
            }
        }
        all
    }
}

fn push(all: &mut Vec<Candidate>, trigger: Trigger) {
    all.push(Candidate { trigger, implied: false });
}

/// The rules about a name: itself, everything below one above it; by `subtree` the other way round.
fn names(name: &Name, trigger: impl Fn(NamePattern) -> Trigger, all: &mut Vec<Candidate>) {
    for (above, suffix) in suffixes(name.wire()).enumerate().map(|(i, s)| (i > 0, s)) {
        let name = Name::from_checked(suffix);
        for wildcard in [above, !above] {
            let trigger = trigger(NamePattern { name, wildcard });
            all.push(Candidate { trigger, implied: wildcard != above });
        }
    }
}

/// `*.x` asked for as it stands in lists.
fn wildcard(name: &Name) -> Option<Trigger> {
    let mut suffixes = suffixes(name.wire());
    let first = suffixes.next()?;
    let is_star = first.len() > 2 && first[..2] == *b"\x01*";
    let name = Name::from_checked(suffixes.next().filter(|_| is_star)?);
    Some(Trigger::Qname(NamePattern { name, wildcard: true }))
}

fn of_url(url: &str, all: &mut Vec<Candidate>) {
    let Some(url) = Canonical::read(url) else { return };
    push(all, Trigger::Url(UrlKind::Exact, url.text().into()));
    push(all, Trigger::Url(UrlKind::ExactAnyCase, url.text().to_ascii_lowercase().into()));
    for path in url.paths() {
        for host in url.hosts() {
            let text = format!("{host}{path}");
            let folded = text.to_ascii_lowercase();
            push(all, Trigger::Url(UrlKind::Prefix, text.into()));
            push(all, Trigger::Url(UrlKind::PrefixAnyCase, folded.into()));
        }
    }
    for host in url.hosts() {
        push(all, Trigger::Url(UrlKind::Host, host.into()));
    }
    match host_of(&url) {
        Host::Address(address) => nets(address).for_each(|n| push(all, Trigger::ResponseIp(n))),
        Host::Name(name) => names(&name, Trigger::Qname, all),
        Host::Other => {}
    }
}

enum Host {
    Address(IpAddr),
    Name(Box<Name>),
    Other,
}

fn host_of(url: &Canonical) -> Host {
    let host = url.host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Host::Address(address);
    }
    Name::from_text(host).map_or(Host::Other, |name| Host::Name(Box::new(name.lower())))
}

/// Every prefix around an address, the longest first.
fn nets(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let address = address.to_canonical();
    let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
    (0..=longest).rev().filter_map(move |len| Some(IpNet::new(address, len).ok()?.trunc()))
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
mod tests {
    use super::*;
    use crate::policy::{Extras, FeedInForce, FeedSettings, Index, Override, Suspended};

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn name(text: &str) -> Thing {
        Thing::Name(Box::new(Name::from_text(text).unwrap()))
    }

    fn feed(name: &str, rules: &[&str], change: impl Fn(&mut FeedSettings)) -> Arc<FeedInForce> {
        let mut index = Index::builder();
        for rule in rules {
            let (rule, legal) = match rule.split_once(' ') {
                Some((rule, "past")) => {
                    (rule, Legal { expires_at: Timestamp::from_secs(9), ..Legal::default() })
                }
                Some((rule, _)) => {
                    (rule, Legal { effective_from: Timestamp::MAX, ..Legal::default() })
                }
                None => (*rule, Legal::default()),
            };
            let trigger = rule.parse().unwrap();
            index.add(&Rule { trigger, action: Action::Nxdomain, legal: Arc::new(legal) });
        }
        let mut settings = FeedSettings::default();
        change(&mut settings);
        Arc::new(FeedInForce {
            name: name.into(),
            version: 7,
            index: Arc::new(index.finish()),
            settings,
            closed: false,
        })
    }

    fn check(set: &PolicySet, thing: &Thing, decision: &str, expected: &[&str]) {
        let explained = set.explain(thing, NOW);
        let shown: Vec<_> = explained
            .listings
            .iter()
            .map(|l| format!("{} {} {}", l.feed, l.trigger, l.effect.name()))
            .collect();
        assert_eq!(
            (explained.decision, shown),
            (decision, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{thing:?}"
        );
        let texts = thing.rules();
        for listing in &explained.listings {
            assert!(texts.contains(&listing.trigger.to_string()), "{}", listing.trigger);
        }
    }

    fn set() -> PolicySet {
        let feeds = vec![
            feed("watch", &["*.evil.example", "x.test"], |s| s.action = Override::Observe),
            feed(
                "police",
                &[
                    "a.evil.example",
                    "*.evil.example",
                    "old.example past",
                    "new.example later",
                    "*.gone.example",
                    "url-host:evil.example",
                    "url:evil.example/a?b",
                    "code:abc",
                    "24.0.2.0.192.rpz-ip",
                    "32.1.2.0.192.rpz-client-ip",
                    "ns.evil.example.rpz-nsdname",
                ],
                |_| {},
            ),
            feed("broad", &["wide.example"], |s| s.subtree = true),
            feed("hints", &["hinted.example"], |s| s.tier = Tier::Hint),
        ];
        let suspended = vec![Suspended { feed: "police".into(), rule: "*.gone.example".into() }];
        PolicySet::new(1, feeds, Extras { suspended, ..Extras::default() })
    }

    #[test]
    fn every_rule_about_a_name_is_told_with_its_effect() {
        let set = set();
        check(
            &set,
            &name("a.evil.example"),
            "nxdomain",
            &[
                "police a.evil.example acts",
                "watch *.evil.example observed",
                "police *.evil.example superseded",
                "police url-host:evil.example jump",
            ],
        );
        check(&set, &name("old.example"), "none", &["police old.example expired"]);
        check(&set, &name("new.example"), "none", &["police new.example not-yet"]);
        check(&set, &name("b.gone.example"), "none", &["police *.gone.example suspended"]);
        check(&set, &name("b.wide.example"), "nxdomain", &["broad wide.example acts"]);
        check(&set, &name("hinted.example"), "hint", &["hints hinted.example acts"]);
        check(&set, &name("x.test"), "none", &["watch x.test observed"]);
        check(&set, &name("good.example"), "none", &[]);
        check(
            &set,
            &name("ns.evil.example"),
            "nxdomain",
            &[
                "police *.evil.example acts",
                "watch *.evil.example observed",
                "police ns.evil.example.rpz-nsdname server",
                "police url-host:evil.example jump",
            ],
        );
    }

    #[test]
    fn rules_are_found_by_their_own_text() {
        let set = set();
        let rule = name("24.0.2.0.192.rpz-ip");
        check(&set, &rule, "none", &["police 24.0.2.0.192.rpz-ip answer"]);
        let texts = name("*.evil.example").rules();
        assert!(texts.contains(&"*.evil.example".to_owned()), "{texts:?}");
    }

    #[test]
    fn addresses_urls_and_codes() {
        let set = set();
        check(
            &set,
            &Thing::Address("192.0.2.1".parse().unwrap()),
            "nxdomain",
            &["police 24.0.2.0.192.rpz-ip acts", "police 32.1.2.0.192.rpz-client-ip client"],
        );
        check(
            &set,
            &Thing::Url("https://evil.example/a?b".into()),
            "nxdomain",
            &["police url:evil.example/a?b acts", "police url-host:evil.example superseded"],
        );
        let link = Thing::Link { code: "abc".into(), target: "http://www.good.example/".into() };
        check(&set, &link, "nxdomain", &["police code:abc acts"]);
    }
}
