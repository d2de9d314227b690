//! `[policy]`: how answers and jumps that a rule decides look.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// How rules are enforced. The rules themselves come from feeds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What happens to a signed answer that a client wants with its signatures (DO=1).
    pub dnssec: PolicyDnssec,
    /// Where names of tier `interstitial` lead, IPv4 and IPv6; empty leaves their answers as they
    /// are.
    pub gateway_addresses: Vec<IpAddr>,
    /// The TTL of what we make up: aliases, the gateway's addresses, the SOA of a negative answer,
    /// in seconds.
    pub ttl_s: u32,
    /// Whether clients that ask for structured errors get them.
    pub structured_errors: bool,
    /// The longest text of an extended error, in bytes; what is longer is cut.
    pub error_text_bytes_max: usize,
    /// Answers that rules made, kept ready, in bytes.
    pub answers_bytes_max: u64,
    /// What a stopped visitor's page names as the one who blocks (RFC 7725 §3); empty for nobody.
    pub blocked_by: String,
}

/// What happens to a signed answer that a client wants with its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyDnssec {
    /// It is replaced like any other; a client that validates gets SERVFAIL from its validator.
    Rewrite,
    /// It stands and is recorded.
    LeaveSigned,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("policy.ttl_s", 0, 86_400),
    limits("policy.error_text_bytes_max", 32, 1_024),
    limits("policy.answers_bytes_max", 1 << 20, 1 << 40),
];

impl Default for Policy {
    fn default() -> Self {
        Self {
            dnssec: PolicyDnssec::Rewrite,
            gateway_addresses: Vec::new(),
            ttl_s: 30,
            structured_errors: true,
            error_text_bytes_max: 240,
            answers_bytes_max: 32 << 20,
            blocked_by: String::new(),
        }
    }
}
