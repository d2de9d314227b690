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
    /// Where control state and versions are kept; `feeds` in the data directory when absent. The
    /// nodes of one machine may share it, and then obey one another.
    pub dir: Option<PathBuf>,
    /// Directories that lists may be read from, also after following links.
    pub roots: Vec<PathBuf>,
    /// Names and addresses that no list may touch, besides public suffixes, the apexes of zones
    /// served and the hosts and addresses of the gateway and the API.
    pub protected: Vec<String>,
    /// The shortest prefix of a rule about IPv4 addresses, in bits; multicast and reserved ones aside.
    pub ipv4_prefix_min: u8,
    /// The same of global IPv6 addresses.
    pub ipv6_prefix_min: u8,
    /// Feeds at once.
    pub feeds_max: usize,
    /// The longest list, in bytes.
    pub list_bytes_max: u64,
    /// Rules in one version of one list.
    pub rules_max: u64,
    /// Rejected entries in one version of one list; a version with more is held.
    pub rejected_max: u64,
    /// Rejected entries of one version kept with line, text and reason.
    pub rejected_kept_max: usize,
    /// Of each, at most so much text, in bytes.
    pub rejected_text_bytes_max: usize,
    /// A version with fewer rules than before by more than this many percent is held.
    pub shrink_percent: u32,
    /// A version with more rules than before by more than this many percent is held.
    pub growth_percent: u32,
    /// Changes of fewer rules than this are never held for their share.
    pub change_rules_min: u64,
    /// How far the blast radius of a version looks back, in hours; 0 to not look.
    pub blast_hours: u32,
    /// Distinct answers and jumps looked at, the most frequent.
    pub blast_kinds_max: u64,
    /// The wait for the store, in milliseconds.
    pub blast_timeout_ms: u64,
    /// A version that decides more than this many percent of them otherwise is held.
    pub blast_percent: u32,
    /// Fewer resolutions and jumps than this are never held for their share.
    pub blast_min: u64,
    /// Whether a version is held when the store cannot be asked what it would change.
    pub hold_without_store: bool,
    /// How often a source is looked at, in seconds, where a feed does not say.
    pub refresh_s: u64,
    /// The shortest time between two looks that a feed may ask for, in seconds.
    pub refresh_s_min: u64,
    /// Hosts that lists may be fetched from although they are not public: names, addresses, prefixes.
    pub allowed_hosts: Vec<String>,
    /// The wait for a connection to a list's server and its handshake, in milliseconds.
    pub fetch_connect_timeout_ms: u64,
    /// The wait for the head of a web server's answer, and for each further piece, in milliseconds.
    pub fetch_idle_timeout_ms: u64,
    /// How often one look asks a web server at most.
    pub fetch_attempts_max: u32,
    /// The wait before the second attempt, in milliseconds; each further one is twice as long.
    pub fetch_retry_wait_ms: u64,
    /// The longest time that a busy web server may ask to be left alone (`Retry-After`), in seconds.
    pub fetch_retry_after_s_max: u64,
    /// How often a web server may send us elsewhere in one look.
    pub fetch_redirects_max: u32,
    /// The largest manifest, in bytes.
    pub companion_bytes_max: u64,
    /// How long a file must not have been written to before it is taken, in milliseconds.
    pub file_settle_ms: u64,
    /// Files in a directory that is a list.
    pub directory_files_max: usize,
    /// The longest entry of a list, in bytes; longer ones are rejected: a rule's record keeps the
    /// whole of it.
    pub line_bytes_max: usize,
    /// The longest TTL of records that a list answers with, in seconds; longer ones are cut.
    pub ttl_max_s: u32,
    /// The TTL of records that a list answers with where it names none, in seconds.
    pub ttl_s: u32,
    /// The largest workbook, in bytes, as it comes.
    pub workbook_bytes_max: u64,
    /// The largest workbook, in bytes, unpacked: it is read in memory.
    pub workbook_unpacked_bytes_max: u64,
    /// How often files are looked at, in milliseconds.
    pub file_poll_ms: u64,
    /// The longest time for one fetch of a file, in milliseconds; zones have
    /// `feeds.transfer.transfer_timeout_ms`.
    pub fetch_timeout_ms: u64,
    /// A feed whose source was not reached for so many times its refresh is stale.
    pub stale_refreshes: u32,
    /// A version that was not confirmed for so long, in seconds, counts as one that cannot be loaded;
    /// 0 for never. Feeds and transferred zones may say otherwise.
    pub stale_after_s: u64,
    /// Versions of a feed kept on disk.
    pub versions_kept: usize,
    /// How often a node looks for what other nodes changed, in milliseconds.
    pub poll_ms: u64,
    /// Connections to the database for reading.
    pub readers_max: usize,
    /// Own rules in force at once, of instant blocks and of allow rules.
    pub own_rules_max: usize,
    /// Events of one node that took force and whose records wait for room in the spool; with more,
    /// nothing is changed any more.
    pub records_waiting_max: usize,
    /// Appeals that are not decided.
    pub appeals_open_max: usize,
    /// How long an instant block lasts that nobody else has confirmed, in seconds.
    pub block_unconfirmed_s: u64,
    /// How long a confirmed one lasts where whoever made it did not say, in seconds.
    pub block_s: u64,
    /// The longest, in seconds.
    pub block_s_max: u64,
    /// The longest time that an allow rule lasts, in seconds, and how long it does where whoever
    /// made it did not say: none is for ever.
    pub allow_s_max: u64,
    /// Records of rules wait while the spool is fuller than this many percent.
    pub rules_spool_percent: u8,
    /// The longest text that a person gives: reasons, owners, contacts; in bytes.
    pub note_bytes_max: usize,
    /// Zone transfers, in and out.
    pub transfer: Transfers,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("feeds.ipv4_prefix_min", 1, 32),
    limits("feeds.ipv6_prefix_min", 1, 128),
    limits("feeds.feeds_max", 1, 1_024),
    limits("feeds.list_bytes_max", 1 << 10, 1 << 40),
    limits("feeds.rules_max", 1, 100_000_000),
    limits("feeds.rejected_max", 0, 1 << 32),
    limits("feeds.rejected_kept_max", 0, 1_000_000),
    limits("feeds.rejected_text_bytes_max", 16, 65_536),
    limits("feeds.shrink_percent", 0, 100),
    limits("feeds.growth_percent", 0, 1_000_000),
    limits("feeds.change_rules_min", 0, 1 << 32),
    limits("feeds.blast_hours", 0, 24 * 366),
    limits("feeds.blast_kinds_max", 1_000, 100_000_000),
    limits("feeds.blast_timeout_ms", 100, 600_000),
    limits("feeds.blast_percent", 0, 100),
    limits("feeds.blast_min", 0, 1 << 40),
    limits("feeds.refresh_s", 1, 30 * 86_400),
    limits("feeds.refresh_s_min", 1, 86_400),
    limits("feeds.fetch_connect_timeout_ms", 100, 600_000),
    limits("feeds.fetch_idle_timeout_ms", 100, 600_000),
    limits("feeds.fetch_attempts_max", 1, 10),
    limits("feeds.fetch_retry_wait_ms", 1, 60_000),
    limits("feeds.fetch_retry_after_s_max", 0, 7 * 86_400),
    limits("feeds.fetch_redirects_max", 0, 10),
    limits("feeds.companion_bytes_max", 1 << 10, 1 << 30),
    limits("feeds.file_settle_ms", 0, 60_000),
    limits("feeds.directory_files_max", 1, 100_000),
    limits("feeds.line_bytes_max", 512, 16_384),
    limits("feeds.ttl_max_s", 1, 7 * 86_400),
    limits("feeds.ttl_s", 0, 7 * 86_400),
    limits("feeds.workbook_bytes_max", 1 << 10, 1 << 30),
    limits("feeds.workbook_unpacked_bytes_max", 1 << 10, 8 << 30),
    limits("feeds.file_poll_ms", 10, 3_600_000),
    limits("feeds.fetch_timeout_ms", 100, 86_400_000),
    limits("feeds.stale_refreshes", 1, 1_000),
    limits("feeds.stale_after_s", 0, 10 * 366 * 86_400),
    limits("feeds.versions_kept", 2, 1_000),
    limits("feeds.poll_ms", 10, 250),
    limits("feeds.readers_max", 1, 64),
    limits("feeds.own_rules_max", 0, 1_000_000),
    limits("feeds.records_waiting_max", 0, 1_000_000),
    limits("feeds.appeals_open_max", 0, 1_000_000),
    limits("feeds.block_unconfirmed_s", 60, 86_400),
    limits("feeds.block_s", 60, 366 * 86_400),
    limits("feeds.block_s_max", 60, 10 * 366 * 86_400),
    limits("feeds.allow_s_max", 60, 10 * 366 * 86_400),
    limits("feeds.rules_spool_percent", 1, 90),
    limits("feeds.note_bytes_max", 64, 65_536),
];

impl Default for Feeds {
    fn default() -> Self {
        Self {
            dir: None,
            roots: vec!["./lists".into()],
            protected: Vec::new(),
            ipv4_prefix_min: 8,
            ipv6_prefix_min: 16,
            feeds_max: 64,
            list_bytes_max: 2 << 30,
            rules_max: 10_000_000,
            rejected_max: 10_000,
            rejected_kept_max: 1_000,
            rejected_text_bytes_max: 512,
            shrink_percent: 50,
            growth_percent: 300,
            change_rules_min: 5,
            blast_hours: 24,
            blast_kinds_max: 200_000,
            blast_timeout_ms: 30_000,
            blast_percent: 5,
            blast_min: 1_000,
            hold_without_store: false,
            refresh_s: 3_600,
            refresh_s_min: 10,
            allowed_hosts: Vec::new(),
            fetch_connect_timeout_ms: 10_000,
            fetch_idle_timeout_ms: 30_000,
            fetch_attempts_max: 3,
            fetch_retry_wait_ms: 1_000,
            fetch_retry_after_s_max: 3_600,
            fetch_redirects_max: 3,
            companion_bytes_max: 64 << 20,
            file_settle_ms: 250,
            directory_files_max: 1_000,
            line_bytes_max: 16_384,
            ttl_max_s: 86_400,
            ttl_s: 300,
            workbook_bytes_max: 32 << 20,
            workbook_unpacked_bytes_max: 256 << 20,
            file_poll_ms: 1_000,
            fetch_timeout_ms: 600_000,
            stale_refreshes: 3,
            stale_after_s: 0,
            versions_kept: 10,
            poll_ms: 200,
            readers_max: 4,
            own_rules_max: 10_000,
            records_waiting_max: 10_000,
            appeals_open_max: 10_000,
            block_unconfirmed_s: 3_600,
            block_s: 86_400,
            block_s_max: 30 * 86_400,
            allow_s_max: 366 * 86_400,
            rules_spool_percent: 50,
            note_bytes_max: 4_096,
            transfer: Transfers::default(),
        }
    }
}
