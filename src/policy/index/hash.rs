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
            state.words(payload, payload.len());
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
        let rest = wire.get(start..).unwrap_or_default();
        let len = rest.first().map_or(0, |len| 1 + usize::from(*len));
        self.words(rest, len);
    }

    /// Takes in the first `len` of these bytes; what is behind them may be read, but does not
    /// matter.
    #[inline]
    fn words(&mut self, bytes: &[u8], len: usize) {
        let mut at = 0;
        while at < len {
            let rest = bytes.get(at..).unwrap_or_default();
            let word = match rest.first_chunk::<8>() {
                Some(word) => u64::from_le_bytes(*word),
                None => rest.iter().rev().fold(0, |word, b| word << 8 | u64::from(*b)),
            };
            self.word(match len - at {
                // The length tells padding from zeros.
                short @ 1..8 => (word & ((1 << (8 * short)) - 1)) | (short as u64) << 56,
                _ => word,
            });
            at += 8;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_hashed_without_what_is_behind_it() {
        let key = HashKey([1, 2]);
        let of = |wire: &[u8], start| {
            let mut state = key.begin();
            state.label(wire, start);
            state.finish(Tag::QnameExact)
        };
        for label in ["a", "ab", "abcdef", "abcdefg", "abcdefgh", "abcdefghijklmnopqrst"] {
            let alone = [&[label.len() as u8][..], label.as_bytes(), b"\0"].concat();
            let among = [b"\x01x", &alone[..], b"and much that is behind it"].concat();
            assert_eq!(of(&alone, 0), of(&among, 2), "{label}");
            let longer = [&[label.len() as u8 + 1][..], label.as_bytes(), b"\0\0"].concat();
            assert_ne!(of(&alone, 0), of(&longer, 0), "{label}");
        }
    }

    #[test]
    fn hashes_depend_on_key_tag_and_every_label() {
        let key = HashKey([1, 2]);
        let one = key.of(Tag::QnameExact, b"\x01a\x07example\0");
        assert_eq!(one, key.of(Tag::QnameExact, b"\x01a\x07example\0"));
        assert_ne!(one, key.of(Tag::QnameWildcard, b"\x01a\x07example\0"));
        assert_ne!(one, key.of(Tag::QnameExact, b"\x01b\x07example\0"));
        assert_ne!(one, key.of(Tag::QnameExact, b"\x07example\x01a\0"));
        assert_ne!(one, HashKey([1, 3]).of(Tag::QnameExact, b"\x01a\x07example\0"));
        assert_ne!(HashKey::random(), HashKey::random());
    }
}
