-- Reports (step 0) and decisions (their step) that no webhook was told of yet: written with them, in
-- their transaction.
CREATE TABLE report_untold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    report_id bigint NOT NULL REFERENCES reports (id),
    step bigint NOT NULL
);

CREATE FUNCTION report_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_untold (report_id, step) VALUES (NEW.id, 0);
    RETURN NULL;
END
$$;

CREATE FUNCTION report_step_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_untold (report_id, step) VALUES (NEW.report_id, NEW.step);
    RETURN NULL;
END
$$;

CREATE TRIGGER reports_are_told AFTER INSERT ON reports
    FOR EACH ROW EXECUTE FUNCTION report_told();
CREATE TRIGGER report_steps_are_told AFTER INSERT ON report_steps
    FOR EACH ROW WHEN (NEW.event = 'decided') EXECUTE FUNCTION report_step_told();
