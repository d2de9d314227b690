//! What makes rules reach further: judged before it takes force, however it came about.

use std::{fs, sync::Arc};

use serde_json::{Value, json};
use tracegate::{
    feeds::{NewAllow, Took, blast},
    name::Name,
    policy::AnswerFacts,
};

use crate::feeds_lab::{BEGIN, Machine, Node, by};

fn change(node: &Node, spec: &Value) {
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
}

#[test]
fn what_is_below_a_listed_name_is_protected_when_that_comes_to_mean_it() {
    let machine = Machine::new();
    machine.write("bureau", "example.org\nbad.example\n");
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    assert_eq!(node.refresh("bureau").accepted, 2, "the name itself is nobody's");
    spec["subtree"] = json!(true);
    change(&node, &spec);
    let judged = node.with(|f| f.version("bureau", 2)).unwrap().judgement.unwrap();
    assert_eq!((judged.accepted, judged.rejected), (1, 1), "an apex served here");
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged);
    assert!(node.blocks("www.bad.example") && !node.blocks("corp.example.org"));
    // What was judged without what is below takes force without it.
    node.with(|f| f.rollback("bureau", Some(1), &by("bob"))).unwrap();
    assert!(node.blocks("example.org") && node.blocks("bad.example"));
    assert!(!node.blocks("corp.example.org") && !node.blocks("www.bad.example"));
    node.end();
    let node = machine.node("n1");
    assert!(node.blocks("example.org") && !node.blocks("corp.example.org"), "restarted");
}

/// Makes what happened in the last hours known: `big.example` was asked for most.
fn with_past(machine: &mut Machine) -> Node {
    machine.config.blast_hours = 24;
    let node = machine.node("n1");
    let answer = |qname: &str, count| blast::PastAnswer {
        qname: qname.into(),
        count,
        ..blast::PastAnswer::default()
    };
    let past = blast::Past {
        answers: vec![answer("big.example", 3_000), answer("quiet.example", 7_000)],
        resolutions: 10_000,
        ..blast::Past::default()
    };
    node.feeds.ask_past_with(Arc::new(move |_| {
        let past = past.clone();
        Box::pin(async move { Ok(past) })
    }));
    node
}

/// The newest version is held because it would decide too much otherwise; approves it.
fn approve_after_blast(node: &Node, version: u64) {
    let status = node.with(|f| f.status("bureau")).unwrap();
    assert_eq!((status.state, status.held), ("held", vec![version]));
    let judged = node.with(|f| f.version("bureau", version)).unwrap().judgement.unwrap();
    let findings: Value = serde_json::from_str(&judged.findings).unwrap();
    assert_eq!(findings["held_for"][0]["why"], "blast");
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged, "the source has nothing new");
    node.with(|f| f.approve("bureau", None, &by("bob"))).unwrap();
}

#[test]
fn rules_that_were_only_counted_act_once_their_effect_was_judged() {
    let mut machine = Machine::new();
    machine.write("bureau", "big.example\n");
    let node = with_past(&mut machine);
    let mut spec = machine.spec("bureau");
    spec["action"] = json!("observe");
    node.add(&spec);
    assert_eq!(node.refresh("bureau").outcome, Took::InForce, "it changes nothing");
    spec["action"] = json!("given");
    change(&node, &spec);
    assert_eq!(node.decides("big.example"), None);
    approve_after_blast(&node, 2);
    assert!(node.blocks("big.example"));
    spec["action"] = json!("observe");
    change(&node, &spec);
    assert_eq!(node.decides("big.example"), None, "at once");
}

/// What is done about `big.example`, and as what it counts.
fn tier(node: &Node) -> Option<&'static str> {
    let set = node.in_force.load_full();
    let name = Name::from_text("big.example").unwrap().lower();
    let hit = set.answer(&name, &AnswerFacts::default(), BEGIN).outcome().hit?;
    Some(hit.tier.name())
}

#[test]
fn a_higher_tier_is_judged_and_a_lower_one_counts_at_once() {
    let mut machine = Machine::new();
    machine.write("bureau", "big.example\n");
    let node = with_past(&mut machine);
    let mut spec = machine.spec("bureau");
    spec["tier"] = json!("hint");
    spec["limits"] = json!({"blast_percent": 100});
    node.add(&spec);
    assert_eq!(node.refresh("bureau").outcome, Took::InForce);
    spec["limits"] = json!({});
    spec["tier"] = json!("block");
    change(&node, &spec);
    assert_eq!(tier(&node), Some("hint"));
    approve_after_blast(&node, 2);
    assert_eq!(tier(&node), Some("block"));
    spec["tier"] = json!("interstitial");
    change(&node, &spec);
    assert_eq!(tier(&node), Some("interstitial"));
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().version, 3, "no limit keeps it");
}

#[test]
fn another_place_among_the_feeds_is_judged() {
    let mut machine = Machine::new();
    machine.write("bureau", "big.example\n");
    machine.write("ours", "big.example\n");
    let node = with_past(&mut machine);
    let mut ours = machine.spec("ours");
    (ours["position"], ours["action"]) = (json!(50), json!("passthru"));
    ours["limits"] = json!({"blast_percent": 100});
    node.add(&ours);
    assert_eq!(node.refresh("ours").outcome, Took::InForce);
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    assert_eq!(node.refresh("bureau").outcome, Took::InForce, "it is overruled");
    spec["position"] = json!(10);
    change(&node, &spec);
    assert!(!node.blocks("big.example"));
    approve_after_blast(&node, 2);
    assert!(node.blocks("big.example"));
    node.with(|f| f.rollback("bureau", None, &by("bob"))).unwrap();
    assert!(!node.blocks("big.example"), "a version keeps its place");
    node.end();
    assert!(!machine.node("n1").blocks("big.example"), "restarted");
}

#[test]
fn rules_that_allow_rules_may_no_longer_overrule_are_judged() {
    let mut machine = Machine::new();
    machine.write("bureau", "big.example\n");
    let node = with_past(&mut machine);
    let allow = NewAllow { what: "big.example".into(), ..NewAllow::default() };
    node.with(|f| f.allow(&allow, &by("alice"))).unwrap();
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    node.refresh("bureau");
    spec["allow_may_win"] = json!(false);
    change(&node, &spec);
    assert!(!node.blocks("big.example"));
    approve_after_blast(&node, 2);
    assert!(node.blocks("big.example"));
    spec["allow_may_win"] = json!(true);
    change(&node, &spec);
    assert!(!node.blocks("big.example"), "at once");
}

#[test]
fn settings_are_judged_while_the_source_is_away() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    node.refresh("bureau");
    fs::remove_file(machine.list("bureau")).unwrap();
    spec["subtree"] = json!(true);
    change(&node, &spec);
    assert!(node.blocks("www.bad.example"));
    // What comes from elsewhere has to be asked for.
    spec["source"] = json!(machine.list("other"));
    spec["authority"] = json!("police");
    change(&node, &spec);
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().newest, 2);
}

#[test]
fn settings_are_judged_of_what_waits_too() {
    let machine = Machine::new();
    let many = |n: usize| (0..n).map(|i| format!("n{i}.example\n")).collect::<String>();
    machine.write("bureau", &many(100));
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    node.add(&spec);
    node.refresh("bureau");
    machine.write("bureau", &many(10));
    assert_eq!(node.refresh("bureau").outcome, Took::Held);
    spec["authority"] = json!("police");
    change(&node, &spec);
    let status = node.with(|f| f.status("bureau")).unwrap();
    assert_eq!((status.version, status.rules), (3, 100), "what was in force");
    assert_eq!((status.newest, status.state), (4, "held"));
    node.with(|f| f.approve("bureau", None, &by("bob"))).unwrap();
    assert!(node.blocks("n9.example") && !node.blocks("n10.example"));
}
