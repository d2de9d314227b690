-- min_binary: 0.1.0
-- What links, warnings and the ways behind targets are said to be. New columns are empty in rows
-- from before.

ALTER TABLE jumps ADD COLUMN IF NOT EXISTS service LowCardinality(String) AFTER flow;
ALTER TABLE jumps ADD COLUMN IF NOT EXISTS reason LowCardinality(String) AFTER service;
ALTER TABLE jumps ADD COLUMN IF NOT EXISTS client_class LowCardinality(String) AFTER reason;
ALTER TABLE jumps ADD COLUMN IF NOT EXISTS tier_version LowCardinality(String) AFTER client_class;

ALTER TABLE conversions ADD COLUMN IF NOT EXISTS service LowCardinality(String) AFTER flow;
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS domain String CODEC(ZSTD(1)) AFTER service;
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS state LowCardinality(String) AFTER domain;
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS settings String CODEC(ZSTD(1)) AFTER state;
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS previous String CODEC(ZSTD(1)) AFTER settings;

ALTER TABLE notices ADD COLUMN IF NOT EXISTS service LowCardinality(String) AFTER flow;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS host String CODEC(ZSTD(1)) AFTER service;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS target String CODEC(ZSTD(1)) AFTER host;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS target_registrable_domain String CODEC(ZSTD(1)) AFTER target;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS form LowCardinality(String) AFTER target_registrable_domain;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS tier_version LowCardinality(String) AFTER form;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS authority String CODEC(ZSTD(1)) AFTER tier_version;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS order_number String CODEC(ZSTD(1)) AFTER authority;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS reason String CODEC(ZSTD(1)) AFTER order_number;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS client_class LowCardinality(String) AFTER reason;
ALTER TABLE notices ADD COLUMN IF NOT EXISTS psl_version LowCardinality(String) AFTER client_class;
ALTER TABLE notices ADD INDEX IF NOT EXISTS by_target target_registrable_domain TYPE bloom_filter(0.01) GRANULARITY 1;

-- Where targets lead. Few rows beside the jumps: one walk at creation and one a week or so.
CREATE TABLE IF NOT EXISTS hops
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    code String CODEC(ZSTD(1)),
    revision UInt32 CODEC(ZSTD(1)),
    hop UInt8,
    url String CODEC(ZSTD(3)),
    host String CODEC(ZSTD(1)),
    registrable_domain String CODEC(ZSTD(1)),
    addresses Array(IPv6) CODEC(ZSTD(1)),
    method LowCardinality(String),
    status UInt16 CODEC(ZSTD(1)),
    location String CODEC(ZSTD(3)),
    outcome LowCardinality(String),
    finding LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    latency_us UInt32 CODEC(T64, ZSTD(1)),
    psl_version LowCardinality(String),
    flow UInt128 CODEC(ZSTD(1)),
    INDEX by_domain registrable_domain TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_address addresses TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_flow flow TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (code, ts)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

-- Reports and appeals by the public, one row an event.
CREATE TABLE IF NOT EXISTS reports
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    report String CODEC(ZSTD(1)),
    event LowCardinality(String),
    category LowCardinality(String),
    subject String CODEC(ZSTD(1)),
    code String CODEC(ZSTD(1)),
    registrable_domain String CODEC(ZSTD(1)),
    text String CODEC(ZSTD(3)),
    contact String CODEC(ZSTD(1)),
    decision LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    actor String CODEC(ZSTD(1)),
    due DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    client IPv6 CODEC(ZSTD(1)),
    client_port UInt16,
    client_key LowCardinality(String),
    psl_version LowCardinality(String),
    flow UInt128 CODEC(ZSTD(1)),
    INDEX by_code code TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_domain registrable_domain TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_client client TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_flow flow TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = @MergeTree@
PARTITION BY toYear(ts)
ORDER BY (report, ts)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;
