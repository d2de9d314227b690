//! Turns to run a statement: so many at once, a queue of bounded length for a bounded time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::exception::{Code, Exception};

/// The turns of one secret. Each has its own, so that no reader can take ours.
pub(super) struct Turns {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    wait: Duration,
}

impl Turns {
    pub(super) fn new(running: usize, waiting: usize, wait: Duration) -> Self {
        let running = Arc::new(Semaphore::new(running));
        Self { running, waiting: Semaphore::new(waiting), wait }
    }

    /// Waits for a turn, which ends with what is returned.
    ///
    /// # Errors
    /// 202 when the queue is full or no turn came in time.
    pub(super) async fn next(&self) -> Result<OwnedSemaphorePermit, Exception> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(permit);
        }
        let full = |why| {
            Exception::new(Code::TooManyQueries, format!("Too many simultaneous queries: {why}"))
        };
        let place = self.waiting.try_acquire().map_err(|_| full("the queue is full"))?;
        let permit = timeout(self.wait, Arc::clone(&self.running).acquire_owned()).await;
        drop(place);
        permit.map_err(|_| full("none ended in time"))?.map_err(|_| full("the engine is ending"))
    }
}
