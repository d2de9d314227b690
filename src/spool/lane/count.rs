//! What cannot be kept is counted.

use std::sync::atomic::Ordering;

use super::{Commit, Lane};
use crate::spool::{
    lock,
    state::{Missing, Reason},
};

impl Lane {
    pub(super) fn count_dropped(&self) -> Commit {
        let (shed, refused) = self.pending.dropped();
        if shed.count == 0 && !refused {
            return Commit::Kept;
        }
        self.count(Reason::Overload, shed)
    }

    pub(super) fn shed(&self, reason: Reason) -> Commit {
        let (dropped, _) = self.pending.dropped();
        if dropped.count > 0 && self.count(Reason::Overload, dropped) == Commit::Refused {
            return Commit::Refused;
        }
        let shed = self.pending.shed();
        if shed.count == 0 && dropped.count == 0 {
            return Commit::Refused;
        }
        self.count(reason, shed)
    }

    pub(super) fn count(&self, reason: Reason, missing: Missing) -> Commit {
        if missing.count == 0 {
            return Commit::Shed;
        }
        // Whether rows of a failed write or fsync will be found again after all, nobody can say.
        let missing = Missing { upper: reason == Reason::IoError, ..missing };
        match lock(&self.view.state).add(reason, missing, self.core.synced()) {
            Ok(()) => {
                self.core.shed.fetch_add(missing.count, Ordering::Relaxed);
                Commit::Shed
            }
            Err(e) => {
                self.core.report(self.view.id, "counting in a gap row", &e);
                Commit::Refused
            }
        }
    }
}
