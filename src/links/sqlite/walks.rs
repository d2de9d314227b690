//! The schedule of walks, and where they led.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::{
    clock::Timestamp,
    links::{Destination, DueWalk, Error, Findings, Intake, Scheduled, TakenIn},
};

/// The columns [`destination`] reads.
const COLUMNS: &str = "code, revision, ts, target, url, host, registrable_domain, outcome, \
                       findings, detail, flow";

pub(super) fn mark(db: &Connection) -> Result<i64, Error> {
    let sql = "SELECT ts FROM marks WHERE name = 'walks'";
    Ok(db.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn take_in(tx: &Transaction<'_>, intake: &Intake, shown: i64) -> Result<TakenIn, Error> {
    let limit = i64::try_from(intake.limit).unwrap_or(i64::MAX);
    let sql = "SELECT id, code, revision, ts FROM revisions WHERE id > ?1 AND id <= ?2
               ORDER BY id LIMIT ?3";
    let mut select = tx.prepare_cached(sql)?;
    let mut rows = select.query(params![intake.after, shown, limit])?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO walks VALUES (?1, ?2, ?3, 0, 0) ON CONFLICT (code) DO UPDATE
         SET revision = excluded.revision, due = min(due, excluded.due), failures = 0
         WHERE revision < excluded.revision",
    )?;
    let mut taken = TakenIn { after: intake.after, count: 0 };
    while let Some(row) = rows.next()? {
        let (code, revision): (String, u32) = (row.get(1)?, row.get(2)?);
        let due = intake.due(&code, Timestamp(row.get(3)?));
        insert.execute(params![code, revision, due.0])?;
        taken = TakenIn { after: row.get(0)?, count: taken.count + 1 };
    }
    // Numbers are given in the order in which they are seen here.
    if taken.count > 0 {
        let sql = "INSERT INTO marks VALUES ('walks', ?1)
                   ON CONFLICT (name) DO UPDATE SET ts = max(ts, ?1)";
        tx.execute(sql, [taken.after])?;
    }
    Ok(taken)
}

pub(super) fn claim(
    tx: &Transaction<'_>,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Result<Vec<DueWalk>, Error> {
    let sql = "UPDATE walks SET due = ?2 WHERE code IN
                   (SELECT code FROM walks WHERE due <= ?1 ORDER BY due LIMIT ?3)
               RETURNING code, failures";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut update = tx.prepare_cached(sql)?;
    let walks = update.query_map(params![now.0, until.0, limit], |row| {
        Ok(DueWalk { code: row.get(0)?, until, failures: row.get(1)? })
    })?;
    Ok(walks.collect::<Result<_, _>>()?)
}

pub(super) fn end(
    tx: &Transaction<'_>,
    walk: &DueWalk,
    next: Option<Scheduled>,
    found: Option<&Destination>,
) -> Result<bool, Error> {
    let (code, until) = (&walk.code, walk.until.0);
    let ours = match next {
        Some(next) => tx
            .prepare_cached(
                "UPDATE walks SET due = ?3, walked = max(walked, ?4), failures = ?5
                 WHERE code = ?1 AND due = ?2",
            )?
            .execute(params![code, until, next.due.0, next.walked.0, next.failures])?,
        None => tx
            .prepare_cached("DELETE FROM walks WHERE code = ?1 AND due = ?2")?
            .execute(params![code, until])?,
    };
    if ours == 0 {
        return Ok(false);
    }
    if let Some(d) = found {
        let sql = format!(
            "INSERT INTO destinations ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        );
        tx.prepare_cached(&sql)?.execute(params![
            d.code,
            d.revision,
            d.ts.0,
            d.target,
            d.url,
            d.host,
            d.registrable_domain,
            d.outcome,
            d.findings.to_text(),
            d.detail,
            d.flow,
        ])?;
    }
    Ok(true)
}

pub(super) fn scheduled(db: &Connection, code: &str) -> Result<Option<Scheduled>, Error> {
    let sql = "SELECT due, walked, failures FROM walks WHERE code = ?1";
    let row = db.prepare_cached(sql)?.query_row([code], |row| {
        let (due, walked) = (Timestamp(row.get(0)?), Timestamp(row.get(1)?));
        Ok(Scheduled { due, walked, failures: row.get(2)? })
    });
    Ok(row.optional()?)
}

pub(super) fn newest(db: &Connection, code: &str) -> Result<Option<Destination>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM destinations WHERE code = ?1 ORDER BY id DESC LIMIT 1");
    Ok(db.prepare_cached(&sql)?.query_row([code], destination).optional()?)
}

pub(super) fn first(
    db: &Connection,
    code: &str,
    target: &str,
) -> Result<Option<Destination>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM destinations WHERE code = ?1 AND outcome = 'arrived' AND id >
             (SELECT coalesce(max(id), 0) FROM destinations WHERE code = ?1 AND target <> ?2)
         ORDER BY id LIMIT 1"
    );
    Ok(db.prepare_cached(&sql)?.query_row([code, target], destination).optional()?)
}

fn destination(row: &Row<'_>) -> rusqlite::Result<Destination> {
    Ok(Destination {
        code: row.get(0)?,
        revision: row.get(1)?,
        ts: Timestamp(row.get(2)?),
        target: row.get(3)?,
        url: row.get(4)?,
        host: row.get(5)?,
        registrable_domain: row.get(6)?,
        outcome: row.get(7)?,
        findings: Findings::from_text(&row.get::<_, String>(8)?),
        detail: row.get(9)?,
        flow: row.get(10)?,
    })
}
