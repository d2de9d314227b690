//! How the zone is delegated: RES-01 to RES-05 and RES-17.

use std::{collections::BTreeSet, net::IpAddr};

use domain::base::{Rtype, ToName as _, iana::OptRcode};

use super::{
    reply::{OwnName, Reply, addresses, of, targets},
    view::{Said, View, evidence, silence},
};
use crate::verify::{Check, Finding, Grade, Outcome, Severity, Unasked, Unclear};

/// What a reply of the zone above says of the zone.
enum Delegation {
    Delegated,
    Absent,
    Unclear,
}

fn delegation(reply: &Reply, zone: &OwnName) -> Delegation {
    let names = |records| !of(records, zone, Rtype::NS).is_empty();
    match reply.rcode {
        OptRcode::NOERROR if names(&reply.authority) || names(&reply.answer) => {
            Delegation::Delegated
        }
        OptRcode::NXDOMAIN if reply.is_authoritative => Delegation::Absent,
        OptRcode::NOERROR if reply.is_authoritative => Delegation::Absent,
        _ => Delegation::Unclear,
    }
}

/// What the servers of the zone above said of the zone.
fn above(view: &View) -> &[Said] {
    view.parent.as_ref().map_or(&[], |parent| view.of(parent, &view.zone, Rtype::NS))
}

/// Replies with who gave them.
fn heard(said: &[Said]) -> impl Iterator<Item = (&Said, &Reply)> {
    said.iter().filter_map(|s| Some((s, s.reply.as_ref().ok()?)))
}

/// RES-01.
pub(super) fn exists(view: &View) -> Finding {
    let said = above(view);
    let (zone, parent) = (&view.zone, view.parent.as_ref());
    let parent = parent.map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let (mut delegating, mut absent) = (Vec::new(), Vec::new());
    for (said, reply) in heard(said) {
        match delegation(reply, zone) {
            Delegation::Delegated => delegating.push(said),
            Delegation::Absent => absent.push(said),
            Delegation::Unclear => {}
        }
    }
    let new = |outcome, says| Finding::new(Check::Res01, outcome, says);
    let finding = match (delegating.is_empty(), absent.is_empty()) {
        (false, true) => new(Outcome::True, format!("{parent} delegates {zone}")),
        (true, false) => {
            new(Outcome::False, format!("the servers of {parent} say that there is no zone {zone}"))
                .severity(Severity::Critical)
        }
        (false, false) => new(
            Outcome::Unknown(Unclear::Disputed),
            format!("some servers of {parent} delegate {zone}, others say there is no such zone"),
        )
        .severity(Severity::Warning),
        (true, true) => {
            new(silence(said), format!("no server of {parent} tells whether it delegates {zone}"))
        }
    };
    let grade = if finding.outcome.is_known() { Grade::B } else { Grade::U };
    finding.grade(grade).arg("zone", zone.to_string()).arg("parent", parent).by(evidence(said))
}

/// Whether a server has the zone.
fn works(reply: &Reply, zone: &OwnName) -> bool {
    reply.is_authoritative && !of(&reply.answer, zone, Rtype::SOA).is_empty()
}

/// RES-02.
pub(super) fn served(view: &View) -> Finding {
    let (zone, said) = (&view.zone, view.own(&view.zone, Rtype::SOA));
    let working = heard(said).filter(|(_, reply)| works(reply, zone)).count();
    let new = |outcome, says| Finding::new(Check::Res02, outcome, says);
    let finding = if working > 0 {
        let says = format!("{working} of {} server addresses of {zone} work", said.len());
        new(Outcome::True, says).grade(Grade::B)
    } else if !said.is_empty() && said.iter().all(|s| lameness(s, zone).is_some()) {
        new(Outcome::False, format!("no server of {zone} has the zone"))
            .severity(Severity::Critical)
            .grade(Grade::B)
    } else {
        new(silence(said), format!("no server of {zone} was heard to have the zone"))
    };
    finding.arg("asked", said.len()).arg("working", working).by(evidence(said))
}

/// Why a server is lame; none where it works, or was not heard. SERVFAIL is its fault, not its word.
fn lameness(said: &Said, zone: &OwnName) -> Option<&'static str> {
    let reply = said.reply.as_ref().ok()?;
    let upward = || {
        let above = |r: &super::reply::Rr| zone.ends_with(r.owner()) && !r.owner().name_eq(zone);
        reply.authority.iter().any(|r| r.rtype() == Rtype::NS && above(r))
    };
    match reply.rcode {
        _ if works(reply, zone) => None,
        OptRcode::SERVFAIL | OptRcode::FORMERR => None,
        OptRcode::REFUSED => Some("refused"),
        _ if !reply.is_authoritative && upward() => Some("upward_referral"),
        _ if !reply.is_authoritative => Some("not_authoritative"),
        _ => Some("no_zone"),
    }
}

/// RES-03.
pub(super) fn lame(view: &View) -> Finding {
    let (zone, said) = (&view.zone, view.own(&view.zone, Rtype::SOA));
    let lame: Vec<_> = said.iter().filter_map(|s| Some((s, lameness(s, zone)?))).collect();
    let unheard = said.iter().filter(|s| {
        let failed = |r: &Reply| !works(r, zone) && lameness(s, zone).is_none();
        s.reply.as_ref().map_or(true, failed)
    });
    let unheard: Vec<&Said> = unheard.collect();
    let new = |outcome, says| Finding::new(Check::Res03, outcome, says);
    let list = |who: &[&Said]| {
        who.iter().map(|s| format!("{} ({})", s.server, s.endpoint)).collect::<Vec<_>>().join(", ")
    };
    let finding = if !lame.is_empty() {
        let who: Vec<String> = lame
            .iter()
            .map(|(s, why)| format!("{} ({}) is lame: {why}", s.server, s.endpoint))
            .collect();
        let severity = if lame.len() == said.len() { Severity::Error } else { Severity::Warning };
        new(Outcome::False, who.join("; ")).severity(severity).grade(Grade::B)
    } else if said.is_empty() {
        new(Outcome::NotEvaluated(Unasked::Prerequisite), "no server was asked".into())
    } else if let Some(first) = unheard.first() {
        let outcome = match &first.reply {
            Err(outcome) => *outcome,
            Ok(_) => Outcome::Unknown(Unclear::SourceError),
        };
        new(outcome, format!("not heard: {}", list(&unheard))).severity(Severity::Notice)
    } else {
        let says = format!("all {} server addresses of {zone} have it", said.len());
        new(Outcome::True, says).grade(Grade::B)
    };
    let lame = lame.iter().map(|(s, why)| format!("{} {} {why}", s.server, s.endpoint));
    finding
        .arg("lame", lame.collect::<Vec<_>>())
        .arg("unheard", unheard.iter().map(|s| s.endpoint.clone()).collect::<Vec<_>>())
        .by(evidence(said))
}

/// The servers that the zone above names, and those that the zone names.
fn named(view: &View) -> (BTreeSet<String>, BTreeSet<String>) {
    let names = |records: &[_]| {
        targets(of(records, &view.zone, Rtype::NS))
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let parent = heard(above(view)).flat_map(|(_, r)| {
        // From a server of both zones comes the child's set, as an answer.
        names(&r.authority)
    });
    let own = view.own(&view.zone, Rtype::NS);
    let child = heard(own).filter(|(_, r)| r.is_authoritative).flat_map(|(_, r)| names(&r.answer));
    (parent.collect(), child.collect())
}

/// RES-04.
pub(super) fn same_servers(view: &View) -> Finding {
    let (parent, child) = named(view);
    let own = view.own(&view.zone, Rtype::NS);
    let new = |outcome, says: String| Finding::new(Check::Res04, outcome, says);
    let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
    let missing = list(parent.difference(&child).collect());
    let extra = list(child.difference(&parent).collect());
    let finding = if child.is_empty() {
        new(silence(own), format!("no server of {} said which servers it has", view.zone))
    } else if parent.is_empty() {
        let says = "the zone above is on the same servers and refers nobody";
        new(Outcome::NotApplicable, says.into())
    } else if missing.is_empty() && extra.is_empty() {
        let says = format!("both name {}", list(child.iter().collect()).join(", "));
        new(Outcome::True, says).grade(Grade::B)
    } else {
        let mut says = Vec::new();
        for (names, whose) in [(&missing, "the zone above"), (&extra, "the zone itself")] {
            if !names.is_empty() {
                says.push(format!("only {whose} names {}", names.join(", ")));
            }
        }
        new(Outcome::False, says.join("; ")).severity(Severity::Warning).grade(Grade::B)
    };
    finding
        .arg("parent", list(parent.iter().collect()))
        .arg("child", list(child.iter().collect()))
        .by(evidence(above(view)).chain(evidence(own)))
}

/// RES-05.
pub(super) fn glue(view: &View) -> Finding {
    let mut names: Vec<OwnName> = Vec::new();
    for (_, reply) in heard(above(view)) {
        names.extend(targets(of(&reply.authority, &view.zone, Rtype::NS)));
    }
    names.retain(|n| n.ends_with(&view.zone));
    names.dedup();
    let (mut differ, mut compared, mut used) = (Vec::new(), 0_usize, Vec::new());
    for name in &names {
        let mut glue: BTreeSet<IpAddr> =
            heard(above(view)).flat_map(|(_, r)| r.glue(name)).collect();
        let mut own = BTreeSet::new();
        let mut is_known = false;
        for rtype in [Rtype::A, Rtype::AAAA] {
            let said = view.own(name, rtype);
            used.extend(evidence(said));
            let mut finals = heard(said).filter(|(_, r)| r.is_final()).peekable();
            if finals.peek().is_none() {
                // What the zone did not tell of one family is not held against its glue.
                glue.retain(|a| a.is_ipv4() != (rtype == Rtype::A));
                continue;
            }
            is_known = true;
            for (_, reply) in finals {
                own.extend(addresses(reply.answers(name, rtype).into_iter()));
            }
        }
        if is_known {
            compared += 1;
            if glue != own {
                let text = |set: &BTreeSet<IpAddr>| {
                    set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                };
                let (glue, own) = (text(&glue), text(&own));
                differ.push(format!("{name}: glue {glue}; the zone says {own}"));
            }
        }
    }
    let new = |outcome, says: String| Finding::new(Check::Res05, outcome, says);
    let finding = if names.is_empty() {
        new(Outcome::NotApplicable, "no server has its name in the zone".into())
    } else if compared == 0 {
        let why = names.iter().map(|n| silence(view.own(n, Rtype::A))).next();
        let why = why.unwrap_or(Outcome::NotEvaluated(Unasked::Prerequisite));
        new(why, "the zone did not say where its servers are".into())
    } else if differ.is_empty() {
        new(Outcome::True, format!("the same addresses for {compared} names")).grade(Grade::B)
    } else {
        new(Outcome::False, differ.join("; ")).severity(Severity::Warning).grade(Grade::B)
    };
    finding.arg("differ", differ).by(evidence(above(view)).chain(used))
}

/// RES-17.
pub(super) fn several(view: &View) -> Finding {
    let (parent, child) = named(view);
    let names = if child.is_empty() { &parent } else { &child };
    let said = view.own(&view.zone, Rtype::SOA);
    let address = |s: &Said| s.endpoint.parse::<std::net::SocketAddr>().ok().map(|a| a.ip());
    let addresses: BTreeSet<IpAddr> = said.iter().filter_map(address).collect();
    let networks: BTreeSet<ipnet::IpNet> = addresses.iter().filter_map(network).collect();
    let new = |outcome, says| Finding::new(Check::Res17, outcome, says);
    let finding = if names.is_empty() || addresses.is_empty() {
        new(Outcome::NotEvaluated(Unasked::Prerequisite), "its servers are not known".to_owned())
    } else {
        let holds = names.len() > 1 && addresses.len() > 1 && networks.len() > 1;
        let says = format!(
            "{} servers, {} addresses, {} networks",
            names.len(),
            addresses.len(),
            networks.len()
        );
        let severity = if holds { Severity::Info } else { Severity::Notice };
        new(Outcome::of(holds), says).severity(severity).grade(Grade::B)
    };
    finding
        .arg("names", names.len())
        .arg("addresses", addresses.len())
        .arg("networks", networks.len())
        .by(evidence(above(view)).chain(evidence(said)))
}

/// What fails together as a rule: /24 and /48.
fn network(address: &IpAddr) -> Option<ipnet::IpNet> {
    let length = if address.is_ipv4() { 24 } else { 48 };
    Some(ipnet::IpNet::new(*address, length).ok()?.trunc())
}
