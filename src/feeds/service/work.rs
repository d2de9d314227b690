//! What a node is doing about a feed now, for whoever waits.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{Done, Meter},
    Feeds, lock,
};

/// A stage on the way from a source until a version is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
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

/// What is being done about one feed, and by how many.
#[derive(Debug)]
pub(super) struct Work {
    stage: Stage,
    workers: usize,
    meter: Meter,
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
        let new = || Work { stage, workers: 0, meter: Meter::default() };
        let work = all.entry(feed.to_owned()).or_insert_with(new);
        (work.stage, work.workers) = (stage, work.workers + 1);
        Working { feeds: self, feed }
    }

    /// The next stage, where somebody may be waiting.
    pub(super) fn stage(&self, feed: &str, stage: Stage) {
        if let Some(work) = lock(&self.work).get_mut(feed) {
            work.stage = stage;
        }
    }

    /// Where whoever works on a feed counts what is done.
    pub(super) fn meter(&self, feed: &str) -> Meter {
        lock(&self.work).get(feed).map(|work| work.meter.clone()).unwrap_or_default()
    }

    /// What is done about a feed now, and how far it is; none when nothing is.
    pub(super) fn stage_of(&self, feed: &str) -> Option<(Stage, Done)> {
        lock(&self.work).get(feed).map(|work| (work.stage, work.meter.done()))
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut all = lock(&self.feeds.work);
        if let Some(work) = all.get_mut(self.feed) {
            work.workers -= 1;
            if work.workers == 0 {
                all.remove(self.feed);
            }
        }
    }
}
