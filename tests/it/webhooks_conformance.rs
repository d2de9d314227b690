//! The queue of webhooks, in either database of links.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tracegate::{
    clock::Timestamp,
    feeds::SqliteFeeds,
    links::{
        Destination, Error, Finding, Intake as WalkIntake, Keep, LinkSettings, LinkStore,
        Operation, OutboxRow, Revision, Scheduled, SqliteLinks, State,
    },
    record::{LaneId, SchemaId, Table},
    reports::SqliteReports,
    webhooks::{
        Claimed, Ended, Intake, Kind, NewEndpoint, Sources, State as Stands, Store, Tidy, intake,
    },
};

use crate::{harness::conformance, postgres_lab};

const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);

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

both! {
    a_change_is_told_once_it_is_seen_and_one_taken_back_never
    a_delivery_is_somebodys_until_its_time_has_come
    a_full_queue_is_seen_and_what_is_over_is_forgotten
    a_changed_destination_is_told
}

/// The queue under test, with empty databases beside it.
struct Queue {
    store: Arc<dyn LinkStore>,
    reports: SqliteReports,
    feeds: SqliteFeeds,
    _dir: TempDir,
}

impl Queue {
    fn new(store: Arc<dyn LinkStore>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = "it".parse().unwrap();
        let reports = SqliteReports::open(&dir.path().join("reports.sqlite"), &node).unwrap();
        let feeds = SqliteFeeds::open(&dir.path().join("policy.sqlite"), 1).unwrap();
        Self { store, reports, feeds, _dir: dir }
    }

    fn take_in(&self, queue_max: u64) -> usize {
        let from =
            Sources { links: &*self.store, reports: &self.reports, feeds: &self.feeds, node: "it" };
        intake(from, &Intake { batch_max: 100, queue_max, now: NOW }).unwrap()
    }

    fn add(&self, kinds: &[Kind]) -> i64 {
        let new = NewEndpoint {
            url: "https://example.com/",
            kinds,
            note: "",
            salt: [9; 32],
            actor: "operator",
        };
        let mut id = 0;
        self.store.transact(&mut |db| Store::add(db, &new, NOW).map(|made| id = made)).unwrap();
        id
    }

    fn claim(&self, endpoint: i64, now: Timestamp, limit: usize) -> Vec<Claimed> {
        let until = now.saturating_add(Duration::from_secs(60));
        let mut claimed = Vec::new();
        let mut work = |db: &mut dyn tracegate::sql::Any| {
            claimed = Store::claim(db, endpoint, now, until, limit)?;
            Ok(())
        };
        self.store.transact(&mut work).unwrap();
        claimed
    }

    fn end(&self, claimed: &Claimed, end: &Ended) -> bool {
        let mut ours = false;
        self.store
            .transact(&mut |db| Store::end(db, claimed, end, NOW).map(|was| ours = was))
            .unwrap();
        ours
    }

    fn counts(&self, endpoint: i64) -> (u64, u64) {
        let mut counts = (0, 0);
        self.store
            .look(&mut |db| Store::counts(db, endpoint).map(|c| counts = (c.waiting, c.dead)))
            .unwrap();
        counts
    }
}

fn revision(code: &str, n: u32) -> Revision {
    Revision {
        code: code.into(),
        revision: n,
        ts: Timestamp::from_secs(1_800_000_000 + i64::from(n)),
        operation: if n == 1 { Operation::Create } else { Operation::Disable },
        target_submitted: "https://www.example.com/".into(),
        target: "https://www.example.com/".into(),
        target_host: "www.example.com".into(),
        target_registrable_domain: "example.com".into(),
        state: if n == 1 { State::Enabled } else { State::Disabled },
        expires: Timestamp::ZERO,
        actor: "operator".into(),
        owner: "somebody".into(),
        reason: "private".into(),
        psl_version: "1".into(),
        domain: String::new(),
        settings: LinkSettings::default(),
        request: String::new(),
    }
}

struct Kept<'a> {
    seq: u64,
    append: &'a mut dyn FnMut() -> Result<(), Error>,
}

impl Keep for Kept<'_> {
    fn prepare(&mut self, accepted: &[&Revision]) -> Result<Vec<OutboxRow>, Error> {
        let row = |seq| OutboxRow {
            lane: LaneId::new(1_800_000_000, u16::MAX, Table::Conversions),
            seq,
            schema: SchemaId::newest(Table::Conversions),
            bytes: vec![1; 10],
        };
        Ok((self.seq..).take(accepted.len()).map(row).collect())
    }

    fn append(&mut self) -> Result<(), Error> {
        (self.append)()
    }

    fn abandon(&mut self) {}
}

fn make(store: &dyn LinkStore, code: &str, n: u32, seq: u64) {
    let results = store.revise(&[revision(code, n)], &mut Kept { seq, append: &mut || Ok(()) });
    results.unwrap().pop().unwrap().unwrap();
}

fn a_change_is_told_once_it_is_seen_and_one_taken_back_never<D: Database>() {
    let db = D::fresh();
    let queue = Queue::new(db.open());
    make(&*queue.store, "before", 1, 0);
    let all = queue.add(&[]);
    let some = queue.add(&[Kind::LinkDisabled]);
    assert_eq!(queue.take_in(100), 0, "nobody was there to tell");
    make(&*queue.store, "one", 1, 1);
    make(&*queue.store, "one", 2, 2);
    make(&*queue.store, "fwd:old.example.com", 1, 3);
    let mut refuse = || Err(Error::Full);
    let refused =
        queue.store.revise(&[revision("two", 1)], &mut Kept { seq: 4, append: &mut refuse });
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    assert_eq!(queue.take_in(100), 3);
    // Before its record is kept nobody is told.
    let mut during = || {
        assert_eq!(queue.take_in(100), 0);
        Ok(())
    };
    let kept =
        queue.store.revise(&[revision("three", 1)], &mut Kept { seq: 5, append: &mut during });
    kept.unwrap();
    assert_eq!(queue.take_in(100), 1);
    assert_eq!(queue.take_in(100), 0, "once");
    assert_eq!((queue.counts(all), queue.counts(some)), ((4, 0), (1, 0)));
    let told = queue.claim(all, NOW, 10);
    let kinds: Vec<&str> = told
        .iter()
        .map(|c| c.body.split("\"type\":\"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    assert_eq!(kinds, ["link.created", "link.disabled", "forward.created", "link.created"]);
    assert!(told.iter().all(|c| !c.body.contains("somebody") && !c.body.contains("private")));
    assert!(told[2].body.contains("\"from\":\"old.example.com\""), "{}", told[2].body);
    assert_eq!(queue.claim(some, NOW, 10)[0].message, told[1].message, "one id for everybody");
}

fn a_delivery_is_somebodys_until_its_time_has_come<D: Database>() {
    let db = D::fresh();
    let queue = Queue::new(db.open());
    let hook = queue.add(&[]);
    for i in 0..3u64 {
        make(&*queue.store, &format!("code-{i}"), 1, i);
    }
    queue.take_in(100);
    let one = queue.claim(hook, NOW, 1).pop().unwrap();
    assert_eq!(one.attempt, 1);
    assert_eq!(queue.claim(hook, NOW, 10).len(), 2, "the others");
    assert_eq!(queue.claim(hook, NOW, 10), []);
    // Whoever had it died: another takes it, and what the first one says no longer counts.
    let later = one.until.saturating_add(Duration::from_secs(1));
    let again = queue.claim(hook, later, 10);
    assert_eq!(again.len(), 3);
    let again = again.into_iter().find(|c| c.id == one.id).unwrap();
    assert_eq!((again.attempt, &again.message), (2, &one.message));
    let made = Ended { state: Stands::Delivered, due: NOW, status: 204, outcome: "" };
    assert!(!queue.end(&one, &made));
    assert!(queue.end(&again, &made));
    assert!(!queue.end(&again, &made), "it has ended");
    assert_eq!(queue.counts(hook), (2, 0));
    // Many at once: nobody gets what somebody has.
    for i in 10..50u64 {
        make(&*queue.store, &format!("code-{i}"), 1, i);
    }
    queue.take_in(100);
    let claimed: Vec<i64> = std::thread::scope(|s| {
        let take = || queue.claim(hook, NOW, 10).into_iter().map(|c| c.id).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| s.spawn(take)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let different: std::collections::BTreeSet<i64> = claimed.iter().copied().collect();
    assert_eq!(claimed.len(), different.len(), "{claimed:?}");
}

fn a_full_queue_is_seen_and_what_is_over_is_forgotten<D: Database>() {
    let db = D::fresh();
    let queue = Queue::new(db.open());
    let hook = queue.add(&[]);
    for i in 0..5u64 {
        make(&*queue.store, &format!("code-{i}"), 1, i);
    }
    queue.take_in(3);
    assert_eq!(queue.counts(hook), (3, 2));
    let mut found = Vec::new();
    let mut look = |db: &mut dyn tracegate::sql::Any| {
        found = Store::deliveries(db, hook, Stands::Dead, i64::MAX, 10)?;
        Ok(())
    };
    queue.store.look(&mut look).unwrap();
    assert!(found.iter().all(|d| d.outcome == "queue_full"), "{found:?}");
    let mut resent = 0;
    queue
        .store
        .transact(&mut |db| Store::resend(db, hook, Some(found[0].id), NOW).map(|n| resent = n))
        .unwrap();
    assert_eq!((resent, queue.counts(hook)), (1, (4, 1)));
    let day = Duration::from_secs(86_400);
    let tidy = Tidy { delivered: day, dead: 2 * day, limit: 100 };
    let at = |days: u32| NOW.saturating_add(day * days);
    let gone = |now| {
        let mut gone = 0;
        queue.store.transact(&mut |db| Store::tidy(db, &tidy, now).map(|n| gone = n)).unwrap();
        gone
    };
    assert_eq!(gone(at(1)), 0);
    // A delivery, and the message that nobody is to have any more.
    assert_eq!(gone(at(3)), 2);
    assert_eq!(queue.counts(hook), (4, 0), "what waits stays");
}

fn a_changed_destination_is_told<D: Database>() {
    let db = D::fresh();
    let queue = Queue::new(db.open());
    make(&*queue.store, "one", 1, 0);
    let hook = queue.add(&[Kind::DestinationChanged]);
    let spread = Duration::ZERO;
    let walks = WalkIntake { after: 0, limit: 10, now: NOW, spread, settle: false };
    queue.store.take_in(&walks).unwrap();
    let far = NOW.saturating_add(Duration::from_secs(60));
    for findings in [vec![], vec![Finding::DestinationChanged]] {
        let walk = queue.store.claim_walks(far, far.saturating_add(Duration::from_secs(60)), 1);
        let walk = walk.unwrap().pop().unwrap();
        let found = Destination {
            code: "one".into(),
            revision: 1,
            ts: NOW,
            target: "https://www.example.com/".into(),
            url: "https://elsewhere.example.net/a".into(),
            host: "elsewhere.example.net".into(),
            registrable_domain: "example.net".into(),
            outcome: "arrived".into(),
            findings: findings.into_iter().collect(),
            detail: String::new(),
            flow: "0".into(),
        };
        let next = Scheduled { due: NOW, walked: NOW, failures: 0 };
        assert!(queue.store.end_walk(&walk, Some(next), Some(&found)).unwrap());
    }
    assert_eq!(queue.take_in(100), 1);
    let told = queue.claim(hook, NOW, 10);
    assert_eq!(told.len(), 1);
    assert!(told[0].body.contains("https://elsewhere.example.net/a"), "{}", told[0].body);
    assert!(told[0].body.contains("\"findings\":[\"destination_changed\"]"), "{}", told[0].body);
}
