//! Counters, gauges and histograms: handles made once, handed on as `Arc<Metrics>`.
//!
//! No label ever holds a name asked, a client or a code: whoever may read `/metrics` learns how
//! much, never who or what. A counter costs one atomic addition; histograms allocate now and then
//! and stay off the UDP path.

mod dns;
mod feeds;
mod keep;
mod make;
mod web;

use std::sync::Arc;

use metrics::{Counter, Key, KeyName, Label, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::make::{METADATA, Make};
pub use self::{
    dns::DnsMetrics,
    feeds::{FeedMetrics, FeedsMetrics, TransferOutMetrics},
    keep::{SpoolMetrics, StoreMetrics},
    web::{ApiMetrics, GatewayMetrics, WebhookMetrics},
};

/// Bounds of every `_seconds` histogram.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Every measure we keep.
pub struct Metrics {
    /// DNS listeners and resolver.
    pub dns: DnsMetrics,
    /// Jumps.
    pub gateway: GatewayMetrics,
    /// Changes told to those who asked for them.
    pub webhooks: WebhookMetrics,
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
            webhooks: WebhookMetrics::new(&make),
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
