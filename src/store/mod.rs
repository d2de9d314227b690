//! The store: `ClickHouse`, embedded or not, and everything that writes to it.
//!
//! Invariants:
//! - A record is in the store exactly once. A shipment is one INSERT with one token; an uncertain
//!   outcome is settled by reading back which rows are there, never by hope.
//! - Every INSERT is one block: the settings that decide it are pinned ([`client`]), and a server
//!   that does not know them is refused.
//! - The spool owns a row until the store has shown it. Nothing here drops a row: a frame that can
//!   never be stored is set aside and counted in a gap row.
//!
//! Failure: an unreachable, full or half-made store is *down* and is tried for ever; an INSERT of
//! unknown fate is *in doubt* and settled; bytes that the store refuses for good are *never*
//! ([`failure`]). None of it is felt by a resolver or a gateway, only by the age of the newest row.

mod backoff;
mod choose;
pub mod client;
mod deliver;
pub mod engine;
pub mod failure;
mod health;
pub mod migrate;
mod presence;
mod question;
mod ready;
mod refused;
mod report;
mod restarted;
pub mod retention;
mod schema_check;
mod ship;

pub use client::{Credentials, Store};
pub use failure::Failure;
pub use health::Health;
pub use retention::{Holds, NoHolds, Partition, Retention};
pub use ship::Shipper;

use crate::{record::NodeName, spool};

/// What goes wrong between us and the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server said no, or could not be reached.
    #[error(transparent)]
    Server(#[from] clickhouse::error::Error),
    /// The server did not answer in time.
    #[error("the store did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The server lacks settings that keeping every row once depends on.
    #[error("this ClickHouse server is too old for tracegate: it does not know {}", .0.join(", "))]
    UnknownSettings(Vec<String>),
    /// The spool could not be read or written.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// The password cannot be read.
    #[error("cannot use store.password_file {}: {source}", path.display())]
    Password {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another node of our name wrote to the store a moment ago.
    #[error(
        "another node named {0} wrote to this store a moment ago; give one of them another name, \
         or wait half a minute when that one is gone for good"
    )]
    Twin(NodeName),
    /// A table would ignore the token of an INSERT.
    #[error(
        "table {0} has no deduplication window, a repeated INSERT would double its rows; \
         set non_replicated_deduplication_window and replicated_deduplication_window"
    )]
    NoWindow(String),
    /// A table differs from the rows we write.
    #[error("table {table}: column {column} is {found}, expected {expected}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type there, or `missing`.
        found: String,
        /// Its type in our rows.
        expected: String,
    },
    /// A migration file is not the one that was applied.
    #[error("migration {number} was applied with other contents: {applied} then, {ours} now")]
    Changed {
        /// Its number.
        number: u32,
        /// The checksum applied.
        applied: String,
        /// The checksum of ours.
        ours: String,
    },
    /// The schema needs a newer program.
    #[error("the store's schema (migration {number}) needs tracegate {min_binary} or newer")]
    NewerSchema {
        /// The migration that demands it.
        number: u32,
        /// The oldest version that will do.
        min_binary: String,
    },
}

impl Error {
    /// Whether trying again cannot help: a person has to do something.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::UnknownSettings(_)
                | Self::NoWindow(_)
                | Self::Column { .. }
                | Self::Changed { .. }
                | Self::NewerSchema { .. }
        )
    }

    /// What this error means for whoever waits.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Server(e) => failure::classify(e),
            Self::Timeout(_) => Failure::Doubt,
            _ => Failure::Down,
        }
    }
}
