-- Reports and appeals by the public are the sum of their steps: nothing is changed or taken back.
-- Times are microseconds since 1970-01-01T00:00:00Z.
CREATE TABLE reports (
    id INTEGER PRIMARY KEY,
    number TEXT NOT NULL UNIQUE, -- what the claimant was given
    secret BLOB NOT NULL CHECK (length(secret) = 32), -- SHA-256 of what shows the state
    received INTEGER NOT NULL,
    due INTEGER NOT NULL,
    category TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('link', 'url', 'host', 'notice')),
    subject TEXT NOT NULL,
    code TEXT NOT NULL, -- the link; empty for none
    registrable_domain TEXT NOT NULL,
    psl_version TEXT NOT NULL,
    flow BLOB NOT NULL CHECK (length(flow) = 16),
    feed TEXT NOT NULL, -- whose rule the notice named; empty for none
    appeal_node TEXT NOT NULL, -- the node that took the appeal down; empty for none
    appeal INTEGER NOT NULL -- its number there; 0 for none
) STRICT;

CREATE INDEX reports_by_appeal ON reports (appeal_node, appeal) WHERE appeal > 0;

CREATE TABLE report_steps (
    report_id INTEGER NOT NULL REFERENCES reports (id),
    step INTEGER NOT NULL CHECK (step >= 1),
    ts INTEGER NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('decided', 'acted')),
    decision TEXT NOT NULL,
    act TEXT NOT NULL,
    reason TEXT NOT NULL,
    answer TEXT NOT NULL, -- what the claimant is told
    actor TEXT NOT NULL,
    PRIMARY KEY (report_id, step)
) STRICT, WITHOUT ROWID;

-- What tells who somebody is, apart from everything else.
CREATE TABLE report_persons (
    report_id INTEGER PRIMARY KEY REFERENCES reports (id),
    contact TEXT NOT NULL,
    text TEXT NOT NULL,
    client TEXT NOT NULL,
    client_port INTEGER NOT NULL
) STRICT;

-- Those that nobody has decided.
CREATE TABLE report_open (
    report_id INTEGER PRIMARY KEY REFERENCES reports (id),
    due INTEGER NOT NULL
) STRICT;

CREATE INDEX report_open_by_due ON report_open (due);

CREATE TRIGGER reports_stay BEFORE UPDATE ON reports
    BEGIN SELECT raise(ABORT, 'reports stay as they are'); END;
CREATE TRIGGER reports_are_kept BEFORE DELETE ON reports
    BEGIN SELECT raise(ABORT, 'reports stay as they are'); END;
CREATE TRIGGER report_steps_stay BEFORE UPDATE ON report_steps
    BEGIN SELECT raise(ABORT, 'steps stay as they are'); END;
CREATE TRIGGER report_steps_are_kept BEFORE DELETE ON report_steps
    BEGIN SELECT raise(ABORT, 'steps stay as they are'); END;

-- Records that may not be in the spool yet: place and bytes exactly as encoded.
CREATE TABLE report_outbox (
    node TEXT NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (node, lane, seq)
) STRICT, WITHOUT ROWID;
