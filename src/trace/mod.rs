//! Questions: one in, one chain of records out (溯源), oldest first.
//!
//! | file | part |
//! |---|---|
//! | `question` | text becomes a question of one kind |
//! | `window` | the time it covers |
//! | `matching` | what a subject means in each table |
//! | `query` | the bounded statements, parameters only |
//! | `reader` | asks the store, reads rows as they were kept |
//! | `chain` | the answers and everything that shares a flow, one page at a time |
//! | `cursor` | the place after a page |
//! | `described` | records as answers show them, for the API's description |
//! | `coverage` | how far each node is complete, and the gaps of the window |
//! | `persons` | columns about persons: which, and who may see them |
//! | `history` | which addresses a name has had |
//! | `hits` | what a feed's rules did, by version, rule and order |
//! | `hops` | where a link leads |
//! | `listed` | what was listed at a time, and answered around it |
//! | `access` | every look is a record, written before its page is sent |
//! | `stats` | what became of a link, counted |
//! | `tracer` | the service that puts them together |
//!
//! **A chain** is every record that answers the question and every record that shares an HTTP
//! exchange (`flow`) with one of those; an exchange is taken to end within an hour. A link is
//! answered by its conversions, jumps, notices, the hops of its target's redirects and what the public
//! said of it; a URL by the whole history of the links that have ever had it as their target, and by
//! every jump to it, hop at it and report of it; an address by resolutions that answered it, jumps to
//! it, hops at it and reports of it; a domain by everything at or below it: names asked, targets of
//! links and jumps, hops, verdicts, reports and appeals; a client by everything it asked and what
//! became of its reports, which may be decided long after their exchange.
//!
//! **Order and pages.** By `(ts, node, lane, seq)`; a page continues strictly after the last record
//! of the one before. Records not yet shipped are not found: `complete_through` says, per node,
//! below which time everything is, and `gaps` what could not be kept, so that "no record" is a
//! statement.
//!
//! **Limits.** Rows and bytes of a page, time and memory of a statement, questions at once: section
//! `[trace]` of the configuration. A question over a limit fails and says which.
//!
//! **Failure.** What cannot be recorded is not shown; a store that is away fails the question.
//! Nothing here writes to the store, and errors never repeat what was asked.

mod access;
mod chain;
mod coverage;
mod cursor;
mod described;
mod history;
mod hits;
mod hops;
mod listed;
mod lists;
mod matching;
mod person;
mod persons;
mod query;
mod question;
mod reach;
mod reader;
mod replay;
mod stats;
mod tracer;
mod window;

pub use access::Look;
pub use cursor::BadCursor;
pub use described::{Record, RecordOf};
pub use history::Answered;
pub use hits::{Counted, OrderHits, OrderRules, RuleHit, VersionHits};
pub use hops::LinkHops;
pub use listed::{AskListed, Listed, ListedThen, OnNode, RuleRow};
pub use persons::Sight;
use question::TEXT_BYTES_MAX;
pub use question::{BadQuestion, Kind, Question, ShortUrls, Subject, parse};
pub use reach::{AskReach, NoticesSummary};
pub use replay::Recorded;
pub use stats::LinkStats;
pub use tracer::{Ask, Parts, Tells, TracePage, Tracer};
pub use window::{BadWindow, Window};

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a question.
    #[error(transparent)]
    Question(#[from] BadQuestion),
    /// Not a window.
    #[error(transparent)]
    Window(#[from] BadWindow),
    /// Not a cursor of this question.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
    /// Something that no question has, or twice the same.
    #[error(
        "a question has q, kind, from, to, case, purpose, limit (from 1) and cursor, each once"
    )]
    Parameter,
    /// Case number or purpose are too long to keep.
    #[error("a case number takes at most 256 bytes, a purpose 1024")]
    Detail,
    /// The role may not look at records.
    #[error("this token's role may not look at records")]
    Role,
    /// A question about a person without what it takes.
    #[error(
        "a question by client is about a person: it takes the role operator or investigator, a \
         case number and a purpose"
    )]
    Persons,
    /// No such record has arrived in the store.
    #[error("no such record has arrived in the store")]
    NotFound,
    /// `trace.concurrent_max`.
    #[error("trace.concurrent_max questions are being answered; try again")]
    Busy,
    /// The question needs more than it may take.
    #[error(transparent)]
    Limit(#[from] Limit),
    /// The look could not be recorded.
    #[error("the look could not be recorded, so nothing is shown")]
    NotRecorded,
    /// The store's answer cannot be read.
    #[error("the store's answer cannot be read as the schema says")]
    Malformed,
    /// The store failed or is away. Its own words are left out: they repeat what was asked.
    #[error("the store cannot be asked now ({name})")]
    Store {
        /// The server's exception code.
        code: Option<u32>,
        /// The exception's name, or `unreachable`.
        name: String,
    },
}

impl Error {
    /// Whether the look was refused, as opposed to having failed.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Question(_)
                | Self::Window(_)
                | Self::Cursor(_)
                | Self::Parameter
                | Self::Detail
                | Self::Role
                | Self::Persons
        )
    }
}

/// A limit of `[trace]` that a question ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// `trace.timeout_ms`.
    #[error("the question took longer than trace.timeout_ms; ask for a shorter window")]
    Time,
    /// `trace.memory_bytes_max`.
    #[error("the question needs more than trace.memory_bytes_max; ask for a shorter window")]
    Memory,
    /// `trace.page_rows_max`.
    #[error("the store gave more rows than trace.page_rows_max allows")]
    Rows,
}
