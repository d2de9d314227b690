//! What two versions of a list say of the rules that are in both, word for word.
//!
//! The index knows what a rule does, not how its list puts it: two entries may differ in a comment,
//! in a column that no field is read from, in the order of their words. The list before is
//! therefore read again, to 8 bytes an entry, while the records of a version are written.
//!
//! Several entries may say the same rule in other words. When some of them go and others stay, what
//! was told last may be what is gone: those that stay are told again.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use super::{
    super::{
        Error,
        format::{Encoding, Place, Reason, Sink},
        store::VersionRow,
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
    /// Rules that one of several entries is gone of.
    lost: HashSet<u64>,
}

/// The text of an entry, whole: entries are as long as `feeds.line_bytes_max` at most.
pub(super) fn text_of(at: Place<'_>, encoding: Encoding) -> String {
    // A rule was read from it: bytes that are no text are those of a comment.
    let lossy = |_| String::from_utf8_lossy(at.text).into_owned();
    encoding.decode(at.text).map_or_else(lossy, Into::into)
}

impl Texts {
    /// What the version before says of the rules that are the same in `base`, which are its own, and
    /// in `new`, which are the next one's. Nothing where a list can be read no more: everything is
    /// told again.
    pub(super) fn of(
        feeds: &Feeds,
        feed: &str,
        (before, next): (u64, u64),
        base: &Index,
        new: &Index,
    ) -> Self {
        if before == 0 || base.iter().next().is_none() {
            return Self::default();
        }
        match Self::read(feeds, feed, (before, next), base, new) {
            Ok(texts) => texts,
            Err(error) => {
                tracing::warn!(feed, before, %error, "told again: rules that may say the same");
                Self::default()
            }
        }
    }

    fn read(
        feeds: &Feeds,
        feed: &str,
        (before, next): (u64, u64),
        base: &Index,
        new: &Index,
    ) -> Result<Self, Error> {
        let mut texts = Self::default();
        let mut said = Vec::new();
        let row = each(feeds, feed, before, base, new, |at, encoding, rule| {
            said.push(texts.hash(at, encoding, rule));
        })?;
        said.sort_unstable();
        said.dedup();
        texts.said = said;
        // Without a second entry for the same rule none can be gone of it.
        if row.judgement.is_none_or(|j| j.duplicates > 0) {
            texts.lost = texts.lost(feeds, feed, (before, next), base, new)?;
        }
        Ok(texts)
    }

    /// The rules of which the next version does not have every entry.
    fn lost(
        &self,
        feeds: &Feeds,
        feed: &str,
        (before, next): (u64, u64),
        base: &Index,
        new: &Index,
    ) -> Result<HashSet<u64>, Error> {
        let mut there = vec![false; self.said.len()];
        each(feeds, feed, next, base, new, |at, encoding, rule| {
            if let Ok(place) = self.said.binary_search(&self.hash(at, encoding, rule)) {
                there[place] = true;
            }
        })?;
        let mut lost = HashSet::new();
        if there.iter().all(|there| *there) {
            return Ok(lost);
        }
        each(feeds, feed, before, base, new, |at, encoding, rule| {
            let place = self.said.binary_search(&self.hash(at, encoding, rule));
            if place.is_ok_and(|place| !there[place]) {
                lost.insert(self.rule(rule));
            }
        })?;
        Ok(lost)
    }

    /// Whether the version before says this of this rule, and nothing that is gone.
    pub(super) fn has(&self, at: Place<'_>, encoding: Encoding, rule: &Rule) -> bool {
        self.said.binary_search(&self.hash(at, encoding, rule)).is_ok()
            && (self.lost.is_empty() || !self.lost.contains(&self.rule(rule)))
    }

    fn hash(&self, at: Place<'_>, encoding: Encoding, rule: &Rule) -> u64 {
        // The same bytes are other words in another encoding.
        let encoding = if at.text.is_ascii() { Encoding::Auto } else { encoding };
        self.keys.hash_one((rule.trigger.to_string(), at.text, encoding))
    }

    fn rule(&self, rule: &Rule) -> u64 {
        self.keys.hash_one(rule.trigger.to_string())
    }
}

/// Hands over the entries of a version whose rule is the same in `base` and in `new`.
fn each(
    feeds: &Feeds,
    feed: &str,
    version: u64,
    base: &Index,
    new: &Index,
    entry: impl FnMut(Place<'_>, Encoding, &Rule),
) -> Result<VersionRow, Error> {
    let row = feeds.store().version(feed, version)?.ok_or(Error::Unknown("version"))?;
    let spec = feeds.spec_of(feed, row.event)?;
    let kept = feeds.shelf.version(feed, version, row.arrived.digest);
    let mut reader = Reader { feeds, base, new, encoding: Encoding::Auto, entry };
    let (list, manifest) = (kept.list(), kept.manifest());
    let read = feeds.reading(&spec).stream(&list, manifest.as_deref(), &mut reader);
    read.map_err(|e| Error::Unreadable(e.to_string()))?;
    Ok(row)
}

struct Reader<'a, E> {
    feeds: &'a Feeds,
    base: &'a Index,
    new: &'a Index,
    encoding: Encoding,
    entry: E,
}

impl<E: FnMut(Place<'_>, Encoding, &Rule)> Sink for Reader<'_, E> {
    fn rule(&mut self, at: Place<'_>, rule: Rule) {
        let stays = self.base.get(&rule.trigger).is_some_and(|before| {
            // Of two that contradict each other the other one counts.
            before.legal == rule.legal && self.new.get(&rule.trigger).as_ref() == Some(&before)
        });
        if stays {
            (self.entry)(at, self.encoding, &rule);
        }
    }

    fn reject(&mut self, _: Place<'_>, _: Reason) {}

    fn encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
    }

    fn wants_more(&self) -> bool {
        !self.feeds.stop.is_cancelled()
    }
}
