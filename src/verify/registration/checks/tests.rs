//! A clock that is set, and registrations around it.

use super::*;
use crate::verify::evidence::EvidenceId;

const NOW: i64 = 1_795_000_000;

fn at(days: i64) -> Option<Timestamp> {
    Some(Timestamp::from_secs(NOW + days * 86_400))
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(ToString::to_string).collect()
}

fn ds(tag: u16) -> BTreeSet<Ds> {
    [Ds { key_tag: tag, algorithm: 13, digest_type: 2, digest: "00".into() }].into()
}

fn well() -> (Registration, Facts) {
    let found = Registration {
        domain: "example.com".into(),
        statuses: [Status::ClientTransferProhibited].into(),
        registered: at(-4_000),
        expires: at(300),
        changed: at(-100),
        nameservers: names(&["ns1.example.com", "ns2.example.com"]),
        ds: Some(ds(1)),
        is_signed: Some(true),
        ..Registration::default()
    };
    let facts =
        Facts { delegated: Some(found.nameservers.clone()), ds: Some(ds(1)), resolves: true };
    (found, facts)
}

fn judged(found: &Registration, facts: &Facts) -> Vec<Finding> {
    let heard = Heard {
        said: Ok(Said::Registered(Box::new(found.clone()))),
        grade: Grade::A,
        source: "rdap.example".into(),
        at: Timestamp::from_secs(NOW),
        evidence: Some(EvidenceId::of(b"x")),
    };
    registration("example.com", &[heard], facts, Timestamp::from_secs(NOW))
}

/// After `change`, `check` is found `outcome` with `severity`.
fn check(
    change: impl FnOnce(&mut Registration, &mut Facts),
    check: Check,
    outcome: &str,
    severity: Severity,
) {
    let (mut found, mut facts) = well();
    change(&mut found, &mut facts);
    let findings = judged(&found, &facts);
    let finding = findings.iter().find(|f| f.id == check).unwrap();
    assert_eq!((finding.outcome.name(), finding.severity), (outcome, severity), "{finding:#?}");
}

#[test]
fn a_domain_in_order_is_found_so() {
    let (found, facts) = well();
    for finding in judged(&found, &facts) {
        assert!(!finding.is_adverse(), "{finding:#?}");
        assert!(finding.outcome != Outcome::False, "{finding:#?}");
    }
}

#[test]
fn ends_holds_and_ages_go_by_the_clock() {
    use Severity::*;
    check(|r, _| r.expires = at(0), Check::Reg02, "true", Notice);
    check(|r, _| r.expires = at(15), Check::Reg02, "true", Info);
    check(|r, _| r.expires = at(-1), Check::Reg02, "false", Warning);
    let renewing = |r: &mut Registration, _: &mut Facts| {
        r.expires = at(-1);
        r.statuses.insert(Status::AutoRenewPeriod);
    };
    check(renewing, Check::Reg02, "false", Notice);
    let redeemed = |r: &mut Registration, _: &mut Facts| {
        r.expires = at(-40);
        r.statuses.insert(Status::RedemptionPeriod);
    };
    check(redeemed, Check::Reg02, "false", Error);
    check(redeemed, Check::Reg04, "false", Error);
    check(|r, _| r.expires = None, Check::Reg02, "not_evaluated", Info);
    let held = |r: &mut Registration, resolves: bool, f: &mut Facts| {
        r.statuses.insert(Status::ServerHold);
        f.resolves = resolves;
    };
    check(|r, f| held(r, true, f), Check::Reg03, "false", Critical);
    check(|r, f| held(r, false, f), Check::Reg03, "false", Error);
    for (days, outcome, severity) in
        [(-40, "true", Info), (-32, "true", Info), (-31, "false", Notice), (0, "false", Notice)]
    {
        check(|r, _| r.registered = at(days), Check::Reg05, outcome, severity);
        check(|r, _| r.transferred = at(days), Check::Reg05, outcome, severity);
    }
    check(|r, _| r.as_of = at(-8), Check::Reg14, "unknown", Info);
    check(|r, _| r.as_of = at(-6), Check::Reg14, "true", Info);
}

#[test]
fn the_registry_is_held_against_the_dns() {
    use Severity::*;
    let moved =
        |r: &mut Registration| r.nameservers = names(&["ns1.example.com", "ns.evil.example"]);
    check(|r, _| moved(r), Check::Reg06, "false", Warning);
    let just_now = |r: &mut Registration, _: &mut Facts| {
        moved(r);
        r.changed = at(0);
    };
    check(just_now, Check::Reg06, "false", Notice);
    check(|_, f| f.delegated = None, Check::Reg06, "not_evaluated", Info);
    check(|_, f| f.ds = Some(ds(2)), Check::Reg07, "false", Warning);
    check(|_, f| f.ds = Some(BTreeSet::new()), Check::Reg07, "false", Error);
    let silent = |r: &mut Registration, f: &mut Facts| {
        (r.ds, f.ds) = (None, Some(BTreeSet::new()));
    };
    check(silent, Check::Reg07, "false", Error);
    check(|r, _| r.nameservers.clear(), Check::Reg08, "false", Warning);
    check(|r, _| r.statuses.clear(), Check::Reg15, "false", Info);
}

#[test]
fn what_is_not_told_is_not_held_against_anybody() {
    let facts = Facts::default();
    let now = Timestamp::from_secs(NOW);
    let none = registration("example.com", &[], &facts, now);
    assert!(none.iter().all(|f| f.outcome == Outcome::NotEvaluated(Unasked::NoSource)));
    let heard = |said| Heard {
        said,
        grade: Grade::D,
        source: "whois.example".into(),
        at: now,
        evidence: None,
    };
    let perhaps = registration("example.com", &[heard(Ok(Said::Perhaps))], &facts, now);
    assert!(perhaps.iter().all(|f| f.outcome == Outcome::Unknown(Unclear::Uncorroborated)));
    let absent = registration("example.com", &[heard(Ok(Said::Absent))], &facts, now);
    assert_eq!((absent.len(), absent[0].outcome), (1, Outcome::False));
    let fault = heard(Err(Outcome::Unknown(Unclear::Transport)));
    let silent = registration("example.com", &[fault], &facts, now);
    assert!(silent.iter().all(|f| f.outcome == Outcome::Unknown(Unclear::Transport)));
}
