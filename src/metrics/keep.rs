//! What the spool and the store count.

use metrics::{Counter, Gauge, Histogram};

use super::make::Make;

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

impl SpoolMetrics {
    pub(super) fn new(m: &Make<'_>) -> Self {
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
    pub(super) fn new(m: &Make<'_>) -> Self {
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
