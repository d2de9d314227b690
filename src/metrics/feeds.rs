//! What feeds count, together and each, and the zones that others take from us.

use metrics::{Counter, Gauge, Key, KeyName, Label, Recorder as _};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::make::{METADATA, Make};

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
    /// Records of changes that wait until the spool has room.
    pub records_waiting: Gauge,
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

impl FeedsMetrics {
    pub(super) fn new(m: &Make<'_>) -> Self {
        Self {
            rules: m.gauge("tracegate_feeds_rules", "Rules in force"),
            rules_bytes: m.gauge("tracegate_feeds_rules_bytes", "What they take of memory"),
            feeds: m.gauge("tracegate_feeds", "Feeds in force, own rules included"),
            swaps: m.counter("tracegate_feeds_swaps_total", "Changes of the set in force"),
            records_waiting: m.gauge(
                "tracegate_feeds_records_waiting",
                "Records of changes in force that wait until the spool has room",
            ),
        }
    }
}

impl FeedMetrics {
    pub(super) fn new(m: &Make<'_>, feed: &str) -> Self {
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
    pub(super) fn new(recorder: &PrometheusRecorder, zone: &str, outcome: &'static str) -> Self {
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
