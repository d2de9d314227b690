//! What the zone's servers answer: RES-06, RES-09, RES-12, RES-14, RES-16, RES-18 and RES-19.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use domain::{
    base::{Rtype, ToName as _, iana::OptRcode, name::ToLabelIter as _},
    rdata::AllRecordData,
};
use ipnet::IpNet;

use super::{
    reply::{OwnName, Reply, addresses, of, targets},
    takeover::service,
    view::{ALIASES_MAX, Said, View, evidence, silence},
};
use crate::{
    special::{canonical_address, is_special_address, registered},
    verify::{Check, Finding, Grade, Outcome, Severity, Unasked, Unclear, evidence::EvidenceId},
};

/// Below this a time to live is worth knowing of, in seconds.
const TTL_LOW: u32 = 60;

fn finals(said: &[Said]) -> impl Iterator<Item = (&Said, &Reply)> {
    said.iter().filter_map(|s| Some((s, s.reply.as_ref().ok().filter(|r| r.is_final())?)))
}

/// RES-06.
pub(super) fn same_version(view: &View) -> Finding {
    let said = view.own(&view.zone, Rtype::SOA);
    let mut serials: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut primaries: BTreeSet<String> = BTreeSet::new();
    for (said, reply) in finals(said) {
        for record in of(&reply.answer, &view.zone, Rtype::SOA) {
            if let AllRecordData::Soa(soa) = record.data() {
                serials.entry(soa.serial().into_int()).or_default().push(said.endpoint.clone());
                primaries.insert(soa.mname().to_string().to_ascii_lowercase());
            }
        }
    }
    let new = |outcome, says: String| Finding::new(Check::Res06, outcome, says);
    let text: Vec<String> =
        serials.iter().map(|(serial, who)| format!("{serial} at {}", who.join(", "))).collect();
    let finding = match (serials.len(), primaries.len()) {
        (0, _) => new(silence(said), "no server said which version it has".into()),
        (1, 1) => new(Outcome::True, format!("version {}", text.join("; "))).grade(Grade::B),
        (1, _) => {
            let primaries: Vec<_> = primaries.iter().cloned().collect();
            new(Outcome::False, format!("primaries {}", primaries.join(", ")))
                .severity(Severity::Notice)
                .grade(Grade::B)
        }
        _ => new(Outcome::False, format!("versions {}", text.join("; ")))
            .severity(Severity::Warning)
            .grade(Grade::B),
    };
    finding.arg("serials", serials.keys().copied().collect::<Vec<_>>()).by(evidence(said))
}

/// What a reply says of a name, in a form that can be compared: the data in order, and the RCODE
/// unless an alias leads out of the zone. What a server adds of other zones is not the zone's.
fn content(reply: &Reply, zone: &OwnName, rtype: Rtype) -> BTreeSet<String> {
    let own = reply.answer.iter().filter(|r| r.owner().ends_with(zone));
    let data = own.filter(|r| r.rtype() == Rtype::CNAME || r.rtype() == rtype);
    let leads_out = targets(reply.answer.iter()).iter().any(|name| !name.ends_with(zone));
    let mut content: BTreeSet<String> = data
        .map(|r| format!("{} {} {}", r.owner(), r.rtype(), r.data()).to_ascii_lowercase())
        .collect();
    if reply.rcode != OptRcode::NOERROR && !leads_out {
        content.insert(reply.rcode.to_string());
    }
    content
}

/// RES-09.
pub(super) fn same_answer(view: &View) -> Finding {
    let (mut differ, mut heard, mut used) = (Vec::new(), 0_usize, Vec::new());
    let mut silent = Vec::new();
    for rtype in [Rtype::A, Rtype::AAAA] {
        let said = view.own(&view.host, rtype);
        used.extend(evidence(said));
        silent.extend_from_slice(said);
        let mut contents: BTreeMap<BTreeSet<String>, Vec<&str>> = BTreeMap::new();
        for (said, reply) in finals(said) {
            heard += 1;
            contents.entry(content(reply, &view.zone, rtype)).or_default().push(&said.endpoint);
        }
        if contents.len() > 1 {
            for (content, who) in contents {
                let content: Vec<_> = content.into_iter().collect();
                let content =
                    if content.is_empty() { "nothing".into() } else { content.join(" | ") };
                differ.push(format!("{rtype} from {}: {content}", who.join(", ")));
            }
        }
    }
    let new = |outcome, says: String| Finding::new(Check::Res09, outcome, says);
    let finding = if heard == 0 {
        new(silence(&silent), format!("no server of {} said anything of {}", view.zone, view.host))
    } else if differ.is_empty() {
        new(Outcome::True, format!("{heard} answers for {} agree", view.host)).grade(Grade::B)
    } else {
        new(Outcome::False, differ.join("; ")).severity(Severity::Warning).grade(Grade::B)
    };
    finding.arg("differ", differ).by(used)
}

/// What is known of a name that something points to.
enum End {
    There,
    Nothing,
    Missing,
    Unknown,
}

/// Where a name leads, over its aliases; `passed` are the names on the way to it.
fn end(view: &View, name: &OwnName, passed: &mut Vec<OwnName>, used: &mut Vec<EvidenceId>) -> End {
    let (mut is_known, mut is_there) = (true, false);
    let mut aliases = Vec::new();
    for rtype in [Rtype::A, Rtype::AAAA] {
        let finals = view.finals(name, rtype);
        // Without an address of one family nobody knows that it has none.
        is_known &= !finals.is_empty();
        for said in finals {
            used.extend(said.evidence);
            let Ok(reply) = &said.reply else { continue };
            if reply.rcode == OptRcode::NXDOMAIN {
                return End::Missing;
            }
            is_there |= !reply.answer.is_empty();
            aliases.extend(targets(of(&reply.answer, name, Rtype::CNAME)));
        }
    }
    let Some(alias) = aliases.first() else {
        return match (is_known, is_there) {
            (_, true) => End::There,
            (true, false) => End::Nothing,
            (false, false) => End::Unknown,
        };
    };
    passed.push(name.clone());
    if passed.iter().any(|n| n.name_eq(alias)) || passed.len() > ALIASES_MAX {
        return End::Nothing;
    }
    match end(view, alias, passed, used) {
        // Whoever answers for the alias has told where it leads.
        End::Unknown => End::There,
        end => end,
    }
}

/// RES-12: servers, aliases and exchanges.
pub(super) fn dangling(view: &View) -> Finding {
    let mut pointed: Vec<(&'static str, OwnName)> = Vec::new();
    let sets = [
        ("NS", &view.zone, Rtype::NS),
        ("MX", &view.zone, Rtype::MX),
        ("CNAME", &view.host, Rtype::A),
    ];
    for (kind, name, asked) in sets {
        let rtype = if kind == "CNAME" { Rtype::CNAME } else { asked };
        for (_, reply) in finals(view.own(name, asked)) {
            let found = targets(of(&reply.answer, name, rtype)).into_iter();
            pointed.extend(found.filter(|n| !n.is_root()).map(|n| (kind, n)));
        }
    }
    pointed.extend(view.nowhere.iter().map(|n| ("NS", n.clone())));
    pointed.sort_by_key(|(kind, name)| (*kind, name.to_string().to_ascii_lowercase()));
    pointed.dedup_by(|a, b| a.0 == b.0 && a.1.name_eq(&b.1));
    let (mut missing, mut empty, mut unknown, mut used) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (kind, name) in &pointed {
        let text = format!("{kind} {name}");
        match end(view, name, &mut vec![view.host.clone()], &mut used) {
            End::There => {}
            End::Missing => missing.push(text),
            End::Nothing => empty.push(text),
            // Servers that answer are there, whatever their name leads to.
            End::Unknown if *kind == "NS" && !view.nowhere.iter().any(|n| n.name_eq(name)) => {}
            End::Unknown => unknown.push(text),
        }
    }
    let new = |outcome, says: String| Finding::new(Check::Res12, outcome, says);
    let finding = if !missing.is_empty() {
        let mut says = format!("these names do not exist: {}", missing.join(", "));
        let free = missing.iter().filter_map(|m| service(m.rsplit(' ').next().unwrap_or_default()));
        let free: Vec<&str> = free.collect();
        let mut severity = Severity::Error;
        if let Some(service) = free.first() {
            says = format!("{says}; whoever takes the name at {service} speaks for it (suspected)");
            severity = Severity::Critical;
        }
        new(Outcome::False, says).severity(severity).grade(Grade::B).arg("suspected", free)
    } else if !empty.is_empty() {
        let says = format!("these lead to no address: {}", empty.join(", "));
        new(Outcome::False, says).severity(Severity::Warning).grade(Grade::B)
    } else if !unknown.is_empty() {
        let says = format!("could not be followed: {}", unknown.join(", "));
        new(Outcome::Unknown(Unclear::Transport), says)
    } else if pointed.is_empty() {
        new(
            Outcome::NotEvaluated(Unasked::Prerequisite),
            "nothing is known to point anywhere".into(),
        )
    } else {
        new(Outcome::True, format!("{} names lead somewhere", pointed.len())).grade(Grade::B)
    };
    finding.arg("missing", missing).arg("empty", empty).arg("unknown", unknown).by(used)
}

/// RES-14: servers at addresses that the public cannot ask.
pub(super) fn public_servers(view: &View, allowed: &[IpNet]) -> Finding {
    let said = view.own(&view.zone, Rtype::SOA);
    let mut special = Vec::new();
    for said in said {
        let Ok(at) = said.endpoint.parse::<SocketAddr>() else { continue };
        let address = canonical_address(at.ip());
        if is_special_address(address) && !allowed.iter().any(|net| net.contains(&address)) {
            let purpose = registered(address).map_or("special", |r| r.purpose);
            special.push(format!("{} at {address}: {purpose}", said.server));
        }
    }
    let new = |outcome, says: String| Finding::new(Check::Res14, outcome, says);
    let finding = if said.is_empty() {
        new(Outcome::NotEvaluated(Unasked::Prerequisite), "its servers are not known".into())
    } else if special.is_empty() {
        new(Outcome::True, format!("{} server addresses are public", said.len())).grade(Grade::A)
    } else {
        new(Outcome::False, special.join("; ")).severity(Severity::Error).grade(Grade::A)
    };
    finding.arg("special", special).by(evidence(said))
}

/// RES-16.
pub(super) fn lifetimes(view: &View) -> Finding {
    let (mut lowest, mut beyond, mut used) = (None::<u32>, Vec::new(), Vec::new());
    for rtype in [Rtype::A, Rtype::AAAA] {
        let said = view.own(&view.host, rtype);
        used.extend(evidence(said));
        for (said, reply) in finals(said) {
            for record in reply.answer.iter().filter(|r| r.owner().ends_with(&view.zone)) {
                let ttl = record.ttl().as_secs();
                match record.data() {
                    AllRecordData::Rrsig(signature) => {
                        let signed = signature.original_ttl().as_secs();
                        if ttl > signed {
                            beyond.push(format!("{}: {ttl} s, signed for {signed}", said.endpoint));
                        }
                    }
                    _ => lowest = Some(lowest.map_or(ttl, |l| l.min(ttl))),
                }
            }
        }
    }
    let new = |outcome, says: String| Finding::new(Check::Res16, outcome, says).grade(Grade::B);
    let finding = match lowest {
        _ if !beyond.is_empty() => new(Outcome::False, beyond.join("; ")).severity(Severity::Error),
        None => {
            let says = "there is no answer that has one".to_owned();
            Finding::new(Check::Res16, Outcome::NotApplicable, says)
        }
        Some(ttl) if ttl < TTL_LOW => {
            new(Outcome::False, format!("{ttl} s at the lowest")).severity(Severity::Notice)
        }
        Some(ttl) => new(Outcome::True, format!("{ttl} s at the lowest")),
    };
    finding.arg("lowest_s", lowest).arg("beyond", beyond).by(used)
}

/// RES-18.
pub(super) fn nobody_made(view: &View) -> Finding {
    let new = |outcome, says: String| Finding::new(Check::Res18, outcome, says);
    let Some(probe) = &view.probe else {
        let says = "there was no name to try".to_owned();
        return new(Outcome::NotEvaluated(Unasked::Prerequisite), says);
    };
    let said = view.own(probe, Rtype::A);
    let Some((_, reply)) = finals(said).next() else {
        return new(silence(said), format!("no server said anything of {probe}"))
            .by(evidence(said));
    };
    let found = addresses(reply.answer.iter());
    let host = finals(view.own(&view.host, Rtype::A)).flat_map(|(_, r)| addresses(r.answer.iter()));
    let same = !found.is_empty() && host.collect::<BTreeSet<IpAddr>>().iter().eq(found.iter());
    let finding = if reply.answer.is_empty() {
        new(Outcome::True, format!("{probe} is not there, as it should be"))
    } else if same {
        let says = format!("{probe}, which nobody made, leads to the same as {}", view.host);
        new(Outcome::False, says).severity(Severity::Notice)
    } else {
        let says = format!("{probe}, which nobody made, has an answer: there is a wildcard");
        new(Outcome::False, says).severity(Severity::Notice)
    };
    finding.grade(Grade::B).arg("same_as_host", same).by(evidence(said))
}

/// RES-19: host names (RFC 1123 §2.1) where hosts are named; aliases may be called anything.
pub(super) fn syntax(view: &View) -> Finding {
    let mut names = vec![("name", view.host.clone())];
    for (_, reply) in finals(view.own(&view.zone, Rtype::NS)) {
        names.extend(
            targets(of(&reply.answer, &view.zone, Rtype::NS)).into_iter().map(|n| ("NS", n)),
        );
    }
    for (_, reply) in finals(view.own(&view.zone, Rtype::MX)) {
        names.extend(
            targets(of(&reply.answer, &view.zone, Rtype::MX)).into_iter().map(|n| ("MX", n)),
        );
    }
    let mut bad: Vec<String> = Vec::new();
    let mut severity = Severity::Notice;
    for (kind, name) in names {
        if let Some(why) = fault_of(&name) {
            if kind != "name" {
                severity = Severity::Warning;
            }
            bad.push(format!("{kind} {name}: {why}"));
        }
    }
    bad.sort();
    bad.dedup();
    let new = |outcome, says| Finding::new(Check::Res19, outcome, says).grade(Grade::A);
    let finding = if bad.is_empty() {
        new(Outcome::True, "all are".to_owned())
    } else {
        new(Outcome::False, bad.join("; ")).severity(severity)
    };
    finding.arg("bad", bad)
}

/// Why a name is no host name.
fn fault_of(name: &OwnName) -> Option<&'static str> {
    name.iter_labels().filter(|l| !l.is_root()).find_map(|label| {
        let bytes = label.as_slice();
        let is_ldh = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
        if !bytes.iter().all(is_ldh) {
            Some("a character that host names do not have")
        } else if bytes.starts_with(b"-") || bytes.ends_with(b"-") {
            Some("a hyphen at the edge")
        } else if bytes.get(2..4) == Some(b"--") && !bytes[..2].eq_ignore_ascii_case(b"xn") {
            Some("hyphens in third and fourth place")
        } else {
            None
        }
    })
}
