-- min_binary: 0.1.0
-- Every table of records. The head (node, lane, seq, ts) is the same everywhere.
--
-- Codecs: names sort beside their like, so ZSTD(1) is enough; ts and seq rise slowly within one name
-- (DoubleDelta, Delta); latency and TTL need few of their bits (T64); a source port is random and is
-- left to the default. LowCardinality only for words of ours, never for text of an outsider's choice.
--
-- The number of parts decides what a question costs, so the firehoses are partitioned by month, and a
-- partition whose newest part is a day old is merged into one part. (Against weeks, over half a year:
-- half the time of a question and a tenth fewer bytes a row, because more rows of a name lie together.)
-- A question reads whole granules of every column and wants a few scattered rows: granules of 2,048
-- rows in small compressed blocks take a third off a question by client, for 2 % more bytes. Indexes
-- keep to 8,192 rows an entry.

CREATE TABLE IF NOT EXISTS resolutions
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    client IPv6 CODEC(ZSTD(1)),
    client_port UInt16,
    client_key LowCardinality(String),
    server_address IPv6 CODEC(ZSTD(1)),
    server_port UInt16 CODEC(ZSTD(1)),
    transport LowCardinality(String),
    flags UInt32 CODEC(ZSTD(1)),
    latency_us UInt32 CODEC(T64, ZSTD(1)),
    min_ttl UInt32 CODEC(T64, ZSTD(1)),
    cache LowCardinality(String),
    flow UInt128 CODEC(ZSTD(1)),
    registrable_domain String CODEC(ZSTD(1)),
    qname String CODEC(ZSTD(1)),
    qtype UInt16 CODEC(ZSTD(1)),
    qclass UInt16 CODEC(ZSTD(1)),
    rcode UInt16 CODEC(ZSTD(1)),
    ede Array(UInt16) CODEC(ZSTD(1)),
    answers Array(IPv6) CODEC(ZSTD(1)),
    answer_names Array(String) CODEC(ZSTD(1)),
    answer_data Array(Tuple(owner String, type UInt16, ttl UInt32, rdata String)) CODEC(ZSTD(1)),
    original_answers Array(Tuple(owner String, type UInt16, ttl UInt32, rdata String)) CODEC(ZSTD(1)),
    upstream LowCardinality(String),
    dnssec LowCardinality(String),
    action LowCardinality(String),
    rule String CODEC(ZSTD(1)),
    feed LowCardinality(String),
    feed_version String CODEC(ZSTD(1)),
    psl_version LowCardinality(String),
    -- Who had this address, and who pointed here. A few tenths of a byte a row.
    INDEX by_answer answers TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_answer_name answer_names TYPE bloom_filter(0.01) GRANULARITY 4,
    -- Nearly all flows are zero; the few others belong to jumps. A page asks for many at a time.
    INDEX by_flow flow TYPE bloom_filter(0.00001) GRANULARITY 16,
    -- One record by its id, within the partition that its frame names: 1.2 bytes a row.
    INDEX by_seq seq TYPE bloom_filter(0.01) GRANULARITY 1,
    -- What one client asked: positions of its rows, 5 to 8 bytes a row.
    PROJECTION by_client INDEX client TYPE basic
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (registrable_domain, qname, ts)
SETTINGS
    index_granularity = 2048,
    min_compress_block_size = 16384,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    min_age_to_force_merge_seconds = 86400,
    min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1;

CREATE TABLE IF NOT EXISTS jumps
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    client IPv6 CODEC(ZSTD(1)),
    client_port UInt16,
    client_key LowCardinality(String),
    server_address IPv6 CODEC(ZSTD(1)),
    server_port UInt16 CODEC(ZSTD(1)),
    method LowCardinality(String),
    host String CODEC(ZSTD(1)),
    path String CODEC(ZSTD(1)),
    code String CODEC(ZSTD(1)),
    revision UInt32 CODEC(ZSTD(1)),
    -- The same URL again and again beside its code: a larger effort pays.
    target String CODEC(ZSTD(3)),
    target_host String CODEC(ZSTD(1)),
    target_registrable_domain String CODEC(ZSTD(1)),
    target_addresses Array(IPv6) CODEC(ZSTD(1)),
    status UInt16 CODEC(ZSTD(1)),
    outcome LowCardinality(String),
    hop UInt8 CODEC(ZSTD(1)),
    tier LowCardinality(String),
    action LowCardinality(String),
    rule String CODEC(ZSTD(1)),
    feed LowCardinality(String),
    feed_version String CODEC(ZSTD(1)),
    verification LowCardinality(String),
    referrer_host String CODEC(ZSTD(1)),
    user_agent String CODEC(ZSTD(1)),
    latency_us UInt32 CODEC(T64, ZSTD(1)),
    psl_version LowCardinality(String),
    flow UInt128 CODEC(ZSTD(1)),
    INDEX by_target target_registrable_domain TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_target_address target_addresses TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_flow flow TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX by_seq seq TYPE bloom_filter(0.01) GRANULARITY 1,
    PROJECTION by_client INDEX client TYPE basic
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (code, ts)
SETTINGS
    index_granularity = 2048,
    min_compress_block_size = 16384,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    min_age_to_force_merge_seconds = 86400,
    min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1;

CREATE TABLE IF NOT EXISTS conversions
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    code String CODEC(ZSTD(1)),
    revision UInt32 CODEC(ZSTD(1)),
    operation LowCardinality(String),
    target_submitted String CODEC(ZSTD(3)),
    target String CODEC(ZSTD(3)),
    target_host String CODEC(ZSTD(1)),
    target_registrable_domain String CODEC(ZSTD(1)),
    actor String CODEC(ZSTD(1)),
    owner String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    client IPv6 CODEC(ZSTD(1)),
    client_port UInt16,
    client_key LowCardinality(String),
    expires DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    verification LowCardinality(String),
    psl_version LowCardinality(String),
    flow UInt128 CODEC(ZSTD(1)),
    INDEX by_target target_registrable_domain TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_client client TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_flow flow TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = @MergeTree@
PARTITION BY toYear(ts)
ORDER BY (code, revision)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS notices
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    client IPv6 CODEC(ZSTD(1)),
    client_port UInt16,
    client_key LowCardinality(String),
    code String CODEC(ZSTD(1)),
    tier LowCardinality(String),
    text_version LowCardinality(String),
    language LowCardinality(String),
    event LowCardinality(String),
    dwell_ms UInt32 CODEC(T64, ZSTD(1)),
    rule String CODEC(ZSTD(1)),
    feed LowCardinality(String),
    feed_version String CODEC(ZSTD(1)),
    flow UInt128 CODEC(ZSTD(1)),
    INDEX by_code code TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_client client TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (flow, ts)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS verifications
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    registrable_domain String CODEC(ZSTD(1)),
    subject String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    overall LowCardinality(String),
    grid String CODEC(ZSTD(1)),
    findings String CODEC(ZSTD(3)),
    evidence Array(String) CODEC(ZSTD(1)),
    policy_version LowCardinality(String),
    flow UInt128 CODEC(ZSTD(1)),
    INDEX by_flow flow TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (registrable_domain, ts)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS feed_events
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    feed LowCardinality(String),
    version String CODEC(ZSTD(1)),
    event LowCardinality(String),
    digest FixedString(32),
    signer String CODEC(ZSTD(1)),
    accepted UInt64 CODEC(ZSTD(1)),
    rejected UInt64 CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(1))
)
ENGINE = @MergeTree@
PARTITION BY toYear(ts)
ORDER BY (feed, ts)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS rules
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    feed LowCardinality(String),
    version String CODEC(ZSTD(1)),
    rule String CODEC(ZSTD(1)),
    trigger String CODEC(ZSTD(1)),
    action LowCardinality(String),
    tier LowCardinality(String),
    authority String CODEC(ZSTD(1)),
    order_number String CODEC(ZSTD(1)),
    effective_from DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    expires_at DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    text String CODEC(ZSTD(1)),
    legal String CODEC(ZSTD(1))
)
ENGINE = @MergeTree@
PARTITION BY toYear(ts)
ORDER BY (feed, version)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS access
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    actor String CODEC(ZSTD(1)),
    peer IPv6 CODEC(ZSTD(1)),
    peer_port UInt16,
    role LowCardinality(String),
    case_number String CODEC(ZSTD(1)),
    purpose String CODEC(ZSTD(1)),
    question String CODEC(ZSTD(1)),
    outcome LowCardinality(String),
    rows UInt64 CODEC(T64, ZSTD(1)),
    digest FixedString(32)
)
ENGINE = @MergeTree@
PARTITION BY toYear(ts)
ORDER BY ts
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS gaps
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    stream LowCardinality(String),
    gap_lane UInt64 CODEC(ZSTD(1)),
    gap_id UInt64 CODEC(ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1)),
    bound LowCardinality(String),
    from_ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    to_ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(1))
)
ENGINE = @MergeTree@
PARTITION BY toYear(ts)
ORDER BY (node, lane, seq)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

-- Ordered by the frame it describes: a question by record id looks here first for the time range.
CREATE TABLE IF NOT EXISTS frames
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    stream LowCardinality(String),
    frame_lane UInt64 CODEC(ZSTD(1)),
    first_seq UInt64 CODEC(Delta, ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1)),
    min_ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    max_ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    schema UInt16 CODEC(ZSTD(1)),
    bytes UInt64 CODEC(T64, ZSTD(1)),
    root FixedString(32),
    previous FixedString(32),
    key_id String CODEC(ZSTD(1))
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (node, frame_lane, first_seq)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS nodes
(
    node LowCardinality(String),
    lane UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    complete_through DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    version String CODEC(ZSTD(1)),
    boot_id String CODEC(ZSTD(1)),
    oldest_unshipped DateTime64(6, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    unshipped_rows UInt64 CODEC(T64, ZSTD(1)),
    -- Every page begins with the last word of every node; there is one row a node every ten seconds.
    PROJECTION last (SELECT node, argMax(complete_through, (ts, lane, seq)) GROUP BY node)
)
ENGINE = @MergeTree@
PARTITION BY toStartOfMonth(ts)
ORDER BY (node, lane, seq)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;
