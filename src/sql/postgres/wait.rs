//! Waiting for a future with the calling thread, inside a runtime or not.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use crate::clock::Clock;

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What `future` gives, or none when it takes longer than `timeout`; it is dropped then.
pub(super) fn block_on<F: Future>(
    clock: &Clock,
    timeout: Duration,
    future: F,
) -> Option<F::Output> {
    // Our caller may be a task whose turn is long used up; that must not stop us from looking.
    let mut future = pin!(tokio::task::unconstrained(future));
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let began = clock.monotonic();
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut context) {
            return Some(out);
        }
        let waited = clock.monotonic().saturating_duration_since(began);
        thread::park_timeout(timeout.checked_sub(waited).filter(|left| !left.is_zero())?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_another_thread_and_not_for_ever() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let clock = Clock::system();
        thread::scope(|s| {
            s.spawn(move || tell.send(7).unwrap());
            let got = block_on(&clock, Duration::from_secs(60), told);
            assert_eq!(got.unwrap().unwrap(), 7);
        });
        let never = block_on(&clock, Duration::from_millis(1), std::future::pending::<()>());
        assert!(never.is_none());
    }

    #[test]
    fn waits_inside_a_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let got = runtime.block_on(async {
            block_on(&Clock::system(), Duration::from_secs(60), std::future::ready(1))
        });
        assert_eq!(got, Some(1));
    }
}
