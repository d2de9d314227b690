-- Where targets lead. What was found stays: a row for each time that it was not what it had been.
CREATE TABLE destinations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text COLLATE "C" NOT NULL,
    revision integer NOT NULL,
    ts bigint NOT NULL,
    target text NOT NULL, -- where the walk began
    url text NOT NULL, -- and where it ended
    host text NOT NULL,
    registrable_domain text NOT NULL,
    outcome text NOT NULL,
    findings text NOT NULL, -- words with a space between
    detail text NOT NULL,
    flow text NOT NULL -- of the records of its hops, in decimal
);

CREATE INDEX destinations_by_code ON destinations (code, id);

CREATE FUNCTION destinations_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'destinations stay as they are';
END
$$;

CREATE TRIGGER destinations_stay BEFORE UPDATE OR DELETE ON destinations
    FOR EACH ROW EXECUTE FUNCTION destinations_stay();
CREATE TRIGGER destinations_are_not_emptied BEFORE TRUNCATE ON destinations
    FOR EACH STATEMENT EXECUTE FUNCTION destinations_stay();

-- Which links are to be walked, and when. Whoever walks one moves its time first.
CREATE TABLE walks (
    code text COLLATE "C" PRIMARY KEY,
    revision integer NOT NULL, -- the newest that was taken into the schedule
    due bigint NOT NULL,
    walked bigint NOT NULL, -- when the last walk ended; 0: never
    failures integer NOT NULL -- walks since then that came to no end
);

CREATE INDEX walks_by_due ON walks (due);
