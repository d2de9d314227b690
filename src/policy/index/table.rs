//! One shard of rules: an open-addressed table of places in a run of bytes.
//!
//! An entry is a head (four bits of tag, two of how long its class is), the number of its class
//! and what it is about ([`super::key`]). A slot is one byte of the hash, to pass by most others
//! without a look, and the place of the entry, which is compared whole: there are no false hits.
//! Tables read from a file are trusted no further than that: a place or a length that leads
//! nowhere finds nothing.

use super::{
    hash::HashKey,
    key::{self, Tag},
};

/// The number of a class.
pub(super) type ClassId = u32;

/// A slot without an entry, and one whose entry was taken out.
const EMPTY: u8 = 0;
const TAKEN_OUT: u8 = 1;

/// The bit of a head whose entry was taken out.
const GONE: u8 = 0x40;

/// Slots for each entry, at most and at least, in percent, before the table is laid out anew.
const SLOTS_MIN: usize = 125;
const SLOTS_SETTLED: usize = 133;
const SLOTS_MAX: usize = 155;

/// Entries and the way to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub marks: Vec<u8>,
    pub places: Vec<[u8; 4]>,
    pub entries: Vec<u8>,
    /// How many entries there are.
    pub len: usize,
    /// How many slots are not empty, those whose entry was taken out included.
    used: usize,
    /// How many bytes belong to entries that were taken out.
    gone_bytes: usize,
}

/// An entry as it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub tag: Tag,
    pub class: ClassId,
    pub payload: &'a [u8],
    /// Its bytes altogether.
    size: usize,
    gone: bool,
}

fn mark(hash: u64) -> u8 {
    (hash as u8).max(TAKEN_OUT + 1)
}

impl Table {
    /// Where the search for a hash begins.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        // The upper half of a product spreads 32 bits evenly over any number of slots.
        (((hash >> 8 & 0xffff_ffff) * self.marks.len() as u64) >> 32) as usize
    }

    /// The slot and the class of the entry about `payload`.
    #[inline]
    pub(super) fn find(&self, hash: u64, tag: Tag, payload: &[u8]) -> Option<(usize, ClassId)> {
        let (mark, slots) = (mark(hash), self.marks.len());
        let mut slot = self.home(hash);
        // Bounded, because a table from a file might have no empty slot.
        for _ in 0..slots {
            let here = self.marks[slot];
            if here == EMPTY {
                return None;
            }
            if here == mark
                && let Some(class) = self.matches(slot, tag, payload)
            {
                return Some((slot, class));
            }
            slot += 1;
            if slot == slots {
                slot = 0;
            }
        }
        None
    }

    fn matches(&self, slot: usize, tag: Tag, payload: &[u8]) -> Option<ClassId> {
        let entry = self.entries.get(self.place(slot)..)?;
        let head = *entry.first()?;
        let rest = entry.get(1 + class_len(head)..)?;
        let same = head & 0xf == tag as u8 && rest.get(..payload.len())? == payload;
        same.then(|| class_id(entry))
    }

    fn place(&self, slot: usize) -> usize {
        u32::from_le_bytes(self.places[slot]) as usize
    }

    /// The entry of a slot.
    pub(super) fn at(&self, slot: usize) -> Option<Entry<'_>> {
        let taken = *self.marks.get(slot)? > TAKEN_OUT;
        if taken { entry(self.entries.get(self.place(slot)..)?) } else { None }
    }

    pub(super) fn slots(&self) -> usize {
        self.marks.len()
    }

    /// A table as a file has it.
    pub(super) fn from_parts(marks: Vec<u8>, places: Vec<[u8; 4]>, entries: Vec<u8>) -> Self {
        let len = marks.iter().filter(|m| **m > TAKEN_OUT).count();
        Self { used: len, len, gone_bytes: 0, marks, places, entries }
    }

    /// An empty table with room for that many entries of so many bytes.
    pub(super) fn with_room(len: usize, bytes: usize) -> Self {
        let slots = settled_slots(len);
        let (marks, places) = (vec![EMPTY; slots], vec![[0; 4]; slots]);
        Self { marks, places, entries: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds an entry that is not there; `hash` is that of `payload` by `key`.
    pub(super) fn insert(
        &mut self,
        key: HashKey,
        hash: u64,
        tag: Tag,
        class: ClassId,
        payload: &[u8],
    ) {
        if (self.used + 1) * SLOTS_MIN > self.marks.len() * 100 {
            self.lay_out(key, (self.len * SLOTS_MIN / 50).max(8));
        }
        let place = self.entries.len();
        let class = class.to_le_bytes();
        let used = class.iter().rposition(|b| *b != 0).map_or(1, |i| i + 1);
        self.entries.push(tag as u8 | (used as u8 - 1) << 4);
        self.entries.extend_from_slice(&class[..used]);
        self.entries.extend_from_slice(payload);
        self.put(hash, place);
        self.len += 1;
    }

    fn put(&mut self, hash: u64, place: usize) {
        let mut slot = self.home(hash);
        while self.marks[slot] > TAKEN_OUT {
            slot = (slot + 1) % self.marks.len();
        }
        self.used += usize::from(self.marks[slot] == EMPTY);
        self.marks[slot] = mark(hash);
        self.places[slot] = (place as u32).to_le_bytes();
    }

    /// Takes out the entry of a slot.
    pub(super) fn take_out(&mut self, slot: usize) {
        let place = self.place(slot);
        if let Some(entry) = self.at(slot) {
            self.gone_bytes += entry.size;
            self.entries[place] |= GONE;
            self.marks[slot] = TAKEN_OUT;
            self.len -= 1;
        }
    }

    /// Lays the slots out anew for what is there.
    fn lay_out(&mut self, key: HashKey, slots: usize) {
        self.used = 0;
        self.marks = vec![EMPTY; slots];
        self.places = vec![[0; 4]; slots];
        let mut place = 0;
        // Taken out while it is read, as `put` writes elsewhere.
        let entries = std::mem::take(&mut self.entries);
        while let Some(entry) = entry(&entries[place..]) {
            if !entry.gone {
                self.put(key.of(entry.tag, entry.payload), place);
            }
            place += entry.size;
        }
        self.entries = entries;
    }

    /// Gives back what growing took in advance.
    pub(super) fn settle(&mut self, key: HashKey) {
        let wasteful = self.gone_bytes > 0 || self.marks.len() * 100 > self.len * SLOTS_MAX + 800;
        if self.gone_bytes > 0 {
            let mut kept = Vec::with_capacity(self.entries.len() - self.gone_bytes);
            let mut rest = &self.entries[..];
            while let Some(entry) = entry(rest) {
                let (this, next) = rest.split_at(entry.size);
                if !entry.gone {
                    kept.extend_from_slice(this);
                }
                rest = next;
            }
            (self.entries, self.gone_bytes) = (kept, 0);
        }
        self.entries.shrink_to_fit();
        if wasteful {
            self.lay_out(key, settled_slots(self.len));
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.marks.capacity() + 4 * self.places.capacity() + self.entries.capacity()
    }
}

fn settled_slots(len: usize) -> usize {
    len * SLOTS_SETTLED / 100 + usize::from(len > 0)
}

fn class_len(head: u8) -> usize {
    usize::from(head >> 4 & 3) + 1
}

fn class_id(entry: &[u8]) -> ClassId {
    let mut id = [0; 4];
    let len = class_len(entry[0]);
    if let Some(bytes) = entry.get(1..=len) {
        id[..len].copy_from_slice(bytes);
    }
    ClassId::from_le_bytes(id)
}

/// The entry at the beginning of these bytes.
fn entry(bytes: &[u8]) -> Option<Entry<'_>> {
    let head = *bytes.first()?;
    let tag = Tag::from_number(head & 0xf)?;
    let begin = 1 + class_len(head);
    let payload = key::payload(tag, bytes.get(begin..)?)?;
    let size = begin + payload.len();
    Some(Entry { tag, class: class_id(bytes), payload, size, gone: head & GONE != 0 })
}
