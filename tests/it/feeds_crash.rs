//! A crash at every point of a change of policy: nothing is lost, doubled or half in force.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tracegate::{
    clock::Timestamp,
    feeds::{
        Appeal, AppealStatus, Body, Error, Event, EventKind, EventQuery, FeedStore, NewBlock,
        NewOwnRule, OwnRule, Rejection, Standing, VersionRow,
    },
    links::OutboxRow,
    record::{LaneId, NodeName, Table},
};

use crate::feeds_lab::{Machine, by};

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeCommit,
    AfterCommit,
    AfterPlace,
    AfterAppend,
    /// It lives, and waits for others.
    MeetBefore,
    MeetAfter,
}

/// What a process waits for in the middle of a change.
struct Meet(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Meet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meet")
    }
}

/// A database whose process dies at one point of one change.
#[derive(Debug)]
struct Dying {
    inner: Arc<dyn FeedStore>,
    at: Point,
    kind: EventKind,
    /// Changes of this kind until then.
    left: AtomicU32,
    dead: std::sync::atomic::AtomicBool,
    /// Whoever reads what stands waits while it is held.
    reading: Arc<Mutex<()>>,
    /// How many have begun to.
    readers: Arc<AtomicU32>,
    meet: Meet,
}

impl Dying {
    fn die(&self) -> Error {
        self.dead.store(true, Ordering::SeqCst);
        Error::Failed
    }

    fn alive(&self) -> Result<(), Error> {
        if self.dead.load(Ordering::SeqCst) { Err(Error::Failed) } else { Ok(()) }
    }
}

impl FeedStore for Dying {
    fn commit(
        &self,
        event: &Event,
        body: Body<'_>,
        basis: Option<u64>,
        record: Option<&OutboxRow>,
    ) -> Result<u64, Error> {
        self.alive()?;
        let dies = event.kind == self.kind && self.left.fetch_sub(1, Ordering::SeqCst) == 1;
        if dies && self.at == Point::BeforeCommit {
            return Err(self.die());
        }
        if dies && self.at == Point::MeetBefore {
            (self.meet.0)();
        }
        let id = self.inner.commit(event, body, basis, record)?;
        if dies && self.at == Point::MeetAfter {
            (self.meet.0)();
        }
        if dies && self.at == Point::AfterCommit {
            // The record is promised and never appended.
            self.die();
            panic!("dies");
        }
        Ok(id)
    }
    fn forget(&self, node: &NodeName, records: &[(LaneId, u64)]) -> Result<(), Error> {
        self.alive()?;
        if self.at == Point::AfterAppend && self.left.load(Ordering::SeqCst) == 0 {
            return Err(self.die());
        }
        self.inner.forget(node, records)
    }
    fn newest(&self) -> Result<u64, Error> {
        self.alive()?;
        self.readers.fetch_add(1, Ordering::SeqCst);
        drop(self.reading.lock());
        self.inner.newest()
    }
    fn newest_of(&self, feed: &str) -> Result<u64, Error> {
        self.alive()?;
        self.inner.newest_of(feed)
    }
    fn newest_at(&self, at: Timestamp) -> Result<u64, Error> {
        self.inner.newest_at(at)
    }
    fn takes_writes(&self) -> bool {
        self.alive().is_ok()
    }
    fn outbox(&self, node: &NodeName) -> Result<Vec<OutboxRow>, Error> {
        self.inner.outbox(node)
    }
    fn standing(&self, upto: u64, now: Timestamp) -> Result<Standing, Error> {
        self.inner.standing(upto, now)
    }
    fn spec_at(&self, feed: &str, upto: u64) -> Result<Option<String>, Error> {
        self.inner.spec_at(feed, upto)
    }
    fn events(&self, query: &EventQuery<'_>) -> Result<Vec<Event>, Error> {
        self.inner.events(query)
    }
    fn versions(&self, feed: &str, before: u64, limit: usize) -> Result<Vec<VersionRow>, Error> {
        self.inner.versions(feed, before, limit)
    }
    fn version(&self, feed: &str, number: u64) -> Result<Option<VersionRow>, Error> {
        self.inner.version(feed, number)
    }
    fn newest_version(&self, feed: &str) -> Result<u64, Error> {
        self.inner.newest_version(feed)
    }
    fn rejections(
        &self,
        feed: &str,
        number: u64,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Rejection>, Error> {
        self.inner.rejections(feed, number, from, limit)
    }
    fn forget_rejections(&self, feed: &str, number: u64) -> Result<(), Error> {
        self.inner.forget_rejections(feed, number)
    }
    fn waiting(&self, node: &NodeName, limit: usize) -> Result<Vec<u64>, Error> {
        self.inner.waiting(node, limit)
    }
    fn place(&self, node: &NodeName, event: u64, record: &OutboxRow) -> Result<bool, Error> {
        self.alive()?;
        let placed = self.inner.place(node, event, record)?;
        if self.at == Point::AfterAppend {
            // Not before: others forget records, too.
            self.left.store(0, Ordering::SeqCst);
        }
        if self.at == Point::AfterPlace {
            // The record is promised and never appended.
            self.die();
            panic!("dies");
        }
        Ok(placed)
    }
    fn own_rule_at(&self, id: u64, upto: u64) -> Result<Option<OwnRule>, Error> {
        self.inner.own_rule_at(id, upto)
    }
    fn own_rules(&self, feed: &str, before: u64, limit: usize) -> Result<Vec<OwnRule>, Error> {
        self.inner.own_rules(feed, before, limit)
    }
    fn own_rule(&self, id: u64) -> Result<Option<OwnRule>, Error> {
        self.inner.own_rule(id)
    }
    fn appeals(
        &self,
        status: Option<AppealStatus>,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Appeal>, Error> {
        self.inner.appeals(status, before, limit)
    }
    fn appeal(&self, id: u64) -> Result<Option<Appeal>, Error> {
        self.inner.appeal(id)
    }
    fn mark(&self, name: &str) -> Result<Option<String>, Error> {
        self.inner.mark(name)
    }
    fn set_mark(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        self.alive()?;
        self.inner.set_mark(name, value)
    }
}

fn dying(machine: &Machine, at: Point, kind: EventKind) -> Arc<Dying> {
    meeting(machine, at, kind, || {})
}

fn meeting(
    machine: &Machine,
    at: Point,
    kind: EventKind,
    meet: impl Fn() + Send + Sync + 'static,
) -> Arc<Dying> {
    Arc::new(Dying {
        inner: machine.store(),
        at,
        kind,
        left: AtomicU32::new(1),
        dead: std::sync::atomic::AtomicBool::new(false),
        reading: Arc::default(),
        readers: Arc::default(),
        meet: Meet(Box::new(meet)),
    })
}

const POINTS: [Point; 3] = [Point::BeforeCommit, Point::AfterCommit, Point::AfterAppend];

#[test]
fn a_block_is_in_force_or_was_never_made_and_recorded_once() {
    for at in POINTS {
        let machine = Machine::new();
        let node = machine.node_over("n1", dying(&machine, at, EventKind::Blocked));
        let block = NewBlock { what: "evil.example".into(), ..NewBlock::default() };
        let made =
            catch_unwind(AssertUnwindSafe(|| node.with(|f| f.block_now(&block, &by("alice")))));
        node.crash();
        let node = machine.node("n1");
        let stands = at != Point::BeforeCommit;
        assert_eq!(node.blocks("evil.example"), stands, "{at:?}: {made:?}");
        let store = machine.store();
        assert_eq!(store.outbox(&"n1".parse().unwrap()).unwrap(), [], "{at:?}");
        let all = node.end();
        let blocked = all[&Table::FeedEvents].iter().filter(|r| r["event"] == "blocked").count();
        assert_eq!(blocked, usize::from(stands), "{at:?}");
    }
}

#[test]
fn a_version_under_way_leaves_the_last_good_one_and_goes_on_after_the_restart() {
    for kind in [EventKind::Received, EventKind::Activated, EventKind::InForce] {
        for at in POINTS {
            let machine = Machine::new();
            machine.write("bureau", "bad.example\n");
            let node = machine.node("n1");
            node.add(&machine.spec("bureau"));
            node.refresh("bureau");
            node.end();
            let node = machine.node_over("n1", dying(&machine, at, kind));
            machine.write("bureau", "worse.example\n");
            let looked = catch_unwind(AssertUnwindSafe(|| {
                node.runtime.block_on(node.feeds.refresh("bureau", &by("alice")))
            }));
            // Whatever it was told, nobody was answered by a mixture.
            let sees =
                |n: &crate::feeds_lab::Node| (n.blocks("bad.example"), n.blocks("worse.example"));
            let seen = sees(&node);
            assert!(matches!(seen, (true, false) | (false, true)), "{kind:?} {at:?}: {looked:?}");
            node.crash();
            let node = machine.node("n1");
            let seen = sees(&node);
            assert!(matches!(seen, (true, false) | (false, true)), "{kind:?} {at:?}");
            node.run();
            crate::harness::eventually("the second version", || {
                (sees(&node) == (false, true)).then_some(())
            });
            let versions = node.with(|f| f.versions("bureau", 0, 9)).unwrap();
            assert_eq!(versions[0].version, 2, "{kind:?} {at:?}: received once");
            let all = node.end();
            let mut ids: Vec<_> = all[&Table::FeedEvents]
                .iter()
                .map(|r| {
                    (r["lane"].clone(), r["seq"].clone()).0.to_string() + &r["seq"].to_string()
                })
                .collect();
            let count = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), count, "{kind:?} {at:?}: no record twice");
            for word in ["received", "activated"] {
                let of_two = all[&Table::FeedEvents]
                    .iter()
                    .filter(|r| r["event"] == word && r["version"] == "2")
                    .count();
                assert_eq!(of_two, 1, "{kind:?} {at:?}: {word}");
            }
        }
    }
}

#[test]
fn bytes_without_an_event_are_in_nobodys_way() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let node = machine.node_over("n1", dying(&machine, Point::BeforeCommit, EventKind::Received));
    node.add(&machine.spec("bureau"));
    let failed = node.runtime.block_on(node.feeds.refresh("bureau", &by("alice")));
    assert!(failed.is_err(), "{failed:?}");
    let versions: PathBuf = machine.dir.path().join("feeds/versions/bureau");
    assert_eq!(crate::feeds_lab::names(&versions).len(), 1, "the bytes are there");
    node.crash();
    machine.write("bureau", "other.example\n");
    let node = machine.node("n1");
    assert_eq!(node.refresh("bureau").version, 1);
    assert!(node.blocks("other.example") && !node.blocks("bad.example"));
    node.end();
    assert!(machine.node("n1").blocks("other.example"));
}

#[test]
fn a_database_that_reads_slowly_holds_up_nobody_who_only_asks() {
    let machine = Machine::new();
    machine.write("bureau", "bad.example\n");
    let store = dying(&machine, Point::BeforeCommit, EventKind::Refused);
    let (reading, readers) = (Arc::clone(&store.reading), Arc::clone(&store.readers));
    let node = machine.node_over("n1", store);
    node.add(&machine.spec("bureau"));
    let held = reading.lock().unwrap();
    let before = readers.load(Ordering::SeqCst);
    let feeds = Arc::clone(&node.feeds);
    let obeys = node.runtime.spawn_blocking(move || feeds.obey());
    crate::harness::eventually("somebody reads", || {
        (readers.load(Ordering::SeqCst) > before).then_some(())
    });
    // As `/readyz` and transfers ask, on threads that answer.
    let (tell, told) = mpsc::channel();
    let feeds = Arc::clone(&node.feeds);
    let asks = thread::spawn(move || tell.send((feeds.why_not(), feeds.specs().len())));
    let answer = told.recv_timeout(Duration::from_secs(20));
    drop(held);
    asks.join().unwrap().unwrap();
    assert_eq!(answer.unwrap(), (None, 1));
    node.runtime.block_on(obeys).unwrap().unwrap();
}

#[test]
fn a_late_record_is_there_once_whenever_its_node_dies() {
    for at in [Point::AfterPlace, Point::AfterAppend] {
        let machine = Machine::new();
        let n1: NodeName = "n1".parse().unwrap();
        let node = machine.node("n1");
        let block = NewBlock { what: "evil.example".into(), ..NewBlock::default() };
        let made = node.with(|f| f.block_now(&block, &by("alice"))).unwrap();
        node.end();
        // An event that found no room.
        let store = machine.store();
        let mut late = store.events(&EventQuery { limit: 9, ..EventQuery::default() }).unwrap();
        let late = Event { version: 2, subject: "late.example".into(), ..late.remove(0) };
        let rule = NewOwnRule {
            owner: made.owner,
            person: made.person,
            authority: made.authority,
            order_number: made.order_number,
            expires: made.expires,
            expires_confirmed: made.expires_confirmed,
        };
        store.commit(&late, Body::OwnRule(&rule), None, None).unwrap();
        assert_eq!(store.waiting(&n1, 9).unwrap().len(), 1);
        let node = machine.node_over("n1", dying(&machine, at, EventKind::Refused));
        node.run();
        crate::harness::eventually("it dies", || {
            (!node.feeds.store().takes_writes()).then_some(())
        });
        node.crash();
        let node = machine.node("n1");
        assert!(node.blocks("late.example"), "{at:?}");
        assert_eq!(store.waiting(&n1, 9).unwrap(), [] as [u64; 0], "{at:?}");
        assert_eq!(store.outbox(&n1).unwrap(), [], "{at:?}");
        let all = node.end();
        let events = all[&Table::FeedEvents].iter();
        let found = events.filter(|r| r["detail"].to_string().contains("late.example")).count();
        assert_eq!(found, 1, "{at:?}");
    }
}

/// A place where one thread says that it is there, and another one waits for that.
fn place() -> (impl Fn() + Clone + Send + Sync, impl Fn() + Send + Sync) {
    let (there, wait) = std::sync::mpsc::channel();
    let wait = Mutex::new(wait);
    let limit = std::time::Duration::from_secs(30);
    (move || there.send(()).unwrap(), move || wait.lock().unwrap().recv_timeout(limit).unwrap())
}

#[test]
fn a_version_that_one_node_goes_back_to_is_removed_by_no_other() {
    let mut machine = Machine::new();
    machine.config.versions_kept = 2;
    let node = machine.node("n1");
    for n in 1..=3 {
        machine.write("bureau", &format!("v{n}.example\n"));
        if n == 1 {
            node.add(&machine.spec("bureau"));
        }
        node.refresh("bureau");
    }
    // The rules of all of them are records: the first version is needed for nothing.
    let mark = r#"{"written":3,"version":0,"done":0}"#;
    node.with(|f| f.store().set_mark("rules:bureau", Some(mark))).unwrap();
    node.crash();
    let ((decided, until_decided), (back, until_back)) = (place(), place());
    let (tidied, until_tidied) = place();
    // One has put the fourth in force and is about to remove old ones; meanwhile, the other one has
    // read the first one and is about to say that it is in force.
    let one = meeting(&machine, Point::MeetAfter, EventKind::Activated, move || {
        decided();
        until_back();
    });
    let other = meeting(&machine, Point::MeetBefore, EventKind::RolledBack, move || {
        back();
        until_tidied();
    });
    let (one, other) = (machine.node_over("n1", one), machine.node_over("n2", other));
    machine.write("bureau", "v4.example\n");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            one.refresh("bureau");
            tidied();
        });
        until_decided();
        let gone_back = other.with(|f| f.rollback("bureau", Some(1), &by("bob")));
        assert_eq!(gone_back.unwrap(), 1);
    });
    assert!(other.blocks("v1.example"));
    assert!(machine.node("n3").blocks("v1.example"), "it is still on disk");
}

#[test]
fn a_version_that_a_node_goes_back_to_is_in_force_when_that_is_said() {
    let machine = Machine::new();
    let (back, until_back) = place();
    let (obeyed, until_obeyed) = place();
    let node = meeting(&machine, Point::MeetBefore, EventKind::RolledBack, move || {
        back();
        until_obeyed();
    });
    let node = machine.node_over("n1", node);
    for n in 1..=3 {
        machine.write("bureau", &format!("v{n}.example\n"));
        if n == 1 {
            node.add(&machine.spec("bureau"));
        }
        node.refresh("bureau");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until_back();
            // As it does several times a second, while the other thread has read the version and
            // not yet said so. Afterwards nobody can read it any more.
            node.with(|f| f.obey()).unwrap();
            std::fs::remove_dir_all(machine.dir.path().join("feeds/versions/bureau")).unwrap();
            obeyed();
        });
        node.with(|f| f.rollback("bureau", Some(1), &by("bob"))).unwrap();
        assert!(node.blocks("v1.example") && !node.blocks("v3.example"));
    });
    assert_eq!(node.feeds.why_not(), None);
}
