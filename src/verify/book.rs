//! What verification keeps beside its records, in an SQLite file of its own: declarations, what is to
//! be verified, and the last verdict of each subject.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Check, Declaration, Occasion, Overall};
use crate::{clock::Timestamp, sql};

const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/verify/0001_verify.sql")];

/// After a try in vain the next one comes so much later, twice as late each time.
const AGAIN: Duration = Duration::from_secs(60);

/// And at most so much later.
const AGAIN_MAX: Duration = Duration::from_secs(86_400);

/// The file failed.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] sql::Error),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// Too much waits.
    #[error("as much waits to be verified as may")]
    Full,
}

/// The last verdict of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// In one word.
    pub overall: Overall,
    /// The checks that found what somebody has to mend.
    pub adverse: Vec<&'static str>,
    /// When it was judged.
    pub at: Timestamp,
    /// Through when it may be believed.
    pub valid_until: Timestamp,
    /// The id of its record.
    pub record: String,
}

/// A declaration that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Declared {
    /// The domain.
    pub domain: String,
    /// When it was declared.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// What should be so.
    #[serde(flatten)]
    pub declaration: Declaration,
}

/// How much is verified, for whoever has to account for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Coverage {
    /// Subjects with a verdict.
    pub subjects: u64,
    /// Of these, by the last verdict.
    pub verified: u64,
    /// The same with notes.
    pub verified_with_notes: u64,
    /// What was needed is not known.
    pub unverified: u64,
    /// Something is not as it should be.
    pub discrepant: u64,
    /// Facts exclude each other.
    pub contradicted: u64,
    /// Verdicts that may not be believed any more.
    pub stale: u64,
    /// The share of subjects that are unverified, or whose verdict is stale; 0 to 1.
    pub unverified_share: f64,
    /// Subjects that wait to be verified.
    pub waiting: u64,
    /// Domains with a declaration.
    pub declared: u64,
}

/// The file.
#[derive(Debug)]
pub struct Book {
    connection: Mutex<Connection>,
    queue_max: u64,
}

impl Book {
    /// Opens or makes the file at `path`, for its owner alone. At most `queue_max` subjects wait.
    ///
    /// # Errors
    /// When it cannot be opened, or has a schema this build does not know.
    pub fn open(path: &Path, queue_max: u64) -> Result<Self, BookError> {
        Ok(Self { connection: Mutex::new(sql::open(path, &MIGRATIONS)?), queue_max })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A statement of a holder that panicked was rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares what should be so of `domain`; nothing withdraws what was declared.
    ///
    /// # Errors
    /// When the file fails.
    pub fn declare(
        &self,
        domain: &str,
        declaration: Option<&Declaration>,
        actor: &str,
        at: Timestamp,
    ) -> Result<(), BookError> {
        // Its members have text for keys.
        let body = declaration.map(|d| serde_json::to_string(d).unwrap_or_default());
        let sql = "INSERT INTO declarations (domain, at, actor, body) VALUES (?, ?, ?, ?)";
        self.connection().execute(sql, params![domain, at.0, actor, body.unwrap_or_default()])?;
        Ok(())
    }

    /// What counts for `domain`.
    ///
    /// # Errors
    /// When the file fails.
    pub fn declared(&self, domain: &str) -> Result<Option<Declared>, BookError> {
        let sql = "SELECT domain, at, actor, body FROM declarations WHERE domain = ? \
                   ORDER BY number DESC LIMIT 1";
        let found = self.connection().query_row(sql, [domain], declared).optional()?;
        Ok(found.flatten())
    }

    /// All that counts, by domain, beginning after `after`.
    ///
    /// # Errors
    /// When the file fails.
    pub fn all_declared(&self, after: &str, limit: u32) -> Result<Vec<Declared>, BookError> {
        let sql = "SELECT domain, at, actor, body FROM declarations AS d WHERE domain > ? \
                   AND body != '' AND number = (SELECT max(number) FROM declarations \
                   WHERE domain = d.domain) ORDER BY domain LIMIT ?";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, limit], declared)?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Puts a subject into the queue, or more to the front of it.
    ///
    /// # Errors
    /// [`BookError::Full`]; when the file fails.
    pub fn enqueue(
        &self,
        subject: &str,
        occasion: Occasion,
        due: Timestamp,
    ) -> Result<(), BookError> {
        let connection = self.connection();
        let count = "SELECT count(*) FROM queue WHERE subject != ?";
        let waiting: u64 = connection
            .prepare_cached(count)?
            .query_row([subject], |r| Ok(r.get::<_, i64>(0)?.cast_unsigned()))?;
        if waiting >= self.queue_max {
            return Err(BookError::Full);
        }
        let sql = "INSERT INTO queue (subject, occasion, due, weight, tries) VALUES (?, ?, ?, 1, 0) \
                   ON CONFLICT (subject) DO UPDATE SET due = min(due, excluded.due), \
                   occasion = iif(excluded.due < due, excluded.occasion, occasion), \
                   weight = weight + 1";
        connection.prepare_cached(sql)?.execute(params![subject, occasion.name(), due.0])?;
        Ok(())
    }

    /// The subjects that are due, the longest first, what more want to know before the rest.
    ///
    /// # Errors
    /// When the file fails.
    pub fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<(String, Occasion)>, BookError> {
        let sql = "SELECT subject, occasion FROM queue WHERE due <= ? \
                   ORDER BY due, weight DESC LIMIT ?";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement
            .query_map(params![now.0, limit], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        let named = |(subject, name): (String, String)| {
            let occasion = Occasion::ALL.iter().copied().find(|o| o.name() == name);
            (subject, occasion.unwrap_or(Occasion::Schedule))
        };
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().map(named).collect())
    }

    /// Notes a verdict. What is in the queue is due again at `again`, or not any more.
    ///
    /// # Errors
    /// When the file fails.
    pub fn judged(
        &self,
        subject: &str,
        last: &Last,
        again: Option<Timestamp>,
    ) -> Result<(), BookError> {
        let mut connection = self.connection();
        let tx = connection.transaction()?;
        tx.prepare_cached(
            "INSERT OR REPLACE INTO verdicts (subject, overall, adverse, at, valid_until, record) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            subject,
            last.overall.name(),
            last.adverse.join(","),
            last.at.0,
            last.valid_until.0,
            last.record
        ])?;
        match again {
            Some(due) => tx
                .prepare_cached(
                    "UPDATE queue SET due = ?, occasion = 'schedule', tries = 0 WHERE subject = ?",
                )?
                .execute(params![due.0, subject])?,
            None => tx.prepare_cached("DELETE FROM queue WHERE subject = ?")?.execute([subject])?,
        };
        tx.commit()?;
        Ok(())
    }

    /// Notes a try in vain.
    ///
    /// # Errors
    /// When the file fails.
    pub fn missed(&self, subject: &str, now: Timestamp) -> Result<(), BookError> {
        let connection = self.connection();
        let tries: Option<u32> = connection
            .prepare_cached("UPDATE queue SET tries = tries + 1 WHERE subject = ? RETURNING tries")?
            .query_row([subject], |row| row.get(0))
            .optional()?;
        let wait = AGAIN.saturating_mul(1 << tries.unwrap_or(1).min(12)).min(AGAIN_MAX);
        connection
            .prepare_cached("UPDATE queue SET due = ? WHERE subject = ?")?
            .execute(params![now.saturating_add(wait).0, subject])?;
        Ok(())
    }

    /// The last verdicts, the newest first.
    ///
    /// # Errors
    /// When the file fails.
    pub fn lasts(&self, limit: u32) -> Result<Vec<(String, Last)>, BookError> {
        let sql = "SELECT subject, overall, adverse, at, valid_until, record FROM verdicts \
                   ORDER BY at DESC LIMIT ?";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([limit], last)?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The subjects whose last verdict, believed at `now`, is one of `words`, or has a finding by one
    /// of these ids; by name.
    ///
    /// # Errors
    /// When the file fails.
    pub fn named(
        &self,
        words: &[String],
        now: Timestamp,
    ) -> Result<Vec<(String, Last)>, BookError> {
        let sql = "SELECT subject, overall, adverse, at, valid_until, record FROM verdicts \
                   WHERE valid_until >= ? AND (adverse != '' OR overall NOT LIKE 'verified%') \
                   ORDER BY subject";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([now.0], last)?;
        let is_named = |last: &Last| {
            let mut found = last.adverse.iter().copied().chain([last.overall.name()]);
            found.any(|name| words.iter().any(|w| w == name))
        };
        let all = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().flatten().filter(|(_, last)| is_named(last)).collect())
    }

    /// How much is verified at `now`.
    ///
    /// # Errors
    /// When the file fails.
    pub fn coverage(&self, now: Timestamp) -> Result<Coverage, BookError> {
        let sql = "SELECT count(*), \
                   count(*) FILTER (WHERE overall = 'verified'), \
                   count(*) FILTER (WHERE overall = 'verified_with_notes'), \
                   count(*) FILTER (WHERE overall = 'unverified'), \
                   count(*) FILTER (WHERE overall = 'discrepant'), \
                   count(*) FILTER (WHERE overall = 'contradicted'), \
                   count(*) FILTER (WHERE valid_until < ?1), \
                   count(*) FILTER (WHERE valid_until < ?1 OR overall = 'unverified'), \
                   (SELECT count(*) FROM queue WHERE due <= ?1), \
                   (SELECT count(*) FROM declarations AS d WHERE body != '' AND number = \
                    (SELECT max(number) FROM declarations WHERE domain = d.domain)) \
                   FROM verdicts";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql)?;
        let counts = statement.query_row([now.0], |row| {
            let mut counts = [0_u64; 10];
            for (at, count) in counts.iter_mut().enumerate() {
                *count = row.get::<_, i64>(at)?.cast_unsigned();
            }
            Ok(counts)
        })?;
        let [
            subjects,
            verified,
            verified_with_notes,
            unverified,
            discrepant,
            contradicted,
            stale,
            open,
            waiting,
            declared,
        ] = counts;
        let unverified_share = if subjects == 0 { 0.0 } else { open as f64 / subjects as f64 };
        Ok(Coverage {
            subjects,
            verified,
            verified_with_notes,
            unverified,
            discrepant,
            contradicted,
            stale,
            unverified_share,
            waiting,
            declared,
        })
    }
}

fn declared(row: &Row<'_>) -> rusqlite::Result<Option<Declared>> {
    let body: String = row.get(3)?;
    // What was declared was checked then.
    let Ok(declaration) = serde_json::from_str(&body) else { return Ok(None) };
    let (domain, actor) = (row.get(0)?, row.get(2)?);
    Ok(Some(Declared { domain, at: Timestamp(row.get(1)?), actor, declaration }))
}

/// The id of a check that this build has.
fn known(id: &str) -> Option<&'static str> {
    Check::ALL.iter().map(|check| check.entry().id).find(|known| *known == id)
}

fn last(row: &Row<'_>) -> rusqlite::Result<Option<(String, Last)>> {
    let overall: String = row.get(1)?;
    let Some(overall) = Overall::ALL.iter().copied().find(|o| o.name() == overall) else {
        return Ok(None);
    };
    let adverse: String = row.get(2)?;
    let last = Last {
        overall,
        adverse: adverse.split(',').filter_map(known).collect(),
        at: Timestamp(row.get(3)?),
        valid_until: Timestamp(row.get(4)?),
        record: row.get(5)?,
    };
    Ok(Some((row.get(0)?, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_outlives_its_process_and_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verify.sqlite3");
        let at = Timestamp::from_secs;
        let book = Book::open(&path, 3).unwrap();
        for (subject, due) in [("late.example", 30), ("early.example", 10), ("often.example", 10)] {
            book.enqueue(subject, Occasion::Create, at(due)).unwrap();
        }
        book.enqueue("often.example", Occasion::Create, at(20)).unwrap();
        let full = book.enqueue("more.example", Occasion::Create, at(1));
        assert!(matches!(full, Err(BookError::Full)));
        drop(book);
        let book = Book::open(&path, 3).unwrap();
        let due = |now| -> Vec<String> {
            book.due(at(now), 10).unwrap().into_iter().map(|(subject, _)| subject).collect()
        };
        assert_eq!(due(9), Vec::<String>::new());
        assert_eq!(due(30), ["often.example", "early.example", "late.example"]);
        let last = Last {
            overall: Overall::Unverified,
            adverse: vec![],
            at: at(30),
            valid_until: at(40),
            record: "n-1-0".into(),
        };
        book.judged("often.example", &last, Some(at(40))).unwrap();
        book.judged("early.example", &last, None).unwrap();
        book.missed("late.example", at(30)).unwrap();
        assert_eq!(due(39), Vec::<String>::new());
        assert_eq!(due(40), ["often.example"]);
        assert_eq!(due(30 + 120), ["often.example", "late.example"]);
        let coverage = book.coverage(at(41)).unwrap();
        assert_eq!((coverage.subjects, coverage.unverified, coverage.stale), (2, 2, 2));
        assert_eq!((coverage.unverified_share, coverage.waiting), (1.0, 1));
        assert_eq!(book.lasts(10).unwrap().len(), 2);
    }

    #[test]
    fn the_last_declaration_counts_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(&dir.path().join("verify.sqlite3"), 3).unwrap();
        let of = |asn| Declaration { asns: vec![asn], ..Declaration::default() };
        let at = Timestamp::from_secs(1);
        for asn in [1, 2] {
            book.declare("example.com", Some(&of(asn)), "me", at).unwrap();
        }
        book.declare("example.net", Some(&of(3)), "me", at).unwrap();
        assert_eq!(book.declared("example.com").unwrap().unwrap().declaration, of(2));
        assert_eq!(book.all_declared("", 10).unwrap().len(), 2);
        book.declare("example.com", None, "me", at).unwrap();
        assert_eq!(book.declared("example.com").unwrap(), None);
        assert_eq!(book.all_declared("", 10).unwrap()[0].domain, "example.net");
        let gone = book.connection().execute("DELETE FROM declarations", []);
        assert!(gone.unwrap_err().to_string().contains("stay as they are"));
    }
}
