//! Whether the store answers, and since when it does not: said to whoever asks how we are.
//!
//! Set by everything that the shipper asks the store; the newest answer counts. Nothing that serves
//! depends on it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Error, failure};
use crate::clock::Timestamp;

/// What is known of the store.
#[derive(Debug)]
pub struct Health {
    away: Mutex<Option<Away>>,
    tables: watch::Sender<bool>,
}

#[derive(Debug)]
struct Away {
    since: Timestamp,
    why: String,
}

impl Health {
    /// Nobody has asked it yet.
    pub(super) fn new(now: Timestamp) -> Self {
        let away = Away { since: now, why: "not asked yet".into() };
        Self { away: Mutex::new(Some(away)), tables: watch::Sender::new(false) }
    }

    /// Why the store cannot be used, in one sentence without anything of its rows; none when it
    /// can.
    pub fn why_not(&self) -> Option<String> {
        self.lock().as_ref().map(|away| format!("away since {}: {}", away.since, away.why))
    }

    /// Whether it answered when it was last asked.
    pub(super) fn is_up(&self) -> bool {
        self.lock().is_none()
    }

    /// It answered.
    pub(super) fn answered(&self) {
        *self.lock() = None;
    }

    /// It did not, or said no.
    pub(super) fn failed(&self, now: Timestamp, error: &Error) {
        let mut away = self.lock();
        let since = away.as_ref().map_or(now, |a| a.since);
        *away = Some(Away { since, why: reason(error) });
    }

    /// The tables are there and are ours.
    pub(super) fn tables_made(&self) {
        self.tables.send_replace(true);
    }

    /// Waits until the tables are there.
    pub(super) async fn has_tables(&self) {
        let mut tables = self.tables.subscribe();
        // An error is the sender's end, and we are the sender.
        if tables.wait_for(|made| *made).await.is_err() {}
    }

    fn lock(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server's own words may hold parts of rows: of those, only the code is told.
fn reason(error: &Error) -> String {
    match error {
        Error::Server(clickhouse::error::Error::BadResponse(text)) => match failure::code(text) {
            Some(code) => format!("it refuses with ClickHouse's code {code}, see the log"),
            None => "what answers there is not ClickHouse".into(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_says_since_when_and_the_newest_why() {
        let [start, first, second] = [1, 2, 3].map(Timestamp::from_secs);
        let health = Health::new(start);
        assert_eq!(health.why_not(), Some(format!("away since {start}: not asked yet")));
        health.answered();
        assert_eq!((health.why_not(), health.is_up()), (None, true));
        let bad = |text: &str| Error::Server(clickhouse::error::Error::BadResponse(text.into()));
        health.failed(first, &Error::Timeout(std::time::Duration::from_secs(5)));
        let why = health.why_not().unwrap();
        assert!(why.starts_with(&format!("away since {first}: ")) && why.contains("5s"), "{why}");
        health.failed(second, &bad("Code: 33. DB::Exception: at row www.example"));
        let why = health.why_not().unwrap();
        assert!(why.starts_with(&format!("away since {first}: ")) && why.contains("33"), "{why}");
        assert!(!why.contains("www"), "{why}");
        health.failed(second, &bad("<html>502</html>"));
        assert!(health.why_not().unwrap().contains("not ClickHouse"));
        health.answered();
        assert!(health.is_up());
    }

    #[tokio::test]
    async fn tables_are_waited_for() {
        let health = Health::new(Timestamp::ZERO);
        let short = std::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(short, health.has_tables()).await.is_err());
        health.tables_made();
        health.has_tables().await;
    }
}
