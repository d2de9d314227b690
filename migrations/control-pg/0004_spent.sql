-- Codes that records name and that this database has no link of, as in ../control.
CREATE TABLE spent (code text COLLATE "C" PRIMARY KEY);
