//! Checks by what this node itself says: RES-13 (cloaking), RES-15 (fast flux) and RES-20 (what is
//! served is what is resolved). And what is left to find where the zone is our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Area, Check, Finding, Grade, Outcome, Severity, Unasked, Unclear,
    dns::reply::{Reply, addresses},
    evidence::{Bundle, EvidenceId, Got, Question},
    here::{Listed, SeenBefore},
    quorum::Sees,
};
/// From this score on a name is in flux, by Holz and others (2008): 1.32 for each address, 18.54 for
/// each system that announces one; here in hundredths.
const FLUX: u64 = 14_238;
const FLUX_ADDRESS: u64 = 132;
const FLUX_SYSTEM: u64 = 1_854;

/// RES-13: behind the aliases of a name that no rule is about hides none that a rule is about.
pub(super) fn cloaked(host: &str, chain: &BTreeSet<String>, listed: &[Listed]) -> Finding {
    let new = |outcome, says: String| Finding::new(Check::Res13, outcome, says);
    if chain.is_empty() {
        return new(Outcome::NotApplicable, "it has no alias".to_owned());
    }
    let hidden: Vec<&Listed> = listed.iter().filter(|l| l.name != host).collect();
    let finding = match hidden.first() {
        None => new(Outcome::True, "no rule is about the names behind its aliases".to_owned()),
        Some(_) if listed.iter().any(|l| l.name == host) => {
            new(Outcome::True, "a rule is about the name itself, too".to_owned())
        }
        Some(rule) => {
            let says = format!(
                "{host} leads to {}, which {} of {} ({}) is about",
                rule.name, rule.rule, rule.feed, rule.action
            );
            new(Outcome::False, says).severity(Severity::Warning)
        }
    };
    let chain: Vec<String> = chain.iter().cloned().collect();
    let named: Vec<String> = hidden.iter().map(|l| l.name.clone()).collect();
    finding.grade(Grade::B).arg("chain", chain).arg("listed", named)
}

fn told<'a>(
    bundle: &'a Bundle,
    about: impl Fn(&Question) -> bool + 'a,
) -> impl Iterator<Item = (Option<EvidenceId>, Result<&'a [u8], Outcome>)> {
    bundle.observations.iter().filter(move |o| about(&o.question)).map(|o| {
        let body = match &o.got {
            Got::Fault(fault) => Err(fault.outcome()),
            Got::Body { .. } => bundle.body(o).ok_or(Outcome::Unknown(Unclear::Malformed)),
        };
        (o.evidence(), body)
    })
}

/// The addresses that passive DNS has seen.
pub(super) fn seen_before(bundle: &Bundle, host: &str) -> BTreeSet<IpAddr> {
    let is_history = |q: &Question| matches!(q, Question::History { name } if name == host);
    let rows = told(bundle, is_history).filter_map(|(_, body)| body.ok());
    let rows = rows.filter_map(|body| serde_json::from_slice::<Vec<SeenBefore>>(body).ok());
    rows.flatten().map(|r| r.address).collect()
}

/// RES-15: few addresses, in few networks, in a few days. Sites that are everywhere look the same:
/// a note.
pub(super) fn flux(host: &str, bundle: &Bundle, asns: &BTreeMap<IpAddr, BTreeSet<u32>>) -> Finding {
    let new = |outcome, says: String| Finding::new(Check::Res15, outcome, says);
    let is_history = |q: &Question| matches!(q, Question::History { name } if name == host);
    let Some((evidence, body)) = told(bundle, is_history).next() else {
        let says = "passive DNS was not asked".to_owned();
        return new(Outcome::NotEvaluated(Unasked::NoSource), says);
    };
    let rows = match body.map(serde_json::from_slice::<Vec<SeenBefore>>) {
        Err(outcome) => return new(outcome, "passive DNS does not tell".to_owned()),
        Ok(Err(_)) => {
            let says = "passive DNS tells what cannot be read".to_owned();
            return new(Outcome::Unknown(Unclear::Malformed), says);
        }
        Ok(Ok(rows)) => rows,
    };
    let found: BTreeSet<IpAddr> = rows.iter().map(|r| r.address).collect();
    let systems: BTreeSet<u32> =
        found.iter().filter_map(|a| asns.get(a)).flatten().copied().collect();
    let (addresses, networks) = (found.len() as u64, systems.len() as u64);
    let score = FLUX_ADDRESS * addresses + FLUX_SYSTEM * networks;
    let shown = format!("{addresses} addresses of {networks} systems in three days");
    let finding = match () {
        () if found.is_empty() => {
            new(Outcome::NotEvaluated(Unasked::Prerequisite), "nobody asked for it".to_owned())
        }
        () if score > FLUX => new(Outcome::False, shown).severity(Severity::Notice).grade(Grade::D),
        () if systems.is_empty() => {
            let says = format!("{addresses} addresses, and who announces them is not known");
            new(Outcome::NotEvaluated(Unasked::Prerequisite), says)
        }
        () => new(Outcome::True, shown).grade(Grade::D),
    };
    finding
        .arg("addresses", addresses)
        .arg("systems", networks)
        .arg("score_hundredths", score)
        .by(evidence)
}

/// RES-20: clients are told what we see; where a rule says otherwise, it is named and both are kept.
pub(super) fn served(host: &str, ours: &Sees, bundle: &Bundle, listed: &[Listed]) -> Finding {
    let new = |outcome, says: String| Finding::new(Check::Res20, outcome, says);
    let (mut found, mut used) = (BTreeSet::new(), Vec::new());
    let mut is_missing = false;
    let is_served = |q: &Question| matches!(q, Question::Served { name, .. } if name == host);
    let mut answers = told(bundle, is_served).peekable();
    if answers.peek().is_none() {
        let says = "clients are told nothing of names of others here".to_owned();
        return new(Outcome::NotEvaluated(Unasked::NoSource), says);
    }
    for (evidence, body) in answers {
        used.extend(evidence);
        let reply = match body.map(Reply::read) {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => {
                let says = "our own resolver cannot be understood".to_owned();
                return new(Outcome::Unknown(Unclear::Malformed), says).by(used);
            }
            Err(outcome) => return new(outcome, "our own resolver does not tell".to_owned()),
        };
        let code = reply.rcode.to_string();
        match code.as_str() {
            "NOERROR" => found.extend(addresses(reply.answer.iter())),
            "NXDOMAIN" => is_missing = true,
            _ if listed.is_empty() => {
                let says = format!("our own resolver says {code}");
                return new(Outcome::Unknown(Unclear::SourceError), says).by(used);
            }
            _ => {}
        }
    }
    let theirs = if is_missing { Sees::Missing } else { Sees::addresses(found) };
    let finding = match (ours, listed.first()) {
        (ours, _) if *ours == theirs => {
            new(Outcome::True, "clients are told what we see".to_owned()).grade(Grade::B)
        }
        (_, Some(rule)) => {
            let says = format!(
                "clients are told otherwise: {} of {} version {}, {}",
                rule.rule, rule.feed, rule.feed_version, rule.action
            );
            new(Outcome::False, says).grade(Grade::B)
        }
        (Sees::Unknown { .. }, None) => {
            let says = "there is no view of ours to hold it against".to_owned();
            new(Outcome::NotEvaluated(Unasked::Prerequisite), says)
        }
        (_, None) => new(Outcome::False, "clients are told something else".to_owned())
            .severity(Severity::Notice)
            .grade(Grade::B),
    };
    let json = |sees: &Sees| serde_json::to_value(sees).unwrap_or_default();
    finding.arg("served", json(&theirs)).arg("resolved", json(ours)).by(used)
}

/// Where we serve the zone ourselves the zone is the authority: what is said of the zone above, of
/// its servers and of its registry does not apply, and that it exists is ours to say.
pub(super) fn as_authority(zone: &str, findings: Vec<Finding>) -> Vec<Finding> {
    let of_others = |check: Check| {
        use Check::*;
        let of_registry =
            check.entry().cell.0 == Area::Registration && check.entry().id.starts_with("REG");
        let of_parent = matches!(
            check,
            Res02 | Res03 | Res04 | Res05 | Res07 | Res08 | Res10 | Res11 | Res14 | Res17
        );
        of_registry || of_parent
    };
    let says = format!("{zone} is a zone of ours");
    let judge = |finding: Finding| match finding.id {
        Check::Res01 => Finding::new(Check::Res01, Outcome::True, &says).grade(Grade::A),
        check if of_others(check) => Finding::new(check, Outcome::NotApplicable, &says),
        _ => finding,
    };
    findings.into_iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn rule(name: &str) -> Listed {
        Listed {
            name: name.into(),
            feed: "trackers".into(),
            feed_version: 3,
            rule: format!("{name} (qname)"),
            action: "nxdomain".into(),
        }
    }

    #[test]
    fn whatever_hides_behind_an_alias_is_named() {
        let check = |chain: &[&str], listed: &[&str], expected: &str| {
            let chain = chain.iter().map(ToString::to_string).collect();
            let listed: Vec<Listed> = listed.iter().map(|n| rule(n)).collect();
            let found = cloaked("www.shop.example", &chain, &listed);
            assert_eq!(found.outcome.name(), expected, "{found:#?}");
        };
        check(&[], &[], "not_applicable");
        check(&["cdn.example"], &[], "true");
        check(&["cdn.example", "eye.example"], &["eye.example"], "false");
        check(&["eye.example"], &["eye.example", "www.shop.example"], "true");
    }

    #[test]
    fn many_addresses_of_many_systems_are_noted() {
        let check = |addresses: u8, systems: u32, expected: &str| {
            let mut bundle = Bundle::default();
            let at = |n: u8| IpAddr::from([192, 0, 2, n]);
            let rows: Vec<SeenBefore> = (0..addresses)
                .map(|n| SeenBefore {
                    address: at(n),
                    first: Timestamp::from_secs(1),
                    last: Timestamp::from_secs(2),
                    count: 1,
                })
                .collect();
            let asns = (0..addresses)
                .map(|n| {
                    (at(n), (systems > 0).then(|| u32::from(n) % systems).into_iter().collect())
                })
                .collect();
            let body = serde_json::to_vec(&rows).unwrap();
            let got = bundle.keep(crate::verify::evidence::Kind::DatasetRow, body);
            bundle.observations.push(crate::verify::evidence::Observation {
                question: Question::History { name: "a.example".into() },
                source: crate::verify::evidence::Source {
                    authority: crate::verify::evidence::Authority::Operator,
                    name: "passive_dns".into(),
                    endpoint: String::new(),
                    transport: crate::verify::evidence::Transport::File,
                },
                vantage: String::new(),
                at: Timestamp::from_secs(2),
                expires: Timestamp::from_secs(9),
                took_us: 0,
                got,
            });
            let found = flux("a.example", &bundle, &asns);
            assert_eq!(found.outcome.name(), expected, "{addresses} {systems}: {found:#?}");
        };
        check(0, 0, "not_evaluated");
        check(4, 1, "true");
        check(4, 0, "not_evaluated");
        // 1.32 × 24 + 18.54 × 6 = 142.92, and one address less is 141.60.
        check(24, 6, "false");
        check(23, 6, "true");
        check(108, 0, "false");
    }
}
