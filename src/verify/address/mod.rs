//! What an address alone tells: IP-01 to IP-03. Pure, and quick enough for every answer.

mod data;

use std::net::IpAddr;

pub use data::data;

use super::{Check, Finding, Grade, Outcome, Severity};
use crate::special::{Reachable, embedded, registered};

/// What these checks say of an address that is to be reached by the public.
///
/// The registries decide what is special, therefore grade A: nobody else can say otherwise.
pub fn address(address: IpAddr) -> Vec<Finding> {
    vec![special(address), inside(address), one_host(address)]
}

/// IP-01: globally reachable, by the longest prefix of the registries.
fn special(address: IpAddr) -> Finding {
    let found = Finding::new;
    let finding = match registered(address) {
        None => found(Check::Ip01, Outcome::True, format!("{address} has no special purpose")),
        Some(r) if r.reachable == Reachable::Yes => {
            let says = format!("{address} is {} ({}), which can be reached", r.purpose, r.source);
            found(Check::Ip01, Outcome::True, says).severity(Severity::Notice)
        }
        // What counts is the address inside, and that is IP-02's.
        Some(_) if is_dress(address) => {
            let says = format!("{address} carries an IPv4 address");
            found(Check::Ip01, Outcome::True, says)
        }
        Some(r) => {
            let says = format!("{address} is {} ({})", r.purpose, r.source);
            found(Check::Ip01, Outcome::False, says).severity(Severity::Error)
        }
    };
    let finding = finding.grade(Grade::A).arg("address", address.to_string());
    match registered(address) {
        Some(r) => finding
            .arg("prefix", format!("{}/{}", r.first, r.length))
            .arg("purpose", r.purpose)
            .arg("source", r.source),
        None => finding,
    }
}

fn is_dress(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if embedded(v6).is_some())
}

/// IP-02: the IPv4 address inside an IPv6 one, held to the same.
fn inside(address: IpAddr) -> Finding {
    let inner = match address {
        IpAddr::V6(v6) => embedded(v6),
        IpAddr::V4(_) => None,
    };
    let Some((dress, v4)) = inner else {
        let says = format!("{address} carries no IPv4 address");
        return Finding::new(Check::Ip02, Outcome::NotApplicable, says);
    };
    let special = registered(v4.into()).filter(|r| r.reachable != Reachable::Yes);
    let (outcome, severity, says) = match special {
        Some(r) => {
            let says = format!("{address} carries {v4}, which is {} ({})", r.purpose, r.source);
            (Outcome::False, Severity::Error, says)
        }
        None => (Outcome::True, Severity::Notice, format!("{address} carries {v4}")),
    };
    Finding::new(Check::Ip02, outcome, says)
        .severity(severity)
        .grade(Grade::A)
        .arg("address", address.to_string())
        .arg("inside", v4.to_string())
        .arg("embedding", dress.name())
}

/// IP-03: neither many hosts nor none.
fn one_host(address: IpAddr) -> Finding {
    let many = match address {
        _ if address.is_multicast() => Some("multicast"),
        _ if address.is_unspecified() => Some("unspecified"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the limited broadcast"),
        _ => None,
    };
    let finding = match many {
        None => Finding::new(Check::Ip03, Outcome::True, format!("{address} is one host's")),
        Some(what) => Finding::new(Check::Ip03, Outcome::False, format!("{address} is {what}"))
            .severity(Severity::Error),
    };
    finding.grade(Grade::A).arg("address", address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: [&str; 3]) {
        let findings = address(text.parse().unwrap());
        let outcomes: Vec<_> = findings.iter().map(|f| f.outcome.name()).collect();
        assert_eq!(outcomes, expected, "{text}: {findings:?}");
    }

    #[test]
    fn addresses_are_judged_by_what_they_are_for() {
        check("8.8.8.8", ["true", "not_applicable", "true"]);
        check("10.1.2.3", ["false", "not_applicable", "true"]);
        check("192.0.0.9", ["true", "not_applicable", "true"]);
        check("224.0.0.1", ["false", "not_applicable", "false"]);
        check("255.255.255.255", ["false", "not_applicable", "false"]);
        check("::", ["false", "not_applicable", "false"]);
        check("ff02::1", ["false", "not_applicable", "false"]);
        check("2606:4700::1111", ["true", "not_applicable", "true"]);
        check("::ffff:8.8.8.8", ["true", "true", "true"]);
        check("64:ff9b::7f00:1", ["true", "false", "true"]);
        check("2002:a00:1::", ["true", "false", "true"]);
        check("192.88.99.1", ["false", "not_applicable", "true"]);
    }
}
