//! `[spool]`: what an append survives and what happens when there is no room.

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// The spool.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spool {
    /// What an append survives before its response leaves.
    pub durability: Durability,
    /// A segment's size, preallocated, in bytes.
    pub segment_bytes_max: u64,
    /// The same for lanes that many writers share, which carry less.
    pub shared_segment_bytes_max: u64,
    /// A segment with rows is sealed after this, in milliseconds, so that it can be removed once
    /// its rows are in the store.
    pub segment_age_ms_max: u64,
    /// Rows in a frame.
    pub frame_rows_max: u32,
    /// Bytes in a frame.
    pub frame_bytes_max: u32,
    /// A frame with rows is closed after this, in milliseconds.
    pub frame_age_ms_max: u64,
    /// Bytes of one batch.
    pub batch_bytes_max: u32,
    /// All segments together, in bytes, but for damaged ones that are kept for people alone; beyond
    /// it `on_full` decides.
    pub disk_bytes_max: u64,
    /// Frames set aside, in files of their own, in bytes, beside `disk_bytes_max` and above
    /// `disk_free_bytes_min`; beyond it a frame set aside keeps its whole segment and those behind it.
    pub quarantine_bytes_max: u64,
    /// The file system keeps at least this much free, in bytes.
    pub disk_free_bytes_min: u64,
    /// What happens to records when there is no room, per stream.
    pub on_full: OnFull,
}

/// What an append survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// In the kernel: the crash of the process loses nothing.
    Written,
    /// Also fsynced: a power cut loses nothing.
    Synced,
}

/// What happens to a record that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FullPolicy {
    /// Serve and count it in a gap row.
    Shed,
    /// Do not serve.
    Refuse,
}

/// The declared policy per stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnFull {
    /// Resolutions without a decision.
    pub resolutions: FullPolicy,
    /// Resolutions that a rule decided.
    pub decided_resolutions: FullPolicy,
    /// Jumps to unknown codes.
    pub unknown_jumps: FullPolicy,
    /// Every other jump.
    pub jumps: FullPolicy,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("spool.segment_bytes_max", 64 << 10, 1 << 30),
    limits("spool.shared_segment_bytes_max", 64 << 10, 1 << 30),
    limits("spool.segment_age_ms_max", 1_000, 86_400_000),
    limits("spool.frame_rows_max", 1, 1 << 20),
    limits("spool.frame_bytes_max", 4_096, 256 << 20),
    limits("spool.frame_age_ms_max", 10, 60_000),
    limits("spool.batch_bytes_max", 4_096, 64 << 20),
    limits("spool.disk_bytes_max", 1 << 20, 1 << 50),
    limits("spool.quarantine_bytes_max", 0, 1 << 50),
    limits("spool.disk_free_bytes_min", 0, 1 << 50),
];

impl Default for Spool {
    fn default() -> Self {
        Self {
            durability: Durability::Written,
            segment_bytes_max: 32 << 20,
            shared_segment_bytes_max: 4 << 20,
            segment_age_ms_max: 600_000,
            frame_rows_max: 65_536,
            frame_bytes_max: 16 << 20,
            frame_age_ms_max: 1_000,
            batch_bytes_max: 1 << 20,
            disk_bytes_max: 16 << 30,
            quarantine_bytes_max: 1 << 30,
            disk_free_bytes_min: 256 << 20,
            on_full: OnFull::default(),
        }
    }
}

impl Default for OnFull {
    fn default() -> Self {
        Self {
            resolutions: FullPolicy::Shed,
            decided_resolutions: FullPolicy::Refuse,
            unknown_jumps: FullPolicy::Shed,
            jumps: FullPolicy::Refuse,
        }
    }
}
