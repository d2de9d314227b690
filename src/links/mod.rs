//! Links, their revisions, the tokens of the API: all control state, append-only.
//!
//! A **link** is a code and its revisions; it is never deleted, only disabled, expired or
//! superseded. Every revision is made by one **conversion**, whose record and the revision are one
//! transaction ([`LinkStore::revise`]), which may be that of many: the record's place and bytes
//! are taken from the spool, written to the outbox beside the revision, then appended, and only
//! then is the revision shown to readers and the caller answered. A crash in between leaves an
//! outbox row, which start-up restores to exactly its place before any listener opens
//! ([`restore()`]).
//!
//! **Locks.** The database's writer first, then the lane: places in the spool are taken within the
//! transaction, and nobody who holds the lane waits for the database.
//!
//! **Failure.** No room in the spool: the revision is undone, the caller is told to come back.
//! A commit or an fsync of unknown outcome: nothing is written any more until a restart, which
//! reads what the disk says. Jumps go on in both cases.

mod backup;
mod beside;
mod cache;
mod change;
mod code;
mod conversion;
mod convert;
mod destination;
mod forward;
mod forwards;
mod fresh;
mod group;
mod keep;
mod make;
pub(crate) mod onward;
mod outbound;
mod password;
mod postgres;
mod refusal;
mod restore;
mod room;
mod secret;
mod settings;
mod sqlite;
mod store;
pub(crate) mod target;
mod tokens;
mod visits;
mod way;

use std::path::PathBuf;

pub use backup::{Backup, CONTROL, backup, restore_backup};
pub use beside::{Beside, Went};
pub use cache::Link;
pub use change::{BY_ITSELF, SettingsEdit};
pub use code::{CHOSEN_LENGTH_MAX, Codes, LENGTHS, is_code};
pub use conversion::{By, Converted, Draft, Edit, How, Listed, ListedBy, NotConverted};
pub use convert::{IsListed, Links, LinksOptions, Serves, Standing, Standings};
pub use destination::{
    Destination, DueWalk, Finding, Findings, Intake, Scheduled, TakenIn, WalkStore,
};
pub use forward::{AskedPath, ForwardFrom, candidates, is_forward};
pub use forwards::Remembered;
pub use fresh::Freshness;
pub use outbound::{Doubt, GoQuery, Misfit, OutboundKeys, Seal, SignRequest, Signed};
pub use password::{hash_password, is_password};
pub use postgres::{Follower, PostgresLinks};
pub use refusal::Refusal;
pub use restore::{CodesInSpool, SeenCode, codes_in_spool, restore};
pub use secret::Secrets;
pub use settings::{LinkSettings, OwnerVerification, PUBLIC_REASONS, STATUS, STATUSES, Stopped};
pub use sqlite::SqliteLinks;
pub use store::{Keep, LinkQuery, LinkStore, Operation, OutboxRow, Revision, State, TokenRow};
pub use target::{Target, TargetRules};
pub use tokens::{Actor, OPERATOR, Role, TOKEN_NAME_MAX, Tokens};
pub use way::{Lost, Way};

/// Why control state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A code or a token's name is in use.
    #[error("the name is in use")]
    Taken,
    /// Codes of an earlier database are still asked for: see [`Links::hold`].
    #[error("codes of an earlier database are still asked for")]
    Held,
    /// There is no such link.
    #[error("there is no such link")]
    Unknown,
    /// Somebody else changed the link first.
    #[error("the link has changed meanwhile: it is at revision {current}")]
    Conflict {
        /// The newest revision.
        current: u32,
    },
    /// This request has made a revision before.
    #[error("this request has been answered before")]
    Repeated,
    /// Another node is in the middle of changing the link, or died there.
    #[error("the last change of {code} is not finished: node {node} has to finish it")]
    Pending {
        /// The link's code.
        code: String,
        /// The node.
        node: String,
    },
    /// The change is kept, and takes force when the database is back.
    #[error("the change is kept and takes force when the control database is back")]
    Unshown,
    /// The database cannot be reached.
    #[error("the control database is away: {0}")]
    Away(String),
    /// A commit was sent and not answered; it is taken back as soon as that is possible.
    #[error("the control database was lost in the middle of a commit")]
    InDoubt,
    /// Somebody else was faster; the transaction was undone.
    #[error("others change the same links at once")]
    Race,
    /// Another process uses the database as the same node.
    #[error("another process uses the control database as node {0}")]
    OtherNode(String),
    /// The spool has no room for the record, or the disk for its revision. Nothing was changed.
    #[error("there is no room for the record")]
    Full,
    /// A write failed in a way that leaves its outcome open.
    #[error("an earlier write failed half-way: restart to go on")]
    Failed,
    /// No code of this length is left.
    #[error("every code of {0} characters is in use: raise gateway.code_length")]
    Exhausted(u8),
    /// A password that cannot be hashed.
    #[error("this password cannot be hashed")]
    Password,
    /// There are as many as the configuration allows.
    #[error("there may be at most {0} tokens")]
    TooManyTokens(usize),
    /// A name that no token may have.
    #[error("a token's name is 1 to {TOKEN_NAME_MAX} of A-Z a-z 0-9 . _ - @")]
    BadTokenName,
    /// A link's target, as the database has it, fits no header: the file is damaged.
    #[error("the link {0} is damaged in the control database")]
    Damaged(String),
    /// The key file is not the one the codes were made with.
    #[error("codes.key is not the key that the codes in the database were made with")]
    OtherKey,
    /// A secret that others may read is none.
    #[error("{0}: others may read it; make it anew or give it mode 0600")]
    Exposed(PathBuf),
    /// A secret file that was cut short or overwritten.
    #[error("{0}: not a secret of ours (64 hexadecimal digits)")]
    BadSecret(PathBuf),
    /// A file of keys that is none.
    #[error("{path}:{line}: {why}")]
    BadKeys {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        why: &'static str,
    },
    /// There is no key to sign with.
    #[error("there is no key to sign outbound targets with")]
    NoKey,
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// The database is of a newer build.
    #[error("the control database has schema {found}, this build knows {known}")]
    Newer {
        /// The database's schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A migration's text is not what was applied.
    #[error("migration {0} of the control database is not the one that was applied")]
    Altered(u32),
    /// The file system cannot share memory, which the write-ahead log needs.
    #[error("the control database cannot use a write-ahead log here")]
    NoWal,
    /// The database failed.
    #[error("the control database: {0}")]
    Sql(rusqlite::Error),
    /// The database failed.
    #[error("the control database: {0}")]
    Postgres(crate::sql::postgres::Error),
    /// The spool failed.
    #[error("the spool: {0}")]
    Spool(#[from] crate::spool::Error),
    /// A file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        // Found before anything is committed: the transaction is rolled back.
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sql(e),
        }
    }
}

impl From<crate::sql::postgres::Error> for Error {
    fn from(e: crate::sql::postgres::Error) -> Self {
        use crate::sql::postgres::Error as E;
        match e {
            E::Newer { found, known } => Self::Newer { found, known },
            E::Altered(version) => Self::Altered(version),
            E::Down(why) => Self::Away(why),
            E::Busy => Self::Away(e.to_string()),
            E::InDoubt => Self::InDoubt,
            E::Exposed(path) => Self::Exposed(path),
            E::Io { path, source } => Self::Io { path, source },
            e if e.is(&tokio_postgres::error::SqlState::DISK_FULL) => Self::Full,
            e => Self::Postgres(e),
        }
    }
}

impl From<crate::sql::AnyError> for Error {
    fn from(e: crate::sql::AnyError) -> Self {
        use crate::sql::AnyError as E;
        match e {
            E::Sqlite(e) => e.into(),
            E::Postgres(e) => e.into(),
            E::Column(_) => Self::Damaged(e.to_string()),
        }
    }
}

impl From<crate::sql::Error> for Error {
    fn from(e: crate::sql::Error) -> Self {
        use crate::sql::Error as E;
        match e {
            E::Newer { found, known } => Self::Newer { found, known },
            E::Altered(version) => Self::Altered(version),
            E::NoWal => Self::NoWal,
            E::Sql(e) => e.into(),
            E::Io { path, source } => Self::Io { path, source },
        }
    }
}
