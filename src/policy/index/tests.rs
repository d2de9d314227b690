use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{clock::Timestamp, policy::LocalRecord};

fn actions() -> impl Strategy<Value = Action> {
    let record = |n: u8| LocalRecord { rtype: 1, ttl: 60, rdata: [n].into() };
    prop_oneof![
        4 => Just(Action::Nxdomain),
        1 => Just(Action::Passthru),
        1 => Just(Action::Cname(b"\x01c\0"[..].into())),
        1 => Just(Action::CnameBelow(b"\x01d\0"[..].into())),
        1 => (0..3u8).prop_map(move |n| Action::LocalData([record(n)].into())),
    ]
}

fn legals() -> impl Strategy<Value = Arc<Legal>> {
    (0..3i64).prop_map(|n| {
        Arc::new(Legal {
            order_number: n.to_string().into(),
            tier: (n == 1).then_some(crate::policy::Tier::Hint),
            expires_at: Timestamp(n),
            ..Legal::default()
        })
    })
}

/// Triggers of all kinds, among so few that they meet.
fn triggers() -> impl Strategy<Value = Trigger> {
    (0..18u8, 0..40u32).prop_map(|(kind, n)| {
        let text = match kind {
            0..5 => format!("n{}.d{}.example", n, n % 3),
            5 => format!("*.d{}.example", n % 7),
            6 => format!("ns{n}.example.rpz-nsdname"),
            7 => format!("24.0.{n}.0.10.rpz-ip"),
            8 => format!("48.zz.{n:x}.db8.2001.rpz-client-ip"),
            9 => format!("32.1.{n}.0.10.rpz-nsip"),
            10 => format!("url:e{n}.example/{}", "x".repeat(n as usize * 10)),
            11 => format!("url-prefix:e{n}.example/a/"),
            12 => format!("url-host:e{n}.example"),
            13 => format!("url-nocase:e{n}.example/A?B"),
            14 => format!("url-prefix-nocase:e{n}.example/A/"),
            _ => format!("code:c{n}"),
        };
        text.parse().unwrap()
    })
}

fn rules(count: usize) -> impl Strategy<Value = Vec<Rule>> {
    let rule = (triggers(), actions(), legals()).prop_map(|(trigger, action, legal)| Rule {
        trigger,
        action,
        legal,
    });
    vec(rule, 0..count)
}

/// What the builder promises, by text of trigger.
type Model = BTreeMap<String, Rule>;

fn add_to_model(model: &mut Model, rule: &Rule) -> Added {
    let Some(old) = model.get_mut(&rule.trigger.to_string()) else {
        model.insert(rule.trigger.to_string(), rule.clone());
        return Added::New;
    };
    if old == rule {
        return Added::Duplicate;
    }
    let (Action::LocalData(had), Action::LocalData(more)) = (&old.action, &rule.action) else {
        return Added::Conflict;
    };
    let fresh: Vec<_> = more.iter().filter(|r| !had.contains(r)).cloned().collect();
    if fresh.is_empty() {
        return Added::Duplicate;
    }
    old.action = Action::LocalData([&had[..], &fresh].concat().into());
    Added::Merged
}

fn add_all(mut builder: IndexBuilder, model: &mut Model, rules: &[Rule]) -> Index {
    for rule in rules {
        assert_eq!(builder.add(rule), add_to_model(model, rule), "{rule:?}");
    }
    assert_eq!(builder.len(), model.len());
    builder.finish()
}

fn check(index: &Index, model: &Model) {
    assert_eq!(index.len(), model.len());
    let listed: Model = index.iter().map(|r| (r.trigger.to_string(), r)).collect();
    assert_eq!(&listed, model);
    for rule in model.values() {
        assert_eq!(index.get(&rule.trigger).as_ref(), Some(rule));
    }
    assert_eq!(index.get(&"not.there".parse().unwrap()), None);
}

fn read(bytes: &[u8]) -> Result<Index, BadIndex> {
    Index::read(&mut &bytes[..])
}

fn written(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.write(&mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn versions_hold_what_was_given(versions in vec(rules(120), 1..6)) {
        let mut index = Index::empty();
        for rules in &versions {
            let mut model = Model::new();
            let next = add_all(index.next(), &mut model, rules);
            check(&next, &model);
            check(&read(&written(&next)).unwrap(), &model);
            index = next;
        }
    }

    #[test]
    fn edits_change_what_they_say(
        first in rules(200), edits in vec((vec(triggers(), 0..30), rules(30)), 0..6),
    ) {
        let mut model = Model::new();
        let mut index = add_all(Index::builder(), &mut model, &first);
        for (removed, added) in &edits {
            let before = model.clone();
            let mut builder = index.edit();
            for trigger in removed {
                prop_assert_eq!(builder.remove(trigger), model.remove(&trigger.to_string()).is_some());
            }
            let next = add_all(builder, &mut model, added);
            check(&next, &model);
            // Those who still hold the former version see what they saw.
            check(&index, &before);
            check(&read(&written(&next)).unwrap(), &model);
            index = next;
        }
    }
}

/// The `n`th of many rules.
fn nth(n: u32, action: Action) -> Rule {
    let trigger = format!("host-{n}.of-{}.example", n % 1000).parse().unwrap();
    Rule { trigger, action, legal: Arc::default() }
}

fn of(builder: IndexBuilder, rules: impl Iterator<Item = Rule>) -> Index {
    let mut builder = builder;
    rules.for_each(|rule| assert_eq!(builder.add(&rule), Added::New));
    builder.finish()
}

fn shared_with(a: &Index, b: &Index) -> usize {
    a.shards.iter().zip(&b.shards).filter(|(a, b)| Arc::ptr_eq(&a.base, &b.base)).count()
}

#[test]
fn versions_share_what_did_not_change() {
    // Many enough that no shard is small by chance: small ones are always written anew.
    const COUNT: u32 = 40_000;
    let mut index = of(Index::builder(), (0..COUNT).map(|n| nth(n, Action::Nxdomain)));
    let alone = index.memory_bytes();
    for version in 1..25 {
        // Three in a hundred leave and as many come.
        let begin = version * COUNT * 3 / 100;
        let next = of(index.next(), (begin..begin + COUNT).map(|n| nth(n, Action::Nxdomain)));
        assert!(shared_with(&index, &next) >= SHARDS - builder::ANEW_MAX, "version {version}");
        assert_eq!(next.len(), COUNT as usize);
        assert!(next.get(&nth(begin, Action::Drop).trigger).is_some());
        assert_eq!(next.get(&nth(begin - 1, Action::Drop).trigger), None);
        assert!(next.memory_bytes() < alone * 13 / 10, "{} of {alone}", next.memory_bytes());
        index = next;
    }
    // A list that is all new is written anew.
    let next = of(index.next(), (0..COUNT).map(|n| nth(n, Action::Nodata)));
    assert_eq!(shared_with(&index, &next), 0);
    assert!(next.memory_bytes() < alone * 11 / 10);
    assert_eq!(next.len(), COUNT as usize);
    assert!((0..COUNT).all(|n| {
        let rule = nth(n, Action::Nodata);
        next.get(&rule.trigger) == Some(rule)
    }));
}

#[test]
fn classes_that_nobody_has_are_left_behind() {
    let rules = |version: u32| {
        (0..2000).map(move |n| {
            let order_number = format!("{version}/{n}").into();
            let legal = Legal { order_number, ..Legal::default() };
            Rule { legal: Arc::new(legal), ..nth(n, Action::Nxdomain) }
        })
    };
    let mut index = of(Index::builder(), rules(0));
    for version in 1..10 {
        index = of(index.next(), rules(version));
        assert!(index.classes.len() <= 2 * 2000 + 1024, "{}", index.classes.len());
        let rule = rules(version).next_back().unwrap();
        assert_eq!(index.get(&rule.trigger), Some(rule));
    }
}

#[test]
fn a_rule_takes_no_more_than_forty_bytes() {
    let index = of(Index::builder(), (0..50_000).map(|n| nth(n, Action::Nxdomain)));
    let each = index.memory_bytes() as f64 / index.len() as f64;
    assert!(each < 40.0, "{each}");
}

#[test]
fn damage_is_an_error() {
    let index = of(Index::builder(), (0..100).map(|n| nth(n, Action::Nxdomain)));
    let bytes = written(&index);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(matches!(read(&damaged), Err(BadIndex::Corrupt)), "byte {at}");
        assert!(matches!(read(&bytes[..at]), Err(BadIndex::Corrupt)), "cut at {at}");
    }
}

/// Whatever a file holds whose checksums are right, looking up ends, and without a panic.
fn look_around(mut bytes: Vec<u8>) {
    sign(&mut bytes);
    let Ok(index) = read(&bytes) else { return };
    let name = b"\x01a\x07example\0";
    index.find_name(Tag::QNAME, name, true, |_| false);
    index.find_address(Tag::CLIENT, [10, 0, 0, 1].into(), |_, _| false);
    index.find_text(Tag::UrlHost, "example");
    index.iter().take(1000).for_each(drop);
    let mut next = index.edit();
    next.add(&nth(1, Action::Drop));
    next.finish().iter().take(1000).for_each(drop);
}

/// Sets right the checksums of an index's parts, as far as there are any.
fn sign(bytes: &mut [u8]) {
    let number = |bytes: &[u8], at: usize, len: usize| {
        let mut number = [0; 8];
        number[..len].copy_from_slice(bytes.get(at..at + len)?);
        usize::try_from(u64::from_le_bytes(number)).ok()
    };
    let sign_part = |bytes: &mut [u8], from: usize, to: usize| {
        let crc = crc32c::crc32c(bytes.get(from..to)?);
        bytes.get_mut(to..to + 4)?.copy_from_slice(&crc.to_le_bytes());
        Some(to + 4)
    };
    let head = 8 * (1 + 2 + 4 * Tag::COUNT + 1);
    let classes = number(bytes, head - 8, 8).filter(|len| *len < bytes.len());
    let mut at = classes.and_then(|len| sign_part(bytes, 0, head + len));
    while let Some(from) = at {
        at = number(bytes, from, 4)
            .zip(number(bytes, from + 4, 4))
            .and_then(|(slots, len)| sign_part(bytes, from, from + 8 + 5 * slots + len));
    }
}

#[test]
fn signing_is_as_writing() {
    let bytes = written(&of(Index::builder(), (0..100).map(|n| nth(n, Action::Nxdomain))));
    let mut again = bytes.clone();
    sign(&mut again);
    assert_eq!(again, bytes);
}

#[test]
fn fuzz_index_files() {
    let rules = (0..20).map(|n| nth(n, Action::Nxdomain));
    let bytes = written(&of(Index::builder(), rules));
    bolero::check!().with_type().for_each(|changes: &Vec<(u16, u8)>| {
        let mut bytes = bytes.clone();
        for (at, value) in changes {
            let at = usize::from(*at) % bytes.len();
            bytes[at] = *value;
        }
        look_around(bytes);
    });
}
