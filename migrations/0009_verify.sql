-- min_binary: 0.1.0
-- What a verdict is about, what made it, and what it was judged from; and the evidence itself.

ALTER TABLE verifications ADD COLUMN IF NOT EXISTS host String CODEC(ZSTD(1)) AFTER flow;
ALTER TABLE verifications ADD COLUMN IF NOT EXISTS addresses Array(IPv6) CODEC(ZSTD(1)) AFTER host;
ALTER TABLE verifications ADD COLUMN IF NOT EXISTS code String CODEC(ZSTD(1)) AFTER addresses;
ALTER TABLE verifications ADD COLUMN IF NOT EXISTS occasion LowCardinality(String) AFTER code;
ALTER TABLE verifications ADD COLUMN IF NOT EXISTS rules_version LowCardinality(String) AFTER occasion;
ALTER TABLE verifications ADD COLUMN IF NOT EXISTS dossier FixedString(32) CODEC(ZSTD(1)) AFTER rules_version;
ALTER TABLE verifications ADD COLUMN IF NOT EXISTS valid_until DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)) AFTER dossier;
ALTER TABLE verifications ADD COLUMN IF NOT EXISTS psl_version LowCardinality(String) AFTER valid_until;
ALTER TABLE verifications ADD INDEX IF NOT EXISTS by_address addresses TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE verifications ADD INDEX IF NOT EXISTS by_code code TYPE bloom_filter(0.01) GRANULARITY 1;

-- What sources said, byte for byte, named by its SHA-256. The same bytes are kept once a day at a
-- node. Found by digest alone; partitions are there to be dropped.
CREATE TABLE IF NOT EXISTS evidence
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    digest FixedString(32) CODEC(ZSTD(1)),
    form LowCardinality(String),
    body String CODEC(ZSTD(3))
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (digest, ts)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;
