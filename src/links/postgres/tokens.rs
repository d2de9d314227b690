//! Tokens and their revocations.

use super::write::notify;
use crate::{
    clock::Timestamp,
    links::{Error, TokenRow},
    sql::postgres::Session,
};

pub(super) fn all(s: &mut Session) -> Result<Vec<TokenRow>, Error> {
    let sql = "SELECT name, role, digest, created, expires, actor,
                   coalesce(nullif(person, ''), name), owner FROM tokens
               WHERE id NOT IN (SELECT token_id FROM revocations) ORDER BY name";
    let row = |row: tokio_postgres::Row| {
        let digest: &[u8] = row.get(2);
        TokenRow {
            name: row.get(0),
            role: row.get(1),
            // The schema's CHECK lets no other length in.
            digest: digest.try_into().unwrap_or_default(),
            created: Timestamp(row.get(3)),
            expires: Timestamp(row.get(4)),
            actor: row.get(5),
            person: row.get(6),
            owner: row.get(7),
        }
    };
    Ok(s.query(sql, &[])?.into_iter().map(row).collect())
}

pub(super) fn add(tx: &mut Session, token: &TokenRow) -> Result<(), Error> {
    // Two nodes may be asked for the same name at once.
    tx.batch("LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE")?;
    if id(tx, &token.name)?.is_some() {
        return Err(Error::Taken);
    }
    let sql = "INSERT INTO tokens (name, role, digest, created, expires, actor, person, owner)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let digest = token.digest.as_slice();
    let (created, expires) = (token.created.0, token.expires.0);
    let TokenRow { name, role, actor, person, owner, .. } = token;
    tx.execute(sql, &[name, role, &digest, &created, &expires, actor, person, owner])?;
    notify(tx, "tokens")
}

pub(super) fn revoke(
    tx: &mut Session,
    name: &str,
    actor: &str,
    ts: Timestamp,
) -> Result<bool, Error> {
    tx.batch("LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE")?;
    let Some(id) = id(tx, name)? else { return Ok(false) };
    tx.execute("INSERT INTO revocations VALUES ($1, $2, $3)", &[&id, &ts.0, &actor])?;
    notify(tx, "tokens")?;
    Ok(true)
}

fn id(tx: &mut Session, name: &str) -> Result<Option<i64>, Error> {
    let sql = "SELECT id FROM tokens
               WHERE name = $1 AND id NOT IN (SELECT token_id FROM revocations)";
    Ok(tx.query_opt(sql, &[&name])?.map(|row| row.get(0)))
}
