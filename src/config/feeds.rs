//! `[feeds]`: limits and defaults of lists of rules. Which lists there are is control state, not
//! configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Transfers,
    ranges::{Limits, limits},
};

/// Lists of rules.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feeds {
    /// Directories that lists may be read from, also after following links.
    pub roots: Vec<PathBuf>,
    /// Rules in one version of one list.
    pub rules_max: u64,
    /// How often a source is looked at, in seconds, where a feed does not say.
    pub refresh_s: u64,
    /// The shortest time between two looks that a feed may ask for, in seconds.
    pub refresh_s_min: u64,
    /// The longest entry of a list, in bytes; longer ones are rejected.
    pub line_bytes_max: usize,
    /// The longest TTL of records that a list answers with, in seconds; longer ones are cut.
    pub ttl_max_s: u32,
    /// The TTL of records that a list answers with where it names none, in seconds.
    pub ttl_s: u32,
    /// The largest workbook, in bytes, as it comes.
    pub workbook_bytes_max: u64,
    /// The largest workbook, in bytes, unpacked: it is read in memory.
    pub workbook_unpacked_bytes_max: u64,
    /// The longest text that a person gives: reasons, owners, contacts; in bytes.
    pub note_bytes_max: usize,
    /// Zone transfers, in and out.
    pub transfer: Transfers,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("feeds.rules_max", 1, 100_000_000),
    limits("feeds.refresh_s", 1, 30 * 86_400),
    limits("feeds.refresh_s_min", 1, 86_400),
    limits("feeds.line_bytes_max", 512, 1 << 20),
    limits("feeds.ttl_max_s", 1, 7 * 86_400),
    limits("feeds.ttl_s", 0, 7 * 86_400),
    limits("feeds.workbook_bytes_max", 1 << 10, 1 << 30),
    limits("feeds.workbook_unpacked_bytes_max", 1 << 10, 8 << 30),
    limits("feeds.note_bytes_max", 64, 65_536),
];

impl Default for Feeds {
    fn default() -> Self {
        Self {
            roots: vec!["./lists".into()],
            rules_max: 10_000_000,
            refresh_s: 3_600,
            refresh_s_min: 10,
            line_bytes_max: 65_536,
            ttl_max_s: 86_400,
            ttl_s: 300,
            workbook_bytes_max: 32 << 20,
            workbook_unpacked_bytes_max: 256 << 20,
            note_bytes_max: 4_096,
            transfer: Transfers::default(),
        }
    }
}
