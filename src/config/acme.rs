//! `[gateway.acme]`: certificates that are obtained, beside those in files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Certificates obtained by ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// The URL of the authority's directory; empty for no certificates of this kind.
    pub directory: String,
    /// Whether the authority's terms of service were read and are agreed to.
    pub terms_agreed: bool,
    /// Whom the authority may write to: `mailto:` addresses.
    pub contact: Vec<String>,
    /// Hosts to obtain a certificate for, one each.
    pub hosts: Vec<String>,
    /// Whether hosts that are forwarded get one, too.
    pub forwards: bool,
    /// Where the account and the certificates are kept; `acme` in the data directory when absent.
    pub dir: Option<PathBuf>,
    /// Who may speak for the directory, in PEM; the authorities of the system when absent.
    pub ca_file: Option<PathBuf>,
    /// The id under which the authority knows us already (external account binding).
    pub external_account_id: String,
    /// The file with its key, in base64url, which nobody else may read.
    pub external_account_key_file: Option<PathBuf>,
    /// A certificate is renewed this long before its end, or when a third of its time is left.
    pub renew_before_days: u32,
    /// How often we look what is missing or due, in milliseconds.
    pub poll_ms: u64,
    /// The wait after an order that failed, doubled with each that fails after it, in milliseconds.
    pub retry_ms: u64,
    /// The longest such wait, in milliseconds.
    pub retry_max_ms: u64,
    /// Orders in an hour.
    pub orders_hour_max: u32,
    /// Hosts with a certificate of this kind.
    pub hosts_max: usize,
    /// The wait for one answer of the authority, and for an order to be ready, in milliseconds.
    pub timeout_ms: u64,
    /// The largest answer, in bytes.
    pub answer_bytes_max: usize,
}

impl Acme {
    /// Whether certificates are obtained.
    pub fn is_on(&self) -> bool {
        !self.directory.is_empty()
    }
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("gateway.acme.renew_before_days", 1, 365),
    limits("gateway.acme.poll_ms", 100, 86_400_000),
    limits("gateway.acme.retry_ms", 100, 86_400_000),
    limits("gateway.acme.retry_max_ms", 100, 604_800_000),
    limits("gateway.acme.orders_hour_max", 1, 10_000),
    limits("gateway.acme.hosts_max", 1, 100_000),
    limits("gateway.acme.timeout_ms", 100, 600_000),
    limits("gateway.acme.answer_bytes_max", 4_096, 16 << 20),
];

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: String::new(),
            terms_agreed: false,
            contact: Vec::new(),
            hosts: Vec::new(),
            forwards: true,
            dir: None,
            ca_file: None,
            external_account_id: String::new(),
            external_account_key_file: None,
            renew_before_days: 30,
            poll_ms: 60_000,
            retry_ms: 900_000,
            retry_max_ms: 86_400_000,
            orders_hour_max: 20,
            hosts_max: 1_000,
            timeout_ms: 60_000,
            answer_bytes_max: 1 << 20,
        }
    }
}
