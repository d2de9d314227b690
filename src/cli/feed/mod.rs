//! `feed`: lists of rules on a running server, from their source until they are in force, and what
//! is said about them afterwards.
//!
//! Everything goes through the API, so that what is done here is recorded as what anybody else
//! does. What takes longer than a second shows on a terminal that it goes on.

mod ask;
mod bytes;
mod findings;
mod report;
mod spec;
mod text;

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use self::spec::SpecArgs;
use super::{
    Exit, Format, Global,
    client::{Api, ServerArgs, block_on},
    layout,
    progress::followed,
};

/// Lists of rules: add, refresh, look before they take force, approve, roll back, report.
#[derive(Clone, Debug, Args)]
pub(super) struct Feed {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

/// What lists are written in.
const LIST_FORMATS: [&str; 9] =
    ["rpz", "hosts", "domains", "csv", "xlsx", "jsonl", "adblock", "dnsmasq", "stix"];

/// What exports are written in.
const EXPORT_FORMATS: [&str; 3] = ["rpz", "jsonl", "domains"];

/// What reports are written in, besides text and JSON.
const REPORT_FORMATS: [&str; 2] = ["csv", "xlsx"];

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Declare a feed. It is fetched at once.
    Add {
        /// What it is called, in rules, records and reports.
        name: String,
        #[command(flatten)]
        spec: Box<SpecArgs>,
        #[command(flatten)]
        why: Why,
    },
    /// Change a feed's settings; what is not given stays. What makes its rules reach further is
    /// judged first, and may be held.
    Change {
        /// Which feed.
        name: String,
        #[command(flatten)]
        spec: Box<SpecArgs>,
        #[command(flatten)]
        why: Why,
    },
    /// End a feed: its rules lose effect, its history stays.
    Remove {
        /// Which feed.
        name: String,
        #[command(flatten)]
        why: Why,
    },
    /// List the feeds.
    List,
    /// Show a feed: what is in force since when, what is held and why.
    Status {
        /// Which feed.
        name: String,
    },
    /// Show a feed's versions, or one of them with the entries that were not taken.
    Versions {
        /// Which feed.
        name: String,
        /// One version.
        version: Option<u64>,
    },
    /// Fetch a feed now.
    Refresh {
        /// Which feed.
        name: String,
        #[command(flatten)]
        why: Why,
    },
    /// Show what differs between two versions.
    Diff {
        /// Which feed.
        name: String,
        /// The version before; the one in force by default.
        #[arg(long, value_name = "VERSION")]
        from: Option<u64>,
        /// The version after; the newest by default.
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
    },
    /// Take a version from the source, or from a file on this machine, and say what it changes.
    Apply {
        /// Which feed.
        name: String,
        /// Say what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// The list itself, instead of the feed's source.
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
        #[command(flatten)]
        why: Why,
    },
    /// Let a held version take force.
    Approve {
        /// Which feed.
        name: String,
        /// The version; the one that is held by default.
        #[arg(long, value_name = "VERSION")]
        version: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// Refuse a held version.
    Refuse {
        /// Which feed.
        name: String,
        /// The version; the one that is held by default.
        #[arg(long, value_name = "VERSION")]
        version: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// Put an earlier version in force again.
    Rollback {
        /// Which feed.
        name: String,
        /// The version; the one in force before this one by default.
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// What became of a feed's versions, orders and rules, for whoever ordered them (处置反馈).
    Report {
        /// Which feed.
        name: String,
        /// The part that CSV holds: orders, versions, rules or rejected.
        #[arg(long, value_name = "PART")]
        part: Option<String>,
        #[command(flatten)]
        to: To,
    },
    /// The rules of a version, as rpz, jsonl or domains.
    Export {
        /// Which feed.
        name: String,
        /// The version; the one in force by default.
        #[arg(long, value_name = "VERSION")]
        version: Option<u64>,
        #[command(flatten)]
        to: To,
    },
    /// Block a name at once, on every node, until it ends or a second person confirms it.
    BlockNow(BlockNow),
    /// List the blocks made by block-now.
    Blocks,
    /// Confirm a block that somebody else made.
    Confirm {
        /// Which block.
        id: u64,
        #[command(flatten)]
        why: Why,
    },
    /// End a block.
    Lift {
        /// Which block.
        id: u64,
        #[command(flatten)]
        why: Why,
    },
    /// What is let through whatever the feeds say that may be overruled.
    #[command(subcommand)]
    Allow(Allow),
    /// What those who are listed say against it.
    #[command(subcommand)]
    Appeal(Appeal),
}

/// Why something is done.
#[derive(Clone, Debug, Args)]
struct Why {
    /// Why; it is kept.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Why something is done that nobody does without a reason.
#[derive(Clone, Debug, Args)]
struct Because {
    /// Why; it is kept.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Where bytes go.
#[derive(Clone, Debug, Args)]
struct To {
    /// Write it to this file, which must not exist yet, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct BlockNow {
    /// A name, `*.name` for everything below it, a URL, an address or a rule.
    name: String,
    /// How long, as 30m, 12h or 7d.
    #[arg(long = "for", value_name = "SPAN", value_parser = ask::span)]
    span: Option<u64>,
    /// Who ordered it.
    #[arg(long)]
    authority: Option<String>,
    /// The order's number.
    #[arg(long)]
    order_number: Option<String>,
    #[command(flatten)]
    why: Why,
}

#[derive(Clone, Debug, Subcommand)]
enum Allow {
    /// Let a name through.
    Add {
        /// A name, `*.name` for everything below it, a URL, an address or a rule.
        name: String,
        /// Who answers for it.
        #[arg(long)]
        owner: Option<String>,
        /// How long, as 30m, 12h or 7d; without it, as long as feeds.allow_s_max lets it.
        #[arg(long = "for", value_name = "SPAN", value_parser = ask::span)]
        span: Option<u64>,
        /// Until when, as 2030-01-31T12:00:00Z.
        #[arg(long, value_name = "TIME", conflicts_with = "span")]
        expires: Option<String>,
        #[command(flatten)]
        because: Because,
    },
    /// List what is let through.
    List,
    /// Let it through no longer.
    Remove {
        /// Which one.
        id: u64,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Clone, Debug, Subcommand)]
enum Appeal {
    /// Open an appeal against being listed.
    Open {
        /// The name, URL, address or rule it is about.
        subject: String,
        /// Where the claimant is reached.
        #[arg(long)]
        contact: String,
        /// The feed whose rule it is about; every feed's by default.
        #[arg(long)]
        feed: Option<String>,
        /// Suspend the rule until it is decided.
        #[arg(long)]
        suspend: bool,
        #[command(flatten)]
        because: Because,
    },
    /// List the appeals.
    List {
        /// Only those of this status.
        #[arg(long)]
        status: Option<String>,
    },
    /// Show who appealed and how they are reached: a look at a person, which is recorded.
    Person {
        /// Which appeal.
        id: u64,
        /// The case number, kept with the look.
        #[arg(long = "case", value_name = "NUMBER")]
        case_number: String,
        /// What it is for, kept with the look.
        #[arg(long, value_name = "TEXT")]
        purpose: String,
    },
    /// Decide an appeal.
    Decide {
        /// Which appeal.
        id: u64,
        /// lifted (the rule counts no more), suspended (until it is decided), refused or withdrawn
        /// (the rule counts).
        status: String,
        #[command(flatten)]
        why: Why,
    },
}

impl Feed {
    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// When there is no server, it refuses, or nobody reads what is printed.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        global.formats.refuse_other(self.action.formats());
        let api = Api::open(&self.server, global)?;
        let print = global.format();
        match &self.action {
            Action::Report { name, part, to } if print == Format::Json => {
                block_on(bytes::report(&api, name, "json", part.as_deref(), to))
            }
            Action::Report { name, part, to } if global.formats.other().is_some() => {
                let format = global.formats.other().unwrap_or_default();
                block_on(bytes::report(&api, name, format, part.as_deref(), to))
            }
            Action::Export { name, version, to } => {
                let format = global.formats.other().unwrap_or("rpz");
                block_on(bytes::export(&api, name, format, *version, to))
            }
            action => {
                let format = global.formats.other();
                let stage = async || action.stage(&api).await;
                let work = action.ask(&api, format);
                let answer = block_on(followed("working 处理中", work, stage))?;
                let shown = match print {
                    Format::Json => layout::print(&answer, print),
                    Format::Text => text::of(action, &answer),
                };
                std::io::stdout().lock().write_all(shown.as_bytes())?;
                Ok(action.exit(&answer))
            }
        }
    }
}

impl Action {
    /// The words of `--format` besides text and json.
    const fn formats(&self) -> &'static [&'static str] {
        match self {
            Self::Add { .. } | Self::Change { .. } => &LIST_FORMATS,
            Self::Export { .. } => &EXPORT_FORMATS,
            Self::Report { .. } => &REPORT_FORMATS,
            _ => &[],
        }
    }

    /// A version that was fetched and could not be taken is a failure; one that waits for
    /// approval is none.
    fn exit(&self, answer: &Value) -> Exit {
        let fetched = matches!(self, Self::Refresh { .. } | Self::Apply { .. });
        if fetched && answer["outcome"] == "failed" { Exit::Failed } else { Exit::Ok }
    }
}
