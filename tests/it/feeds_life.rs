//! The life of feeds over real files: from the first version to the last rollback.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tracegate::{
    clock::Timestamp,
    feeds::{
        AppealStatus, By, Error, EventKind, EventQuery, NewAllow, NewAppeal, NewBlock, Took, blast,
    },
    record::Table,
};

use crate::{
    feeds_lab::{BEGIN, Machine, Node, by, names},
    harness::eventually,
};

fn lines(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().map(|n| n + "\n").collect()
}

fn many(n: usize) -> String {
    lines((0..n).map(|i| format!("n{i}.bad.example")))
}

#[test]
fn a_list_is_in_force_after_it_was_added_and_changed_and_removed() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\nworse.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    let outcome = node.refresh("bureau");
    assert_eq!((outcome.outcome, outcome.version, outcome.accepted), (Took::InForce, 1, 2));
    assert!(node.blocks("bad.example") && !node.blocks("good.example"));
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged);
    machine.write("bureau", "bad.example\nnew.example\n");
    assert_eq!(node.refresh("bureau").version, 2);
    assert!(node.blocks("new.example") && !node.blocks("worse.example"));
    let status = node.with(|f| f.status("bureau")).unwrap();
    assert_eq!((status.version, status.in_force_here, status.state), (2, 2, "in-force"));
    assert_eq!(status.nodes["n1"].version, 2);
    let versions = node.with(|f| f.versions("bureau", 0, 9)).unwrap();
    let states: Vec<_> = versions.iter().map(|v| (v.version, v.state)).collect();
    assert_eq!(states, [(2, "in-force"), (1, "superseded")]);
    // The records of rules are told against what is in memory still, which shares most of it.
    let former = || node.with(|f| f.rules_of("bureau", 1)).unwrap();
    assert!(Arc::ptr_eq(&former(), &former()));
    let diff = node.with(|f| f.diff("bureau", None, None, 9)).unwrap();
    assert_eq!((diff.from, diff.to), (1, 2));
    assert_eq!(
        (diff.added, diff.removed),
        (vec!["new.example".into()], vec!["worse.example".into()])
    );
    node.with(|f| f.remove("bureau", &by("alice"))).unwrap();
    assert!(!node.blocks("bad.example"));
    assert!(matches!(node.with(|f| f.status("bureau")), Err(Error::Unknown("feed"))));
    // What is added again under the same name counts on.
    node.add(&machine.spec("bureau"));
    assert!(!node.blocks("bad.example"), "its former versions are not its own");
    assert_eq!(node.refresh("bureau").version, 3);
}

#[test]
fn a_file_that_is_replaced_is_in_force_by_itself() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    node.run();
    node.add(&machine.spec("bureau"));
    eventually("the first version", || node.blocks("bad.example").then_some(()));
    machine.write("bureau", "other.example\n");
    eventually("the second version", || node.blocks("other.example").then_some(()));
    assert!(!node.blocks("bad.example"));
    fs::remove_file(machine.list("bureau")).unwrap();
    eventually("a problem is told", || node.with(|f| f.status("bureau")).unwrap().source.problem);
    assert!(node.blocks("other.example"), "the last good version stays");
}

#[test]
fn a_node_is_protected_at_once_when_its_source_is_away() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    node.end();
    fs::remove_file(machine.list("bureau")).unwrap();
    assert!(machine.node("n1").blocks("bad.example"), "by the compiled rules");
    // Without them, or damaged, the bytes are read anew.
    let version = machine.dir.path().join("feeds/versions/bureau");
    let version = version.join(&names(&version)[0]);
    fs::remove_file(index_of(&version)).unwrap();
    assert!(machine.node("n1").blocks("bad.example"));
    fs::write(index_of(&version), "nonsense").unwrap();
    assert!(machine.node("n1").blocks("bad.example"));
}

/// The compiled rules of a version.
fn index_of(version: &Path) -> PathBuf {
    let name = names(version).into_iter().find(|n| n.starts_with("index-")).unwrap();
    version.join(name)
}

#[test]
fn bytes_that_were_tampered_with_are_not_in_force() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    machine.write("bureau", "worse.example\n");
    node.refresh("bureau");
    node.end();
    let versions = machine.dir.path().join("feeds/versions/bureau");
    let second = names(&versions).into_iter().find(|n| n.starts_with("2-")).unwrap();
    fs::remove_file(index_of(&versions.join(&second))).unwrap();
    fs::write(versions.join(&second).join("list"), "good.example\n").unwrap();
    let node = machine.node("n1");
    assert!(!node.blocks("good.example"));
    assert!(node.blocks("bad.example"), "the version before it is whole");
    assert!(node.feeds.why_not().unwrap().contains("bureau"));
    let status = node.with(|f| f.status("bureau")).unwrap();
    assert_eq!((status.version, status.in_force_here), (2, 1));
    assert!(status.failure.unwrap().contains("version 2"));
}

#[test]
fn wrong_lines_are_told_and_take_no_other_with_them() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\nnot a name\ncom\ncorp.example.org\nbad.example\n..\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    let outcome = node.refresh("bureau");
    assert_eq!((outcome.accepted, outcome.rejected, outcome.duplicates), (1, 4, 1));
    assert_eq!(outcome.findings["rejected_by"]["protected"], 2);
    assert!(node.blocks("bad.example") && !node.blocks("com"));
    let rejected = node.with(|f| f.rejected("bureau", 1, 0, 99)).unwrap();
    let found = |line| rejected.iter().find(|r| r.line == line).unwrap();
    assert_eq!(found(2).text, "not a name");
    assert!(found(3).reason.contains("public suffix"));
    assert!(found(4).reason.contains("apex"));
    assert_eq!(found(5).code, "duplicate");
}

#[test]
fn what_shrinks_too_much_waits_for_a_person() {
    let machine = Machine::new();
    machine.write("bureau", &many(100));
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    assert_eq!(node.refresh("bureau").outcome, Took::InForce, "a first version is not held");
    machine.write("bureau", &many(10));
    let held = node.refresh("bureau");
    assert_eq!((held.outcome, held.version), (Took::Held, 2));
    assert_eq!(held.findings["held_for"][0]["why"], "shrunk");
    assert!(node.blocks("n50.bad.example"), "the version before stays");
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().held, [2]);
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged, "it is not held twice");
    let approved = node.with(|f| f.approve("bureau", None, &by("bob"))).unwrap();
    assert_eq!(approved, 2);
    assert!(!node.blocks("n50.bad.example") && node.blocks("n5.bad.example"));
    let again = node.with(|f| f.approve("bureau", Some(2), &by("bob")));
    assert!(matches!(again, Err(Error::NotHeld)), "{again:?}");
    machine.write("bureau", "");
    assert_eq!(node.refresh("bureau").outcome, Took::Held, "an empty list always is");
    node.with(|f| f.refuse("bureau", Some(3), &by("bob"))).unwrap();
    assert!(matches!(node.with(|f| f.approve("bureau", Some(3), &by("bob"))), Err(Error::NotHeld)));
    assert_eq!(node.with(|f| f.version("bureau", 3)).unwrap().state, "refused");
}

#[test]
fn a_held_version_that_a_later_one_overtook_cannot_be_approved() {
    let machine = Machine::new();
    machine.write("bureau", &many(100));
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    machine.write("bureau", &many(10));
    assert_eq!(node.refresh("bureau").outcome, Took::Held);
    machine.write("bureau", &many(99));
    assert_eq!(node.refresh("bureau").version, 3);
    let late = node.with(|f| f.approve("bureau", Some(2), &by("bob")));
    assert!(matches!(late, Err(Error::Superseded)), "{late:?}");
}

#[test]
fn a_version_is_put_back_and_the_next_one_follows_it() {
    let machine = Machine::new();
    let node = machine.node("n1");
    for n in 1..=3 {
        machine.write("bureau", &format!("v{n}.example\n"));
        if n == 1 {
            node.add(&machine.spec("bureau"));
        }
        node.refresh("bureau");
    }
    assert_eq!(node.with(|f| f.rollback("bureau", None, &by("bob"))).unwrap(), 2);
    assert!(node.blocks("v2.example") && !node.blocks("v3.example"));
    assert_eq!(node.with(|f| f.rollback("bureau", Some(1), &by("bob"))).unwrap(), 1);
    assert!(node.blocks("v1.example"));
    assert_eq!(node.refresh("bureau").outcome, Took::Unchanged, "the source has nothing new");
    assert!(node.blocks("v1.example"));
    let never = node.with(|f| f.rollback("bureau", Some(9), &by("bob")));
    assert!(matches!(never, Err(Error::Unknown(_))), "{never:?}");
    node.end();
    let node = machine.node("n1");
    assert!(node.blocks("v1.example"), "over a restart, too");
    machine.write("bureau", "v4.example\n");
    assert_eq!(node.refresh("bureau").version, 4);
    assert!(node.blocks("v4.example"));
}

#[test]
fn a_dry_run_says_everything_and_changes_nothing() {
    let machine = Machine::new();
    machine.write("bureau", &many(100));
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    let before = node.with(|f| f.store().newest()).unwrap();
    machine.write("bureau", &(many(10) + "new.example\n"));
    let dry = node.runtime.block_on(node.feeds.dry_run("bureau", None)).unwrap();
    assert!(dry.dry_run);
    assert_eq!((dry.outcome, dry.version, dry.accepted), (Took::Held, 0, 11));
    let changes = dry.changes.unwrap();
    assert_eq!((changes.added, changes.removed, changes.changed), (1, 90, 0));
    assert_eq!(node.with(|f| f.store().newest()).unwrap(), before);
    assert!(node.blocks("n50.bad.example"));
    assert_eq!(names(&machine.dir.path().join("feeds/incoming")), Vec::<String>::new());
    assert_eq!(node.refresh("bureau").outcome, Took::Held, "it is still new");
}

#[test]
fn settings_change_what_the_same_bytes_mean() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    let mut spec = machine.spec("bureau");
    spec["subtree"] = json!(true);
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    assert!(node.blocks("www.bad.example"), "judged and in force");
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().version, 2);
    spec["subtree"] = json!(false);
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    assert!(!node.blocks("www.bad.example"), "what reaches less does at once");
    spec["authority"] = json!("CAC");
    node.with(|f| f.change("bureau", &spec.to_string(), &by("alice"))).unwrap();
    assert_eq!(node.with(|f| f.status("bureau")).unwrap().version, 4, "the law is part of rules");
    spec["name"] = json!("other");
    let renamed = node.with(|f| f.change("bureau", &spec.to_string(), &by("alice")));
    assert!(matches!(renamed, Err(Error::Spec(_))), "{renamed:?}");
}

#[test]
fn what_cannot_be_read_leaves_what_was_declared() {
    for (mode, answer) in [("keep-last", "blocked"), ("open", "open"), ("closed", "closed")] {
        let machine = Machine::new();
        machine.write("bureau", "bad.example\n");
        let node = machine.node("n1");
        let mut spec = machine.spec("bureau");
        spec["on_failure"] = json!(mode);
        spec["limits"] = json!({"rules_max": 2});
        node.add(&spec);
        node.refresh("bureau");
        assert!(node.blocks("bad.example"));
        machine.write("bureau", &many(3));
        let failed = node.refresh("bureau");
        assert_eq!(failed.outcome, Took::Failed);
        assert!(failed.problem.unwrap().contains("more than 2 rules"));
        let now = |node: &Node| {
            let closed = node.in_force.load().closed().is_some();
            if closed {
                "closed"
            } else if node.blocks("bad.example") {
                "blocked"
            } else {
                "open"
            }
        };
        assert_eq!(now(&node), answer, "{mode}");
        node.end();
        let node = machine.node("n1");
        assert_eq!(now(&node), answer, "{mode}, after a restart");
        machine.write("bureau", "bad.example\n");
        node.refresh("bureau");
        assert_eq!(now(&node), "blocked", "{mode}, once it can be read again");
    }
}

/// What becomes of `bad.example`, which the only feed lists.
fn stands(node: &Node) -> &'static str {
    let closed = node.in_force.load().closed().is_some();
    match (closed, node.blocks("bad.example")) {
        (true, _) => "closed",
        (_, true) => "blocked",
        _ => "open",
    }
}

#[test]
fn a_closed_feed_is_closed_until_its_first_version() {
    let machine = Machine::new();
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    spec["on_failure"] = json!("closed");
    node.add(&spec);
    assert_eq!(stands(&node), "closed");
    assert_eq!(node.refresh("bureau").outcome, Took::Failed);
    assert_eq!(stands(&node), "closed", "there is no list yet");
    node.end();
    let node = machine.node("n1");
    assert_eq!(stands(&node), "closed", "before anything could listen");
    machine.write("bureau", "bad.example\n");
    assert_eq!(node.refresh("bureau").outcome, Took::InForce);
    assert_eq!(stands(&node), "blocked");
    node.end();
}

#[test]
fn what_nobody_confirms_for_too_long_leaves_what_was_declared() {
    for (mode, answer) in [("keep-last", "blocked"), ("open", "open"), ("closed", "closed")] {
        let machine = Machine::new();
        machine.write("bureau", "bad.example\n");
        let node = machine.node("n1");
        let mut spec = machine.spec("bureau");
        (spec["on_failure"], spec["stale_after_s"]) = (json!(mode), json!(3_600));
        node.add(&spec);
        node.run();
        let source = |node: &Node| node.feeds.status("bureau").unwrap().source;
        eventually("the list is in force", || (stands(&node) == "blocked").then_some(()));
        std::fs::remove_file(machine.list("bureau")).unwrap();
        eventually("the list is missed", || source(&node).problem);
        machine.clock.advance(Duration::from_secs(3_500));
        assert!(!source(&node).expired);
        machine.clock.advance(Duration::from_secs(200));
        eventually("it has expired", || source(&node).expired.then_some(()));
        eventually(mode, || (stands(&node) == answer).then_some(()));
        assert!(node.feeds.why_not().unwrap().contains("bureau: expired"));
        let told = || {
            let kinds = &[EventKind::Expired, EventKind::Renewed];
            let query = EventQuery { kinds, limit: 10, ..EventQuery::default() };
            let events = node.feeds.store().events(&query).unwrap();
            events.iter().map(|e| e.kind.name()).collect::<Vec<_>>()
        };
        eventually("it is told", || (told() == ["expired"]).then_some(()));
        node.end();
        let node = machine.node("n1");
        assert_eq!(stands(&node), answer, "{mode}, after a restart");
        node.run();
        machine.write("bureau", "bad.example\n");
        eventually("it is confirmed", || (!source(&node).expired).then_some(()));
        eventually("it is back", || (stands(&node) == "blocked").then_some(()));
        let rows = eventually("that is told, too", || {
            let kinds = &[EventKind::Expired, EventKind::Renewed];
            let query = EventQuery { kinds, limit: 10, ..EventQuery::default() };
            let events = node.feeds.store().events(&query).unwrap();
            (events.len() == 2).then_some(events)
        });
        assert_eq!(rows[1].kind, EventKind::Renewed);
        assert!(rows[0].detail.contains(mode), "{}", rows[0].detail);
        node.end();
    }
}

#[test]
fn what_a_manifest_says_of_no_rule_is_told() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\nworse.example\n");
    let manifest =
        r#"{"rules": {"bad.example": {"reason": "x"}, "gone.example": {"reason": "y"}}}"#;
    machine.write("bureau.json", manifest);
    let node = machine.node("n1");
    let mut spec = machine.spec("bureau");
    spec["options"] = json!({"manifest": "bureau.json"});
    node.add(&spec);
    let outcome = node.refresh("bureau");
    assert_eq!((outcome.outcome, outcome.rejected), (Took::InForce, 0));
    assert_eq!(outcome.findings["manifest_unused"], 1);
    let rejected = node.feeds.rejected("bureau", 1, 0, 10).unwrap();
    let told: Vec<_> = rejected.iter().map(|r| (r.code.as_str(), r.text.as_str())).collect();
    assert_eq!(told, [("manifest-unused", "gone.example")]);
    node.end();
}

#[test]
fn files_outside_the_roots_are_not_read() {
    let machine = Machine::new();
    let secret = machine.dir.path().join("secret");
    fs::write(&secret, "bad.example\n").unwrap();
    std::os::unix::fs::symlink(&secret, machine.list("bureau")).unwrap();
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    let outcome = node.refresh("bureau");
    assert_eq!(outcome.outcome, Took::Failed);
    assert!(outcome.problem.unwrap().contains("leads out"));
    // A link that stays below is followed.
    fs::remove_file(machine.list("bureau")).unwrap();
    machine.write("real", "bad.example\n");
    std::os::unix::fs::symlink("real", machine.list("bureau")).unwrap();
    assert_eq!(node.refresh("bureau").outcome, Took::InForce);
}

#[test]
fn two_nodes_of_one_directory_obey_each_other() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let (one, two) = (machine.node("n1"), machine.node("n2"));
    one.run();
    two.run();
    one.add(&machine.spec("bureau"));
    eventually("both", || (one.blocks("bad.example") && two.blocks("bad.example")).then_some(()));
    let block = NewBlock { what: "evil.example".into(), ..NewBlock::default() };
    let id = two.with(|f| f.block_now(&block, &by("alice"))).unwrap().id;
    assert!(two.blocks("evil.example"));
    eventually("the other one", || one.blocks("evil.example").then_some(()));
    one.with(|f| f.lift(id, &by("bob"))).unwrap();
    eventually("lifted there", || (!two.blocks("evil.example")).then_some(()));
    machine.write("bureau", "second.example\n");
    eventually("both again", || {
        (one.blocks("second.example") && two.blocks("second.example")).then_some(())
    });
    let status = one.with(|f| f.status("bureau")).unwrap();
    assert_eq!(status.newest, 2, "received once, whoever was first");
    eventually("both tell", || {
        let nodes = one.with(|f| f.status("bureau")).unwrap().nodes;
        (nodes.len() == 2 && nodes.values().all(|n| n.version == 2)).then_some(())
    });
    eventually("the rows", || {
        let mark = one.with(|f| f.store().mark("rules:bureau")).unwrap()?;
        mark.contains("\"written\":2").then_some(())
    });
    let (first, second) = (one.end(), two.end());
    let received = |rows: &[_]| {
        let rows: &[serde_json::Map<_, _>] = rows;
        rows.iter().filter(|r| r["event"] == "received").count()
    };
    assert_eq!(received(&first[&Table::FeedEvents]) + received(&second[&Table::FeedEvents]), 2);
    let rules = first[&Table::Rules].len() + second[&Table::Rules].len();
    // bad.example came and went, second.example came; evil.example was blocked and lifted.
    assert_eq!(rules, 5);
}

#[test]
fn a_block_takes_force_on_a_node_whose_own_writing_waits() {
    let machine = Machine::new();
    let (one, two) = (machine.node("n1"), machine.node("n2"));
    let block = NewBlock { what: "first.example".into(), ..NewBlock::default() };
    let first = two.with(|f| f.block_now(&block, &by("alice"))).unwrap();
    // Another node's second block, in a transaction that is open while this node has to tell of
    // the first.
    let file = machine.dir.path().join("feeds/policy.sqlite");
    let db = rusqlite::Connection::open(file).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let copied =
        "INSERT INTO events (ts, node, actor, kind, feed, version, subject, reason, detail)
        SELECT ts, node, actor, kind, feed, version + 1, 'second.example', reason, detail
        FROM events WHERE id = ?1";
    db.execute(copied, [first.id]).unwrap();
    let second = db.last_insert_rowid();
    let copied = "INSERT INTO own_rules SELECT ?2, feed, 'second.example', owner, authority,
        order_number, expires, expires_confirmed, person FROM own_rules WHERE event_id = ?1";
    db.execute(copied, rusqlite::params![first.id, second]).unwrap();
    one.run();
    eventually("the first block", || one.blocks("first.example").then_some(()));
    // Committed, and the database is held again: its own report still waits.
    db.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
    let clock = tracegate::clock::Clock::system();
    let began = clock.monotonic();
    // Less than a writer waits for the lock at most: nobody may wait for that.
    while !one.blocks("second.example") && began.elapsed() < Duration::from_secs(4) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(one.blocks("second.example"), "while the database is held");
    db.execute_batch("COMMIT").unwrap();
    let all = one.end();
    let told = all[&Table::FeedEvents].iter().filter(|r| r["event"] == "in-force");
    let told: Vec<_> = told.map(|r| r["version"].as_str().unwrap()).collect();
    assert!(!told.is_empty() && told[0] == "1", "in order: {told:?}");
}

#[test]
fn an_instant_block_ends_by_itself_unless_another_person_confirms_it() {
    let machine = Machine::new();
    let node = machine.node("n1");
    let block = NewBlock {
        what: "Evil.Example.".into(),
        seconds: 12 * 3_600,
        authority: "police".into(),
        order_number: "7".into(),
    };
    let made = node.with(|f| f.block_now(&block, &by("alice"))).unwrap();
    assert!(node.blocks("evil.example"));
    assert_eq!(made.expires, BEGIN.saturating_add(Duration::from_secs(3_600)));
    let same = node.with(|f| f.confirm(made.id, &by("alice")));
    assert!(matches!(same, Err(Error::SamePerson)), "{same:?}");
    let other_token = By { person: "Alice".into(), ..by("alice-at-home") };
    let same = node.with(|f| f.confirm(made.id, &other_token));
    assert!(matches!(same, Err(Error::SamePerson)), "{same:?}");
    machine.clock.advance(Duration::from_secs(3_601));
    assert!(!node.blocks("evil.example"), "nobody confirmed it");
    let late = node.with(|f| f.confirm(made.id, &by("bob")));
    assert!(matches!(late, Err(Error::Over)), "{late:?}");

    let made = node.with(|f| f.block_now(&block, &by("alice"))).unwrap();
    let confirmed = node.with(|f| f.confirm(made.id, &by("bob"))).unwrap();
    assert_eq!(confirmed.confirmed_by, "bob");
    machine.clock.advance(Duration::from_secs(3_601));
    assert!(node.blocks("evil.example"));
    node.end();
    let node = machine.node("n1");
    assert!(node.blocks("evil.example"), "over a restart");
    machine.clock.advance(Duration::from_secs(9 * 3_600));
    assert!(node.blocks("evil.example"));
    machine.clock.advance(Duration::from_secs(3 * 3_600));
    assert!(!node.blocks("evil.example"), "its time is over");
}

#[test]
fn a_shorter_block_made_later_takes_nothing_from_a_longer_one() {
    let machine = Machine::new();
    let node = machine.node("n1");
    let block = |seconds| {
        let what = "evil.example".into();
        let block = NewBlock { what, seconds, ..NewBlock::default() };
        node.with(|f| f.block_now(&block, &by("alice"))).unwrap().id
    };
    let long = block(12 * 3_600);
    node.with(|f| f.confirm(long, &by("bob"))).unwrap();
    block(600);
    machine.clock.advance(Duration::from_secs(3_601));
    assert!(node.blocks("evil.example"), "the confirmed one goes on");
}

#[test]
fn an_appeal_about_every_feed_leaves_allow_rules_alone() {
    let machine = Machine::new();
    machine.write("bureau", "shop.example\n*.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    let allow =
        NewAllow { what: "shop.example".into(), owner: "noc".into(), expires: Timestamp::ZERO };
    node.with(|f| f.allow(&allow, &by("alice"))).unwrap();
    let appeal = NewAppeal {
        feed: String::new(),
        what: "shop.example".into(),
        claimant: "shop@example.org".into(),
    };
    let id = node.with(|f| f.open_appeal(&appeal, &by("desk"))).unwrap().id;
    node.with(|f| f.decide_appeal(id, AppealStatus::Lifted, &by("judge"))).unwrap();
    assert_eq!(node.decides("shop.example"), Some(("allow".into(), "passthru")));
}

#[test]
fn what_is_protected_since_a_version_was_compiled_is_not_blocked() {
    let mut machine = Machine::new();
    machine.write("bureau", "bad.example\nours.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    assert!(node.blocks("ours.example"));
    node.end();
    machine.config.protected.push("ours.example".into());
    let node = machine.node("n1");
    assert!(node.blocks("bad.example") && !node.blocks("ours.example"));
}

#[test]
fn nobody_blocks_what_is_protected_or_for_ever() {
    let machine = Machine::new();
    let node = machine.node("n1");
    let block = |what: &str, seconds| {
        let block = NewBlock { what: what.into(), seconds, ..NewBlock::default() };
        node.with(|f| f.block_now(&block, &by("alice")))
    };
    assert!(matches!(block("com", 0), Err(Error::Protected(_))));
    assert!(matches!(block("*.example.org", 0), Err(Error::Protected(_))));
    assert!(matches!(block("not a name", 0), Err(Error::BadRule(_))));
    assert!(matches!(block("bad.example", u64::MAX), Err(Error::TooLate(_))));
}

#[test]
fn allow_rules_win_where_feeds_let_them() {
    let machine = Machine::new();
    machine.write("soft", "shop.example\n");
    machine.write("hard", "hard.example\n");
    let node = machine.node("n1");
    let mut hard = machine.spec("hard");
    hard["allow_may_win"] = json!(false);
    for spec in [machine.spec("soft"), hard] {
        node.add(&spec);
        node.refresh(spec["name"].as_str().unwrap());
    }
    let allow = |what: &str, expires| {
        let allow = NewAllow { what: what.into(), owner: "noc".into(), expires };
        node.with(|f| f.allow(&allow, &by("alice")))
    };
    let until = BEGIN.saturating_add(Duration::from_secs(60));
    let soft = allow("shop.example", until).unwrap();
    allow("hard.example", Timestamp::ZERO).unwrap();
    assert_eq!(node.decides("shop.example"), Some(("allow".into(), "passthru")));
    assert!(node.blocks("hard.example"));
    machine.clock.advance(Duration::from_secs(61));
    assert!(node.blocks("shop.example"), "it ended");
    assert!(matches!(allow("x.example", BEGIN), Err(Error::Past)));
    assert!(matches!(node.with(|f| f.disallow(soft.id, &by("alice"))), Err(Error::Over)));
    let again = allow("shop.example", Timestamp::ZERO).unwrap();
    assert!(!node.blocks("shop.example"));
    node.with(|f| f.disallow(again.id, &by("bob"))).unwrap();
    assert!(node.blocks("shop.example"));
}

#[test]
fn an_appeal_lifts_a_rule_from_the_next_query_on() {
    let machine = Machine::new();
    machine.write("bureau", "shop.example\n");
    machine.write("other", "shop.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    let appeal = NewAppeal {
        feed: "bureau".into(),
        what: "shop.example".into(),
        claimant: "shop@example.org".into(),
    };
    let id = node.with(|f| f.open_appeal(&appeal, &by("desk"))).unwrap().id;
    assert!(node.blocks("shop.example"), "an appeal alone changes nothing");
    let decide = |status| node.with(|f| f.decide_appeal(id, status, &by("judge"))).unwrap();
    decide(AppealStatus::Suspended);
    assert!(!node.blocks("shop.example"));
    let lifted = decide(AppealStatus::Lifted);
    assert_eq!((lifted.decided_by.as_str(), lifted.status), ("judge", AppealStatus::Lifted));
    assert!(!node.blocks("shop.example"));
    // Another feed's rule for the same name still counts.
    node.add(&machine.spec("other"));
    node.refresh("other");
    assert_eq!(node.decides("shop.example"), Some(("other".into(), "nxdomain")));
    decide(AppealStatus::Refused);
    assert_eq!(node.decides("shop.example"), Some(("bureau".into(), "nxdomain")));
    let nobody = NewAppeal { feed: "nobody".into(), ..appeal };
    let unknown = node.with(|f| f.open_appeal(&nobody, &by("desk")));
    assert!(matches!(unknown, Err(Error::Unknown("feed"))), "{unknown:?}");
}

#[test]
fn contradicting_feeds_are_told() {
    let machine = Machine::new();
    machine.write("one", "bad.example\nsame.example\n");
    machine.write("two", "bad.example\nsame.example\n");
    let node = machine.node("n1");
    node.add(&machine.spec("one"));
    node.refresh("one");
    let mut two = machine.spec("two");
    two["action"] = json!("nodata");
    node.add(&two);
    let outcome = node.refresh("two");
    assert_eq!(outcome.conflicts, 2);
    let named = &outcome.findings["conflicts_with_feeds"];
    assert_eq!(named[0]["feed"], "one");
    assert_eq!((&named[0]["ours"], &named[0]["theirs"]), (&json!("nodata"), &json!("nxdomain")));
}

#[test]
fn what_would_change_too_much_is_held() {
    let mut machine = Machine::new();
    machine.config.blast_hours = 24;
    machine.write("bureau", "big.example\n");
    let node = machine.node("n1");
    let answer = |qname: &str, chain: &[&str], count| blast::PastAnswer {
        qname: qname.into(),
        chain: chain.iter().map(|c| (*c).to_owned()).collect(),
        addresses: vec!["192.0.2.1".parse().unwrap()],
        count,
    };
    let past = blast::Past {
        answers: vec![
            answer("www.other.example", &["big.example"], 3_000),
            answer("quiet.example", &[], 7_000),
        ],
        resolutions: 10_000,
        ..blast::Past::default()
    };
    node.feeds.ask_past_with(std::sync::Arc::new(move |ask| {
        assert_eq!(ask.from, BEGIN.saturating_sub(Duration::from_secs(86_400)));
        assert!(!ask.clients, "no rule is about who asks");
        let past = past.clone();
        Box::pin(async move { Ok(past) })
    }));
    node.add(&machine.spec("bureau"));
    let outcome = node.refresh("bureau");
    assert_eq!(outcome.outcome, Took::Held, "through an alias, too");
    let blast = &outcome.findings["blast"];
    assert_eq!(blast["resolutions_changed"], 3_000);
    assert_eq!(blast["domains"][0]["domain"], "other.example");
    assert_eq!(blast["domains"][0]["rule"], "big.example");
    assert!(!node.blocks("big.example"));
    machine.write("bureau", "small.example\n");
    assert_eq!(node.refresh("bureau").outcome, Took::InForce);
}

#[test]
fn rules_about_clients_are_counted_and_those_about_name_servers_named() {
    let mut machine = Machine::new();
    machine.config.blast_hours = 24;
    let node = machine.node("n1");
    let client =
        |address: &str, count| blast::PastClient { address: address.parse().unwrap(), count };
    let past = blast::Past {
        clients: vec![client("192.0.2.1", 6_000), client("2001:db8::1", 4_000)],
        resolutions: 10_000,
        ..blast::Past::default()
    };
    node.feeds.ask_past_with(std::sync::Arc::new(move |ask| {
        assert!(ask.clients);
        let past = past.clone();
        Box::pin(async move { Ok(past) })
    }));
    let list = "24.0.2.0.192.rpz-client-ip CNAME .\nns.evil.example.rpz-nsdname CNAME .\n";
    machine.write("clients", list);
    node.add(&json!({"name": "clients", "source": machine.list("clients"), "format": "rpz"}));
    let outcome = node.refresh("clients");
    assert_eq!(outcome.outcome, Took::Held, "{:?}", outcome.findings);
    let blast = &outcome.findings["blast"];
    assert_eq!(
        (&blast["clients_changed"], &blast["clients_seen"]),
        (&json!(6_000), &json!(10_000))
    );
    assert_eq!(outcome.findings["held_for"][0]["percent"], 60.0);
    assert_eq!(blast["not_countable"], json!(["clients"]));
}

#[test]
fn a_store_that_is_away_is_said_and_may_hold() {
    for hold in [false, true] {
        let mut machine = Machine::new();
        machine.config.blast_hours = 24;
        machine.config.hold_without_store = hold;
        machine.write("bureau", "bad.example\n");
        let node = machine.node("n1");
        let away = |_| -> futures_util::future::BoxFuture<'static, _> {
            Box::pin(async { Err("it is away".to_owned()) })
        };
        node.feeds.ask_past_with(std::sync::Arc::new(away));
        node.add(&machine.spec("bureau"));
        let outcome = node.refresh("bureau");
        assert_eq!(outcome.findings["blast"]["unknown"], "it is away");
        assert_eq!(outcome.outcome, if hold { Took::Held } else { Took::InForce });
    }
}

#[test]
fn records_tell_what_happened_and_every_rules_text() {
    let machine = Machine::new();
    machine.write("bureau", "# list\nBAD.example\nworse.example\n");
    let node = machine.node("n1");
    node.run();
    let mut spec = machine.spec("bureau");
    spec["authority"] = json!("CAC");
    node.add(&spec);
    eventually("the first version", || node.blocks("bad.example").then_some(()));
    machine.write("bureau", "BAD.example\nnew.example\n");
    eventually("the second version", || node.blocks("new.example").then_some(()));
    eventually("the rows", || {
        let mark = node.with(|f| f.store().mark("rules:bureau")).unwrap()?;
        mark.contains("\"written\":2").then_some(())
    });
    eventually("it is told", || {
        let status = node.with(|f| f.status("bureau")).unwrap();
        (status.nodes.get("n1")?.version == 2).then_some(())
    });
    let all = node.end();
    let events: Vec<_> = all[&Table::FeedEvents]
        .iter()
        .map(|r| (r["event"].as_str().unwrap(), r["version"].as_str().unwrap()))
        .collect();
    let expected = [
        ("feed-added", ""),
        ("received", "1"),
        ("activated", "1"),
        ("in-force", "1"),
        ("received", "2"),
        ("activated", "2"),
        ("in-force", "2"),
    ];
    assert_eq!(events, expected);
    let activated = &all[&Table::FeedEvents][2];
    assert_eq!((&activated["accepted"], &activated["rejected"]), (&json!(2), &json!(0)));
    let detail: serde_json::Value =
        serde_json::from_str(all[&Table::FeedEvents][3]["detail"].as_str().unwrap()).unwrap();
    assert!(detail["seconds"].is_number(), "{detail}");
    let mut rules: Vec<_> = all[&Table::Rules]
        .iter()
        .map(|r| {
            let text = |c: &str| r[c].as_str().unwrap().to_owned();
            (text("version"), text("rule"), text("action"), text("text"), text("authority"))
        })
        .collect();
    rules.sort();
    let row = |version: &str, rule: &str, action: &str, text: &str| {
        let all = [version, rule, action, text, "CAC"].map(str::to_owned);
        let [version, rule, action, text, authority] = all;
        (version, rule, action, text, authority)
    };
    assert_eq!(
        rules,
        [
            row("1", "bad.example", "nxdomain", "BAD.example"),
            row("1", "worse.example", "nxdomain", "worse.example"),
            row("2", "new.example", "nxdomain", "new.example"),
            row("2", "worse.example", "removed", ""),
        ]
    );
}

#[test]
fn old_versions_go_and_the_needed_ones_stay() {
    let mut machine = Machine::new();
    machine.config.versions_kept = 2;
    let node = machine.node("n1");
    for n in 1..=5 {
        machine.write("bureau", &format!("v{n}.example\n..\n"));
        if n == 1 {
            node.add(&machine.spec("bureau"));
        }
        node.refresh("bureau");
    }
    let kept = |node: &Node| {
        let versions = node.with(|f| f.versions("bureau", 0, 9)).unwrap();
        versions.iter().filter(|v| v.kept).map(|v| v.version).collect::<Vec<_>>()
    };
    // Whose rules are not yet records are needed for that.
    assert_eq!(kept(&node), [5, 4, 3, 2, 1]);
    node.run();
    eventually("the rows", || {
        let mark = node.with(|f| f.store().mark("rules:bureau")).unwrap()?;
        mark.contains("\"written\":5").then_some(())
    });
    machine.write("bureau", "v6.example\n");
    eventually("the sixth", || node.blocks("v6.example").then_some(()));
    eventually("old ones go", || (kept(&node) == [6, 5]).then_some(()));
    let gone = node.with(|f| f.rollback("bureau", Some(1), &by("bob")));
    assert!(matches!(gone, Err(Error::NotKept(1))), "{gone:?}");
    assert_eq!(node.with(|f| f.rejected("bureau", 1, 0, 9)).unwrap(), []);
    let events = node.with(|f| {
        let kinds = &[EventKind::Activated];
        f.store().events(&EventQuery {
            feed: Some("bureau"),
            kinds,
            limit: 99,
            ..EventQuery::default()
        })
    });
    assert_eq!(events.unwrap().len(), 6, "history stays");
}

#[test]
fn a_late_record_of_an_own_rule_tells_what_was_true_at_its_event() {
    let machine = Machine::new();
    let node = machine.node("n1");
    let block = NewBlock { what: "evil.example".into(), ..NewBlock::default() };
    let made = node.with(|f| f.block_now(&block, &by("alice"))).unwrap();
    let unconfirmed = made.expires;
    // More than a thousand lifted and confirmed blocks of this node whose records were not written.
    node.end();
    let file = machine.dir.path().join("feeds/policy.sqlite");
    let db = rusqlite::Connection::open(file).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    for version in 2..=1_200 {
        let sql =
            "INSERT INTO events (ts, node, actor, kind, feed, version, subject, reason, detail)
            SELECT ts, node, actor, kind, feed, ?2, subject, reason, detail FROM events
            WHERE id = ?1";
        db.execute(sql, [made.id, version]).unwrap();
        let sql = "INSERT INTO own_rules SELECT ?2, feed, rule, owner, authority, order_number,
            expires, expires_confirmed, person FROM own_rules WHERE event_id = ?1";
        db.execute(sql, [made.id, db.last_insert_rowid().cast_unsigned()]).unwrap();
    }
    let last = db.last_insert_rowid().cast_unsigned();
    for (version, kind, step) in [(1_201, "confirmed", "confirmed"), (1_202, "lifted", "ended")] {
        let sql =
            "INSERT INTO events (ts, node, actor, kind, feed, version, subject, reason, detail)
            VALUES (?1, 'n1', 'bob', ?2, 'instant', ?3, 'evil.example', '', ?4)";
        let detail = json!({"id": last}).to_string();
        db.execute(sql, rusqlite::params![BEGIN.0, kind, version, detail]).unwrap();
        let sql = "INSERT INTO own_rule_steps VALUES (?1, ?2, ?3)";
        db.execute(sql, rusqlite::params![db.last_insert_rowid(), last, step]).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
    let node = machine.node("n1");
    node.run();
    eventually("the records", || {
        let mark = node.with(|f| f.store().mark("rules:instant:n1")).unwrap()?;
        (mark == "1202").then_some(())
    });
    let all = node.end();
    let of = |version: &str| {
        let found = all[&Table::Rules].iter().filter(|r| r["version"] == version);
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{version}");
        let legal: serde_json::Value =
            serde_json::from_str(found[0]["legal"].as_str().unwrap()).unwrap();
        (legal["approver"].clone(), legal["expires_at"].clone())
    };
    of("2");
    let (approver, expires) = of("1200");
    assert_ne!(approver, json!("bob"), "nobody had confirmed it");
    assert_eq!(expires, json!(unconfirmed.to_string()));
    assert_eq!(of("1201").0, json!("bob"));
    of("1202");
}

#[test]
fn blocks_take_force_while_the_spool_is_full_and_their_records_follow() {
    let mut machine = Machine::new();
    machine.spool_bytes_max = 4 << 20;
    // A few events fill it.
    machine.config.note_bytes_max = 65_536;
    let node = machine.node("n1");
    let long = By { reason: "x".repeat(60_000), ..by("alice") };
    let name = |i: u32| format!("evil{i}.example");
    let n1 = "n1".parse().unwrap();
    let waiting = |node: &Node| node.with(|f| f.store().waiting(&n1, 10)).unwrap().len();
    let mut blocks = 0;
    while waiting(&node) < 3 {
        assert!(blocks < 200, "the spool has room for everything");
        assert!(waiting(&node) > 0 || node.feeds.why_not().is_none());
        let block = NewBlock { what: name(blocks), ..NewBlock::default() };
        node.with(|f| f.block_now(&block, &long)).unwrap();
        assert!(node.blocks(&name(blocks)));
        blocks += 1;
    }
    let why = node.feeds.why_not().unwrap();
    assert_eq!(why, "records of changes that wait until the spool has room: 3");
    assert!(node.metrics.render().contains("tracegate_feeds_records_waiting 3"));
    node.end();
    machine.spool_bytes_max = 1 << 30;
    let node = machine.node("n1");
    assert!(node.blocks(&name(0)) && node.blocks(&name(blocks - 1)), "after a restart");
    node.run();
    eventually("room again", || {
        (waiting(&node) == 0 && node.feeds.why_not().is_none()).then_some(())
    });
    assert!(node.metrics.render().contains("tracegate_feeds_records_waiting 0"));
    assert_eq!(machine.store().outbox(&n1).unwrap(), []);
    let all = node.end();
    let blocked = all[&Table::FeedEvents].iter().filter(|r| r["event"] == "blocked");
    let mut versions: Vec<u32> =
        blocked.map(|r| r["version"].as_str().unwrap().parse().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=blocks).collect::<Vec<_>>(), "each once");
}

#[test]
fn the_records_of_rules_keep_the_text_in_force_whole() {
    let machine = Machine::new();
    let long = format!("bad.example # {}", "x".repeat(16_384));
    let gb18030 =
        b"same.example # order 1\nchanged.example # order 1\nword.example # \xcd\xf8\xd5\xbe\n";
    fs::write(machine.list("bureau"), gb18030).unwrap();
    let node = machine.node("n1");
    node.run();
    node.add(&machine.spec("bureau"));
    let told = |version: u64| {
        eventually("the records", || {
            let mark = node.with(|f| f.store().mark("rules:bureau")).unwrap()?;
            let mark: serde_json::Value = serde_json::from_str(&mark).unwrap();
            (mark["written"] == version).then_some(())
        });
    };
    told(1);
    // The same rules: one in other words, another one also in an entry that is too long.
    let next = format!("{long}\nsame.example # order 1\nchanged.example # order 2\nword.example\n");
    machine.write("bureau", &next);
    told(2);
    let rejected = node.with(|f| f.rejected("bureau", 2, 0, 9)).unwrap();
    assert_eq!((rejected.len(), rejected[0].line), (1, 1));
    assert_eq!((&*rejected[0].code, &*rejected[0].reason), ("too-long", "longer than 16384 bytes"));
    assert!(!node.blocks("bad.example"));
    let all = node.end();
    let texts = |version: &str| {
        let rows = all[&Table::Rules].iter().filter(|r| r["version"] == version);
        rows.map(|r| r["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = ["same.example # order 1", "changed.example # order 1", "word.example # 网站"];
    assert_eq!(texts("1"), first);
    assert_eq!(texts("2"), ["changed.example # order 2", "word.example"]);
}

/// Waits until the rules of a version are records.
fn told(node: &Node, version: u64) {
    eventually("the records", || {
        let mark = node.with(|f| f.store().mark("rules:bureau")).unwrap()?;
        let mark: serde_json::Value = serde_json::from_str(&mark).unwrap();
        (mark["written"] == version).then_some(())
    });
}

#[test]
fn the_newest_record_of_a_rule_is_not_an_entry_that_is_gone() {
    let machine = Machine::new();
    let node = machine.node("n1");
    node.run();
    machine.write("bureau", "twice.example # one\nonce.example\ntwice.example # two\n");
    node.add(&machine.spec("bureau"));
    told(&node, 1);
    machine
        .write("bureau", "twice.example # one\nonce.example\nmore.example\ntwice.example # two\n");
    told(&node, 2);
    machine.write("bureau", "twice.example # one\nonce.example\nmore.example\n");
    told(&node, 3);
    let all = node.end();
    let texts = |version: &str| {
        let rows = all[&Table::Rules].iter().filter(|r| r["version"] == version);
        rows.map(|r| r["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("2"), ["more.example"]);
    assert_eq!(texts("3"), ["twice.example # one"]);
}

#[test]
fn the_encoding_of_a_text_is_that_of_its_list() {
    let machine = Machine::new();
    let node = machine.node("n1");
    node.run();
    // The first line's two bytes of GB18030 are one character of UTF-8, too.
    let list = b"a.example # \xd2\xbb\nb.example # \xcd\xf8\xd5\xbe\n.. # \xcd\xf8\xd5\xbe\n";
    fs::write(machine.list("bureau"), list).unwrap();
    node.add(&machine.spec("bureau"));
    told(&node, 1);
    let wrong = node.with(|f| f.rejected("bureau", 1, 0, 9)).unwrap();
    let all = node.end();
    let texts: Vec<_> = all[&Table::Rules].iter().map(|r| r["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["a.example # 一", "b.example # 网站"]);
    assert_eq!(wrong.iter().map(|r| &*r.text).collect::<Vec<_>>(), [".. # 网站"]);
}

/// Adds an event of `bureau` many times, as years would.
fn years(machine: &Machine, kind: &str, node: &str, version: u64, times: u64) {
    let db = rusqlite::Connection::open(machine.dir.path().join("feeds/policy.sqlite")).unwrap();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO events (ts, node, actor, kind, feed, version, subject, reason, detail)
        SELECT ?2, ?3, '', ?4, 'bureau', ?5, '', '', '{}' FROM n";
    db.execute(sql, rusqlite::params![times, BEGIN.0, node, kind, version]).unwrap();
}

#[test]
fn a_long_history_hides_nothing() {
    let machine = Machine::new();
    let node = machine.node("n1");
    machine.write("bureau", "v1.example\n");
    node.add(&machine.spec("bureau"));
    node.refresh("bureau");
    machine.write("bureau", "v2.example\n");
    node.refresh("bureau");
    years(&machine, "activated", "n1", 2, 1_100);
    years(&machine, "rolled-back", "n1", 2, 10_100);
    years(&machine, "in-force", "n2", 2, 100);
    let said = |node: &Node| {
        let kinds = &[EventKind::InForce];
        let of =
            EventQuery { feed: Some("bureau"), node: Some("n1"), kinds, ..EventQuery::default() };
        node.with(|f| f.store().events(&EventQuery { limit: 99, ..of })).unwrap().len()
    };
    years(&machine, "in-force", "n1", 2, 1);
    years(&machine, "in-force", "n2", 2, 100);
    let before = said(&node);
    node.crash();
    let node = machine.node("n1");
    node.with(|f| f.obey()).unwrap();
    assert_eq!(said(&node), before, "a node that starts again tells nothing new");
    // The first of the versions whose rules are no records yet comes first.
    node.run();
    told(&node, 2);
    assert_eq!(node.with(|f| f.rollback("bureau", None, &by("bob"))).unwrap(), 1);
    eventually("the first", || node.blocks("v1.example").then_some(()));
    let all = node.end();
    let rows = &all[&Table::Rules];
    let texts: Vec<_> = rows
        .iter()
        .map(|r| (r["version"].as_str().unwrap(), r["text"].as_str().unwrap()))
        .collect();
    assert!(texts.starts_with(&[("1", "v1.example"), ("2", "v2.example")]), "{texts:?}");
}
