//! Counters, gauges and histograms: handles made once, handed on as `Arc<Metrics>`.
//!
//! No label ever holds a name asked, a client or a code: whoever may read `/metrics` learns how
//! much, never who or what. A counter costs one atomic addition; histograms allocate now and then
//! and stay off the UDP path.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Bounds of every `_seconds` histogram.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Every measure we keep.
pub struct Metrics {
    /// DNS listeners and resolver.
    pub dns: DnsMetrics,
    /// Jumps.
    pub gateway: GatewayMetrics,
    /// The spool.
    pub spool: SpoolMetrics,
    /// Shipping, the store, the engine.
    pub store: StoreMetrics,
    /// Feeds and rules.
    pub feeds: FeedsMetrics,
    /// The API and looks at the records.
    pub api: ApiMetrics,
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

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

/// Jumps.
pub struct GatewayMetrics {
    /// Visitors sent on.
    pub jumps: Counter,
    /// Unknown codes.
    pub unknown: Counter,
    /// Disabled or expired links.
    pub gone: Counter,
    /// Jumps stopped, by policy or for want of room to record them.
    pub stopped: Counter,
    /// Requests that are no jump.
    pub malformed: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// From a request to its response.
    pub jump_seconds: Histogram,
    /// Links created or changed.
    pub conversions: Counter,
}

/// The spool.
pub struct SpoolMetrics {
    /// Rows served but only counted in a gap row.
    pub shed: Counter,
    /// Bytes of all segments, copies of frames set aside and damaged segments kept for people.
    pub disk_bytes: Gauge,
    /// Rows not yet acknowledged.
    pub pending_rows: Gauge,
    /// The age of the oldest row not yet acknowledged.
    pub oldest_seconds: Gauge,
    /// Frames set aside until they are released by hand.
    pub quarantined: Gauge,
}

/// Shipping, the store, the engine.
pub struct StoreMetrics {
    /// Shipments acknowledged.
    pub shipments: Counter,
    /// Rows in them.
    pub rows: Counter,
    /// Attempts that failed because the store is down.
    pub down: Counter,
    /// Shipments whose outcome had to be counted.
    pub doubt: Counter,
    /// Frames the store will never take.
    pub never: Counter,
    /// From an INSERT to its answer.
    pub insert_seconds: Histogram,
    /// Rows found more than once: always 0, or something is very wrong.
    pub doubled: Counter,
    /// Bytes of our tables in the store.
    pub disk_bytes: Gauge,
    /// 1 while nothing is shipped, because the store is full or another node has our name.
    pub held: Gauge,
    /// 1 while the store answers.
    pub up: Gauge,
    /// Starts of the engine after the first.
    pub engine_restarts: Counter,
    /// Partitions dropped after their retention.
    pub partitions_dropped: Counter,
}

/// Feeds and rules.
pub struct FeedsMetrics {
    /// Rules in force.
    pub rules: Gauge,
    /// What they take of memory, in bytes.
    pub rules_bytes: Gauge,
    /// Feeds in force, own rules included.
    pub feeds: Gauge,
    /// Changes of the set in force.
    pub swaps: Counter,
}

/// One feed.
pub struct FeedMetrics {
    /// Rules in force.
    pub rules: Gauge,
    /// The version in force.
    pub version: Gauge,
    /// Versions received.
    pub versions: Counter,
    /// Sources that gave nothing usable, and versions that cannot be read.
    pub failures: Counter,
    /// Since its source was last reached, in seconds.
    pub refreshed_seconds: Gauge,
    /// 1 while what it declares for that is in force because nobody has confirmed its version for too
    /// long.
    pub expired: Gauge,
    /// Bytes of lists received.
    pub received_bytes: Counter,
    /// What the last look at its source took, in seconds.
    pub look_seconds: Gauge,
    /// The serial of the zone that it was transferred as last.
    pub serial: Gauge,
}

/// One zone that others take from us.
pub struct TransferOutMetrics {
    /// Transfers.
    pub transfers: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// What the last one took, in seconds.
    pub seconds: Gauge,
    /// The serial that was sent last.
    pub serial: Gauge,
}

/// The API and looks at the records.
pub struct ApiMetrics {
    /// Requests answered with success.
    pub ok: Counter,
    /// Requests refused for what they ask.
    pub refused: Counter,
    /// Requests without a valid token or right.
    pub unauthorized: Counter,
    /// Requests that failed on our side.
    pub failed: Counter,
    /// 1 while links and tokens cannot be changed, until a restart.
    pub control_failed: Gauge,
    /// Looks at the records.
    pub accesses: Counter,
    /// From a question to its page.
    pub trace_seconds: Histogram,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All handles, at zero.
    pub fn new() -> Arc<Self> {
        // The only failure is an empty list of bounds.
        let builder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let make = Make(&recorder);
        Arc::new(Self {
            dns: DnsMetrics::new(&make),
            gateway: GatewayMetrics::new(&make),
            spool: SpoolMetrics::new(&make),
            store: StoreMetrics::new(&make),
            feeds: FeedsMetrics::new(&make),
            api: ApiMetrics::new(&make),
            handle,
            recorder: Arc::new(recorder),
        })
    }

    /// Lets libraries that use the `metrics` facade count here too. Once per process, by `main`'s
    /// long-running commands; later calls change nothing.
    pub fn install(&self) {
        if metrics::set_global_recorder(Arc::clone(&self.recorder)).is_err() {
            tracing::warn!("the recorder of measures was installed twice");
        }
    }

    /// Answers and jumps that rules of `feed` decided with `action`. One handle per feed and action;
    /// feeds' names are the operator's words, and as many as there are feeds.
    pub fn decisions(&self, feed: &str, action: &'static str) -> Counter {
        let name = "tracegate_policy_decisions_total";
        let help = "Answers and jumps that a rule decided";
        self.of_feed(name, help, feed, Some(Label::new("action", action)))
    }

    /// Answers for which rules of `feed` by name server could not be evaluated, because nobody told
    /// us the servers.
    pub fn not_evaluable(&self, feed: &str) -> Counter {
        let name = "tracegate_policy_not_evaluable_total";
        let help = "Answers whose name servers are not known, so that rules about them had no say";
        self.of_feed(name, help, feed, None)
    }

    /// Looks at the source of `feed` that came to `outcome`: `new`, `same`, `failed` or `busy`.
    pub fn looks(&self, feed: &str, outcome: &'static str) -> Counter {
        let name = "tracegate_feed_looks_total";
        let help = "Looks at the source, transfers included";
        self.of_feed(name, help, feed, Some(Label::new("outcome", outcome)))
    }

    /// The handles of one zone that we share; `outcome` is `whole`, `differences` or `failed`. Zones
    /// are as many as feeds, and named by operators.
    pub fn transfer_out(&self, zone: &str, outcome: &'static str) -> TransferOutMetrics {
        TransferOutMetrics::new(&self.recorder, zone, outcome)
    }

    fn of_feed(
        &self,
        name: &'static str,
        help: &'static str,
        feed: &str,
        more: Option<Label>,
    ) -> Counter {
        self.recorder.describe_counter(KeyName::from(name), None, help.into());
        let labels: Vec<_> =
            std::iter::once(Label::new("feed", feed.to_owned())).chain(more).collect();
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    /// The handles of one feed. Feeds are few and named by operators (`feeds.feeds_max`).
    pub fn feed(&self, name: &str) -> FeedMetrics {
        FeedMetrics::new(&Make(&self.recorder), name)
    }

    /// The Prometheus text of everything.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what histograms gathered; call every few seconds, or they grow until rendered.
    pub fn maintain(&self) {
        self.handle.run_upkeep();
    }
}

/// Makes handles under the prefix `tracegate_`.
struct Make<'a>(&'a PrometheusRecorder);

const METADATA: Metadata<'static> = Metadata::new("tracegate", Level::INFO, None);

impl Make<'_> {
    fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.labelled(name, help, None)
    }

    fn labelled(
        &self,
        name: &'static str,
        help: &'static str,
        label: Option<(&'static str, &'static str)>,
    ) -> Counter {
        self.0.describe_counter(KeyName::from(name), None, help.into());
        let labels: Vec<Label> = label.map(|(k, v)| Label::new(k, v)).into_iter().collect();
        self.0.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.0.describe_gauge(KeyName::from(name), None, help.into());
        self.0.register_gauge(&Key::from_name(name), &METADATA)
    }

    fn of_feed(&self, name: &'static str, help: &'static str, feed: &str) -> Counter {
        self.0.describe_counter(KeyName::from(name), None, help.into());
        let labels = vec![Label::new("feed", feed.to_owned())];
        self.0.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn of_feed_gauge(&self, name: &'static str, help: &'static str, feed: &str) -> Gauge {
        self.0.describe_gauge(KeyName::from(name), None, help.into());
        let labels = vec![Label::new("feed", feed.to_owned())];
        self.0.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        self.0.describe_histogram(KeyName::from(name), None, help.into());
        self.0.register_histogram(&Key::from_name(name), &METADATA)
    }
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
    fn new(m: &Make<'_>) -> Self {
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

impl GatewayMetrics {
    fn new(m: &Make<'_>) -> Self {
        Self {
            jumps: m.counter("tracegate_gateway_jumps_total", "Visitors sent on"),
            unknown: m.counter("tracegate_gateway_unknown_total", "Unknown codes"),
            gone: m.counter("tracegate_gateway_gone_total", "Disabled or expired links"),
            stopped: m.counter(
                "tracegate_gateway_stopped_total",
                "Jumps stopped, by policy or for want of room to record them",
            ),
            malformed: m.counter("tracegate_gateway_malformed_total", "Requests that are no jump"),
            connections: m.gauge("tracegate_gateway_connections", "Open connections"),
            jump_seconds: m
                .histogram("tracegate_gateway_jump_seconds", "From a request to its response"),
            conversions: m
                .counter("tracegate_gateway_conversions_total", "Links created or changed"),
        }
    }
}

impl SpoolMetrics {
    fn new(m: &Make<'_>) -> Self {
        Self {
            shed: m
                .counter("tracegate_spool_shed_total", "Rows served but only counted in a gap row"),
            disk_bytes: m.gauge(
                "tracegate_spool_disk_bytes",
                "Bytes of all segments, of copies of frames set aside and of damaged ones kept",
            ),
            pending_rows: m.gauge("tracegate_spool_pending_rows", "Rows not yet acknowledged"),
            oldest_seconds: m.gauge(
                "tracegate_spool_oldest_seconds",
                "The age of the oldest row not yet acknowledged",
            ),
            quarantined: m.gauge(
                "tracegate_spool_quarantined",
                "Frames set aside until they are released by hand",
            ),
        }
    }
}

impl StoreMetrics {
    fn new(m: &Make<'_>) -> Self {
        Self {
            shipments: m.counter("tracegate_store_shipments_total", "Shipments acknowledged"),
            rows: m.counter("tracegate_store_rows_total", "Rows in them"),
            down: m.counter(
                "tracegate_store_down_total",
                "Attempts that failed because the store is down",
            ),
            doubt: m.counter(
                "tracegate_store_doubt_total",
                "Shipments whose outcome had to be counted",
            ),
            never: m.counter("tracegate_store_never_total", "Frames the store will never take"),
            insert_seconds: m
                .histogram("tracegate_store_insert_seconds", "From an INSERT to its answer"),
            doubled: m.counter(
                "tracegate_store_doubled_total",
                "Rows found more than once: always 0, or something is very wrong",
            ),
            disk_bytes: m.gauge("tracegate_store_disk_bytes", "Bytes of our tables in the store"),
            held: m.gauge(
                "tracegate_store_held",
                "1 while nothing is shipped: the store is full, or another node has our name",
            ),
            up: m.gauge("tracegate_store_up", "1 while the store answers"),
            engine_restarts: m.counter(
                "tracegate_store_engine_restarts_total",
                "Starts of the engine after the first",
            ),
            partitions_dropped: m.counter(
                "tracegate_store_partitions_dropped_total",
                "Partitions dropped after their retention",
            ),
        }
    }
}

impl FeedsMetrics {
    fn new(m: &Make<'_>) -> Self {
        Self {
            rules: m.gauge("tracegate_feeds_rules", "Rules in force"),
            rules_bytes: m.gauge("tracegate_feeds_rules_bytes", "What they take of memory"),
            feeds: m.gauge("tracegate_feeds", "Feeds in force, own rules included"),
            swaps: m.counter("tracegate_feeds_swaps_total", "Changes of the set in force"),
        }
    }
}

impl FeedMetrics {
    fn new(m: &Make<'_>, feed: &str) -> Self {
        Self {
            rules: m.of_feed_gauge("tracegate_feed_rules", "Rules in force", feed),
            version: m.of_feed_gauge("tracegate_feed_version", "The version in force", feed),
            versions: m.of_feed("tracegate_feed_versions_total", "Versions received", feed),
            failures: m.of_feed(
                "tracegate_feed_failures_total",
                "Sources that gave nothing usable, and versions that cannot be read",
                feed,
            ),
            refreshed_seconds: m.of_feed_gauge(
                "tracegate_feed_refreshed_seconds",
                "Since its source was last reached",
                feed,
            ),
            expired: m.of_feed_gauge(
                "tracegate_feed_expired",
                "1 while its version counts as one that cannot be loaded: not confirmed for too long",
                feed,
            ),
            received_bytes: m.of_feed(
                "tracegate_feed_received_bytes_total",
                "Bytes of lists received",
                feed,
            ),
            look_seconds: m.of_feed_gauge(
                "tracegate_feed_look_seconds",
                "What the last look at its source took",
                feed,
            ),
            serial: m.of_feed_gauge(
                "tracegate_feed_serial",
                "The serial of the zone that it was transferred as last",
                feed,
            ),
        }
    }
}

impl TransferOutMetrics {
    fn new(recorder: &PrometheusRecorder, zone: &str, outcome: &'static str) -> Self {
        let labels = |outcome: Option<&'static str>| {
            let zone = std::iter::once(Label::new("zone", zone.to_owned()));
            zone.chain(outcome.map(|o| Label::new("outcome", o))).collect::<Vec<_>>()
        };
        let counter = |name: &'static str, help: &'static str, labels: Vec<Label>| {
            recorder.describe_counter(KeyName::from(name), None, help.into());
            recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
        };
        let gauge = |name: &'static str, help: &'static str| {
            recorder.describe_gauge(KeyName::from(name), None, help.into());
            recorder.register_gauge(&Key::from_parts(name, labels(None)), &METADATA)
        };
        Self {
            transfers: counter(
                "tracegate_transfers_out_total",
                "Transfers of a shared zone to secondaries",
                labels(Some(outcome)),
            ),
            bytes: counter(
                "tracegate_transfers_out_bytes_total",
                "Bytes sent in them",
                labels(None),
            ),
            seconds: gauge("tracegate_transfer_out_seconds", "What the last one took"),
            serial: gauge("tracegate_transfer_out_serial", "The serial that was sent last"),
        }
    }
}

impl ApiMetrics {
    fn new(m: &Make<'_>) -> Self {
        Self {
            ok: m.counter("tracegate_api_ok_total", "Requests answered with success"),
            refused: m.counter("tracegate_api_refused_total", "Requests refused for what they ask"),
            unauthorized: m.counter(
                "tracegate_api_unauthorized_total",
                "Requests without a valid token or right",
            ),
            failed: m.counter("tracegate_api_failed_total", "Requests that failed on our side"),
            control_failed: m.gauge(
                "tracegate_control_failed",
                "1 while links and tokens cannot be changed, until a restart",
            ),
            accesses: m.counter("tracegate_api_accesses_total", "Looks at the records"),
            trace_seconds: m
                .histogram("tracegate_api_trace_seconds", "From a question to its page"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_was_counted() {
        let metrics = Metrics::new();
        metrics.dns.queries_udp.increment(3);
        metrics.store.up.set(1.0);
        metrics.api.trace_seconds.record(0.02);
        let text = metrics.render();
        for line in [
            "tracegate_dns_queries_total{transport=\"udp\"} 3",
            "tracegate_dns_queries_total{transport=\"tcp\"} 0",
            "tracegate_store_up 1",
            "tracegate_api_trace_seconds_bucket{le=\"0.025\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "no line {line:?} in:\n{text}");
        }
    }
}
