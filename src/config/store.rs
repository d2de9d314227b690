//! `[store]` and `[trace]`: ClickHouse, the embedded engine, retention, questions.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// The store.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `embedded`, or the `http(s)://` address of a ClickHouse server.
    pub url: String,
    /// The database.
    pub database: String,
    /// The user at an external server.
    pub user: String,
    /// A file with that user's password, readable by us alone.
    pub password_file: Option<PathBuf>,
    /// Tables are `ReplicatedMergeTree` with the server's `{shard}` and `{replica}`.
    pub replicated: bool,
    /// Rows in one shipment.
    pub shipment_rows_max: u64,
    /// Bytes in one shipment.
    pub shipment_bytes_max: u64,
    /// The oldest row of a shipment waits at most this long for more, in milliseconds.
    pub shipment_age_ms_max: u64,
    /// The wait for the server's answer to one INSERT, in milliseconds.
    pub insert_timeout_ms: u64,
    /// Shipments under way at once, over all tables; each holds one shipment's bytes.
    pub shipments_max: usize,
    /// The longest wait between two attempts at a store that is down, in milliseconds.
    pub backoff_ms_max: u64,
    /// Attempts at a shipment that the store refuses with a code we do not know, before it is
    /// treated as one that can never be stored.
    pub unlisted_attempts_max: u32,
    /// For this long, in seconds, the store surely remembers the token of an INSERT: less than ten
    /// thousand INSERTs of all nodes together into one table. An INSERT of unknown fate is repeated
    /// whole for that time, later only what is missing.
    pub doubt_resend_s: u64,
    /// How often a node says how far it is complete, in milliseconds.
    pub node_interval_ms: u64,
    /// Acknowledged segments are kept this long, in seconds: what a store that crashed may not have
    /// written to its disk by then is counted and sent again, and a node that starts again knows
    /// its own words of the last half minute by them.
    pub grace_s: u64,
    /// The store's own files, in bytes; 0 for no limit. At the limit shipping stops.
    pub disk_bytes_max: u64,
    /// How long rows are kept, in days, at least 184.
    pub retention_days: u32,
    /// How long evidence of verdicts is kept, in days; at least 184.
    pub evidence_retention_days: u32,
    /// How often retention looks, in seconds.
    pub retention_interval_s: u64,
    /// The embedded engine.
    pub engine: Engine,
}

/// The embedded engine.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Its loopback address.
    pub listen: SocketAddr,
    /// The shared library; the cached one when absent.
    pub library: Option<PathBuf>,
    /// Memory of all queries together, in bytes.
    pub memory_bytes_max: u64,
    /// Memory of one query, in bytes.
    pub query_memory_bytes_max: u64,
    /// Threads of one query.
    pub query_threads_max: u32,
    /// Queries of ours at once.
    pub connections_max: u32,
    /// Readers' queries at once, beside ours; as many may wait for their turn.
    pub readers_max: u32,
    /// One query's time, in milliseconds.
    pub query_timeout_ms: u64,
    /// Mark and uncompressed caches together, in bytes.
    pub cache_bytes_max: u64,
    /// The wait for the directory's lock at start, in milliseconds.
    pub start_timeout_ms: u64,
    /// HTTP connections at once; more wait to be accepted.
    pub http_connections_max: usize,
    /// Queries of ours that may wait for their turn; more are refused.
    pub queue_max: usize,
    /// The wait for a turn, in milliseconds.
    pub queue_timeout_ms: u64,
    /// The wait for a client that neither sends its request's body nor reads its reply, in
    /// milliseconds; then its query ends.
    pub stall_timeout_ms: u64,
    /// The longest statement, in bytes, data of an INSERT aside.
    pub statement_bytes_max: u64,
    /// The largest result that cannot be streamed (JSON, Parquet, …) or was to be held back, in
    /// bytes.
    pub result_bytes_max: u64,
    /// The wait until a reader's statement is recorded, in milliseconds.
    pub look_timeout_ms: u64,
    /// The wait for running statements at the end, in milliseconds.
    pub stop_grace_ms: u64,
    /// The longest pause before the engine is started again, in milliseconds.
    pub restart_pause_ms_max: u64,
}

/// Questions.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// Rows on one page.
    pub page_rows_max: u32,
    /// What the rows of one page take in the store, in bytes; a page holds at least one row.
    pub page_bytes_max: usize,
    /// One question's time, in milliseconds.
    pub timeout_ms: u64,
    /// Memory of one question in the store, in bytes.
    pub memory_bytes_max: u64,
    /// Questions at once.
    pub concurrent_max: usize,
    /// How long before and after a time answers show what was answered then, in seconds.
    pub around_s: u64,
}

/// The law asks for six months; no six months are longer than this, in days.
pub const RETENTION_DAYS_MIN: u32 = 184;

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("store.shipment_rows_max", 1, 10_000_000),
    limits("store.shipment_bytes_max", 4_096, 1 << 30),
    limits("store.shipment_age_ms_max", 10, 60_000),
    limits("store.insert_timeout_ms", 100, 3_600_000),
    limits("store.shipments_max", 1, 64),
    limits("store.backoff_ms_max", 100, 600_000),
    limits("store.unlisted_attempts_max", 1, 1_000_000),
    limits("store.doubt_resend_s", 0, 600),
    limits("store.node_interval_ms", 100, 10_000),
    // Above what kernels take to write pages back (about 35 s), and the half minute in which a node
    // that spoke counts as alive.
    limits("store.grace_s", 60, 30 * 86_400),
    limits("store.disk_bytes_max", 0, 1 << 60),
    // The floor is `RETENTION_DAYS_MIN`, refused with its reason.
    limits("store.retention_days", 0, 36_500),
    limits("store.evidence_retention_days", 0, 36_500),
    limits("store.retention_interval_s", 1, 7 * 86_400),
    limits("store.engine.memory_bytes_max", 256 << 20, 1 << 50),
    limits("store.engine.query_memory_bytes_max", 64 << 20, 1 << 50),
    limits("store.engine.query_threads_max", 1, 1_024),
    limits("store.engine.connections_max", 2, 1_024),
    limits("store.engine.readers_max", 1, 1_024),
    limits("store.engine.query_timeout_ms", 100, 3_600_000),
    limits("store.engine.cache_bytes_max", 0, 1 << 50),
    limits("store.engine.start_timeout_ms", 100, 600_000),
    limits("store.engine.http_connections_max", 2, 65_536),
    limits("store.engine.queue_max", 0, 65_536),
    limits("store.engine.queue_timeout_ms", 100, 3_600_000),
    limits("store.engine.stall_timeout_ms", 100, 3_600_000),
    limits("store.engine.statement_bytes_max", 1_024, 64 << 20),
    limits("store.engine.result_bytes_max", 64 << 10, 16 << 30),
    limits("store.engine.look_timeout_ms", 10, 60_000),
    limits("store.engine.stop_grace_ms", 0, 600_000),
    limits("store.engine.restart_pause_ms_max", 10, 600_000),
    limits("trace.page_rows_max", 1, 100_000),
    limits("trace.page_bytes_max", 4_096, 1 << 30),
    limits("trace.timeout_ms", 100, 600_000),
    limits("trace.memory_bytes_max", 16 << 20, 1 << 50),
    limits("trace.concurrent_max", 1, 1_024),
    limits("trace.around_s", 1, 31 * 86_400),
];

impl Default for Store {
    fn default() -> Self {
        Self {
            url: "embedded".into(),
            database: "tracegate".into(),
            user: "default".into(),
            password_file: None,
            replicated: false,
            shipment_rows_max: 100_000,
            shipment_bytes_max: 32 << 20,
            shipment_age_ms_max: 1_000,
            insert_timeout_ms: 60_000,
            shipments_max: 4,
            backoff_ms_max: 10_000,
            unlisted_attempts_max: 20,
            doubt_resend_s: 300,
            node_interval_ms: 10_000,
            grace_s: 600,
            disk_bytes_max: 0,
            retention_days: 184,
            evidence_retention_days: 186,
            retention_interval_s: 3_600,
            engine: Engine::default(),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8124)),
            library: None,
            memory_bytes_max: 2 << 30,
            query_memory_bytes_max: 1 << 30,
            query_threads_max: 2,
            connections_max: 8,
            readers_max: 4,
            query_timeout_ms: 60_000,
            cache_bytes_max: 256 << 20,
            start_timeout_ms: 30_000,
            http_connections_max: 64,
            queue_max: 64,
            queue_timeout_ms: 30_000,
            stall_timeout_ms: 60_000,
            statement_bytes_max: 256 << 10,
            result_bytes_max: 64 << 20,
            look_timeout_ms: 5_000,
            stop_grace_ms: 5_000,
            restart_pause_ms_max: 10_000,
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            page_rows_max: 1_000,
            page_bytes_max: 16 << 20,
            timeout_ms: 30_000,
            memory_bytes_max: 512 << 20,
            concurrent_max: 8,
            around_s: 3_600,
        }
    }
}
