//! Queries of one UDP thread that wait for an upstream.
//!
//! They are resolved on the shared runtime and come back to the thread that received them, which
//! records and sends. At most `misses_max` wait at once, and that bounds the queue they come back
//! through as well.

use std::sync::Arc;

use nix::{errno::Errno, sys::eventfd::EventFd};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::front::Asked;
use crate::resolver::{Done, Pending, Resolver};

/// One thread's waiting queries.
pub(super) struct Misses {
    max: usize,
    waiting: usize,
    back: mpsc::Receiver<Finished>,
    send: mpsc::Sender<Finished>,
    wake: Arc<EventFd>,
    home: Home,
}

/// Where queries wait.
pub(super) struct Home {
    pub(super) resolver: Arc<Resolver>,
    pub(super) runtime: Handle,
    pub(super) tasks: TaskTracker,
    /// The grace of a stop is over: nothing more is waited for.
    pub(super) cut: CancellationToken,
}

/// A query that waits no longer.
pub(super) struct Finished {
    /// Which of the thread's sockets it came through.
    pub(super) socket: usize,
    pub(super) asked: Asked,
    /// None where the task ended without an answer: cut off, or by a panic.
    pub(super) done: Option<Done>,
}

impl Misses {
    pub(super) fn new(max: usize, wake: Arc<EventFd>, home: Home) -> Self {
        let (send, back) = mpsc::channel(max.max(1));
        Self { max, waiting: 0, back, send, wake, home }
    }

    /// Queries asked and not yet given back.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting < self.max
    }

    /// Asks upstream. The caller looked at [`Misses::has_room`].
    pub(super) fn ask(&mut self, socket: usize, asked: Asked, pending: Box<Pending>) {
        self.waiting += 1;
        let mut ticket = Ticket {
            finished: Some(Finished { socket, asked, done: None }),
            send: self.send.clone(),
            wake: Arc::clone(&self.wake),
        };
        let resolver = Arc::clone(&self.home.resolver);
        let cut = self.home.cut.clone();
        let resolve = async move {
            let done = cut.run_until_cancelled(resolver.resolve(*pending)).await;
            if let Some(finished) = &mut ticket.finished {
                finished.done = done;
            }
        };
        self.home.tasks.spawn_on(resolve, &self.home.runtime);
    }

    /// The next that waits no longer.
    pub(super) fn finished(&mut self) -> Option<Finished> {
        let finished = self.back.try_recv().ok()?;
        self.waiting -= 1;
        Some(finished)
    }
}

/// Gives a query back when it is dropped, with its answer or without.
struct Ticket {
    finished: Option<Finished>,
    send: mpsc::Sender<Finished>,
    wake: Arc<EventFd>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(finished) = self.finished.take() else { return };
        // There is room for everyone who waits; a closed queue means that the thread has ended.
        if self.send.try_send(finished).is_ok() {
            wake(&self.wake);
        }
    }
}

/// Wakes the thread that polls `event`.
pub(super) fn wake(event: &EventFd) {
    match event.write(1) {
        // Full: it is awake already.
        Ok(_) | Err(Errno::EAGAIN) => (),
        Err(e) => tracing::error!(error = %e, "a UDP thread could not be woken"),
    }
}
