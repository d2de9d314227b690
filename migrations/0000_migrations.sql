-- min_binary: 0.1.0
-- What has been applied on this server. Run before every look, recorded nowhere; a repeated row
-- replaces itself. Never replicated: a table is made on one server at a time, and a replica that read
-- here what another one has done would never make its own.

CREATE TABLE IF NOT EXISTS migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime64(6, 'UTC'),
    min_binary String,
    version String
)
ENGINE = ReplacingMergeTree
ORDER BY number
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;
