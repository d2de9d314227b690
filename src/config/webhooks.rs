//! `[webhooks]`: changes told to those who asked for them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Who may be told, how often it is tried, and what is kept.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Endpoints, disabled ones included.
    pub endpoints_max: usize,
    /// Hosts that are told although they are not public: names, addresses, prefixes.
    pub allowed_hosts: Vec<String>,
    /// Whose certificates are believed, in PEM; those of the system when absent.
    pub ca_file: Option<PathBuf>,
    /// How often changes and deliveries that are due are looked for, in milliseconds.
    pub poll_ms: u64,
    /// Changes taken in, and deliveries forgotten, in one transaction.
    pub batch_max: usize,
    /// Attempts at once.
    pub concurrent_max: usize,
    /// Attempts at once at one endpoint.
    pub endpoint_concurrent_max: usize,
    /// Deliveries of one endpoint that may wait; those beyond are dead at once.
    pub queue_max: u64,
    /// The wait for a host's addresses, in milliseconds.
    pub resolve_timeout_ms: u64,
    /// The wait for a connection and its handshake, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The wait for an answer, in milliseconds.
    pub answer_timeout_ms: u64,
    /// What is read of an answer's body, in bytes.
    pub answer_bytes_max: usize,
    /// The wait after the first attempt, in milliseconds; doubled with each.
    pub retry_ms: u64,
    /// The longest such wait, in milliseconds.
    pub retry_ms_max: u64,
    /// The longest time that an endpoint may ask to be left alone, in seconds.
    pub retry_after_s_max: u64,
    /// Attempts at one delivery.
    pub attempts_max: u32,
    /// The age at which a delivery is given up, in seconds.
    pub age_s_max: u64,
    /// How long a secret signs beside the one that follows it, in seconds.
    pub secret_overlap_s: u64,
    /// How long deliveries that were made are kept, in seconds.
    pub delivered_keep_s: u64,
    /// How long those that were given up are kept, in seconds.
    pub dead_keep_s: u64,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("webhooks.endpoints_max", 1, 1_000),
    limits("webhooks.poll_ms", 10, 60_000),
    limits("webhooks.batch_max", 1, 10_000),
    limits("webhooks.concurrent_max", 1, 1_024),
    limits("webhooks.endpoint_concurrent_max", 1, 1_024),
    limits("webhooks.queue_max", 1, 100_000_000),
    limits("webhooks.resolve_timeout_ms", 10, 60_000),
    limits("webhooks.connect_timeout_ms", 10, 60_000),
    limits("webhooks.answer_timeout_ms", 10, 600_000),
    limits("webhooks.answer_bytes_max", 0, 1 << 20),
    limits("webhooks.retry_ms", 1, 86_400_000),
    limits("webhooks.retry_ms_max", 1, 86_400_000),
    limits("webhooks.retry_after_s_max", 0, 30 * 86_400),
    limits("webhooks.attempts_max", 1, 1_000),
    limits("webhooks.age_s_max", 1, 366 * 86_400),
    limits("webhooks.secret_overlap_s", 0, 366 * 86_400),
    limits("webhooks.delivered_keep_s", 3_600, 366 * 86_400),
    limits("webhooks.dead_keep_s", 3_600, 3_660 * 86_400),
];

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            endpoints_max: 32,
            allowed_hosts: Vec::new(),
            ca_file: None,
            poll_ms: 1_000,
            batch_max: 500,
            concurrent_max: 16,
            endpoint_concurrent_max: 4,
            queue_max: 1_000_000,
            resolve_timeout_ms: 2_000,
            connect_timeout_ms: 5_000,
            answer_timeout_ms: 15_000,
            answer_bytes_max: 16_384,
            retry_ms: 5_000,
            retry_ms_max: 21_600_000,
            retry_after_s_max: 86_400,
            attempts_max: 20,
            age_s_max: 259_200,
            secret_overlap_s: 86_400,
            delivered_keep_s: 604_800,
            dead_keep_s: 15_897_600,
        }
    }
}
