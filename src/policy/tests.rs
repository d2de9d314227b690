//! What the pages of this stage promise, one table a promise.

use std::{net::IpAddr, sync::Arc};

use super::*;
use crate::{clock::Timestamp, name::Name};

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(text: &str, action: Action) -> Rule {
    Rule { trigger: text.parse().unwrap(), action, legal: Arc::default() }
}

/// A feed of rules that say NXDOMAIN.
fn feed(name: &str, rules: &[&str], settings: FeedSettings) -> Arc<FeedInForce> {
    let rules: Vec<_> = rules.iter().map(|r| rule(r, Action::Nxdomain)).collect();
    of_rules(name, &rules, settings)
}

fn of_rules(name: &str, rules: &[Rule], settings: FeedSettings) -> Arc<FeedInForce> {
    let mut builder = Index::builder();
    for rule in rules {
        assert_eq!(builder.add(rule), Added::New, "{rule:?}");
    }
    let index = Arc::new(builder.finish());
    Arc::new(FeedInForce { name: name.into(), version: 7, index, settings, closed: false })
}

fn set(feeds: &[Arc<FeedInForce>]) -> PolicySet {
    PolicySet::new(1, feeds.to_vec(), Extras::default())
}

fn plain() -> FeedSettings {
    FeedSettings::default()
}

/// `feed/rule` of what acts.
fn acting(outcome: &Outcome) -> String {
    outcome.hit.as_ref().map_or_else(String::new, |h| format!("{}/{}", h.feed, h.rule))
}

#[test]
fn the_empty_set_decides_nothing() {
    let set = PolicySet::empty();
    assert_eq!(set.question(&name("a"), set.client(ip("::1"), NOW), NOW), Decision::None);
    assert!(set.is_empty() && !set.has_client_triggers() && !set.has_answer_triggers());
    assert_eq!(set.next_boundary(NOW), None);
}

#[test]
fn wildcards_are_about_all_below_and_nothing_hides_them() {
    let rules = ["x", "*.y", "*.z", "a.b.z", "*.w", "w"];
    let check = |subtree: bool, asked: &str, expected: &str| {
        let set = set(&[feed("f", &rules, FeedSettings { subtree, ..plain() })]);
        let outcome = set.answer(&name(asked), &AnswerFacts::default(), NOW).outcome();
        assert_eq!(acting(&outcome).trim_start_matches("f/"), expected, "{asked} {subtree}");
    };
    check(false, "x", "x");
    check(false, "a.x", "");
    check(false, "y", "");
    check(false, "a.y", "*.y");
    check(false, "c.b.a.y", "*.y");
    check(false, "b.z", "*.z");
    check(false, "c.b.z", "*.z");
    check(false, "a.b.z", "a.b.z");
    check(false, "c.a.b.z", "*.z");
    check(false, "w", "w");
    check(false, "a.w", "*.w");
    check(true, "x", "x");
    check(true, "b.a.x", "x");
    check(true, "y", "*.y");
    check(true, "a.y", "*.y");
    check(true, "c.a.b.z", "a.b.z");
    check(true, "c.b.z", "*.z");
    check(true, "w", "w");
    check(true, "a.w", "*.w");
    check(true, "v", "");
}

#[test]
fn a_question_is_decided_when_no_answer_can_change_it() {
    let check = |feeds: &[(&[&str], FeedSettings)], expected: &str| {
        let feeds: Vec<_> = feeds
            .iter()
            .enumerate()
            .map(|(i, (r, s))| feed(&i.to_string(), r, s.clone()))
            .collect();
        let got = match set(&feeds).question(&name("bad.example"), Matches::default(), NOW) {
            Decision::Decided(outcome) => acting(&outcome),
            other => format!("{other:?}"),
        };
        assert_eq!(got, expected);
    };
    let (q, ip) = (&["bad.example"], &["8.0.0.0.10.rpz-ip"]);
    check(&[(q, plain())], "0/bad.example");
    check(&[(q, plain()), (ip, plain())], "0/bad.example");
    check(&[(ip, plain()), (q, plain())], "Undecided");
    let at_once = FeedSettings { qname_wait_recurse: false, ..plain() };
    check(&[(ip, plain()), (q, at_once)], "1/bad.example");
    let observe = FeedSettings { action: Override::Observe, ..plain() };
    check(&[(ip, observe.clone()), (q, plain())], "1/bad.example");
    check(&[(q, observe)], "Undecided");
    check(&[(&["other.example"], plain())], "Undecided");
    check(&[(&["8.0.0.0.10.rpz-client-ip"], plain())], "None");
}
