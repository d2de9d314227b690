//! What need not be kept any more.

use super::super::{
    super::{
        Error,
        events::EventKind,
        store::{EventQuery, VersionRow},
    },
    Feeds, lock,
};

impl Feeds {
    /// Removes what need not be kept any more.
    pub(super) fn tidy(&self, feed: &str) -> Result<(), Error> {
        let _deciding = lock(&self.deciding);
        // Another node of this directory may be going back to a version right now.
        let Some(alone) = self.shelf.hold_alone(feed)? else { return Ok(()) };
        let (row, _) = self.feed(feed)?;
        let newest = self.store().versions(feed, 0, self.config.versions_kept)?;
        let Some(oldest) = newest.last().map(|v| v.number) else { return Ok(()) };
        let mut keep = vec![row.version];
        keep.extend(self.rows_base(feed)?);
        let held = newest.iter().filter(|v: &&VersionRow| v.last.kind == EventKind::Held);
        keep.extend(held.map(|v| v.number));
        // What was in force stays to go back to, however many came after it and never were.
        let decided = self.store().events(&EventQuery {
            feed: Some(feed),
            kinds: &EventKind::DECIDING,
            newest_first: true,
            limit: self.config.versions_kept,
            ..EventQuery::default()
        })?;
        keep.extend(decided.iter().map(|e| e.version));
        let below = oldest.min(self.rows_pending_from(feed)?.unwrap_or(u64::MAX));
        self.shelf.prune(&alone, feed, below, &keep);
        self.store().forget_rejections(feed, below)
    }
}
