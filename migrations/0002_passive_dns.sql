-- min_binary: 0.1.0
-- Who had which data, first and last seen, how often. No client data, so it may be shown more widely
-- than the log it comes from.
--
-- What policy put in place of an answer is no fact about the name: of such a resolution only the
-- original answer counts, where it is known.
--
-- The views are fed by the INSERT into `resolutions` under the same token, each target with a window
-- of its own, so that a repeated INSERT counts once; README.md says when it may not. The second view
-- copies what the first wrote: one pass over the firehose. Every INSERT's rows are grouped by the
-- whole key here, so the server need not look for equal ones again (`optimize_on_insert`, pinned to
-- 0). Neither table is partitioned, because a name's history has no month.

CREATE TABLE IF NOT EXISTS passive_dns
(
    rrname String CODEC(ZSTD(1)),
    rrtype UInt16 CODEC(ZSTD(1)),
    rdata String CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = @AggregatingMergeTree@
ORDER BY (rrname, rrtype, rdata)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS passive_dns_by_data
(
    rrname String CODEC(ZSTD(1)),
    rrtype UInt16 CODEC(ZSTD(1)),
    rdata String CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = @AggregatingMergeTree@
ORDER BY (rdata, rrtype, rrname)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

-- Equal answers are counted before they are taken apart: most of a busy resolver's are equal.
CREATE MATERIALIZED VIEW IF NOT EXISTS passive_dns_mv TO passive_dns AS
SELECT
    rr.1 AS rrname,
    rr.2 AS rrtype,
    rr.3 AS rdata,
    min(t.seen_from) AS first_seen,
    max(t.seen_to) AS last_seen,
    sum(t.times) AS count
FROM
(
    SELECT
        qname,
        action IN ('', 'passthru') AS own,
        if(own, answers, []) AS addresses,
        if(own, answer_names, []) AS names,
        if(own, answer_data, original_answers) AS others,
        min(ts) AS seen_from,
        max(ts) AS seen_to,
        count() AS times
    FROM resolutions
    WHERE qclass = 1 AND (notEmpty(answers) OR notEmpty(answer_names) OR notEmpty(answer_data) OR notEmpty(original_answers))
    GROUP BY qname, own, addresses, names, others
) AS t
ARRAY JOIN arrayConcat(
    arrayMap((name, i) -> (if(i = 1, qname, names[i - 1]), 5::UInt16, name), names, arrayEnumerate(names)),
    arrayMap(a -> (
        if(empty(names), qname, names[-1]),
        if(startsWith(toString(a), '::ffff:'), 1, 28)::UInt16,
        if(startsWith(toString(a), '::ffff:'), substring(toString(a), 8), toString(a))), addresses),
    arrayMap(d -> (d.owner, d.type, d.rdata), others)) AS rr
GROUP BY rrname, rrtype, rdata;

CREATE MATERIALIZED VIEW IF NOT EXISTS passive_dns_by_data_mv TO passive_dns_by_data AS
SELECT rrname, rrtype, rdata, first_seen, last_seen, count
FROM passive_dns;
