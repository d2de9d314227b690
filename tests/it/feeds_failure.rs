//! Feeds whose versions cannot be read, or can no longer be loaded: what is in force, and how that
//! ends.

use std::fs;

use serde_json::json;
use tracegate::{
    feeds::{Error, Took},
    record::Table,
};

use crate::{
    feeds_lab::{Machine, Node, by, names},
    harness::eventually,
};

/// Writes a list for each of these names and has each in force, as versions one after another.
fn versions(machine: &Machine, node: &Node, names: &[&str]) {
    for name in names {
        machine.write("bureau", &format!("{name}.example\n"));
        assert_eq!(node.refresh("bureau").outcome, Took::InForce);
    }
}

/// What a version was received as is no longer on disk, nor what was made of it.
fn damage(machine: &Machine, number: u64) {
    let versions = machine.dir.path().join("feeds/versions/bureau");
    let found = names(&versions).into_iter().find(|n| n.starts_with(&format!("{number}-")));
    let version = versions.join(found.unwrap());
    let index = names(&version).into_iter().find(|n| n.starts_with("index-")).unwrap();
    fs::remove_file(version.join(index)).unwrap();
    fs::write(version.join("list"), "good.example\n").unwrap();
}

fn closed(node: &Node) -> bool {
    node.in_force.load().closed().is_some()
}

#[test]
fn a_person_who_puts_a_version_back_ends_a_failure() {
    for mode in ["open", "closed"] {
        for (to, expected) in [(None, 2), (Some(2), 2), (Some(1), 1)] {
            let machine = Machine::new();
            let node = machine.node("n1");
            let mut spec = machine.spec("bureau");
            spec["on_failure"] = json!(mode);
            spec["limits"] = json!({"rules_max": 2});
            machine.write("bureau", "");
            node.add(&spec);
            versions(&machine, &node, &["v1", "v2"]);
            machine.write("bureau", "a.example\nb.example\nc.example\n");
            assert_eq!(node.refresh("bureau").outcome, Took::Failed);
            assert!(closed(&node) == (mode == "closed") && node.feeds.why_not().is_some());
            let back = node.with(|f| f.rollback("bureau", to, &by("bob"))).unwrap();
            assert_eq!(back, expected, "{mode}, {to:?}");
            assert!(!closed(&node) && node.blocks(&format!("v{expected}.example")), "{mode}");
            assert_eq!(node.feeds.why_not(), None);
            let again = node.with(|f| f.rollback("bureau", Some(expected), &by("bob")));
            assert!(matches!(again, Err(Error::InForceAlready)), "{again:?}");
            assert_eq!(node.refresh("bureau").outcome, Took::Unchanged, "the same broken list");
            node.end();
            let node = machine.node("n1");
            assert!(!closed(&node) && node.blocks(&format!("v{expected}.example")), "restarted");
        }
    }
}

#[test]
fn approving_what_was_held_before_ends_a_failure() {
    let machine = Machine::new();
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    spec["on_failure"] = json!("closed");
    spec["limits"] = json!({"rules_max": 2});
    machine.write("bureau", "");
    node.add(&spec);
    versions(&machine, &node, &["v1"]);
    machine.write("bureau", "");
    assert_eq!(node.refresh("bureau").outcome, Took::Held);
    machine.write("bureau", "a.example\nb.example\nc.example\n");
    assert_eq!(node.refresh("bureau").outcome, Took::Failed);
    assert!(closed(&node));
    assert_eq!(node.with(|f| f.approve("bureau", None, &by("bob"))).unwrap(), 2);
    assert!(!closed(&node) && !node.blocks("v1.example"));
}

#[test]
fn what_a_rollback_left_does_not_come_back_at_a_start() {
    let machine = Machine::new();
    let node = machine.node("n1");
    machine.write("bureau", "");
    node.add(&machine.spec("bureau"));
    versions(&machine, &node, &["v1", "v2", "v3"]);
    node.with(|f| f.rollback("bureau", Some(2), &by("bob"))).unwrap();
    node.end();
    damage(&machine, 2);
    let node = machine.node("n1");
    assert!(!node.blocks("v3.example"), "somebody had it taken out of force");
    assert!(node.blocks("v1.example"));
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().in_force_here, 1);
}

#[test]
fn a_feed_that_ended_does_not_come_back_at_a_start() {
    let machine = Machine::new();
    let node = machine.node("n1");
    machine.write("bureau", "");
    node.add(&machine.spec("bureau"));
    versions(&machine, &node, &["old"]);
    node.with(|f| f.remove("bureau", &by("alice"))).unwrap();
    node.add(&machine.spec("bureau"));
    versions(&machine, &node, &["new"]);
    node.end();
    damage(&machine, 2);
    let node = machine.node("n1");
    assert!(!node.blocks("old.example") && !node.blocks("new.example"));
    assert!(node.feeds.why_not().is_some());
}

#[test]
fn a_failure_to_load_ends_with_what_it_was_about() {
    let machine = Machine::new();
    let one = machine.node("n1");
    machine.write("bureau", "");
    one.add(&machine.spec("bureau"));
    versions(&machine, &one, &["v1"]);
    let two = machine.node("n2");
    versions(&machine, &one, &["v2"]);
    damage(&machine, 2);
    two.with(|f| f.obey()).unwrap();
    eventually("it cannot be loaded there", || two.feeds.why_not());
    one.with(|f| f.rollback("bureau", Some(1), &by("bob"))).unwrap();
    two.with(|f| f.obey()).unwrap();
    assert!(two.blocks("v1.example"));
    assert_eq!(two.feeds.why_not(), None);
    assert_eq!(two.with(|f| f.status("bureau")).unwrap().failure, None);
}

#[test]
fn rules_are_told_whole_when_the_version_before_is_lost() {
    let machine = Machine::new();
    let node = machine.node("n1");
    machine.write("bureau", "kept.example\ngone.example\n");
    node.add(&machine.spec("bureau"));
    let written = |node: &Node, version: u64| {
        eventually("the rows", || {
            let mark = node.with(|f| f.store().mark("rules:bureau")).unwrap()?;
            mark.contains(&format!("\"written\":{version}")).then_some(())
        });
    };
    node.run();
    written(&node, 1);
    node.end();
    damage(&machine, 1);
    machine.write("bureau", "kept.example\nnew.example\n");
    let node = machine.node("n1");
    node.run();
    written(&node, 2);
    let rows = node.end().remove(&Table::Rules).unwrap();
    let text = |row: &serde_json::Map<_, _>, column: &str| {
        let value: &serde_json::Value = &row[column];
        value.as_str().unwrap().to_owned()
    };
    let second = rows.iter().filter(|r| text(r, "version") == "2");
    let mut told: Vec<_> = second.map(|r| (text(r, "rule"), text(r, "action"))).collect();
    told.sort();
    let row = |rule: &str, action: &str| (rule.to_owned(), action.to_owned());
    let expected =
        [row("", "reset"), row("kept.example", "nxdomain"), row("new.example", "nxdomain")];
    assert_eq!(told, expected);
}

#[test]
fn another_node_goes_back_to_what_was_in_force_by_memory() {
    let machine = Machine::new();
    machine.write("bureau", "");
    let (one, two) = (machine.node("n1"), machine.node("n2"));
    one.add(&machine.spec("bureau"));
    for name in ["v1", "v2"] {
        versions(&machine, &one, &[name]);
        let there = || {
            two.with(|f| f.obey()).unwrap();
            two.blocks(&format!("{name}.example")).then_some(())
        };
        eventually("the other node follows", there);
    }
    one.with(|f| f.rollback("bureau", None, &by("bob"))).unwrap();
    fs::remove_dir_all(machine.dir.path().join("feeds/versions/bureau")).unwrap();
    two.with(|f| f.obey()).unwrap();
    assert!(two.blocks("v1.example") && !two.blocks("v2.example"), "at once");
    assert_eq!(two.feeds.why_not(), None);
}
