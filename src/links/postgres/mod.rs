//! Links and tokens in PostgreSQL, for several nodes.
//!
//! **What is seen.** A revision is committed together with its record's row in the outbox, which
//! names its node; while that row is there, nobody sees the revision. A second transaction, after
//! the record is in the node's spool, takes the row off and tells every node the codes
//! ([`CHANNEL`]). So no jump is ever recorded over a conversion that is taken back.
//!
//! **One writer a node.** One connection writes, behind a mutex, and holds the node's advisory
//! lock as long as it lives: two nodes of one name are refused, and a commit that was sent and not
//! answered has come true or never will once the next connection holds the lock. Then what was in
//! doubt is taken back ([`Writer::undone`]) before anything else is written. Should the node die
//! before, its next start finds the places free that the records were promised ([`Keep::abandon`]).
//!
//! **A node that died** between the two transactions leaves revisions that nobody sees and that
//! hold up further changes of their links ([`Error::Pending`] names it) until it comes back:
//! its start-up puts the records into its spool and shows them.
//!
//! **Failure.** Without the database nothing is changed; what is in memory goes on for as long as
//! the configuration says ([`Freshness`]).

mod follow;
mod read;
mod tokens;
mod walks;
mod write;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

pub use follow::Follower;
use tokio_postgres::error::SqlState;

use super::{
    Destination, DueWalk, Error, Freshness, Intake, Keep, LinkQuery, LinkStore, OutboxRow,
    Revision, Scheduled, TakenIn, TokenRow, WalkStore,
};
use crate::{
    clock::{Clock, Timestamp},
    record::{LaneId, NodeName, SchemaId},
    sql::{
        Any,
        postgres::{self, Pool, Session, Settings},
    },
};

/// Every migration, in order; the first is number 1.
const MIGRATIONS: [&str; 5] = [
    include_str!("../../../migrations/control-pg/0001_links_and_tokens.sql"),
    include_str!("../../../migrations/control-pg/0002_walks.sql"),
    include_str!("../../../migrations/control-pg/0003_webhooks.sql"),
    include_str!("../../../migrations/control-pg/0004_spent.sql"),
    include_str!("../../../migrations/control-pg/0005_token_owner.sql"),
];

/// Where nodes tell one another what they changed.
const CHANNEL: &str = "tracegate";

/// The first half of every advisory lock of a node; the second is a hash of its name.
const NODE_LOCKS: i32 = 0x7472_6163;

/// How often a transaction that lost a race is tried.
const TRIES_MAX: u32 = 8;

/// [`LinkStore`] over PostgreSQL.
#[derive(Debug)]
pub struct PostgresLinks {
    pool: Pool,
    node: String,
    fresh: Arc<Freshness>,
    writer: Mutex<Writer>,
    /// A record's fate is unknown; nothing is written any more.
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Writer {
    session: Option<Session>,
    /// Records in the spool that could not be taken off the outbox yet.
    kept: Vec<(LaneId, u64)>,
    /// Revisions to be taken back for which that has not worked yet.
    undone: Vec<i64>,
}

impl PostgresLinks {
    /// Connects, and brings the database to its schema.
    ///
    /// # Errors
    /// When the settings are wrong, the database cannot be reached or has a schema this build does
    /// not know, or another process uses it under this node's name.
    pub fn open(
        settings: Settings,
        node: &NodeName,
        fresh: Arc<Freshness>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let pool = Pool::open(settings, clock)?;
        pool.with(|s| postgres::apply(s, "links", &MIGRATIONS))?;
        let store = Self {
            pool,
            node: node.to_string(),
            fresh,
            writer: Mutex::default(),
            failed: AtomicBool::new(false),
        };
        store.session(&mut store.locked())?;
        Ok(store)
    }

    /// The writer's connection, which holds the node's lock.
    fn session<'w>(&self, writer: &'w mut Writer) -> Result<&'w mut Session, Error> {
        if writer.session.as_ref().is_none_or(|s| !s.is_sound()) {
            // The old one ends first: the lock is its.
            writer.session = None;
            let mut session = self.pool.connect()?;
            let sql = "SELECT pg_advisory_lock($1, hashtext($2))";
            match session.execute(sql, &[&NODE_LOCKS, &self.node]) {
                Ok(_) => {}
                Err(e) if e.is(&SqlState::QUERY_CANCELED) => {
                    return Err(Error::OtherNode(self.node.clone()));
                }
                Err(e) => return Err(e.into()),
            }
            writer.session = Some(session);
        }
        writer.session.as_mut().ok_or(Error::Failed)
    }

    /// Runs `work` in one transaction of the writer's.
    fn write<T>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&mut Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.session(writer)?;
        let done = session.transact(work);
        if done.is_err() && !session.is_sound() {
            self.pool.lost(&postgres::Error::Down("the connection was lost".into()));
        }
        done
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        self.refuse_failed()?;
        Ok(self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Writer> {
        // A holder that panicked left a connection that is not used again, and lists that are whole.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_failed(&self) -> Result<(), Error> {
        if self.failed.load(Ordering::SeqCst) { Err(Error::Failed) } else { Ok(()) }
    }

    /// Takes back what is to be taken back and shows what is kept.
    fn settle(&self, writer: &mut Writer) -> Result<(), Error> {
        if writer.undone.is_empty() && writer.kept.is_empty() {
            return Ok(());
        }
        let (undone, kept) = (writer.undone.clone(), writer.kept.clone());
        self.write(writer, |tx| {
            write::undo(tx, &undone)?;
            write::show(tx, &self.node, &kept)
        })?;
        writer.undone.clear();
        writer.kept.clear();
        Ok(())
    }

    /// Whether something is to be shown or taken back.
    fn is_unsettled(&self) -> bool {
        // Whoever is writing settles it.
        let Ok(writer) = self.writer.try_lock() else { return false };
        !writer.undone.is_empty() || !writer.kept.is_empty()
    }

    /// The same for whoever looks after the channel, should the next change be long in coming.
    fn settle_later(&self) -> Result<(), Error> {
        let mut writer = self.writer()?;
        self.settle(&mut writer)
    }

    /// Writes what follows, up to and including the commit.
    fn commit(
        &self,
        writer: &mut Writer,
        revisions: &[Revision],
        keep: &mut dyn Keep,
    ) -> Result<Committed, Error> {
        let mut ids = Vec::new();
        let written = self.write(writer, |tx| {
            let checked = write::check(tx, &self.node, revisions)?;
            if checked.accepted.is_empty() {
                return Ok(Committed { results: checked.results, rows: Vec::new() });
            }
            let made = write::insert(tx, &checked.accepted)?;
            let rows = keep.prepare(&checked.accepted)?;
            write::outbox(tx, &self.node, &rows, &made)?;
            ids = made;
            Ok(Committed { results: checked.results, rows })
        });
        // From here on they are taken back unless their records are kept.
        match written {
            Ok(committed) => {
                writer.undone.append(&mut ids);
                Ok(committed)
            }
            Err(Error::InDoubt) => {
                keep.abandon();
                writer.undone.append(&mut ids);
                writer.session = None;
                Err(Error::Away("it was lost in the middle of a commit".into()))
            }
            Err(e) => Err(e),
        }
    }
}

/// What a transaction wrote.
struct Committed {
    results: Vec<Result<(), Error>>,
    rows: Vec<OutboxRow>,
}

impl LinkStore for PostgresLinks {
    fn current(&self, code: &str) -> Result<Option<Revision>, Error> {
        self.pool.with(|s| read::current(s, code))
    }

    fn revisions(&self, code: &str, from: u32, limit: usize) -> Result<Vec<Revision>, Error> {
        self.pool.with(|s| read::revisions(s, code, from, limit))
    }

    fn list(&self, query: &LinkQuery) -> Result<Vec<Revision>, Error> {
        self.pool.with(|s| read::list(s, query))
    }

    fn by_request(&self, request: &str) -> Result<Option<Revision>, Error> {
        self.pool.with(|s| read::by_request(s, request))
    }

    fn alike(
        &self,
        owner: &str,
        domain: &str,
        target: &str,
        limit: usize,
    ) -> Result<Vec<Revision>, Error> {
        self.pool.with(|s| read::alike_to(s, [owner, domain, target], limit))
    }

    fn due(&self, from: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Revision>, Error> {
        self.pool.with(|s| read::due(s, from, until, limit))
    }

    fn lease_visits(&self, code: &str, portion: u32, max: u32) -> Result<u32, Error> {
        self.refuse_failed()?;
        self.pool.with(|s| s.transact(|tx| write::lease_visits(tx, code, portion, max)))
    }

    fn live(&self, owner: &str, limit: u64) -> Result<u64, Error> {
        self.pool.with(|s| read::live(s, owner, limit))
    }

    fn newest(&self) -> Result<Timestamp, Error> {
        self.pool
            .with(|s| read::number(s, "SELECT coalesce(max(ts), 0) FROM revisions"))
            .map(Timestamp)
    }

    fn revise(
        &self,
        revisions: &[Revision],
        keep: &mut dyn Keep,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let mut writer = self.writer()?;
        self.settle(&mut writer)?;
        let mut tries = 0;
        let committed = loop {
            tries += 1;
            match self.commit(&mut writer, revisions, keep) {
                Err(Error::Race) if tries < TRIES_MAX => {}
                done => break done?,
            }
        };
        let Committed { results, rows } = committed;
        if rows.is_empty() {
            return Ok(results);
        }
        match keep.append() {
            Ok(()) => {}
            Err(Error::Failed) => {
                writer.undone.clear();
                self.failed.store(true, Ordering::SeqCst);
                return Err(Error::Failed);
            }
            Err(e) => {
                if let Err(e) = self.settle(&mut writer) {
                    tracing::warn!(error = %e, "revisions without records are taken back later");
                }
                return Err(e);
            }
        }
        writer.undone.clear();
        writer.kept.extend(rows.iter().map(|r| (r.lane, r.seq)));
        if let Err(e) = self.settle(&mut writer) {
            tracing::warn!(error = %e, "kept revisions are not in force yet");
            return Err(Error::Unshown);
        }
        Ok(results)
    }

    fn takes_writes(&self) -> bool {
        !self.failed.load(Ordering::SeqCst)
    }

    fn freshness(&self) -> Option<Arc<Freshness>> {
        Some(Arc::clone(&self.fresh))
    }

    fn outbox(&self) -> Result<Vec<OutboxRow>, Error> {
        let sql = "SELECT lane, seq, schema, bytes FROM outbox WHERE node = $1 ORDER BY lane, seq";
        let rows = self.pool.with(|s| s.query(sql, &[&self.node]))?;
        let row = |row: tokio_postgres::Row| {
            let schema: i32 = row.try_get(2)?;
            Ok::<_, postgres::Error>(OutboxRow {
                lane: LaneId(row.try_get::<_, i64>(0)?.cast_unsigned()),
                seq: row.try_get::<_, i64>(1)?.cast_unsigned(),
                schema: SchemaId(schema.try_into().unwrap_or_default()),
                bytes: row.try_get(3)?,
            })
        };
        Ok(rows.into_iter().map(row).collect::<Result<_, _>>()?)
    }

    fn forget(&self, records: &[(LaneId, u64)]) -> Result<(), Error> {
        let mut writer = self.writer()?;
        writer.kept.extend_from_slice(records);
        self.settle(&mut writer)
    }

    fn reserve(&self, length: u8, count: u64) -> Result<u64, Error> {
        self.refuse_failed()?;
        let sql = "INSERT INTO sequences VALUES ($1, $2) ON CONFLICT (length)
                   DO UPDATE SET next = sequences.next + $2 RETURNING next - $2";
        let (length, count) = (i16::from(length), count.cast_signed());
        let first = self.pool.with(|s| read::first(s, sql, &[&length, &count]))?;
        Ok(first.unwrap_or_default().cast_unsigned())
    }

    fn raise(&self, length: u8, next: u64) -> Result<(), Error> {
        self.refuse_failed()?;
        let sql = "INSERT INTO sequences VALUES ($1, $2) ON CONFLICT (length)
                   DO UPDATE SET next = greatest(sequences.next, $2)";
        let (length, next) = (i16::from(length), next.cast_signed());
        self.pool.with(|s| s.execute(sql, &[&length, &next]))?;
        Ok(())
    }

    fn spend(&self, codes: &[&str]) -> Result<(), Error> {
        self.refuse_failed()?;
        let sql = "INSERT INTO spent SELECT DISTINCT c.code COLLATE \"C\"
                   FROM unnest($1::text[]) AS c (code)
                   WHERE NOT EXISTS (SELECT 1 FROM revisions AS r
                       WHERE r.code = c.code COLLATE \"C\")
                   ON CONFLICT DO NOTHING";
        self.pool.with(|s| s.execute(sql, &[&codes]))?;
        Ok(())
    }

    fn pin(&self, name: &str, value: &[u8]) -> Result<bool, Error> {
        self.refuse_failed()?;
        self.pool.with(|s| {
            s.execute("INSERT INTO pins VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&name, &value])?;
            let row = s.query_opt("SELECT value FROM pins WHERE name = $1", &[&name])?;
            Ok(row.is_some_and(|row| row.get::<_, &[u8]>(0) == value))
        })
    }

    fn unlearned(&self) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT ts FROM marks WHERE name = 'unlearned'";
        Ok(self.pool.with(|s| read::first(s, sql, &[]))?.map(Timestamp))
    }

    fn set_unlearned(&self, since: Option<Timestamp>) -> Result<(), Error> {
        self.refuse_failed()?;
        self.pool.with(|s| {
            match since {
                Some(since) => s.execute(
                    "INSERT INTO marks VALUES ('unlearned', $1)
                     ON CONFLICT (name) DO UPDATE SET ts = $1",
                    &[&since.0],
                ),
                None => s.execute("DELETE FROM marks WHERE name = 'unlearned'", &[]),
            }?;
            Ok(())
        })
    }

    fn transact(
        &self,
        work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.pool.with(|s| s.transact(|tx| work(tx)))
    }

    fn look(&self, work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>) -> Result<(), Error> {
        self.pool.with(|s| work(s))
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.pool.with(tokens::all)
    }

    fn add_token(&self, token: &TokenRow) -> Result<(), Error> {
        self.refuse_failed()?;
        self.pool.with(|s| s.transact(|tx| tokens::add(tx, token)))
    }

    fn revoke_token(&self, name: &str, actor: &str, ts: Timestamp) -> Result<bool, Error> {
        self.refuse_failed()?;
        self.pool.with(|s| s.transact(|tx| tokens::revoke(tx, name, actor, ts)))
    }
}

impl WalkStore for PostgresLinks {
    fn walks_mark(&self) -> Result<i64, Error> {
        self.pool.with(walks::mark)
    }

    fn take_in(&self, intake: &Intake) -> Result<TakenIn, Error> {
        self.refuse_failed()?;
        self.pool.with(|s| s.transact(|tx| walks::take_in(tx, intake)))
    }

    fn claim_walks(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWalk>, Error> {
        self.refuse_failed()?;
        self.pool.with(|s| walks::claim(s, now, until, limit))
    }

    fn end_walk(
        &self,
        walk: &DueWalk,
        next: Option<Scheduled>,
        found: Option<&Destination>,
    ) -> Result<bool, Error> {
        self.refuse_failed()?;
        self.pool.with(|s| s.transact(|tx| walks::end(tx, walk, next, found)))
    }

    fn scheduled(&self, code: &str) -> Result<Option<Scheduled>, Error> {
        self.pool.with(|s| walks::scheduled(s, code))
    }

    fn destination(&self, code: &str) -> Result<Option<Destination>, Error> {
        self.pool.with(|s| walks::newest(s, code))
    }

    fn first_destination(&self, code: &str, target: &str) -> Result<Option<Destination>, Error> {
        self.pool.with(|s| walks::first(s, code, target))
    }
}
