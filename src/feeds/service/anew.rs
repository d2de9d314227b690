//! Lists that are here, read and judged anew because their feed's settings mean something else by
//! them. Their source need not be there for that.

use std::sync::Arc;

use super::{
    super::{Error, FeedSpec, events::EventKind, store::VersionRow},
    By, Feeds, lock,
    work::Stage,
};

impl Feeds {
    /// Makes versions of the lists that are in force, or wait for somebody, as the feed's settings
    /// mean them now. They take force, or are held, as any other does. Blocks.
    pub(super) fn judge_anew(self: &Arc<Self>, feed: &str, by: &By) -> Result<(), Error> {
        let _working = self.working(feed, Stage::Reading);
        let busy = self.busy(feed);
        let _busy = lock(&busy);
        for version in self.meant_otherwise(feed)? {
            let arrived = &version.arrived;
            let kept = self.shelf.version(feed, version.number, arrived.digest);
            let brought = kept.again(self.shelf.incoming(), arrived, self.config.list_bytes_max)?;
            if brought.digest() != arrived.digest {
                return Err(Error::Damaged(version.number));
            }
            self.take_one(feed, brought, by)?;
        }
        Ok(())
    }

    /// The versions that are to be judged anew: the one in force, then the newest one, if that is
    /// another list and still matters.
    fn meant_otherwise(&self, feed: &str) -> Result<Vec<VersionRow>, Error> {
        let (row, spec) = self.feed(feed)?;
        let version = |number: u64| match number {
            0 => Ok(None),
            number => self.store().version(feed, number),
        };
        let (in_force, newest) = (version(row.version)?, version(row.newest)?);
        let Some(newest) = newest else { return Ok(Vec::new()) };
        let waits = matches!(newest.last.kind, EventKind::Held | EventKind::Failed);
        let found = match in_force {
            Some(old) if old.arrived.digest == newest.arrived.digest => vec![newest],
            Some(old) if waits => vec![old, newest],
            Some(old) => vec![old],
            None if waits => vec![newest],
            None => Vec::new(),
        };
        let mut meant = Vec::new();
        for version in found {
            if self.means_otherwise(&version, &spec)? {
                meant.push(version);
            }
        }
        Ok(meant)
    }

    /// Whether the same list is something else by `spec`, and is here to be read by it. One that
    /// comes from elsewhere, or in another format, is another list: its source has to be asked.
    fn means_otherwise(&self, version: &VersionRow, spec: &FeedSpec) -> Result<bool, Error> {
        let read = self.spec_of(&version.feed, version.event)?;
        let same_list = (&read.source, &read.format, &read.options)
            == (&spec.source, &spec.format, &spec.options);
        let kept = self.shelf.version(&version.feed, version.number, version.arrived.digest);
        Ok(same_list && read.reading_key() != spec.reading_key() && kept.is_there())
    }
}
