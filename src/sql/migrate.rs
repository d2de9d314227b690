//! Brings the database to the newest schema, and refuses one that is newer or altered.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::Error;

/// Applies those of `all` (in order; the first is number 1) that are missing. The table `migrations`
/// keeps number and SHA-256 of each.
pub(super) fn apply(db: &mut Connection, all: &[&str]) -> Result<(), Error> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
             version INTEGER PRIMARY KEY, digest BLOB NOT NULL CHECK (length(digest) = 32)
         ) STRICT",
    )?;
    let applied: u32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = u32::try_from(all.len()).unwrap_or(u32::MAX);
    if applied > known {
        return Err(Error::Newer { found: applied, known });
    }
    for (version, sql) in (1u32..).zip(all) {
        let digest: [u8; 32] = Sha256::digest(sql.as_bytes()).into();
        if version <= applied {
            let kept: Option<Vec<u8>> = tx
                .query_row("SELECT digest FROM migrations WHERE version = ?1", [version], |row| {
                    row.get(0)
                })
                .optional()?;
            if kept.as_deref() != Some(digest.as_slice()) {
                return Err(Error::Altered(version));
            }
            continue;
        }
        tx.execute_batch(sql)?;
        tx.execute("INSERT INTO migrations VALUES (?1, ?2)", params![version, digest])?;
        tx.pragma_update(None, "user_version", version)?;
    }
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [&str; 2] = ["CREATE TABLE a (x)", "CREATE TABLE b (x)"];

    #[test]
    fn applies_what_is_missing_once() {
        let mut db = Connection::open_in_memory().unwrap();
        apply(&mut db, &TWO[..1]).unwrap();
        apply(&mut db, &TWO).unwrap();
        apply(&mut db, &TWO).unwrap();
        let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 2);
    }

    #[test]
    fn refuses_newer_and_altered_schemas() {
        let mut db = Connection::open_in_memory().unwrap();
        apply(&mut db, &TWO).unwrap();
        let newer = apply(&mut db, &TWO[..1]);
        assert!(matches!(newer, Err(Error::Newer { found: 2, known: 1 })), "{newer:?}");
        let altered = apply(&mut db, &["CREATE TABLE a (y)", TWO[1]]);
        assert!(matches!(altered, Err(Error::Altered(1))), "{altered:?}");
    }

    #[test]
    fn a_failing_migration_leaves_nothing() {
        let mut db = Connection::open_in_memory().unwrap();
        assert!(apply(&mut db, &["CREATE TABLE a (x)", "CREATE TABLE a (x)"]).is_err());
        apply(&mut db, &TWO).unwrap();
    }
}
