//! Brings the database to the newest schema, and refuses one that is newer or altered.

use sha2::{Digest, Sha256};

use super::{Error, Session};

/// Held while the schema is looked at and changed: nodes may start together.
const LOCK: i64 = 0x7472_6163_6567_6174;

/// Applies those of `all` (in order; the first is number 1) that are missing, in one transaction.
/// The table `migrations` keeps set, number and SHA-256 of each; `set` tells the parts of one
/// database apart.
///
/// # Errors
/// When the schema is newer than this build or altered, or the database fails.
pub fn apply(session: &mut Session, set: &str, all: &[&str]) -> Result<(), Error> {
    session.transact(|tx| {
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
        tx.batch(
            "CREATE TABLE IF NOT EXISTS migrations (
                 set text NOT NULL,
                 version integer NOT NULL,
                 digest bytea NOT NULL CHECK (octet_length(digest) = 32),
                 PRIMARY KEY (set, version)
             )",
        )?;
        let rows = tx.query(
            "SELECT version, digest FROM migrations WHERE set = $1 ORDER BY version",
            &[&set],
        )?;
        let known = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let found = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if found > known {
            return Err(Error::Newer { found, known });
        }
        for (version, sql) in (1u32..).zip(all) {
            let digest: [u8; 32] = Sha256::digest(sql.as_bytes()).into();
            if let Some(row) = rows.get(version as usize - 1) {
                let same = row.get::<_, i32>(0).cast_unsigned() == version
                    && row.get::<_, &[u8]>(1) == digest;
                if !same {
                    return Err(Error::Altered(version));
                }
                continue;
            }
            tx.batch(sql)?;
            tx.execute(
                "INSERT INTO migrations VALUES ($1, $2, $3)",
                &[&set, &version.cast_signed(), &digest.as_slice()],
            )?;
        }
        Ok(())
    })
}
