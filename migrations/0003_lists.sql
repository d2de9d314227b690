-- min_binary: 0.1.0
-- A registrable domain is what one list of public suffixes made of a name. Where all rows of a window
-- follow the list in force, a question by domain reads the rows of that domain alone; one entry for
-- 65,536 rows tells whether there are others. Rows from before this index are read instead.

ALTER TABLE resolutions ADD INDEX IF NOT EXISTS by_list psl_version TYPE minmax GRANULARITY 32;

ALTER TABLE jumps ADD INDEX IF NOT EXISTS by_list psl_version TYPE minmax GRANULARITY 32;

ALTER TABLE conversions ADD INDEX IF NOT EXISTS by_list psl_version TYPE minmax GRANULARITY 8;
