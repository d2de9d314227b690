//! Readers' statements, told to the supervisor before they run or are refused.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, mpsc as std_mpsc},
    time::Duration,
};

use super::{
    exception::{Code, Exception},
    guard::Who,
    protocol::{Look, Said, Verdict},
    request::Call,
};

/// Statements that wait for their verdict.
pub(super) struct Looks {
    /// None when nobody listens: an engine started by hand.
    out: Option<tokio::sync::mpsc::Sender<Said>>,
    timeout: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    verdicts: HashMap<u64, std_mpsc::Sender<bool>>,
}

impl Looks {
    pub(super) fn new(out: Option<tokio::sync::mpsc::Sender<Said>>, timeout: Duration) -> Self {
        Self { out, timeout, waiting: Mutex::default() }
    }

    /// Waits until a reader's statement that is about to run is recorded.
    ///
    /// # Errors
    /// 497 when it was not recorded, or not in time: then it does not run.
    pub(super) fn allow(&self, call: &Call, statement: &str) -> Result<(), Exception> {
        self.report(call, statement, false)
    }

    /// Waits until a reader's statement that was refused for `reason` is recorded; what the reader
    /// is told. What came without a text was no look.
    pub(super) fn refused(&self, call: &Call, statement: &str, reason: Exception) -> Exception {
        if statement.is_empty() {
            return reason;
        }
        self.report(call, statement, true).err().unwrap_or(reason)
    }

    fn report(&self, call: &Call, statement: &str, refused: bool) -> Result<(), Exception> {
        if call.who != Who::Reader {
            return Ok(());
        }
        let Some(out) = &self.out else { return Ok(()) };
        let (verdict, heard) = std_mpsc::channel();
        let look = {
            let mut waiting = self.lock();
            waiting.last += 1;
            let look = waiting.last;
            waiting.verdicts.insert(look, verdict);
            look
        };
        let said = Look {
            look,
            query_id: call.query_id.clone(),
            peer: call.peer,
            statement: statement.to_owned(),
            database: call.database.clone().unwrap_or_default(),
            parameters: call.params.clone(),
            settings: call.settings.clone(),
            refused,
        };
        let allowed = out.try_send(Said::Look(said)).is_ok()
            && heard.recv_timeout(self.timeout).unwrap_or(false);
        self.lock().verdicts.remove(&look);
        if allowed {
            return Ok(());
        }
        Err(Exception::new(Code::AccessDenied, "this look could not be recorded, so it is refused"))
    }

    /// Passes on what the supervisor decided; one that nobody waits for is late.
    pub(super) fn decide(&self, verdict: Verdict) {
        if let Some(waiting) = self.lock().verdicts.remove(&verdict.look)
            && waiting.send(verdict.allow).is_err()
        {
            tracing::debug!(look = verdict.look, "a verdict came too late");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
