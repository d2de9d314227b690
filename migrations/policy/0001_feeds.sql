-- Every change of policy is an event. Events are written once; what stands is what they add up to.
-- Several processes of one machine write here: each change says which event it was made upon.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: nodes look for ids they have not seen
    ts INTEGER NOT NULL, -- microseconds since 1970-01-01T00:00:00Z, like every time here
    node TEXT NOT NULL,
    actor TEXT NOT NULL, -- the token; empty for the node itself
    kind TEXT NOT NULL,
    feed TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 0), -- 0: of the feed as a whole
    subject TEXT NOT NULL, -- the trigger of a rule; empty for none
    reason TEXT NOT NULL,
    detail TEXT NOT NULL -- JSON
) STRICT;

CREATE INDEX events_by_feed ON events (feed, kind, id);
CREATE INDEX events_by_version ON events (feed, version, id);

-- A feed's settings, whole, per change.
CREATE TABLE specs (
    event_id INTEGER PRIMARY KEY REFERENCES events (id),
    feed TEXT NOT NULL,
    spec TEXT NOT NULL -- JSON
) STRICT;

CREATE INDEX specs_by_feed ON specs (feed, event_id);

-- What a source brought. Numbers of a feed are never used twice, also after it was removed.
CREATE TABLE versions (
    feed TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    event_id INTEGER NOT NULL REFERENCES events (id),
    digest BLOB NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the bytes as received
    bytes INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    signer TEXT NOT NULL,
    PRIMARY KEY (feed, number)
) STRICT, WITHOUT ROWID;

-- What reading and judging a version found.
CREATE TABLE judgements (
    feed TEXT NOT NULL,
    number INTEGER NOT NULL,
    event_id INTEGER NOT NULL REFERENCES events (id),
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    not_evaluable INTEGER NOT NULL,
    findings TEXT NOT NULL, -- JSON
    PRIMARY KEY (feed, number),
    FOREIGN KEY (feed, number) REFERENCES versions (feed, number)
) STRICT, WITHOUT ROWID;

-- Entries that were not taken, up to a limit; those of versions that are not kept may go.
CREATE TABLE rejections (
    feed TEXT NOT NULL,
    number INTEGER NOT NULL,
    line INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX rejections_by_version ON rejections (feed, number, line);

-- The operator's own rules: instant blocks (feed 'instant') and allow rules (feed 'allow').
CREATE TABLE own_rules (
    event_id INTEGER PRIMARY KEY REFERENCES events (id),
    feed TEXT NOT NULL CHECK (feed IN ('instant', 'allow')),
    rule TEXT NOT NULL, -- the trigger
    owner TEXT NOT NULL,
    authority TEXT NOT NULL, -- who ordered it
    order_number TEXT NOT NULL,
    expires INTEGER NOT NULL, -- 0: never
    expires_confirmed INTEGER NOT NULL -- once a second person has confirmed it
) STRICT;

CREATE TABLE own_rule_steps (
    event_id INTEGER PRIMARY KEY REFERENCES events (id),
    own_rule_id INTEGER NOT NULL REFERENCES own_rules (event_id),
    step TEXT NOT NULL CHECK (step IN ('confirmed', 'ended'))
) STRICT;

CREATE UNIQUE INDEX own_rule_steps_once ON own_rule_steps (own_rule_id, step);

CREATE TABLE appeals (
    event_id INTEGER PRIMARY KEY REFERENCES events (id),
    feed TEXT NOT NULL, -- empty: every feed's
    rule TEXT NOT NULL, -- the trigger
    claimant TEXT NOT NULL -- how to reach whoever appeals
) STRICT;

CREATE TABLE appeal_steps (
    event_id INTEGER PRIMARY KEY REFERENCES events (id),
    appeal_id INTEGER NOT NULL REFERENCES appeals (event_id),
    status TEXT NOT NULL CHECK (status IN ('open', 'suspended', 'lifted', 'refused', 'withdrawn'))
) STRICT;

CREATE INDEX appeal_steps_by_appeal ON appeal_steps (appeal_id, event_id);

-- Records of events that may not be in their node's spool yet: place and bytes exactly as encoded.
CREATE TABLE outbox (
    node TEXT NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (node, lane, seq)
) STRICT, WITHOUT ROWID;

-- Where to go on after a restart: what a source said of its last answer, how far the records of a
-- version's rules are written. Not history, and changed in place.
CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_do_not_change BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events do not change'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TRIGGER specs_do_not_change BEFORE UPDATE ON specs
BEGIN SELECT RAISE(ABORT, 'settings do not change'); END;
CREATE TRIGGER specs_stay BEFORE DELETE ON specs
BEGIN SELECT RAISE(ABORT, 'settings stay'); END;
CREATE TRIGGER versions_do_not_change BEFORE UPDATE ON versions
BEGIN SELECT RAISE(ABORT, 'versions do not change'); END;
CREATE TRIGGER versions_stay BEFORE DELETE ON versions
BEGIN SELECT RAISE(ABORT, 'versions stay'); END;
CREATE TRIGGER judgements_do_not_change BEFORE UPDATE ON judgements
BEGIN SELECT RAISE(ABORT, 'judgements do not change'); END;
CREATE TRIGGER judgements_stay BEFORE DELETE ON judgements
BEGIN SELECT RAISE(ABORT, 'judgements stay'); END;
CREATE TRIGGER own_rules_do_not_change BEFORE UPDATE ON own_rules
BEGIN SELECT RAISE(ABORT, 'rules do not change'); END;
CREATE TRIGGER own_rules_stay BEFORE DELETE ON own_rules
BEGIN SELECT RAISE(ABORT, 'rules stay'); END;
CREATE TRIGGER own_rule_steps_do_not_change BEFORE UPDATE ON own_rule_steps
BEGIN SELECT RAISE(ABORT, 'steps do not change'); END;
CREATE TRIGGER own_rule_steps_stay BEFORE DELETE ON own_rule_steps
BEGIN SELECT RAISE(ABORT, 'steps stay'); END;
CREATE TRIGGER appeals_do_not_change BEFORE UPDATE ON appeals
BEGIN SELECT RAISE(ABORT, 'appeals do not change'); END;
CREATE TRIGGER appeals_stay BEFORE DELETE ON appeals
BEGIN SELECT RAISE(ABORT, 'appeals stay'); END;
CREATE TRIGGER appeal_steps_do_not_change BEFORE UPDATE ON appeal_steps
BEGIN SELECT RAISE(ABORT, 'steps do not change'); END;
CREATE TRIGGER appeal_steps_stay BEFORE DELETE ON appeal_steps
BEGIN SELECT RAISE(ABORT, 'steps stay'); END;
