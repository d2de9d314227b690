//! Feeds: lists of rules with an owner, from their source until they are in force.
//!
//! A feed's bytes come from a source, are parsed into rules ([`mod@format`]), judged, and become a part
//! of the policy in force. One bad entry never takes a good one with it: it is rejected with its
//! line, its text and a reason.
//!
//! What stands (feeds and their settings, versions, approvals, the operator's own rules, appeals) is
//! control state: append-only events in a database ([`FeedStore`]) that the nodes of one machine
//! may share. Every event is also a record in `feed_events`, promised in the same transaction.

pub mod blast;
mod events;
pub mod format;
mod judge;
mod ledger;
mod load;
mod meter;
mod protected;
pub mod report;
mod service;
mod settings;
pub mod share;
mod shelf;
pub mod source;
mod spec;
mod sqlite;
mod store;
mod then;
pub mod transfer;

use std::path::PathBuf;

use crate::sql;

pub use events::EventKind;
pub use meter::{Done, Meter};
pub use protected::{Protected, Why};
pub use service::{
    By, Changes, Diff, FeedStatus, Feeds, FeedsOptions, LookState, NewAllow, NewAppeal, NewBlock,
    OnNode, Outcome, Stage, Took, VersionStatus,
};
pub use spec::{
    ALLOW, ActionOverride, Ede, FEED_NAME_MAX, Fault, FeedSpec, FormatOptions, INSTANT, Limits,
    Location, OnFailure, Share, SpecError, Transfer, is_feed_name,
};
pub use sqlite::SqliteFeeds;
pub use store::{
    Appeal, AppealStatus, Body, Event, EventQuery, FeedRow, FeedStore, Judgement, NewOwnRule,
    NewVersion, OwnRule, Rejection, Standing, VersionRow,
};
pub use then::{in_force_since, then};

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
    /// No version waits for approval, or not this one.
    #[error("no version waits for approval, or not this one")]
    NotHeld,
    /// A later version has been in force meanwhile.
    #[error("a later version has been in force meanwhile")]
    Superseded,
    /// It is in force already.
    #[error("it is in force already")]
    InForceAlready,
    /// The bytes of a version are no longer on disk.
    #[error("version {0} is no longer on disk")]
    NotKept(u64),
    /// The bytes of a version are not what was received.
    #[error("version {0} is damaged on disk")]
    Damaged(u64),
    /// A version cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Neither a rule nor a name, URL or address.
    #[error("{0:?} is neither a name, a URL with its scheme, an address nor a rule")]
    BadRule(String),
    /// It must not be blocked.
    #[error("{0}")]
    Protected(String),
    /// The person who made a block cannot confirm it.
    #[error("another person has to confirm it")]
    SamePerson,
    /// It has ended, or was decided so already.
    #[error("it is over, or stands so already")]
    Over,
    /// A time in the past.
    #[error("the end lies in the past")]
    Past,
    /// A longer time than the configuration allows.
    #[error("it may last at most {0} seconds")]
    TooLate(u64),
    /// As many as the configuration allows.
    #[error("there may be at most {1} {0}")]
    TooMany(&'static str, usize),
    /// Something that has to be said was not.
    #[error("{} must be given", .0.name())]
    Missing(Needed),
    /// A text longer than the configuration allows.
    #[error("a text may have at most {0} bytes")]
    TooLong(usize),
    /// There is no room for the change or its record. Nothing was changed.
    #[error("there is no room for the change")]
    Full,
    /// A write failed in a way that leaves its outcome open.
    #[error("an earlier write failed half-way: restart to go on")]
    Failed,
    /// The database of policy.
    #[error("policy.sqlite: {0}")]
    Database(sql::Error),
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

/// What has to be said by whoever asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Why.
    Reason,
    /// How to reach whoever appeals.
    Contact,
}

impl Needed {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reason => "a reason",
            Self::Contact => "a contact",
        }
    }
}

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
