//! Links and tokens in one SQLite file, for one process.
//!
//! Write-ahead logging with `synchronous = FULL`: a committed revision survives a power cut. One
//! connection writes, behind a mutex; a bounded pool reads. Readers see revisions up to the mark
//! [`SqliteLinks::shown`], which moves only after a revision's record is in the spool, so that no
//! jump is ever recorded over a conversion that is taken back.
//!
//! **After a crash.** Between commit and append, the record is in the outbox and nowhere else:
//! start-up restores it. Between append and forgetting, it is in both: restoring finds it there.
//! Forgetting is not fsynced of itself; it must only be on disk before the spool purges the
//! record's segment, which takes minutes after the kernel has written it back.

mod read;
mod tokens;

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Error, LinkStore, OutboxRow, Revision, TokenRow};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId},
    sql::{self, Readers},
};

/// Every migration, in order; the first is number 1.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../../migrations/control/0001_links_and_tokens.sql"),
    include_str!("../../../migrations/control/0002_marks.sql"),
];

/// [`LinkStore`] over SQLite.
#[derive(Debug)]
pub struct SqliteLinks {
    writer: Mutex<Writer>,
    readers: Readers,
    /// The greatest id of a revision that readers may see.
    shown: AtomicI64,
    /// A write's outcome is unknown; nothing is written any more.
    failed: AtomicBool,
}

#[derive(Debug)]
struct Writer {
    db: Connection,
    /// Records in the spool that could not be taken off the outbox yet.
    kept: Vec<(LaneId, u64)>,
    /// Revisions to be taken back for which there was no room to do so.
    undone: Vec<i64>,
}

impl SqliteLinks {
    /// Opens or makes the database at `path`, for its owner alone, with `readers` connections
    /// for reading.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or has a schema this build does not know.
    pub fn open(path: &Path, readers: usize) -> Result<Self, Error> {
        let db = sql::open(path, &MIGRATIONS)?;
        let shown = db.query_row("SELECT coalesce(max(id), 0) FROM revisions", [], |r| r.get(0))?;
        Ok(Self {
            writer: Mutex::new(Writer { db, kept: Vec::new(), undone: Vec::new() }),
            readers: Readers::open(path, readers)?,
            shown: AtomicI64::new(shown),
            failed: AtomicBool::new(false),
        })
    }

    /// Runs `work` in one transaction.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut writer = self.writer()?;
        self.undo(&mut writer)?;
        self.write_with(&mut writer, work)
    }

    fn write_with<T>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        sql::transact(&mut writer.db, &self.failed, work)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(Error::Failed);
        }
        // A transaction of a holder that panicked was rolled back when it was dropped.
        Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes records off the outbox without waiting for the disk.
    fn forget_with(&self, writer: &mut Writer, more: &[(LaneId, u64)]) -> Result<(), Error> {
        writer.kept.extend_from_slice(more);
        if writer.kept.is_empty() {
            return Ok(());
        }
        writer.db.pragma_update(None, "synchronous", "normal")?;
        let kept = std::mem::take(&mut writer.kept);
        let done = self.write_with(writer, |tx| {
            let mut delete =
                tx.prepare_cached("DELETE FROM outbox WHERE lane = ?1 AND seq = ?2")?;
            for (lane, seq) in &kept {
                delete.execute(params![lane.0.cast_signed(), seq.cast_signed()])?;
            }
            Ok(())
        });
        if done.is_err() {
            writer.kept = kept;
        }
        writer.db.pragma_update(None, "synchronous", "full")?;
        done
    }

    /// Takes revisions back whose records could not be appended. Until that has worked nothing
    /// else is written; they stay hidden, and a restart would restore their records and show them.
    fn undo(&self, writer: &mut Writer) -> Result<(), Error> {
        if writer.undone.is_empty() {
            return Ok(());
        }
        let ids = std::mem::take(&mut writer.undone);
        let done = self.write_with(writer, |tx| {
            for id in &ids {
                tx.execute("DELETE FROM revisions WHERE id = ?1", [id])?;
                tx.execute("DELETE FROM outbox WHERE revision_id = ?1", [id])?;
            }
            Ok(())
        });
        if done.is_err() {
            writer.undone = ids;
        }
        done
    }
}

impl LinkStore for SqliteLinks {
    fn current(&self, code: &str) -> Result<Option<Revision>, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        read::current(&self.readers.take(), code, shown)
    }

    fn revisions(&self, code: &str, from: u32, limit: usize) -> Result<Vec<Revision>, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        read::revisions(&self.readers.take(), code, from, limit, shown)
    }

    fn list_from(&self, after: &str, limit: usize) -> Result<Vec<Revision>, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        read::list_from(&self.readers.take(), after, limit, shown)
    }

    fn newest(&self) -> Result<Timestamp, Error> {
        let sql = "SELECT coalesce(max(ts), 0) FROM revisions";
        Ok(Timestamp(self.readers.take().query_row(sql, [], |row| row.get(0))?))
    }

    fn revise(
        &self,
        revision: &Revision,
        record: &OutboxRow,
        append: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut writer = self.writer()?;
        self.undo(&mut writer)?;
        let id = self.write_with(&mut writer, |tx| {
            follows(tx, revision)?;
            let id = insert(tx, revision)?;
            tx.prepare_cached("INSERT INTO outbox VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(
                params![
                    record.lane.0.cast_signed(),
                    record.seq.cast_signed(),
                    record.schema.0,
                    record.bytes,
                    id
                ],
            )?;
            Ok(id)
        })?;
        match append() {
            Ok(()) => {}
            Err(Error::Failed) => {
                self.failed.store(true, Ordering::SeqCst);
                return Err(Error::Failed);
            }
            Err(e) => {
                writer.undone.push(id);
                self.undo(&mut writer)?;
                return Err(e);
            }
        }
        self.shown.store(id, Ordering::SeqCst);
        // The record is kept and the revision stands. What stays in the outbox is taken off with
        // the next write; until then a restart finds it in the spool.
        if let Err(e) = self.forget_with(&mut writer, &[(record.lane, record.seq)]) {
            tracing::warn!(error = %e, "a kept conversion record stays in the outbox for now");
        }
        Ok(())
    }

    fn takes_writes(&self) -> bool {
        !self.failed.load(Ordering::SeqCst)
    }

    fn outbox(&self) -> Result<Vec<OutboxRow>, Error> {
        let db = self.readers.take();
        let mut rows =
            db.prepare_cached("SELECT lane, seq, schema, bytes FROM outbox ORDER BY lane, seq")?;
        let rows = rows.query_map([], |row| {
            Ok(OutboxRow {
                lane: LaneId(row.get::<_, i64>(0)?.cast_unsigned()),
                seq: row.get::<_, i64>(1)?.cast_unsigned(),
                schema: SchemaId(row.get(2)?),
                bytes: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn forget(&self, records: &[(LaneId, u64)]) -> Result<(), Error> {
        let mut writer = self.writer()?;
        self.forget_with(&mut writer, records)
    }

    fn reserve(&self, length: u8, count: u64) -> Result<u64, Error> {
        self.write(|tx| {
            let count = count.cast_signed();
            let sql = "INSERT INTO sequences VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET next = next + ?2 RETURNING next - ?2";
            let first: i64 = tx.query_row(sql, params![length, count], |row| row.get(0))?;
            Ok(first.cast_unsigned())
        })
    }

    fn raise(&self, length: u8, next: u64) -> Result<(), Error> {
        self.write(|tx| {
            let sql = "INSERT INTO sequences VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET next = max(next, ?2)";
            tx.execute(sql, params![length, next.cast_signed()])?;
            Ok(())
        })
    }

    fn pin(&self, name: &str, value: &[u8]) -> Result<bool, Error> {
        self.write(|tx| {
            tx.execute("INSERT OR IGNORE INTO pins VALUES (?1, ?2)", params![name, value])?;
            let sql = "SELECT value FROM pins WHERE name = ?1";
            let kept: Vec<u8> = tx.query_row(sql, [name], |row| row.get(0))?;
            Ok(kept == value)
        })
    }

    fn unlearned(&self) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT ts FROM marks WHERE name = 'unlearned'";
        let ts = self.readers.take().query_row(sql, [], |row| row.get(0)).optional()?;
        Ok(ts.map(Timestamp))
    }

    fn set_unlearned(&self, since: Option<Timestamp>) -> Result<(), Error> {
        self.write(|tx| {
            match since {
                Some(since) => {
                    tx.execute("INSERT OR REPLACE INTO marks VALUES ('unlearned', ?1)", [since.0])
                }
                None => tx.execute("DELETE FROM marks WHERE name = 'unlearned'", []),
            }?;
            Ok(())
        })
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        tokens::all(&self.readers.take())
    }

    fn add_token(&self, token: &TokenRow) -> Result<(), Error> {
        self.write(|tx| tokens::add(tx, token))
    }

    fn revoke_token(&self, name: &str, actor: &str, ts: Timestamp) -> Result<bool, Error> {
        self.write(|tx| tokens::revoke(tx, name, actor, ts))
    }
}

/// Whether `revision` is the one that comes next for its code.
fn follows(tx: &Transaction<'_>, revision: &Revision) -> Result<(), Error> {
    let sql = "SELECT revision FROM revisions WHERE code = ?1 ORDER BY revision DESC LIMIT 1";
    let current: Option<u32> =
        tx.prepare_cached(sql)?.query_row([&revision.code], |row| row.get(0)).optional()?;
    match (current, revision.revision) {
        (None, 1) => Ok(()),
        (None, _) => Err(Error::Unknown),
        (Some(_), 1) => Err(Error::Taken),
        (Some(current), next) if current.checked_add(1) == Some(next) => Ok(()),
        (Some(current), _) => Err(Error::Conflict { current }),
    }
}

fn insert(tx: &Transaction<'_>, r: &Revision) -> Result<i64, Error> {
    let sql = "INSERT INTO revisions (code, revision, ts, operation, target_submitted, target,
                   target_host, target_registrable_domain, state, expires, actor, owner, reason,
                   psl_version)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    tx.prepare_cached(sql)?.execute(params![
        r.code,
        r.revision,
        r.ts.0,
        r.operation.name(),
        r.target_submitted,
        r.target,
        r.target_host,
        r.target_registrable_domain,
        r.state.name(),
        r.expires.0,
        r.actor,
        r.owner,
        r.reason,
        r.psl_version
    ])?;
    Ok(tx.last_insert_rowid())
}
