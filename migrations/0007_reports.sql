-- min_binary: 0.1.0
-- What a chain of records needs of reports and appeals: the host, so that a question about a domain
-- finds them; what was done as a word of its own; what the claimant was told; and the list and the
-- appeal of policy behind one. New columns are empty in rows from before.

ALTER TABLE reports ADD COLUMN IF NOT EXISTS subject_kind LowCardinality(String) AFTER flow;
ALTER TABLE reports ADD COLUMN IF NOT EXISTS host String CODEC(ZSTD(1)) AFTER subject_kind;
ALTER TABLE reports ADD COLUMN IF NOT EXISTS act LowCardinality(String) AFTER host;
ALTER TABLE reports ADD COLUMN IF NOT EXISTS answer String CODEC(ZSTD(1)) AFTER act;
ALTER TABLE reports ADD COLUMN IF NOT EXISTS feed LowCardinality(String) AFTER answer;
ALTER TABLE reports ADD COLUMN IF NOT EXISTS appeal String CODEC(ZSTD(1)) AFTER feed;
