//! Feeds through the real server: a second node of the same machine, in this process, shares its
//! directory.

use std::{fs, net::Ipv4Addr, path::PathBuf, sync::Arc};

use hickory_proto::op::ResponseCode;
use serde_json::json;
use tracegate::feeds::{EventKind, EventQuery, FeedStore, NewBlock};

use super::{complete, node, query_from, read};
use crate::{
    feeds_lab::{Machine, by},
    harness::{Builder, Server, eventually},
};

/// A server whose lists lie in a directory of its home, and that directory.
fn with_lists() -> (Builder, PathBuf) {
    let builder = node();
    let lists = builder.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let roots = vec![lists.clone()];
    let builder = builder.config(|c| {
        c.feeds.roots = roots;
        c.feeds.file_poll_ms = 50;
        c.feeds.poll_ms = 50;
        c.feeds.blast_min = 10;
    });
    (builder, lists)
}

fn beside(server: &Server, lists: &std::path::Path) -> Machine {
    Machine::beside(&server.data().join("feeds"), lists)
}

fn rcode(server: &Server, name: &str) -> ResponseCode {
    query_from(Ipv4Addr::LOCALHOST, server.dns(), name, 1).0.metadata.response_code
}

fn blocks(server: &Server, name: &str) -> bool {
    rcode(server, name) == ResponseCode::NXDomain
}

#[test]
fn a_list_is_in_force_and_stays_without_its_source() {
    let (builder, lists) = with_lists();
    let server = builder.start();
    let machine = beside(&server, &lists);
    machine.write("bureau", "# an order\nBAD.wild.demo.test\n");
    let second = machine.node("n2");
    assert!(!blocks(&server, "bad.wild.demo.test"));
    second.add(&machine.spec("bureau"));
    eventually("the list is in force", || blocks(&server, "bad.wild.demo.test").then_some(()));
    assert!(!blocks(&server, "good.wild.demo.test"));

    let block = NewBlock { what: "evil.wild.demo.test".into(), ..NewBlock::default() };
    let made = second.with(|f| f.block_now(&block, &by("alice"))).unwrap();
    eventually("the block is obeyed", || blocks(&server, "evil.wild.demo.test").then_some(()));
    second.with(|f| f.lift(made.id, &by("bob"))).unwrap();
    eventually("the end is obeyed", || (!blocks(&server, "evil.wild.demo.test")).then_some(()));

    complete(&server);
    // What a record says leads to the text that was in force.
    let sql = "SELECT any(r.action), any(r.feed_version), any(t.text), any(t.version)
        FROM tracegate.resolutions AS r JOIN tracegate.rules AS t ON t.rule = r.rule AND t.feed = r.feed
        WHERE r.rule = 'bad.wild.demo.test' AND toUInt64(t.version) <= toUInt64(r.feed_version)
        FORMAT TSV";
    eventually("the rule's record", || {
        let found = read(&server, sql);
        (found.body.trim() == "nxdomain\t1\tBAD.wild.demo.test\t1").then_some(())
    });

    let home = server.kill9();
    fs::remove_file(lists.join("bureau")).unwrap();
    let server = home.start();
    assert!(blocks(&server, "bad.wild.demo.test"), "the first answer is protected");
    assert_eq!(rcode(&server, "good.wild.demo.test"), ResponseCode::NoError);
}

#[test]
fn a_process_that_dies_at_any_moment_leaves_one_good_version() {
    let (builder, lists) = with_lists();
    let mut server = builder.start();
    let machine = beside(&server, &lists);
    let (store, second) = (machine.store(), machine.node("n2"));
    machine.write("bureau", "v0.wild.demo.test\n");
    let mut spec = machine.spec("bureau");
    // How often we look is traffic, too, and soon enough of it to hold a version.
    spec["limits"] = serde_json::json!({"blast_percent": 100});
    second.add(&spec);
    eventually("the first version", || blocks(&server, "v0.wild.demo.test").then_some(()));
    let moments =
        [None, Some(EventKind::Received), Some(EventKind::Activated), Some(EventKind::InForce)];
    for (n, moment) in (1..).zip(moments.into_iter().cycle().take(8)) {
        let before = store.newest().unwrap();
        machine.write("bureau", &format!("v{n}.wild.demo.test\n"));
        if let Some(kind) = moment {
            eventually("the moment", || happened(&store, kind, before).then_some(()));
        }
        server = server.kill9().start();
        let seen: Vec<u32> =
            (0..=n).filter(|v| blocks(&server, &format!("v{v}.wild.demo.test"))).collect();
        assert!(seen == [n - 1] || seen == [n], "{moment:?}: {seen:?}");
        let name = format!("v{n}.wild.demo.test");
        eventually("the new version", || blocks(&server, &name).then_some(()));
    }
    complete(&server);
    let sql = "SELECT version, count() FROM tracegate.feed_events
        WHERE feed = 'bureau' AND event = 'activated' GROUP BY version HAVING count() != 1
        FORMAT TSV";
    assert_eq!(read(&server, sql).body.trim(), "", "every version was activated once");
    let sql =
        "SELECT count() FROM tracegate.feed_events WHERE feed = 'bureau' AND event = 'activated'
        FORMAT TSV";
    assert_eq!(read(&server, sql).body.trim(), "9", "and no record is missing");
}

fn happened(store: &Arc<dyn FeedStore>, kind: EventKind, after: u64) -> bool {
    let kinds = &[kind];
    let query = EventQuery { from: after, kinds, limit: 9, ..EventQuery::default() };
    !store.events(&query).unwrap().is_empty()
}

#[test]
fn what_many_ask_for_is_not_blocked_without_a_person() {
    let (builder, lists) = with_lists();
    let server = builder.start();
    for _ in 0..20 {
        assert_eq!(rcode(&server, "www.demo.test"), ResponseCode::NoError);
    }
    complete(&server);
    let machine = beside(&server, &lists);
    machine.write("bureau", "www.demo.test\n");
    let second = machine.node("n2");
    second.add(&machine.spec("bureau"));
    let held = eventually("a version is judged", || {
        second.with(|f| f.versions("bureau", 0, 1)).unwrap().pop().filter(|v| v.judgement.is_some())
    });
    assert_eq!(held.state, "held");
    let findings: serde_json::Value =
        serde_json::from_str(&held.judgement.unwrap().findings).unwrap();
    assert_eq!(findings["held_for"][0]["why"], "blast", "{findings}");
    let blast = &findings["blast"];
    assert!(blast["resolutions_changed"].as_u64().unwrap() >= 20, "{blast}");
    assert_eq!(blast["domains"][0]["domain"], "demo.test");
    // Who asked is counted from the records as well.
    machine.write("clients", "32.1.0.0.127.rpz-client-ip CNAME .\n");
    let source = machine.list("clients");
    second.add(&json!({"name": "clients", "source": source, "format": "rpz"}));
    let held = eventually("rules about clients are judged", || {
        second
            .with(|f| f.versions("clients", 0, 1))
            .unwrap()
            .pop()
            .filter(|v| v.judgement.is_some())
    });
    let findings: serde_json::Value =
        serde_json::from_str(&held.judgement.unwrap().findings).unwrap();
    assert!(findings["blast"]["clients_changed"].as_u64().unwrap() >= 20, "{findings}");
    assert_eq!(held.state, "held");
    assert!(!blocks(&server, "www.demo.test"));
    second.with(|f| f.approve("bureau", None, &by("bob"))).unwrap();
    eventually("the approval is obeyed", || blocks(&server, "www.demo.test").then_some(()));
}

#[test]
fn what_a_rule_hid_counts_for_the_next_list() {
    let (builder, lists) = with_lists();
    let server = builder.start();
    let machine = beside(&server, &lists);
    machine.write("bureau", "www.demo.test\nmark.wild.demo.test\n");
    let second = machine.node("n2");
    second.add(&machine.spec("bureau"));
    eventually("the list is in force", || blocks(&server, "mark.wild.demo.test").then_some(()));
    for _ in 0..20 {
        assert!(blocks(&server, "www.demo.test"));
    }
    complete(&server);
    // Nobody was told the address that this list lets through; what was hidden is known all the same.
    machine.write("exempt", "32.80.2.0.192.rpz-ip CNAME rpz-passthru.\n");
    let mut spec = machine.spec("exempt");
    spec["format"] = "rpz".into();
    spec["position"] = 1.into();
    second.add(&spec);
    let judged = eventually("a version is judged", || {
        second.with(|f| f.versions("exempt", 0, 1)).unwrap().pop().filter(|v| v.judgement.is_some())
    });
    let findings: serde_json::Value =
        serde_json::from_str(&judged.judgement.unwrap().findings).unwrap();
    let blast = &findings["blast"];
    assert_eq!(blast["resolutions_changed"], 20, "{findings}");
    assert_eq!(blast["domains"][0]["before"], "block nxdomain", "{blast}");
    assert_eq!(blast["domains"][0]["after"], "block passthru", "{blast}");
}
