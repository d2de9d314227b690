-- Reports and appeals by the public, as in ../reports; here several nodes write them. Times are
-- microseconds since 1970-01-01T00:00:00Z.
CREATE TABLE reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number text COLLATE "C" NOT NULL UNIQUE, -- what the claimant was given
    secret bytea NOT NULL CHECK (octet_length(secret) = 32), -- SHA-256 of what shows the state
    received bigint NOT NULL,
    due bigint NOT NULL,
    category text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('link', 'url', 'host', 'notice')),
    subject text NOT NULL,
    code text COLLATE "C" NOT NULL, -- the link; empty for none
    registrable_domain text NOT NULL,
    psl_version text NOT NULL,
    flow bytea NOT NULL CHECK (octet_length(flow) = 16),
    feed text NOT NULL, -- whose rule the notice named; empty for none
    appeal_node text NOT NULL, -- the node that took the appeal down; empty for none
    appeal bigint NOT NULL -- its number there; 0 for none
);

CREATE INDEX reports_by_appeal ON reports (appeal_node, appeal) WHERE appeal > 0;

CREATE TABLE report_steps (
    report_id bigint NOT NULL REFERENCES reports (id),
    step integer NOT NULL CHECK (step >= 1),
    ts bigint NOT NULL,
    event text NOT NULL CHECK (event IN ('decided', 'acted')),
    decision text NOT NULL,
    act text NOT NULL,
    reason text NOT NULL,
    answer text NOT NULL, -- what the claimant is told
    actor text NOT NULL,
    PRIMARY KEY (report_id, step)
);

-- What tells who somebody is, apart from everything else.
CREATE TABLE report_persons (
    report_id bigint PRIMARY KEY REFERENCES reports (id),
    contact text NOT NULL,
    text text NOT NULL,
    client text NOT NULL,
    client_port integer NOT NULL
);

-- Those that nobody has decided.
CREATE TABLE report_open (
    report_id bigint PRIMARY KEY REFERENCES reports (id),
    due bigint NOT NULL
);

CREATE INDEX report_open_by_due ON report_open (due);

CREATE FUNCTION reports_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'reports and their steps stay as they are';
END
$$;

CREATE TRIGGER reports_stay BEFORE UPDATE OR DELETE ON reports
    FOR EACH ROW EXECUTE FUNCTION reports_stay();
CREATE TRIGGER report_steps_stay BEFORE UPDATE OR DELETE ON report_steps
    FOR EACH ROW EXECUTE FUNCTION reports_stay();

-- Records that may not be in their node's spool yet: place and bytes exactly as encoded.
CREATE TABLE report_outbox (
    node text NOT NULL,
    lane bigint NOT NULL,
    seq bigint NOT NULL,
    schema integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (node, lane, seq)
);
