//! What makes rules reach further: judged before it takes force, however it came about.

use std::sync::Arc;

use serde_json::{Value, json};
use tracegate::feeds::{Took, blast};

use crate::feeds_lab::{Machine, Node, by};

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
    assert!(!node.blocks("corp.example.org"), "an apex served here");
    let outcome = node.refresh("bureau");
    assert_eq!((outcome.version, outcome.accepted, outcome.rejected), (2, 1, 1));
    assert!(node.blocks("www.bad.example") && !node.blocks("corp.example.org"));
    // What was judged without what is below takes force without it.
    node.with(|f| f.rollback("bureau", Some(1), &by("bob"))).unwrap();
    assert!(node.blocks("example.org") && node.blocks("bad.example"));
    assert!(!node.blocks("corp.example.org") && !node.blocks("www.bad.example"));
    node.end();
    let node = machine.node("n1");
    assert!(node.blocks("example.org") && !node.blocks("corp.example.org"), "restarted");
}

#[test]
fn rules_that_were_only_counted_act_once_their_effect_was_judged() {
    let mut machine = Machine::new();
    machine.config.blast_hours = 24;
    machine.write("bureau", "big.example\n");
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
    let mut spec = machine.spec("bureau");
    spec["action"] = json!("observe");
    node.add(&spec);
    assert_eq!(node.refresh("bureau").outcome, Took::InForce, "it changes nothing");
    spec["action"] = json!("given");
    change(&node, &spec);
    assert_eq!(node.decides("big.example"), None);
    let held = node.refresh("bureau");
    assert_eq!((held.outcome, held.version), (Took::Held, 2));
    assert_eq!(held.findings["held_for"][0]["why"], "blast");
    assert_eq!(node.decides("big.example"), None);
    node.with(|f| f.approve("bureau", None, &by("bob"))).unwrap();
    assert!(node.blocks("big.example"));
    spec["action"] = json!("observe");
    change(&node, &spec);
    assert_eq!(node.decides("big.example"), None, "at once");
}
