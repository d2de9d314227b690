//! What every database of reports must do.

use std::sync::Arc;

use tempfile::TempDir;
use tracegate::{
    clock::{Clock, Timestamp},
    links::OutboxRow,
    record::{Flow, LaneId, NodeName, SchemaId, Table},
    reports::{
        Act, Category, Counts, Decision, Error, Kind, Person, PostgresReports, Report, ReportQuery,
        ReportStore, SqliteReports, Step,
    },
};

use crate::{harness::conformance, postgres_lab};

/// A database that can be opened again as after a crash.
trait Database {
    fn fresh() -> Self;
    fn open(&self) -> Arc<dyn ReportStore>;
}

struct Sqlite(TempDir);

impl Database for Sqlite {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn ReportStore> {
        Arc::new(SqliteReports::open(&self.0.path().join("reports.sqlite"), &node()).unwrap())
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

    fn open(&self) -> Arc<dyn ReportStore> {
        let settings = self.server.settings_of(&self.database);
        Arc::new(PostgresReports::open(settings, &node(), Clock::system()).unwrap())
    }
}

macro_rules! both {
    ($($test:ident)*) => {
        conformance!(sqlite, super::Sqlite: $($test)*);
        conformance!(postgres, super::Postgres: $($test)*);
    };
}

both! {
    a_report_is_found_as_it_came_and_its_number_is_its_own
    steps_follow_one_another_and_end_the_wait
    lists_are_newest_first_and_by_their_clock
    what_is_promised_is_forgotten_once_kept
    nothing_is_changed_or_taken_back
}

fn node() -> NodeName {
    "it".parse().unwrap()
}

fn report(number: &str, received: i64) -> Report {
    Report {
        id: 0,
        number: number.into(),
        secret: [7; 32],
        received: Timestamp::from_secs(received),
        due: Timestamp::from_secs(received + 100),
        category: Category::Fraud,
        kind: Kind::Url,
        subject: "https://坏.example/路?a=1".into(),
        code: String::new(),
        registrable_domain: "xn--uis.example".into(),
        psl_version: "psl".into(),
        flow: Flow(u128::MAX - 5),
        feed: "regulator".into(),
        appeal_node: String::new(),
        appeal: 0,
    }
}

fn person() -> Person {
    Person {
        contact: "张三 13800000000".into(),
        text: "they took\nmy money".into(),
        client: "[2001:db8::7]:4711".parse().unwrap(),
    }
}

fn record(seq: u64) -> OutboxRow {
    let lane = LaneId::new(1_900_000_000, 7, Table::Reports);
    OutboxRow { lane, seq, schema: SchemaId(1), bytes: vec![1, 2, 3] }
}

fn step(event: &'static str) -> Step {
    Step {
        ts: Timestamp::from_secs(50),
        event,
        decision: Decision::Accepted,
        act: Act::Block,
        reason: "it is so".into(),
        answer: "谢谢".into(),
        actor: "alice".into(),
    }
}

fn a_report_is_found_as_it_came_and_its_number_is_its_own<D: Database>() {
    let database = D::fresh();
    let store = database.open();
    assert!(store.find("A").unwrap().is_none());
    store.add(&report("A", 10), &person(), &record(0)).unwrap();
    let again = store.add(&report("A", 20), &person(), &record(1));
    assert!(matches!(again, Err(Error::Taken)), "{again:?}");
    let store = database.open();
    let found = store.find("A").unwrap().unwrap();
    let expected = Report { id: found.report.id, ..report("A", 10) };
    assert_eq!((found.report.clone(), found.steps.len()), (expected, 0));
    assert_eq!(store.person(found.report.id).unwrap(), Some(person()));
    assert_eq!(store.person(found.report.id + 1).unwrap(), None);
    let appeal = Report { appeal_node: "it".into(), appeal: 9, ..report("B", 10) };
    store.add(&appeal, &person(), &record(2)).unwrap();
    assert_eq!(store.of_appeal(9).unwrap().unwrap().report.number, "B");
    assert!(store.of_appeal(0).unwrap().is_none() && store.of_appeal(8).unwrap().is_none());
}

fn steps_follow_one_another_and_end_the_wait<D: Database>() {
    let store = D::fresh().open_kept();
    let store = store.1;
    store.add(&report("A", 10), &person(), &record(0)).unwrap();
    let id = store.find("A").unwrap().unwrap().report.id;
    let due = Timestamp::from_secs(110);
    let counts = |now| store.counts(Timestamp::from_secs(now)).unwrap();
    assert_eq!(counts(110), Counts { open: 1, overdue: 0, next_due: due });
    assert_eq!(counts(111), Counts { open: 1, overdue: 1, next_due: due });
    store.step(id, 0, &step("decided"), &record(1)).unwrap();
    assert_eq!(counts(111), Counts::default());
    let second = store.step(id, 0, &step("decided"), &record(2));
    assert!(matches!(second, Err(Error::Conflict)), "{second:?}");
    assert!(store.outbox().unwrap().iter().all(|r| r.seq != 2), "its record went with it");
    store.step(id, 1, &step("acted"), &record(2)).unwrap();
    let found = store.find("A").unwrap().unwrap();
    assert_eq!(
        (found.steps.clone(), found.state()),
        (vec![step("decided"), step("acted")], "acted")
    );
}

fn lists_are_newest_first_and_by_their_clock<D: Database>() {
    let (_database, store) = D::fresh().open_kept();
    for (seq, number) in (0u64..).zip(["A", "B", "C", "D"]) {
        let at = 10 * i64::try_from(seq).unwrap();
        store.add(&report(number, at), &person(), &record(seq)).unwrap();
    }
    let list = |query: &ReportQuery| -> Vec<String> {
        store.list(query).unwrap().into_iter().map(|s| s.report.number).collect()
    };
    let of = |n: &str| store.find(n).unwrap().unwrap().report.id;
    let all = ReportQuery { limit: 3, ..ReportQuery::default() };
    assert_eq!(list(&all), ["D", "C", "B"]);
    assert_eq!(list(&ReportQuery { before: of("B"), ..all.clone() }), ["A"]);
    store.step(of("C"), 0, &step("decided"), &record(9)).unwrap();
    assert_eq!(list(&ReportQuery { open: true, ..all.clone() }), ["D", "B", "A"]);
    let late = ReportQuery { due_before: Timestamp::from_secs(111), ..all };
    assert_eq!(list(&late), ["B", "A"]);
}

fn what_is_promised_is_forgotten_once_kept<D: Database>() {
    let (database, store) = D::fresh().open_kept();
    store.add(&report("A", 10), &person(), &record(3)).unwrap();
    store.add(&report("B", 10), &person(), &record(4)).unwrap();
    assert_eq!(database.open().outbox().unwrap(), [record(3), record(4)]);
    store.forget(&[(record(3).lane, 3), (record(3).lane, 99)]).unwrap();
    assert_eq!(database.open().outbox().unwrap(), [record(4)]);
}

fn nothing_is_changed_or_taken_back<D: Database + Raw>() {
    let (database, store) = D::fresh().open_kept();
    store.add(&report("A", 10), &person(), &record(0)).unwrap();
    let id = store.find("A").unwrap().unwrap().report.id;
    store.step(id, 0, &step("decided"), &record(1)).unwrap();
    for statement in [
        "UPDATE reports SET subject = 'x'",
        "DELETE FROM report_steps",
        "UPDATE report_steps SET decision = 'rejected'",
    ] {
        assert!(!database.run(statement), "{statement}");
    }
    assert_eq!(store.find("A").unwrap().unwrap().report.subject, report("A", 10).subject);
}

/// Keeps the database for as long as its store is used.
trait Kept: Database + Sized {
    fn open_kept(self) -> (Self, Arc<dyn ReportStore>) {
        let store = self.open();
        (self, store)
    }
}

impl<D: Database> Kept for D {}

/// Whether a statement by hand is taken.
trait Raw {
    fn run(&self, statement: &str) -> bool;
}

impl Raw for Sqlite {
    fn run(&self, statement: &str) -> bool {
        let db = rusqlite::Connection::open(self.0.path().join("reports.sqlite")).unwrap();
        db.execute(statement, []).is_ok()
    }
}

impl Raw for Postgres {
    fn run(&self, statement: &str) -> bool {
        self.server.ask(&self.database, |s| s.execute(statement, &[]).is_ok())
    }
}
