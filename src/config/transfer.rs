//! `[feeds.transfer]`: zones in from primaries, zones out to the resolvers beside us.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    listen,
    ranges::{Limits, limits},
};

/// Zone transfers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transfers {
    /// The address, UDP and TCP, that hears NOTIFY and serves shared zones; `off` for none.
    #[serde(with = "listen")]
    pub listen: Option<SocketAddr>,
    /// The files of keys.
    pub keys: Vec<PathBuf>,
    /// The authorities that vouch for primaries over TLS, in PEM; empty for those of the system.
    pub ca_file: PathBuf,
    /// The wait for an answer to one question, and for a connection, in milliseconds.
    pub query_timeout_ms: u64,
    /// The wait for the next message, in and out, in milliseconds.
    pub idle_timeout_ms: u64,
    /// The longest transfer in, in milliseconds.
    pub transfer_timeout_ms: u64,
    /// Messages in one transfer in.
    pub messages_max: u64,
    /// Records in one transfer in.
    pub records_max: u64,
    /// Connections of secondaries at once.
    pub connections_max: usize,
    /// Connections of one secondary at once.
    pub connections_per_address_max: usize,
    /// The largest message of a transfer out, in bytes.
    pub message_bytes_max: usize,
    /// Versions of a shared zone whose differences are kept.
    pub differences_max: usize,
    /// How often a secondary is told of a new version.
    pub notify_attempts_max: u32,
    /// The wait before the second time, in milliseconds; twice as long each time.
    pub notify_timeout_ms: u64,
    /// When a secondary asks again by itself, in seconds.
    pub share_refresh_s: u32,
    /// When a secondary asks again after no answer, in seconds.
    pub share_retry_s: u32,
    /// When a secondary no longer enforces what it has, in seconds.
    pub share_expire_s: u32,
    /// The zone of all feeds merged; empty for none.
    pub merged_zone: String,
    /// Who is told of its new versions, and may have it where it has no key.
    pub merged_secondaries: Vec<SocketAddr>,
    /// The key that its transfers must be signed with; empty for none.
    pub merged_tsig_key: String,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("feeds.transfer.query_timeout_ms", 10, 60_000),
    limits("feeds.transfer.idle_timeout_ms", 100, 600_000),
    limits("feeds.transfer.transfer_timeout_ms", 1_000, 86_400_000),
    limits("feeds.transfer.messages_max", 1, 1 << 32),
    limits("feeds.transfer.records_max", 1, 1 << 32),
    limits("feeds.transfer.connections_max", 1, 65_536),
    limits("feeds.transfer.connections_per_address_max", 1, 65_536),
    limits("feeds.transfer.message_bytes_max", 1_024, 65_535),
    limits("feeds.transfer.differences_max", 0, 1_000),
    limits("feeds.transfer.notify_attempts_max", 1, 10),
    limits("feeds.transfer.notify_timeout_ms", 10, 60_000),
    limits("feeds.transfer.share_refresh_s", 1, 30 * 86_400),
    limits("feeds.transfer.share_retry_s", 1, 30 * 86_400),
    limits("feeds.transfer.share_expire_s", 60, 365 * 86_400),
];

impl Default for Transfers {
    fn default() -> Self {
        Self {
            listen: None,
            keys: Vec::new(),
            ca_file: PathBuf::new(),
            query_timeout_ms: 3_000,
            idle_timeout_ms: 30_000,
            transfer_timeout_ms: 1_800_000,
            messages_max: 10_000_000,
            records_max: 50_000_000,
            connections_max: 64,
            connections_per_address_max: 8,
            message_bytes_max: 16_384,
            differences_max: 16,
            notify_attempts_max: 5,
            notify_timeout_ms: 1_000,
            share_refresh_s: 300,
            share_retry_s: 60,
            share_expire_s: 604_800,
            merged_zone: String::new(),
            merged_secondaries: Vec::new(),
            merged_tsig_key: String::new(),
        }
    }
}
