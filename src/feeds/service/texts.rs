//! What two versions of a list say of the rules that are in both, word for word.
//!
//! The index knows what a rule does, not how its list puts it: two entries may differ in a comment,
//! in a column that no field is read from, in the order of their words. The list before is
//! therefore read again, to 8 bytes an entry, while the records of a version are written.

use std::hash::{BuildHasher, RandomState};

use super::{
    super::{
        Error,
        format::{Encoding, Place, Reason, Sink},
    },
    Feeds,
};
use crate::policy::{Index, Rule};

/// The entries of one version, as hashes that nobody can aim at.
#[derive(Debug, Default)]
pub(super) struct Texts {
    keys: RandomState,
    /// In order, once it is complete.
    said: Vec<u64>,
}

/// The text of an entry, whole: entries are as long as `feeds.line_bytes_max` at most.
pub(super) fn text_of(at: Place<'_>) -> String {
    // A rule was read from it: bytes in neither encoding are those of a comment.
    let lossy = |_| String::from_utf8_lossy(at.text).into_owned();
    Encoding::Auto.decode(at.text).map_or_else(lossy, Into::into)
}

impl Texts {
    /// What version `version` of a feed says of the rules that are the same in `base`, which are
    /// its own, and in `new`. Nothing where its list can be read no more: everything is told again.
    pub(super) fn of(feeds: &Feeds, feed: &str, version: u64, base: &Index, new: &Index) -> Self {
        if version == 0 || base.iter().next().is_none() {
            return Self::default();
        }
        match Self::read(feeds, feed, version, base, new) {
            Ok(texts) => texts,
            Err(error) => {
                tracing::warn!(feed, version, %error, "told again: rules that may say the same");
                Self::default()
            }
        }
    }

    fn read(
        feeds: &Feeds,
        feed: &str,
        version: u64,
        base: &Index,
        new: &Index,
    ) -> Result<Self, Error> {
        let row = feeds.store().version(feed, version)?.ok_or(Error::Unknown("version"))?;
        let spec = feeds.spec_of(feed, row.event)?;
        let kept = feeds.shelf.version(feed, version, row.arrived.digest);
        let mut reader = Reader { feeds, base, new, texts: Self::default() };
        let (list, manifest) = (kept.list(), kept.manifest());
        let read = feeds.reading(&spec).stream(&list, manifest.as_deref(), &mut reader);
        read.map_err(|e| Error::Unreadable(e.to_string()))?;
        let mut texts = reader.texts;
        texts.said.sort_unstable();
        texts.said.dedup();
        Ok(texts)
    }

    /// Whether the version says this of this rule.
    pub(super) fn has(&self, at: Place<'_>, rule: &Rule) -> bool {
        self.said.binary_search(&self.hash(at, rule)).is_ok()
    }

    fn hash(&self, at: Place<'_>, rule: &Rule) -> u64 {
        self.keys.hash_one((rule.trigger.to_string(), at.text))
    }
}

struct Reader<'a> {
    feeds: &'a Feeds,
    base: &'a Index,
    new: &'a Index,
    texts: Texts,
}

impl Sink for Reader<'_> {
    fn rule(&mut self, at: Place<'_>, rule: Rule) {
        let stays = self.base.get(&rule.trigger).is_some_and(|before| {
            // Of two that contradict each other the other one counts.
            before.legal == rule.legal && self.new.get(&rule.trigger).as_ref() == Some(&before)
        });
        if stays {
            let hash = self.texts.hash(at, &rule);
            self.texts.said.push(hash);
        }
    }

    fn reject(&mut self, _: Place<'_>, _: Reason) {}

    fn wants_more(&self) -> bool {
        !self.feeds.stop.is_cancelled()
    }
}
