-- What verification keeps beside its records. Times are microseconds since 1970-01-01T00:00:00Z.

-- What owners say should be so. Nothing is changed or taken back: the last of a domain counts.
CREATE TABLE declarations (
    number INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    body TEXT NOT NULL -- JSON; empty: withdrawn
) STRICT;

CREATE INDEX declarations_by_domain ON declarations (domain, number);

CREATE TRIGGER declarations_stay BEFORE UPDATE ON declarations
    BEGIN SELECT raise(ABORT, 'declarations stay as they are'); END;
CREATE TRIGGER declarations_are_kept BEFORE DELETE ON declarations
    BEGIN SELECT raise(ABORT, 'declarations stay as they are'); END;

-- What is to be verified, and when.
CREATE TABLE queue (
    subject TEXT PRIMARY KEY,
    occasion TEXT NOT NULL,
    due INTEGER NOT NULL,
    weight INTEGER NOT NULL, -- how often somebody wanted to know
    tries INTEGER NOT NULL -- in vain, one after the other
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_by_due ON queue (due, weight DESC);

-- The last verdict of each subject.
CREATE TABLE verdicts (
    subject TEXT PRIMARY KEY,
    overall TEXT NOT NULL,
    adverse TEXT NOT NULL, -- ids of the checks that found what somebody has to mend, with commas
    at INTEGER NOT NULL,
    valid_until INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
