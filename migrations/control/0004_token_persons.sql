-- Who bears a token. Several tokens may be one person's: where two persons are needed, two tokens are
-- not enough. Empty: the person that the token is named after.
ALTER TABLE tokens ADD COLUMN person TEXT NOT NULL DEFAULT '';
