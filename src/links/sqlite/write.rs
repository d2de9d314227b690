//! Writing revisions, their records and what is counted of them.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::links::{Error, OutboxRow, Revision, store::alike};

/// Whether `revision` is the one that comes next for its code, and its request a new one.
pub(super) fn follows(tx: &Transaction<'_>, revision: &Revision) -> Result<(), Error> {
    if !revision.request.is_empty() {
        let sql = "SELECT 1 FROM revisions WHERE request = ?1 AND request <> ''";
        let made = tx.prepare_cached(sql)?.exists([&revision.request])?;
        if made {
            return Err(Error::Repeated);
        }
    }
    let sql = "SELECT revision FROM revisions WHERE code = ?1 ORDER BY revision DESC LIMIT 1";
    let current: Option<u32> =
        tx.prepare_cached(sql)?.query_row([&revision.code], |row| row.get(0)).optional()?;
    match (current, revision.revision) {
        (None, 1) => {
            let sql = "SELECT 1 FROM spent WHERE code = ?1";
            let spent = tx.prepare_cached(sql)?.exists([&revision.code])?;
            if spent { Err(Error::Taken) } else { Ok(()) }
        }
        (None, _) => Err(Error::Unknown),
        (Some(_), 1) => Err(Error::Taken),
        (Some(current), next) if current.checked_add(1) == Some(next) => Ok(()),
        (Some(current), _) => Err(Error::Conflict { current }),
    }
}

/// What concerns one revision alone is its result; all else ends the transaction.
pub(super) fn of_one(result: Result<(), Error>) -> Result<Result<(), Error>, Error> {
    match result {
        Err(e @ (Error::Unknown | Error::Taken | Error::Conflict { .. } | Error::Repeated)) => {
            Ok(Err(e))
        }
        Err(e) => Err(e),
        Ok(()) => Ok(Ok(())),
    }
}

/// Adds a revision; its id.
pub(super) fn insert(tx: &Transaction<'_>, r: &Revision) -> Result<i64, Error> {
    let sql = "INSERT INTO revisions (code, revision, ts, operation, target_submitted, target,
                   target_host, target_registrable_domain, state, expires, actor, owner, reason,
                   psl_version, domain, settings, request, alike)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                   ?17, ?18)";
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
        r.psl_version,
        r.domain,
        r.settings.to_text(),
        r.request,
        alike(&r.owner, &r.domain, &r.target),
    ])?;
    let id = tx.last_insert_rowid();
    if !r.settings.tags.is_empty() {
        let mut tags = tx.prepare_cached("INSERT OR IGNORE INTO tags VALUES (?1, ?2)")?;
        for tag in &r.settings.tags {
            tags.execute(params![tag, r.code])?;
        }
    }
    Ok(id)
}

/// Adds the records of the revisions with these ids, one each.
pub(super) fn outbox(tx: &Transaction<'_>, rows: &[OutboxRow], ids: &[i64]) -> Result<(), Error> {
    if rows.len() != ids.len() {
        // A revision without a record is none.
        return Err(Error::Failed);
    }
    let mut insert = tx.prepare_cached("INSERT INTO outbox VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (row, id) in rows.iter().zip(ids) {
        let (lane, seq) = (row.lane.0.cast_signed(), row.seq.cast_signed());
        insert.execute(params![lane, seq, row.schema.0, row.bytes, id])?;
    }
    Ok(())
}

/// Takes visits; how many there were.
pub(super) fn lease_visits(
    tx: &Transaction<'_>,
    code: &str,
    portion: u32,
    max: u32,
) -> Result<u32, Error> {
    let sql = "SELECT leased FROM visits WHERE code = ?1";
    let leased: Option<u32> =
        tx.prepare_cached(sql)?.query_row([code], |row| row.get(0)).optional()?;
    let leased = leased.unwrap_or(0);
    let taken = portion.min(max.saturating_sub(leased));
    if taken > 0 {
        tx.prepare_cached("INSERT OR REPLACE INTO visits VALUES (?1, ?2)")?
            .execute(params![code, leased + taken])?;
    }
    Ok(taken)
}
