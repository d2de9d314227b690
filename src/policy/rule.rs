//! Rules: what triggers them, what they do, and the law behind them.
//!
//! The words are those of response policy zones (draft-vixie-dnsop-dns-rpz); what RPZ cannot say
//! (who ordered a rule, from when until when it counts) is [`Legal`].

use std::sync::Arc;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, name::Name};

/// A name, or everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamePattern {
    /// In lower case.
    pub name: Name,
    /// Whether `*.name` was listed: every name below `name`, not itself (RPZ §4.2).
    pub wildcard: bool,
}

/// What part of a URL a rule lists. Host and path are canonical as the Safe Browsing API v5 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UrlKind {
    /// `host`: every URL of this host and the hosts below it.
    Host,
    /// `host/path/`: every URL of this host, and of those below it, in this directory; without the
    /// slash at its end, the URLs with this path, whatever their query.
    Prefix,
    /// The same as [`UrlKind::Prefix`] whatever the case of its letters; its text is in lower case.
    PrefixAnyCase,
    /// `host/path?query`: this URL alone.
    Exact,
    /// The same as [`UrlKind::Exact`] whatever the case of its letters; its text is in lower case.
    ExactAnyCase,
}

impl UrlKind {
    /// What its rules begin with as text.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Host => "url-host:",
            Self::Prefix => "url-prefix:",
            Self::PrefixAnyCase => "url-prefix-nocase:",
            Self::Exact => "url:",
            Self::ExactAnyCase => "url-nocase:",
        }
    }
}

/// What makes a rule apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A name asked, or one of the chain of aliases it leads through.
    Qname(NamePattern),
    /// Who asks.
    ClientIp(IpNet),
    /// An address in the answer, address hints of HTTPS and SVCB records included.
    ResponseIp(IpNet),
    /// The name of a server that is authoritative for a name of the chain.
    Nsdname(NamePattern),
    /// The address of such a server.
    Nsip(IpNet),
    /// The target of a jump.
    Url(UrlKind, Box<str>),
    /// The code of a link.
    Code(Box<str>),
}

/// A record that a rule answers with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalRecord {
    /// The type.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// The data, names in it uncompressed.
    pub rdata: Box<[u8]>,
}

/// What a rule does to an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Answer that the name does not exist.
    Nxdomain,
    /// Answer that the name has no such data.
    Nodata,
    /// Answer as if there were no rule.
    Passthru,
    /// Do not answer.
    Drop,
    /// Answer over UDP with TC set and nothing else.
    TcpOnly,
    /// Answer with the rule's own records; NODATA for types it has none of.
    LocalData(Arc<[LocalRecord]>),
    /// Answer with an alias to this name, in lower-case wire form, and what it leads to.
    Cname(Arc<[u8]>),
    /// The same with the name asked before this one: `CNAME *.garden`.
    CnameBelow(Arc<[u8]>),
}

impl Action {
    /// The value of the column `action`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Nxdomain => "nxdomain",
            Self::Nodata => "nodata",
            Self::Passthru => "passthru",
            Self::Drop => "drop",
            Self::TcpOnly => "tcp-only",
            Self::LocalData(_) => "local-data",
            Self::Cname(_) | Self::CnameBelow(_) => "cname",
        }
    }
}

/// What being listed means (weak hint, strong hint, forced blocking).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Tier {
    /// The answer stands and is recorded.
    Hint,
    /// A rewrite to the gateway where that is enabled; else as a hint.
    Interstitial,
    /// The rule's action.
    Block,
}

impl Tier {
    /// The value of the column `tier`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Interstitial => "interstitial",
            Self::Block => "block",
        }
    }

    /// The tier of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Hint, Self::Interstitial, Self::Block].into_iter().find(|t| t.name() == name)
    }
}

/// What the law wants known of a rule. Whatever a list does not say is empty, or what the feed says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Legal {
    /// Who ordered it.
    pub authority: Box<str>,
    /// The order's number.
    pub order_number: Box<str>,
    /// The reason, as the authority writes it: a code or words.
    pub reason: Box<str>,
    /// The class of content: one of [`super::CONTENT_CLASSES`], or empty.
    pub content_class: Box<str>,
    /// What being listed means; the feed's tier where none is given.
    pub tier: Option<Tier>,
    /// When the order was made; [`Timestamp::ZERO`] for unknown, here and below.
    pub issued_at: Timestamp,
    /// From when on the rule counts; [`Timestamp::ZERO`] for from the beginning.
    pub effective_from: Timestamp,
    /// Until when it counts; [`Timestamp::ZERO`] for without end.
    pub expires_at: Timestamp,
    /// By when it must be in force.
    pub due_at: Timestamp,
    /// Who approved it.
    pub approver: Box<str>,
    /// Where the evidence is.
    pub evidence: Box<str>,
}

impl Legal {
    /// Whether the rule counts at `now`.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.effective_from <= now && (self.expires_at == Timestamp::ZERO || now < self.expires_at)
    }
}

/// One rule as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What makes it apply. Unique within one version of a feed.
    pub trigger: Trigger,
    /// What it does.
    pub action: Action,
    /// The law behind it; shared by rules that have the same.
    pub legal: Arc<Legal>,
}
