-- Whose links a writer's token may make, read and change; empty: everybody's.
ALTER TABLE tokens ADD COLUMN owner TEXT NOT NULL DEFAULT '';
