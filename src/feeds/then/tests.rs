//! What is told of a past moment is what was decided then.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    name::Name,
    policy::{Decision, Matches, Thing, Tier},
    record::{Head, LaneId, Row as _, RuleRow, SchemaId, Table, rowbinary::Reader},
};

/// Around which rules begin and end, in microseconds: any times, and next to one another.
const BEGIN: i64 = 1_700_000_000_000_000;

fn times() -> impl Strategy<Value = [Timestamp; 2]> {
    let time = || prop_oneof![Just(0), BEGIN..BEGIN + 4, Just(BEGIN + 1_000_000)];
    [time(), time()].prop_map(|times| times.map(Timestamp))
}

/// What the table `rules` gives back of a rule.
fn kept(rule: &Rule, settings: &FeedSettings) -> Map<String, Value> {
    let legal = settings.legal_of(&rule.legal);
    let (trigger, all) = (rule.trigger.to_string(), json!(*legal).to_string());
    let row = RuleRow {
        feed: "f",
        version: "7",
        rule: &trigger,
        trigger: "qname",
        action: rule.action.name(),
        tier: legal.tier.unwrap_or(settings.tier).name(),
        authority: &legal.authority,
        order_number: &legal.order_number,
        effective_from: legal.effective_from,
        expires_at: legal.expires_at,
        text: "",
        legal: &all,
    };
    let node = "n1".parse().unwrap();
    let head = Head { node: &node, lane: LaneId(0), seq: 0, ts: Timestamp::ZERO };
    let mut bytes = Vec::new();
    row.encode(&head, &mut bytes);
    SchemaId::newest(Table::Rules).read_json(&mut Reader(&bytes)).unwrap()
}

/// What is decided about a name, without policy's telling of it.
fn decided(set: &PolicySet, name: &Name, at: Timestamp) -> &'static str {
    match set.question(name, Matches::default(), at) {
        Decision::Decided(outcome) => outcome.hit.map_or("none", |hit| hit.action.name()),
        _ => set
            .answer(name, &Default::default(), at)
            .outcome()
            .hit
            .map_or("none", |hit| hit.action.name()),
    }
}

proptest! {
    /// `effective_from` is the first moment at which a rule counts, `expires_at` the first at which
    /// it does not, for decisions and for what is told of them later alike.
    #[test]
    fn the_past_is_told_as_it_was_decided(
        exact in times(),
        wildcard in times(),
        at in BEGIN - 2..BEGIN + 6,
    ) {
        let spec = r#"{"name": "f", "source": "/lists/f", "format": "domains"}"#;
        let spec = FeedSpec::read(spec).unwrap();
        let settings = spec.settings();
        let rule = |trigger: &str, action, [effective_from, expires_at]: [Timestamp; 2]| Rule {
            trigger: trigger.parse().unwrap(),
            action,
            legal: Arc::new(Legal { effective_from, expires_at, ..Legal::default() }),
        };
        let rules =
            [rule("a.test", Action::Nodata, exact), rule("*.test", Action::Nxdomain, wildcard)];
        let in_force = FeedInForce {
            name: "f".into(),
            version: 7,
            index: Arc::new(index(rules.iter().cloned())),
            settings: settings.clone(),
            closed: false,
        };
        let set = PolicySet::new(1, vec![Arc::new(in_force)], Extras::default());
        let rows: Vec<_> = rules.iter().map(|r| kept(r, &settings)).collect();
        let feed = FeedRow {
            name: "f".into(),
            spec: spec.to_json().unwrap(),
            added: 1,
            changed_at: Timestamp::ZERO,
            changed_by: String::new(),
            version: 7,
            version_event: 2,
            read_by: spec.to_json().unwrap(),
            newest: 7,
            newest_failed: false,
        };
        let standing = Standing { feeds: vec![feed], ..Standing::default() };
        for at in [Timestamp(at), Timestamp(BEGIN + 999_999), Timestamp(BEGIN + 1_000_000)] {
            let past = then(&standing, at, false, |_| rows.iter().collect());
            for name in ["a.test", "b.test"] {
                let name = Name::from_text(name).unwrap();
                let thing = Thing::Name(Box::new(name));
                let decided = decided(&set, &name, at);
                let told = past.explain(&thing, at);
                prop_assert_eq!(told.decision, decided);
                prop_assert_eq!(set.explain(&thing, at).decision, decided);
                // A rule that acts says that it does, and no other one.
                let acting = told.listings.iter().filter(|l| l.effect.name() == "acts");
                prop_assert_eq!(acting.count(), usize::from(decided != "none"));
                // The same in plain words, for the rule about the name itself.
                let [from, until] = exact;
                let counts = from <= at && (until == Timestamp::ZERO || at < until);
                if thing == Thing::Name(Box::new(Name::from_text("a.test").unwrap())) {
                    prop_assert_eq!(decided == "nodata", counts);
                }
            }
        }
    }
}

#[test]
fn a_tier_is_kept_beside_the_times() {
    let settings = FeedSettings { tier: Tier::Hint, ..FeedSettings::default() };
    for own in [None, Some(Tier::Interstitial)] {
        let rule = Rule {
            trigger: "a.test".parse().unwrap(),
            action: Action::Nxdomain,
            legal: Arc::new(Legal { tier: own, ..Legal::default() }),
        };
        let back = rule_of(&kept(&rule, &settings)).unwrap();
        assert_eq!((back.legal.tier, back.legal.expires_at), (own, Timestamp::ZERO));
    }
}

fn then_of(settings: Value, failed: bool, legal: &str) -> PolicySet {
    let mut spec = json!({"name": "bureau", "source": "/l/bureau", "format": "domains"});
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, settings) {
        spec.extend(more);
    }
    let feed = FeedRow {
        name: "bureau".into(),
        spec: spec.to_string(),
        added: 1,
        changed_at: Timestamp::ZERO,
        changed_by: String::new(),
        version: 1,
        version_event: 3,
        read_by: spec.to_string(),
        newest: 2,
        newest_failed: failed,
    };
    let standing = Standing { feeds: vec![feed], ..Standing::default() };
    let row = json!({"rule": "bad.example", "action": "nxdomain", "tier": "block", "legal": legal});
    then(&standing, Timestamp::ZERO, false, |_| vec![row.as_object().unwrap()])
}

#[test]
fn a_tier_is_the_rules_own_or_what_the_feed_said_then() {
    for (legal, expected) in
        [("{}", Tier::Hint), (r#"{"tier":null}"#, Tier::Hint), (r#"{"tier":"block"}"#, Tier::Block)]
    {
        let set = then_of(json!({"tier": "hint"}), false, legal);
        let name = Name::from_text("bad.example").unwrap();
        let told = set.explain(&Thing::Name(Box::new(name)), Timestamp::ZERO);
        assert_eq!(told.listings.first().map(|l| l.tier), Some(expected), "{legal}");
    }
}

#[test]
fn a_feed_that_failed_then_did_as_it_declared() {
    let check = |mode: &str, failed, feeds, closed| {
        let set = then_of(json!({"on_failure": mode}), failed, "{}");
        assert_eq!((set.feeds().count(), set.closed().is_some()), (feeds, closed), "{mode}");
    };
    check("closed", false, 1, false);
    check("closed", true, 1, true);
    check("open", true, 0, false);
    check("keep-last", true, 1, false);
}
