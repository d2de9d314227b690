//! What every database of policy must do; SQLite runs it, a second one shall.

use std::sync::Arc;

use tempfile::TempDir;
use tracegate::{
    clock::Timestamp,
    feeds::{
        AppealStatus, Body, Error, Event, EventKind, EventQuery, FeedStore, Judgement, NewOwnRule,
        NewVersion, Rejection, SqliteFeeds,
    },
    links::OutboxRow,
    record::{LaneId, NodeName, SchemaId, Table},
};

use crate::harness::conformance;

/// A database that can be opened by several nodes, and again as after a crash.
trait Database {
    fn fresh() -> Self;
    fn open(&self) -> Arc<dyn FeedStore>;
}

struct Sqlite(TempDir);

impl Database for Sqlite {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn FeedStore> {
        Arc::new(SqliteFeeds::open(&self.0.path().join("policy.sqlite"), 2).unwrap())
    }
}

conformance!(sqlite, super::Sqlite:
    what_one_node_writes_another_reads
    a_change_upon_an_older_event_is_refused_whole
    only_one_of_many_nodes_makes_a_change
    the_version_in_force_is_the_one_decided_last
    a_removed_feed_stands_no_more_and_its_numbers_go_on
    the_past_is_asked_as_the_present_is
    own_rules_end_by_time_and_by_hand
    a_block_lasts_longer_once_it_is_confirmed
    appeals_suspend_as_they_are_decided
    appeals_are_found_by_how_they_stand
    rejections_are_found_by_line_and_forgotten
    records_stay_in_the_outbox_of_their_node
    events_are_found_by_what_they_are
    marks_are_kept_and_forgotten
);

const SECOND: i64 = 1_000_000;

fn event(kind: EventKind, feed: &str, version: u64, secs: i64) -> Event {
    Event {
        id: 0,
        ts: Timestamp(secs * SECOND),
        node: "n1".into(),
        actor: "alice".into(),
        kind,
        feed: feed.into(),
        version,
        subject: String::new(),
        reason: "because".into(),
        detail: "{}".into(),
    }
}

fn about(kind: EventKind, feed: &str, version: u64, rule: &str, secs: i64) -> Event {
    Event { subject: rule.into(), ..event(kind, feed, version, secs) }
}

fn record(seq: u64) -> OutboxRow {
    let lane = LaneId::new(1, 2, Table::FeedEvents);
    OutboxRow { lane, seq, schema: SchemaId::newest(Table::FeedEvents), bytes: vec![7, 8] }
}

/// A place that no other record has, by the clock of the test.
fn commit(store: &dyn FeedStore, event: &Event, body: Body<'_>) -> Result<u64, Error> {
    let seq = store.newest()? + 1;
    let basis = store.newest_of(&event.feed)?;
    store.commit(event, body, Some(basis), Some(&record(seq)))
}

fn add_feed(store: &dyn FeedStore, feed: &str, secs: i64) -> u64 {
    let spec = format!("{{\"name\":\"{feed}\"}}");
    commit(store, &event(EventKind::FeedAdded, feed, 0, secs), Body::Spec(&spec)).unwrap()
}

fn arrived(n: u8) -> NewVersion {
    NewVersion {
        digest: [n; 32],
        bytes: u64::from(n),
        received_at: Timestamp(i64::from(n)),
        source: "/lists/a".into(),
        signer: "key".into(),
    }
}

fn judgement(accepted: u64) -> Judgement {
    Judgement {
        accepted,
        rejected: 2,
        duplicates: 3,
        conflicts: 4,
        not_evaluable: 5,
        findings: "{}".into(),
    }
}

fn add_version(store: &dyn FeedStore, feed: &str, number: u64, kind: EventKind, secs: i64) {
    let received = event(EventKind::Received, feed, number, secs);
    commit(store, &received, Body::Version(&arrived(number as u8))).unwrap();
    let judged = event(kind, feed, number, secs);
    commit(store, &judged, Body::Judgement(&judgement(number), &[])).unwrap();
}

fn at(secs: i64) -> Timestamp {
    Timestamp(secs * SECOND)
}

fn what_one_node_writes_another_reads<D: Database>() {
    let database = D::fresh();
    let (one, two) = (database.open(), database.open());
    assert_eq!(two.newest().unwrap(), 0);
    add_feed(&*one, "bureau", 1);
    add_version(&*one, "bureau", 1, EventKind::Activated, 2);
    assert_eq!(two.newest().unwrap(), 3);
    let standing = two.standing(3, at(3)).unwrap();
    let feed = &standing.feeds[0];
    assert_eq!((feed.name.as_str(), feed.version, feed.newest), ("bureau", 1, 1));
    assert_eq!((feed.added, feed.version_event), (1, 3));
    assert_eq!(feed.spec, "{\"name\":\"bureau\"}");
    let version = two.version("bureau", 1).unwrap().unwrap();
    assert_eq!(version.arrived, arrived(1));
    assert_eq!(version.judgement, Some(judgement(1)));
    assert_eq!((version.last.kind, version.event), (EventKind::Activated, 2));
    assert_eq!(two.version("bureau", 2).unwrap(), None);
}

fn a_change_upon_an_older_event_is_refused_whole<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    add_feed(&*store, "a", 1);
    let basis = store.newest_of("a").unwrap();
    let received = event(EventKind::Received, "a", 1, 2);
    store.commit(&received, Body::Version(&arrived(1)), Some(basis), Some(&record(8))).unwrap();
    let second = event(EventKind::FeedChanged, "a", 0, 3);
    let refused = store.commit(&second, Body::Spec("{}"), Some(basis), Some(&record(9)));
    assert!(matches!(refused, Err(Error::Conflict)), "{refused:?}");
    assert_eq!(store.newest().unwrap(), 2);
    assert_eq!(store.outbox(&"n1".parse().unwrap()).unwrap().len(), 2);
    // Another feed's events, and a node's own, stand in nobody's way.
    add_feed(&*store, "b", 4);
    let own = event(EventKind::InForce, "a", 1, 5);
    store.commit(&own, Body::None, None, Some(&record(10))).unwrap();
    let basis = store.newest_of("a").unwrap();
    store.commit(&second, Body::Spec("{}"), Some(basis), Some(&record(11))).unwrap();
}

fn only_one_of_many_nodes_makes_a_change<D: Database>() {
    let database = D::fresh();
    let won: usize = std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..4)
            .map(|n| {
                let store = database.open();
                scope.spawn(move || {
                    let basis = Some(0);
                    let event = event(EventKind::FeedAdded, "a", 0, 1);
                    match store.commit(&event, Body::Spec("{}"), basis, Some(&record(n))) {
                        Ok(_) => 1,
                        Err(Error::Conflict) => 0,
                        Err(e) => panic!("{e}"),
                    }
                })
            })
            .collect();
        nodes.into_iter().map(|n| n.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
}

fn the_version_in_force_is_the_one_decided_last<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    add_feed(&*store, "a", 1);
    let in_force = || {
        let feed = store.standing(store.newest().unwrap(), at(99)).unwrap().feeds.remove(0);
        (feed.version, feed.newest)
    };
    assert_eq!(in_force(), (0, 0));
    add_version(&*store, "a", 1, EventKind::Activated, 2);
    add_version(&*store, "a", 2, EventKind::Held, 3);
    assert_eq!(in_force(), (1, 2));
    commit(&*store, &event(EventKind::Approved, "a", 2, 4), Body::None).unwrap();
    assert_eq!(in_force(), (2, 2));
    add_version(&*store, "a", 3, EventKind::Failed, 5);
    assert_eq!(in_force(), (2, 3));
    commit(&*store, &event(EventKind::RolledBack, "a", 1, 6), Body::None).unwrap();
    assert_eq!(in_force(), (1, 3));
    let kinds: Vec<_> =
        store.versions("a", 0, 9).unwrap().iter().map(|v| (v.number, v.last.kind)).collect();
    assert_eq!(
        kinds,
        [(3, EventKind::Failed), (2, EventKind::Approved), (1, EventKind::RolledBack)]
    );
    assert_eq!(store.versions("a", 3, 1).unwrap()[0].number, 2);
}

fn a_removed_feed_stands_no_more_and_its_numbers_go_on<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    add_feed(&*store, "a", 1);
    add_version(&*store, "a", 1, EventKind::Activated, 2);
    commit(&*store, &event(EventKind::FeedRemoved, "a", 0, 3), Body::None).unwrap();
    assert!(store.standing(store.newest().unwrap(), at(4)).unwrap().feeds.is_empty());
    add_feed(&*store, "a", 5);
    let feed = store.standing(store.newest().unwrap(), at(6)).unwrap().feeds.remove(0);
    // What it was before does not come back by itself.
    assert_eq!((feed.version, feed.newest), (0, 0));
    assert_eq!(store.newest_version("a").unwrap(), 1);
    let again = event(EventKind::Received, "a", 1, 7);
    assert!(commit(&*store, &again, Body::Version(&arrived(9))).is_err());
    add_version(&*store, "a", 2, EventKind::Activated, 8);
    assert_eq!(store.standing(store.newest().unwrap(), at(9)).unwrap().feeds[0].version, 2);
}

fn the_past_is_asked_as_the_present_is<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    add_feed(&*store, "a", 10);
    add_version(&*store, "a", 1, EventKind::Activated, 20);
    add_version(&*store, "a", 2, EventKind::Activated, 30);
    commit(&*store, &event(EventKind::FeedRemoved, "a", 0, 40), Body::None).unwrap();
    let version_at = |secs| {
        let upto = store.newest_at(at(secs)).unwrap();
        store.standing(upto, at(secs)).unwrap().feeds.first().map(|f| f.version)
    };
    assert_eq!(version_at(5), None);
    assert_eq!(version_at(10), Some(0));
    assert_eq!(version_at(25), Some(1));
    assert_eq!(version_at(30), Some(2));
    assert_eq!(version_at(41), None);
}

fn own_rule(store: &dyn FeedStore, kind: EventKind, feed: &str, rule: &str, secs: i64) -> u64 {
    let new = NewOwnRule {
        owner: "noc".into(),
        person: "carol".into(),
        authority: "CAC".into(),
        order_number: "7".into(),
        expires: at(secs + 10),
        expires_confirmed: at(secs + 99),
    };
    let version = 1 + store.standing(store.newest().unwrap(), at(0)).unwrap().instant_version;
    commit(store, &about(kind, feed, version, rule, secs), Body::OwnRule(&new)).unwrap()
}

fn own_rules_end_by_time_and_by_hand<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    let allowed = own_rule(&*store, EventKind::Allowed, "allow", "good.example", 10);
    let standing = |secs| {
        let standing = store.standing(store.newest().unwrap(), at(secs)).unwrap();
        standing.allow.into_iter().map(|r| r.rule).collect::<Vec<_>>()
    };
    assert_eq!(standing(15), ["good.example"]);
    assert!(standing(20).is_empty(), "it ends by itself");
    let second = own_rule(&*store, EventKind::Allowed, "allow", "*.good.example", 11);
    let ended = about(EventKind::Disallowed, "allow", 2, "*.good.example", 12);
    commit(&*store, &ended, Body::Ended(second)).unwrap();
    assert_eq!(standing(15), ["good.example"]);
    let twice = commit(&*store, &ended, Body::Ended(second));
    assert!(twice.is_err(), "ended twice");
    let all = store.own_rules("allow", 0, 9).unwrap();
    assert_eq!(all.iter().map(|r| r.id).collect::<Vec<_>>(), [second, allowed]);
    assert_eq!((all[0].ended_by.as_str(), all[0].ended_at), ("alice", at(12)));
    assert!(!all[0].is_in_force(at(13)) && all[1].is_in_force(at(13)));
    assert_eq!(store.own_rules("allow", second, 9).unwrap().len(), 1);
    assert_eq!(store.own_rules("instant", 0, 9).unwrap(), []);
}

fn a_block_lasts_longer_once_it_is_confirmed<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    let id = own_rule(&*store, EventKind::Blocked, "instant", "bad.example", 10);
    assert_eq!(store.own_rule(id).unwrap().unwrap().expires, at(20));
    let mut confirmed = about(EventKind::Confirmed, "instant", 2, "bad.example", 12);
    confirmed.actor = "bob".into();
    commit(&*store, &confirmed, Body::Confirmed(id)).unwrap();
    let standing = store.standing(store.newest().unwrap(), at(50)).unwrap();
    assert_eq!(standing.instant_version, 2);
    let rule = &standing.instant[0];
    assert_eq!(rule.person, "carol");
    assert_eq!((rule.expires, rule.confirmed_by.as_str()), (at(109), "bob"));
    assert_eq!(store.standing(id, at(15)).unwrap().instant[0].expires, at(20), "as it was then");
}

fn appeals_suspend_as_they_are_decided<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    let opened = about(EventKind::AppealOpened, "a", 0, "shop.example", 1);
    let body = Body::Appeal { feed: "a", claimant: "shop@example.org" };
    let id = commit(&*store, &opened, body).unwrap();
    let suspended = || store.standing(store.newest().unwrap(), at(9)).unwrap().suspended;
    assert!(suspended().is_empty());
    assert_eq!(store.appeal(id).unwrap().unwrap().status, AppealStatus::Open);
    let decide = |status, secs| {
        let decided = about(EventKind::AppealDecided, "a", 0, "shop.example", secs);
        commit(&*store, &decided, Body::AppealStep(id, status)).unwrap()
    };
    decide(AppealStatus::Suspended, 2);
    assert_eq!(suspended(), [("a".to_owned(), "shop.example".to_owned())]);
    let lifted = decide(AppealStatus::Lifted, 3);
    assert_eq!(suspended().len(), 1);
    decide(AppealStatus::Refused, 4);
    assert!(suspended().is_empty());
    assert_eq!(store.standing(lifted, at(9)).unwrap().suspended.len(), 1, "as it was then");
    let appeal = store.appeals(None, 0, 9).unwrap().remove(0);
    assert_eq!((appeal.status, appeal.decided_at), (AppealStatus::Refused, at(4)));
    assert_eq!(
        (appeal.claimant.as_str(), appeal.subject.as_str()),
        ("shop@example.org", "shop.example")
    );
}

fn appeals_are_found_by_how_they_stand<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    let open = |n: i64| {
        let opened = about(EventKind::AppealOpened, "a", 0, &format!("n{n}.example"), n);
        commit(&*store, &opened, Body::Appeal { feed: "a", claimant: "x" }).unwrap()
    };
    let ids: Vec<u64> = (1..=4).map(open).collect();
    for id in [ids[2], ids[3]] {
        let decided = about(EventKind::AppealDecided, "a", 0, "x.example", 5);
        commit(&*store, &decided, Body::AppealStep(id, AppealStatus::Refused)).unwrap();
    }
    let found = |status, before, limit| -> Vec<u64> {
        store.appeals(status, before, limit).unwrap().iter().map(|a| a.id).collect()
    };
    // A page is full of what was asked for, however much of another kind lies in between.
    assert_eq!(found(Some(AppealStatus::Open), 0, 1), [ids[1]]);
    assert_eq!(found(Some(AppealStatus::Open), ids[1], 1), [ids[0]]);
    assert_eq!(found(Some(AppealStatus::Refused), 0, 9), [ids[3], ids[2]]);
    assert_eq!(found(Some(AppealStatus::Lifted), 0, 9), [0; 0]);
    assert_eq!(found(None, 0, 9), [ids[3], ids[2], ids[1], ids[0]]);
}

fn rejections_are_found_by_line_and_forgotten<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    add_feed(&*store, "a", 1);
    let rejection = |line| Rejection {
        line,
        code: "bad-name".into(),
        reason: "not a name".into(),
        text: "..".into(),
    };
    let all: Vec<_> = (1..=5).map(rejection).collect();
    for number in 1..=2 {
        let received = event(EventKind::Received, "a", number, 2);
        commit(&*store, &received, Body::Version(&arrived(1))).unwrap();
        let judged = event(EventKind::Activated, "a", number, 3);
        commit(&*store, &judged, Body::Judgement(&judgement(1), &all)).unwrap();
    }
    assert_eq!(store.rejections("a", 1, 2, 3).unwrap(), all[1..4]);
    store.forget_rejections("a", 2).unwrap();
    assert_eq!(store.rejections("a", 1, 0, 9).unwrap(), []);
    assert_eq!(store.rejections("a", 2, 0, 9).unwrap(), all);
}

fn records_stay_in_the_outbox_of_their_node<D: Database>() {
    let database = D::fresh();
    let (n1, n2): (NodeName, NodeName) = ("n1".parse().unwrap(), "n2".parse().unwrap());
    {
        let store = database.open();
        let one = event(EventKind::FeedAdded, "a", 0, 1);
        store.commit(&one, Body::Spec("{}"), Some(0), Some(&record(1))).unwrap();
        let two = Event { node: "n2".into(), ..event(EventKind::FeedAdded, "b", 0, 1) };
        // Nodes number their lanes by themselves.
        store.commit(&two, Body::Spec("{}"), Some(0), Some(&record(1))).unwrap();
    }
    let store = database.open();
    assert_eq!(store.outbox(&n1).unwrap(), [record(1)]);
    store.forget(&n1, &[(record(1).lane, 1)]).unwrap();
    assert_eq!(store.outbox(&n1).unwrap(), []);
    assert_eq!(store.outbox(&n2).unwrap(), [record(1)]);
}

fn events_are_found_by_what_they_are<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    add_feed(&*store, "a", 1);
    add_version(&*store, "a", 1, EventKind::Held, 2);
    add_feed(&*store, "b", 3);
    own_rule(&*store, EventKind::Blocked, "instant", "bad.example", 4);
    let ids = |query: EventQuery<'_>| {
        let events = store.events(&EventQuery { limit: 9, ..query }).unwrap();
        events.iter().map(|e| e.id).collect::<Vec<_>>()
    };
    let all = EventQuery::default();
    assert_eq!(ids(all.clone()), [1, 2, 3, 4, 5]);
    assert_eq!(ids(EventQuery { from: 3, ..all.clone() }), [4, 5]);
    assert_eq!(ids(EventQuery { newest_first: true, from: 3, ..all.clone() }), [2, 1]);
    assert_eq!(ids(EventQuery { newest_first: true, ..all.clone() }), [5, 4, 3, 2, 1]);
    assert_eq!(ids(EventQuery { feed: Some("a"), version: Some(1), ..all.clone() }), [2, 3]);
    let kinds = &[EventKind::Held, EventKind::FeedAdded];
    assert_eq!(ids(EventQuery { kinds, ..all.clone() }), [1, 3, 4]);
    assert_eq!(ids(EventQuery { subject: Some("bad.example"), ..all.clone() }), [5]);
    let event = store.events(&EventQuery { limit: 1, from: 2, ..all }).unwrap().remove(0);
    assert_eq!((event.kind, event.actor.as_str(), event.ts), (EventKind::Held, "alice", at(2)));
}

fn marks_are_kept_and_forgotten<D: Database>() {
    let database = D::fresh();
    database.open().set_mark("etag:a", Some("x")).unwrap();
    let store = database.open();
    assert_eq!(store.mark("etag:a").unwrap().as_deref(), Some("x"));
    store.set_mark("etag:a", Some("y")).unwrap();
    assert_eq!(store.mark("etag:a").unwrap().as_deref(), Some("y"));
    store.set_mark("etag:a", None).unwrap();
    assert_eq!(store.mark("etag:a").unwrap(), None);
}

/// Whoever opens the file by other means cannot rewrite what happened either.
#[test]
fn history_refuses_to_be_rewritten() {
    let database = Sqlite::fresh();
    let store = database.open();
    add_feed(&*store, "a", 1);
    add_version(&*store, "a", 1, EventKind::Activated, 2);
    own_rule(&*store, EventKind::Blocked, "instant", "bad.example", 4);
    let opened = about(EventKind::AppealOpened, "a", 0, "x", 5);
    let appeal = commit(&*store, &opened, Body::Appeal { feed: "a", claimant: "x" }).unwrap();
    let decided = about(EventKind::AppealDecided, "a", 0, "x", 6);
    commit(&*store, &decided, Body::AppealStep(appeal, AppealStatus::Lifted)).unwrap();
    let blocked = store.own_rules("instant", 0, 1).unwrap()[0].id;
    let confirmed = about(EventKind::Confirmed, "instant", 2, "bad.example", 7);
    commit(&*store, &confirmed, Body::Confirmed(blocked)).unwrap();
    let db = rusqlite::Connection::open(database.0.path().join("policy.sqlite")).unwrap();
    for (table, column) in [
        ("events", "actor"),
        ("specs", "spec"),
        ("versions", "digest"),
        ("judgements", "accepted"),
        ("own_rules", "expires"),
        ("own_rule_steps", "step"),
        ("appeals", "claimant"),
        ("appeal_steps", "status"),
    ] {
        for sql in
            [format!("UPDATE {table} SET {column} = {column}"), format!("DELETE FROM {table}")]
        {
            let refused = db.execute(&sql, []).unwrap_err().to_string();
            assert!(refused.contains("do not change") || refused.contains("stay"), "{refused}");
        }
    }
}
