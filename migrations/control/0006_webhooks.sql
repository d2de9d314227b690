-- Who is told of changes, and what is still to be told. Times are microseconds since
-- 1970-01-01T00:00:00Z.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: secrets are made of it
    url TEXT NOT NULL,
    kinds TEXT NOT NULL, -- words with a space between; '*': all
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    why TEXT NOT NULL, -- why it is disabled: 'asked' or 'gone'
    note TEXT NOT NULL,
    created INTEGER NOT NULL,
    actor TEXT NOT NULL,
    salt BLOB NOT NULL CHECK (length(salt) = 32), -- makes the secret, with a key that is not here
    salt_before BLOB NOT NULL, -- that of the secret before; empty: none
    before_until INTEGER NOT NULL -- until when that one signs, too
) STRICT;

-- Who changed what of them.
CREATE TABLE webhook_steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id),
    ts INTEGER NOT NULL,
    actor TEXT NOT NULL,
    step TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE TRIGGER webhook_steps_do_not_change BEFORE UPDATE ON webhook_steps
BEGIN
    SELECT RAISE(ABORT, 'steps do not change');
END;
CREATE TRIGGER webhook_steps_stay BEFORE DELETE ON webhook_steps
BEGIN
    SELECT RAISE(ABORT, 'steps stay');
END;

-- Changes of this database that nobody was told of yet: written with the change, in its transaction.
CREATE TABLE webhook_untold (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL CHECK (source IN ('revision', 'destination')),
    ref INTEGER NOT NULL,
    UNIQUE (source, ref)
) STRICT;

CREATE TRIGGER revisions_are_told AFTER INSERT ON revisions
WHEN EXISTS (SELECT 1 FROM webhooks WHERE state = 'enabled')
BEGIN
    INSERT INTO webhook_untold (source, ref) VALUES ('revision', NEW.id);
END;
-- What is taken back never was.
CREATE TRIGGER revisions_are_not_told AFTER DELETE ON revisions
BEGIN
    DELETE FROM webhook_untold WHERE source = 'revision' AND ref = OLD.id;
END;
CREATE TRIGGER destinations_are_told AFTER INSERT ON destinations
WHEN (NEW.findings LIKE '%destination_changed%' OR NEW.findings LIKE '%destination_host_changed%')
    AND EXISTS (SELECT 1 FROM webhooks WHERE state = 'enabled')
BEGIN
    INSERT INTO webhook_untold (source, ref) VALUES ('destination', NEW.id);
END;

-- What is told, as it is sent.
CREATE TABLE webhook_messages (
    id TEXT PRIMARY KEY, -- the same for the same event, whoever tells it
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- To whom. Whoever delivers one moves its time first.
CREATE TABLE webhook_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id),
    message_id TEXT NOT NULL REFERENCES webhook_messages (id),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    created INTEGER NOT NULL, -- or sent again
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    ended INTEGER NOT NULL, -- 0: not yet
    status INTEGER NOT NULL, -- of the last answer; 0: none
    outcome TEXT NOT NULL, -- of the last attempt
    UNIQUE (webhook_id, message_id)
) STRICT;

CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (webhook_id, due) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (webhook_id, state, id);
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (state, ended);
CREATE INDEX webhook_deliveries_by_message ON webhook_deliveries (message_id);

-- How far a node has told what lies in databases of its own.
CREATE TABLE webhook_marks (
    node TEXT NOT NULL,
    source TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (node, source)
) STRICT, WITHOUT ROWID;
