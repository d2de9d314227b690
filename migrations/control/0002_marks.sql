-- Times to go on from after a restart, such as since when conversions may hold codes that this
-- database does not know.
CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    ts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
