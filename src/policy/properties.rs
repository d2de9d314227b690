//! Random feeds, questions and answers: [`PolicySet`] against [`super::reference`].

use std::sync::Arc;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    reference::{self, Expected, RefFacts, RefFeed, Role},
    *,
};
use crate::{clock::Timestamp, name::Name};

fn names() -> impl Strategy<Value = Name> {
    let label = select(vec!["a", "b", "c"]);
    vec(label, 0..4).prop_map(|l| {
        let text = if l.is_empty() { ".".to_owned() } else { l.join(".") };
        Name::from_text(&text).unwrap()
    })
}

fn addresses() -> impl Strategy<Value = std::net::IpAddr> {
    let texts = ["10.0.0.1", "10.0.1.1", "10.1.0.1", "::1", "2001:db8::1", "2001:db8:1::1"];
    select(texts.map(|t| t.parse().unwrap()).to_vec())
}

fn triggers() -> impl Strategy<Value = Trigger> {
    let lengths = select(vec![0, 8, 16, 24, 32, 48, 128]);
    (0..8, names(), any::<bool>(), addresses(), lengths).prop_map(
        |(kind, name, wildcard, address, length)| {
            let pattern = NamePattern { name, wildcard };
            let length = if address.is_ipv4() { length.min(32) } else { length };
            let net = ipnet::IpNet::new(address, length).unwrap().trunc();
            match kind {
                0..4 => Trigger::Qname(pattern),
                4 => Trigger::ClientIp(net),
                5 => Trigger::ResponseIp(net),
                6 => Trigger::Nsdname(pattern),
                _ => Trigger::Nsip(net),
            }
        },
    )
}

fn legals() -> impl Strategy<Value = Legal> {
    let times = || prop_oneof![4 => Just(0), 1 => 1..6i64].prop_map(Timestamp::from_secs);
    let tier = prop_oneof![
        4 => Just(None),
        1 => select(vec![Tier::Hint, Tier::Interstitial, Tier::Block]).prop_map(Some),
    ];
    (times(), times(), tier).prop_map(|(effective_from, expires_at, tier)| Legal {
        effective_from,
        expires_at,
        tier,
        ..Legal::default()
    })
}

fn rules(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Rule>> {
    let rule = (triggers(), legals()).prop_map(|(trigger, legal)| Rule {
        trigger,
        action: Action::Nxdomain,
        legal: Arc::new(legal),
    });
    vec(rule, count).prop_map(|rules| {
        // A trigger is unique within a feed.
        let mut kept: Vec<Rule> = Vec::new();
        for rule in rules {
            if kept.iter().all(|k| k.trigger != rule.trigger) {
                kept.push(rule);
            }
        }
        kept
    })
}

fn settings() -> impl Strategy<Value = FeedSettings> {
    let action = prop_oneof![
        3 => Just(Override::Given),
        1 => Just(Override::Observe),
        1 => Just(Override::Action(Action::Drop)),
        1 => Just(Override::Action(Action::Passthru)),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (action, flags, prop_oneof![4 => Just(Legal::default()), 1 => legals()]).prop_map(
        |(action, (subtree, allow_may_win, qname_wait_recurse), legal)| FeedSettings {
            action,
            subtree,
            allow_may_win,
            qname_wait_recurse,
            legal,
            ..FeedSettings::default()
        },
    )
}

fn feeds() -> impl Strategy<Value = Vec<RefFeed>> {
    let feed = |role, count| {
        (settings(), rules(count), any::<[bool; 4]>()).prop_map(move |(settings, rules, off)| {
            let pairs =
                rules.iter().zip(off.into_iter().cycle().map(|off| off && role == Role::Feed));
            let suspended =
                pairs.filter(|p| p.1).map(|(rule, _)| rule.trigger.to_string()).take(2).collect();
            // Pseudo-feeds act, whatever.
            let action = if role == Role::Feed { settings.action } else { Override::Given };
            RefFeed { role, settings: FeedSettings { action, ..settings }, rules, suspended }
        })
    };
    let pseudo = |role| prop_oneof![vec(feed(role, 1..3), 0..=0), vec(feed(role, 1..3), 1..=1)];
    (pseudo(Role::Instant), pseudo(Role::Allow), vec(feed(Role::Feed, 0..6), 0..4))
        .prop_map(|(instant, allow, feeds)| [instant, allow, feeds].concat())
}

prop_compose! {
    fn facts()(
        client in addresses(),
        names in vec(names(), 1..4),
        addresses in vec(addresses(), 0..3),
        cuts in vec(proptest::option::of((vec(self::names(), 0..3), vec(self::addresses(), 0..3))), 0..4),
    ) -> RefFacts {
        RefFacts { client, names, addresses, cuts }
    }
}

fn set_of(feeds: &[RefFeed]) -> PolicySet {
    let in_force = |(i, feed): (usize, &RefFeed)| {
        let mut builder = Index::builder();
        for rule in &feed.rules {
            assert_eq!(builder.add(rule), Added::New);
        }
        Arc::new(FeedInForce {
            name: i.to_string().into(),
            version: 1,
            index: Arc::new(builder.finish()),
            settings: feed.settings.clone(),
            closed: false,
        })
    };
    let of =
        |role: Role| feeds.iter().enumerate().filter(move |(_, f)| f.role == role).map(in_force);
    let suspended = feeds.iter().enumerate().flat_map(|(i, f)| {
        let feed: Box<str> = i.to_string().into();
        f.suspended.iter().map(move |s| Suspended { feed: feed.clone(), rule: s.as_str().into() })
    });
    let extras = Extras {
        instant: of(Role::Instant).next(),
        allow: of(Role::Allow).next(),
        suspended: suspended.collect(),
        warns: false,
    };
    PolicySet::new(1, of(Role::Feed).collect(), extras)
}

fn told(outcome: &Outcome) -> Expected {
    let told = |hit: &Arc<Hit>| (hit.feed.parse().unwrap(), hit.rule.to_string());
    (outcome.hit.as_ref().map(told), outcome.observed.as_ref().map(told))
}

fn answered(set: &PolicySet, facts: &RefFacts, now: Timestamp) -> Matches {
    let cuts = facts.cuts();
    let (chain, addresses) = (&facts.names[1..], &facts.addresses[..]);
    set.answer(&facts.names[0], &AnswerFacts { chain, addresses, cuts: &cuts }, now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_same_rule_acts_as_in_the_reference(feeds in feeds(), facts in facts(), now in 0..7i64) {
        let (set, now) = (set_of(&feeds), Timestamp::from_secs(now));
        let expected = reference::decide(&feeds, &facts, now);
        let client = set.client(facts.client, now);
        let answer = answered(&set, &facts, now);
        prop_assert_eq!(told(&answer.clone().and(client.clone()).outcome()), expected.clone());
        prop_assert_eq!(answer.clone().and(client.clone()), client.clone().and(answer));

        // The first stage decides exactly what the answer cannot change.
        let early = reference::candidates(&feeds, &facts, now);
        let early = early.iter().find(|c| {
            expected.0.as_ref().is_some_and(|(feed, rule)| (c.feed, &c.rule) == (*feed, rule))
        });
        let decided = early.filter(|c| c.position == 0 && !c.late);
        match set.question(&facts.names[0], client, now) {
            Decision::None => prop_assert_eq!(expected, (None, None)),
            Decision::Decided(outcome) => prop_assert_eq!(told(&outcome), expected),
            Decision::Undecided => {
                let open = |c: &&reference::Candidate| {
                    feeds[c.feed].role == Role::Allow || reference::tells(&feeds, c)
                };
                prop_assert!(decided.is_none_or(|c| open(&c)), "{decided:?} was left open");
            }
            Decision::Closed(_) => prop_assert!(false),
        }
    }

    #[test]
    fn what_was_found_stays_true_until_the_next_boundary(
        feeds in feeds(), facts in facts(), now in 0..7i64, later in 0..7i64,
    ) {
        let set = set_of(&feeds);
        let (now, later) = (Timestamp::from_secs(now), Timestamp::from_secs(now + later));
        if set.next_boundary(now).is_none_or(|boundary| later < boundary) {
            prop_assert_eq!(answered(&set, &facts, now), answered(&set, &facts, later));
            prop_assert_eq!(set.client(facts.client, now), set.client(facts.client, later));
        }
    }

    #[test]
    fn rules_about_servers_are_told_where_the_servers_are_unknown(
        feeds in feeds(), facts in facts(), now in 0..7i64,
    ) {
        let (set, now) = (set_of(&feeds), Timestamp::from_secs(now));
        let matches = answered(&set, &facts, now).and(set.client(facts.client, now));
        let all = reference::candidates(&feeds, &facts, now);
        let unknown = (0..facts.names.len()).find(|i| facts.cuts.get(*i).is_none_or(Option::is_none));
        let expected = feeds.iter().enumerate().filter(|(i, feed)| {
            let about_servers =
                |r: &Rule| matches!(r.trigger, Trigger::Nsdname(_) | Trigger::Nsip(_));
            feed.rules.iter().any(about_servers)
                && unknown.is_some_and(|position| reference::is_open(&feeds, &all, position, *i))
        });
        let expected: Vec<_> = expected.map(|(i, _)| i.to_string()).collect();
        let told: Vec<_> = set.not_evaluable(&matches).map(|f| f.to_string()).collect();
        prop_assert_eq!(told, expected);
    }
}
