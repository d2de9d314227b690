//! REG-12, whether a domain is on file (备案), and RED-09, whether the redirects of its names lead
//! where its owner declared.

use std::collections::BTreeSet;

use url::{Host, Url};

use super::{
    Check, Declaration, Finding, Grade, Outcome, Severity, Unasked, Unclear,
    data::Filed,
    evidence::{Bundle, Got, Question},
};

/// REG-12.
pub(super) fn filed(
    domain: &str,
    found: Option<&Filed>,
    declared: Option<&Declaration>,
) -> Finding {
    let new = |outcome, says: String| Finding::new(Check::Reg12, outcome, says);
    let Some(found) = found else {
        let says = "nothing is loaded of what is on file".to_owned();
        return new(Outcome::NotEvaluated(Unasked::NoSource), says);
    };
    let Filed { number, status, set, required } = found;
    let absent = if *required { Severity::Warning } else { Severity::Info };
    let by = &set.name;
    let ours = declared.and_then(|d| d.icp.as_ref());
    let finding = match ours {
        _ if number.is_empty() => {
            new(Outcome::False, format!("{domain} is not on file, says {by}")).severity(absent)
        }
        _ if !status.is_empty() => {
            let says = format!("{domain} is on file as {number}: {status}, says {by}");
            new(Outcome::False, says).severity(absent.max(Severity::Notice))
        }
        Some(ours) if ours != number => {
            let says = format!("{domain} is on file as {number}, not {ours}, says {by}");
            new(Outcome::False, says).severity(Severity::Error)
        }
        _ => new(Outcome::True, format!("{domain} is on file as {number}, says {by}")),
    };
    finding.grade(Grade::D).arg("number", number.clone()).arg("status", status.clone())
}

/// RED-09: of a domain whose owner declared where its redirects lead.
pub(super) fn redirects(
    domain: &str,
    declared: Option<&Declaration>,
    bundle: &Bundle,
) -> Option<Finding> {
    let declared = declared.filter(|d| !d.targets.is_empty())?;
    let new = |outcome, says: String| Finding::new(Check::Red09, outcome, says);
    let about = |q: &Question| matches!(q, Question::Redirects { domain: d } if d == domain);
    let none = || new(Outcome::NotEvaluated(Unasked::NoSource), "no walk was asked for".to_owned());
    let Some(observation) = bundle.observations.iter().find(|o| about(&o.question)) else {
        return Some(none());
    };
    let body = match &observation.got {
        Got::Fault(fault) => {
            return Some(new(fault.outcome(), "the records do not tell".to_owned()));
        }
        Got::Body { .. } => bundle.body(observation).unwrap_or_default(),
    };
    let Ok(urls) = serde_json::from_slice::<Vec<String>>(body) else {
        let outcome = Outcome::Unknown(Unclear::Malformed);
        return Some(new(outcome, "the records cannot be read".to_owned()));
    };
    let is_within = |host: &str, name: &str| {
        host == name || host.strip_suffix(name).is_some_and(|r| r.ends_with('.'))
    };
    let hosts: BTreeSet<String> = urls.iter().filter_map(|url| host(url)).collect();
    let is_known = |host: &&String| {
        is_within(host, domain) || declared.targets.iter().any(|name| is_within(host, name))
    };
    let strange: Vec<String> = hosts.iter().filter(|h| !is_known(h)).cloned().collect();
    let finding = if hosts.is_empty() {
        let says = "nobody was seen being redirected".to_owned();
        new(Outcome::NotEvaluated(Unasked::Prerequisite), says)
    } else if strange.is_empty() {
        new(Outcome::True, format!("{} redirects lead where they were declared", hosts.len()))
    } else {
        let says = format!("redirects lead where nobody declared: {}", strange.join(", "));
        new(Outcome::False, says).severity(Severity::Error)
    };
    Some(finding.grade(Grade::B).arg("strange", strange).by(observation.evidence()))
}

fn host(url: &str) -> Option<String> {
    match Url::parse(url).ok()?.host()? {
        Host::Domain(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        verify::{
            data::Set,
            evidence::{Authority, EvidenceId, Kind, Observation, Source, Transport},
        },
    };

    #[test]
    fn what_is_on_file_is_held_against_what_is_declared() {
        let check = |number: &str, status: &str, required, ours: Option<&str>, expected: &str| {
            let set = Set {
                name: "icp.csv".into(),
                digest: EvidenceId::of(b""),
                made: Timestamp::from_secs(0),
            };
            let found = Filed { number: number.into(), status: status.into(), set, required };
            let declared = Declaration { icp: ours.map(str::to_owned), ..Declaration::default() };
            let found = filed("example.cn", Some(&found), Some(&declared));
            let told = format!("{} {}", found.outcome.name(), found.severity.name());
            assert_eq!(told, expected, "{found:#?}");
        };
        check("京ICP备1号", "", false, None, "true info");
        check("京ICP备1号", "", false, Some("京ICP备1号"), "true info");
        check("京ICP备1号", "", false, Some("京ICP备2号"), "false error");
        check("京ICP备1号", "注销", false, None, "false notice");
        check("", "", false, None, "false info");
        check("", "", true, None, "false warning");
        assert_eq!(filed("a.cn", None, None).outcome.name(), "not_evaluated");
    }

    #[test]
    fn redirects_are_held_against_what_is_declared() {
        let check = |urls: &[&str], expected: &str| {
            let mut bundle = Bundle::default();
            let got = bundle.keep(Kind::DatasetRow, serde_json::to_vec(urls).unwrap());
            bundle.observations.push(Observation {
                question: Question::Redirects { domain: "example.com".into() },
                source: Source {
                    authority: Authority::Operator,
                    name: "hops".into(),
                    endpoint: String::new(),
                    transport: Transport::File,
                },
                vantage: String::new(),
                at: Timestamp::from_secs(0),
                expires: Timestamp::from_secs(9),
                took_us: 0,
                got,
            });
            let declared =
                Declaration { targets: vec!["shop.example.net".into()], ..Declaration::default() };
            let found = redirects("example.com", Some(&declared), &bundle).unwrap();
            assert_eq!(found.outcome.name(), expected, "{urls:?}: {found:#?}");
        };
        check(&[], "not_evaluated");
        check(&["https://www.example.com/a", "https://eu.shop.example.net/"], "true");
        check(&["https://evilshop.example.net/"], "false");
        check(&["https://www.example.com/", "http://192.0.2.1/"], "false");
        assert_eq!(redirects("example.com", None, &Bundle::default()), None);
    }
}
