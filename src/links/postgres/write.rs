//! Writing revisions, their records and what is counted of them.

use std::collections::{HashMap, HashSet};

use super::{CHANNEL, read::number_of};
use crate::{
    links::{Error, OutboxRow, Revision, store::alike},
    record::LaneId,
    sql::postgres::{self, Session},
};

/// The longest text of one notification, below the server's 8,000 bytes.
const NOTICE_BYTES_MAX: usize = 7_000;

/// Which revisions may be written.
pub(super) struct Checked<'r> {
    pub(super) results: Vec<Result<(), Error>>,
    pub(super) accepted: Vec<&'r Revision>,
}

/// Looks which of `revisions`, one after another, come next for their codes, with requests that
/// are new.
pub(super) fn check<'r>(
    tx: &mut Session,
    node: &str,
    revisions: &'r [Revision],
) -> Result<Checked<'r>, Error> {
    let codes: Vec<&str> = revisions.iter().map(|r| r.code.as_str()).collect();
    let requests = revisions.iter().map(|r| r.request.as_str()).filter(|r| !r.is_empty());
    let requests: Vec<&str> = requests.collect();
    // The newest revision of each code, and whose it is while nobody sees it.
    let sql = "SELECT n.code, n.revision, coalesce(o.node, '')
               FROM (SELECT DISTINCT code FROM unnest($1::text[]) AS c (code)) AS c
               CROSS JOIN LATERAL (SELECT r.id, r.code, r.revision FROM revisions AS r
                   WHERE r.code = c.code COLLATE \"C\" ORDER BY r.revision DESC LIMIT 1) AS n
               LEFT JOIN outbox AS o ON o.revision_id = n.id";
    let rows = tx.query(sql, &[&codes])?;
    let mut current: HashMap<&str, (u32, &str)> = HashMap::new();
    for row in &rows {
        current.insert(row.get(0), (row.get::<_, i32>(1).cast_unsigned(), row.get(2)));
    }
    let spent = tx.query("SELECT code FROM spent WHERE code = ANY($1)", &[&codes])?;
    let spent: HashSet<&str> = spent.iter().map(|row| row.get(0)).collect();
    let sql = "SELECT request FROM revisions WHERE request = ANY($1) AND request <> ''";
    let rows = tx.query(sql, &[&requests])?;
    let mut requests: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
    let (mut results, mut accepted) = (Vec::with_capacity(revisions.len()), Vec::new());
    for revision in revisions {
        let result = match requests.contains(revision.request.as_str()) {
            true => Err(Error::Repeated),
            false if revision.revision == 1 && spent.contains(revision.code.as_str()) => {
                Err(Error::Taken)
            }
            false => follows(node, revision, current.get(revision.code.as_str()).copied()),
        };
        if result.is_ok() {
            current.insert(&revision.code, (revision.revision, ""));
            if !revision.request.is_empty() {
                requests.insert(&revision.request);
            }
            accepted.push(revision);
        }
        results.push(result);
    }
    Ok(Checked { results, accepted })
}

/// Whether `revision` comes next after the `current` one.
fn follows(node: &str, revision: &Revision, current: Option<(u32, &str)>) -> Result<(), Error> {
    match (current, revision.revision) {
        (None, 1) => Ok(()),
        (None, _) => Err(Error::Unknown),
        (Some(_), 1) => Err(Error::Taken),
        (Some((_, other)), _) if !other.is_empty() && other != node => {
            Err(Error::Pending { code: revision.code.clone(), node: other.to_owned() })
        }
        (Some((current, _)), next) if current.checked_add(1) == Some(next) => Ok(()),
        (Some((current, _)), _) => Err(Error::Conflict { current }),
    }
}

/// Adds revisions; their ids in this order. [`Error::Race`] when somebody else was faster.
pub(super) fn insert(tx: &mut Session, all: &[&Revision]) -> Result<Vec<i64>, Error> {
    // A column each: one statement however many there are.
    let texts = |of: fn(&Revision) -> &str| -> Vec<&str> { all.iter().map(|r| of(r)).collect() };
    let numbers: Vec<i32> = all.iter().map(|r| number_of(r.revision)).collect();
    let times: Vec<i64> = all.iter().map(|r| r.ts.0).collect();
    let ends: Vec<i64> = all.iter().map(|r| r.expires.0).collect();
    let settings: Vec<String> = all.iter().map(|r| r.settings.to_text()).collect();
    let same: Vec<i64> = all.iter().map(|r| alike(&r.owner, &r.domain, &r.target)).collect();
    let sql = "INSERT INTO revisions (code, revision, ts, operation, target_submitted, target,
                   target_host, target_registrable_domain, state, expires, actor, owner, reason,
                   psl_version, domain, settings, request, alike)
               SELECT * FROM unnest($1::text[], $2::int4[], $3::int8[], $4::text[], $5::text[],
                   $6::text[], $7::text[], $8::text[], $9::text[], $10::int8[], $11::text[],
                   $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
                   $18::int8[])
               ON CONFLICT DO NOTHING RETURNING id, code, revision";
    let made = tx.query(
        sql,
        &[
            &texts(|r| &r.code),
            &numbers,
            &times,
            &texts(|r| r.operation.name()),
            &texts(|r| &r.target_submitted),
            &texts(|r| &r.target),
            &texts(|r| &r.target_host),
            &texts(|r| &r.target_registrable_domain),
            &texts(|r| r.state.name()),
            &ends,
            &texts(|r| &r.actor),
            &texts(|r| &r.owner),
            &texts(|r| &r.reason),
            &texts(|r| &r.psl_version),
            &texts(|r| &r.domain),
            &settings,
            &texts(|r| &r.request),
            &same,
        ],
    );
    let made = match made {
        // Two nodes that write some of the same: the server ended one of them.
        Err(e) if e.is(&tokio_postgres::error::SqlState::T_R_DEADLOCK_DETECTED) => {
            return Err(Error::Race);
        }
        made => made?,
    };
    let mut ids: HashMap<(&str, i32), i64> = HashMap::new();
    for row in &made {
        ids.insert((row.get(1), row.get(2)), row.get(0));
    }
    let in_order = all.iter().map(|r| ids.get(&(r.code.as_str(), number_of(r.revision))).copied());
    let Some(in_order) = in_order.collect::<Option<Vec<i64>>>() else { return Err(Error::Race) };
    add_tags(tx, all)?;
    Ok(in_order)
}

fn add_tags(tx: &mut Session, all: &[&Revision]) -> Result<(), Error> {
    let tags =
        all.iter().flat_map(|r| r.settings.tags.iter().map(|t| (t.as_str(), r.code.as_str())));
    let mut tags: Vec<(&str, &str)> = tags.collect();
    if tags.is_empty() {
        return Ok(());
    }
    // In one order, so that nobody waits for somebody who waits for them.
    tags.sort_unstable();
    let (tags, codes): (Vec<&str>, Vec<&str>) = tags.into_iter().unzip();
    let sql =
        "INSERT INTO tags SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING";
    tx.execute(sql, &[&tags, &codes])?;
    Ok(())
}

/// Adds the records of the revisions with these ids, one each.
pub(super) fn outbox(
    tx: &mut Session,
    node: &str,
    rows: &[OutboxRow],
    ids: &[i64],
) -> Result<(), Error> {
    if rows.len() != ids.len() {
        // A revision without a record is none.
        return Err(Error::Failed);
    }
    let lanes: Vec<i64> = rows.iter().map(|r| r.lane.0.cast_signed()).collect();
    let seqs: Vec<i64> = rows.iter().map(|r| r.seq.cast_signed()).collect();
    let schemas: Vec<i32> = rows.iter().map(|r| i32::from(r.schema.0)).collect();
    let bytes: Vec<&[u8]> = rows.iter().map(|r| r.bytes.as_slice()).collect();
    let sql = "INSERT INTO outbox SELECT $1, u.* FROM
               unnest($2::int8[], $3::int8[], $4::int4[], $5::bytea[], $6::int8[]) AS u";
    tx.execute(sql, &[&node, &lanes, &seqs, &schemas, &bytes, &ids])?;
    Ok(())
}

/// Takes revisions back that nobody has seen.
pub(super) fn undo(tx: &mut Session, ids: &[i64]) -> Result<(), Error> {
    if !ids.is_empty() {
        tx.execute("DELETE FROM revisions WHERE id = ANY($1)", &[&ids])?;
        tx.execute("DELETE FROM outbox WHERE revision_id = ANY($1)", &[&ids])?;
    }
    Ok(())
}

/// Takes records off the outbox: their revisions are seen from the commit on, and every node is
/// told.
pub(super) fn show(tx: &mut Session, node: &str, records: &[(LaneId, u64)]) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let lanes: Vec<i64> = records.iter().map(|(lane, _)| lane.0.cast_signed()).collect();
    let seqs: Vec<i64> = records.iter().map(|(_, seq)| seq.cast_signed()).collect();
    let sql = "DELETE FROM outbox AS o USING revisions AS r,
                   unnest($2::int8[], $3::int8[]) AS k (lane, seq)
               WHERE o.node = $1 AND o.lane = k.lane AND o.seq = k.seq AND r.id = o.revision_id
               RETURNING r.code, r.revision";
    let shown = tx.query(sql, &[&node, &lanes, &seqs])?;
    let mut text = String::from("links");
    for row in &shown {
        // Nobody has a link in memory before its first revision.
        if row.get::<_, i32>(1) == 1 {
            continue;
        }
        let code: &str = row.get(0);
        if text.len() + code.len() >= NOTICE_BYTES_MAX {
            notify(tx, &text)?;
            text.truncate("links".len());
        }
        text.push(' ');
        text.push_str(code);
    }
    if text.len() > "links".len() { notify(tx, &text) } else { Ok(()) }
}

/// Tells every node, once the transaction is committed.
pub(super) fn notify(tx: &mut Session, text: &str) -> Result<(), Error> {
    tx.query("SELECT pg_notify($1, $2)", &[&CHANNEL, &text])?;
    Ok(())
}

/// Takes visits; how many there were.
pub(super) fn lease_visits(
    tx: &mut Session,
    code: &str,
    portion: u32,
    max: u32,
) -> Result<u32, Error> {
    tx.execute("INSERT INTO visits VALUES ($1, 0) ON CONFLICT DO NOTHING", &[&code])?;
    let sql = "SELECT leased FROM visits WHERE code = $1 FOR UPDATE";
    let row = tx.query_opt(sql, &[&code])?;
    let leased: i64 = row.map_or(Ok(0), |row| row.try_get(0)).map_err(postgres::Error::from)?;
    let left = u32::try_from(i64::from(max) - leased).unwrap_or(0);
    let taken = portion.min(left);
    if taken > 0 {
        let leased = leased + i64::from(taken);
        tx.execute("UPDATE visits SET leased = $2 WHERE code = $1", &[&code, &leased])?;
    }
    Ok(taken)
}
