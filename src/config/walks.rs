//! `[gateway.walks]`: where targets lead, followed and kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Walks along the redirects of targets.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Walks {
    /// Whether targets are asked where they lead.
    pub enabled: bool,
    /// What we call ourselves; `tracegate/VERSION (+public_url)` when empty. The word before the first
    /// `/` is what robots.txt names us by.
    pub user_agent: String,
    /// The time between two walks of one link, in seconds.
    pub interval_s: u64,
    /// The same after a walk that came to no end; doubled with each, up to `interval_s`.
    pub retry_s: u64,
    /// How often due walks are looked for, in milliseconds: a new link waits no longer.
    pub poll_ms: u64,
    /// Walks at once.
    pub concurrent_max: usize,
    /// Walks begun in a second.
    pub per_second_max: usize,
    /// New revisions taken into the schedule at a time.
    pub schedule_max: usize,
    /// Redirects followed.
    pub hops_max: u8,
    /// The longest walk, in milliseconds.
    pub timeout_ms: u64,
    /// The wait for a host's addresses, in milliseconds.
    pub resolve_timeout_ms: u64,
    /// The wait for a connection and its handshake, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The wait for one answer, in milliseconds.
    pub answer_timeout_ms: u64,
    /// The largest head of an answer, in bytes.
    pub head_bytes_max: usize,
    /// What is read of a page at most, in bytes.
    pub body_bytes_max: usize,
    /// Whether a page that sends its reader on (`meta refresh`) counts as a redirect.
    pub meta_refresh: bool,
    /// Requests to one host in a window.
    pub host_requests_max: u32,
    /// The window, in seconds.
    pub host_window_s: u32,
    /// Hosts remembered at once.
    pub hosts_max: usize,
    /// The longest time that a host may ask to be left alone, in seconds.
    pub retry_after_s_max: u64,
    /// What is read of a robots.txt, in bytes.
    pub robots_bytes_max: usize,
    /// How long a robots.txt is believed, in seconds.
    pub robots_keep_s: u64,
    /// All of robots.txt that is kept in memory, in bytes.
    pub robots_cache_bytes_max: u64,
    /// Hosts that are asked although they are not public: names, addresses, prefixes.
    pub allowed_hosts: Vec<String>,
    /// Whose certificates are believed, in PEM; those of the system when absent.
    pub ca_file: Option<PathBuf>,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("gateway.walks.interval_s", 1, 366 * 86_400),
    limits("gateway.walks.retry_s", 1, 366 * 86_400),
    limits("gateway.walks.poll_ms", 10, 60_000),
    limits("gateway.walks.concurrent_max", 1, 1_024),
    limits("gateway.walks.per_second_max", 1, 10_000),
    limits("gateway.walks.schedule_max", 1, 10_000),
    limits("gateway.walks.hops_max", 1, 50),
    limits("gateway.walks.timeout_ms", 100, 600_000),
    limits("gateway.walks.resolve_timeout_ms", 10, 60_000),
    limits("gateway.walks.connect_timeout_ms", 10, 60_000),
    limits("gateway.walks.answer_timeout_ms", 10, 600_000),
    limits("gateway.walks.head_bytes_max", 8_192, 1 << 20),
    limits("gateway.walks.body_bytes_max", 1_024, 1 << 20),
    limits("gateway.walks.host_requests_max", 1, 1_000_000),
    limits("gateway.walks.host_window_s", 1, 3_600),
    limits("gateway.walks.hosts_max", 64, 1 << 24),
    limits("gateway.walks.retry_after_s_max", 0, 30 * 86_400),
    // RFC 9309 §2.5: at least 500 KiB are parsed. §2.4: not kept for more than a day.
    limits("gateway.walks.robots_bytes_max", 512_000, 16 << 20),
    limits("gateway.walks.robots_keep_s", 0, 86_400),
    limits("gateway.walks.robots_cache_bytes_max", 1 << 20, 1 << 32),
];

impl Default for Walks {
    fn default() -> Self {
        Self {
            enabled: true,
            user_agent: String::new(),
            interval_s: 86_400,
            retry_s: 3_600,
            poll_ms: 1_000,
            concurrent_max: 8,
            per_second_max: 10,
            schedule_max: 1_000,
            hops_max: 10,
            timeout_ms: 30_000,
            resolve_timeout_ms: 2_000,
            connect_timeout_ms: 5_000,
            answer_timeout_ms: 10_000,
            head_bytes_max: 65_536,
            body_bytes_max: 65_536,
            meta_refresh: true,
            host_requests_max: 10,
            host_window_s: 10,
            hosts_max: 16_384,
            retry_after_s_max: 86_400,
            robots_bytes_max: 524_288,
            robots_keep_s: 86_400,
            robots_cache_bytes_max: 16 << 20,
            allowed_hosts: Vec::new(),
            ca_file: None,
        }
    }
}
