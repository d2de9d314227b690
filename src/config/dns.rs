//! `[dns]`: listeners, access control, zones, upstreams, cache.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// The DNS side.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Addresses served over UDP and TCP; empty turns DNS off. One socket each: replies leave from
    /// the address asked, so wildcard addresses are refused.
    pub listen: Vec<SocketAddr>,
    /// UDP threads; 0 for one per core.
    pub udp_threads: usize,
    /// Who may ask; others get REFUSED with EDE 18.
    pub allow: Vec<IpNet>,
    /// The largest UDP response, in bytes.
    pub udp_payload_max: u16,
    /// Datagrams received or sent by one system call.
    pub udp_batch_max: usize,
    /// Room for datagrams not yet read, per UDP socket, in bytes; the kernel lowers it to
    /// `net.core.rmem_max`. What does not fit is dropped by the kernel and counted.
    pub udp_receive_buffer_bytes: usize,
    /// Questions waiting for an upstream, per UDP thread; beyond it SERVFAIL.
    pub misses_max: usize,
    /// TCP connections at once; beyond it the one idle for longest is closed.
    pub tcp_connections_max: usize,
    /// Questions of one TCP connection at once; beyond it no more are read.
    pub tcp_pipeline_max: usize,
    /// A TCP connection without a query is closed after this, in milliseconds.
    pub tcp_idle_timeout_ms: u64,
    /// The name server identifier (RFC 5001); empty for the node's name, `off` for none.
    pub nsid: String,
    /// Where zone files may lie; `file` keys are relative to it and stay below it.
    pub zone_root: PathBuf,
    /// Zones served from files.
    pub zones: Vec<Zone>,
    /// Records over all zones.
    pub zone_records_max: usize,
    /// Questions outside our zones go here.
    pub upstream: Upstream,
    /// The answer cache's size, in bytes.
    pub cache_bytes_max: u64,
    /// The longest a positive answer is kept, in seconds.
    pub cache_ttl_max_s: u32,
    /// The longest a negative answer is kept, in seconds (RFC 2308 §5).
    pub cache_negative_ttl_max_s: u32,
    /// How long a failure is kept, in seconds (RFC 9520 §3.2: 1 to 300).
    pub cache_failure_ttl_s: u32,
    /// How long after its time an answer may still name a jump's addresses, in seconds.
    pub cache_stale_max_s: u32,
    /// Names in one chain of CNAME or DNAME records.
    pub cname_chain_max: usize,
    /// Presentation text of other records than addresses kept in one record, in bytes.
    pub record_data_bytes_max: usize,
    /// Response rate limit.
    pub rate_limit: RateLimit,
    /// A public suffix list that overrides the embedded one.
    pub public_suffix_file: Option<PathBuf>,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// The apex.
    pub name: String,
    /// The file, below `dns.zone_root`.
    pub file: PathBuf,
}

/// Where questions outside our zones go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// `forward`, or `off` to answer from our zones only.
    pub mode: UpstreamMode,
    /// Resolvers; empty for those of `resolv_conf`.
    pub servers: Vec<SocketAddr>,
    /// Read when `servers` is empty.
    pub resolv_conf: PathBuf,
    /// The longest wait for an answer, in milliseconds.
    pub timeout_ms: u64,
    /// Questions in flight over all clients.
    pub in_flight_max: usize,
}

/// How questions outside our zones are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamMode {
    /// By asking resolvers.
    Forward,
    /// With REFUSED.
    Off,
}

/// Response rate limit per client prefix over UDP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Responses a second per prefix; 0 for no limit.
    pub responses_per_second: u32,
    /// Every n-th response over the limit is sent truncated, so that real clients turn to TCP; 0
    /// drops all.
    pub slip: u32,
    /// The IPv4 prefix counted together, in bits.
    pub ipv4_prefix: u8,
    /// The IPv6 prefix counted together, in bits.
    pub ipv6_prefix: u8,
    /// Prefixes remembered per UDP thread.
    pub table_max: usize,
    /// Prefixes never limited.
    pub exempt: Vec<IpNet>,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("dns.udp_threads", 0, 1_024),
    limits("dns.udp_payload_max", 512, 4_096),
    limits("dns.udp_batch_max", 1, 1_024),
    limits("dns.udp_receive_buffer_bytes", 4_096, 1 << 30),
    limits("dns.misses_max", 1, 1 << 20),
    limits("dns.tcp_connections_max", 1, 1 << 20),
    limits("dns.tcp_pipeline_max", 1, 65_536),
    limits("dns.tcp_idle_timeout_ms", 100, 600_000),
    limits("dns.zone_records_max", 1, 1 << 30),
    limits("dns.cache_bytes_max", 1 << 20, 1 << 40),
    limits("dns.cache_ttl_max_s", 0, 604_800),
    limits("dns.cache_negative_ttl_max_s", 0, 10_800),
    limits("dns.cache_failure_ttl_s", 1, 300),
    limits("dns.cache_stale_max_s", 0, 604_800),
    limits("dns.cname_chain_max", 1, 255),
    limits("dns.record_data_bytes_max", 256, 65_536),
    limits("dns.upstream.timeout_ms", 100, 60_000),
    limits("dns.upstream.in_flight_max", 1, 1 << 20),
    limits("dns.rate_limit.responses_per_second", 0, 1_000_000),
    limits("dns.rate_limit.slip", 0, 100),
    limits("dns.rate_limit.ipv4_prefix", 1, 32),
    limits("dns.rate_limit.ipv6_prefix", 1, 128),
    limits("dns.rate_limit.table_max", 1, 1 << 24),
];

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53)],
            udp_threads: 0,
            allow: private_ranges(),
            udp_payload_max: 1232,
            udp_batch_max: 32,
            udp_receive_buffer_bytes: 4 << 20,
            misses_max: 4096,
            tcp_connections_max: 1024,
            tcp_pipeline_max: 64,
            tcp_idle_timeout_ms: 10_000,
            nsid: String::new(),
            zone_root: "./zones".into(),
            zones: Vec::new(),
            zone_records_max: 10_000_000,
            upstream: Upstream::default(),
            cache_bytes_max: 256 << 20,
            cache_ttl_max_s: 86_400,
            cache_negative_ttl_max_s: 3_600,
            cache_failure_ttl_s: 5,
            cache_stale_max_s: 86_400,
            cname_chain_max: 16,
            record_data_bytes_max: 16_384,
            rate_limit: RateLimit::default(),
            public_suffix_file: None,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            mode: UpstreamMode::Forward,
            servers: Vec::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            timeout_ms: 4_000,
            in_flight_max: 16_384,
        }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            responses_per_second: 1_000,
            slip: 2,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            table_max: 65_536,
            exempt: vec![net("127.0.0.0/8"), net("::1/128")],
        }
    }
}

fn private_ranges() -> Vec<IpNet> {
    let all = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    ];
    all.into_iter().map(net).collect()
}

#[expect(clippy::expect_used, reason = "literals above, each covered by the default's test")]
fn net(s: &str) -> IpNet {
    s.parse().expect("a literal prefix")
}
