//! What every database of links must do.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tracegate::{
    clock::Timestamp,
    links::{
        Destination, Error, Finding, Intake, Keep, LinkQuery, LinkSettings, LinkStore, Operation,
        OutboxRow, Revision, Scheduled, SqliteLinks, State, TokenRow,
    },
    record::{LaneId, SchemaId, Table},
};

use crate::{harness::conformance, postgres_lab};

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

struct Postgres {
    server: postgres_lab::Postgres,
    database: String,
}

impl Database for Postgres {
    fn fresh() -> Self {
        let server = postgres_lab::Postgres::start();
        let database = server.database();
        Self { server, database }
    }

    fn open(&self) -> Arc<dyn LinkStore> {
        Arc::new(self.server.links(&self.database, "it").unwrap())
    }
}

macro_rules! both {
    ($($test:ident)*) => {
        conformance!(sqlite, super::Sqlite: $($test)*);
        conformance!(postgres, super::Postgres: $($test)*);
    };
}

both!(
    revisions_follow_one_another
    a_revision_that_does_not_follow_is_refused
    readers_see_a_revision_only_after_its_append
    a_refused_append_leaves_nothing
    a_crash_before_the_append_leaves_the_record_in_the_outbox
    a_record_of_unknown_fate_stops_all_writing
    numbers_are_never_given_twice
    spent_codes_are_nobody_elses
    pins_stay
    what_is_unlearned_stays_so
    tokens_come_and_go
    lists_go_on_where_they_ended
    lists_have_what_was_asked_for
    many_threads_make_one_chain
    one_that_is_refused_takes_no_other_with_it
    many_are_shown_together_or_not_at_all
    a_request_is_known_again
    what_is_alike_is_found
    what_is_due_is_found
    the_live_ones_of_an_owner_are_counted
    visits_are_given_once
    walks_are_scheduled_and_claimed_once
    what_a_walk_found_stays
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
        domain: if n == 3 { "go.example.com".into() } else { String::new() },
        settings: settings(n),
        request: format!("operator {code} {n}"),
    }
}

fn settings(n: u32) -> LinkSettings {
    match n {
        1 => LinkSettings::default(),
        _ => LinkSettings {
            tags: vec![format!("tag-{n}"), "测试".into()],
            visits_max: n,
            password: "$argon2id$".into(),
            ..LinkSettings::default()
        },
    }
}

/// Records from `seq` on, one for each revision, and what the append does.
struct Kept<'a> {
    seq: u64,
    prepared: usize,
    append: &'a mut dyn FnMut() -> Result<(), Error>,
}

impl Keep for Kept<'_> {
    fn prepare(&mut self, accepted: &[&Revision]) -> Result<Vec<OutboxRow>, Error> {
        self.prepared += accepted.len();
        Ok((self.seq..).take(accepted.len()).map(record).collect())
    }

    fn append(&mut self) -> Result<(), Error> {
        (self.append)()
    }

    fn abandon(&mut self) {}
}

/// Several revisions; the first record has number `seq`.
fn revise_all(
    store: &dyn LinkStore,
    revisions: &[Revision],
    seq: u64,
    append: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<Vec<Result<(), Error>>, Error> {
    store.revise(revisions, &mut Kept { seq, prepared: 0, append })
}

/// One revision; its own refusal and that of the transaction are the same to it.
fn revise(
    store: &dyn LinkStore,
    revision: Revision,
    seq: u64,
    append: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut results = revise_all(store, &[revision], seq, append)?;
    assert_eq!(results.len(), 1);
    results.pop().unwrap()
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
    revise(store, revision(code, n), seq, &mut || Ok(())).unwrap();
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
        let refused = Revision { request: String::new(), ..revision(code, n) };
        revise(&*store, refused, 3, &mut never).unwrap_err()
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
        assert_eq!(list(&*store, "", 10), [revision("a", 1)]);
        assert_eq!(store.outbox().unwrap(), [record(2)]);
        Ok(())
    };
    revise(&*store, revision("a", 2), 2, &mut look).unwrap();
    assert_eq!(seen, 1, "appended once");
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 2)));
    assert_eq!(store.outbox().unwrap(), []);
}

fn a_refused_append_leaves_nothing<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    for (code, n) in [("a", 2), ("b", 1)] {
        let full = revise(&*store, revision(code, n), 2, &mut || Err(Error::Full));
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
    let crashed =
        catch_unwind(AssertUnwindSafe(|| revise(&*store, revision(code, n), seq, &mut crash)));
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
    let unknown = revise(&*store, revision("a", 2), 2, &mut || Err(Error::Failed));
    assert!(matches!(unknown, Err(Error::Failed)));
    assert!(!store.takes_writes());
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 1)), "hidden");
    let mut never = || panic!("wrote on");
    let next = revise(&*store, revision("b", 1), 3, &mut never);
    assert!(matches!(next, Err(Error::Failed)));
    assert!(matches!(store.reserve(7, 1), Err(Error::Failed)));
    drop(store);
    let store = db.open();
    assert!(store.takes_writes());
    assert_eq!(store.outbox().unwrap(), [record(2)], "the next start decides");
    store.forget(&[(record(2).lane, 2)]).unwrap();
    assert_eq!(store.current("a").unwrap(), Some(revision("a", 2)));
}

fn spent_codes_are_nobody_elses<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    make(&*store, "here", 1, 1);
    store.spend(&["here", "gone", "gone"]).unwrap();
    store.spend(&["gone"]).unwrap();
    let refused = revise(&*store, revision("gone", 1), 2, &mut || Ok(()));
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    make(&*store, "here", 2, 2);
    make(&*store, "other", 1, 3);
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
        person: if name == "a" { "alice" } else { name }.into(),
        role: "writer".into(),
        owner: if name == "b" { "shop" } else { "" }.into(),
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

fn list(store: &dyn LinkStore, after: &str, limit: usize) -> Vec<Revision> {
    store.list(&LinkQuery { after: after.into(), limit, ..LinkQuery::default() }).unwrap()
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
        let page = list(&*store, &after, 3);
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
                    let revision = Revision { request: String::new(), ..revision("a", next) };
                    match revise(&**store, revision, seq, &mut || Ok(())) {
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

fn lists_have_what_was_asked_for<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    let mut seq = 0;
    // Links of one to three revisions; the newest alone counts.
    for (code, revisions) in [("a", 1), ("b", 2), ("c", 3), ("d", 3)] {
        for n in 1..=revisions {
            seq += 1;
            make(&*store, code, n, seq);
        }
    }
    let ask = |query: LinkQuery| -> String {
        let found = store.list(&LinkQuery { limit: 10, ..query }).unwrap();
        found.iter().map(|r| r.code.as_str()).collect()
    };
    let all = LinkQuery::default;
    // A forward is in lists of forwards alone.
    seq += 1;
    make(&*store, "fwd:a.test", 1, seq);
    assert_eq!(ask(LinkQuery { forwards: true, ..all() }), "fwd:a.test");
    assert_eq!(ask(all()), "abcd");
    for (tag, expected) in [("tag-2", "b"), ("tag-3", "cd"), ("测试", "bcd"), ("tag-1", "")] {
        assert_eq!(ask(LinkQuery { tag: Some(tag.into()), ..all() }), expected, "{tag}");
    }
    for (domain, expected) in [("go.example.com", "cd"), ("", "ab"), ("example.com", "")] {
        assert_eq!(ask(LinkQuery { domain: Some(domain.into()), ..all() }), expected, "{domain}");
    }
    for (state, expected) in [(State::Enabled, "acd"), (State::Disabled, "b"), (State::Expired, "")]
    {
        assert_eq!(ask(LinkQuery { state: Some(state), ..all() }), expected, "{state:?}");
    }
    for (owner, expected) in [("somebody", "abcd"), ("nobody", "")] {
        assert_eq!(ask(LinkQuery { owner: Some(owner.into()), ..all() }), expected, "{owner}");
    }
    for (host, expected) in [("www.example.com", "abcd"), ("example.com", "")] {
        let query = LinkQuery { target_host: Some(host.into()), ..all() };
        assert_eq!(ask(query), expected, "{host}");
    }
    let several = LinkQuery {
        after: "c".into(),
        owner: Some("somebody".into()),
        tag: Some("tag-3".into()),
        state: Some(State::Enabled),
        domain: Some("go.example.com".into()),
        target_host: Some("www.example.com".into()),
        limit: 0,
        forwards: false,
    };
    assert_eq!(ask(several), "d");
}

fn one_that_is_refused_takes_no_other_with_it<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    make(&*store, "a", 2, 2);
    let repeated = Revision { request: "operator a 1".into(), ..revision("f", 1) };
    let all = [
        revision("b", 1),
        revision("a", 1),
        revision("c", 2),
        revision("a", 2),
        revision("a", 3),
        revision("b", 1),
        revision("b", 2),
        repeated,
        revision("d", 1),
    ];
    let mut appended = 0;
    let mut append = || {
        appended += 1;
        Ok(())
    };
    let mut keep = Kept { seq: 10, prepared: 0, append: &mut append };
    let results = store.revise(&all, &mut keep).unwrap();
    assert_eq!(keep.prepared, 4, "records of what was accepted alone");
    assert_eq!(appended, 1);
    let told: Vec<&str> = results
        .iter()
        .map(|r| match r {
            Ok(()) => "made",
            Err(Error::Taken) => "taken",
            Err(Error::Unknown) => "unknown",
            Err(Error::Conflict { current: 2 }) => "conflict",
            Err(Error::Repeated) => "repeated",
            Err(e) => panic!("{e}"),
        })
        .collect();
    let expected =
        ["made", "repeated", "unknown", "repeated", "made", "repeated", "made", "repeated", "made"];
    assert_eq!(told, expected);
    let mut never = || panic!("appended nothing");
    let refused = [revision("c", 2), Revision { request: String::new(), ..revision("a", 1) }];
    let results = revise_all(&*store, &refused, 20, &mut never).unwrap();
    assert!(matches!(results[..], [Err(Error::Unknown), Err(Error::Taken)]), "{results:?}");
    let newest = list(&*store, "", 10);
    assert_eq!(newest, [revision("a", 3), revision("b", 2), revision("d", 1)]);
    assert_eq!(store.outbox().unwrap(), []);
}

fn many_are_shown_together_or_not_at_all<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    let all: Vec<Revision> = (0..500).map(|i| revision(&format!("link-{i:03}"), 1)).collect();
    let full = revise_all(&*store, &all, 0, &mut || Err(Error::Full));
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    assert_eq!(list(&*store, "", 1000), []);
    assert_eq!(store.outbox().unwrap(), []);
    let mut look = || {
        assert_eq!(list(&*store, "", 1000), []);
        assert_eq!(store.by_request(&all[7].request).unwrap(), None);
        assert_eq!(store.outbox().unwrap(), (0..500).map(record).collect::<Vec<_>>());
        Ok(())
    };
    let results = revise_all(&*store, &all, 0, &mut look).unwrap();
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(list(&*store, "", 1000), all);
    assert_eq!(store.outbox().unwrap(), []);
    // Those of a crash are whole after it, too.
    let more: Vec<Revision> = all.iter().map(|r| revision(&r.code, 2)).collect();
    let crashed = catch_unwind(AssertUnwindSafe(|| {
        revise_all(&*store, &more, 500, &mut || panic!("crash")).is_ok()
    }));
    assert!(crashed.is_err());
    drop(store);
    let store = db.open();
    let restored = store.outbox().unwrap();
    assert_eq!(restored.len(), 500);
    store.forget(&restored.iter().map(|r| (r.lane, r.seq)).collect::<Vec<_>>()).unwrap();
    assert_eq!(list(&*store, "", 1000), more);
}

fn a_request_is_known_again<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    make(&*store, "a", 2, 2);
    assert_eq!(store.by_request("operator a 1").unwrap(), Some(revision("a", 1)));
    assert_eq!(store.by_request("operator a 3").unwrap(), None);
    let mut never = || panic!("appended a record of a repeated request");
    let again = Revision { request: "operator a 1".into(), ..revision("b", 1) };
    let repeated = revise(&*store, again, 3, &mut never);
    assert!(matches!(repeated, Err(Error::Repeated)), "{repeated:?}");
    // Those without a request are never the same.
    for (code, seq) in [("c", 4), ("d", 5)] {
        let without = Revision { request: String::new(), ..revision(code, 1) };
        revise(&*store, without, seq, &mut || Ok(())).unwrap();
    }
    assert_eq!(store.by_request("").unwrap(), None);
}

fn what_is_alike_is_found<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    let find = |owner: &str, domain: &str, target: &str| -> Vec<String> {
        let found = store.alike(owner, domain, target, 2).unwrap();
        found.into_iter().map(|r| r.code).collect()
    };
    let target = &revision("a", 1).target;
    for (code, seq) in [("b", 1), ("a", 2), ("c", 3)] {
        make(&*store, code, 1, seq);
    }
    assert_eq!(find("somebody", "", target), ["c", "a"], "the last first, at most two");
    make(&*store, "c", 2, 4);
    assert_eq!(find("somebody", "", target), ["a", "b"], "it leads elsewhere now");
    assert_eq!(find("nobody", "", target), [""; 0]);
    assert_eq!(find("somebody", "go.example.com", target), [""; 0]);
    make(&*store, "c", 3, 5);
    assert_eq!(find("somebody", "go.example.com", &revision("c", 3).target), ["c"]);
}

fn what_is_due_is_found<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    let at = |secs| Timestamp::from_secs(secs);
    let mut seq = 0;
    let mut put = |code: &str, n: u32, state: State, end: i64| {
        seq += 1;
        let revision = Revision { state, expires: at(end), ..revision(code, n) };
        revise(&*store, revision, seq, &mut || Ok(())).unwrap();
    };
    put("later", 1, State::Enabled, 30);
    put("sooner", 1, State::Enabled, 20);
    put("never", 1, State::Enabled, 0);
    put("moved", 1, State::Enabled, 20);
    put("moved", 2, State::Enabled, 90);
    put("stopped", 1, State::Disabled, 20);
    put("ended", 1, State::Enabled, 20);
    put("ended", 2, State::Expired, 20);
    let due = |from, until, limit| -> Vec<String> {
        let found = store.due(at(from), at(until), limit).unwrap();
        found.into_iter().map(|r| r.code).collect()
    };
    assert_eq!(due(0, 50, 10), ["sooner", "later"]);
    assert_eq!(due(0, 50, 1), ["sooner"]);
    assert_eq!(due(21, 30, 10), ["later"]);
    assert_eq!(due(31, 89, 10), [""; 0]);
    assert_eq!(due(31, 90, 10), ["moved"]);
}

fn the_live_ones_of_an_owner_are_counted<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    let mut seq = 0;
    let mut put = |code: &str, n: u32, state: State, owner: &str| {
        seq += 1;
        let revision = Revision { state, owner: owner.into(), ..revision(code, n) };
        revise(&*store, revision, seq, &mut || Ok(())).unwrap();
    };
    put("one", 1, State::Enabled, "a");
    put("two", 1, State::Enabled, "a");
    put("two", 2, State::Enabled, "a");
    put("stopped", 1, State::Enabled, "a");
    put("stopped", 2, State::Disabled, "a");
    put("given", 1, State::Enabled, "a");
    put("given", 2, State::Enabled, "b");
    put("other", 1, State::Enabled, "b");
    let live = |owner, limit| store.live(owner, limit).unwrap();
    assert_eq!((live("a", 10), live("b", 10), live("c", 10)), (2, 2, 0));
    assert_eq!((live("a", 1), live("a", u64::MAX)), (1, 2));
}

fn visits_are_given_once<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    assert_eq!(store.lease_visits("a", 10, 25).unwrap(), 10);
    assert_eq!(store.lease_visits("a", 10, 25).unwrap(), 10);
    drop(store);
    let store = db.open();
    assert_eq!(store.lease_visits("a", 10, 25).unwrap(), 5);
    assert_eq!(store.lease_visits("a", 10, 25).unwrap(), 0);
    assert_eq!(store.lease_visits("a", 10, 20).unwrap(), 0, "fewer than were given");
    assert_eq!(store.lease_visits("a", 10, 26).unwrap(), 1);
    assert_eq!(store.lease_visits("b", 1, 1).unwrap(), 1, "links count apart");
    let given: u32 = std::thread::scope(|s| {
        let take = || (0..25).map(|_| store.lease_visits("c", 3, 100).unwrap()).sum::<u32>();
        let threads: Vec<_> = (0..4).map(|_| s.spawn(take)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(given, 100);
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

/// Takes everything behind `after` into the schedule, at a time when it is new.
fn take_in(store: &dyn LinkStore, after: i64, settle: bool) -> (i64, usize) {
    let now = Timestamp::from_secs(1_800_000_400);
    let spread = Duration::from_secs(100);
    let taken = store.take_in(&Intake { after, limit: 2, now, spread, settle }).unwrap();
    (taken.after, taken.count)
}

fn walks_are_scheduled_and_claimed_once<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    assert_eq!((store.walks_mark().unwrap(), take_in(&*store, 0, false)), (0, (0, 0)));
    for (seq, code) in (1..).zip(["a", "b", "c"]) {
        make(&*store, code, 1, seq);
    }
    let (after, count) = take_in(&*store, 0, false);
    assert_eq!(count, 2, "so many at a time");
    let (after, count) = take_in(&*store, after, false);
    assert_eq!((count, take_in(&*store, after, false)), (1, (after, 0)));
    let now = Timestamp::from_secs(1_800_000_500);
    let later = |secs| now.saturating_add(Duration::from_secs(secs));
    // As several nodes do it: each walk is one's alone.
    let mut claimed: Vec<_> = thread::scope(|s| {
        let claims: Vec<_> =
            (0..4).map(|_| s.spawn(|| store.claim_walks(now, later(60), 2).unwrap())).collect();
        claims.into_iter().flat_map(|c| c.join().unwrap()).collect()
    });
    // Whoever is passed over finds what is left.
    claimed.extend(store.claim_walks(now, later(60), 9).unwrap());
    claimed.sort_by(|x, y| x.code.cmp(&y.code));
    let codes: Vec<_> = claimed.iter().map(|w| w.code.as_str()).collect();
    assert_eq!(codes, ["a", "b", "c"]);
    assert_eq!(store.claim_walks(later(59), later(99), 9).unwrap(), []);
    let next = Scheduled { due: later(200), walked: now, failures: 0 };
    assert!(store.end_walk(&claimed[0], Some(next), None).unwrap());
    assert!(!store.end_walk(&claimed[0], Some(next), None).unwrap(), "it is ours no more");
    assert_eq!(store.scheduled("a").unwrap(), Some(next));
    let failed = Scheduled { due: later(30), walked: Timestamp::ZERO, failures: 1 };
    assert!(store.end_walk(&claimed[1], Some(failed), None).unwrap());
    assert!(store.end_walk(&claimed[2], None, None).unwrap());
    assert_eq!(store.scheduled("c").unwrap(), None);
    drop(store);
    let store = db.open();
    let due = store.claim_walks(later(300), later(400), 1).unwrap();
    assert_eq!((due[0].code.as_str(), due[0].failures), ("b", 1), "the nearest due first");
    // A new revision is walked at once, also while another walk of it is under way.
    make(&*store, "b", 2, 4);
    let after = take_in(&*store, after, false).0;
    assert!(!store.end_walk(&due[0], Some(next), None).unwrap());
    assert!(store.scheduled("b").unwrap().unwrap().due < now);
    // Looked at again, what was taken in is not taken in again.
    let before = store.scheduled("a").unwrap();
    assert_eq!(take_in(&*store, 0, true).1, 2);
    assert_eq!(store.scheduled("a").unwrap(), before);
    let mark = store.walks_mark().unwrap();
    assert!(mark > 0 && mark <= after);
}

fn what_a_walk_found_stays<D: Database>() {
    let db = D::fresh();
    let store = db.open();
    make(&*store, "a", 1, 1);
    take_in(&*store, 0, false);
    let now = Timestamp::from_secs(1_800_000_500);
    let found = |target: &str, host: &str, outcome: &str| Destination {
        code: "a".into(),
        revision: 1,
        ts: now,
        target: target.into(),
        url: format!("https://{host}/"),
        host: host.into(),
        registrable_domain: host.into(),
        outcome: outcome.into(),
        findings: [Finding::Loop].into_iter().collect(),
        detail: "x -> y".into(),
        flow: u128::MAX.to_string(),
    };
    let keep = |destination: &Destination| {
        let until = Timestamp::from_secs(1_900_000_000);
        let walk = store.claim_walks(until, until, 1).unwrap().pop().unwrap();
        let next = Scheduled { due: now, walked: now, failures: 0 };
        assert!(store.end_walk(&walk, Some(next), Some(destination)).unwrap());
    };
    assert_eq!(store.destination("a").unwrap(), None);
    let all = [
        found("https://t/", "one.com", "robots"),
        found("https://t/", "two.com", "arrived"),
        found("https://t/", "three.com", "arrived"),
    ];
    for d in &all {
        keep(d);
        assert_eq!(store.destination("a").unwrap().as_ref(), Some(d));
    }
    assert_eq!(store.first_destination("a", "https://t/").unwrap().as_ref(), Some(&all[1]));
    assert_eq!(store.first_destination("a", "https://u/").unwrap(), None);
    keep(&found("https://u/", "two.com", "arrived"));
    keep(&all[2]);
    let again = store.first_destination("a", "https://t/").unwrap();
    assert_eq!(again.as_ref(), Some(&all[2]), "another target in between");
    assert_eq!(store.destination("none").unwrap(), None);
}
