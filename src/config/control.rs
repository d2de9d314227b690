//! `[control]`: where links and tokens are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// The control state.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// `postgresql://user@host/database` for several nodes; empty for SQLite in the data directory.
    pub url: String,
    /// The file with that user's password.
    pub password_file: PathBuf,
    /// The authorities that vouch for the server, in PEM; empty for those of the system.
    pub ca_file: PathBuf,
    /// Connections for questions at once.
    pub connections_max: usize,
    /// The wait for a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The longest statement, in milliseconds.
    pub statement_timeout_ms: u64,
    /// How long a link in memory is believed without word from the database, in milliseconds.
    pub stale_max_ms: u64,
    /// What links in memory do while the database is away.
    pub on_down: OnDown,
}

/// What links in memory do while the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDown {
    /// They go on as they were last known.
    Serve,
    /// They are answered with 503 once they are older than `stale_max_ms`.
    Stop,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("control.connections_max", 1, 1_000),
    limits("control.connect_timeout_ms", 10, 60_000),
    limits("control.statement_timeout_ms", 10, 600_000),
    limits("control.stale_max_ms", 50, 600_000),
];

impl Default for Control {
    fn default() -> Self {
        Self {
            url: String::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            connections_max: 8,
            connect_timeout_ms: 2_000,
            statement_timeout_ms: 5_000,
            stale_max_ms: 1_000,
            on_down: OnDown::Serve,
        }
    }
}
