//! What a person is told of rules.

use super::*;
use crate::policy::{Extras, FeedInForce, FeedSettings, Index, Override, Suspended};

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn name(text: &str) -> Thing {
    Thing::Name(Box::new(Name::from_text(text).unwrap()))
}

fn feed(name: &str, rules: &[&str], change: impl Fn(&mut FeedSettings)) -> Arc<FeedInForce> {
    let mut index = Index::builder();
    for rule in rules {
        let (rule, legal) = match rule.split_once(' ') {
            Some((rule, "past")) => {
                (rule, Legal { expires_at: Timestamp::from_secs(9), ..Legal::default() })
            }
            Some((rule, _)) => (rule, Legal { effective_from: Timestamp::MAX, ..Legal::default() }),
            None => (*rule, Legal::default()),
        };
        let trigger = rule.parse().unwrap();
        index.add(&Rule { trigger, action: Action::Nxdomain, legal: Arc::new(legal) });
    }
    let mut settings = FeedSettings::default();
    change(&mut settings);
    Arc::new(FeedInForce {
        name: name.into(),
        version: 7,
        index: Arc::new(index.finish()),
        settings,
        closed: false,
    })
}

fn check(set: &PolicySet, thing: &Thing, decision: &str, expected: &[&str]) {
    let explained = set.explain(thing, NOW);
    let shown: Vec<_> = explained
        .listings
        .iter()
        .map(|l| format!("{} {} {}", l.feed, l.trigger, l.effect.name()))
        .collect();
    assert_eq!(
        (explained.decision, shown),
        (decision, expected.iter().map(|s| (*s).to_owned()).collect()),
        "{thing:?}"
    );
    let texts = thing.rules();
    for listing in &explained.listings {
        assert!(texts.contains(&listing.trigger.to_string()), "{}", listing.trigger);
    }
}

fn set() -> PolicySet {
    let feeds = vec![
        feed("watch", &["*.evil.example", "x.test"], |s| s.action = Override::Observe),
        feed(
            "police",
            &[
                "a.evil.example",
                "*.evil.example",
                "old.example past",
                "new.example later",
                "*.gone.example",
                "url-host:evil.example",
                "url:evil.example/a?b",
                "code:abc",
                "24.0.2.0.192.rpz-ip",
                "32.1.2.0.192.rpz-client-ip",
                "ns.evil.example.rpz-nsdname",
            ],
            |_| {},
        ),
        feed("broad", &["wide.example"], |s| s.subtree = true),
        feed("hints", &["hinted.example"], |s| s.tier = Tier::Hint),
    ];
    let suspended = vec![Suspended { feed: "police".into(), rule: "*.gone.example".into() }];
    PolicySet::new(1, feeds, Extras { suspended, ..Extras::default() })
}

#[test]
fn every_rule_about_a_name_is_told_with_its_effect() {
    let set = set();
    check(
        &set,
        &name("a.evil.example"),
        "nxdomain",
        &[
            "police a.evil.example acts",
            "watch *.evil.example observed",
            "police *.evil.example superseded",
            "police url-host:evil.example jump",
        ],
    );
    check(&set, &name("old.example"), "none", &["police old.example expired"]);
    check(&set, &name("new.example"), "none", &["police new.example not-yet"]);
    check(&set, &name("b.gone.example"), "none", &["police *.gone.example suspended"]);
    check(&set, &name("b.wide.example"), "nxdomain", &["broad wide.example acts"]);
    check(&set, &name("hinted.example"), "hint", &["hints hinted.example acts"]);
    check(&set, &name("x.test"), "none", &["watch x.test observed"]);
    check(&set, &name("good.example"), "none", &[]);
    check(
        &set,
        &name("ns.evil.example"),
        "nxdomain",
        &[
            "police *.evil.example acts",
            "watch *.evil.example observed",
            "police ns.evil.example.rpz-nsdname server",
            "police url-host:evil.example jump",
        ],
    );
}

#[test]
fn rules_are_found_by_their_own_text() {
    let set = set();
    let rule = name("24.0.2.0.192.rpz-ip");
    check(&set, &rule, "none", &["police 24.0.2.0.192.rpz-ip answer"]);
    let texts = name("*.evil.example").rules();
    assert!(texts.contains(&"*.evil.example".to_owned()), "{texts:?}");
}

#[test]
fn addresses_urls_and_codes() {
    let set = set();
    check(
        &set,
        &Thing::Address("192.0.2.1".parse().unwrap()),
        "nxdomain",
        &["police 24.0.2.0.192.rpz-ip acts", "police 32.1.2.0.192.rpz-client-ip client"],
    );
    check(
        &set,
        &Thing::Url("https://evil.example/a?b".into()),
        "nxdomain",
        &["police url:evil.example/a?b acts", "police url-host:evil.example superseded"],
    );
    let link = Thing::Link { code: "abc".into(), target: "http://www.good.example/".into() };
    check(&set, &link, "nxdomain", &["police code:abc acts"]);
}
