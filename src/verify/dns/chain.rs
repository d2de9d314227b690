//! The chain of signatures from the anchor to the zone, and how long it lasts: RES-07 and RES-08.
//!
//! The states are those of RFC 4035 §4.3. What is insecure is proved to be; what is not proved
//! either way for want of an answer is not known. A bad word about a signature is spoken only
//! where two implementations say the same ([`super::signature`]).

use std::time::Duration;

use domain::base::Rtype;

use super::{
    denial::denies,
    reply::{OwnName, Reply, Rr},
    signature::{self, Checked, Fault},
    view::{Said, View, evidence, silence},
};
use crate::{
    clock::Timestamp,
    verify::{
        Check, Finding, Grade, Outcome, Severity, Standard, Unasked, Unclear, catalogue::Scheme,
        evidence::EvidenceId,
    },
};

/// With less than this left, signatures should have been renewed: three days cover a long weekend.
const MARGIN: Duration = Duration::from_secs(3 * 86_400);

/// The state of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Signed all the way.
    Secure,
    /// Proved to be without signatures from this zone on.
    Insecure(OwnName),
    /// Broken.
    Bogus,
    /// Nobody can tell.
    Unknown(Outcome, String),
}

/// What was found of a chain.
pub(super) struct Chain {
    state: State,
    /// What is broken: in words, and as others call it.
    flaws: Vec<(String, Vec<Standard>)>,
    /// The end of the signature that ends first.
    until: Option<Timestamp>,
    used: Vec<EvidenceId>,
}

const fn zonemaster(id: &'static str) -> Standard {
    Standard { scheme: Scheme::Zonemaster, id }
}

const fn dnsviz(id: &'static str) -> Standard {
    Standard { scheme: Scheme::Dnsviz, id }
}

/// Follows the chain from `anchors`, the DS records of the root, as of `now`.
pub(super) fn follow(view: &View, anchors: &[Rr], now: Timestamp) -> Chain {
    let mut chain =
        Chain { state: State::Secure, flaws: Vec::new(), until: None, used: Vec::new() };
    if anchors.is_empty() {
        let none = Outcome::NotEvaluated(Unasked::NoSource);
        chain.state = State::Unknown(none, "no trust anchor is configured".into());
        return chain;
    }
    let mut ds = anchors.to_vec();
    let mut zones = view.above.clone();
    zones.push(view.zone.clone());
    for (at, zone) in zones.iter().enumerate() {
        let Some(keys) = chain.keys(view, zone, &ds, now) else { break };
        match zones.get(at + 1) {
            Some(child) => match chain.delegation(view, zone, child, &keys, now) {
                Some(next) => ds = next,
                None => break,
            },
            None => chain.contents(view, &keys, now),
        }
    }
    chain
}

impl Chain {
    fn flaw(&mut self, says: String, names: Vec<Standard>) {
        self.state = State::Bogus;
        self.flaws.push((says, names));
    }

    fn holds(&mut self, until: Timestamp) {
        self.until = Some(self.until.map_or(until, |u| u.min(until)));
    }

    /// Takes in what became of checking a set. Whether it holds.
    fn take(&mut self, checked: &Checked, what: &str, case: &'static str) -> bool {
        match checked {
            Checked::Valid { expires } => {
                self.holds(*expires);
                true
            }
            Checked::Not(Fault::Unsupported) => {
                let unknown = Outcome::Unknown(Unclear::Unsupported);
                let says = format!("{what} {}", Fault::Unsupported.says());
                self.state = State::Unknown(unknown, says);
                false
            }
            Checked::Not(Fault::Disputed) => {
                let says = format!("{what} {}", Fault::Disputed.says());
                self.state = State::Unknown(Outcome::Unknown(Unclear::Disputed), says);
                false
            }
            Checked::Not(fault) => {
                let names = vec![zonemaster(case), dnsviz(fault.dnsviz())];
                self.flaw(format!("{what} {}", fault.says()), names);
                false
            }
        }
    }

    /// The keys of a zone that its delegation vouches for.
    fn keys(&mut self, view: &View, zone: &OwnName, ds: &[Rr], now: Timestamp) -> Option<Vec<Rr>> {
        let said = view.of(zone, zone, Rtype::DNSKEY);
        self.used.extend(evidence(said));
        let mut trusted = None;
        let mut heard = false;
        for (said, reply) in finals(said) {
            heard = true;
            let keys = signature::keys(&reply.answer, zone);
            let vouched: Vec<Option<bool>> = ds
                .iter()
                .flat_map(|ds| keys.iter().map(|key| signature::matches(ds, zone, key)))
                .collect();
            if keys.is_empty() {
                let says = format!(
                    "{} has no key for {zone}, which is delegated as signed",
                    said.endpoint
                );
                self.flaw(says, vec![zonemaster("DNSSEC11"), dnsviz("NO_SEP")]);
                continue;
            }
            if !vouched.is_empty() && vouched.iter().all(Option::is_none) {
                // RFC 4035 §5.2: as if there were no DS.
                self.state = State::Insecure(zone.clone());
                return None;
            }
            let entry =
                |key: &&Rr| ds.iter().any(|ds| signature::matches(ds, zone, key) == Some(true));
            let entries: Vec<Rr> = keys.iter().filter(entry).cloned().collect();
            if entries.is_empty() {
                let says = format!(
                    "no key of {zone} at {} is the one it is delegated with",
                    said.endpoint
                );
                self.flaw(says, vec![zonemaster("DNSSEC02"), dnsviz("NO_SEP")]);
                continue;
            }
            let checked = signature::check(&reply.answer, zone, Rtype::DNSKEY, zone, &entries, now);
            let what = format!("the key set of {zone} at {}", said.endpoint);
            if self.take(&checked, &what, "DNSSEC08") {
                trusted.get_or_insert(keys);
            }
        }
        if !heard {
            let says = format!("no server of {zone} gave its keys");
            self.state = State::Unknown(silence(said), says);
            return None;
        }
        trusted
    }

    /// What `zone` vouches for of `child`.
    fn delegation(
        &mut self,
        view: &View,
        zone: &OwnName,
        child: &OwnName,
        keys: &[Rr],
        now: Timestamp,
    ) -> Option<Vec<Rr>> {
        let said = view.of(zone, child, Rtype::DS);
        self.used.extend(evidence(said));
        let Some((first, reply)) = finals(said).next() else {
            let says = format!("no server of {zone} told whether {child} is signed");
            self.state = State::Unknown(silence(said), says);
            return None;
        };
        let ds = reply.answers(child, Rtype::DS);
        if ds.is_empty() {
            if let Some(until) = denies(reply, zone, child, keys, now) {
                self.holds(until);
                self.state = State::Insecure(child.clone());
            } else {
                let says = format!("{} does not prove that {child} is not signed", first.endpoint);
                self.flaw(says, vec![zonemaster("DNSSEC10"), dnsviz("MISSING_NSEC_FOR_NODATA")]);
            }
            return None;
        }
        let ds: Vec<Rr> = ds.into_iter().cloned().collect();
        let checked = signature::check(&reply.answer, child, Rtype::DS, zone, keys, now);
        let what = format!("the delegation of {child} at {}", first.endpoint);
        self.take(&checked, &what, "DNSSEC02").then_some(ds)
    }

    /// What the zone's own servers say must be signed, each on its own.
    fn contents(&mut self, view: &View, keys: &[Rr], now: Timestamp) {
        let zone = &view.zone;
        let sets = [
            (zone, Rtype::SOA, "DNSSEC09"),
            (&view.host, Rtype::A, "DNSSEC09"),
            (&view.host, Rtype::AAAA, "DNSSEC09"),
        ];
        for (name, rtype, case) in sets {
            let said = view.own(name, rtype);
            self.used.extend(evidence(said));
            for (said, reply) in finals(said) {
                if reply.answers(name, rtype).is_empty() {
                    continue;
                }
                let checked = signature::check(&reply.answer, name, rtype, zone, keys, now);
                let what = format!("{rtype} of {name} at {}", said.endpoint);
                self.take(&checked, &what, case);
            }
        }
    }

    /// RES-07.
    pub(super) fn finding(&self, view: &View) -> Finding {
        let zone = &view.zone;
        let new = |outcome, says: String| Finding::new(Check::Res07, outcome, says);
        let signed = finals(view.own(zone, Rtype::DNSKEY))
            .any(|(_, r)| !r.answers(zone, Rtype::DNSKEY).is_empty());
        let mut finding = match &self.state {
            State::Secure => {
                new(Outcome::True, format!("{zone} is signed all the way from the root"))
                    .grade(Grade::A)
            }
            State::Insecure(from) if from == zone && signed => {
                let says = format!("{zone} is signed, but the zone above does not say so");
                new(Outcome::NotApplicable, says).severity(Severity::Notice)
            }
            State::Insecure(from) => {
                new(Outcome::NotApplicable, format!("nothing is signed from {from} on"))
            }
            State::Unknown(outcome, says) => new(*outcome, says.clone()),
            State::Bogus => {
                let says: Vec<_> = self.flaws.iter().map(|(says, _)| says.as_str()).collect();
                new(Outcome::False, says.join("; ")).severity(Severity::Error).grade(Grade::A)
            }
        };
        let state = match &self.state {
            State::Secure => "secure",
            State::Insecure(_) => "insecure",
            State::Bogus => "bogus",
            State::Unknown(..) => "indeterminate",
        };
        if self.state == State::Bogus {
            finding.standard = self.flaws.iter().flat_map(|(_, names)| names.clone()).collect();
            finding.standard.dedup();
        }
        finding.arg("state", state).by(self.used.iter().copied())
    }

    /// RES-08.
    pub(super) fn margin(&self, now: Timestamp) -> Finding {
        let new = |outcome, says: String| Finding::new(Check::Res08, outcome, says);
        let finding = match (&self.state, self.until) {
            (State::Secure, Some(until)) => {
                let left = until.since(now);
                let says = format!("the first of its signatures ends at {until}");
                let severity = if left < MARGIN { Severity::Notice } else { Severity::Info };
                new(Outcome::of(left >= MARGIN), says)
                    .severity(severity)
                    .grade(Grade::A)
                    .arg("left_s", left.as_secs())
            }
            (State::Unknown(outcome, _), _) => new(*outcome, "no chain of signatures".into()),
            _ => new(Outcome::NotApplicable, "no chain of signatures".into()),
        };
        finding.by(self.used.iter().copied())
    }
}

fn finals(said: &[Said]) -> impl Iterator<Item = (&Said, &Reply)> {
    said.iter().filter_map(|s| Some((s, s.reply.as_ref().ok().filter(|r| r.is_final())?)))
}
