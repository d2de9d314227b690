//! A crash at every point of a conversion: neither lost nor doubled.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::Value;
use tracegate::{
    clock::{Clock, Timestamp},
    config::Config,
    links::{
        Actor, By, Destination, Draft, DueWalk, Edit, Error, How, Intake, Keep, LinkQuery,
        LinkSettings, LinkStore, NotConverted, OutboxRow, Revision, Role, Scheduled, SeenCode,
        State, TakenIn, TokenRow, WalkStore, codes_in_spool,
    },
    metrics::Metrics,
    record::{LaneId, Table},
    sql::Any,
};

use crate::site::{BEGIN, open_links, records};

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeTransaction,
    /// The records have their places; nothing is committed.
    InTransaction,
    BeforeAppend,
    AfterAppend,
    Never,
}

/// The records of a conversion in which the process dies.
struct DyingKeep<'a> {
    keep: &'a mut dyn Keep,
    at: Option<Point>,
}

impl Keep for DyingKeep<'_> {
    fn prepare(&mut self, accepted: &[&Revision]) -> Result<Vec<OutboxRow>, Error> {
        let rows = self.keep.prepare(accepted)?;
        assert!(self.at != Some(Point::InTransaction), "dies");
        Ok(rows)
    }

    fn append(&mut self) -> Result<(), Error> {
        assert!(self.at != Some(Point::BeforeAppend), "dies");
        self.keep.append()?;
        assert!(self.at != Some(Point::AfterAppend), "dies");
        Ok(())
    }

    fn abandon(&mut self) {
        self.keep.abandon();
    }
}

/// A database whose process dies at one point of one conversion.
#[derive(Debug)]
struct Dying<S> {
    inner: S,
    at: Point,
    /// Conversions until then.
    left: AtomicU32,
}

impl<S: LinkStore> WalkStore for Dying<S> {
    fn walks_mark(&self) -> Result<i64, Error> {
        self.inner.walks_mark()
    }
    fn take_in(&self, intake: &Intake) -> Result<TakenIn, Error> {
        self.inner.take_in(intake)
    }
    fn claim_walks(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWalk>, Error> {
        self.inner.claim_walks(now, until, limit)
    }
    fn end_walk(
        &self,
        walk: &DueWalk,
        next: Option<Scheduled>,
        found: Option<&Destination>,
    ) -> Result<bool, Error> {
        self.inner.end_walk(walk, next, found)
    }
    fn scheduled(&self, code: &str) -> Result<Option<Scheduled>, Error> {
        self.inner.scheduled(code)
    }
    fn destination(&self, code: &str) -> Result<Option<Destination>, Error> {
        self.inner.destination(code)
    }
    fn first_destination(&self, code: &str, target: &str) -> Result<Option<Destination>, Error> {
        self.inner.first_destination(code, target)
    }
}

impl<S: LinkStore> LinkStore for Dying<S> {
    fn revise(
        &self,
        revisions: &[Revision],
        keep: &mut dyn Keep,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let dies = self.left.fetch_sub(1, Ordering::SeqCst) == 1;
        let at = dies.then_some(self.at);
        assert!(at != Some(Point::BeforeTransaction), "dies");
        self.inner.revise(revisions, &mut DyingKeep { keep, at })
    }

    fn current(&self, code: &str) -> Result<Option<Revision>, Error> {
        self.inner.current(code)
    }
    fn revisions(&self, code: &str, from: u32, limit: usize) -> Result<Vec<Revision>, Error> {
        self.inner.revisions(code, from, limit)
    }
    fn list(&self, query: &LinkQuery) -> Result<Vec<Revision>, Error> {
        self.inner.list(query)
    }
    fn by_request(&self, request: &str) -> Result<Option<Revision>, Error> {
        self.inner.by_request(request)
    }
    fn alike(
        &self,
        owner: &str,
        domain: &str,
        target: &str,
        limit: usize,
    ) -> Result<Vec<Revision>, Error> {
        self.inner.alike(owner, domain, target, limit)
    }
    fn due(&self, from: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Revision>, Error> {
        self.inner.due(from, until, limit)
    }
    fn lease_visits(&self, code: &str, portion: u32, max: u32) -> Result<u32, Error> {
        self.inner.lease_visits(code, portion, max)
    }
    fn live(&self, owner: &str, limit: u64) -> Result<u64, Error> {
        self.inner.live(owner, limit)
    }
    fn transact(
        &self,
        work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.inner.transact(work)
    }
    fn look(&self, work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>) -> Result<(), Error> {
        self.inner.look(work)
    }
    fn newest(&self) -> Result<Timestamp, Error> {
        self.inner.newest()
    }
    fn takes_writes(&self) -> bool {
        self.inner.takes_writes()
    }
    fn outbox(&self) -> Result<Vec<OutboxRow>, Error> {
        self.inner.outbox()
    }
    fn forget(&self, records: &[(LaneId, u64)]) -> Result<(), Error> {
        self.inner.forget(records)
    }
    fn reserve(&self, length: u8, count: u64) -> Result<u64, Error> {
        self.inner.reserve(length, count)
    }
    fn raise(&self, length: u8, next: u64) -> Result<(), Error> {
        self.inner.raise(length, next)
    }
    fn spend(&self, codes: &[&str]) -> Result<(), Error> {
        self.inner.spend(codes)
    }
    fn pin(&self, name: &str, value: &[u8]) -> Result<bool, Error> {
        self.inner.pin(name, value)
    }
    fn unlearned(&self) -> Result<Option<Timestamp>, Error> {
        self.inner.unlearned()
    }
    fn set_unlearned(&self, since: Option<Timestamp>) -> Result<(), Error> {
        self.inner.set_unlearned(since)
    }
    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.inner.tokens()
    }
    fn add_token(&self, token: &TokenRow) -> Result<(), Error> {
        self.inner.add_token(token)
    }
    fn revoke_token(&self, name: &str, actor: &str, ts: Timestamp) -> Result<bool, Error> {
        self.inner.revoke_token(name, actor, ts)
    }
}

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.spool.segment_bytes_max = 1 << 20;
    config.spool.shared_segment_bytes_max = 1 << 20;
    config.spool.frame_bytes_max = 256 << 10;
    config.spool.batch_bytes_max = 64 << 10;
    config.spool.disk_free_bytes_min = 0;
    config
}

pub(crate) fn by() -> By {
    By {
        actor: Actor {
            name: "operator".into(),
            person: "operator".into(),
            role: Role::Operator,
            owner: None,
        },
        client: "192.0.2.1:4000".parse().unwrap(),
    }
}

pub(crate) fn draft(code: &str) -> Draft {
    Draft {
        target: "https://www.example.com/".into(),
        code: Some(code.into()),
        expires: Timestamp::ZERO,
        disabled: false,
        owner: "o".into(),
        reason: String::new(),
        domain: String::new(),
        settings: LinkSettings::default(),
        request: String::new(),
        reuse: false,
        forward: None,
    }
}

fn edit(n: u32) -> Edit {
    let state = if n.is_multiple_of(2) { State::Disabled } else { State::Enabled };
    Edit { state: Some(state), ..Edit::default() }
}

/// Every conversion kept, as `code revision`, in the order of lane and seq.
pub(crate) fn kept(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|r| format!("{} {}", r["code"].as_str().unwrap(), r["revision"])).collect()
}

/// Three conversions, of which number `nth` dies at `point`; then a restart, the same again and
/// one more; then what the spool holds is what the database says, once each.
fn check(point: Point, nth: u32) {
    let (dir, config) = (tempfile::tempdir().unwrap(), config());
    let clock = Clock::fixed(BEGIN);
    let metrics = Metrics::new();
    let mut all = Vec::new();
    {
        let (spool, links) = open_links(dir.path(), &config, &clock, &metrics, &[], |inner| {
            Arc::new(Dying { inner, at: point, left: AtomicU32::new(nth) })
        });
        let died = catch_unwind(AssertUnwindSafe(|| {
            links.create(draft("link-a"), &by()).unwrap();
            links.edit("link-a", &edit(2), &by()).unwrap();
            links.edit("link-a", &edit(3), &by()).unwrap();
        }));
        assert_eq!(died.is_err(), point != Point::Never);
        // Nothing is closed: lanes, spool and database end as they stand.
        drop(links);
        drop(spool);
    }
    clock.advance(std::time::Duration::from_secs(2));
    for round in 0..2 {
        let (spool, links) =
            open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
        assert_eq!(links.store().outbox().unwrap(), []);
        if round == 0 {
            links.create(draft("link-b"), &by()).unwrap();
            let newest = links.store().current("link-a").unwrap();
            let next = newest.map_or(1, |r| r.revision) + 1;
            match links.edit("link-a", &edit(next), &by()) {
                Ok(_) | Err(NotConverted::Control(Error::Unknown)) => {}
                Err(e) => panic!("{e}"),
            }
        }
        all.clear();
        for code in ["link-a", "link-b"] {
            for r in links.store().revisions(code, 1, 100).unwrap() {
                all.push(format!("{} {}", r.code, r.revision));
            }
        }
        drop(links);
        spool.maintain();
        spool.close().unwrap();
        let mut kept = kept(records(&spool).of(Table::Conversions));
        kept.sort();
        assert_eq!(kept, all, "{point:?} {nth}, start {round}");
        drop(spool);
        clock.advance(std::time::Duration::from_secs(2));
    }
    let expected = match point {
        Point::Never => 5,
        // The one that died in between was committed: it counts. Before, it does not.
        Point::BeforeTransaction | Point::InTransaction if nth == 1 => 1,
        Point::BeforeTransaction | Point::InTransaction => nth as usize + 1,
        Point::BeforeAppend | Point::AfterAppend => nth as usize + 2,
    };
    assert_eq!(all.len(), expected, "{point:?} {nth}");
}

#[test]
fn a_crash_at_any_point_loses_and_doubles_nothing() {
    use Point::{AfterAppend, BeforeAppend, BeforeTransaction, InTransaction};
    for point in [BeforeTransaction, InTransaction, BeforeAppend, AfterAppend] {
        for nth in 1..=3 {
            check(point, nth);
        }
    }
    check(Point::Never, 99);
}

/// Chunks of many: each is there as a whole or not at all, in the database as in the spool.
#[test]
fn a_crash_among_many_loses_and_doubles_nothing() {
    use Point::{AfterAppend, BeforeAppend, BeforeTransaction, InTransaction};
    for (point, kept_chunks) in
        [(BeforeTransaction, 1), (InTransaction, 1), (BeforeAppend, 2), (AfterAppend, 2)]
    {
        let (dir, config) = (tempfile::tempdir().unwrap(), config());
        let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
        let drafts =
            || (0..300).map(|i| Draft { request: format!("r {i}"), ..draft(&format!("link_{i}")) });
        let (spool, links) = open_links(dir.path(), &config, &clock, &metrics, &[], |inner| {
            Arc::new(Dying { inner, at: point, left: AtomicU32::new(2) })
        });
        let died = catch_unwind(AssertUnwindSafe(|| links.create_many(drafts().collect(), &by())));
        assert!(died.is_err(), "{point:?}");
        drop(links);
        drop(spool);
        clock.advance(std::time::Duration::from_secs(2));
        let (spool, links) =
            open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
        let all = LinkQuery { limit: 1000, ..LinkQuery::default() };
        let there = links.store().list(&all).unwrap().len();
        // A batch of the spool holds about a hundred of them.
        assert!(there > 0 && there.is_multiple_of(kept_chunks) && there < 300, "{there}");
        // The same request again makes what is missing, and that alone.
        let made = links.create_many(drafts().collect(), &by());
        let new = made.iter().filter(|m| m.as_ref().unwrap().how == How::New).count();
        assert_eq!(new + there, 300, "{point:?}");
        let all = links.store().list(&all).unwrap();
        assert_eq!(all.len(), 300);
        drop(links);
        spool.maintain();
        spool.close().unwrap();
        let mut kept = kept(records(&spool).of(Table::Conversions));
        kept.sort();
        let mut expected: Vec<_> = all.iter().map(|r| format!("{} 1", r.code)).collect();
        expected.sort();
        assert_eq!(kept, expected, "{point:?}");
    }
}

fn named(seen: &[SeenCode]) -> Vec<String> {
    seen.iter().map(|s| s.code.clone()).collect()
}

#[test]
fn codes_seen_elsewhere_are_never_made_again() {
    let (dir, config) = (tempfile::tempdir().unwrap(), config());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let open = || open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
    let (spool, links) = open();
    let any = || Draft { code: None, ..draft("") };
    let made = |links: &tracegate::links::Links| links.create(any(), &by()).unwrap().revision.code;
    assert_eq!(links.unlearned().unwrap(), Timestamp::ZERO);
    let first: Vec<String> = (0..200).map(|_| made(&links)).collect();
    // A start that did not get to the end of its asking is no reason to ask for less.
    assert_eq!(links.unlearned().unwrap(), Timestamp::ZERO);
    links.learned().unwrap();
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(links.unlearned().unwrap(), BEGIN.saturating_sub(day));
    drop(links);
    spool.close().unwrap();
    drop(spool);
    // The database is lost; the key and the records are not.
    for file in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
        std::fs::remove_file(dir.path().join(file)).ok();
    }
    clock.advance(std::time::Duration::from_secs(2));
    let (spool, links) = open();
    assert_eq!(links.unlearned().unwrap(), Timestamp::ZERO);
    let seen = codes_in_spool(&spool);
    assert_eq!((named(&seen.codes), seen.unread), (first.clone(), 0));
    let seen_code = |code: &str, taken_over| SeenCode { code: code.into(), taken_over };
    let others = [
        seen_code("chosen-one", false),
        seen_code("partner!", true),
        seen_code("fwd:old.example/", false),
    ];
    links.learn(&[&seen.codes[..], &others].concat()).unwrap();
    // What somebody chose or brought along is nobody else's now.
    let taken = links.create(draft("chosen-one"), &by());
    assert!(matches!(taken, Err(NotConverted::Control(Error::Taken))), "{taken:?}");
    for _ in 0..200 {
        let code = made(&links);
        assert!(!first.contains(&code), "{code} was made twice");
    }
    assert_eq!(links.unlearned().unwrap(), Timestamp::ZERO, "nobody has learned them yet");
}

/// One frame waits, one is under way, one is in the store, one will never be; then one is bad.
#[test]
fn codes_are_learned_wherever_their_frames_stand() {
    let (dir, config) = (tempfile::tempdir().unwrap(), config());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let open = || open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
    let mut given = Vec::new();
    for _ in 0..4 {
        let (spool, links) = open();
        let any = || Draft { code: None, ..draft("") };
        given.extend((0..3).map(|_| links.create(any(), &by()).unwrap().revision.code));
        drop(links);
        spool.close().unwrap();
        drop(spool);
        clock.advance(std::time::Duration::from_secs(2));
    }
    let (spool, _links) = open();
    let mut frames = spool.frames();
    frames.retain(|f| f.table == Table::Conversions);
    assert_eq!(frames.len(), 4);
    let ship = |n: usize| spool.begin_shipment(vec![frames[n].clone()]).unwrap();
    ship(1);
    spool.acknowledge(ship(2)).unwrap();
    spool.set_aside(ship(3), "refused").unwrap();
    let seen = codes_in_spool(&spool);
    assert_eq!((named(&seen.codes), seen.unread), (given.clone(), 0));

    let (offset, name) = (frames[1].offset, format!("{}-", frames[1].lane));
    let segments = std::fs::read_dir(dir.path().join("spool")).unwrap().flatten();
    let mut segments = segments.filter(|e| e.file_name().to_str().unwrap().starts_with(&name));
    let path = segments.next().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(offset).unwrap() + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let seen = codes_in_spool(&spool);
    given.drain(3..6);
    assert_eq!((named(&seen.codes), seen.unread), (given, 1));
}

#[test]
fn another_key_is_refused() {
    let (dir, config) = (tempfile::tempdir().unwrap(), config());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let (spool, links) = open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s));
    drop(links);
    drop(spool);
    std::fs::remove_file(dir.path().join("secrets/codes.key")).unwrap();
    clock.advance(std::time::Duration::from_secs(2));
    let again = catch_unwind(AssertUnwindSafe(|| {
        open_links(dir.path(), &config, &clock, &metrics, &[], |s| Arc::new(s))
    }));
    assert!(again.is_err(), "codes of another key would collide");
}
