//! What a valid configuration should hear all the same. Pure: looks at the configuration alone.

use super::{Loaded, Problem};

/// Everything about `loaded` that works today and ends badly if nobody looks after it.
pub fn warnings(loaded: &Loaded) -> Vec<Problem> {
    let store = &loaded.config.store;
    let mut found = Vec::new();
    if store.url == "embedded" && store.disk_bytes_max == 0 {
        found.push(loaded.source.problem(
            "store.disk_bytes_max",
            "without a limit the embedded engine fills the disk, until the spool has no room either",
            "Write the bytes its tables may take, such as three quarters of the disk",
        ));
    }
    found
}
