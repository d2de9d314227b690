//! What DNS counts.

use metrics::{Counter, Gauge, Histogram};

use super::make::Make;

/// DNS listeners and resolver.
pub struct DnsMetrics {
    /// Queries over UDP with a parsed question.
    pub queries_udp: Counter,
    /// Queries over TCP with a parsed question.
    pub queries_tcp: Counter,
    /// Datagrams and messages that are no query.
    pub malformed: Counter,
    /// Queries refused by `dns.allow`.
    pub refused: Counter,
    /// Responses withheld by the rate limit.
    pub rate_limited: Counter,
    /// Responses truncated by the rate limit.
    pub slipped: Counter,
    /// Responses by response code, from NOERROR; the last stands for all above 15.
    pub responses: [Counter; 17],
    /// Queries not answered because the spool refused their record.
    pub unrecorded: Counter,
    /// Queries not answered because the client or the time to wait was gone.
    pub abandoned: Counter,
    /// Responses recorded that the kernel did not take.
    pub unsent: Counter,
    /// Datagrams that the kernel dropped because we read too slowly.
    pub overflowed: Counter,
    /// Clients' questions answered from the cache.
    pub cache_hits: Counter,
    /// Clients' questions that waited for an upstream.
    pub cache_misses: Counter,
    /// The cache's size.
    pub cache_bytes: Gauge,
    /// Queries sent to upstreams.
    pub upstream_queries: Counter,
    /// Upstream queries without a usable answer.
    pub upstream_failures: Counter,
    /// From an upstream query to its answer.
    pub upstream_seconds: Histogram,
    /// Questions turned away because too many waited.
    pub overload: Counter,
    /// Open TCP connections.
    pub tcp_connections: Gauge,
    /// Idle TCP connections closed to make room for others.
    pub tcp_evicted: Counter,
    /// Zones served.
    pub zones: Gauge,
    /// Zones whose newest file is bad: served in their last good version, or SERVFAIL.
    pub zones_bad: Gauge,
}

/// Response codes by number (RFC 6895 §2.3); unassigned ones and all above 15 by what they are.
const RCODES: [&str; 17] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "DSOTYPENI",
    "12",
    "13",
    "14",
    "15",
    "extended",
];

impl DnsMetrics {
    pub(super) fn new(m: &Make<'_>) -> Self {
        Self {
            queries_udp: m.labelled(
                "tracegate_dns_queries_total",
                "Queries with a parsed question",
                Some(("transport", "udp")),
            ),
            queries_tcp: m.labelled(
                "tracegate_dns_queries_total",
                "Queries with a parsed question",
                Some(("transport", "tcp")),
            ),
            malformed: m.counter(
                "tracegate_dns_malformed_total",
                "Datagrams and messages that are no query",
            ),
            refused: m.counter("tracegate_dns_refused_total", "Queries refused by `dns.allow`"),
            rate_limited: m.counter(
                "tracegate_dns_rate_limited_total",
                "Responses withheld by the rate limit",
            ),
            slipped: m
                .counter("tracegate_dns_slipped_total", "Responses truncated by the rate limit"),
            responses: RCODES.map(|name| {
                let label = Some(("rcode", name));
                m.labelled("tracegate_dns_responses_total", "Responses by response code", label)
            }),
            unrecorded: m.counter(
                "tracegate_dns_unrecorded_total",
                "Queries not answered because the spool refused their record",
            ),
            abandoned: m.counter(
                "tracegate_dns_abandoned_total",
                "Queries not answered because the client or the time to wait was gone",
            ),
            unsent: m.counter(
                "tracegate_dns_unsent_total",
                "Responses recorded that the kernel did not take",
            ),
            overflowed: m.counter(
                "tracegate_dns_overflowed_total",
                "Datagrams that the kernel dropped because we read too slowly",
            ),
            cache_hits: m.counter(
                "tracegate_dns_cache_hits_total",
                "Clients' questions answered from the cache",
            ),
            cache_misses: m.counter(
                "tracegate_dns_cache_misses_total",
                "Clients' questions that waited for an upstream",
            ),
            cache_bytes: m.gauge("tracegate_dns_cache_bytes", "The cache's size"),
            upstream_queries: m
                .counter("tracegate_dns_upstream_queries_total", "Queries sent to upstreams"),
            upstream_failures: m.counter(
                "tracegate_dns_upstream_failures_total",
                "Upstream queries without a usable answer",
            ),
            upstream_seconds: m.histogram(
                "tracegate_dns_upstream_seconds",
                "From an upstream query to its answer",
            ),
            overload: m.counter(
                "tracegate_dns_overload_total",
                "Questions turned away because too many waited",
            ),
            tcp_connections: m.gauge("tracegate_dns_tcp_connections", "Open TCP connections"),
            tcp_evicted: m.counter(
                "tracegate_dns_tcp_evicted_total",
                "Idle TCP connections closed to make room for others",
            ),
            zones: m.gauge("tracegate_dns_zones", "Zones served"),
            zones_bad: m.gauge(
                "tracegate_dns_zones_bad",
                "Zones whose newest file is bad: served in their last good version, or SERVFAIL",
            ),
        }
    }
}
