//! Reading revisions.

use tokio_postgres::{Row, types::ToSql};

use crate::{
    clock::Timestamp,
    links::{
        Error, LinkQuery, LinkSettings, Operation, Revision, State, forward::range, store::alike,
    },
    sql::postgres::{self, Session, Values},
};

/// The columns [`revision`] reads, in its order, of `r`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.code, r.revision, r.ts, r.operation, r.target_submitted, r.target, ",
            "r.target_host, r.target_registrable_domain, r.state, r.expires, r.actor, r.owner, ",
            "r.reason, r.psl_version, r.domain, r.settings, r.request FROM revisions AS r ",
            "WHERE NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.revision_id = r.id) ",
            $rest
        )
    };
}

/// The revision `r` is the newest of its link that may be seen.
macro_rules! newest {
    () => {
        " AND r.revision = (SELECT n.revision FROM revisions AS n WHERE n.code = r.code
              AND NOT EXISTS (SELECT 1 FROM outbox AS p WHERE p.revision_id = n.id)
              ORDER BY n.revision DESC LIMIT 1)"
    };
}

pub(super) fn current(s: &mut Session, code: &str) -> Result<Option<Revision>, Error> {
    let sql = select!("AND r.code = $1 ORDER BY r.revision DESC LIMIT 1");
    s.query_opt(sql, &[&code])?.as_ref().map(revision).transpose()
}

pub(super) fn revisions(
    s: &mut Session,
    code: &str,
    from: u32,
    limit: usize,
) -> Result<Vec<Revision>, Error> {
    let sql = select!("AND r.code = $1 AND r.revision >= $2 ORDER BY r.revision LIMIT $3");
    all(s, sql, &[&code, &number_of(from), &rows_max(limit)])
}

pub(super) fn list(s: &mut Session, query: &LinkQuery) -> Result<Vec<Revision>, Error> {
    let mut sql = String::from(concat!(select!("AND r.code > $1"), newest!()));
    let (limit, (after, of_codes)) = (rows_max(query.limit), range(query));
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&after, &limit];
    let state = query.state.map(State::name);
    let wanted: [(&str, Option<&(dyn ToSql + Sync)>); 4] = [
        ("r.owner = ", query.owner.as_ref().map(|v| v as _)),
        ("r.target_host = ", query.target_host.as_ref().map(|v| v as _)),
        ("r.domain = ", query.domain.as_ref().map(|v| v as _)),
        ("r.state = ", state.as_ref().map(|v| v as _)),
    ];
    sql.push_str(&of_codes);
    for (condition, value) in wanted {
        let Some(value) = value else { continue };
        values.push(value);
        sql.push_str(&format!(" AND {condition}${}", values.len()));
    }
    if let Some(tag) = &query.tag {
        // The table of tags says where to look, the settings what is so now.
        values.push(tag);
        let n = values.len();
        sql.push_str(&format!(
            " AND r.code IN (SELECT t.code FROM tags AS t WHERE t.tag = ${n} AND t.code > $1)
              AND (nullif(r.settings, '')::jsonb -> 'tags') ? ${n}"
        ));
    }
    // What can be left out of an index where it is usual has to be said to be unusual.
    if query.domain.as_ref().is_some_and(|d| !d.is_empty()) {
        sql.push_str(" AND r.domain <> ''");
    }
    if query.state.is_some_and(|s| s != State::Enabled) {
        sql.push_str(" AND r.state <> 'enabled'");
    }
    sql.push_str(" ORDER BY r.code LIMIT $2");
    all(s, &sql, &values)
}

pub(super) fn by_request(s: &mut Session, request: &str) -> Result<Option<Revision>, Error> {
    let sql = select!("AND r.request = $1 AND r.request <> ''");
    s.query_opt(sql, &[&request])?.as_ref().map(revision).transpose()
}

pub(super) fn alike_to(
    s: &mut Session,
    [owner, domain, target]: [&str; 3],
    limit: usize,
) -> Result<Vec<Revision>, Error> {
    let sql = concat!(
        select!("AND r.alike = $1 AND r.owner = $2 AND r.domain = $3 AND r.target = $4"),
        newest!(),
        " ORDER BY r.id DESC LIMIT $5"
    );
    let key = alike(owner, domain, target);
    all(s, sql, &[&key, &owner, &domain, &target, &rows_max(limit)])
}

pub(super) fn due(
    s: &mut Session,
    from: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Result<Vec<Revision>, Error> {
    let sql = concat!(
        select!("AND r.state = 'enabled' AND r.expires > 0 AND r.expires BETWEEN $1 AND $2"),
        // By the clock that all nodes share, too: one that is ahead ends nobody's links.
        " AND r.expires <= (extract(epoch FROM clock_timestamp()) * 1000000)::int8",
        newest!(),
        " ORDER BY r.expires LIMIT $3"
    );
    all(s, sql, &[&from.0, &until.0, &rows_max(limit)])
}

pub(super) fn live(s: &mut Session, owner: &str, limit: u64) -> Result<u64, Error> {
    let sql = concat!(
        "SELECT count(*) FROM (SELECT 1 FROM revisions AS r
             WHERE r.owner = $1 AND r.state = 'enabled'
                 AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.revision_id = r.id)",
        newest!(),
        " LIMIT $2) AS l"
    );
    let limit = limit.min(i64::MAX.unsigned_abs()).cast_signed();
    Ok(first(s, sql, &[&owner, &limit])?.unwrap_or_default().cast_unsigned())
}

/// The first column of the first row.
pub(super) fn first(s: &mut Session, sql: &str, values: Values<'_>) -> Result<Option<i64>, Error> {
    let row = s.query_opt(sql, values)?;
    Ok(row.map(|row| row.try_get(0)).transpose().map_err(postgres::Error::from)?)
}

/// The same where there always is one.
pub(super) fn number(s: &mut Session, sql: &str) -> Result<i64, Error> {
    Ok(first(s, sql, &[])?.unwrap_or_default())
}

pub(super) fn number_of(revision: u32) -> i32 {
    i32::try_from(revision).unwrap_or(i32::MAX)
}

fn all(s: &mut Session, sql: &str, values: Values<'_>) -> Result<Vec<Revision>, Error> {
    s.query(sql, values)?.iter().map(revision).collect()
}

fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn revision(row: &Row) -> Result<Revision, Error> {
    let text = |at: usize| row.try_get::<_, String>(at).map_err(postgres::Error::from);
    let ts = |at: usize| row.try_get(at).map(Timestamp).map_err(postgres::Error::from);
    let code = text(0)?;
    // The schema's CHECKs let nothing else in.
    let damaged = || Error::Damaged(code.clone());
    let number: i32 = row.try_get(1).map_err(postgres::Error::from)?;
    Ok(Revision {
        revision: number.cast_unsigned(),
        ts: ts(2)?,
        operation: Operation::from_name(&text(3)?).ok_or_else(damaged)?,
        target_submitted: text(4)?,
        target: text(5)?,
        target_host: text(6)?,
        target_registrable_domain: text(7)?,
        state: State::from_name(&text(8)?).ok_or_else(damaged)?,
        expires: ts(9)?,
        actor: text(10)?,
        owner: text(11)?,
        reason: text(12)?,
        psl_version: text(13)?,
        domain: text(14)?,
        settings: LinkSettings::from_text(&text(15)?).map_err(|_| damaged())?,
        request: text(16)?,
        code,
    })
}
