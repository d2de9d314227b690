//! RES-10: whether several places see the same of a name.
//!
//! The rule is that of the CA/Browser Forum for issuing certificates (Baseline Requirements 3.2.2.9,
//! multi-perspective issuance corroboration): beside our own view at least two others; with two to
//! five of them one may fail to corroborate, with six or more two. Ours asks more in one respect:
//! views have to be made by two implementations or more. Nobody shares a cache with anybody: each
//! asks for itself, and nothing is carried over from an earlier verification.
//!
//! A view that failed corroborates nothing, and is no dissent either. Without a quorum nobody knows
//! whom to believe: that is `unknown`, never `"false"`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Finding, Grade, Outcome, Severity, Unasked, Unclear,
    dns::reply::{Reply, addresses},
    evidence::{Bundle, EvidenceId, Got, Kind, Question},
};
use crate::clock::Timestamp;

/// The name of the rule, in findings.
pub(super) const RULE: &str = "mpic/1";

/// From so many other views on two of them may fail to corroborate.
const MANY: usize = 6;

/// What a place sees of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "sees", rename_all = "snake_case")]
pub enum Sees {
    /// It leads to these addresses, in order.
    Addresses {
        /// Each once.
        addresses: Vec<IpAddr>,
    },
    /// It is there, and leads to no address.
    Nothing,
    /// There is no such name.
    Missing,
    /// The place cannot tell.
    Unknown {
        /// Why.
        cause: Unclear,
    },
}

impl Sees {
    /// These addresses; nothing where there are none.
    pub fn addresses(found: impl IntoIterator<Item = IpAddr>) -> Self {
        let found: BTreeSet<IpAddr> = found.into_iter().collect();
        if found.is_empty() {
            Self::Nothing
        } else {
            Self::Addresses { addresses: found.into_iter().collect() }
        }
    }
}

/// What another tracegate says that it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Perspective {
    /// Who says so.
    pub node: String,
    /// The name.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub sees: Sees,
}

/// By what views are held against ours, beside the addresses themselves.
pub(super) struct Grounds<'a> {
    /// The networks in which the owner declared the addresses.
    pub declared: &'a [IpNet],
    /// Who announces an address, where that is known.
    pub asns: &'a BTreeMap<IpAddr, BTreeSet<u32>>,
}

/// One view beside ours.
struct View {
    vantage: String,
    software: String,
    sees: Result<Sees, Outcome>,
    evidence: Vec<EvidenceId>,
}

/// How a view stands to ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Same,
    Declared,
    Asn,
    Other,
    Failed,
}

impl Stands {
    const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Declared => "declared",
            Self::Asn => "asn",
            Self::Other => "other",
            Self::Failed => "failed",
        }
    }

    const fn corroborates(self) -> bool {
        matches!(self, Self::Same | Self::Declared | Self::Asn)
    }
}

/// The addresses that views beside ours name.
pub(super) fn addresses_seen(bundle: &Bundle, name: &str, now: Timestamp) -> BTreeSet<IpAddr> {
    let sees = views(bundle, name, now).into_iter().filter_map(|v| v.sees.ok());
    sees.flat_map(|s| if let Sees::Addresses { addresses } = s { addresses } else { Vec::new() })
        .collect()
}

/// What is found when the views in `bundle` are held against `ours`.
pub(super) fn corroborated(
    name: &str,
    ours: &Sees,
    bundle: &Bundle,
    grounds: &Grounds<'_>,
    now: Timestamp,
) -> Vec<Finding> {
    let views = views(bundle, name, now);
    let new = |outcome, says: String| Finding::new(Check::Res10, outcome, says);
    if views.is_empty() {
        let says = "no other place is configured that would look".to_owned();
        return vec![new(Outcome::NotEvaluated(Unasked::NoSource), says)];
    }
    if let Sees::Unknown { .. } = ours {
        let says = "there is no view of ours to hold others against".to_owned();
        return vec![new(Outcome::NotEvaluated(Unasked::Prerequisite), says)];
    }
    let stands: Vec<Stands> = views.iter().map(|v| stands(ours, v, grounds)).collect();
    let allowed = if views.len() < MANY { 1 } else { 2 };
    let agree = stands.iter().filter(|s| s.corroborates()).count();
    let others = stands.iter().filter(|s| **s == Stands::Other).count();
    let is_met = views.len() >= 2 && agree + allowed >= views.len();
    let kinds: BTreeSet<&str> = views.iter().map(|v| v.software.as_str()).collect();
    let told = format!("{agree} of {} other places see the same as we do", views.len());
    let outcome = match () {
        () if others > allowed => Outcome::Unknown(Unclear::Disputed),
        () if !is_met || kinds.len() < 2 => Outcome::Unknown(Unclear::Uncorroborated),
        () => Outcome::True,
    };
    let grade = if outcome == Outcome::True { Grade::C } else { Grade::U };
    let vantages: BTreeMap<&str, &str> =
        views.iter().zip(&stands).map(|(v, s)| (v.vantage.as_str(), s.name())).collect();
    let mut found = vec![
        new(outcome, told)
            .grade(grade)
            .arg("rule", RULE)
            .arg("vantages", serde_json::to_value(vantages).unwrap_or_default())
            .arg("allowed", allowed)
            .by(views.iter().flat_map(|v| v.evidence.iter().copied())),
    ];
    // Who is outvoted is named all the same.
    if outcome == Outcome::True {
        for (view, _) in views.iter().zip(&stands).filter(|(_, s)| **s == Stands::Other) {
            let Ok(sees) = &view.sees else { continue };
            let says = format!("{} alone sees {}", view.vantage, shown(sees));
            found.push(
                new(Outcome::False, says)
                    .severity(Severity::Notice)
                    .grade(Grade::D)
                    .arg("vantage", view.vantage.clone())
                    .by(view.evidence.iter().copied()),
            );
        }
    }
    found
}

fn shown(sees: &Sees) -> String {
    match sees {
        Sees::Addresses { addresses } => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Sees::Nothing => "no address".to_owned(),
        Sees::Missing => "that there is no such name".to_owned(),
        Sees::Unknown { cause } => cause.name().to_owned(),
    }
}

fn stands(ours: &Sees, view: &View, grounds: &Grounds<'_>) -> Stands {
    let theirs = match &view.sees {
        Err(_) | Ok(Sees::Unknown { .. }) => return Stands::Failed,
        Ok(theirs) => theirs,
    };
    if ours == theirs {
        return Stands::Same;
    }
    let (Sees::Addresses { addresses: ours }, Sees::Addresses { addresses: theirs }) =
        (ours, theirs)
    else {
        return Stands::Other;
    };
    let is_declared = |a: &IpAddr| grounds.declared.iter().any(|net| net.contains(a));
    if theirs.iter().chain(ours).all(is_declared) {
        return Stands::Declared;
    }
    // Sites that answer everywhere with what is near are announced by the same systems.
    let asns = |all: &[IpAddr]| -> Option<BTreeSet<u32>> {
        let known = all.iter().map(|a| grounds.asns.get(a).filter(|found| !found.is_empty()));
        Some(known.collect::<Option<Vec<_>>>()?.into_iter().flatten().copied().collect())
    };
    match (asns(ours), asns(theirs)) {
        (Some(ours), Some(theirs)) if theirs.is_subset(&ours) => Stands::Asn,
        _ => Stands::Other,
    }
}

/// The views of `name` in a bundle, by vantage.
fn views(bundle: &Bundle, name: &str, now: Timestamp) -> Vec<View> {
    let mut by: BTreeMap<&str, View> = BTreeMap::new();
    for observation in &bundle.observations {
        let Question::Perspective { name: asked, .. } = &observation.question else { continue };
        if asked != name {
            continue;
        }
        let sees = match (&observation.got, bundle.body(observation)) {
            (Got::Fault(fault), _) => Err(fault.outcome()),
            (Got::Body { .. }, _) if observation.expires < now => {
                Err(Outcome::Unknown(Unclear::Stale))
            }
            (Got::Body { kind, .. }, Some(body)) => read(*kind, body, name),
            (Got::Body { .. }, None) => Err(Outcome::Unknown(Unclear::Malformed)),
        };
        match by.get_mut(observation.vantage.as_str()) {
            None => {
                let view = View {
                    vantage: observation.vantage.clone(),
                    software: observation.source.name.clone(),
                    sees,
                    evidence: observation.evidence().into_iter().collect(),
                };
                by.insert(&observation.vantage, view);
            }
            Some(view) => {
                view.sees = both(view.sees.clone(), sees);
                view.evidence.extend(observation.evidence());
            }
        }
    }
    by.into_values().collect()
}

/// What is seen by two questions, of IPv4 and IPv6.
fn both(one: Result<Sees, Outcome>, other: Result<Sees, Outcome>) -> Result<Sees, Outcome> {
    Ok(match (one?, other?) {
        (Sees::Addresses { addresses: a }, Sees::Addresses { addresses: b }) => {
            Sees::addresses(a.into_iter().chain(b))
        }
        (Sees::Nothing, sees) | (sees, Sees::Nothing) => sees,
        (sees, _) => sees,
    })
}

fn read(kind: Kind, body: &[u8], name: &str) -> Result<Sees, Outcome> {
    let malformed = Outcome::Unknown(Unclear::Malformed);
    if kind == Kind::Perspective {
        let told: Perspective = serde_json::from_slice(body).map_err(|_| malformed)?;
        return if told.name == name { Ok(told.sees) } else { Err(malformed) };
    }
    use domain::base::iana::OptRcode;
    let reply = Reply::read(body).map_err(|_| malformed)?;
    match reply.rcode {
        OptRcode::NXDOMAIN => Ok(Sees::Missing),
        OptRcode::NOERROR => Ok(Sees::addresses(addresses(reply.answer.iter()))),
        OptRcode::SERVFAIL => Err(Outcome::Unknown(Unclear::SourceError)),
        _ => Err(Outcome::Unknown(Unclear::NonAuthoritative)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{
        Fault,
        evidence::{Authority, Observation, Source, Transport},
    };

    const OURS: &str = "192.0.2.1";

    fn sees(text: &str) -> Sees {
        match text {
            "missing" => Sees::Missing,
            "nothing" => Sees::Nothing,
            "unknown" => Sees::Unknown { cause: Unclear::Transport },
            text => Sees::addresses(text.split(' ').map(|a| a.parse().unwrap())),
        }
    }

    fn bundle(views: &[(&str, &str)]) -> Bundle {
        let mut bundle = Bundle::default();
        for (n, (software, saw)) in views.iter().enumerate() {
            let got = if *saw == "fault" {
                Got::Fault(Fault::Silent)
            } else {
                let name = "www.example.com".to_owned();
                let at = Timestamp::from_secs(1);
                let told = Perspective { node: format!("v{n}"), name, at, sees: sees(saw) };
                bundle.keep(Kind::Perspective, serde_json::to_vec(&told).unwrap())
            };
            bundle.observations.push(Observation {
                question: Question::Perspective { name: "www.example.com".into(), qtype: None },
                source: Source {
                    authority: Authority::Resolver,
                    name: (*software).to_owned(),
                    endpoint: "192.0.2.53:53".into(),
                    transport: Transport::Udp,
                },
                vantage: format!("v{n}"),
                at: Timestamp::from_secs(1),
                expires: Timestamp::from_secs(9),
                took_us: 0,
                got,
            });
        }
        bundle
    }

    fn check(views: &[(&str, &str)], expected: &[&str]) {
        let asns = BTreeMap::from([
            (OURS.parse().unwrap(), BTreeSet::from([64_500])),
            ("192.0.2.99".parse().unwrap(), BTreeSet::from([64_500])),
        ]);
        let declared = ["192.0.2.0/29".parse().unwrap()];
        let grounds = Grounds { declared: &declared, asns: &asns };
        let found = corroborated(
            "www.example.com",
            &sees(OURS),
            &bundle(views),
            &grounds,
            Timestamp::from_secs(2),
        );
        let words: Vec<String> = found
            .iter()
            .map(|f| format!("{} {}", f.outcome.name(), f.outcome.cause()).trim_end().to_owned())
            .collect();
        assert_eq!(words, expected, "{found:#?}");
    }

    #[test]
    fn one_of_five_may_differ_and_two_may_not() {
        let (a, b) = ("unbound", "bind");
        let lie = "203.0.113.66";
        check(&[], &["not_evaluated no_source"]);
        check(&[(a, OURS), (b, OURS)], &["true"]);
        check(&[(a, OURS), (b, OURS), (a, OURS), (b, OURS), (a, lie)], &["true", "false"]);
        check(&[(a, OURS), (b, OURS), (a, OURS), (b, lie), (a, lie)], &["unknown disputed"]);
        check(&[(a, OURS), (b, OURS), (a, OURS), (b, "missing"), (a, lie)], &["unknown disputed"]);
        // Six or more: two.
        let six = [(a, OURS), (b, OURS), (a, OURS), (b, OURS), (a, lie), (b, lie)];
        check(&six, &["true", "false", "false"]);
        // One other view is none, and one implementation corroborates itself.
        check(&[(a, OURS)], &["unknown uncorroborated"]);
        check(&[(a, OURS), (a, OURS)], &["unknown uncorroborated"]);
    }

    #[test]
    fn whoever_failed_neither_corroborates_nor_differs() {
        let (a, b) = ("unbound", "bind");
        check(&[(a, OURS), (b, "fault")], &["true"]);
        check(&[(a, OURS), (b, OURS), (a, "fault"), (b, "unknown")], &["unknown uncorroborated"]);
        check(&[(a, "fault"), (b, "fault")], &["unknown uncorroborated"]);
    }

    #[test]
    fn other_addresses_corroborate_where_they_are_declared_or_announced_by_the_same() {
        let (a, b) = ("unbound", "bind");
        check(&[(a, "192.0.2.2"), (b, OURS), (a, "192.0.2.3")], &["true"]);
        check(&[(a, "192.0.2.99"), (b, OURS), (a, "192.0.2.99")], &["true"]);
        check(&[(a, "192.0.2.98"), (b, OURS), (a, "192.0.2.98")], &["unknown disputed"]);
    }
}
