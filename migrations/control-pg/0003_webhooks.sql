-- Who is told of changes, and what is still to be told, as in ../control. Times are microseconds since
-- 1970-01-01T00:00:00Z.
CREATE TABLE webhooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url text NOT NULL,
    kinds text NOT NULL, -- words with a space between; '*': all
    state text NOT NULL CHECK (state IN ('enabled', 'disabled')),
    why text NOT NULL, -- why it is disabled: 'asked' or 'gone'
    note text NOT NULL,
    created bigint NOT NULL,
    actor text NOT NULL,
    salt bytea NOT NULL CHECK (octet_length(salt) = 32), -- makes the secret, with a key that is not here
    salt_before bytea NOT NULL, -- that of the secret before; empty: none
    before_until bigint NOT NULL -- until when that one signs, too
);

-- Who changed what of them.
CREATE TABLE webhook_steps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id bigint NOT NULL REFERENCES webhooks (id),
    ts bigint NOT NULL,
    actor text NOT NULL,
    step text NOT NULL,
    detail text NOT NULL
);

CREATE FUNCTION webhook_steps_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'steps stay as they are';
END
$$;

CREATE TRIGGER webhook_steps_stay BEFORE UPDATE OR DELETE ON webhook_steps
    FOR EACH ROW EXECUTE FUNCTION webhook_steps_stay();

-- Changes of links that nobody was told of yet: written with the change, in its transaction.
CREATE TABLE webhook_untold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL CHECK (source IN ('revision', 'destination')),
    ref bigint NOT NULL,
    UNIQUE (source, ref)
);

CREATE FUNCTION webhook_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What is taken back never was.
    IF TG_OP = 'DELETE' THEN
        DELETE FROM webhook_untold WHERE source = 'revision' AND ref = OLD.id;
    ELSIF EXISTS (SELECT 1 FROM webhooks WHERE state = 'enabled') THEN
        INSERT INTO webhook_untold (source, ref) VALUES (TG_ARGV[0], NEW.id);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER revisions_are_told AFTER INSERT OR DELETE ON revisions
    FOR EACH ROW EXECUTE FUNCTION webhook_told('revision');
CREATE TRIGGER destinations_are_told AFTER INSERT ON destinations
    FOR EACH ROW
    WHEN (NEW.findings LIKE '%destination_changed%' OR NEW.findings LIKE '%destination_host_changed%')
    EXECUTE FUNCTION webhook_told('destination');

-- What is told, as it is sent.
CREATE TABLE webhook_messages (
    id text COLLATE "C" PRIMARY KEY, -- the same for the same event, whoever tells it
    kind text NOT NULL,
    created bigint NOT NULL,
    body text NOT NULL
);

-- To whom. Whoever delivers one moves its time first.
CREATE TABLE webhook_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id bigint NOT NULL REFERENCES webhooks (id),
    message_id text COLLATE "C" NOT NULL REFERENCES webhook_messages (id),
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    created bigint NOT NULL, -- or sent again
    due bigint NOT NULL,
    attempts bigint NOT NULL,
    ended bigint NOT NULL, -- 0: not yet
    status bigint NOT NULL, -- of the last answer; 0: none
    outcome text NOT NULL, -- of the last attempt
    UNIQUE (webhook_id, message_id)
);

CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (webhook_id, due) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (webhook_id, state, id);
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (state, ended);
CREATE INDEX webhook_deliveries_by_message ON webhook_deliveries (message_id);

-- How far a node has told what lies in databases of its own.
CREATE TABLE webhook_marks (
    node text NOT NULL,
    source text NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (node, source)
);
