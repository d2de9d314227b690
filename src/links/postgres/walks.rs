//! The schedule of walks, and where they led.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::{read::number_of, write};
use crate::{
    clock::Timestamp,
    links::{Destination, DueWalk, Error, Findings, Intake, Scheduled, TakenIn},
    sql::postgres::{self, Session},
};

/// The columns [`destination`] reads.
const COLUMNS: &str = "code, revision, ts, target, url, host, registrable_domain, outcome, \
                       findings, detail, flow";

pub(super) fn mark(s: &mut Session) -> Result<i64, Error> {
    let row = s.query_opt("SELECT ts FROM marks WHERE name = 'walks'", &[])?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0)).map_err(postgres::Error::from)?)
}

pub(super) fn take_in(tx: &mut Session, intake: &Intake) -> Result<TakenIn, Error> {
    let limit = i64::try_from(intake.limit).unwrap_or(i64::MAX);
    let sql = "SELECT id, code, revision, ts FROM revisions WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = tx.query(sql, &[&intake.after, &limit])?;
    let mut taken = TakenIn { after: intake.after, count: 0 };
    let settled = intake.now.saturating_sub(Intake::SETTLE);
    // The newest of each code, in the order of codes: nobody waits for somebody who waits for them.
    let mut newest: BTreeMap<&str, (i32, i64)> = BTreeMap::new();
    for row in &rows {
        let (code, revision, ts): (&str, i32, i64) = (row.get(1), row.get(2), row.get(3));
        if intake.settle && Timestamp(ts) > settled {
            break;
        }
        let due = intake.due(code, Timestamp(ts)).0;
        let one = newest.entry(code).or_insert((revision, due));
        *one = (one.0.max(revision), one.1.min(due));
        taken = TakenIn { after: row.get(0), count: taken.count + 1 };
    }
    if !newest.is_empty() {
        let codes: Vec<&str> = newest.keys().copied().collect();
        let (revisions, due): (Vec<i32>, Vec<i64>) = newest.values().copied().unzip();
        let sql = "INSERT INTO walks
                   SELECT u.code, u.revision, u.due, 0, 0
                   FROM unnest($1::text[], $2::int4[], $3::int8[]) AS u (code, revision, due)
                   ON CONFLICT (code) DO UPDATE SET revision = excluded.revision,
                       due = least(walks.due, excluded.due), failures = 0
                   WHERE walks.revision < excluded.revision";
        tx.execute(sql, &[&codes, &revisions, &due])?;
    }
    if intake.settle && taken.count > 0 {
        let sql = "INSERT INTO marks VALUES ('walks', $1)
                   ON CONFLICT (name) DO UPDATE SET ts = greatest(marks.ts, $1)";
        tx.execute(sql, &[&taken.after])?;
    }
    Ok(taken)
}

pub(super) fn claim(
    s: &mut Session,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Result<Vec<DueWalk>, Error> {
    // What another node is claiming is passed over.
    let sql = "UPDATE walks AS w SET due = $2 FROM
                   (SELECT code FROM walks WHERE due <= $1 ORDER BY due LIMIT $3
                    FOR UPDATE SKIP LOCKED) AS d
               WHERE w.code = d.code RETURNING w.code, w.failures";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = s.query(sql, &[&now.0, &until.0, &limit])?;
    let walk = |row: &Row| DueWalk {
        code: row.get(0),
        until,
        failures: row.get::<_, i32>(1).cast_unsigned(),
    };
    Ok(rows.iter().map(walk).collect())
}

pub(super) fn end(
    tx: &mut Session,
    walk: &DueWalk,
    next: Option<Scheduled>,
    found: Option<&Destination>,
) -> Result<bool, Error> {
    let (code, until) = (&walk.code, walk.until.0);
    let ours = match next {
        Some(next) => {
            let sql = "UPDATE walks SET due = $3, walked = greatest(walked, $4), failures = $5
                       WHERE code = $1 AND due = $2";
            let failures = number_of(next.failures);
            tx.execute(sql, &[code, &until, &next.due.0, &next.walked.0, &failures])?
        }
        None => tx.execute("DELETE FROM walks WHERE code = $1 AND due = $2", &[code, &until])?,
    };
    if ours == 0 {
        return Ok(false);
    }
    if let Some(d) = found {
        let sql = format!(
            "INSERT INTO destinations ({COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        );
        let (revision, findings) = (number_of(d.revision), d.findings.to_text());
        tx.execute(
            &sql,
            &[
                &d.code,
                &revision,
                &d.ts.0,
                &d.target,
                &d.url,
                &d.host,
                &d.registrable_domain,
                &d.outcome,
                &findings,
                &d.detail,
                &d.flow,
            ],
        )?;
        write::notify(tx, &format!("links {}", d.code))?;
    }
    Ok(true)
}

pub(super) fn scheduled(s: &mut Session, code: &str) -> Result<Option<Scheduled>, Error> {
    let row = s.query_opt("SELECT due, walked, failures FROM walks WHERE code = $1", &[&code])?;
    let read = |row: Row| {
        let (due, walked) = (Timestamp(row.try_get(0)?), Timestamp(row.try_get(1)?));
        Ok(Scheduled { due, walked, failures: row.try_get::<_, i32>(2)?.cast_unsigned() })
    };
    row.map(read).transpose().map_err(|e: tokio_postgres::Error| postgres::Error::from(e).into())
}

pub(super) fn newest(s: &mut Session, code: &str) -> Result<Option<Destination>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM destinations WHERE code = $1 ORDER BY id DESC LIMIT 1");
    destination(s.query_opt(&sql, &[&code])?)
}

pub(super) fn first(
    s: &mut Session,
    code: &str,
    target: &str,
) -> Result<Option<Destination>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM destinations WHERE code = $1 AND outcome = 'arrived' AND id >
             (SELECT coalesce(max(id), 0) FROM destinations WHERE code = $1 AND target <> $2)
         ORDER BY id LIMIT 1"
    );
    destination(s.query_opt(&sql, &[&code, &target])?)
}

fn destination(row: Option<Row>) -> Result<Option<Destination>, Error> {
    let read = |row: Row| {
        Ok(Destination {
            code: row.try_get(0)?,
            revision: row.try_get::<_, i32>(1)?.cast_unsigned(),
            ts: Timestamp(row.try_get(2)?),
            target: row.try_get(3)?,
            url: row.try_get(4)?,
            host: row.try_get(5)?,
            registrable_domain: row.try_get(6)?,
            outcome: row.try_get(7)?,
            findings: Findings::from_text(row.try_get(8)?),
            detail: row.try_get(9)?,
            flow: row.try_get(10)?,
        })
    };
    row.map(read).transpose().map_err(|e: tokio_postgres::Error| postgres::Error::from(e).into())
}
