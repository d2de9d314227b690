//! What every database of links must do; SQLite runs it, a second one shall.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use tempfile::TempDir;
use tracegate::{
    clock::Timestamp,
    links::{Error, LinkStore, Operation, OutboxRow, Revision, SqliteLinks, State, TokenRow},
    record::{LaneId, SchemaId, Table},
};

use crate::harness::conformance;

/// A database that can be opened again as after a crash.
trait Database {
    fn fresh() -> Self;
    fn open(&self) -> Arc<dyn LinkStore>;
}

struct Sqlite(TempDir);

impl Database for Sqlite {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn LinkStore> {
        Arc::new(SqliteLinks::open(&self.0.path().join("control.sqlite"), 2).unwrap())
    }
}

conformance!(sqlite, super::Sqlite:
    revisions_follow_one_another
    a_revision_that_does_not_follow_is_refused
    readers_see_a_revision_only_after_its_append
    a_refused_append_leaves_nothing
    a_crash_before_the_append_leaves_the_record_in_the_outbox
    a_record_of_unknown_fate_stops_all_writing
    numbers_are_never_given_twice
    pins_stay
    what_is_unlearned_stays_so
    tokens_come_and_go
    lists_go_on_where_they_ended
    many_threads_make_one_chain
);

fn revision(code: &str, n: u32) -> Revision {
    Revision {
        code: code.into(),
        revision: n,
        ts: Timestamp::from_secs(1_800_000_000 + i64::from(n)),
        operation: if n == 1 { Operation::Create } else { Operation::Edit },
        target_submitted: format!("HTTPS://www.example.com/{n}"),
        target: format!("https://www.example.com/{n}"),
        target_host: "www.example.com".into(),
        target_registrable_domain: "example.com".into(),
        state: if n.is_multiple_of(2) { State::Disabled } else { State::Enabled },
        expires: Timestamp::ZERO,
        actor: "operator".into(),
        owner: "somebody".into(),
        reason: "测试 'quoted'; --".into(),
        psl_version: "1".into(),
    }
}

fn record(seq: u64) -> OutboxRow {
    OutboxRow {
        lane: LaneId::new(1_800_000_000, u16::MAX, Table::Conversions),
        seq,
        schema: SchemaId::newest(Table::Conversions),
        bytes: vec![seq as u8; 100],
    }
}

fn make(store: &dyn LinkStore, code: &str, n: u32, seq: u64) {
    store.revise(&revision(code, n), &record(seq), &mut || Ok(())).unwrap();
}

fn revisions_follow_one_another<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    assert_eq!(store.current("a").unwrap(), None);
    assert_eq!(store.newest().unwrap(), Timestamp::ZERO);
    for n in 1..=3 {
        make(&*store, "a", n, n.into());
        assert_eq!(store.current("a").unwrap(), Some(revision("a", n)));
    }
    make(&*store, "A", 1, 9);
    drop(store);
    let store = db.open();
    let all: Vec<_> = (1..=3).map(|n| revision("a", n)).collect();
    assert_eq!(store.revisions("a", 1, 10).unwrap(), all);
    assert_eq!(store.revisions("a", 2, 1).unwrap(), all[1..2]);
    assert_eq!(store.revisions("b", 1, 10).unwrap(), []);
    assert_eq!(store.current("A").unwrap(), Some(revision("A", 1)), "codes differ by case");
    assert_eq!(store.newest().unwrap(), revision("a", 3).ts);
    assert_eq!(store.outbox().unwrap(), []);
}

fn a_revision_that_does_not_follow_is_refused<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    make(&*store, "a", 2, 2);
    let refused = |code, n| {
        let mut never = || panic!("appended a record of a refused revision");
        store.revise(&revision(code, n), &record(3), &mut never).unwrap_err()
    };
    assert!(matches!(refused("a", 1), Error::Taken));
    assert!(matches!(refused("b", 2), Error::Unknown));
    assert!(matches!(refused("a", 2), Error::Conflict { current: 2 }));
    assert!(matches!(refused("a", 4), Error::Conflict { current: 2 }));
    assert_eq!(store.outbox().unwrap(), []);
    make(&*store, "a", 3, 3);
}

fn readers_see_a_revision_only_after_its_append<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    let mut seen = 0;
    let mut look = || {
        seen += 1;
        assert_eq!(store.current("a").unwrap(), Some(revision("a", 1)));
        assert_eq!(store.revisions("a", 1, 10).unwrap().len(), 1);
        assert_eq!(store.list_from("", 10).unwrap(), [revision("a", 1)]);
        assert_eq!(store.outbox().unwrap(), [record(2)]);
        Ok(())
    };
    store.revise(&revision("a", 2), &record(2), &mut look).unwrap();
    assert_eq!(seen, 1, "appended once");
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 2)));
    assert_eq!(store.outbox().unwrap(), []);
}

fn a_refused_append_leaves_nothing<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    for (code, n) in [("a", 2), ("b", 1)] {
        let full = store.revise(&revision(code, n), &record(2), &mut || Err(Error::Full));
        assert!(matches!(full, Err(Error::Full)), "{full:?}");
    }
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 1)));
    assert_eq!(store.current("b").unwrap(), None);
    assert_eq!(store.outbox().unwrap(), []);
    drop(store);
    let store = db.open();
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 1)));
    make(&*store, "a", 2, 2);
    make(&*store, "b", 1, 3);
}

/// Ends `store` in the middle of an append, as a crash would.
fn crash_in_append(store: Arc<dyn LinkStore>, code: &str, n: u32, seq: u64) {
    let mut crash = || panic!("crash");
    let crashed = catch_unwind(AssertUnwindSafe(|| {
        store.revise(&revision(code, n), &record(seq), &mut crash)
    }));
    assert!(crashed.is_err());
    drop(store);
}

fn a_crash_before_the_append_leaves_the_record_in_the_outbox<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    crash_in_append(store, "a", 2, 2);
    let store = db.open();
    assert_eq!(store.outbox().unwrap(), [record(2)]);
    // Start-up restores what is in the outbox before anybody reads.
    store.forget(&[(record(2).lane, 2)]).unwrap();
    assert_eq!(store.outbox().unwrap(), []);
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 2)));
    make(&*store, "a", 3, 3);
}

fn a_record_of_unknown_fate_stops_all_writing<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    let unknown = store.revise(&revision("a", 2), &record(2), &mut || Err(Error::Failed));
    assert!(matches!(unknown, Err(Error::Failed)));
    assert!(!store.takes_writes());
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 1)), "hidden");
    let mut never = || panic!("wrote on");
    let next = store.revise(&revision("b", 1), &record(3), &mut never);
    assert!(matches!(next, Err(Error::Failed)));
    assert!(matches!(store.reserve(7, 1), Err(Error::Failed)));
    drop(store);
    let store = db.open();
    assert!(store.takes_writes());
    assert_eq!(store.outbox().unwrap(), [record(2)], "the next start decides");
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 2)));
}

fn numbers_are_never_given_twice<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    assert_eq!(store.reserve(7, 10).unwrap(), 0);
    assert_eq!(store.reserve(7, 1).unwrap(), 10);
    assert_eq!(store.reserve(8, 5).unwrap(), 0, "lengths count apart");
    drop(store);
    let store = db.open();
    assert_eq!(store.reserve(7, 1).unwrap(), 11);
    store.raise(7, 100).unwrap();
    store.raise(7, 50).unwrap();
    store.raise(9, 3).unwrap();
    assert_eq!(store.reserve(7, 1).unwrap(), 100);
    assert_eq!(store.reserve(9, 1).unwrap(), 3);
}

fn what_is_unlearned_stays_so<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    assert_eq!(store.unlearned().unwrap(), None);
    let since = Timestamp::from_secs(7);
    store.set_unlearned(Some(Timestamp::ZERO)).unwrap();
    store.set_unlearned(Some(since)).unwrap();
    make(&*store, "a", 1, 1);
    drop(store);
    let store = db.open();
    assert_eq!(store.unlearned().unwrap(), Some(since));
    store.set_unlearned(None).unwrap();
    store.set_unlearned(None).unwrap();
    drop(store);
    assert_eq!(db.open().unlearned().unwrap(), None);
}

fn pins_stay<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    assert!(store.pin("key", b"one").unwrap());
    assert!(store.pin("key", b"one").unwrap());
    assert!(!store.pin("key", b"two").unwrap());
    drop(store);
    assert!(!db.open().pin("key", b"two").unwrap());
    assert!(db.open().pin("key", b"one").unwrap());
}

fn tokens_come_and_go<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    let token = |name: &str, n| TokenRow {
        name: name.into(),
        role: "writer".into(),
        digest: [n; 32],
        created: Timestamp::from_secs(1),
        expires: Timestamp::from_secs(2),
        actor: "operator".into(),
    };
    store.add_token(&token("b", 1)).unwrap();
    store.add_token(&token("a", 2)).unwrap();
    assert!(matches!(store.add_token(&token("a", 3)), Err(Error::Taken)));
    assert_eq!(store.tokens().unwrap(), [token("a", 2), token("b", 1)]);
    assert!(store.revoke_token("a", "operator", Timestamp::from_secs(3)).unwrap());
    assert!(!store.revoke_token("a", "operator", Timestamp::from_secs(3)).unwrap());
    drop(store);
    let store = db.open();
    assert_eq!(store.tokens().unwrap(), [token("b", 1)]);
    store.add_token(&token("a", 4)).unwrap();
    assert_eq!(store.tokens().unwrap().len(), 2);
}

fn lists_go_on_where_they_ended<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    let mut seq = 0;
    for code in ["c", "a", "b", "B"] {
        for n in 1..=2 {
            seq += 1;
            make(&*store, code, n, seq);
        }
    }
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.list_from(&after, 3).unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.code);
        all.extend(page);
    }
    let expected: Vec<_> = ["B", "a", "b", "c"].map(|code| revision(code, 2)).into();
    assert_eq!(all, expected);
}

fn many_threads_make_one_chain<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    std::thread::scope(|s| {
        for thread in 0..4 {
            let store = &store;
            s.spawn(move || {
                let mut made = 0;
                while made < 5 {
                    let next = store.current("a").unwrap().map_or(1, |r| r.revision + 1);
                    let seq = u64::from(next) * 10 + thread;
                    match store.revise(&revision("a", next), &record(seq), &mut || Ok(())) {
                        Ok(()) => made += 1,
                        Err(Error::Conflict { .. } | Error::Taken) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            });
        }
    });
    let numbers: Vec<u32> =
        store.revisions("a", 1, 100).unwrap().iter().map(|r| r.revision).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert_eq!(store.outbox().unwrap(), []);
}

/// The file is ours alone, and history cannot be rewritten through SQL either.
#[test]
fn sqlite_keeps_history_and_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sqlite");
    let store = SqliteLinks::open(&path, 1).unwrap();
    make(&store, "a", 1, 1);
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    for file in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
        assert_eq!(mode(&dir.path().join(file)), 0o600, "{file}");
    }
    let db = rusqlite::Connection::open(&path).unwrap();
    for sql in ["UPDATE revisions SET target = 'https://evil.example/'", "DELETE FROM revisions"] {
        let error = db.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("revisions"), "{error}");
    }
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 1)));
}
