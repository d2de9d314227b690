//! The rules of one version of a feed, found by name, address, URL or code.
//!
//! # Layout
//!
//! Rules lie in 64 shards by their hash, each an open-addressed table of places in a run of bytes
//! (`table`). What a rule does and why is a *class*; most rules of a list have the same, so a rule
//! keeps its number. A name is looked for by the hashes of itself and of its ancestors, which come
//! from one pass over it (`hash`), at the depths only at which the list has rules (`sizes`).
//!
//! # Versions
//!
//! A next version shares what did not change: each shard has a *base*, which versions have in
//! common, a set of those of its rules that are still in force, and a small table *over* it for
//! rules that are new or changed. Where that has grown beyond a sixteenth of a shard, the worst
//! eight shards are written anew with each version, and any of which half came and half left: so a version
//! with a few changes takes little memory beside the one in force, and old ones leave little
//! behind.
//!
//! # Files
//!
//! An index is derived from a list's text; `file` writes it down so that a restart need not read
//! the text. A damaged file is an error, never a wrong rule: it has checksums, and whatever its
//! bytes are, reading and looking up do not panic.

mod builder;
mod file;
mod hash;
pub(in crate::policy) mod key;
mod sizes;
mod table;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

pub use self::{
    builder::{Added, IndexBuilder},
    file::BadIndex,
};
use self::{
    hash::{HashKey, label_starts},
    key::{Key, Tag},
    sizes::Sizes,
    table::{ClassId, Entry, Table},
};
use super::{Action, Legal, Rule, Trigger};

/// How many parts there are, by the top bits of the hash.
const SHARDS: usize = 64;
const SHARD_SHIFT: u32 = 58;

/// What a rule does and why: most rules of a list have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    pub action: Action,
    pub legal: Arc<Legal>,
}

/// A part of the rules.
#[derive(Clone, Debug, Default)]
struct Shard {
    base: Arc<Table>,
    /// By slot of `base`, whether its rule is in force; none for all of them.
    live: Option<Box<[u64]>>,
    over: Option<Box<Table>>,
}

/// The rules of one version of a feed. Immutable.
#[derive(Debug)]
pub struct Index {
    key: HashKey,
    shards: Box<[Shard]>,
    classes: Arc<Vec<Class>>,
    /// How many classes the base began with.
    base_classes: usize,
    sizes: [Sizes; Tag::COUNT],
    counts: [u64; Tag::COUNT],
}

/// A rule that was found, and how close it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub class: &'a Class,
    pub tag: Tag,
    /// Where the rule's name begins in the name that was looked for.
    pub start: usize,
    pub closeness: Closeness,
}

/// How close a rule's name is to a name: exact first, longest first, said before implied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Closeness {
    pub above: bool,
    /// 255 minus the labels of the rule's name.
    pub missing: u8,
    /// By `subtree` alone.
    pub implied: bool,
}

impl Index {
    /// Begins an index.
    pub fn builder() -> IndexBuilder {
        IndexBuilder::new(HashKey::random())
    }

    /// Begins the next version of this feed, of which every rule will be given. It takes memory
    /// for what differs.
    pub fn next(&self) -> IndexBuilder {
        IndexBuilder::over(self, false)
    }

    /// Begins the next version of this feed, of which the differences will be given: every rule of
    /// this one is in it.
    pub fn edit(&self) -> IndexBuilder {
        IndexBuilder::over(self, true)
    }

    /// The index without a rule.
    pub fn empty() -> Self {
        Self::builder().finish()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.counts.iter().sum::<u64>() as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it takes of memory, in bytes, shared or not.
    pub fn memory_bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::memory_bytes).sum();
        let text = |l: &Legal| {
            let texts = [&l.authority, &l.order_number, &l.reason, &l.content_class];
            texts.iter().map(|t| t.len()).sum::<usize>() + l.approver.len() + l.evidence.len()
        };
        let mut last = std::ptr::null();
        let classes = self.classes.iter().map(|c| {
            // The same legal data mostly comes in a row.
            let seen = std::mem::replace(&mut last, Arc::as_ptr(&c.legal)) == Arc::as_ptr(&c.legal);
            let legal = if seen { 0 } else { size_of::<Legal>() + text(&c.legal) };
            size_of::<Class>() + legal
        });
        size_of::<Self>() + shards + classes.sum::<usize>()
    }

    /// The rule with this trigger.
    pub fn get(&self, trigger: &Trigger) -> Option<Rule> {
        let key = Key::of(trigger);
        let class = self.look_up(self.key.of(key.tag, &key.payload), key.tag, &key.payload)?;
        Some(rule(key::trigger(key.tag, &key.payload)?, class))
    }

    /// All rules, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Rule> {
        let entries = self.shards.iter().flat_map(Shard::entries);
        entries.filter_map(|e| {
            Some(rule(key::trigger(e.tag, e.payload)?, self.classes.get(e.class as usize)?))
        })
    }

    /// What the law says of the rules; the same may come more than once, and what former versions
    /// said may be among it.
    pub fn legals(&self) -> impl Iterator<Item = &Arc<Legal>> {
        self.classes.iter().map(|c| &c.legal)
    }

    /// Whether there are rules of one of these tags.
    #[inline]
    pub(super) fn has(&self, tags: &[Tag]) -> bool {
        tags.iter().any(|t| self.counts[*t as usize] > 0)
    }

    /// Whether there may be rules of this size: the labels of a name, the bits of a prefix, the
    /// slashes of a URL's beginning.
    #[inline]
    pub(super) fn has_size(&self, tag: Tag, size: usize) -> bool {
        self.sizes[tag as usize].has(size)
    }

    #[inline]
    fn look_up(&self, hash: u64, tag: Tag, payload: &[u8]) -> Option<&Class> {
        let shard = &self.shards[(hash >> SHARD_SHIFT) as usize];
        let over = shard.over.as_ref().and_then(|over| over.find(hash, tag, payload));
        let class = match over {
            Some((_, class)) => class,
            None => shard.find_in_base(hash, tag, payload)?,
        };
        self.classes.get(class as usize)
    }

    /// The closest rule for a name in lower-case wire form that `accept` takes. `tags` are those
    /// of exact and wildcard rules.
    pub(super) fn find_name<'a>(
        &'a self,
        tags: [Tag; 2],
        name: &[u8],
        subtree: bool,
        mut accept: impl FnMut(&Found<'a>) -> bool,
    ) -> Option<Found<'a>> {
        let [exact, wildcard] = tags;
        let (starts, count) = label_starts(name);
        let mut state = self.key.begin();
        let mut best = None;
        let deepest = tags.map(|tag| self.sizes[tag as usize].largest()).into_iter().max();
        // From the root, as the hashes come; what comes later is closer.
        for labels in 0..=count.min(deepest.unwrap_or(0)) {
            let above = labels < count;
            let start = if labels == 0 { name.len() - 1 } else { starts[count - labels].into() };
            if labels > 0 {
                state.label(name, start);
            }
            let (implied, said) = if above { (exact, wildcard) } else { (wildcard, exact) };
            for (tag, implied) in [(implied, true), (said, false)] {
                if (implied && !subtree) || !self.has_size(tag, labels) {
                    continue;
                }
                if let Some(class) = self.look_up(state.finish(tag), tag, &name[start..]) {
                    let closeness = Closeness { above, missing: 255 - labels as u8, implied };
                    let found = Found { class, tag, start, closeness };
                    if accept(&found) {
                        best = Some(found);
                    }
                }
            }
        }
        best
    }

    /// The rule with the longest prefix around an address that `accept` takes. `tags` are those
    /// of IPv4 and IPv6 rules.
    pub(super) fn find_address<'a>(
        &'a self,
        tags: [Tag; 2],
        address: IpAddr,
        mut accept: impl FnMut(&'a Class, IpNet) -> bool,
    ) -> Option<(&'a Class, IpNet)> {
        let address = address.to_canonical();
        let tag = tags[usize::from(address.is_ipv6())];
        self.sizes[tag as usize].descending().find_map(|len| {
            let net = IpNet::new(address, len).ok()?.trunc();
            let Key { payload, .. } = Key::prefix(tag, net);
            let class = self.look_up(self.key.of(tag, &payload), tag, &payload)?;
            accept(class, net).then_some((class, net))
        })
    }

    /// The rule with exactly this text.
    pub(super) fn find_text(&self, tag: Tag, text: &str) -> Option<&Class> {
        if !self.has(&[tag]) {
            return None;
        }
        let Key { payload, .. } = Key::text(tag, text);
        self.look_up(self.key.of(tag, &payload), tag, &payload)
    }
}

impl Shard {
    #[inline]
    fn find_in_base(&self, hash: u64, tag: Tag, payload: &[u8]) -> Option<ClassId> {
        let (slot, class) = self.base.find(hash, tag, payload)?;
        self.is_live(slot).then_some(class)
    }

    #[inline]
    fn is_live(&self, slot: usize) -> bool {
        self.live.as_ref().is_none_or(|live| bit(live, slot))
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let base = (0..self.base.slots()).filter(|slot| self.is_live(*slot));
        let over = self.over.iter().flat_map(|over| (0..over.slots()).filter_map(|s| over.at(s)));
        base.filter_map(|slot| self.base.at(slot)).chain(over)
    }

    fn memory_bytes(&self) -> usize {
        let live = self.live.as_ref().map_or(0, |live| 8 * live.len());
        let over = self.over.as_ref().map_or(0, |over| size_of::<Table>() + over.memory_bytes());
        size_of::<Self>() + size_of::<Table>() + self.base.memory_bytes() + live + over
    }
}

fn rule(trigger: Trigger, class: &Class) -> Rule {
    let Class { action, legal } = class.clone();
    Rule { trigger, action, legal }
}

#[inline]
fn bit(bits: &[u64], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|b| b >> (at % 64) & 1 == 1)
}
