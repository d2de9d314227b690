//! Reports and appeals by the public (举报, 申诉): a desk with a clock.
//!
//! Whoever reports a link, a URL, a host or a notice gets a number and a secret; both together show
//! the state to whoever has them, and nothing about who that is. A report is **received**, then
//! **decided** by a person of ours, by `gateway.reports.decide_within_s` after it came, and, where
//! the decision asks for it, **acted** on. An appeal is a report whose subject is one of our blocks;
//! it opens an appeal of policy, and is decided where that is.
//!
//! **Append-only.** A report and its steps are rows that nothing changes, in SQLite
//! ([`SqliteReports`]) or, for several nodes, in PostgreSQL ([`PostgresReports`]). Each is one
//! transaction with the row of the outbox that holds its record; then the record is appended to the
//! spool, and only then is anybody answered. What a crash leaves in the outbox is put into the spool
//! by the next start ([`restore`]), before anything is served.
//!
//! **Persons.** Contact, address and what somebody wrote lie in a table of their own, are shown only
//! with a case number and a purpose as a look at the records, and are in no log.
//!
//! **Failure.** No room in the spool or too many undecided reports: nothing is taken, and the
//! claimant is told to come back. A commit of unknown outcome on PostgreSQL keeps its record, whose
//! place must not be given again, and is answered as a failure: the same form sent again gets the
//! same number.

mod beside;
mod desk;
mod number;
mod postgres;
mod sqlite;
mod store;
mod text;

pub use beside::BESIDE;
pub use desk::{
    AppealAsked, Decided, NewReport, OpenAppeal, Receipt, Reports, ReportsOptions, restore,
};
pub use number::{FORM_TOKEN_BYTES, Forms, is_number, pretty};
pub use postgres::PostgresReports;
pub use sqlite::SqliteReports;
pub use store::{Counts, Person, Report, ReportQuery, ReportStore, Standing, Step, Untold};

/// The database's file in the data directory, where links are in SQLite, too.
pub const REPORTS: &str = "reports.sqlite";

/// Words of records, in one place: an enum with the words its variants have.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$of])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one of this word.
            pub fn from_name(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == word)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.name())
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    };
}

words! {
    /// What is said of the subject.
    Category {
        /// It pretends to be somebody else to get at secrets.
        Phishing = "phishing",
        /// It takes money under false pretences.
        Fraud = "fraud",
        /// It does harm to devices.
        Malware = "malware",
        /// Its content is against the law.
        Illegal = "illegal",
        /// Something else.
        Other = "other",
        /// It is blocked and should not be.
        Appeal = "appeal",
    }
}

words! {
    /// What is reported.
    Kind {
        /// One of our links.
        Link = "link",
        /// A URL.
        Url = "url",
        /// A host.
        Host = "host",
        /// A notice of ours.
        Notice = "notice",
    }
}

words! {
    /// A decision.
    Decision {
        /// The report is right.
        Accepted = "accepted",
        /// It is not.
        Rejected = "rejected",
    }
}

words! {
    /// What is done upon a decision.
    Act {
        /// Nothing.
        Nothing = "none",
        /// The link is disabled.
        DisableLink = "disable_link",
        /// The host or URL is blocked at once.
        Block = "block",
        /// An authority is told.
        Forward = "forward",
        /// The block is lifted.
        Lift = "lift",
        /// The link is let go on.
        EnableLink = "enable_link",
    }
}

/// Why a report could not be taken, read or decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such report.
    #[error("there is no such report")]
    Unknown,
    /// Somebody decided meanwhile.
    #[error("the report has changed meanwhile")]
    Conflict,
    /// The number is in use.
    #[error("the number is in use")]
    Taken,
    /// Something that must be said was not.
    #[error("{0} must be given")]
    Missing(&'static str),
    /// A text longer than the configuration allows.
    #[error("{0} may have at most {1} bytes")]
    TooLong(&'static str, usize),
    /// Neither a URL, a host nor a link of ours.
    #[error("the subject is neither a URL, a host nor a link of ours")]
    Subject,
    /// As many undecided reports as the configuration allows.
    #[error("there may be at most {0} undecided reports")]
    TooMany(usize),
    /// An appeal cannot be taken down now.
    #[error("an appeal cannot be taken down now: {0}")]
    Appeal(String),
    /// There is no room for the report or its record. Nothing was changed.
    #[error("there is no room for the record")]
    Full,
    /// A write failed in a way that leaves its outcome open.
    #[error("an earlier write failed half-way: restart to go on")]
    Failed,
    /// A commit was sent and not answered.
    #[error("the database was lost in the middle of a commit")]
    InDoubt,
    /// The database.
    #[error("the database of reports: {0}")]
    Sqlite(#[from] crate::sql::Error),
    /// The database.
    #[error("the database of reports: {0}")]
    Postgres(crate::sql::postgres::Error),
    /// The spool.
    #[error("the spool: {0}")]
    Spool(#[from] crate::spool::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Taken,
            _ => Self::Sqlite(e.into()),
        }
    }
}

impl From<crate::sql::postgres::Error> for Error {
    fn from(e: crate::sql::postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        match e {
            crate::sql::postgres::Error::InDoubt => Self::InDoubt,
            e if e.is(&SqlState::DISK_FULL) => Self::Full,
            e if e.is(&SqlState::UNIQUE_VIOLATION) => Self::Taken,
            e => Self::Postgres(e),
        }
    }
}
