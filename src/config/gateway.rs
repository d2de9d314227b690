//! `[gateway]` and `[api]`: the two HTTP listeners, links and their targets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{
    Acme, ApiLimits, Certificate, JumpLimits, Notices, Outbound, Reports, SecurityTxt, Walks,
    listen,
    ranges::{Limits, limits},
};

/// The jump side.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// The address served; `off` turns the gateway off.
    #[serde(with = "listen")]
    pub listen: Option<SocketAddr>,
    /// The address served over TLS; `off` for none.
    #[serde(with = "listen")]
    pub tls_listen: Option<SocketAddr>,
    /// How often the files of certificates are looked at, in milliseconds.
    pub certificates_poll_ms: u64,
    /// HTTP threads; 0 for one per core.
    pub threads: usize,
    /// What short URLs begin with; `http://<listen>` when empty. Its host is our own: no link may
    /// point to it.
    pub public_url: String,
    /// Other hosts that are our own.
    pub own_hosts: Vec<String>,
    /// Hosts that links may be served at alone, besides those of `public_url`; they are our own.
    pub domains: Vec<String>,
    /// The wait for a target's addresses at the jump, in milliseconds.
    pub resolve_timeout_ms: u64,
    /// A target that could not be resolved in time: jump all the same, or stop.
    pub on_unresolved: OnUnresolved,
    /// Whom to tell of abuse, besides `/report`: `mailto:`, `https:` or `tel:`; empty for nobody.
    pub abuse_contact: String,
    /// Connections at once.
    pub connections_max: usize,
    /// A connection without a request is closed after this, in milliseconds.
    pub idle_timeout_ms: u64,
    /// The wait for a whole request head, in milliseconds.
    pub header_timeout_ms: u64,
    /// The largest request head, in bytes.
    pub header_bytes_max: usize,
    /// Links kept in memory, in bytes.
    pub link_cache_bytes_max: u64,
    /// Connections to the control database for reading.
    pub link_readers_max: usize,
    /// The length of new codes.
    pub code_length: u8,
    /// Forwards of hosts that no zone of ours holds.
    pub foreign_forwards: ForeignForwards,
    /// The way from one of our links to another may be this long; also the largest
    /// `Tracegate-Hop` that is served.
    pub hops_max: u8,
    /// Whether crawlers may follow links (robots.txt); those that show previews always may.
    pub allow_crawlers: bool,
    /// Links with a limit of visits that are counted in memory.
    pub visit_leases_max: usize,
    /// Visits of a link taken from the database at a time, at most.
    pub visit_portion_max: u32,
    /// How often links are looked for whose end has come, in milliseconds.
    pub expire_interval_ms: u64,
    /// What a target may be.
    pub targets: Targets,
    /// How much a visitor may ask.
    pub limits: JumpLimits,
    /// Whom to tell of a weakness.
    pub security_txt: SecurityTxt,
    /// Warnings that visitors see.
    pub notices: Notices,
    /// Pages that visitors leave other sites through.
    pub outbound: Outbound,
    /// Reports and appeals by the public.
    pub reports: Reports,
    /// Where targets lead.
    pub walks: Walks,
    /// What it proves itself with over TLS.
    pub certificates: Vec<Certificate>,
    /// The section `[gateway.acme]`.
    pub acme: Acme,
}

/// Forwards of hosts that no zone of ours holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignForwards {
    /// May be made: somebody else's zone points them at us.
    Allow,
    /// Are refused.
    Refuse,
}

/// A target that could not be resolved in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnresolved {
    /// Jump, with outcome `unresolved`.
    Jump,
    /// Answer 503, with outcome `unresolved`.
    Stop,
}

/// What happens at a jump that a rule of targets is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTarget {
    /// Jump, and record the reason.
    Jump,
    /// Stop with 403, and record the reason.
    Stop,
}

/// What a target may be.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Targets {
    /// The longest target, in bytes.
    pub length_max: usize,
    /// Whether a host may be an IP address.
    pub allow_ip_literal: bool,
    /// Whether a host may be special-purpose (RFC 6761: `localhost`, `.test`, …).
    pub allow_special_host: bool,
    /// Special-purpose hosts (and everything below) that are allowed all the same.
    pub special_hosts: Vec<String>,
    /// Whether a user name may stand before a host.
    pub allow_user_info: bool,
    /// A host that leads to a special-purpose address at the jump.
    pub special_addresses: OnTarget,
    /// A target without TLS when short URLs have it; to stop it, none can be made either.
    pub scheme_downgrade: OnTarget,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The address served; `off` turns the API off.
    #[serde(with = "listen")]
    pub listen: Option<SocketAddr>,
    /// `Host` values accepted besides the listening address and `localhost`.
    pub hosts: Vec<String>,
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// The wait for a whole request head, in milliseconds.
    pub header_timeout_ms: u64,
    /// The wait for a whole request, in milliseconds.
    pub request_timeout_ms: u64,
    /// The same of those that fetch, read and judge a list, in milliseconds.
    pub work_timeout_ms: u64,
    /// A connection on which nothing moves is closed after this, in milliseconds.
    pub idle_timeout_ms: u64,
    /// The largest request head, in bytes.
    pub header_bytes_max: usize,
    /// The longest owner and reason of a link, in bytes.
    pub note_bytes_max: usize,
    /// Tags of a link.
    pub tags_max: usize,
    /// Links on one page.
    pub links_max: usize,
    /// Links in one bulk request.
    pub bulk_items_max: usize,
    /// Revisions of a link on one page.
    pub revisions_max: usize,
    /// Versions in a feed's report, the newest.
    pub report_versions_max: usize,
    /// Rejected entries in a feed's report.
    pub report_rejected_max: usize,
    /// Tokens at once, besides the operator's own.
    pub tokens_max: usize,
    /// Fair use.
    pub limits: ApiLimits,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("gateway.threads", 0, 1_024),
    limits("gateway.certificates_poll_ms", 100, 3_600_000),
    limits("gateway.resolve_timeout_ms", 1, 60_000),
    limits("gateway.connections_max", 1, 1 << 20),
    limits("gateway.idle_timeout_ms", 100, 600_000),
    limits("gateway.header_timeout_ms", 100, 600_000),
    limits("gateway.header_bytes_max", 8_192, 1 << 20),
    limits("gateway.link_cache_bytes_max", 1 << 20, 1 << 40),
    limits("gateway.link_readers_max", 1, 64),
    limits("gateway.code_length", 4, 10),
    limits("gateway.hops_max", 1, 20),
    limits("gateway.visit_leases_max", 1, 1 << 30),
    limits("gateway.visit_portion_max", 1, 1_000_000),
    limits("gateway.expire_interval_ms", 100, 3_600_000),
    limits("gateway.targets.length_max", 64, 65_536),
    limits("api.body_bytes_max", 1_024, 1 << 30),
    limits("api.connections_max", 1, 1 << 20),
    limits("api.header_timeout_ms", 100, 600_000),
    limits("api.request_timeout_ms", 100, 600_000),
    limits("api.work_timeout_ms", 100, 3_600_000),
    limits("api.idle_timeout_ms", 100, 600_000),
    limits("api.header_bytes_max", 8_192, 1 << 20),
    limits("api.note_bytes_max", 64, 65_536),
    limits("api.tags_max", 0, 1_000),
    limits("api.links_max", 1, 10_000),
    limits("api.bulk_items_max", 1, 1_000_000),
    limits("api.revisions_max", 1, 100_000),
    limits("api.report_versions_max", 1, 100_000),
    limits("api.report_rejected_max", 0, 1_000_000),
    limits("api.tokens_max", 0, 100_000),
];

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)),
            tls_listen: None,
            certificates_poll_ms: 5_000,
            threads: 0,
            public_url: String::new(),
            own_hosts: Vec::new(),
            domains: Vec::new(),
            resolve_timeout_ms: 250,
            on_unresolved: OnUnresolved::Jump,
            abuse_contact: String::new(),
            connections_max: 20_000,
            idle_timeout_ms: 60_000,
            header_timeout_ms: 10_000,
            header_bytes_max: 16_384,
            link_cache_bytes_max: 256 << 20,
            link_readers_max: 4,
            code_length: 7,
            foreign_forwards: ForeignForwards::Allow,
            hops_max: 5,
            allow_crawlers: false,
            visit_leases_max: 100_000,
            visit_portion_max: 100,
            expire_interval_ms: 10_000,
            targets: Targets::default(),
            limits: JumpLimits::default(),
            security_txt: SecurityTxt::default(),
            notices: Notices::default(),
            outbound: Outbound::default(),
            reports: Reports::default(),
            walks: Walks::default(),
            certificates: Vec::new(),
            acme: Acme::default(),
        }
    }
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            length_max: 4_096,
            allow_ip_literal: false,
            allow_special_host: false,
            special_hosts: Vec::new(),
            allow_user_info: false,
            special_addresses: OnTarget::Stop,
            scheme_downgrade: OnTarget::Jump,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081)),
            hosts: Vec::new(),
            body_bytes_max: 1 << 20,
            connections_max: 256,
            header_timeout_ms: 10_000,
            request_timeout_ms: 60_000,
            work_timeout_ms: 600_000,
            idle_timeout_ms: 60_000,
            header_bytes_max: 16_384,
            note_bytes_max: 1_024,
            tags_max: 32,
            links_max: 1_000,
            bulk_items_max: 10_000,
            revisions_max: 1_000,
            report_versions_max: 1_000,
            report_rejected_max: 10_000,
            tokens_max: 1_000,
            limits: ApiLimits::default(),
        }
    }
}
