//! What feeds and the operator's own rules may be at most, and what happens at the limit.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tracegate::{
    clock::Timestamp,
    feeds::{
        AppealStatus, By, Error, Needed, NewAllow, NewAppeal, NewBlock, OwnRule, SpecError, Took,
    },
    name::Name,
    policy::{Action, AnswerFacts},
    record::Table,
};

use crate::{
    feeds_lab::{BEGIN, Machine, Node, by},
    harness::eventually,
};

fn because(reason: &str) -> By {
    By { reason: reason.into(), ..by("alice") }
}

fn block(node: &Node, what: &str, seconds: u64) -> Result<OwnRule, Error> {
    let block = NewBlock { what: what.into(), seconds, ..NewBlock::default() };
    node.with(|f| f.block_now(&block, &by("alice")))
}

fn allow(node: &Node, what: &str, expires: Timestamp, reason: &str) -> Result<OwnRule, Error> {
    let allow = NewAllow { what: what.into(), owner: String::new(), expires };
    node.with(|f| f.allow(&allow, &because(reason)))
}

fn appeal(node: &Node, what: &str, contact: &str, reason: &str) -> Result<u64, Error> {
    let appeal = NewAppeal { feed: String::new(), what: what.into(), claimant: contact.into() };
    node.with(|f| f.open_appeal(&appeal, &because(reason))).map(|a| a.id)
}

fn after(seconds: u64) -> Timestamp {
    BEGIN.saturating_add(Duration::from_secs(seconds))
}

#[test]
fn there_are_so_many_feeds() {
    let mut machine = Machine::new();
    machine.config.feeds_max = 2;
    let node = machine.node("n1");
    let add = |name: &str| node.with(|f| f.add(&machine.spec(name).to_string(), &by("alice")));
    add("one").unwrap();
    add("two").unwrap();
    let third = add("three");
    assert!(matches!(third, Err(Error::TooMany("feeds", 2))), "{third:?}");
    node.with(|f| f.remove("one", &by("alice"))).unwrap();
    add("three").unwrap();
}

#[test]
fn there_are_so_many_own_rules_of_each_kind() {
    let mut machine = Machine::new();
    machine.config.own_rules_max = 2;
    let node = machine.node("n1");
    let first = block(&node, "a.example", 0).unwrap();
    block(&node, "b.example", 0).unwrap();
    let third = block(&node, "c.example", 0);
    assert!(matches!(third, Err(Error::TooMany("own rules", 2))), "{third:?}");
    assert!(!node.blocks("c.example"));
    for what in ["a.example", "b.example"] {
        allow(&node, what, Timestamp::ZERO, "ours").unwrap();
    }
    let third = allow(&node, "c.example", Timestamp::ZERO, "ours");
    assert!(matches!(third, Err(Error::TooMany("own rules", 2))), "{third:?}");
    // What was ended, and what ended by itself, makes room.
    node.with(|f| f.lift(first.id, &by("bob"))).unwrap();
    block(&node, "c.example", 0).unwrap();
    machine.clock.advance(Duration::from_secs(machine.config.block_unconfirmed_s));
    block(&node, "d.example", 0).unwrap();
    block(&node, "e.example", 0).unwrap();
}

#[test]
fn there_are_so_many_open_appeals() {
    let mut machine = Machine::new();
    machine.config.appeals_open_max = 2;
    let node = machine.node("n1");
    let open = |what: &str| appeal(&node, what, "tel:+86-10-1", "it is ours");
    let first = open("a.example").unwrap();
    open("b.example").unwrap();
    let third = open("c.example");
    assert!(matches!(third, Err(Error::TooMany("appeals", 2))), "{third:?}");
    node.with(|f| f.decide_appeal(first, AppealStatus::Refused, &by("judge"))).unwrap();
    open("c.example").unwrap();
}

#[test]
fn allow_rules_and_appeals_say_why() {
    let machine = Machine::new();
    let node = machine.node("n1");
    for reason in ["", " \t"] {
        let silent = allow(&node, "a.example", Timestamp::ZERO, reason);
        assert!(matches!(silent, Err(Error::Missing(Needed::Reason))), "{silent:?}");
        let silent = appeal(&node, "a.example", "tel:+86-10-1", reason);
        assert!(matches!(silent, Err(Error::Missing(Needed::Reason))), "{silent:?}");
        let nobody = appeal(&node, "a.example", reason, "it is ours");
        assert!(matches!(nobody, Err(Error::Missing(Needed::Contact))), "{nobody:?}");
    }
    let rule = allow(&node, "a.example", Timestamp::ZERO, "it is ours").unwrap();
    assert_eq!((rule.owner.as_str(), rule.reason.as_str()), ("alice", "it is ours"));
    assert_eq!(node.decides("a.example"), Some(("allow".into(), "passthru")));
}

#[test]
fn no_own_rule_is_for_ever() {
    let mut machine = Machine::new();
    (machine.config.block_s, machine.config.block_s_max) = (600, 1_000);
    (machine.config.block_unconfirmed_s, machine.config.allow_s_max) = (60, 500);
    let node = machine.node("n1");
    let over = block(&node, "a.example", 1_001);
    assert!(matches!(over, Err(Error::TooLate(1_000))), "{over:?}");
    let longest = block(&node, "a.example", 1_000).unwrap();
    assert_eq!((longest.expires, longest.expires_confirmed), (after(60), after(1_000)));
    let usual = block(&node, "b.example", 0).unwrap();
    assert_eq!(usual.expires_confirmed, after(600));
    node.with(|f| f.confirm(longest.id, &by("bob"))).unwrap();

    let over = allow(&node, "c.example", after(501), "ours");
    assert!(matches!(over, Err(Error::TooLate(500))), "{over:?}");
    assert_eq!(allow(&node, "c.example", after(500), "ours").unwrap().expires, after(500));
    let unsaid = allow(&node, "d.example", Timestamp::ZERO, "ours").unwrap();
    assert_eq!(unsaid.expires, after(500), "who does not say until when gets the longest");

    let now = |seconds| machine.clock.set(after(seconds));
    now(59);
    assert!(node.blocks("b.example"));
    now(60);
    assert!(!node.blocks("b.example") && node.blocks("a.example"), "the confirmed one goes on");
    now(499);
    assert!(node.decides("d.example").is_some());
    now(500);
    assert_eq!((node.decides("c.example"), node.decides("d.example")), (None, None));
    now(999);
    assert!(node.blocks("a.example"));
    now(1_000);
    assert!(!node.blocks("a.example"));
}

#[test]
fn what_people_write_has_a_length() {
    let mut machine = Machine::new();
    machine.config.note_bytes_max = 64;
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    let (fits, longer) = ("x".repeat(64), "x".repeat(65));
    let too_long = |done: Result<(), Error>| matches!(done, Err(Error::TooLong(64)));
    let mut spec = machine.spec("bureau");
    spec["authority"] = json!(longer);
    let refused = node.with(|f| f.add(&spec.to_string(), &because(&fits)));
    assert!(matches!(&refused, Err(Error::Spec(e)) if e.key == "authority"), "{refused:?}");
    spec["authority"] = json!(fits);
    let add = |reason: &str| node.with(|f| f.add(&spec.to_string(), &because(reason)));
    assert!(too_long(add(&longer).map(drop)));
    add(&fits).unwrap();
    let refresh =
        |reason: &str| node.runtime.block_on(node.feeds.refresh("bureau", &because(reason)));
    assert!(too_long(refresh(&longer).map(drop)));
    assert_eq!(refresh(&fits).unwrap().outcome, Took::InForce);
    let ours = |reason: &str| allow(&node, "a.example", Timestamp::ZERO, reason);
    assert!(too_long(ours(&longer).map(drop)));
    ours(&fits).unwrap();
    assert!(too_long(appeal(&node, "a.example", &longer, "why").map(drop)));
    assert!(too_long(appeal(&node, "a.example", "me", &longer).map(drop)));
    let id = appeal(&node, "a.example", &fits, &fits).unwrap();
    let decide =
        |reason: &str| node.with(|f| f.decide_appeal(id, AppealStatus::Refused, &because(reason)));
    assert!(too_long(decide(&longer).map(drop)));
    decide(&fits).unwrap();
}

#[test]
fn sources_are_not_asked_too_often() {
    let mut machine = Machine::new();
    machine.config.refresh_s_min = 30;
    let node = machine.node("n1");
    let add = |seconds: u64| {
        let mut spec = machine.spec("bureau");
        spec["refresh_s"] = json!(seconds);
        node.with(|f| f.add(&spec.to_string(), &by("alice")))
    };
    let refused = add(29);
    let key = |e: &SpecError| e.key == "refresh_s";
    assert!(matches!(&refused, Err(Error::Spec(e)) if key(e)), "{refused:?}");
    assert_eq!(add(30).unwrap().refresh_s, 30);
}

#[test]
fn wrong_lines_are_kept_up_to_a_number_and_a_length() {
    let mut machine = Machine::new();
    (machine.config.rejected_kept_max, machine.config.rejected_text_bytes_max) = (2, 16);
    machine.write("bureau", "not a name at all\nbad.example\n..\ncom\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    let outcome = node.refresh("bureau");
    assert_eq!((outcome.accepted, outcome.rejected), (1, 3), "all of them are counted");
    let kept = node.with(|f| f.rejected("bureau", 1, 0, 99)).unwrap();
    let kept: Vec<_> = kept.iter().map(|r| (r.line, r.text.as_str())).collect();
    assert_eq!(kept, [(1, "not a name at al"), (3, "..")]);
}

#[test]
fn a_manifest_has_a_length() {
    let mut machine = Machine::new();
    machine.config.companion_bytes_max = 1_024;
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    spec["options"] = json!({"manifest": "law.json"});
    let law = r#"{"legal": {"authority": "CAC"}}"#;
    machine.write("law.json", &format!("{law:1025}"));
    node.add(&spec);
    let refused = node.refresh("bureau");
    assert_eq!(refused.outcome, Took::Failed);
    assert!(refused.problem.as_ref().unwrap().contains("1024"), "{refused:?}");
    machine.write("law.json", &format!("{law:1024}"));
    assert_eq!(node.refresh("bureau").outcome, Took::InForce);
    assert!(node.blocks("bad.example"));
}

#[test]
fn what_a_list_answers_with_lives_so_long() {
    let mut machine = Machine::new();
    (machine.config.ttl_s, machine.config.ttl_max_s) = (30, 60);
    machine.write("zone", "a.example 60 A 192.0.2.1\nb.example 61 A 192.0.2.1\n");
    let node = machine.node("n1");
    let mut spec = machine.spec("zone");
    spec["format"] = json!("rpz");
    node.add(&spec);
    assert_eq!(node.refresh("zone").accepted, 2);
    for name in ["a.example", "b.example"] {
        let (set, name) = (node.in_force.load_full(), Name::from_text(name).unwrap());
        let hit = set.answer(&name, &AnswerFacts::default(), BEGIN).outcome().hit.unwrap();
        let Action::LocalData(records) = &hit.action else { panic!("{:?}", hit.action) };
        assert_eq!(records[0].ttl, 60, "{name}");
    }
}

#[test]
fn the_past_is_asked_for_so_much_and_waited_for_so_long() {
    let mut machine = Machine::new();
    machine.config.blast_hours = 24;
    (machine.config.blast_kinds_max, machine.config.blast_timeout_ms) = (1_234, 100);
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    node.feeds.ask_past_with(Arc::new(|ask| {
        assert_eq!((ask.kinds_max, ask.timeout_ms), (1_234, 100));
        Box::pin(std::future::pending())
    }));
    node.add(&machine.spec("bureau"));
    let outcome = node.refresh("bureau");
    assert_eq!(outcome.findings["blast"]["unknown"], "the store did not answer in time");
}

#[test]
fn a_source_may_be_away_so_many_times() {
    let mut machine = Machine::new();
    machine.config.stale_refreshes = 2;
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    node.run();
    node.add(&machine.spec("bureau"));
    eventually("the first version", || node.blocks("bad.example").then_some(()));
    std::fs::remove_file(machine.list("bureau")).unwrap();
    eventually("a problem is told", || node.with(|f| f.status("bureau")).unwrap().source.problem);
    // A source that is asked more often than every ten seconds counts as one asked so often.
    machine.clock.set(after(20));
    assert_eq!(node.feeds.why_not(), None);
    machine.clock.set(after(21));
    let why = node.feeds.why_not().unwrap();
    assert!(why.contains("bureau: stale since"), "{why}");
    machine.write("bureau", "bad.example\n");
    eventually("it is there again", || node.feeds.why_not().is_none().then_some(()));
}

#[test]
fn records_of_rules_wait_while_the_spool_is_fuller_than_their_share() {
    let mut machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    // One segment is more than this.
    (machine.spool_bytes_max, machine.config.rules_spool_percent) = (16 << 20, 1);
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    assert!(node.blocks("bad.example"), "rules are in force all the same");
    // They would be written in no time.
    let writing = Arc::clone(&node.feeds).write_rows();
    let in_time = async { tokio::time::timeout(Duration::from_millis(500), writing).await };
    node.runtime.block_on(in_time).unwrap_err();
    assert!(node.end()[&Table::Rules].is_empty());
    machine.config.rules_spool_percent = 90;
    let node = machine.node("n1");
    node.run();
    eventually("room for them", || {
        let mark = node.with(|f| f.store().mark("rules:bureau")).unwrap()?;
        mark.contains("\"written\":1").then_some(())
    });
    assert_eq!(node.end()[&Table::Rules].len(), 1);
}
