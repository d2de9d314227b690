//! Backup and restore: the database of links and the key behind their codes, in one file; what lies
//! beside them goes along ([`Beside`]).
//!
//! The copy is made while the server runs. What is under way at that moment, a revision whose
//! record is still in the outbox, is left out of it: its record may or may not be kept. A restored
//! database gives no code out again: start-up raises the sequence above every code that spool and
//! store know.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{Beside, Codes, Error, Secrets, Went, beside as others};

/// The database of links, in the data directory.
pub const CONTROL: &str = "control.sqlite";

/// The name of the key behind codes, among the secrets.
const KEY: &str = "codes.key";

/// The wait for a server that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Links.
    pub links: u64,
    /// Their revisions.
    pub revisions: u64,
    /// What became of each database beside them.
    pub beside: Vec<(&'static str, Went)>,
}

/// Writes the links of `data_dir`, their key and what lies `beside` them into a new file, for its
/// owner alone.
///
/// # Errors
/// When there is no such database, the file is there, or the key is not that of the codes.
pub fn backup(data_dir: &Path, to: &Path, beside: &[Beside]) -> Result<Backup, Error> {
    let path = data_dir.join(CONTROL);
    let key = data_dir.join("secrets").join(KEY);
    for needed in [&path, &key] {
        std::fs::metadata(needed).map_err(at(needed))?;
    }
    let key = Secrets::open(data_dir)?.load_or_make(KEY)?;
    let db = open(&path)?;
    check_key(&db, &key)?;
    create(to)?;
    let done = others::copies(data_dir, to, beside).and_then(|copies| {
        copy(&db, to)?;
        let copy = open(to)?;
        copy.execute_batch(
            "PRAGMA journal_mode = delete;
             BEGIN;
             DELETE FROM revisions WHERE id IN (SELECT revision_id FROM outbox);
             DELETE FROM outbox;
             CREATE TABLE backup (key BLOB NOT NULL CHECK (length(key) = 32)) STRICT;
             COMMIT",
        )?;
        copy.execute("INSERT INTO backup VALUES (?1)", [&key[..]])?;
        others::put(&copy, &copies)?;
        Ok(Backup { beside: others::told(beside, &copies), ..count(&copy)? })
    });
    let backup = done.inspect_err(|_| drop(std::fs::remove_file(to)))?;
    sync(to)?;
    Ok(backup)
}

/// Makes the database of links of `data_dir`, which has none, and its key from a backup, and of what
/// lay `beside` it whatever is not there. No server may run on the directory meanwhile.
///
/// # Errors
/// When there is a database or another key, or the file is no backup.
pub fn restore_backup(from: &Path, data_dir: &Path, beside: &[Beside]) -> Result<Backup, Error> {
    std::fs::metadata(from).map_err(at(from))?;
    let path = data_dir.join(CONTROL);
    for there in ["", "-wal", "-shm"].map(|end| data_dir.join(format!("{CONTROL}{end}"))) {
        if there.exists() {
            let why = io::Error::new(io::ErrorKind::AlreadyExists, "move it away first");
            return Err(at(&there)(why));
        }
    }
    let db = open(from)?;
    let key: Option<Vec<u8>> =
        db.query_row("SELECT key FROM backup", [], |row| row.get(0)).optional()?;
    let key = key.and_then(|k| <[u8; 32]>::try_from(k).ok());
    let key = key.ok_or_else(|| Error::BadSecret(from.to_owned()))?;
    check_key(&db, &key)?;
    Secrets::open(data_dir)?.put(KEY, &key)?;
    create(&path)?;
    let done = copy(&db, &path).and_then(|()| {
        let copy = open(&path)?;
        copy.execute_batch(
            // Nobody knows which codes were given out since: no code is made before the store says.
            "PRAGMA secure_delete = on; DROP TABLE backup; DROP TABLE IF EXISTS backup_files;
             INSERT OR REPLACE INTO marks VALUES ('unlearned', 0); VACUUM",
        )?;
        Ok(Backup { beside: others::restore(&db, data_dir, beside)?, ..count(&copy)? })
    });
    let backup = done.inspect_err(|_| drop(std::fs::remove_file(&path)))?;
    sync(&path)?;
    Ok(backup)
}

/// An existing database.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    Ok(db)
}

/// Makes a new file, which nobody else can have put anything into.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    made.map(|_| ()).map_err(at(path))
}

/// Copies what is committed into an empty file.
pub(super) fn copy(db: &Connection, to: &Path) -> Result<(), Error> {
    let name = to.to_str().ok_or_else(|| at(to)(io::ErrorKind::InvalidFilename.into()))?;
    db.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}

fn check_key(db: &Connection, key: &[u8; 32]) -> Result<(), Error> {
    let sql = "SELECT value FROM pins WHERE name = 'codes.key'";
    let pinned: Option<Vec<u8>> = db.query_row(sql, [], |row| row.get(0)).optional()?;
    let length = *super::LENGTHS.start();
    let same = pinned.is_none_or(|p| p == Codes::new(key, length).fingerprint());
    if same { Ok(()) } else { Err(Error::OtherKey) }
}

fn count(db: &Connection) -> Result<Backup, Error> {
    let sql = "SELECT count(*) FILTER (WHERE revision = 1), count(*) FROM revisions";
    let count = |row: &rusqlite::Row<'_>| {
        Ok(Backup { links: row.get(0)?, revisions: row.get(1)?, beside: Vec::new() })
    };
    Ok(db.query_row(sql, [], count)?)
}

pub(super) fn sync(path: &Path) -> Result<(), Error> {
    let file = File::open(path).and_then(|f| f.sync_all());
    file.map_err(at(path))?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir).and_then(|d| d.sync_all()).map_err(at(dir))
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Io { path, source }
}
