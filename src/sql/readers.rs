//! A few read-only connections shared by many threads.

use std::{
    ops::Deref,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags};

/// The pool: who finds it empty waits for a connection to come back.
#[derive(Debug)]
pub struct Readers {
    idle: Mutex<Vec<Connection>>,
    back: Condvar,
}

impl Readers {
    /// Opens `count` connections, at least one.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, count: usize) -> Result<Self, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut idle = Vec::new();
        for _ in 0..count.max(1) {
            let db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(super::BUSY_TIMEOUT)?;
            db.pragma_update(None, "query_only", true)?;
            db.pragma_update(None, "trusted_schema", false)?;
            super::keep_statements(&db)?;
            idle.push(db);
        }
        Ok(Self { idle: Mutex::new(idle), back: Condvar::new() })
    }

    /// A connection for one question.
    pub fn take(&self) -> Reader<'_> {
        let mut idle = self.lock();
        loop {
            if let Some(db) = idle.pop() {
                return Reader { db: Some(db), pool: self };
            }
            idle = self.back.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A list of connections is whole whatever its last holder did.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan.
pub struct Reader<'a> {
    db: Option<Connection>,
    pool: &'a Readers,
}

impl Deref for Reader<'_> {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "empty only while it is being dropped")]
    fn deref(&self) -> &Connection {
        self.db.as_ref().expect("on loan until dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.pool.lock().extend(self.db.take());
        self.pool.back.notify_one();
    }
}
