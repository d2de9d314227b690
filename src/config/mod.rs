//! The configuration: TOML, `version = 1`, unknown keys refused, a limit on everything.
//!
//! [`load`] reads a file into a valid [`Config`] or says everything that is wrong with it, each
//! with file, line, key and one sentence on what to do. What only the machine can tell (a port in
//! use, a directory that cannot be written) is asked by [`probe()`], so that reading stays free of
//! side effects. What is allowed and unwise is said by [`warnings()`].
//!
//! One file per section. A new key needs its default in the section's struct, its limits there if
//! it is a number, and its line with the reason in `deploy/tracegate.toml`; tests hold the three
//! together. Relative paths are relative to the working directory.

mod acme;
mod api_limits;
mod check;
mod control;
mod data;
mod dns;
mod feeds;
mod file;
mod gateway;
mod jumps;
mod listen;
mod notices;
mod outbound;
mod place;
mod policy;
mod probe;
mod problem;
mod ranges;
mod registries;
mod reports;
mod schedule;
mod source;
mod spool;
mod store;
mod transfer;
mod vantage;
mod verify;
mod walks;
mod warnings;
mod webhooks;

use std::path::PathBuf;

pub use acme::Acme;
pub use api_limits::ApiLimits;
pub use control::{Control, OnDown};
pub use data::Data;
pub use dns::{Dns, RateLimit, Upstream, UpstreamMode, Zone};
pub use feeds::Feeds;
pub use file::{Loaded, load, parse, table};
pub use gateway::{Api, ForeignForwards, Gateway, OnTarget, OnUnresolved, Targets};
pub use jumps::{Certificate, JumpLimits, SecurityTxt};
pub use notices::Notices;
pub use outbound::{OnUnsigned, Outbound};
pub use policy::{Policy, PolicyDnssec};
pub use probe::probe;
pub use problem::{Error, Problem};
pub use registries::Registries;
pub use reports::Reports;
pub use schedule::Schedule;
use serde::{Deserialize, Serialize};
pub use source::Source;
pub use spool::{Durability, FullPolicy, OnFull, Spool};
pub use store::{Engine, RETENTION_DAYS_MIN, Store, Trace};
pub use transfer::Transfers;
pub use vantage::Vantage;
pub use verify::Verify;
pub use walks::Walks;
pub use warnings::warnings;
pub use webhooks::Webhooks;

use crate::record::NodeName;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The version of the file's format: 1.
    pub version: u32,
    /// The node's name in every record; the host name when empty.
    pub node: Option<NodeName>,
    /// Where everything that outlives the process is kept.
    pub data_dir: PathBuf,
    /// `serve` refuses a clock further behind the newest record than this, in seconds.
    pub clock_back_max_s: u64,
    /// `serve` refuses a clock further ahead of the newest record than this, in seconds.
    pub clock_ahead_max_s: u64,
    /// How long a drain may take, in milliseconds.
    pub drain_grace_ms: u64,
    /// Threads of the shared runtime; 0 for one per core.
    pub worker_threads: usize,
    /// The DNS side.
    pub dns: Dns,
    /// How rules are enforced.
    pub policy: Policy,
    /// The jump side.
    pub gateway: Gateway,
    /// Lists of rules.
    pub feeds: Feeds,
    /// The HTTP API.
    pub api: Api,
    /// Changes told to those who asked for them.
    pub webhooks: Webhooks,
    /// How names and addresses are verified.
    pub verify: Verify,
    /// Where links and tokens are kept.
    pub control: Control,
    /// The spool.
    pub spool: Spool,
    /// The store.
    pub store: Store,
    /// Questions.
    pub trace: Trace,
    /// Application logs.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: 1,
            node: None,
            data_dir: "./data".into(),
            clock_back_max_s: 300,
            clock_ahead_max_s: 366 * 86_400,
            drain_grace_ms: 10_000,
            worker_threads: 0,
            dns: Dns::default(),
            policy: Policy::default(),
            gateway: Gateway::default(),
            feeds: Feeds::default(),
            api: Api::default(),
            webhooks: Webhooks::default(),
            verify: Verify::default(),
            control: Control::default(),
            spool: Spool::default(),
            store: Store::default(),
            trace: Trace::default(),
            log: Log::default(),
        }
    }
}

/// Application logs. They never hold names asked, clients or secrets.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `tracing` filter directives.
    pub filter: String,
    /// Lines of `text` or `json`.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info,hickory_server=warn".into(), format: LogFormat::Text }
    }
}
