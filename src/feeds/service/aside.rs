//! Long work beside the answering of queries.
//!
//! A list of millions takes seconds of a core to read. On a machine whose cores all answer, that
//! would be felt by clients: it is done by threads of their own that yield to all others. A thread
//! of the pool would not do, as only the privileged may take back what they gave up.

use std::{panic::resume_unwind, thread};

use rustix::process::setpriority_process;
use tokio::runtime::Handle;

/// How far work steps back, as `nice` counts. It has every core that nobody else wants, whatever it
/// says here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Yields {
    /// Somebody waits for it, a deadline set by law among them: it gets a tenth of a core that
    /// answers without a pause.
    Much = 10,
    /// Nobody waits.
    Most = 19,
}

/// Does `work` on a thread of its own, and waits for it; a panic is the caller's.
pub(super) fn aside<T: Send>(yields: Yields, work: impl FnOnce() -> T + Send) -> T {
    let runtime = Handle::try_current().ok();
    let done = thread::scope(|scope| {
        let yielding = || {
            let _inside = runtime.as_ref().map(Handle::enter);
            // Of "no process", Linux takes the calling thread alone.
            if let Err(error) = setpriority_process(None, yields as i32) {
                tracing::debug!(%error, "a list is read without yielding");
            }
            work()
        };
        scope.spawn(yielding).join()
    });
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn work_yields_and_the_caller_does_not() {
        let nice = || getpriority_process(None).unwrap();
        let before = nice();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inside = runtime.enter();
        let (within, runtime_there) =
            aside(Yields::Most, || (nice(), Handle::try_current().is_ok()));
        assert_eq!((within, runtime_there), (19, true));
        assert_eq!(nice(), before);
        drop(inside);
        let panicked = std::panic::catch_unwind(|| aside(Yields::Much, || panic!("within")));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"within"));
    }
}
