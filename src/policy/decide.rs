//! Deciding about questions and answers.

use std::{net::IpAddr, sync::Arc};

use super::{
    Action, Hit, Matches, NamePattern, Outcome, PolicySet, Tier, Trigger,
    hit::{HitClass, Kind, Rank},
    index::{Class, Closeness, Found, key::Tag},
    set::{SERVER_TAGS, Slot},
};
use crate::{clock::Timestamp, name::Name};

/// What policy says about a question before its answer is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// No rule can apply, whatever the answer is.
    #[default]
    None,
    /// It depends on an answer that is not known yet.
    Undecided,
    /// Whatever the answer is, this hit acts: [`Outcome::hit`] is there.
    Decided(Outcome),
    /// A feed of this name has no version to go by and forbids to answer without it: SERVFAIL,
    /// EDE 14 (Not Ready).
    Closed(Arc<str>),
}

/// What is known about the zone that a name is in, as far as the resolver's mode lets it know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut<'a> {
    /// Nothing: rules about servers cannot be evaluated.
    #[default]
    Unknown,
    /// Its servers, and those of the zones above it that were asked.
    Known {
        /// Their names, in lower case.
        names: &'a [Name],
        /// Their addresses, as far as they are known.
        addresses: &'a [IpAddr],
        /// Whether these are all of them: rules about others cannot be evaluated.
        complete: bool,
    },
}

/// An answer as policy sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerFacts<'a> {
    /// The names that aliases led to, in order, in lower case, without the name asked.
    pub chain: &'a [Name],
    /// Addresses: of A and AAAA records, and hints of HTTPS and SVCB records.
    pub addresses: &'a [IpAddr],
    /// For the name asked and each of the chain, its zone; where short, unknown.
    pub cuts: &'a [Cut<'a>],
}

/// When and where in a chain something is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub now: Timestamp,
    pub position: u16,
    /// Whether it is about a question, whose answer may be yet unknown; not so for jumps.
    pub staged: bool,
}

impl At {
    pub(super) fn new(now: Timestamp, position: usize) -> Self {
        Self { now, position: u16::try_from(position).unwrap_or(u16::MAX - 1), staged: true }
    }
}

impl PolicySet {
    /// What applies to a client.
    pub fn client(&self, address: IpAddr, now: Timestamp) -> Matches {
        let mut matches = Matches::default();
        if self.client_triggers {
            for slot in &self.slots {
                slot.address(
                    Tag::CLIENT,
                    Kind::ClientIp,
                    &[address],
                    At::new(now, 0),
                    &mut matches,
                );
            }
        }
        matches
    }

    /// Decides a question for a name in lower case, before its answer is known, together with what
    /// applies to the client. Undecided exactly when a rule that acts could still be met by the
    /// answer and come first, or by the chain of aliases: then [`PolicySet::answer`] must be asked.
    pub fn question(&self, name: &Name, client: Matches, now: Timestamp) -> Decision {
        if let Some(feed) = self.closed() {
            return Decision::Closed(Arc::clone(feed));
        }
        let matches = self.names(name, At::new(now, 0)).and(client);
        let outcome = matches.outcome();
        match &outcome.hit {
            // What is left to be met by the answer comes after this; but after an allow rule,
            // feeds that do not yield may still act, and after one that merely tells, any.
            Some(hit) if !hit.rank.waits && !is_allowed(&matches, hit) && !matches.is_soft(hit) => {
                Decision::Decided(outcome)
            }
            None if matches.is_empty() && !self.qname_triggers && !self.has_answer_triggers() => {
                Decision::None
            }
            _ => Decision::Undecided,
        }
    }

    /// What applies to an answer for a name in lower case: to the name itself, too, but not to the
    /// client. Whoever keeps it, keeps it until [`PolicySet::next_boundary`].
    pub fn answer(&self, name: &Name, facts: &AnswerFacts<'_>, now: Timestamp) -> Matches {
        let mut matches = Matches::default();
        for (position, name) in std::iter::once(name).chain(facts.chain).enumerate() {
            let at = At::new(now, position);
            matches = matches.and(self.names(name, at));
            if self.has_answer_triggers() {
                if position == facts.chain.len() {
                    self.addresses(facts.addresses, at, &mut matches);
                }
                let cut = facts.cuts.get(position).copied().unwrap_or_default();
                self.servers(&cut, at, &mut matches);
            }
            if self.is_settled(&matches) {
                break;
            }
        }
        matches
    }

    /// Whether nothing later in the chain can change the outcome, whatever client it is for.
    fn is_settled(&self, matches: &Matches) -> bool {
        let hit = matches.outcome().hit;
        hit.is_some_and(|hit| match &matches.firm {
            _ if matches.is_soft(&hit) => false,
            Some(firm) if Arc::ptr_eq(firm, &hit) => true,
            // An allow rule, this or one for the client, may leave room for feeds that do not yield.
            _ => !is_allowed(matches, &hit) && !self.allows_clients,
        })
    }

    /// The feeds with rules about servers that could not be evaluated for this answer, and might
    /// have changed what acts.
    pub fn not_evaluable<'a>(&'a self, matches: &Matches) -> impl Iterator<Item = &'a Arc<str>> {
        let position = matches.unknown_cut.checked_sub(1);
        let last_word = matches.last_word().map(|hit| hit.rank);
        let allow = matches.allow.as_ref().map(|hit| hit.rank);
        self.slots.iter().filter_map(move |slot| {
            let at = At::new(Timestamp::ZERO, usize::from(position?));
            let rank = slot.rank(Kind::Nsdname, at);
            let open = last_word.is_none_or(|last_word| rank < last_word)
                && !(slot.yields() && allow.is_some_and(|allow| allow < rank));
            (open && slot.feed.index.has(&SERVER_TAGS)).then_some(&slot.feed.name)
        })
    }

    /// What applies to a name at a position of the chain.
    pub(super) fn names(&self, name: &Name, at: At) -> Matches {
        let mut matches = Matches::default();
        if self.qname_triggers {
            for slot in &self.slots {
                slot.name(Tag::QNAME, Kind::Qname, std::slice::from_ref(name), at, &mut matches);
            }
        }
        matches
    }

    /// What applies to the addresses at the end of a chain.
    pub(super) fn addresses(&self, addresses: &[IpAddr], at: At, matches: &mut Matches) {
        for slot in &self.slots {
            slot.address(Tag::RESPONSE, Kind::ResponseIp, addresses, at, matches);
        }
    }

    fn servers(&self, cut: &Cut<'_>, at: At, matches: &mut Matches) {
        for slot in self.slots.iter().filter(|s| s.feed.index.has(&SERVER_TAGS)) {
            match cut {
                Cut::Unknown if matches.unknown_cut == 0 => {
                    matches.unknown_cut = at.position.saturating_add(1);
                }
                Cut::Unknown => {}
                Cut::Known { names, addresses, complete } => {
                    slot.name(Tag::NSDNAME, Kind::Nsdname, names, at, matches);
                    slot.address(Tag::NSIP, Kind::Nsip, addresses, at, matches);
                    let missing = !complete && slot.feed.index.has(&Tag::NSIP);
                    if missing && matches.unknown_cut == 0 {
                        matches.unknown_cut = at.position.saturating_add(1);
                    }
                }
            }
        }
    }
}

fn is_allowed(matches: &Matches, hit: &Arc<Hit>) -> bool {
    matches.allow.as_ref().is_some_and(|allow| Arc::ptr_eq(allow, hit))
}

impl Slot {
    /// Whether allow rules win over this feed.
    fn yields(&self) -> bool {
        matches!(self.class, HitClass::Yielding | HitClass::ObservedYielding)
    }

    fn rank(&self, kind: Kind, at: At) -> Rank {
        let at_question = matches!(kind, Kind::ClientIp | Kind::Qname);
        let waits = at.staged && at.position == 0 && (self.waits || !at_question);
        Rank { position: at.position, waits, feed: self.order, kind }
    }

    /// The closest rule for any of these names; of equally close ones, the first in canonical
    /// order.
    pub(super) fn name(
        &self,
        tags: [Tag; 2],
        kind: Kind,
        names: &[Name],
        at: At,
        matches: &mut Matches,
    ) {
        let index = &self.feed.index;
        if !index.has(&tags) {
            return;
        }
        let mut best: Option<(Closeness, NamePattern, &Class)> = None;
        for name in names {
            let wire = name.wire();
            let pattern = |f: &Found<'_>| NamePattern {
                name: Name::from_checked(&wire[f.start..]),
                wildcard: f.tag == tags[1],
            };
            let found = index.find_name(tags, wire, self.feed.settings.subtree, |f| {
                self.counts(f.class, at.now, || named(kind, pattern(f)))
            });
            if let Some(found) = found {
                let pattern = pattern(&found);
                let before = |(closeness, other, _): &(Closeness, NamePattern, _)| {
                    (found.closeness, canonical(&pattern)) < (*closeness, canonical(other))
                };
                if best.as_ref().is_none_or(before) {
                    best = Some((found.closeness, pattern, found.class));
                }
            }
        }
        if let Some((_, pattern, class)) = best {
            self.hit(class, &named(kind, pattern), kind, at, matches);
        }
    }

    /// The rule with the longest prefix around any of these addresses; of equally long ones, that
    /// of the smallest address. IPv4 counts as mapped into IPv6.
    pub(super) fn address(
        &self,
        tags: [Tag; 2],
        kind: Kind,
        addresses: &[IpAddr],
        at: At,
        matches: &mut Matches,
    ) {
        let index = &self.feed.index;
        if !index.has(&tags) {
            return;
        }
        let trigger = |net| match kind {
            Kind::ClientIp => Trigger::ClientIp(net),
            Kind::Nsip => Trigger::Nsip(net),
            _ => Trigger::ResponseIp(net),
        };
        let found = addresses.iter().filter_map(|address| {
            index.find_address(tags, *address, |class, net| {
                self.counts(class, at.now, || trigger(net))
            })
        });
        let order = |net: &ipnet::IpNet| match net {
            // 255 less its length as mapped, as for IPv6 below.
            ipnet::IpNet::V4(v4) => (159 - v4.prefix_len(), v4.network().to_ipv6_mapped()),
            ipnet::IpNet::V6(v6) => (255 - v6.prefix_len(), v6.network()),
        };
        if let Some((class, net)) = found.min_by_key(|(_, net)| order(net)) {
            self.hit(class, &trigger(net), kind, at, matches);
        }
    }

    /// Whether a rule counts: it is its time, and nobody suspended it.
    pub(super) fn counts(
        &self,
        class: &Class,
        now: Timestamp,
        trigger: impl FnOnce() -> Trigger,
    ) -> bool {
        let settings = &self.feed.settings;
        let suspended = || {
            let none = self.suspended.is_empty();
            !none && self.suspended.contains(trigger().to_string().as_str())
        };
        settings.is_in_force(&class.legal, now) && !suspended()
    }

    pub(super) fn hit(
        &self,
        class: &Class,
        trigger: &Trigger,
        kind: Kind,
        at: At,
        matches: &mut Matches,
    ) {
        let settings = &self.feed.settings;
        let action = match self.class {
            HitClass::Allow => Action::Passthru,
            _ => settings.action.of(&class.action).clone(),
        };
        let legal = settings.legal_of(&class.legal);
        let tier = legal.tier.unwrap_or(settings.tier);
        let tells = match tier {
            Tier::Hint => true,
            Tier::Interstitial => at.staged && !self.warns,
            Tier::Block => false,
        };
        let class = match self.class {
            HitClass::Yielding if tells && action != Action::Passthru => HitClass::SoftYielding,
            HitClass::Firm if tells && action != Action::Passthru => HitClass::SoftFirm,
            class => class,
        };
        let hit = Hit {
            action,
            tier,
            rule: trigger.to_string().into(),
            kind,
            position: at.position,
            feed: Arc::clone(&self.feed.name),
            feed_version: self.feed.version,
            legal,
            ede: settings.ede.clone(),
            contact: Arc::clone(&settings.contact),
            justification: Arc::clone(&settings.justification),
            rank: self.rank(kind, at),
        };
        matches.insert(hit, class);
    }
}

fn named(kind: Kind, pattern: NamePattern) -> Trigger {
    if kind == Kind::Nsdname { Trigger::Nsdname(pattern) } else { Trigger::Qname(pattern) }
}

/// What sorts names as DNSSEC does (RFC 4034 §6.1).
fn canonical(pattern: &NamePattern) -> Vec<Vec<u8>> {
    let mut labels: Vec<Vec<u8>> = pattern.name.labels().map(<[u8]>::to_vec).collect();
    labels.reverse();
    labels
}
