//! `[verify]`: how names and addresses are verified.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    data::Data,
    ranges::{Limits, limits},
    registries::Registries,
    schedule::Schedule,
    vantage::Vantage,
};

/// Verification.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// Whether sources are asked over networks. Without, what needs them is `not_evaluated`.
    pub network: bool,
    /// What this place is called in evidence; the node's name when empty.
    pub vantage: String,
    /// The servers of the root, `NAME ADDRESS` each; those of the root zone of 2026 when empty.
    pub roots: Vec<String>,
    /// The root's DS records, in the form of a zone file; IANA's keys of 2017 and 2024 when absent.
    pub anchors_file: Option<PathBuf>,
    /// The port of every name server.
    pub port: u16,
    /// Special-purpose addresses at which name servers are asked all the same.
    pub servers_allow: Vec<IpNet>,
    /// How often a name server is asked over UDP.
    pub attempts: u8,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long everything that is asked for one verification may take, in milliseconds.
    pub deadline_ms: u64,
    /// The most questions of one verification.
    pub questions_max: u32,
    /// The most servers of one zone that are asked.
    pub servers_max: usize,
    /// How many verifications are made at once.
    pub concurrent_max: usize,
    /// How long what was said may be believed, in seconds.
    pub keep_s: u64,
    /// Registries.
    pub registries: Registries,
    /// Files about addresses.
    pub data: Data,
    /// Verifications without anybody waiting.
    pub schedule: Schedule,
    /// Other places that are asked what they see.
    pub vantages: Vec<Vantage>,
    /// Names that others must not read like.
    pub protected: Vec<String>,
    /// A file of such names, one a line.
    pub protected_file: Option<PathBuf>,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("verify.port", 1, 65_535),
    limits("verify.attempts", 1, 10),
    limits("verify.timeout_ms", 10, 60_000),
    limits("verify.deadline_ms", 100, 600_000),
    limits("verify.questions_max", 1, 10_000),
    limits("verify.servers_max", 1, 64),
    limits("verify.concurrent_max", 1, 1_024),
    limits("verify.keep_s", 1, 30 * 86_400),
];

impl Default for Verify {
    fn default() -> Self {
        Self {
            network: true,
            vantage: String::new(),
            roots: Vec::new(),
            anchors_file: None,
            port: 53,
            servers_allow: Vec::new(),
            attempts: 2,
            timeout_ms: 700,
            deadline_ms: 15_000,
            questions_max: 500,
            servers_max: 16,
            concurrent_max: 8,
            keep_s: 3_600,
            registries: Registries::default(),
            data: Data::default(),
            schedule: Schedule::default(),
            vantages: Vec::new(),
            protected: Vec::new(),
            protected_file: None,
        }
    }
}
