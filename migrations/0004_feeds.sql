-- min_binary: 0.1.0
-- Is this listed, since when, and what did it do: rules are looked for by their text in all versions
-- of all feeds, and hits by their feed, which nearly every resolution and jump has none of. Rows from
-- before these indexes are read instead.

ALTER TABLE rules ADD INDEX IF NOT EXISTS by_rule rule TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE resolutions ADD INDEX IF NOT EXISTS by_feed feed TYPE set(8) GRANULARITY 8;

ALTER TABLE jumps ADD INDEX IF NOT EXISTS by_feed feed TYPE set(8) GRANULARITY 8;
