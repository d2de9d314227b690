//! The keyed hash of a table: SipHash-1-3's rounds over words, a name's labels from the root, so
//! that the hashes of all its ancestors come with it.
//!
//! Whoever writes a list cannot know the key, so cannot make many of its rules fall together.

use std::hash::{BuildHasher, RandomState};

use super::key::Tag;

/// What hashes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HashKey(pub [u64; 2]);

impl HashKey {
    /// A key that nobody can guess.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1)])
    }

    pub(super) fn begin(self) -> State {
        let [k0, k1] = self.0;
        State([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// The hash of what an entry is about.
    pub(super) fn of(self, tag: Tag, payload: &[u8]) -> u64 {
        let mut state = self.begin();
        if tag.is_name() {
            let (starts, count) = label_starts(payload);
            for start in starts[..count].iter().rev() {
                state.label(payload, usize::from(*start));
            }
        } else {
            state.words(payload);
        }
        state.finish(tag)
    }
}

/// Where the labels of a wire name start, and how many there are besides the root's.
pub(super) fn label_starts(wire: &[u8]) -> ([u8; 128], usize) {
    let (mut starts, mut count, mut at) = ([0; 128], 0, 0);
    while let Some(len) = wire.get(at).copied().filter(|len| *len > 0 && count < 128) {
        starts[count] = at as u8;
        count += 1;
        at += 1 + usize::from(len);
    }
    (starts, count)
}

/// A hash that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct State([u64; 4]);

impl State {
    /// Takes in the label that starts at `start` of a wire name, its length included.
    #[inline]
    pub(super) fn label(&mut self, wire: &[u8], start: usize) {
        let len = wire.get(start).copied().unwrap_or(0);
        self.words(wire.get(start..=start + usize::from(len)).unwrap_or(&[]));
    }

    #[inline]
    fn words(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<8>();
        for word in whole {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            // The length tells padding from zeros.
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            word[7] = rest.len() as u8;
            self.word(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    #[inline]
    pub(super) fn finish(mut self, tag: Tag) -> u64 {
        self.0[2] ^= 0xff ^ (tag as u64) << 8;
        self.round();
        self.round();
        self.round();
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    #[inline]
    fn round(&mut self) {
        let [v0, v1, v2, v3] = &mut self.0;
        *v0 = v0.wrapping_add(*v1);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v3);
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.wrapping_add(*v3);
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.wrapping_add(*v1);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v2 = v2.rotate_left(32);
    }
}
