//! The rules of one version of a feed, found by name, address, URL or code.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    Action, Legal, LocalRecord, Rule, Trigger,
    key::{self, Key, Tag},
};
use crate::name::suffixes;

/// What became of a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in.
    New,
    /// Its records joined those of the same owner.
    Merged,
    /// It was there already.
    Duplicate,
    /// There was another rule with its trigger, which stays.
    Conflict,
}

/// What a rule does and why: most rules of a list have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    pub action: Action,
    pub legal: Arc<Legal>,
}

/// The rules of one version of a feed. Immutable.
#[derive(Debug, Default)]
pub struct Index {
    rules: HashMap<Box<[u8]>, u32>,
    classes: Vec<Class>,
    /// For each tag, how many labels names have or how long prefixes are; the longest first.
    sizes: [Vec<u8>; Tag::COUNT],
}

/// A rule that was found, and how close it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub class: &'a Class,
    pub tag: Tag,
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
        IndexBuilder::default()
    }

    /// The index without a rule.
    pub fn empty() -> Self {
        Self::default()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What it takes of memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let keys: usize = self.rules.keys().map(|k| k.len() + 40).sum();
        keys + self.classes.len() * size_of::<Class>()
    }

    /// The rule with this trigger.
    pub fn get(&self, trigger: &Trigger) -> Option<Rule> {
        let class = *self.rules.get(Key::of(trigger).bytes())?;
        Some(self.rule(trigger.clone(), class))
    }

    /// All rules, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Rule> {
        self.rules.iter().filter_map(|(k, class)| Some(self.rule(key::trigger(k)?, *class)))
    }

    fn rule(&self, trigger: Trigger, class: u32) -> Rule {
        let Class { action, legal } = self.classes[class as usize].clone();
        Rule { trigger, action, legal }
    }

    /// What the law says of the rules; the same may come more than once.
    pub fn legals(&self) -> impl Iterator<Item = &Arc<Legal>> {
        self.classes.iter().map(|c| &c.legal)
    }

    /// Whether there are rules of one of these tags.
    pub(super) fn has(&self, tags: &[Tag]) -> bool {
        tags.iter().any(|t| !self.sizes[*t as usize].is_empty())
    }

    fn look_up(&self, key: &Key) -> Option<&Class> {
        Some(&self.classes[*self.rules.get(key.bytes())? as usize])
    }

    /// The closest rule for a name in lower-case wire form that `accept` takes. `tags` are those
    /// of exact and wildcard rules.
    pub(super) fn find_name<'a>(
        &'a self,
        tags: [Tag; 2],
        name: &[u8],
        subtree: bool,
        mut accept: impl FnMut(&Found<'a>, &[u8]) -> bool,
    ) -> Option<Found<'a>> {
        let [exact, wildcard] = tags;
        for (above, suffix) in suffixes(name).enumerate().map(|(i, s)| (i > 0, s)) {
            let missing = 255 - suffixes(suffix).count() as u8;
            let first = if above { wildcard } else { exact };
            for (tag, implied) in [(first, false), (if above { exact } else { wildcard }, true)] {
                if implied && !subtree {
                    continue;
                }
                let closeness = Closeness { above, missing, implied };
                if let Some(class) = self.look_up(&Key::name(tag, suffix)) {
                    let found = Found { class, tag, closeness };
                    if accept(&found, suffix) {
                        return Some(found);
                    }
                }
            }
        }
        None
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
        self.sizes[tag as usize].iter().find_map(|len| {
            let net = IpNet::new(address, *len).ok()?.trunc();
            let class = self.look_up(&Key::prefix(tag, net))?;
            accept(class, net).then_some((class, net))
        })
    }

    /// The rule with exactly this text.
    pub(super) fn find_text(&self, tag: Tag, text: &str) -> Option<&Class> {
        if self.sizes[tag as usize].is_empty() {
            return None;
        }
        self.look_up(&Key::text(tag, text))
    }
}

/// Collects the rules of an index.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    index: Index,
    interned: HashMap<Class, u32>,
    sizes: [BTreeSet<u8>; Tag::COUNT],
}

impl IndexBuilder {
    /// Adds a rule.
    pub fn add(&mut self, rule: &Rule) -> Added {
        let key = Key::of(&rule.trigger);
        let class = Class { action: rule.action.clone(), legal: Arc::clone(&rule.legal) };
        let class_id = self.intern(class);
        let Some(old_id) = self.index.rules.get(key.bytes()).copied() else {
            self.sizes[key.tag() as usize].insert(key.size());
            self.index.rules.insert(key.bytes().into(), class_id);
            return Added::New;
        };
        let old = &self.index.classes[old_id as usize];
        match merged(old, rule) {
            _ if old_id == class_id => Added::Duplicate,
            None => Added::Conflict,
            Some(records) if records.is_empty() => Added::Duplicate,
            Some(records) => {
                let legal = Arc::clone(&old.legal);
                let id = self.intern(Class { action: Action::LocalData(records.into()), legal });
                self.index.rules.insert(key.bytes().into(), id);
                Added::Merged
            }
        }
    }

    fn intern(&mut self, class: Class) -> u32 {
        let next = self.index.classes.len() as u32;
        match self.interned.entry(class) {
            Entry::Occupied(id) => *id.get(),
            Entry::Vacant(place) => {
                self.index.classes.push(place.key().clone());
                *place.insert(next)
            }
        }
    }

    /// How many rules are in.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The index.
    pub fn finish(mut self) -> Index {
        self.index.sizes = self.sizes.map(|s| s.into_iter().rev().collect());
        self.index
    }
}

/// The records of an owner with those of another rule for it: none when one of them has no
/// records, empty when nothing is new.
fn merged(old: &Class, new: &Rule) -> Option<Vec<LocalRecord>> {
    let (Action::LocalData(old), Action::LocalData(new)) = (&old.action, &new.action) else {
        return None;
    };
    let fresh: Vec<_> = new.iter().filter(|r| !old.contains(r)).cloned().collect();
    if fresh.is_empty() {
        return Some(fresh);
    }
    Some(old.iter().cloned().chain(fresh).collect())
}
