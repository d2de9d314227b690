//! Collecting the rules of an index, on its own or over a former version.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    Action, Class, Index, Rule, SHARD_SHIFT, SHARDS, Shard, Trigger, bit,
    hash::HashKey,
    key::{Key, Tag},
    sizes::Sizes,
    table::{ClassId, Table},
};
use crate::policy::{Legal, LocalRecord};

/// How many shards are written anew with each version because some of their rules changed.
pub(super) const ANEW_MAX: usize = SHARDS / 8;

/// Shards of fewer rules are always written anew.
const SMALL: usize = 256;

/// What became of a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in.
    New,
    /// Its records joined those of the same owner, whose legal data stays.
    Merged,
    /// It was there already.
    Duplicate,
    /// There was another rule with its trigger, which stays.
    Conflict,
}

/// Collects the rules of an index.
#[derive(Debug)]
pub struct IndexBuilder {
    key: HashKey,
    base: Vec<Arc<Table>>,
    /// By slot of each base, whether its rule is in this version.
    kept: Vec<Box<[u64]>>,
    over: Vec<Table>,
    classes: Classes,
    base_classes: usize,
    sizes: [Sizes; Tag::COUNT],
    counts: [u64; Tag::COUNT],
    /// How many rules were taken out again: some may be in `over` as they are in the base, and
    /// their classes may be nobody's.
    taken_out: usize,
}

/// Classes by number and numbers by class.
#[derive(Debug, Default)]
struct Classes {
    list: Vec<Class>,
    numbers: HashMap<Class, ClassId>,
    last: ClassId,
}

/// Where a rule is.
#[derive(Clone, Copy)]
enum Place {
    Base(usize),
    Over(usize),
}

impl IndexBuilder {
    pub(super) fn new(key: HashKey) -> Self {
        Self {
            key,
            base: vec![Arc::default(); SHARDS],
            kept: vec![Box::default(); SHARDS],
            over: vec![Table::default(); SHARDS],
            classes: Classes::default(),
            base_classes: 0,
            sizes: Default::default(),
            counts: Default::default(),
            taken_out: 0,
        }
    }

    /// Over `index`, with its rules or without.
    pub(super) fn over(index: &Index, with: bool) -> Self {
        let mut builder = Self::new(index.key);
        builder.base = index.shards.iter().map(|s| Arc::clone(&s.base)).collect();
        builder.classes = Classes::of(&index.classes);
        builder.base_classes = index.base_classes;
        builder.kept = index.shards.iter().map(|s| s.bits(with)).collect();
        if with {
            let over = |s: &Shard| s.over.as_ref().map(|o| (**o).clone()).unwrap_or_default();
            builder.over = index.shards.iter().map(over).collect();
            (builder.sizes, builder.counts) = (index.sizes, index.counts);
            builder.taken_out = 1;
        }
        builder
    }

    /// How many rules are in.
    pub fn len(&self) -> usize {
        self.counts.iter().sum::<u64>() as usize
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a rule.
    pub fn add(&mut self, rule: &Rule) -> Added {
        let key = Key::of(&rule.trigger);
        let hash = self.key.of(key.tag, &key.payload);
        let class = self.classes.number(&rule.action, &rule.legal);
        let Some((place, old)) = self.find(hash, &key) else {
            self.sizes[key.tag as usize].insert(key.size());
            self.counts[key.tag as usize] += 1;
            self.put(hash, &key, class);
            return Added::New;
        };
        // A file that lies about its classes is no reason to stop.
        let Some(Class { action, legal }) = self.classes.list.get(old as usize) else {
            return Added::Conflict;
        };
        match merged(action, &rule.action) {
            _ if old == class => Added::Duplicate,
            None => Added::Conflict,
            Some(records) if records.is_empty() => Added::Duplicate,
            Some(records) => {
                let legal = Arc::clone(legal);
                let class = self.classes.number(&Action::LocalData(records.into()), &legal);
                self.take_out(hash, place);
                self.put(hash, &key, class);
                Added::Merged
            }
        }
    }

    /// Takes out the rule with this trigger; whether there was one.
    pub fn remove(&mut self, trigger: &Trigger) -> bool {
        let key = Key::of(trigger);
        let hash = self.key.of(key.tag, &key.payload);
        let Some((place, _)) = self.find(hash, &key) else { return false };
        self.take_out(hash, place);
        let count = &mut self.counts[key.tag as usize];
        *count = count.saturating_sub(1);
        true
    }

    /// The rule with this trigger, as far as it was added.
    pub fn get(&self, trigger: &Trigger) -> Option<Rule> {
        let key = Key::of(trigger);
        let (_, class) = self.find(self.key.of(key.tag, &key.payload), &key)?;
        Some(super::rule(trigger.clone(), self.classes.list.get(class as usize)?))
    }

    fn find(&self, hash: u64, key: &Key) -> Option<(Place, ClassId)> {
        let shard = (hash >> SHARD_SHIFT) as usize;
        if let Some((slot, class)) = self.over[shard].find(hash, key.tag, &key.payload) {
            return Some((Place::Over(slot), class));
        }
        let (slot, class) = self.base[shard].find(hash, key.tag, &key.payload)?;
        bit(&self.kept[shard], slot).then_some((Place::Base(slot), class))
    }

    fn put(&mut self, hash: u64, key: &Key, class: ClassId) {
        let shard = (hash >> SHARD_SHIFT) as usize;
        match self.base[shard].find(hash, key.tag, &key.payload) {
            Some((slot, same)) if same == class => self.kept[shard][slot / 64] |= 1 << (slot % 64),
            _ => self.over[shard].insert(self.key, hash, key.tag, class, &key.payload),
        }
    }

    fn take_out(&mut self, hash: u64, place: Place) {
        let shard = (hash >> SHARD_SHIFT) as usize;
        self.taken_out += 1;
        match place {
            Place::Base(slot) => self.kept[shard][slot / 64] &= !(1 << (slot % 64)),
            Place::Over(slot) => self.over[shard].take_out(slot),
        }
    }

    /// The index.
    pub fn finish(mut self) -> Index {
        let anew = self.shards_anew();
        // Classes that no rule has any more are left behind when all is written anew.
        let (begun, now) = (self.base_classes, self.classes.list.len());
        let all = (begun > 0 && now > 2 * begun + 1024) || self.taken_out > now / 2 + 1024;
        let mut renumbered = all.then(Classes::default);
        let mut shards = Vec::with_capacity(SHARDS);
        for (shard, anew) in anew.into_iter().enumerate() {
            let made = Shard {
                base: std::mem::take(&mut self.base[shard]),
                live: Some(std::mem::take(&mut self.kept[shard])),
                over: Some(Box::new(std::mem::take(&mut self.over[shard]))),
            };
            let made = match &mut renumbered {
                Some(to) => made.anew(self.key, |id| to.renumber(&self.classes, id)),
                // Where nothing is left of the base, what was collected takes its place as it is.
                None if anew && made.is_all_new() => {
                    Shard { base: Arc::default(), ..made }.settled(self.key)
                }
                None if anew => made.anew(self.key, |id| id),
                None => made.settled(self.key),
            };
            shards.push(made);
        }
        let begins = self.base_classes == 0 || renumbered.is_some();
        let classes = renumbered.unwrap_or(self.classes).list;
        Index {
            key: self.key,
            shards: shards.into(),
            base_classes: if begins { classes.len() } else { self.base_classes },
            classes: Arc::new(classes),
            sizes: self.sizes,
            counts: self.counts,
        }
    }

    /// Which shards to write anew: those of which half came and half left, small ones, and the worst of those
    /// that changed by a sixteenth.
    fn shards_anew(&mut self) -> [bool; SHARDS] {
        let mut anew = [false; SHARDS];
        let mut some = Vec::new();
        for (i, anew) in anew.iter_mut().enumerate() {
            let base = &self.base[i];
            if base.len == 0 {
                continue;
            }
            if self.taken_out > 0 {
                unchange(self.key, base, &mut self.kept[i], &mut self.over[i]);
            }
            let kept = self.kept[i].iter().map(|b| b.count_ones() as usize).sum::<usize>();
            let changes = base.len.saturating_sub(kept) + self.over[i].len;
            *anew = changes > 0 && (changes > base.len || base.len < SMALL);
            if !*anew && changes * 16 > base.len {
                some.push((changes, i));
            }
        }
        some.sort_unstable_by(|a, b| b.cmp(a));
        for (_, i) in some.into_iter().take(ANEW_MAX) {
            anew[i] = true;
        }
        anew
    }
}

/// Keeps in the base what came to be in `over` just as the base has it.
fn unchange(key: HashKey, base: &Table, kept: &mut [u64], over: &mut Table) {
    let same = |slot: usize| {
        let e = over.at(slot)?;
        let (at, class) = base.find(key.of(e.tag, e.payload), e.tag, e.payload)?;
        (class == e.class).then_some((slot, at))
    };
    let found: Vec<_> = (0..over.slots()).filter_map(same).collect();
    for (slot, at) in found {
        over.take_out(slot);
        kept[at / 64] |= 1 << (at % 64);
    }
}

impl Classes {
    fn of(list: &[Class]) -> Self {
        let numbers = list.iter().enumerate().map(|(i, c)| (c.clone(), i as ClassId)).collect();
        Self { list: list.to_vec(), numbers, last: 0 }
    }

    fn number(&mut self, action: &Action, legal: &Arc<Legal>) -> ClassId {
        // Most rules are like the one before them, and share their legal data.
        if let Some(last) = self.list.get(self.last as usize)
            && Arc::ptr_eq(&last.legal, legal)
            && last.action == *action
        {
            return self.last;
        }
        let class = Class { action: action.clone(), legal: Arc::clone(legal) };
        self.last = match self.numbers.entry(class) {
            Entry::Occupied(number) => *number.get(),
            Entry::Vacant(place) => {
                self.list.push(place.key().clone());
                *place.insert(self.list.len() as ClassId - 1)
            }
        };
        self.last
    }

    fn renumber(&mut self, from: &Self, id: ClassId) -> ClassId {
        let Some(Class { action, legal }) = from.list.get(id as usize) else { return id };
        self.number(action, legal)
    }
}

impl Shard {
    /// The bits of what is in force, or as many zeros.
    fn bits(&self, live: bool) -> Box<[u64]> {
        let slots = self.base.slots();
        let mut bits = vec![0; slots.div_ceil(64)].into_boxed_slice();
        if live {
            let in_force = |s: &usize| self.is_live(*s) && self.base.at(*s).is_some();
            (0..slots).filter(in_force).for_each(|s| bits[s / 64] |= 1 << (s % 64));
        }
        bits
    }

    /// Whether no rule of the base is in force.
    fn is_all_new(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.iter().all(|bits| *bits == 0))
    }

    /// One table of what is in force.
    pub(super) fn anew(self, key: HashKey, mut renumber: impl FnMut(ClassId) -> ClassId) -> Self {
        let len = self.entries().count();
        let bytes = self.entries().map(|e| e.payload.len() + 3).sum();
        let mut table = Table::with_room(len, bytes);
        for e in self.entries() {
            let hash = key.of(e.tag, e.payload);
            table.insert(key, hash, e.tag, renumber(e.class), e.payload);
        }
        table.settle(key);
        Self { base: Arc::new(table), live: None, over: None }
    }

    /// The same without what is not needed.
    fn settled(mut self, key: HashKey) -> Self {
        let mut over = self.over.take().unwrap_or_default();
        over.settle(key);
        if self.base.len == 0 {
            return Self { base: Arc::new(*over), live: None, over: None };
        }
        let all = |live: &[u64]| {
            live.iter().map(|b| b.count_ones() as usize).sum::<usize>() == self.base.len
        };
        let live = self.live.filter(|live| !all(live));
        Self { base: self.base, live, over: (over.len > 0).then_some(over) }
    }
}

/// The records of an owner with those of another rule for it: none when one of them has no
/// records, empty when nothing is new.
fn merged(old: &Action, new: &Action) -> Option<Vec<LocalRecord>> {
    let (Action::LocalData(old), Action::LocalData(new)) = (old, new) else {
        return None;
    };
    let fresh: Vec<_> = new.iter().filter(|r| !old.contains(r)).cloned().collect();
    if fresh.is_empty() {
        return Some(fresh);
    }
    Some(old.iter().cloned().chain(fresh).collect())
}
