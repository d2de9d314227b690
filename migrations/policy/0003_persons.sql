-- The person who made an own rule: whoever confirms a block must be somebody else. Empty: the person
-- that the token is named after.
ALTER TABLE own_rules ADD COLUMN person TEXT NOT NULL DEFAULT '';
