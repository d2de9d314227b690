//! Policy's control state in one SQLite file, which several nodes of one machine may share.
//!
//! One connection of each process writes, behind a mutex; a bounded pool reads. What is committed
//! is in force: readers see it at once, other processes when they look for newer events.
//!
//! **After a crash.** Between commit and append, the record is in the outbox and nowhere else:
//! start-up of its own node restores it. Between append and forgetting, it is in both: restoring
//! finds it there.

mod read;
mod write;

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Error,
    store::{
        Appeal, AppealStatus, Body, Event, EventQuery, FeedStore, OwnRule, Rejection, Standing,
        VersionRow,
    },
};
use crate::{
    clock::Timestamp,
    links::OutboxRow,
    record::{LaneId, NodeName, SchemaId},
    sql::{self, Readers},
};

/// Every migration, in order; the first is number 1.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../../migrations/policy/0001_feeds.sql"),
    include_str!("../../../migrations/policy/0002_waiting.sql"),
    include_str!("../../../migrations/policy/0003_persons.sql"),
];

/// [`FeedStore`] over SQLite.
#[derive(Debug)]
pub struct SqliteFeeds {
    writer: Mutex<Writer>,
    readers: Readers,
    /// A write's outcome is unknown; nothing is written any more.
    failed: AtomicBool,
}

#[derive(Debug)]
struct Writer {
    db: Connection,
    /// Records in the spool that could not be taken off the outbox yet.
    kept: Vec<(NodeName, LaneId, u64)>,
}

impl SqliteFeeds {
    /// Opens or makes the database at `path`, for its owner alone, with `readers` connections
    /// for reading.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or has a schema this build does not know.
    pub fn open(path: &Path, readers: usize) -> Result<Self, Error> {
        let db = sql::open(path, &MIGRATIONS)?;
        Ok(Self {
            writer: Mutex::new(Writer { db, kept: Vec::new() }),
            readers: Readers::open(path, readers)?,
            failed: AtomicBool::new(false),
        })
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(Error::Failed);
        }
        // A transaction of a holder that panicked was rolled back when it was dropped.
        Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_with<T>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        sql::transact(&mut writer.db, &self.failed, work)
    }

    /// As [`Self::write_with`], without waiting for the disk.
    fn write_lightly<T>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        writer.db.pragma_update(None, "synchronous", "normal")?;
        let done = self.write_with(writer, work);
        writer.db.pragma_update(None, "synchronous", "full")?;
        done
    }

    fn one<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<T, Error> {
        Ok(self.readers.take().prepare_cached(sql)?.query_row(params, |row| row.get(0))?)
    }
}

impl FeedStore for SqliteFeeds {
    fn newest(&self) -> Result<u64, Error> {
        self.one("SELECT coalesce(max(id), 0) FROM events", [])
    }

    fn newest_of(&self, feed: &str) -> Result<u64, Error> {
        Ok(read::newest_of(&self.readers.take(), feed)?)
    }

    fn newest_at(&self, at: Timestamp) -> Result<u64, Error> {
        // The clock may have been set back: what happened before the first later event counts.
        let sql = "SELECT coalesce((SELECT min(id) FROM events WHERE ts > ?1) - 1,
                       (SELECT max(id) FROM events), 0)";
        self.one(sql, [at.0])
    }

    fn commit(
        &self,
        event: &Event,
        body: Body<'_>,
        basis: Option<u64>,
        record: Option<&OutboxRow>,
    ) -> Result<u64, Error> {
        let mut writer = self.writer()?;
        self.write_with(&mut writer, |tx| {
            if let Some(basis) = basis
                && read::newest_of(tx, &event.feed)? != basis
            {
                return Err(Error::Conflict);
            }
            let id = write::event(tx, event)?;
            write::body(tx, id, event, body)?;
            match record {
                Some(record) => write::promise(tx, &event.node, record)?,
                None => {
                    let sql = "INSERT INTO waiting VALUES (?1, ?2)";
                    tx.prepare_cached(sql)?.execute(params![id, event.node])?;
                }
            }
            Ok(id)
        })
    }

    fn waiting(&self, node: &NodeName, limit: usize) -> Result<Vec<u64>, Error> {
        let db = self.readers.take();
        let sql = "SELECT event_id FROM waiting WHERE node = ?1 ORDER BY event_id LIMIT ?2";
        let mut rows = db.prepare_cached(sql)?;
        let rows = rows.query_map(params![node.as_str(), read::limit(limit)], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn place(&self, node: &NodeName, event: u64, record: &OutboxRow) -> Result<bool, Error> {
        let mut writer = self.writer()?;
        self.write_with(&mut writer, |tx| {
            let sql = "DELETE FROM waiting WHERE event_id = ?1 AND node = ?2";
            let waits = tx.prepare_cached(sql)?.execute(params![event, node.as_str()])? > 0;
            if waits {
                write::promise(tx, node.as_str(), record)?;
            }
            Ok(waits)
        })
    }

    fn takes_writes(&self) -> bool {
        !self.failed.load(Ordering::SeqCst)
    }

    fn outbox(&self, node: &NodeName) -> Result<Vec<OutboxRow>, Error> {
        let db = self.readers.take();
        let sql = "SELECT lane, seq, schema, bytes FROM outbox WHERE node = ?1 ORDER BY lane, seq";
        let mut rows = db.prepare_cached(sql)?;
        let rows = rows.query_map([node.as_str()], |row| {
            Ok(OutboxRow {
                lane: LaneId(row.get::<_, i64>(0)?.cast_unsigned()),
                seq: row.get::<_, i64>(1)?.cast_unsigned(),
                schema: SchemaId(row.get(2)?),
                bytes: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn forget(&self, node: &NodeName, records: &[(LaneId, u64)]) -> Result<(), Error> {
        let mut writer = self.writer()?;
        writer.kept.extend(records.iter().map(|(lane, seq)| (node.clone(), *lane, *seq)));
        let kept = std::mem::take(&mut writer.kept);
        let done = self.write_lightly(&mut writer, |tx| {
            let sql = "DELETE FROM outbox WHERE node = ?1 AND lane = ?2 AND seq = ?3";
            let mut delete = tx.prepare_cached(sql)?;
            for (node, lane, seq) in &kept {
                let place = (lane.0.cast_signed(), seq.cast_signed());
                delete.execute(params![node.as_str(), place.0, place.1])?;
            }
            Ok(())
        });
        if done.is_err() {
            writer.kept = kept;
        }
        done
    }

    fn standing(&self, upto: u64, now: Timestamp) -> Result<Standing, Error> {
        Ok(read::standing(&self.readers.take(), upto, now)?)
    }

    fn spec_at(&self, feed: &str, upto: u64) -> Result<Option<String>, Error> {
        let db = self.readers.take();
        let sql = "SELECT spec FROM specs WHERE feed = ?1 AND event_id <= ?2
                   ORDER BY event_id DESC LIMIT 1";
        Ok(db.prepare_cached(sql)?.query_row(params![feed, upto], |row| row.get(0)).optional()?)
    }

    fn events(&self, query: &EventQuery<'_>) -> Result<Vec<Event>, Error> {
        Ok(read::events(&self.readers.take(), query)?)
    }

    fn versions(&self, feed: &str, before: u64, limit: usize) -> Result<Vec<VersionRow>, Error> {
        Ok(read::versions(&self.readers.take(), feed, 0, before, limit)?)
    }

    fn version(&self, feed: &str, number: u64) -> Result<Option<VersionRow>, Error> {
        let before = number.saturating_add(1);
        Ok(read::versions(&self.readers.take(), feed, number, before, 1)?.pop())
    }

    fn newest_version(&self, feed: &str) -> Result<u64, Error> {
        let sql = "SELECT coalesce(max(number), 0) FROM versions WHERE feed = ?1";
        self.one(sql, [feed])
    }

    fn rejections(
        &self,
        feed: &str,
        number: u64,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Rejection>, Error> {
        let db = self.readers.take();
        let sql = "SELECT line, code, reason, text FROM rejections
                   WHERE feed = ?1 AND number = ?2 AND line >= ?3 ORDER BY line LIMIT ?4";
        let mut rows = db.prepare_cached(sql)?;
        let rows = rows.query_map(params![feed, number, from, read::limit(limit)], |row| {
            Ok(Rejection {
                line: row.get(0)?,
                code: row.get(1)?,
                reason: row.get(2)?,
                text: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn forget_rejections(&self, feed: &str, number: u64) -> Result<(), Error> {
        let mut writer = self.writer()?;
        self.write_lightly(&mut writer, |tx| {
            let sql = "DELETE FROM rejections WHERE feed = ?1 AND number < ?2";
            tx.execute(sql, params![feed, number])?;
            Ok(())
        })
    }

    fn own_rules(&self, feed: &str, before: u64, limit: usize) -> Result<Vec<OwnRule>, Error> {
        Ok(read::own_rules(&self.readers.take(), feed, before, limit)?)
    }

    fn own_rule(&self, id: u64) -> Result<Option<OwnRule>, Error> {
        Ok(read::own_rule(&self.readers.take(), id, u64::MAX)?)
    }

    fn own_rule_at(&self, id: u64, upto: u64) -> Result<Option<OwnRule>, Error> {
        Ok(read::own_rule(&self.readers.take(), id, upto)?)
    }

    fn appeals(
        &self,
        status: Option<AppealStatus>,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Appeal>, Error> {
        Ok(read::appeals(&self.readers.take(), status, 0, before, limit)?)
    }

    fn appeal(&self, id: u64) -> Result<Option<Appeal>, Error> {
        Ok(read::appeals(&self.readers.take(), None, id, id.saturating_add(1), 1)?.pop())
    }

    fn mark(&self, name: &str) -> Result<Option<String>, Error> {
        let db = self.readers.take();
        let sql = "SELECT value FROM marks WHERE name = ?1";
        Ok(db.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
    }

    fn set_mark(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let mut writer = self.writer()?;
        self.write_lightly(&mut writer, |tx| {
            match value {
                Some(value) => {
                    tx.execute("INSERT OR REPLACE INTO marks VALUES (?1, ?2)", params![name, value])
                }
                None => tx.execute("DELETE FROM marks WHERE name = ?1", [name]),
            }?;
            Ok(())
        })
    }
}
