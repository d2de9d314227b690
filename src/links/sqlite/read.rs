//! Reading revisions.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    clock::Timestamp,
    links::{Error, Operation, Revision, State},
};

/// The columns [`revision`] reads, in its order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT code, revision, ts, operation, target_submitted, target, target_host, ",
            "target_registrable_domain, state, expires, actor, owner, reason, psl_version ",
            "FROM revisions ",
            $rest
        )
    };
}

pub(super) fn current(db: &Connection, code: &str, shown: i64) -> Result<Option<Revision>, Error> {
    let sql = select!("WHERE code = ?1 AND id <= ?2 ORDER BY revision DESC LIMIT 1");
    Ok(db.prepare_cached(sql)?.query_row(params![code, shown], revision).optional()?)
}

pub(super) fn revisions(
    db: &Connection,
    code: &str,
    from: u32,
    limit: usize,
    shown: i64,
) -> Result<Vec<Revision>, Error> {
    let sql = select!("WHERE code = ?1 AND revision >= ?2 AND id <= ?4 ORDER BY revision LIMIT ?3");
    let mut rows = db.prepare_cached(sql)?;
    let rows = rows.query_map(params![code, from, rows_max(limit), shown], revision)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn list_from(
    db: &Connection,
    after: &str,
    limit: usize,
    shown: i64,
) -> Result<Vec<Revision>, Error> {
    let sql = select!(
        "AS r WHERE code > ?1 AND id <= ?3 AND revision =
             (SELECT max(revision) FROM revisions AS n WHERE n.code = r.code AND n.id <= ?3)
         ORDER BY code LIMIT ?2"
    );
    let mut rows = db.prepare_cached(sql)?;
    let rows = rows.query_map(params![after, rows_max(limit), shown], revision)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn revision(row: &Row<'_>) -> rusqlite::Result<Revision> {
    Ok(Revision {
        code: row.get(0)?,
        revision: row.get(1)?,
        ts: Timestamp(row.get(2)?),
        operation: named(row, 3, Operation::from_name)?,
        target_submitted: row.get(4)?,
        target: row.get(5)?,
        target_host: row.get(6)?,
        target_registrable_domain: row.get(7)?,
        state: named(row, 8, State::from_name)?,
        expires: Timestamp(row.get(9)?),
        actor: row.get(10)?,
        owner: row.get(11)?,
        reason: row.get(12)?,
        psl_version: row.get(13)?,
    })
}

/// A column that holds one of our names; the schema's CHECK lets no other in.
fn named<T>(row: &Row<'_>, at: usize, from: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(at)?.as_str()?;
    from(name).ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(at, name.to_owned(), rusqlite::types::Type::Text)
    })
}
