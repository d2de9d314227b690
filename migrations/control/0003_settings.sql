-- Links have a domain, settings and an end that is a revision of its own; requests are known again.
-- The table is made anew because SQLite cannot change a CHECK.
DROP TRIGGER revisions_do_not_change;
DROP TRIGGER revisions_stay;
ALTER TABLE revisions RENAME TO revisions_before;

CREATE TABLE revisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: readers see ids up to a mark
    code TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    ts INTEGER NOT NULL, -- microseconds since 1970-01-01T00:00:00Z, like every time here
    operation TEXT NOT NULL
        CHECK (operation IN ('create', 'edit', 'disable', 'enable', 'expire')),
    target_submitted TEXT NOT NULL,
    target TEXT NOT NULL,
    target_host TEXT NOT NULL,
    target_registrable_domain TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'expired')),
    expires INTEGER NOT NULL, -- 0: never
    actor TEXT NOT NULL,
    owner TEXT NOT NULL,
    reason TEXT NOT NULL,
    psl_version TEXT NOT NULL,
    domain TEXT NOT NULL, -- the host it is served at; empty: every host of ours
    settings TEXT NOT NULL, -- a JSON object; empty: nothing set
    request TEXT NOT NULL, -- who asked for it under which key; empty: without a key
    alike INTEGER NOT NULL, -- the same for the same owner, domain and target; 0: before this column
    UNIQUE (code, revision)
) STRICT;

INSERT INTO revisions SELECT id, code, revision, ts, operation, target_submitted, target,
    target_host, target_registrable_domain, state, expires, actor, owner, reason, psl_version,
    '', '', '', 0 FROM revisions_before;
DROP TABLE revisions_before;

CREATE UNIQUE INDEX revisions_by_request ON revisions (request) WHERE request <> '';
CREATE INDEX revisions_by_alike ON revisions (alike) WHERE alike <> 0;
CREATE INDEX revisions_by_owner ON revisions (owner, code);
CREATE INDEX revisions_by_target_host ON revisions (target_host, code);
CREATE INDEX revisions_by_domain ON revisions (domain, code) WHERE domain <> '';
CREATE INDEX revisions_by_state ON revisions (state, code) WHERE state <> 'enabled';
CREATE INDEX revisions_by_end ON revisions (expires) WHERE state = 'enabled' AND expires > 0;

CREATE TRIGGER revisions_do_not_change BEFORE UPDATE ON revisions
BEGIN
    SELECT RAISE(ABORT, 'revisions do not change');
END;

CREATE TRIGGER revisions_stay BEFORE DELETE ON revisions
WHEN NOT EXISTS (SELECT 1 FROM outbox WHERE revision_id = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'revisions stay');
END;

-- Which links have, or once had, a tag: where to look for those that have it now.
CREATE TABLE tags (
    tag TEXT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (tag, code)
) STRICT, WITHOUT ROWID;

-- Visits handed out in portions, of links that may be followed so many times.
CREATE TABLE visits (
    code TEXT PRIMARY KEY,
    leased INTEGER NOT NULL CHECK (leased >= 0)
) STRICT, WITHOUT ROWID;
