//! Registries asked over sockets, and every fault of theirs: none becomes `"false"`.

use std::{fs, time::Duration};

use serde_json::json;
use tracegate::{
    clock::{Clock, Timestamp},
    config,
    verify::{
        Check, Fault, Finding, Outcome,
        evidence::{Bundle, Got},
        gather::registry::{Registries, RegistriesOptions, resolve},
        registration::{Facts, bootstrap::Bootstrap, heard, registration},
    },
};

use crate::verify_registry_lab::{Act, Registry, absent, domain, http};

/// Asks the registry of a lab.
struct Asker {
    registries: Registries,
    clock: Clock,
}

/// How an [`Asker`] reaches its registry.
#[derive(Clone, Copy)]
enum By {
    Rdap,
    Whois(&'static str),
    Both,
}

impl Asker {
    fn new(registry: &Registry, by: By) -> Self {
        let (rdap, whois) = (format!("https://{}/", registry.rdap), registry.whois.to_string());
        let line = match by {
            By::Rdap => format!("test {rdap} -"),
            By::Whois(grammar) => format!("test - {whois} {grammar}"),
            By::Both => format!("test {rdap} {whois} cnnic"),
        };
        let mut bootstrap = Bootstrap::known();
        bootstrap.set(&line).unwrap();
        let clock = Clock::fixed("2026-11-01T00:00:00Z".parse().unwrap());
        let config = config::Registries {
            allowed_hosts: vec!["127.0.0.1".into()],
            timeout_ms: 400,
            body_bytes_max: 65_536,
            interval_ms: 0,
            ..config::Registries::default()
        };
        let options = RegistriesOptions {
            config,
            bootstrap,
            vantage: "here".into(),
            resolve: resolve(),
            ca: Some(fs::read(&registry.ca).unwrap()),
            key: [3; 32],
            clock: clock.clone(),
        };
        Self { registries: Registries::new(options).unwrap(), clock }
    }

    fn ask(&self, name: &str) -> Bundle {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut bundle = Bundle::default();
        runtime.block_on(self.registries.ask(name, Duration::from_secs(20), &mut bundle));
        bundle
    }

    /// What REG-01 says of a domain.
    fn found(&self, name: &str) -> Outcome {
        exists(&judged(&self.ask(name), name, self.clock.now()))
    }
}

fn judged(bundle: &Bundle, name: &str, now: Timestamp) -> Vec<Finding> {
    registration(name, &heard(bundle, name, now), &Facts::default(), now)
}

fn exists(findings: &[Finding]) -> Outcome {
    findings.iter().find(|f| f.id == Check::Reg01).unwrap().outcome
}

fn said(outcome: Outcome) -> String {
    format!("{} {}", outcome.name(), outcome.cause()).trim().to_owned()
}

fn well() -> Act {
    domain("EXAMPLE.TEST", &["ns1.example.test"], json!({}))
}

fn redirect(to: &str) -> Act {
    http("302 Found", &format!("Location: {to}\r\n"), "")
}

#[test]
fn no_fault_of_rdap_is_held_against_a_domain() {
    let registry = Registry::start();
    let rdap = Registry::start();
    let own = format!("https://{}/domain/example.test", registry.rdap);
    let elsewhere = format!("https://{}/domain/example.test", rdap.rdap);
    let json = "Content-Type: application/rdap+json\r\n";
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"objectClassName\"".to_vec();
    let cases: Vec<(&str, Vec<Act>, &str)> = vec![
        ("a domain", vec![well()], "true"),
        ("none", vec![absent()], "false"),
        ("sent on", vec![redirect(&own), well()], "true"),
        ("429", vec![http("429 Too Many Requests", "", "")], "unknown rate_limited"),
        ("500", vec![http("500 Oops", json, "{}")], "unknown source_error"),
        ("503", vec![http("503 Busy", "Retry-After: 9\r\n", "")], "unknown source_error"),
        ("403", vec![http("403 No", json, "{\"errorCode\":403}")], "unknown source_error"),
        (
            "a page for 404",
            vec![http("404 No", "", "<html>no</html>")],
            "unknown non_authoritative",
        ),
        ("404 of something", vec![http("404 No", json, "{}")], "unknown non_authoritative"),
        ("an empty 404", vec![http("404 No", json, "")], "unknown non_authoritative"),
        (
            "an error with 200",
            vec![http("200 OK", json, "{\"errorCode\":404}")],
            "unknown malformed",
        ),
        ("a page", vec![http("200 OK", "", "<html>")], "unknown malformed"),
        ("another domain", vec![domain("other.test", &[], json!({}))], "unknown malformed"),
        (
            "another object",
            vec![domain("example.test", &[], json!({ "objectClassName": "entity" }))],
            "unknown malformed",
        ),
        ("nested", vec![http("200 OK", json, &"[".repeat(60_000))], "unknown malformed"),
        ("a loop", vec![redirect(&own); 5], "unknown malformed"),
        ("off to plain HTTP", vec![redirect("http://127.0.0.1/")], "unknown malformed"),
        ("off to inside", vec![redirect("https://10.0.0.1/")], "not_evaluated refused"),
        ("off to metadata", vec![redirect("https://169.254.169.254/")], "not_evaluated refused"),
        ("sent on, untrusted", vec![redirect(&elsewhere)], "unknown transport"),
        ("cut", vec![Act::Say(cut.clone())], "unknown partial"),
        ("dripping", vec![Act::Hang(cut)], "unknown partial"),
        ("silent", vec![Act::Hang(Vec::new())], "unknown transport"),
        ("no HTTP", vec![Act::Say(b"hello\r\n\r\n".to_vec())], "unknown malformed"),
        ("too large", vec![http("200 OK", json, &" ".repeat(70_000))], "unknown partial"),
    ];
    for (what, acts, expected) in cases {
        let asker = Asker::new(&registry, By::Rdap);
        acts.into_iter().for_each(|act| registry.next(act));
        assert_eq!(said(asker.found("example.test")), expected, "{what}");
    }
    let asker = Asker::new(&registry, By::Rdap);
    drop(registry);
    assert_eq!(said(asker.found("example.test")), "unknown transport", "nobody there");
    assert_eq!(said(asker.found("example.elsewhere")), "not_evaluated no_source");
}

#[test]
fn no_fault_of_whois_is_held_against_a_domain() {
    let registry = Registry::start();
    let say = |text: &str| Act::Say(text.as_bytes().to_vec());
    let cn =
        "Domain Name: example.test\r\nRegistrant: Jane Doe\r\nName Server: ns1.example.test\r\n";
    for (what, act, grammar, expected) in [
        ("a domain", say(cn), "cnnic", "true"),
        ("none", say("No matching record.\r\n"), "cnnic", "false"),
        ("perhaps none", say("No match\r\n"), "generic", "unknown uncorroborated"),
        ("another", say("Domain Name: other.test\r\n"), "cnnic", "unknown malformed"),
        ("a page", say("<html>"), "cnnic", "unknown malformed"),
        ("nothing", say(""), "cnnic", "unknown malformed"),
        ("too often", say("Query quota exceeded\r\n"), "cnnic", "unknown rate_limited"),
        ("silent", Act::Hang(Vec::new()), "cnnic", "unknown transport"),
        ("dripping", Act::Hang(b"Domain Na".to_vec()), "cnnic", "unknown transport"),
        ("too large", say(&" ".repeat(70_000)), "cnnic", "unknown partial"),
    ] {
        let asker = Asker::new(&registry, By::Whois(grammar));
        registry.next(act);
        assert_eq!(said(asker.found("example.test")), expected, "{what}");
    }
    assert!(registry.asked().iter().all(|line| line == "example.test"), "{:?}", registry.asked());
}

#[test]
fn every_fault_there_is_becomes_anything_but_false() {
    let faults = [
        Fault::Unresolved,
        Fault::Unreachable,
        Fault::Untrusted,
        Fault::Silent,
        Fault::RateLimited { retry_at: None },
        Fault::Failed { status: 500 },
        Fault::NotAuthoritative,
        Fault::Malformed { why: "x".into() },
        Fault::Cut { at: 1 },
        Fault::Misled,
        Fault::Refused,
        Fault::Spared,
        Fault::Deadline,
        Fault::Offline,
        Fault::NoSource,
    ];
    let registry = Registry::start();
    registry.next(well());
    let asker = Asker::new(&registry, By::Rdap);
    let good = asker.ask("example.test");
    for fault in faults {
        let mut bundle = good.clone();
        bundle.observations[0].got = Got::Fault(fault.clone());
        for finding in judged(&bundle, "example.test", asker.clock.now()) {
            assert!(!finding.outcome.is_known(), "{fault:?}: {finding:?}");
            assert_eq!(finding.outcome, fault.outcome());
        }
    }
}

#[test]
fn who_asks_for_pause_gets_it_and_what_was_heard_before_is_stale() {
    let registry = Registry::start();
    let asker = Asker::new(&registry, By::Rdap);
    registry.next(well());
    assert_eq!(said(asker.found("example.test")), "true");
    assert_eq!(said(asker.found("example.test")), "true");
    assert_eq!(registry.asked().len(), 1, "kept");

    asker.clock.advance(Duration::from_secs(90_000));
    registry.next(http("429 Too Many Requests", "Retry-After: 120\r\n", ""));
    let bundle = asker.ask("example.test");
    let found = exists(&judged(&bundle, "example.test", asker.clock.now()));
    assert_eq!(said(found), "unknown rate_limited");
    let retry_at = asker.clock.now().saturating_add(Duration::from_secs(120));
    let limited = Fault::RateLimited { retry_at: Some(retry_at) };
    assert!(bundle.observations.iter().any(|o| o.got == Got::Fault(limited.clone())));
    assert!(bundle.observations.iter().any(|o| o.evidence().is_some()), "the old one is there");

    asker.clock.advance(Duration::from_secs(60));
    assert_eq!(said(asker.found("other.test")), "unknown rate_limited");
    assert_eq!(registry.asked().len(), 2, "left alone");
    asker.clock.advance(Duration::from_secs(61));
    assert_eq!(said(asker.found("other.test")), "false");
    assert_eq!(registry.asked().len(), 3);
}

#[test]
fn whois_is_asked_where_rdap_did_not_tell_and_nobody_is_kept() {
    let registry = Registry::start();
    let asker = Asker::new(&registry, By::Both);
    registry.next(http("500 Oops", "", ""));
    let cn = "Domain Name: example.test\r\nRegistrant: Jane Doe\r\n\
              Registrant Contact Email: jane@example.com\r\n";
    registry.next(Act::Say(cn.as_bytes().to_vec()));
    let bundle = asker.ask("example.test");
    assert_eq!(said(exists(&judged(&bundle, "example.test", asker.clock.now()))), "true");
    assert_eq!(registry.asked(), ["/domain/example.test", "example.test"]);
    registry.next(well());
    let more = asker.ask("two.test");
    for body in bundle.bodies.values().chain(more.bodies.values()) {
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains("Jane") && !text.contains("jane"), "{text}");
    }
}
