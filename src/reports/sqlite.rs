//! Reports in one SQLite file, for one process.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, params, types::Type};

use super::{
    Act, Category, Counts, Decision, Error, Kind, Person, Report, ReportQuery, ReportStore,
    Standing, Step, Untold, store::event, text,
};
use crate::{
    clock::Timestamp,
    links::OutboxRow,
    record::{Flow, LaneId, NodeName, SchemaId},
    sql::{self, Readers},
};

/// Every migration, in order; the first is number 1.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/reports/0001_reports.sql"),
    include_str!("../../migrations/reports/0002_untold.sql"),
];

/// [`ReportStore`] over SQLite.
#[derive(Debug)]
pub struct SqliteReports {
    node: String,
    writer: Mutex<Connection>,
    readers: Readers,
    /// A write's outcome is unknown; nothing is written any more.
    failed: AtomicBool,
}

impl SqliteReports {
    /// Opens or makes the database at `path`, for its owner alone.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or has a schema this build does not know.
    pub fn open(path: &Path, node: &NodeName) -> Result<Self, Error> {
        let writer = Mutex::new(sql::open(path, &MIGRATIONS)?);
        let readers = Readers::open(path, 1)?;
        Ok(Self { node: node.to_string(), writer, readers, failed: AtomicBool::new(false) })
    }

    fn writer(&self) -> Result<MutexGuard<'_, Connection>, Error> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(Error::Failed);
        }
        // A transaction of a holder that panicked was rolled back when it was dropped.
        Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = sql::transact(&mut *self.writer()?, &self.failed, work);
        if self.failed.load(Ordering::SeqCst) { Err(Error::Failed) } else { done }
    }

    fn promise(&self, tx: &Transaction<'_>, record: &OutboxRow) -> Result<(), Error> {
        let (lane, seq) = (record.lane.0.cast_signed(), record.seq.cast_signed());
        let values = params![self.node, lane, seq, record.schema.0, record.bytes];
        tx.prepare_cached(text::PROMISE)?.execute(values)?;
        Ok(())
    }
}

impl ReportStore for SqliteReports {
    fn add(&self, r: &Report, person: &Person, record: &OutboxRow) -> Result<(), Error> {
        self.write(|tx| {
            let flow = r.flow.0.to_be_bytes();
            let appeal = r.appeal.cast_signed();
            let id: i64 = tx.prepare_cached(text::ADD)?.query_row(
                params![
                    r.number,
                    r.secret,
                    r.received.0,
                    r.due.0,
                    r.category.name(),
                    r.kind.name(),
                    r.subject,
                    r.code,
                    r.registrable_domain,
                    r.psl_version,
                    flow,
                    r.feed,
                    r.appeal_node,
                    appeal
                ],
                |row| row.get(0),
            )?;
            let client = person.client;
            let values =
                params![id, person.contact, person.text, client.ip().to_string(), client.port()];
            tx.prepare_cached(text::ADD_PERSON)?.execute(values)?;
            tx.prepare_cached(text::ADD_OPEN)?.execute(params![id, r.due.0])?;
            self.promise(tx, record)
        })
    }

    fn step(&self, id: u64, after: usize, s: &Step, record: &OutboxRow) -> Result<(), Error> {
        self.write(|tx| {
            let id = id.cast_signed();
            let steps: usize =
                tx.prepare_cached(text::STEPS_OF)?.query_row([id], |row| row.get(0))?;
            if steps != after {
                return Err(Error::Conflict);
            }
            tx.prepare_cached(text::ADD_STEP)?.execute(params![
                id,
                after + 1,
                s.ts.0,
                s.event,
                s.decision.name(),
                s.act.name(),
                s.reason,
                s.answer,
                s.actor
            ])?;
            tx.prepare_cached(text::CLOSE)?.execute([id])?;
            self.promise(tx, record)
        })
    }

    fn find(&self, number: &str) -> Result<Option<Standing>, Error> {
        one(&self.readers.take(), text::FIND, params![number])
    }

    fn of_appeal(&self, appeal: u64) -> Result<Option<Standing>, Error> {
        let values = params![self.node, appeal.cast_signed()];
        one(&self.readers.take(), text::OF_APPEAL, values)
    }

    fn list(&self, query: &ReportQuery) -> Result<Vec<Standing>, Error> {
        let (before, limit) = query.bounds();
        let due = query.due_bound();
        let db = self.readers.take();
        match due {
            None => many(&db, text::LIST, params![before, limit]),
            Some(due) => many(&db, text::LIST_OPEN, params![before, due, limit]),
        }
    }

    fn person(&self, id: u64) -> Result<Option<Person>, Error> {
        let db = self.readers.take();
        let row = db.prepare_cached(text::PERSON)?.query_row([id.cast_signed()], |row| {
            let client: String = row.get(2)?;
            Ok(Person {
                contact: row.get(0)?,
                text: row.get(1)?,
                client: SocketAddr::new(
                    client.parse::<IpAddr>().map_err(|_| damaged(2))?,
                    row.get(3)?,
                ),
            })
        });
        Ok(row.optional()?)
    }

    fn untold(&self, limit: usize) -> Result<Vec<Untold>, Error> {
        let db = self.readers.take();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(i64, i64, usize)> = db
            .prepare_cached(text::UNTOLD)?
            .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut all = Vec::new();
        for (id, report, step) in rows {
            let standing = one(&db, text::BY_ID, params![report])?;
            all.extend(standing.map(|s| Untold::new(id.cast_unsigned(), s, step)));
        }
        Ok(all)
    }

    fn told(&self, ids: &[u64]) -> Result<(), Error> {
        self.write(|tx| {
            let mut delete = tx.prepare_cached(text::TOLD)?;
            for id in ids {
                delete.execute([id.cast_signed()])?;
            }
            Ok(())
        })
    }

    fn counts(&self, now: Timestamp) -> Result<Counts, Error> {
        let db = self.readers.take();
        let (open, next): (i64, i64) =
            db.prepare_cached(text::OPEN)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let overdue: i64 =
            db.prepare_cached(text::OVERDUE)?.query_row([now.0], |row| row.get(0))?;
        Ok(Counts {
            open: open.cast_unsigned(),
            overdue: overdue.cast_unsigned(),
            next_due: Timestamp(next),
        })
    }

    fn outbox(&self) -> Result<Vec<OutboxRow>, Error> {
        let db = self.readers.take();
        let mut rows = db.prepare_cached(text::OUTBOX)?;
        let rows = rows.query_map([&self.node], |row| {
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
        self.write(|tx| {
            let mut delete = tx.prepare_cached(text::FORGET)?;
            for (lane, seq) in records {
                delete.execute(params![self.node, lane.0.cast_signed(), seq.cast_signed()])?;
            }
            Ok(())
        })
    }
}

fn one(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Option<Standing>, Error> {
    Ok(many(db, sql, values)?.into_iter().next())
}

fn many(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Standing>, Error> {
    let mut found = db.prepare_cached(sql)?;
    let found = found.query_map(values, report)?;
    let mut all = Vec::new();
    for report in found {
        let report = report?;
        let mut steps = db.prepare_cached(text::STEPS)?;
        let steps = steps.query_map([report.id.cast_signed()], step)?;
        all.push(Standing { report, steps: steps.collect::<Result<_, _>>()? });
    }
    Ok(all)
}

fn report(row: &Row<'_>) -> Result<Report, rusqlite::Error> {
    let flow: [u8; 16] = row.get(11)?;
    Ok(Report {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        number: row.get(1)?,
        secret: row.get(2)?,
        received: Timestamp(row.get(3)?),
        due: Timestamp(row.get(4)?),
        category: word(row, 5, Category::from_name)?,
        kind: word(row, 6, Kind::from_name)?,
        subject: row.get(7)?,
        code: row.get(8)?,
        registrable_domain: row.get(9)?,
        psl_version: row.get(10)?,
        flow: Flow(u128::from_be_bytes(flow)),
        feed: row.get(12)?,
        appeal_node: row.get(13)?,
        appeal: row.get::<_, i64>(14)?.cast_unsigned(),
    })
}

fn step(row: &Row<'_>) -> Result<Step, rusqlite::Error> {
    Ok(Step {
        ts: Timestamp(row.get(0)?),
        event: word(row, 1, event)?,
        decision: word(row, 2, Decision::from_name)?,
        act: word(row, 3, Act::from_name)?,
        reason: row.get(4)?,
        answer: row.get(5)?,
        actor: row.get(6)?,
    })
}

fn word<T>(
    row: &Row<'_>,
    at: usize,
    from: impl Fn(&str) -> Option<T>,
) -> Result<T, rusqlite::Error> {
    let text: String = row.get(at)?;
    from(&text).ok_or_else(|| damaged(at))
}

/// A word that this build does not know.
fn damaged(at: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(at, "a word of a report".into(), Type::Text)
}
