-- Links are the sum of their revisions. A revision is written once; only one whose record never
-- reached the spool may be taken back, and such a revision is still in the outbox.
CREATE TABLE revisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: readers see ids up to a mark
    code TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    ts INTEGER NOT NULL, -- microseconds since 1970-01-01T00:00:00Z, like every time here
    operation TEXT NOT NULL CHECK (operation IN ('create', 'edit', 'disable', 'enable')),
    target_submitted TEXT NOT NULL,
    target TEXT NOT NULL,
    target_host TEXT NOT NULL,
    target_registrable_domain TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    expires INTEGER NOT NULL, -- 0: never
    actor TEXT NOT NULL,
    owner TEXT NOT NULL,
    reason TEXT NOT NULL,
    psl_version TEXT NOT NULL,
    UNIQUE (code, revision)
) STRICT;

-- Conversion records that may not be in the spool yet: place and bytes exactly as encoded.
CREATE TABLE outbox (
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    revision_id INTEGER NOT NULL,
    PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_by_revision ON outbox (revision_id);

CREATE TRIGGER revisions_do_not_change BEFORE UPDATE ON revisions
BEGIN
    SELECT RAISE(ABORT, 'revisions do not change');
END;

CREATE TRIGGER revisions_stay BEFORE DELETE ON revisions
WHEN NOT EXISTS (SELECT 1 FROM outbox WHERE revision_id = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'revisions stay');
END;

-- The next number of the sequence behind codes, per length.
CREATE TABLE sequences (
    length INTEGER PRIMARY KEY,
    next INTEGER NOT NULL CHECK (next >= 0)
) STRICT;

-- Values that must stay what they were, such as the fingerprint of the key behind the codes.
CREATE TABLE pins (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Tokens and their ends are rows of their own: who had access when stays known.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32), -- SHA-256 of the secret
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL, -- 0: never
    actor TEXT NOT NULL
) STRICT;

CREATE TABLE revocations (
    token_id INTEGER PRIMARY KEY REFERENCES tokens (id),
    ts INTEGER NOT NULL,
    actor TEXT NOT NULL
) STRICT;
