//! Tokens and their revocations.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{
    clock::Timestamp,
    links::{Error, TokenRow},
};

pub(super) fn all(db: &Connection) -> Result<Vec<TokenRow>, Error> {
    let sql = "SELECT name, role, digest, created, expires, actor, iif(person = '', name, person),
                   owner
               FROM tokens WHERE id NOT IN (SELECT token_id FROM revocations) ORDER BY name";
    let mut rows = db.prepare_cached(sql)?;
    let rows = rows.query_map([], |row| {
        Ok(TokenRow {
            name: row.get(0)?,
            role: row.get(1)?,
            digest: row.get(2)?,
            created: Timestamp(row.get(3)?),
            expires: Timestamp(row.get(4)?),
            actor: row.get(5)?,
            person: row.get(6)?,
            owner: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn add(tx: &Transaction<'_>, token: &TokenRow) -> Result<(), Error> {
    if id(tx, &token.name)?.is_some() {
        return Err(Error::Taken);
    }
    let sql = "INSERT INTO tokens (name, role, digest, created, expires, actor, person, owner)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (created, expires) = (token.created.0, token.expires.0);
    let TokenRow { name, role, digest, actor, person, owner, .. } = token;
    tx.execute(sql, params![name, role, digest, created, expires, actor, person, owner])?;
    Ok(())
}

pub(super) fn revoke(
    tx: &Transaction<'_>,
    name: &str,
    actor: &str,
    ts: Timestamp,
) -> Result<bool, Error> {
    let Some(id) = id(tx, name)? else { return Ok(false) };
    tx.execute("INSERT INTO revocations VALUES (?1, ?2, ?3)", params![id, ts.0, actor])?;
    Ok(true)
}

fn id(tx: &Transaction<'_>, name: &str) -> Result<Option<i64>, Error> {
    let sql = "SELECT id FROM tokens
               WHERE name = ?1 AND id NOT IN (SELECT token_id FROM revocations)";
    Ok(tx.query_row(sql, [name], |row| row.get(0)).optional()?)
}
