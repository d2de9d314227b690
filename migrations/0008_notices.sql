-- min_binary: 0.1.0
-- Who went on past a warning: the visitor by hand, the page by itself, or whoever was identified.
-- Empty in rows from before and for other events.

ALTER TABLE notices ADD COLUMN IF NOT EXISTS continued_by LowCardinality(String) AFTER psl_version;
