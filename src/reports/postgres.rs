//! Reports in PostgreSQL, for several nodes.
//!
//! Rows of the outbox name their node, whose start-up alone puts them into its spool; everything
//! else belongs to all of them. A commit that was sent and not answered is [`Error::InDoubt`].

use std::net::{IpAddr, SocketAddr};

use tokio_postgres::Row;

use super::{
    Act, Category, Counts, Decision, Error, Kind, Person, Report, ReportQuery, ReportStore,
    Standing, Step, Untold, store::event, text,
};
use crate::{
    clock::{Clock, Timestamp},
    links::OutboxRow,
    record::{Flow, LaneId, NodeName, SchemaId},
    sql::postgres::{self, Pool, Session, Settings, Values},
};

/// Every migration, in order; the first is number 1.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/reports-pg/0001_reports.sql"),
    include_str!("../../migrations/reports-pg/0002_untold.sql"),
];

/// [`ReportStore`] over PostgreSQL.
#[derive(Debug)]
pub struct PostgresReports {
    pool: Pool,
    node: String,
}

impl PostgresReports {
    /// Connects, and brings the database to its schema.
    ///
    /// # Errors
    /// When the settings are wrong, or the database cannot be reached or has a schema this build
    /// does not know.
    pub fn open(settings: Settings, node: &NodeName, clock: Clock) -> Result<Self, Error> {
        let pool = Pool::open(settings, clock)?;
        pool.with(|s| postgres::apply(s, "reports", &MIGRATIONS))?;
        Ok(Self { pool, node: node.to_string() })
    }

    fn write(&self, work: impl FnOnce(&mut Session) -> Result<(), Error>) -> Result<(), Error> {
        self.pool.with(|s| s.transact(work))
    }

    fn promise(&self, tx: &mut Session, record: &OutboxRow) -> Result<(), Error> {
        let (lane, seq) = (record.lane.0.cast_signed(), record.seq.cast_signed());
        let schema = i32::from(record.schema.0);
        tx.execute(text::PROMISE, &[&self.node, &lane, &seq, &schema, &record.bytes])?;
        Ok(())
    }

    fn one(&self, sql: &str, values: Values<'_>) -> Result<Option<Standing>, Error> {
        Ok(self.many(sql, values)?.into_iter().next())
    }

    fn many(&self, sql: &str, values: Values<'_>) -> Result<Vec<Standing>, Error> {
        self.pool.with(|s| {
            let mut all = Vec::new();
            for row in s.query(sql, values)? {
                let report = report(&row)?;
                let steps = s.query(text::STEPS, &[&report.id.cast_signed()])?;
                let steps = steps.iter().map(step).collect::<Result<_, _>>()?;
                all.push(Standing { report, steps });
            }
            Ok(all)
        })
    }

    /// The numbers of one row.
    fn numbers<const N: usize>(&self, sql: &str, values: Values<'_>) -> Result<[i64; N], Error> {
        let row = self.pool.with(|s| s.query_opt(sql, values))?;
        let mut numbers = [0; N];
        if let Some(row) = row {
            for (at, number) in numbers.iter_mut().enumerate() {
                *number = row.try_get(at).map_err(read)?;
            }
        }
        Ok(numbers)
    }
}

impl ReportStore for PostgresReports {
    fn add(&self, r: &Report, person: &Person, record: &OutboxRow) -> Result<(), Error> {
        let (secret, flow) = (r.secret.as_slice(), r.flow.0.to_be_bytes());
        let (flow, appeal) = (flow.as_slice(), r.appeal.cast_signed());
        let (category, kind) = (r.category.name(), r.kind.name());
        self.write(|tx| {
            let made = tx.query_opt(
                text::ADD,
                &[
                    &r.number,
                    &secret,
                    &r.received.0,
                    &r.due.0,
                    &category,
                    &kind,
                    &r.subject,
                    &r.code,
                    &r.registrable_domain,
                    &r.psl_version,
                    &flow,
                    &r.feed,
                    &r.appeal_node,
                    &appeal,
                ],
            )?;
            let id: i64 = made.ok_or(Error::Taken)?.try_get(0).map_err(read)?;
            let (ip, port) = (person.client.ip().to_string(), i32::from(person.client.port()));
            tx.execute(text::ADD_PERSON, &[&id, &person.contact, &person.text, &ip, &port])?;
            tx.execute(text::ADD_OPEN, &[&id, &r.due.0])?;
            self.promise(tx, record)
        })
    }

    fn step(&self, id: u64, after: usize, s: &Step, record: &OutboxRow) -> Result<(), Error> {
        let (id, next) = (id.cast_signed(), i32::try_from(after + 1).unwrap_or(i32::MAX));
        let (decision, act) = (s.decision.name(), s.act.name());
        let written = self.write(|tx| {
            let steps = tx.query_opt(text::STEPS_OF, &[&id])?;
            let steps: i64 = steps.map_or(Ok(0), |row| row.try_get(0)).map_err(read)?;
            if usize::try_from(steps) != Ok(after) {
                return Err(Error::Conflict);
            }
            tx.execute(
                text::ADD_STEP,
                &[&id, &next, &s.ts.0, &s.event, &decision, &act, &s.reason, &s.answer, &s.actor],
            )?;
            tx.execute(text::CLOSE, &[&id])?;
            self.promise(tx, record)
        });
        match written {
            // Another node was faster.
            Err(Error::Taken) => Err(Error::Conflict),
            written => written,
        }
    }

    fn find(&self, number: &str) -> Result<Option<Standing>, Error> {
        self.one(text::FIND, &[&number])
    }

    fn of_appeal(&self, appeal: u64) -> Result<Option<Standing>, Error> {
        self.one(text::OF_APPEAL, &[&self.node, &appeal.cast_signed()])
    }

    fn list(&self, query: &ReportQuery) -> Result<Vec<Standing>, Error> {
        let (before, limit) = query.bounds();
        match query.due_bound() {
            None => self.many(text::LIST, &[&before, &limit]),
            Some(due) => self.many(text::LIST_OPEN, &[&before, &due, &limit]),
        }
    }

    fn person(&self, id: u64) -> Result<Option<Person>, Error> {
        let row = self.pool.with(|s| s.query_opt(text::PERSON, &[&id.cast_signed()]))?;
        let Some(row) = row else { return Ok(None) };
        let (ip, port): (String, i32) =
            (row.try_get(2).map_err(read)?, row.try_get(3).map_err(read)?);
        let ip: IpAddr = ip.parse().map_err(|_| Error::Failed)?;
        Ok(Some(Person {
            contact: row.try_get(0).map_err(read)?,
            text: row.try_get(1).map_err(read)?,
            client: SocketAddr::new(ip, u16::try_from(port).unwrap_or_default()),
        }))
    }

    fn untold(&self, limit: usize) -> Result<Vec<Untold>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut all = Vec::new();
        for row in self.pool.with(|s| s.query(text::UNTOLD, &[&limit]))? {
            let (id, report): (i64, i64) =
                (row.try_get(0).map_err(read)?, row.try_get(1).map_err(read)?);
            let step: i64 = row.try_get(2).map_err(read)?;
            let step = usize::try_from(step).unwrap_or_default();
            let standing = self.one(text::BY_ID, &[&report])?;
            all.extend(standing.map(|s| Untold::new(id.cast_unsigned(), s, step)));
        }
        Ok(all)
    }

    fn told(&self, ids: &[u64]) -> Result<(), Error> {
        self.write(|tx| {
            for id in ids {
                tx.execute(text::TOLD, &[&id.cast_signed()])?;
            }
            Ok(())
        })
    }

    fn counts(&self, now: Timestamp) -> Result<Counts, Error> {
        let [open, next_due] = self.numbers(text::OPEN, &[])?;
        let [overdue] = self.numbers(text::OVERDUE, &[&now.0])?;
        Ok(Counts {
            open: open.cast_unsigned(),
            overdue: overdue.cast_unsigned(),
            next_due: Timestamp(next_due),
        })
    }

    fn outbox(&self) -> Result<Vec<OutboxRow>, Error> {
        let rows = self.pool.with(|s| s.query(text::OUTBOX, &[&self.node]))?;
        let row = |row: Row| {
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
        self.write(|tx| {
            for (lane, seq) in records {
                let place = (lane.0.cast_signed(), seq.cast_signed());
                tx.execute(text::FORGET, &[&self.node, &place.0, &place.1])?;
            }
            Ok(())
        })
    }
}

fn report(row: &Row) -> Result<Report, Error> {
    let secret: &[u8] = row.try_get(2).map_err(read)?;
    let flow: &[u8] = row.try_get(11).map_err(read)?;
    let flow: [u8; 16] = flow.try_into().map_err(|_| Error::Failed)?;
    Ok(Report {
        id: row.try_get::<_, i64>(0).map_err(read)?.cast_unsigned(),
        number: row.try_get(1).map_err(read)?,
        secret: secret.try_into().map_err(|_| Error::Failed)?,
        received: Timestamp(row.try_get(3).map_err(read)?),
        due: Timestamp(row.try_get(4).map_err(read)?),
        category: word(row, 5, Category::from_name)?,
        kind: word(row, 6, Kind::from_name)?,
        subject: row.try_get(7).map_err(read)?,
        code: row.try_get(8).map_err(read)?,
        registrable_domain: row.try_get(9).map_err(read)?,
        psl_version: row.try_get(10).map_err(read)?,
        flow: Flow(u128::from_be_bytes(flow)),
        feed: row.try_get(12).map_err(read)?,
        appeal_node: row.try_get(13).map_err(read)?,
        appeal: row.try_get::<_, i64>(14).map_err(read)?.cast_unsigned(),
    })
}

fn step(row: &Row) -> Result<Step, Error> {
    Ok(Step {
        ts: Timestamp(row.try_get(0).map_err(read)?),
        event: word(row, 1, event)?,
        decision: word(row, 2, Decision::from_name)?,
        act: word(row, 3, Act::from_name)?,
        reason: row.try_get(4).map_err(read)?,
        answer: row.try_get(5).map_err(read)?,
        actor: row.try_get(6).map_err(read)?,
    })
}

/// A word of another build's is none of ours.
fn word<T>(row: &Row, at: usize, from: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    from(row.try_get(at).map_err(read)?).ok_or(Error::Failed)
}

fn read(e: tokio_postgres::Error) -> Error {
    postgres::Error::from(e).into()
}
