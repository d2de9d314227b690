-- Where targets lead. What was found stays: a row for each time that it was not what it had been.
CREATE TABLE destinations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    code TEXT NOT NULL,
    revision INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    target TEXT NOT NULL, -- where the walk began
    url TEXT NOT NULL, -- and where it ended
    host TEXT NOT NULL,
    registrable_domain TEXT NOT NULL,
    outcome TEXT NOT NULL,
    findings TEXT NOT NULL, -- words with a space between
    detail TEXT NOT NULL,
    flow TEXT NOT NULL -- of the records of its hops, in decimal
) STRICT;

CREATE INDEX destinations_by_code ON destinations (code, id);

CREATE TRIGGER destinations_do_not_change BEFORE UPDATE ON destinations
BEGIN
    SELECT RAISE(ABORT, 'destinations do not change');
END;

CREATE TRIGGER destinations_stay BEFORE DELETE ON destinations
BEGIN
    SELECT RAISE(ABORT, 'destinations stay');
END;

-- Which links are to be walked, and when. Whoever walks one moves its time first.
CREATE TABLE walks (
    code TEXT PRIMARY KEY,
    revision INTEGER NOT NULL, -- the newest that was taken into the schedule
    due INTEGER NOT NULL,
    walked INTEGER NOT NULL, -- when the last walk ended; 0: never
    failures INTEGER NOT NULL -- walks since then that came to no end
) STRICT, WITHOUT ROWID;

CREATE INDEX walks_by_due ON walks (due);
