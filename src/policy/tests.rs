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

#[test]
fn jumps_are_decided_by_code_url_name_and_address() {
    let rules = [
        "code:abc",
        "url:evil.example/a/b?c",
        "url-prefix:evil.example/a/",
        "url-prefix:evil.example/a/deep/",
        "url-nocase:evil.example/File.exe?Id=A",
        "url-prefix-nocase:evil.example/Any/",
        "url-prefix:evil.example/any/Particular",
        "url-host:bad.example",
        "listed.example",
        "*.cdn.example",
        "24.0.2.0.192.rpz-ip",
        "32.1.2.0.192.rpz-client-ip",
    ];
    let set = set(&[feed("f", &rules, plain())]);
    let check = |url: &str, code: Option<&str>, addresses: &[&str], chain: &[&str], expected| {
        let host = Canonical::read(url).and_then(|u| Name::from_text(u.host()).ok());
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| ip(a)).collect();
        let chain: Vec<Name> = chain.iter().map(|n| name(n)).collect();
        let (addresses, chain) = (&addresses[..], &chain[..]);
        let facts = JumpFacts { url, host: host.as_ref(), code, addresses, chain };
        let outcome = set.jump(&facts, NOW);
        assert_eq!(acting(&outcome).trim_start_matches("f/"), expected, "{url}");
    };
    check("https://evil.example/a/b?c", Some("abc"), &["192.0.2.7"], &[], "code:abc");
    check("https://evil.example/a/b?c", Some("xyz"), &[], &[], "url:evil.example/a/b?c");
    check("https://EVIL.example:444/a/./b?c#d", None, &[], &[], "url:evil.example/a/b?c");
    // A rule for one URL is not about the hosts below; one for a directory is.
    check("https://www.evil.example/a/b?c", None, &[], &[], "url-prefix:evil.example/a/");
    check("https://evil.example/a/deep/er", None, &[], &[], "url-prefix:evil.example/a/deep/");
    check("https://evil.example/A/", None, &[], &[], "");
    let any_case = "url-nocase:evil.example/file.exe?id=a";
    check("https://Evil.example/FILE.exe?iD=A", None, &[], &[], any_case);
    check("https://evil.example/FILE.exe?iD=B", None, &[], &[], "");
    let any_case = "url-prefix-nocase:evil.example/any/";
    check("https://www.evil.example/ANY/x", None, &[], &[], any_case);
    check("https://evil.example/any/particular", None, &[], &[], any_case);
    let particular = "url-prefix:evil.example/any/Particular";
    check("https://evil.example/any/Particular", None, &[], &[], particular);
    check("http://www.bad.example/", None, &[], &[], "url-host:bad.example");
    check("http://notbad.example/", None, &[], &[], "");
    check("http://listed.example/x", None, &["192.0.2.7"], &[], "listed.example");
    check("http://ok.example/", None, &["192.0.2.7"], &["x.cdn.example"], "*.cdn.example");
    check("http://ok.example/", None, &["192.0.3.7", "192.0.2.7"], &[], "24.0.2.0.192.rpz-ip");
    check("http://192.0.2.1/", None, &["192.0.2.1"], &[], "24.0.2.0.192.rpz-ip");
    check("not a url", None, &[], &[], "");
}

#[test]
fn an_exception_of_a_list_never_becomes_a_block() {
    let rules = [
        rule("gov.example", Action::Passthru),
        rule("*.gov.example", Action::Passthru),
        rule("24.0.2.0.192.rpz-ip", Action::Passthru),
        rule("url-host:gov.example", Action::Passthru),
        rule("bad.example", Action::Nxdomain),
    ];
    let check = |action: Override, passes: &Action, blocks: &Action| {
        let set = set(&[of_rules("f", &rules, FeedSettings { action, ..plain() })]);
        let answer = |asked: &str, addresses: &[IpAddr]| {
            let facts = AnswerFacts { addresses, ..AnswerFacts::default() };
            set.answer(&name(asked), &facts, NOW).outcome().hit.unwrap().action.clone()
        };
        assert_eq!(answer("gov.example", &[]), *passes);
        assert_eq!(answer("www.gov.example", &[]), *passes);
        assert_eq!(answer("ok.example", &[ip("192.0.2.1")]), *passes);
        assert_eq!(answer("bad.example", &[]), *blocks);
        let facts = JumpFacts { url: "https://gov.example/", ..JumpFacts::default() };
        assert_eq!(set.jump(&facts, NOW).hit.unwrap().action, *passes);
        let explained = set.explain(&super::Thing::Name(Box::new(name("gov.example"))), NOW);
        assert!(explained.listings.iter().all(|l| l.action == *passes));
        assert_eq!(explained.decision, passes.name());
    };
    check(Override::Given, &Action::Passthru, &Action::Nxdomain);
    check(Override::Action(Action::Nodata), &Action::Passthru, &Action::Nodata);
    check(Override::Action(Action::Drop), &Action::Passthru, &Action::Drop);
    check(Override::Action(Action::Passthru), &Action::Passthru, &Action::Passthru);
}

#[test]
fn a_hit_says_what_feed_and_rule_say_together() {
    let legal = |order_number: &str, tier| Legal {
        order_number: order_number.into(),
        tier,
        ..Legal::default()
    };
    let mut hinted = rule("hinted.example", Action::Nodata);
    hinted.legal = Arc::new(legal("2026/7", Some(Tier::Hint)));
    let settings = FeedSettings {
        action: Override::Action(Action::Drop),
        tier: Tier::Interstitial,
        ede: Some(EdeNote { code: 16, text: "2026/1".into() }),
        legal: Legal { authority: "an authority".into(), ..legal("2026/1", None) },
        ..plain()
    };
    let rules = [rule("plain.example", Action::Nxdomain), hinted];
    let set = set(&[of_rules("f", &rules, settings)]);
    let hit = |asked: &str| {
        let outcome = set.answer(&name(asked), &AnswerFacts::default(), NOW).outcome();
        outcome.hit.unwrap()
    };
    let plain = hit("plain.example");
    assert_eq!(
        (&plain.action, plain.tier, plain.feed_version),
        (&Action::Drop, Tier::Interstitial, 7)
    );
    assert_eq!((&*plain.legal.authority, &*plain.legal.order_number), ("an authority", "2026/1"));
    assert_eq!(plain.ede.as_ref().map(|e| e.code), Some(16));
    let hinted = hit("hinted.example");
    assert_eq!(hinted.action, Action::Drop);
    assert_eq!((&*hinted.rule, hinted.tier), ("hinted.example", Tier::Hint));
    assert_eq!((&*hinted.legal.authority, &*hinted.legal.order_number), ("an authority", "2026/7"));
}

#[test]
fn rules_count_from_when_until_when_they_say() {
    let mut timed = rule("x", Action::Nxdomain);
    let (effective_from, expires_at) = (Timestamp(10), Timestamp(20));
    timed.legal = Arc::new(Legal { effective_from, expires_at, ..Legal::default() });
    let settings = FeedSettings { subtree: true, ..plain() };
    let set = set(&[of_rules("f", &[timed, rule("*", Action::Drop)], settings)]);
    let acts =
        |now| acting(&set.answer(&name("x"), &AnswerFacts::default(), Timestamp(now)).outcome());
    for (now, expected) in [(9, "f/*"), (10, "f/x"), (19, "f/x"), (20, "f/*")] {
        assert_eq!(acts(now), expected, "{now}");
    }
    let boundaries = [0, 10, 20].map(|now| set.next_boundary(Timestamp(now)));
    assert_eq!(boundaries, [Some(Timestamp(10)), Some(Timestamp(20)), None]);
}

#[test]
fn allow_rules_win_where_feeds_let_them() {
    let firm = FeedSettings { allow_may_win: false, ..plain() };
    let instant = feed("instant", &["now.example"], firm.clone());
    let allow = feed("allow", &["both.example", "now.example", "first.example"], plain());
    let extras =
        Extras { instant: Some(instant), allow: Some(allow), suspended: Vec::new(), warns: false };
    let feeds = vec![
        feed("yields", &["first.example", "both.example", "now.example"], plain()),
        feed("firm", &["both.example"], firm),
    ];
    let set = PolicySet::new(1, feeds, extras);
    let check = |asked: &str, expected: &str, action: &Action| {
        let outcome = set.answer(&name(asked), &AnswerFacts::default(), NOW).outcome();
        assert_eq!(acting(&outcome), expected);
        assert_eq!(&outcome.hit.unwrap().action, action);
    };
    check("first.example", "allow/first.example", &Action::Passthru);
    check("both.example", "firm/both.example", &Action::Nxdomain);
    check("now.example", "instant/now.example", &Action::Nxdomain);
}

#[test]
fn a_feed_that_must_not_be_missed_closes_the_set() {
    let missing = FeedInForce {
        name: "must".into(),
        version: 0,
        index: Arc::new(Index::empty()),
        settings: plain(),
        closed: true,
    };
    let set = set(&[feed("f", &["x"], plain()), Arc::new(missing)]);
    assert!(!set.is_empty());
    let decision = set.question(&name("x"), Matches::default(), NOW);
    assert_eq!(decision, Decision::Closed("must".into()));
}
