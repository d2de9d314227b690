//! Reports go along in a backup of links.
//!
//! What is under way, a report or a step whose record is still in the outbox, is left out of the
//! copy, as revisions of links are: its record may or may not be kept.

use rusqlite::{Connection, OptionalExtension, params};

use super::REPORTS;
use crate::{
    links::{self, Beside},
    record::{SchemaId, rowbinary::Reader},
};

/// The database of reports.
pub const BESIDE: Beside = Beside { file: REPORTS, what: "reports", settle, count };

fn count(db: &Connection) -> Result<u64, rusqlite::Error> {
    db.query_row("SELECT count(*) FROM reports", [], |row| row.get(0))
}

/// Takes out what the outbox says is under way, the newest first.
fn settle(db: &Connection) -> Result<(), links::Error> {
    let sql = "SELECT schema, bytes FROM report_outbox ORDER BY lane DESC, seq DESC";
    let rows: Vec<(u16, Vec<u8>)> = db
        .prepare(sql)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if rows.is_empty() {
        return Ok(());
    }
    // Its own tables let nothing be taken back.
    let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'";
    let triggers: Vec<(String, String)> = db
        .prepare(sql)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    db.execute_batch("BEGIN")?;
    for (name, _) in &triggers {
        db.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    for (schema, bytes) in rows {
        let row = SchemaId(schema).read_json(&mut Reader(&bytes));
        let row = row.map_err(|_| rusqlite::Error::InvalidQuery)?;
        let text = |column: &str| row.get(column).and_then(|v| v.as_str()).unwrap_or_default();
        take_back(db, text("report"), text("event"))?;
    }
    for (_, sql) in &triggers {
        db.execute_batch(sql)?;
    }
    db.execute_batch("DELETE FROM report_outbox; COMMIT")?;
    Ok(())
}

/// Takes back a report, or its last step of this event and what follows.
fn take_back(db: &Connection, number: &str, event: &str) -> Result<(), rusqlite::Error> {
    let id = "SELECT id FROM reports WHERE number = ?1";
    let Some(id) = db.query_row(id, [number], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(());
    };
    if event == "received" {
        for sql in [
            "DELETE FROM report_untold WHERE report_id = ?1",
            "DELETE FROM report_steps WHERE report_id = ?1",
            "DELETE FROM report_persons WHERE report_id = ?1",
            "DELETE FROM report_open WHERE report_id = ?1",
            "DELETE FROM reports WHERE id = ?1",
        ] {
            db.execute(sql, [id])?;
        }
        return Ok(());
    }
    db.execute(
        "DELETE FROM report_steps WHERE report_id = ?1 AND step >=
             (SELECT max(step) FROM report_steps WHERE report_id = ?1 AND event = ?2)",
        params![id, event],
    )?;
    db.execute(
        "DELETE FROM report_untold WHERE report_id = ?1 AND step > 0
             AND step NOT IN (SELECT step FROM report_steps WHERE report_id = ?1)",
        [id],
    )?;
    db.execute(
        "INSERT OR IGNORE INTO report_open SELECT id, due FROM reports
             WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM report_steps WHERE report_id = ?1)",
        [id],
    )?;
    Ok(())
}
