-- Events whose record has no place in their node's spool yet: there was no room. What such a record
-- says is made of the event and its version when there is.
CREATE TABLE waiting (
    event_id INTEGER PRIMARY KEY REFERENCES events (id),
    node TEXT NOT NULL
) STRICT;
