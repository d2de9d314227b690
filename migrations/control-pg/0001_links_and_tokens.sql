-- Links are the sum of their revisions, as in ../control; here several nodes write them. Times are
-- microseconds since 1970-01-01T00:00:00Z. Codes sort by bytes.
CREATE TABLE revisions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text COLLATE "C" NOT NULL,
    revision integer NOT NULL CHECK (revision >= 1),
    ts bigint NOT NULL,
    operation text NOT NULL
        CHECK (operation IN ('create', 'edit', 'disable', 'enable', 'expire')),
    target_submitted text NOT NULL,
    target text NOT NULL,
    target_host text NOT NULL,
    target_registrable_domain text NOT NULL,
    state text NOT NULL CHECK (state IN ('enabled', 'disabled', 'expired')),
    expires bigint NOT NULL, -- 0: never
    actor text NOT NULL,
    owner text NOT NULL,
    reason text NOT NULL,
    psl_version text NOT NULL,
    domain text NOT NULL, -- the host it is served at; empty: every host of ours
    settings text NOT NULL, -- a JSON object; empty: nothing set
    request text NOT NULL, -- who asked for it under which key; empty: without a key
    alike bigint NOT NULL, -- the same for the same owner, domain and target
    UNIQUE (code, revision)
);

CREATE UNIQUE INDEX revisions_by_request ON revisions (request) WHERE request <> '';
CREATE INDEX revisions_by_alike ON revisions (alike);
CREATE INDEX revisions_by_owner ON revisions (owner, code);
CREATE INDEX revisions_by_target_host ON revisions (target_host, code);
CREATE INDEX revisions_by_domain ON revisions (domain, code) WHERE domain <> '';
CREATE INDEX revisions_by_state ON revisions (state, code) WHERE state <> 'enabled';
CREATE INDEX revisions_by_end ON revisions (expires) WHERE state = 'enabled' AND expires > 0;
CREATE INDEX revisions_by_time ON revisions (ts);

-- Conversion records that may not be in their node's spool yet: place and bytes exactly as encoded.
-- A revision that is named here is seen by nobody: its node alone can say what becomes of it.
CREATE TABLE outbox (
    node text NOT NULL,
    lane bigint NOT NULL,
    seq bigint NOT NULL,
    schema integer NOT NULL,
    bytes bytea NOT NULL,
    revision_id bigint NOT NULL UNIQUE,
    PRIMARY KEY (node, lane, seq)
);

CREATE FUNCTION revisions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM outbox WHERE revision_id = OLD.id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'revisions stay as they are';
END
$$;

CREATE TRIGGER revisions_stay BEFORE UPDATE OR DELETE ON revisions
    FOR EACH ROW EXECUTE FUNCTION revisions_stay();
CREATE TRIGGER revisions_are_not_emptied BEFORE TRUNCATE ON revisions
    FOR EACH STATEMENT EXECUTE FUNCTION revisions_stay();

-- Which links have, or once had, a tag: where to look for those that have it now.
CREATE TABLE tags (
    tag text NOT NULL,
    code text COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, code)
);

-- Visits handed out in portions, of links that may be followed so many times.
CREATE TABLE visits (
    code text COLLATE "C" PRIMARY KEY,
    leased bigint NOT NULL CHECK (leased >= 0)
);

-- The next number of the sequence behind codes, per length.
CREATE TABLE sequences (
    length smallint PRIMARY KEY,
    next bigint NOT NULL CHECK (next >= 0)
);

-- Values that must stay what they were, such as the fingerprint of the key behind the codes.
CREATE TABLE pins (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

-- Times to go on from after a restart.
CREATE TABLE marks (
    name text PRIMARY KEY,
    ts bigint NOT NULL
);

-- Tokens and their ends are rows of their own: who had access when stays known.
CREATE TABLE tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    role text NOT NULL,
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32), -- SHA-256 of the secret
    created bigint NOT NULL,
    expires bigint NOT NULL, -- 0: never
    actor text NOT NULL,
    person text NOT NULL -- who bears it; several tokens may be one person's
);

CREATE TABLE revocations (
    token_id bigint PRIMARY KEY REFERENCES tokens (id),
    ts bigint NOT NULL,
    actor text NOT NULL
);
