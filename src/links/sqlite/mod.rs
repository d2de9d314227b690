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
mod walks;
mod write;

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Destination, DueWalk, Error, Intake, Keep, LinkQuery, LinkStore, OutboxRow, Revision,
    Scheduled, TakenIn, TokenRow, WalkStore,
};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId},
    sql::{self, Any, Readers},
};

/// Every migration, in order; the first is number 1.
const MIGRATIONS: [&str; 8] = [
    include_str!("../../../migrations/control/0001_links_and_tokens.sql"),
    include_str!("../../../migrations/control/0002_marks.sql"),
    include_str!("../../../migrations/control/0003_settings.sql"),
    include_str!("../../../migrations/control/0004_token_persons.sql"),
    include_str!("../../../migrations/control/0005_walks.sql"),
    include_str!("../../../migrations/control/0006_webhooks.sql"),
    include_str!("../../../migrations/control/0007_spent.sql"),
    include_str!("../../../migrations/control/0008_token_owner.sql"),
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

    fn list(&self, query: &LinkQuery) -> Result<Vec<Revision>, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        read::list(&self.readers.take(), query, shown)
    }

    fn by_request(&self, request: &str) -> Result<Option<Revision>, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        read::by_request(&self.readers.take(), request, shown)
    }

    fn alike(
        &self,
        owner: &str,
        domain: &str,
        target: &str,
        limit: usize,
    ) -> Result<Vec<Revision>, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        read::alike_to(&self.readers.take(), [owner, domain, target], limit, shown)
    }

    fn due(&self, from: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Revision>, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        read::due(&self.readers.take(), from, until, limit, shown)
    }

    fn lease_visits(&self, code: &str, portion: u32, max: u32) -> Result<u32, Error> {
        self.write(|tx| write::lease_visits(tx, code, portion, max))
    }

    fn live(&self, owner: &str, limit: u64) -> Result<u64, Error> {
        read::live(&self.readers.take(), owner, limit, self.shown.load(Ordering::SeqCst))
    }

    fn newest(&self) -> Result<Timestamp, Error> {
        let sql = "SELECT coalesce(max(ts), 0) FROM revisions";
        Ok(Timestamp(self.readers.take().query_row(sql, [], |row| row.get(0))?))
    }

    fn revise(
        &self,
        revisions: &[Revision],
        keep: &mut dyn Keep,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let mut writer = self.writer()?;
        self.undo(&mut writer)?;
        let mut results = Vec::with_capacity(revisions.len());
        let written = self.write_with(&mut writer, |tx| {
            let mut ids = Vec::new();
            let mut accepted = Vec::new();
            for revision in revisions {
                let result = write::follows(tx, revision);
                if result.is_ok() {
                    ids.push(write::insert(tx, revision)?);
                    accepted.push(revision);
                }
                results.push(write::of_one(result)?);
            }
            let rows = if accepted.is_empty() { Vec::new() } else { keep.prepare(&accepted)? };
            write::outbox(tx, &rows, &ids)?;
            Ok((ids, rows))
        });
        if written.is_err() && self.failed.load(Ordering::SeqCst) {
            keep.abandon();
        }
        let (ids, rows) = written?;
        let Some(newest) = ids.last().copied() else { return Ok(results) };
        match keep.append() {
            Ok(()) => {}
            Err(Error::Failed) => {
                self.failed.store(true, Ordering::SeqCst);
                return Err(Error::Failed);
            }
            Err(e) => {
                writer.undone.extend(ids);
                self.undo(&mut writer)?;
                return Err(e);
            }
        }
        self.shown.store(newest, Ordering::SeqCst);
        // The records are kept and the revisions stand. What stays in the outbox is taken off with
        // the next write; until then a restart finds it in the spool.
        let places: Vec<_> = rows.iter().map(|r| (r.lane, r.seq)).collect();
        if let Err(e) = self.forget_with(&mut writer, &places) {
            tracing::warn!(error = %e, "kept conversion records stay in the outbox for now");
        }
        Ok(results)
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

    fn spend(&self, codes: &[&str]) -> Result<(), Error> {
        self.write(|tx| {
            let sql = "INSERT OR IGNORE INTO spent SELECT ?1
                       WHERE NOT EXISTS (SELECT 1 FROM revisions WHERE code = ?1)";
            let mut spend = tx.prepare_cached(sql)?;
            for code in codes {
                spend.execute([code])?;
            }
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

    fn transact(
        &self,
        work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.write(|tx| work(&mut sql::Sqlite(tx)))
    }

    fn look(&self, work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>) -> Result<(), Error> {
        work(&mut sql::Sqlite(&self.readers.take()))
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

impl WalkStore for SqliteLinks {
    fn walks_mark(&self) -> Result<i64, Error> {
        walks::mark(&self.readers.take())
    }

    fn take_in(&self, intake: &Intake) -> Result<TakenIn, Error> {
        let shown = self.shown.load(Ordering::SeqCst);
        if shown <= intake.after {
            return Ok(TakenIn { after: intake.after, count: 0 });
        }
        self.write(|tx| walks::take_in(tx, intake, shown))
    }

    fn claim_walks(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWalk>, Error> {
        // Nothing is written where nothing is due.
        let sql = "SELECT EXISTS (SELECT 1 FROM walks WHERE due <= ?1)";
        let any: bool = self.readers.take().query_row(sql, [now.0], |row| row.get(0))?;
        if any { self.write(|tx| walks::claim(tx, now, until, limit)) } else { Ok(Vec::new()) }
    }

    fn end_walk(
        &self,
        walk: &DueWalk,
        next: Option<Scheduled>,
        found: Option<&Destination>,
    ) -> Result<bool, Error> {
        self.write(|tx| walks::end(tx, walk, next, found))
    }

    fn scheduled(&self, code: &str) -> Result<Option<Scheduled>, Error> {
        walks::scheduled(&self.readers.take(), code)
    }

    fn destination(&self, code: &str) -> Result<Option<Destination>, Error> {
        walks::newest(&self.readers.take(), code)
    }

    fn first_destination(&self, code: &str, target: &str) -> Result<Option<Destination>, Error> {
        walks::first(&self.readers.take(), code, target)
    }
}
