//! Reading revisions.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, types::Type};

use crate::{
    clock::Timestamp,
    links::{
        Error, LinkQuery, LinkSettings, Operation, Revision, State, forward::range, store::alike,
    },
};

/// The columns [`revision`] reads, in its order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT code, revision, ts, operation, target_submitted, target, target_host, ",
            "target_registrable_domain, state, expires, actor, owner, reason, psl_version, ",
            "domain, settings, request FROM revisions ",
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

/// The revision `r` is the newest of its link that may be seen (`?1`).
macro_rules! newest {
    () => {
        "r.id <= ?1 AND r.revision = (SELECT n.revision FROM revisions AS n
             WHERE n.code = r.code AND n.id <= ?1 ORDER BY n.revision DESC LIMIT 1)"
    };
}

pub(super) fn list(db: &Connection, query: &LinkQuery, shown: i64) -> Result<Vec<Revision>, Error> {
    let mut sql = String::from(concat!(select!("AS r WHERE r.code > ?2 AND "), newest!()));
    let (limit, (after, of_codes)) = (rows_max(query.limit), range(query));
    let mut values: Vec<&dyn ToSql> = vec![&shown, &after, &limit];
    let state = query.state.map(State::name);
    let wanted: [(&str, Option<&dyn ToSql>); 4] = [
        ("r.owner = ", query.owner.as_ref().map(|v| v as &dyn ToSql)),
        ("r.target_host = ", query.target_host.as_ref().map(|v| v as &dyn ToSql)),
        ("r.domain = ", query.domain.as_ref().map(|v| v as &dyn ToSql)),
        ("r.state = ", state.as_ref().map(|v| v as &dyn ToSql)),
    ];
    sql.push_str(&of_codes);
    for (condition, value) in wanted {
        let Some(value) = value else { continue };
        values.push(value);
        sql.push_str(&format!(" AND {condition}?{}", values.len()));
    }
    if let Some(tag) = &query.tag {
        // The table of tags says where to look, the settings what is so now.
        values.push(tag);
        let n = values.len();
        sql.push_str(&format!(
            " AND r.code IN (SELECT code FROM tags WHERE tag = ?{n} AND code > ?2)
              AND ?{n} IN (SELECT value FROM json_each(nullif(r.settings, ''), '$.tags'))"
        ));
    }
    // What can be left out of an index where it is usual has to be said to be unusual.
    if query.domain.as_ref().is_some_and(|d| !d.is_empty()) {
        sql.push_str(" AND r.domain <> ''");
    }
    if query.state.is_some_and(|s| s != State::Enabled) {
        sql.push_str(" AND r.state <> 'enabled'");
    }
    sql.push_str(" ORDER BY r.code LIMIT ?3");
    let mut rows = db.prepare_cached(&sql)?;
    let rows = rows.query_map(&values[..], revision)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn by_request(
    db: &Connection,
    request: &str,
    shown: i64,
) -> Result<Option<Revision>, Error> {
    let sql = select!("WHERE request = ?1 AND request <> '' AND id <= ?2");
    Ok(db.prepare_cached(sql)?.query_row(params![request, shown], revision).optional()?)
}

pub(super) fn alike_to(
    db: &Connection,
    [owner, domain, target]: [&str; 3],
    limit: usize,
    shown: i64,
) -> Result<Vec<Revision>, Error> {
    let sql = concat!(
        select!(
            "AS r WHERE alike = ?2 AND alike <> 0 AND owner = ?3 AND domain = ?4 AND target = ?5 AND "
        ),
        newest!(),
        " ORDER BY r.id DESC LIMIT ?6"
    );
    let mut rows = db.prepare_cached(sql)?;
    let key = alike(owner, domain, target);
    let rows =
        rows.query_map(params![shown, key, owner, domain, target, rows_max(limit)], revision)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn due(
    db: &Connection,
    from: Timestamp,
    until: Timestamp,
    limit: usize,
    shown: i64,
) -> Result<Vec<Revision>, Error> {
    let sql = concat!(
        select!(
            "AS r WHERE r.state = 'enabled' AND r.expires > 0 AND r.expires BETWEEN ?2 AND ?3 AND "
        ),
        newest!(),
        " ORDER BY r.expires LIMIT ?4"
    );
    let mut rows = db.prepare_cached(sql)?;
    let rows = rows.query_map(params![shown, from.0, until.0, rows_max(limit)], revision)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn live(db: &Connection, owner: &str, limit: u64, shown: i64) -> Result<u64, Error> {
    let sql = concat!(
        "SELECT count(*) FROM (SELECT 1 FROM revisions AS r
             WHERE r.owner = ?2 AND r.state = 'enabled' AND ",
        newest!(),
        " LIMIT ?3)"
    );
    let limit = limit.min(i64::MAX.unsigned_abs()).cast_signed();
    let count: i64 =
        db.prepare_cached(sql)?.query_row(params![shown, owner, limit], |row| row.get(0))?;
    Ok(count.cast_unsigned())
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
        domain: row.get(14)?,
        settings: settings(row, 15)?,
        request: row.get(16)?,
    })
}

/// A column that holds one of our names; the schema's CHECK lets no other in.
fn named<T>(row: &Row<'_>, at: usize, from: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(at)?.as_str()?;
    from(name).ok_or_else(|| rusqlite::Error::InvalidColumnType(at, name.to_owned(), Type::Text))
}

fn settings(row: &Row<'_>, at: usize) -> rusqlite::Result<LinkSettings> {
    LinkSettings::from_text(row.get_ref(at)?.as_str()?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(e)))
}
