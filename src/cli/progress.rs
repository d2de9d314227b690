//! Signs of life on a terminal, for work that takes longer than a person waits without wondering.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// Work longer than this shows that it goes on.
const QUIET: Duration = Duration::from_secs(1);

/// How often the sign moves.
const TICK: Duration = Duration::from_millis(120);

/// How often the stage of the work is asked for.
const LOOK: Duration = Duration::from_millis(500);

/// Does `work`, and shows on a terminal that it goes on once it takes long. `what` says what it
/// is.
pub(super) async fn busy<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    followed(what, work, async || None).await
}

/// The same, with what `stage` says of how far it is, where that is anything.
pub(super) async fn followed<T>(
    what: &'static str,
    work: impl Future<Output = T>,
    stage: impl AsyncFn() -> Option<String>,
) -> T {
    tokio::pin!(work);
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(QUIET, &mut work).await {
        return done;
    }
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(what);
    spinner.enable_steady_tick(TICK);
    let done = loop {
        let look = async {
            tokio::time::sleep(LOOK).await;
            stage().await
        };
        tokio::select! {
            done = &mut work => break done,
            found = look => {
                if let Some(found) = found {
                    spinner.set_message(found);
                }
            }
        }
    };
    spinner.finish_and_clear();
    done
}
