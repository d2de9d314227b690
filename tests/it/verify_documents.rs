//! What real registries have answered by RDAP: read, stripped of persons, and judged at other times.

use std::{collections::BTreeSet, fs, net::IpAddr};

use serde_json::Value;
use tracegate::{
    clock::Timestamp,
    verify::{
        Check, Finding, Outcome,
        evidence::{Authority, Bundle, Kind, Observation, Question, Source, Transport},
        registration::{
            BadNetwork, Facts, Registration, Said, heard, read_network, read_rdap, registration,
            strip::Stripper,
        },
    },
};

use crate::verify_peers::cache;

/// A response as it lies in the ICANN crates.
fn document(name: &str) -> Vec<u8> {
    fs::read(cache().join("rdap-documents").join(format!("{name}.json"))).unwrap()
}

fn stripped(name: &str) -> Vec<u8> {
    Stripper::new([3; 32]).rdap(&document(name)).unwrap()
}

/// What a response says of a domain.
fn said(document: &str, domain: &str) -> Registration {
    match read_rdap(&stripped(document), domain).unwrap() {
        Said::Registered(found) => *found,
        other => panic!("{document}: {other:?}"),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What is found about a domain when `document` comes at `now`.
fn judged(document: &str, domain: &str, now: Timestamp) -> Vec<Finding> {
    let mut bundle = Bundle::default();
    let got = bundle.keep(Kind::RdapJson, stripped(document));
    bundle.observations.push(Observation {
        question: Question::Domain { name: domain.to_owned() },
        source: Source {
            authority: Authority::Registry,
            name: "a registry".to_owned(),
            endpoint: "https://rdap.example/".to_owned(),
            transport: Transport::Https,
        },
        vantage: "here".to_owned(),
        at: now,
        expires: now,
        took_us: 0,
        got,
    });
    registration(domain, &heard(&bundle, domain, now), &Facts::default(), now)
}

fn one(findings: &[Finding], check: Check) -> &Finding {
    findings.iter().find(|f| f.id == check).unwrap()
}

const DOMAINS: [(&str, &str); 5] = [
    ("domain_afnic_fr", "afnic.fr"),
    ("lemonde.fr", "lemonde.fr"),
    ("home.moscow", "home.moscow"),
    ("microsoft.click", "microsoft.click"),
    ("lookup_with_redaction", "example.com"),
];

#[test]
fn real_registries_are_understood() {
    let afnic = said("domain_afnic_fr", "afnic.fr");
    assert_eq!(afnic.registered, Some(at("2001-12-10T23:00:00Z")));
    assert_eq!(afnic.transferred, Some(at("2017-07-18T08:26:59Z")));
    assert_eq!(afnic.expires, Some(at("2029-07-18T08:26:59Z")));
    let servers = ["ns1.nic.fr", "ns2.nic.fr", "ns3.nic.fr"].map(str::to_owned);
    assert_eq!(afnic.nameservers, BTreeSet::from(servers));
    assert_eq!(afnic.is_signed, None, "it says nothing about that");
    assert_eq!(afnic.registrar.unwrap().iana_id, Some(9999));

    // RFC 9083 registers no status "server recover prohibited".
    let lemonde = said("lemonde.fr", "lemonde.fr");
    assert_eq!(lemonde.statuses.len(), 3);
    assert!(lemonde.unknown_statuses.contains("server recover prohibited"));
    assert_eq!(lemonde.changed, Some(at("2024-06-12T22:09:39.881923Z")));

    // An offset from UTC is no other time.
    let moscow = said("home.moscow", "home.moscow");
    assert_eq!(moscow.as_of, Some(at("2024-06-18T19:01:39Z")));
    assert_eq!(moscow.is_signed, Some(false));
    let registrar = moscow.registrar.unwrap();
    assert_eq!(registrar.iana_id, Some(1606));
    assert!(registrar.name.contains("REG.RU"));

    assert_eq!(said("lookup_with_redaction", "example.com").redacted.len(), 14);
}

#[test]
fn the_clock_decides_what_real_registrations_are() {
    for (document, domain) in DOMAINS {
        let ends = said(document, domain).expires.unwrap();
        let began = said(document, domain).registered.unwrap();
        let second = std::time::Duration::from_secs(1);
        let day = 86_400;
        let found = |check, now| one(&judged(document, domain, now), check).outcome;
        assert_eq!(found(Check::Reg02, ends), Outcome::True, "{domain}");
        assert_eq!(found(Check::Reg02, ends.saturating_add(second)), Outcome::False, "{domain}");
        // Young within the common window, and not a day after it.
        let after = |days: u64| began.saturating_add(std::time::Duration::from_secs(days * day));
        if said(document, domain).transferred.is_none() {
            assert_eq!(found(Check::Reg05, after(31)), Outcome::False, "{domain}");
            assert_eq!(found(Check::Reg05, after(33)), Outcome::True, "{domain}");
        }
        assert_eq!(found(Check::Reg01, ends), Outcome::True, "{domain}");
        assert_eq!(found(Check::Reg03, ends), Outcome::True, "{domain}: no hold");
    }
    // What a registry says as of last week is not what it says today.
    for (document, domain) in [DOMAINS[2], DOMAINS[3]] {
        let as_of = said(document, domain).as_of.unwrap();
        let after = |days: u64| {
            let now = as_of.saturating_add(std::time::Duration::from_secs(days * 86_400));
            one(&judged(document, domain, now), Check::Reg14).outcome.name()
        };
        assert_eq!([after(6), after(8)], ["true", "unknown"], "{domain}");
    }
}

#[test]
fn what_real_registries_get_wrong_is_said() {
    let now = at("2024-06-19T00:00:00Z");
    let flaws = |document, domain| {
        let findings = judged(document, domain, now);
        let found = one(&findings, Check::Reg13);
        (found.outcome, found.says.clone())
    };
    assert_eq!(flaws("home.moscow", "home.moscow").0, Outcome::True);
    assert_eq!(flaws("domain_afnic_fr", "afnic.fr").0, Outcome::True);
    for (document, domain, flaw) in [
        ("lemonde.fr", "lemonde.fr", "StatusValueUnknown"),
        ("microsoft.click", "microsoft.click", "RdapConformanceMissing"),
    ] {
        let (outcome, says) = flaws(document, domain);
        assert_eq!(outcome, Outcome::False, "{domain}");
        assert!(says.contains(flaw), "{domain}: {says}");
    }
    // Locked by its registry.
    let findings = judged("lemonde.fr", "lemonde.fr", now);
    assert_eq!(one(&findings, Check::Reg15).outcome, Outcome::True);
    let findings = judged("domain_afnic_fr", "afnic.fr", now);
    assert_eq!(one(&findings, Check::Reg15).outcome, Outcome::False);
}

#[test]
fn what_is_about_something_else_is_no_evidence() {
    let others = [
        "autnum_16509",
        "domain_search_with_redaction",
        "entity_arin_hostmaster",
        "error_ripe_net",
        "help_nic_fr",
        "nameserver_ns1_nic_fr",
        "network_192_198_0_0",
    ];
    let now = at("2024-06-19T00:00:00Z");
    let domains = DOMAINS.map(|(document, _)| document);
    for document in others.iter().chain(&domains) {
        for domain in ["example1.com", "ns1.nic.fr", "nic.fr", "other.example"] {
            read_rdap(&stripped(document), domain).unwrap_err();
            for finding in judged(document, domain, now) {
                assert_eq!(finding.outcome.name(), "unknown", "{document}: {}", finding.says);
            }
        }
    }
}

/// The texts in the cards of entities that are no registrars, wherever they are.
fn of_persons(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|i| of_persons(i, found)),
        Value::Object(members) => {
            let is_registrar =
                value["roles"].as_array().into_iter().flatten().any(|r| r == "registrar");
            let card = value["vcardArray"][1].as_array().filter(|_| !is_registrar);
            for property in card.into_iter().flatten() {
                match (property[0].as_str(), property[3].as_array()) {
                    // The last part is the country (RFC 6350 §6.3.1), which is kept.
                    (Some("adr"), Some(parts)) => {
                        parts.iter().take(6).for_each(|p| texts(p, found))
                    }
                    (Some("fn" | "email" | "tel" | "org"), _) => texts(&property[3], found),
                    _ => {}
                }
            }
            members.values().for_each(|v| of_persons(v, found));
        }
        _ => {}
    }
}

fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|i| texts(i, found)),
        // What is shorter is in everything.
        Value::String(text) if text.chars().count() > 4 => {
            found.insert(text.clone());
        }
        _ => {}
    }
}

#[test]
fn no_person_of_real_registries_is_kept() {
    let mut persons = 0;
    for (document, domain) in DOMAINS {
        let whole = serde_json::from_slice(&self::document(document)).unwrap();
        let mut found = BTreeSet::new();
        of_persons(&whole, &mut found);
        let registrar = said(document, domain).registrar.unwrap().name;
        let kept = String::from_utf8(stripped(document)).unwrap();
        for text in found.iter().filter(|t| !registrar.contains(*t)) {
            assert!(!kept.contains(text), "{document}");
            persons += 1;
        }
    }
    assert!(persons > 30, "{persons} texts");
    let network = Stripper::new([3; 32]).network(&document("network_192_198_0_0")).unwrap();
    let mut found = BTreeSet::new();
    of_persons(&serde_json::from_slice(&document("network_192_198_0_0")).unwrap(), &mut found);
    let kept = String::from_utf8(network).unwrap();
    assert!(found.len() > 3 && found.iter().all(|text| !kept.contains(text)));
}

#[test]
fn a_real_network_is_that_of_its_addresses_only() {
    let kept = Stripper::new([3; 32]).network(&document("network_192_198_0_0")).unwrap();
    let of = |address: &str| read_network(&kept, address.parse::<IpAddr>().unwrap());
    for inside in ["192.198.0.0", "192.198.1.77", "192.198.3.255"] {
        let network = of(inside).unwrap();
        assert_eq!(network.range.0, "192.198.0.0".parse::<IpAddr>().unwrap());
        assert_eq!(network.statuses, ["active"]);
    }
    for outside in ["192.197.255.255", "192.198.4.0", "::ffff:192.198.1.77"] {
        assert_eq!(of(outside), Err(BadNetwork::Another), "{outside}");
    }
    for other in ["autnum_16509", "domain_afnic_fr", "entity_arin_hostmaster", "help_nic_fr"] {
        let kept = Stripper::new([3; 32]).network(&document(other)).unwrap();
        let refused = read_network(&kept, "192.198.1.77".parse().unwrap());
        assert_eq!(refused, Err(BadNetwork::NotANetwork), "{other}");
    }
}
