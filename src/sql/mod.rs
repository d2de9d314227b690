//! Databases of control state. Here: SQLite files, how they are opened, brought to their schema,
//! and read by many; [`postgres`] is for several nodes.
//!
//! Write-ahead logging with `synchronous = FULL`: what was committed survives a power cut. One
//! connection writes, a few read. The file is for its owner alone. Migrations are numbered and
//! checksummed; a schema that is newer than this build, or altered, is refused.

mod any;
mod migrate;
pub mod postgres;
mod readers;

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

pub use any::{Any, AnyError, AnyRow, Sqlite, Value};
pub use readers::{Reader, Readers};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, config::DbConfig};
use rustix::fs::FlockOperation;

/// The wait for another process's lock: another node's, or a backup tool's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept by each connection.
const STATEMENTS_KEPT: usize = 64;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is of a newer build.
    #[error("the database has schema {found}, this build knows {known}")]
    Newer {
        /// The database's schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A migration's text is not what was applied.
    #[error("migration {0} of the database is not the one that was applied")]
    Altered(u32),
    /// The file system cannot share memory, which the write-ahead log needs.
    #[error("the database cannot use a write-ahead log here")]
    NoWal,
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// The file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Opens or makes the database at `path`, for its owner alone, and applies those of `migrations`
/// that are missing. The connection returned is the one to write with.
///
/// # Errors
/// When the file cannot be opened, is damaged, or has a schema this build does not know.
pub fn open(path: &Path, migrations: &[&str]) -> Result<Connection, Error> {
    let file = own_file(path)?;
    // Processes that share the file must not make its log at once.
    let locked = rustix::fs::flock(&file, FlockOperation::LockExclusive);
    locked.map_err(|e| Error::Io { path: path.to_owned(), source: e.into() })?;
    let mut db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::NoWal);
    }
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    keep_statements(&db)?;
    migrate::apply(&mut db, migrations)?;
    Ok(db)
}

/// Has statements parsed once. Without the guarantee of a stable plan SQLite parses one again
/// whenever a parameter changes that might decide about a partial index: at each use.
fn keep_statements(db: &Connection) -> Result<(), rusqlite::Error> {
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Runs `work` in one transaction. `failed` is set after a commit whose outcome is unknown: nothing
/// may be written then until a restart.
///
/// # Errors
/// Those of `work`, which change nothing, and of the database.
pub fn transact<T, E: From<rusqlite::Error>>(
    db: &mut Connection,
    failed: &AtomicBool,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let out = work(&tx)?;
    if let Err(e) = tx.commit() {
        // The log may hold the commit although its fsync failed. A full disk or a lock is found
        // before the commit is written.
        if e.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            failed.store(true, Ordering::SeqCst);
        }
        return Err(e.into());
    }
    Ok(out)
}

/// The lock file beside the database, which is made first. Closing a descriptor of the database
/// itself would drop the locks that SQLite holds on it (fcntl(2)).
fn own_file(path: &Path) -> Result<File, Error> {
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.open(path).map_err(|source| Error::Io { path: path.to_owned(), source })
    };
    let lock = open(&path.with_extension("lock"))?;
    if !path.exists() {
        open(path)?;
    }
    Ok(lock)
}
