//! What a node is doing about a feed now, for whoever waits.

use serde::Serialize;

use super::{Feeds, lock};

/// A stage on the way from a source until a version is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its source is looked at.
    Fetching,
    /// What was received is read and compiled.
    Reading,
    /// What it would change is found out.
    Judging,
    /// It is written down, and takes force.
    Activating,
}

/// Somebody is at work on a feed, until this is dropped.
pub(super) struct Working<'a> {
    feeds: &'a Feeds,
    feed: &'a str,
}

impl Feeds {
    /// Begins to work on a feed.
    pub(super) fn working<'a>(&'a self, feed: &'a str, stage: Stage) -> Working<'a> {
        let mut all = lock(&self.work);
        let (at, workers) = all.entry(feed.to_owned()).or_insert((stage, 0));
        (*at, *workers) = (stage, *workers + 1);
        Working { feeds: self, feed }
    }

    /// The next stage, where somebody may be waiting.
    pub(super) fn stage(&self, feed: &str, stage: Stage) {
        if let Some((at, _)) = lock(&self.work).get_mut(feed) {
            *at = stage;
        }
    }

    /// What is done about a feed now; none when nothing is.
    pub(super) fn stage_of(&self, feed: &str) -> Option<Stage> {
        lock(&self.work).get(feed).map(|(stage, _)| *stage)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut all = lock(&self.feeds.work);
        if let Some((_, workers)) = all.get_mut(self.feed) {
            *workers -= 1;
            if *workers == 0 {
                all.remove(self.feed);
            }
        }
    }
}
