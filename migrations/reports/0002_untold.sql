-- Reports (step 0) and decisions (their step) that no webhook was told of yet: written with them, in
-- their transaction.
CREATE TABLE report_untold (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    report_id INTEGER NOT NULL REFERENCES reports (id),
    step INTEGER NOT NULL
) STRICT;

CREATE TRIGGER reports_are_told AFTER INSERT ON reports
BEGIN
    INSERT INTO report_untold (report_id, step) VALUES (NEW.id, 0);
END;
CREATE TRIGGER report_steps_are_told AFTER INSERT ON report_steps WHEN NEW.event = 'decided'
BEGIN
    INSERT INTO report_untold (report_id, step) VALUES (NEW.report_id, NEW.step);
END;
