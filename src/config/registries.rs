//! `[verify.registries]`: how registries are asked about domains.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// How registries are asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registries {
    /// Whether registries are asked at all.
    pub enabled: bool,
    /// IANA's table of RDAP servers (RFC 9224), over those that are known; none when absent.
    pub bootstrap_file: Option<PathBuf>,
    /// Where the table is fetched anew; nowhere when empty.
    pub bootstrap_url: String,
    /// How often, in seconds.
    pub bootstrap_interval_s: u64,
    /// Registries by hand, over any table: `NAME RDAP|- WHOIS|- [GRAMMAR]`.
    pub servers: Vec<String>,
    /// Whose word on networks is asked: `PREFIX|REGISTRY RDAP`, over the five regional registries.
    pub networks: Vec<String>,
    /// Authorities that registries' certificates are held to, in PEM; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// Hosts that are not public and asked all the same: names, addresses, prefixes.
    pub allowed_hosts: Vec<String>,
    /// How long one question may take, in milliseconds.
    pub timeout_ms: u64,
    /// The largest answer, in bytes.
    pub body_bytes_max: usize,
    /// The most redirects of one question.
    pub redirects_max: u32,
    /// The least time between two questions of one server, in milliseconds.
    pub interval_ms: u64,
    /// How long what was said of a domain is kept and believed, in seconds.
    pub keep_s: u64,
    /// The same where it was said that there is no such domain.
    pub keep_absent_s: u64,
    /// The most domains of which something is kept.
    pub kept_max: usize,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("verify.registries.bootstrap_interval_s", 60, 30 * 86_400),
    limits("verify.registries.timeout_ms", 10, 120_000),
    limits("verify.registries.body_bytes_max", 1_024, 16 << 20),
    limits("verify.registries.redirects_max", 0, 10),
    limits("verify.registries.interval_ms", 0, 3_600_000),
    limits("verify.registries.keep_s", 0, 30 * 86_400),
    limits("verify.registries.keep_absent_s", 0, 30 * 86_400),
    limits("verify.registries.kept_max", 1, 10_000_000),
];

impl Default for Registries {
    fn default() -> Self {
        Self {
            enabled: true,
            bootstrap_file: None,
            bootstrap_url: String::new(),
            bootstrap_interval_s: 86_400,
            servers: Vec::new(),
            networks: Vec::new(),
            ca_file: None,
            allowed_hosts: Vec::new(),
            timeout_ms: 5_000,
            body_bytes_max: 512 << 10,
            redirects_max: 3,
            interval_ms: 1_000,
            keep_s: 86_400,
            keep_absent_s: 3_600,
            kept_max: 10_000,
        }
    }
}
