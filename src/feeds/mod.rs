//! Feeds: lists of rules with an owner, from their source until they are in force.
//!
//! A feed's bytes come from a source, are parsed into rules ([`format`]), judged, and become a part
//! of the policy in force. One bad entry never takes a good one with it: it is rejected with its
//! line, its text and a reason.
//!
//! What stands (feeds and their settings, versions, approvals, the operator's own rules, appeals) is
//! control state: append-only events in a database ([`FeedStore`]) that the nodes of one machine
//! may share. Every event is also a record in `feed_events`, promised in the same transaction.

mod events;
pub mod format;
pub mod report;
pub mod share;
mod spec;
mod sqlite;
mod store;
pub mod transfer;

use std::path::PathBuf;

pub use events::EventKind;
pub use spec::{
    ALLOW, ActionOverride, Ede, FEED_NAME_MAX, Fault, FeedSpec, FormatOptions, INSTANT, Limits,
    Location, OnFailure, Share, SpecError, Transfer, is_feed_name,
};
pub use sqlite::SqliteFeeds;
pub use store::{
    Appeal, AppealStatus, Body, Event, EventQuery, FeedRow, FeedStore, Judgement, NewOwnRule,
    NewVersion, OwnRule, Rejection, Standing, VersionRow,
};

/// Why policy could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such feed, version, rule or appeal.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// A feed of that name is there.
    #[error("there is a feed of that name")]
    Taken,
    /// Somebody else changed it first.
    #[error("it has changed meanwhile")]
    Conflict,
    /// A feed's settings cannot be used.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no room for the change or its record. Nothing was changed.
    #[error("there is no room for the change")]
    Full,
    /// A write failed in a way that leaves its outcome open.
    #[error("an earlier write failed half-way: restart to go on")]
    Failed,
    /// The database of policy.
    #[error("policy.sqlite: {0}")]
    Database(sql::Error),
    /// A file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

use crate::sql;

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        // Found before anything is committed: the transaction is rolled back.
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Database(e.into()),
        }
    }
}

impl From<sql::Error> for Error {
    fn from(e: sql::Error) -> Self {
        match e {
            sql::Error::Sql(e) => e.into(),
            e => Self::Database(e),
        }
    }
}
