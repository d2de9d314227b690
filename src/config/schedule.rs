//! `[verify.schedule]`: verifications without anybody waiting.

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Verifications without anybody waiting, and what follows from them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Whether targets of links are verified by themselves.
    pub enabled: bool,
    /// Whether domains that somebody asks our resolver for are, too, when they are first seen.
    pub resolved: bool,
    /// How often the queue is looked at, in milliseconds.
    pub poll_ms: u64,
    /// How many subjects are verified at a time.
    pub concurrent_max: u32,
    /// A subject is verified again after this time at the latest, in seconds.
    pub again_s: u64,
    /// And after this time at the earliest.
    pub again_s_min: u64,
    /// The most subjects that wait.
    pub queue_max: u64,
    /// The most subjects that are wanted between two looks at the queue.
    pub wanted_max: usize,
    /// The most verdicts in memory.
    pub verdicts_max: usize,
    /// How long the creation of a link waits for a verdict on its target, in milliseconds.
    pub create_wait_ms: u64,
    /// Verdicts and ids of checks for which no link is made that leads there.
    pub refuse: Vec<String>,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("verify.schedule.poll_ms", 10, 3_600_000),
    limits("verify.schedule.concurrent_max", 1, 256),
    limits("verify.schedule.again_s", 60, 366 * 86_400),
    limits("verify.schedule.again_s_min", 1, 366 * 86_400),
    limits("verify.schedule.queue_max", 1, 100_000_000),
    limits("verify.schedule.wanted_max", 1, 10_000_000),
    limits("verify.schedule.verdicts_max", 1, 100_000_000),
    limits("verify.schedule.create_wait_ms", 0, 60_000),
];

impl Default for Schedule {
    fn default() -> Self {
        Self {
            enabled: true,
            resolved: false,
            poll_ms: 1_000,
            concurrent_max: 4,
            again_s: 7 * 86_400,
            again_s_min: 3_600,
            queue_max: 1_000_000,
            wanted_max: 10_000,
            verdicts_max: 1_000_000,
            create_wait_ms: 0,
            refuse: Vec::new(),
        }
    }
}
