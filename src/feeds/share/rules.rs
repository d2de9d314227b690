//! Rules in force as the records of a response policy zone.
//!
//! A zone says what a [`PolicySet`] does: of one feed, or of all of them merged, where the zone has
//! one owner for what several feeds list. For a name listed, and for the names below a wildcard,
//! the set itself is asked, so that order of feeds, overrides, times, suspended rules and
//! `subtree` count as they do here. What a zone cannot say is left out and counted: URLs and
//! codes, and what a hint or a warning means. Where a rule stands back that a wildcard above would
//! overrule, the zone says PASSTHRU.
//!
//! For addresses and servers the first feed that covers one wins. Between kinds of trigger a
//! merged zone follows RPZ's order and not that of feeds: one zone cannot say it otherwise.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    clock::Timestamp,
    feeds::transfer::{Growing, wire::rtype},
    name::Name,
    policy::{
        Action, AnswerFacts, FeedInForce, NamePattern, Override, PolicySet, Rule, Tier, Trigger,
    },
};

/// What became of the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rules about URLs and codes.
    pub not_in_dns: u64,
    /// Rules whose answer stands here: hints, warnings without a gateway, feeds that observe.
    pub standing: u64,
    /// Rules that another one comes before.
    pub superseded: u64,
    /// Rules outside their time, or suspended.
    pub inactive: u64,
    /// Rules whose owner would be too long below the zone's name, be its apex or mean something else.
    pub unfit: u64,
}

/// How rules are said.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// The zone's name.
    pub apex: &'a Name,
    /// When.
    pub now: Timestamp,
    /// The time to live of records that a rule does not name, in seconds.
    pub ttl: u32,
    /// Where names of tier `interstitial` lead; empty for nowhere.
    pub gateway: &'a [IpAddr],
    /// Whether the set is one feed and the allow rules. These are then said only where the feed says
    /// otherwise: a secondary may have other zones, which what it passes here would pass, too.
    pub alone: bool,
}

/// The label that no list has: what is true of it is true of every name below that is not listed.
const UNLISTED: &[u8] = b"\x04\0any\0";

/// Adds the records of every rule of `set` to `zone`.
pub fn write(set: &PolicySet, manner: &Manner<'_>, zone: &mut Growing) -> Tally {
    let feeds: Vec<&FeedInForce> = set.feeds().map(AsRef::as_ref).collect();
    let mut writer = Writer { set, feeds: &feeds, manner, zone, tally: Tally::default() };
    for (order, feed) in feeds.iter().enumerate() {
        for rule in feed.index.iter() {
            writer.rule(order, feed, &rule);
        }
    }
    writer.tally
}

struct Writer<'a> {
    set: &'a PolicySet,
    feeds: &'a [&'a FeedInForce],
    manner: &'a Manner<'a>,
    zone: &'a mut Growing,
    tally: Tally,
}

impl Writer<'_> {
    fn rule(&mut self, order: usize, feed: &FeedInForce, rule: &Rule) {
        match &rule.trigger {
            Trigger::Url(..) | Trigger::Code(_) => self.tally.not_in_dns += 1,
            Trigger::Qname(pattern) => {
                self.name(feed, rule, *pattern);
                if feed.settings.subtree {
                    self.name(feed, rule, NamePattern { wildcard: !pattern.wildcard, ..*pattern });
                }
            }
            _ => self.covered(order, feed, rule),
        }
    }

    /// A name, or what is below it: as the set decides.
    fn name(&mut self, feed: &FeedInForce, rule: &Rule, pattern: NamePattern) {
        let asked = if pattern.wildcard {
            let Some(below) = below(&pattern.name) else {
                self.tally.unfit += 1;
                return;
            };
            below
        } else {
            pattern.name
        };
        let facts = AnswerFacts::default();
        let outcome = self.set.answer(&asked, &facts, self.manner.now).outcome();
        let Some(hit) = outcome.hit else {
            match outcome.observed {
                Some(_) => self.tally.standing += 1,
                None => self.tally.inactive += 1,
            }
            return;
        };
        // Where another rule decides, this one writes what that one says: the same line once more,
        // and the only one for an owner that `subtree` makes.
        let ours = *hit.rule == *rule.trigger.to_string() && hit.feed == feed.name;
        if !ours {
            self.tally.superseded += 1;
        }
        let trigger = Trigger::Qname(pattern);
        let left_out = self.manner.alone && *hit.feed == *crate::feeds::ALLOW;
        if left_out && !self.set.has_answer_triggers() && !self.is_below_wildcard(&pattern.name) {
            return;
        }
        match self.said(&hit.action, hit.tier) {
            Some(action) => self.records(&trigger, &action),
            None => {
                if ours {
                    self.tally.standing += 1;
                }
                if self.is_below_wildcard(&pattern.name) {
                    self.records(&trigger, &Said::Action(Action::Passthru));
                }
            }
        }
    }

    /// Whether some feed lists everything below a name above this one.
    fn is_below_wildcard(&self, name: &Name) -> bool {
        name.suffixes().skip(1).filter_map(|s| Name::from_wire(s).ok()).any(|name| {
            let [below, exact] =
                [true, false].map(|wildcard| Trigger::Qname(NamePattern { name, wildcard }));
            self.said_by().any(|f| {
                f.index.get(&below).is_some()
                    || (f.settings.subtree && f.index.get(&exact).is_some())
            })
        })
    }

    /// The feeds that the zone is about.
    fn said_by(&self) -> impl Iterator<Item = &FeedInForce> {
        let alone = self.manner.alone;
        self.feeds.iter().copied().filter(move |f| !alone || *f.name != *crate::feeds::ALLOW)
    }

    /// An address, a client or a server: the first feed that covers it.
    fn covered(&mut self, order: usize, feed: &FeedInForce, rule: &Rule) {
        if !self.is_active(feed, rule) {
            self.tally.inactive += 1;
            return;
        }
        if feed.settings.action == Override::Observe {
            self.tally.standing += 1;
            return;
        }
        let wider: Vec<Trigger> = wider(&rule.trigger);
        let covers = |earlier: &&FeedInForce| {
            let yields = &*earlier.name != crate::feeds::ALLOW || feed.settings.allow_may_win;
            yields
                && earlier.settings.action != Override::Observe
                && wider
                    .iter()
                    .any(|t| earlier.index.get(t).is_some_and(|r| self.is_active(earlier, &r)))
        };
        if self.feeds[..order].iter().any(covers) {
            self.tally.superseded += 1;
            return;
        }
        let is_allow = *feed.name == *crate::feeds::ALLOW;
        if is_allow && self.manner.alone && !matches!(rule.trigger, Trigger::ClientIp(_)) {
            let covered = |f: &FeedInForce| wider.iter().skip(1).any(|t| f.index.get(t).is_some());
            if !self.said_by().any(covered) {
                return;
            }
        }
        let action = match &*feed.name {
            crate::feeds::ALLOW => Action::Passthru,
            _ => feed.settings.action.of(&rule.action).clone(),
        };
        let tier = rule.legal.tier.or(feed.settings.legal.tier).unwrap_or(feed.settings.tier);
        let wildcard = wider.iter().skip(1).any(|t| feed.index.get(t).is_some());
        match self.said(&action, tier) {
            Some(action) => self.records(&rule.trigger, &action),
            None if wildcard => {
                self.tally.standing += 1;
                self.records(&rule.trigger, &Said::Action(Action::Passthru));
            }
            None => self.tally.standing += 1,
        }
    }

    fn is_active(&self, feed: &FeedInForce, rule: &Rule) -> bool {
        let suspended = || self.set.is_suspended(&feed.name, &rule.trigger.to_string());
        feed.settings.is_in_force(&rule.legal, self.manner.now)
            && !(self.set.has_suspended() && suspended())
    }

    /// What is done in DNS; none when the answer stands.
    fn said(&self, action: &Action, tier: Tier) -> Option<Said> {
        match tier {
            _ if *action == Action::Passthru => Some(Said::Action(Action::Passthru)),
            Tier::Block => Some(Said::Action(action.clone())),
            Tier::Interstitial if !self.manner.gateway.is_empty() => Some(Said::Gateway),
            Tier::Interstitial | Tier::Hint => None,
        }
    }

    fn records(&mut self, trigger: &Trigger, said: &Said) {
        let Some(owner) = owner(trigger, self.manner.apex) else {
            self.tally.unfit += 1;
            return;
        };
        let (zone, ttl) = (&mut *self.zone, self.manner.ttl);
        let mut add = |ttl, rtype, data: &[u8]| zone.add(&owner, ttl, rtype, data);
        let mut alias = |target: &[u8]| add(ttl, rtype::CNAME, target);
        match said {
            Said::Gateway => {
                for address in self.manner.gateway {
                    match address {
                        IpAddr::V4(v4) => add(ttl, rtype::A, &v4.octets()),
                        IpAddr::V6(v6) => add(ttl, rtype::AAAA, &v6.octets()),
                    }
                }
            }
            Said::Action(action) => match action {
                Action::Nxdomain => alias(b"\0"),
                Action::Nodata => alias(b"\x01*\0"),
                Action::Passthru => alias(b"\x0crpz-passthru\0"),
                Action::Drop => alias(b"\x08rpz-drop\0"),
                Action::TcpOnly => alias(b"\x0crpz-tcp-only\0"),
                Action::Cname(target) => alias(target),
                Action::CnameBelow(target) => alias(&[b"\x01*", &target[..]].concat()),
                Action::LocalData(records) => {
                    for record in records.iter() {
                        add(record.ttl, record.rtype, &record.rdata);
                    }
                }
            },
        }
    }
}

/// What a zone says of an owner.
enum Said {
    Action(Action),
    /// The gateway's addresses.
    Gateway,
}

/// A name below `name` that nobody lists.
fn below(name: &Name) -> Option<Name> {
    Name::from_wire(UNLISTED).ok()?.replace_suffix(UNLISTED.len() - 1, name.wire())
}

/// Last labels that make an owner a trigger of another kind.
const SPECIAL: [&[u8]; 4] = [b"rpz-ip", b"rpz-client-ip", b"rpz-nsdname", b"rpz-nsip"];

/// Whether an owner for this pattern would mean something else: a label `*` that is no wildcard, a
/// name that ends as triggers of another kind do.
fn misleads(pattern: &NamePattern, is_qname: bool) -> bool {
    let name = &pattern.name;
    let star = !pattern.wildcard && name.labels().next().is_some_and(|label| label == b"*");
    star || (is_qname && name.labels().last().is_some_and(|label| SPECIAL.contains(&label)))
}

/// The trigger's owner in the zone; none when it does not fit.
fn owner(trigger: &Trigger, apex: &Name) -> Option<Name> {
    let misleads = match trigger {
        Trigger::Qname(pattern) => misleads(pattern, true),
        Trigger::Nsdname(pattern) => misleads(pattern, false),
        _ => false,
    };
    if misleads {
        return None;
    }
    let text = trigger.to_string();
    let relative = Name::from_text(&text).ok()?.lower();
    if relative == Name::ROOT {
        return None;
    }
    relative.replace_suffix(relative.wire().len() - 1, apex.wire())
}

/// The trigger and every one of its kind that covers all that it does, the closest first.
fn wider(trigger: &Trigger) -> Vec<Trigger> {
    let prefixes = |net: IpNet| {
        let lengths = (0..=net.prefix_len()).rev();
        lengths.filter_map(move |len| Some(IpNet::new(net.addr(), len).ok()?.trunc()))
    };
    match trigger {
        Trigger::ClientIp(net) => prefixes(*net).map(Trigger::ClientIp).collect(),
        Trigger::ResponseIp(net) => prefixes(*net).map(Trigger::ResponseIp).collect(),
        Trigger::Nsip(net) => prefixes(*net).map(Trigger::Nsip).collect(),
        Trigger::Nsdname(pattern) => {
            let own = usize::from(pattern.wildcard);
            let above =
                pattern.name.suffixes().skip(1 - own).filter_map(|s| Name::from_wire(s).ok());
            let above = above.map(|name| NamePattern { name, wildcard: true });
            let exact = (!pattern.wildcard).then_some(*pattern);
            exact.into_iter().chain(above).map(Trigger::Nsdname).collect()
        }
        other => vec![other.clone()],
    }
}
