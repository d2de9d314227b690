-- Codes that records name and that this database has no link of, because it was lost or an older copy of
-- it was put back: nobody may choose them. Those that we generate are kept off by the sequence instead.
CREATE TABLE spent (code TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
