//! Databases that go along in a backup of links: copied whole into a table of its file, and written
//! back where there is none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};

use super::{
    Error,
    backup::{at, copy, create, open, sync},
};

/// What is read and written at once, in bytes.
const PART_BYTES: usize = 1 << 20;

/// A database in the data directory that goes along.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// Its file.
    pub file: &'static str,
    /// What it holds, in a word.
    pub what: &'static str,
    /// Takes out of a copy what is under way: its record may or may not be kept.
    pub settle: fn(&Connection) -> Result<(), Error>,
    /// Counts what it holds.
    pub count: fn(&Connection) -> Result<u64, rusqlite::Error>,
}

/// What became of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It is in the backup, or was made from it, with so many.
    Along(u64),
    /// It is in neither.
    Absent,
    /// It was in the data directory, and stays as it was.
    Stays,
}

/// A copy of a database of `data_dir` next to the backup to be, which is removed when this goes.
pub(super) struct Copy {
    beside: Beside,
    path: PathBuf,
    count: u64,
}

impl Drop for Copy {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Copies what there is of `beside`, before the links: what a report names is then among them.
pub(super) fn copies(data_dir: &Path, to: &Path, beside: &[Beside]) -> Result<Vec<Copy>, Error> {
    let mut copies = Vec::new();
    for beside in beside {
        let from = data_dir.join(beside.file);
        if !from.try_exists().map_err(at(&from))? {
            continue;
        }
        let mut path = to.as_os_str().to_owned();
        path.push(format!(".{}", beside.file));
        let path = PathBuf::from(path);
        create(&path)?;
        let mut made = Copy { beside: *beside, path, count: 0 };
        copy(&open(&from)?, &made.path)?;
        let copied = open(&made.path)?;
        copied.execute_batch("PRAGMA journal_mode = delete")?;
        (beside.settle)(&copied)?;
        made.count = (beside.count)(&copied)?;
        copies.push(made);
    }
    Ok(copies)
}

/// Puts the copies into the backup.
pub(super) fn put(backup: &Connection, copies: &[Copy]) -> Result<(), Error> {
    backup.execute_batch(
        "CREATE TABLE backup_files (
             file TEXT NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL,
             PRIMARY KEY (file, part)
         ) STRICT",
    )?;
    for copy in copies {
        let mut file = File::open(&copy.path).map_err(at(&copy.path))?;
        let mut insert = backup.prepare("INSERT INTO backup_files VALUES (?1, ?2, ?3)")?;
        for part in 0_i64.. {
            let mut bytes = Vec::with_capacity(PART_BYTES);
            let mut piece = io::Read::by_ref(&mut file).take(PART_BYTES as u64);
            piece.read_to_end(&mut bytes).map_err(at(&copy.path))?;
            if bytes.is_empty() {
                break;
            }
            insert.execute(params![copy.beside.file, part, bytes])?;
        }
    }
    Ok(())
}

/// What is in the backup of each of `beside`.
pub(super) fn told(beside: &[Beside], copies: &[Copy]) -> Vec<(&'static str, Went)> {
    let of = |beside: &Beside| copies.iter().find(|c| c.beside.file == beside.file);
    let went = |b: &Beside| (b.what, of(b).map_or(Went::Absent, |c| Went::Along(c.count)));
    beside.iter().map(went).collect()
}

/// Makes those of `beside` that the backup holds and `data_dir` does not.
pub(super) fn restore(
    backup: &Connection,
    data_dir: &Path,
    beside: &[Beside],
) -> Result<Vec<(&'static str, Went)>, Error> {
    let table = "SELECT count(*) FROM sqlite_master WHERE name = 'backup_files'";
    // A backup of before has links alone.
    let has: bool = backup.query_row(table, [], |row| row.get(0))?;
    let mut all = Vec::new();
    for beside in beside {
        let path = data_dir.join(beside.file);
        let went = match path.try_exists().map_err(at(&path))? {
            true => Went::Stays,
            false if has => write(backup, &path, beside)
                .inspect_err(|_| drop(fs::remove_file(&path)))?
                .map_or(Went::Absent, Went::Along),
            false => Went::Absent,
        };
        all.push((beside.what, went));
    }
    Ok(all)
}

/// Writes a database as it was; how much it holds, none where the backup has it not.
fn write(backup: &Connection, path: &Path, beside: &Beside) -> Result<Option<u64>, Error> {
    let sql = "SELECT bytes FROM backup_files WHERE file = ?1 ORDER BY part";
    let mut parts = backup.prepare(sql)?;
    let mut rows = parts.query([beside.file])?;
    let mut file: Option<File> = None;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        let open = match &mut file {
            Some(open) => open,
            None => {
                create(path)?;
                let opened = OpenOptions::new().write(true).open(path).map_err(at(path))?;
                file.insert(opened)
            }
        };
        open.write_all(bytes).map_err(at(path))?;
    }
    if file.is_none() {
        return Ok(None);
    }
    let count = (beside.count)(&open(path)?)?;
    sync(path)?;
    Ok(Some(count))
}
