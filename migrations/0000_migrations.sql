-- min_binary: 0.1.0
-- What has been applied. Run before every look, recorded nowhere; a repeated row replaces itself.

CREATE TABLE IF NOT EXISTS migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime64(6, 'UTC'),
    min_binary String,
    version String
)
ENGINE = @ReplacingMergeTree@
ORDER BY number
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;
