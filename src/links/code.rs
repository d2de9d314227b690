//! Codes: a keyed permutation of a sequence.
//!
//! Numbers from a counter never collide, and a permutation keeps it so; the key keeps outsiders
//! from counting our links or guessing the next one. The permutation is a balanced Feistel
//! network of [`ROUNDS`] rounds of HMAC-SHA-256 over the smallest even number of bits that holds
//! the code space, walked along its cycle until it lands inside (as NIST SP 800-38G does for odd
//! domains). The code's length goes into every round, so that lengths permute independently.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The digits of a code: no `0`, `O`, `I` or `l`, which people take for one another.
const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The number of Feistel rounds; as many as FF1 has.
const ROUNDS: u8 = 10;

/// Lengths a generated code may have. 58^10 is below 2^59: numbers fit SQL's signed integers.
pub const LENGTHS: std::ops::RangeInclusive<u8> = 4..=10;

/// The longest code a caller may choose.
pub const CHOSEN_LENGTH_MAX: usize = 64;

/// Paths that are, or will be, something else at the gateway's root, or beside links in the API.
const RESERVED: [&str; 12] = [
    "go",
    "report",
    "reports",
    "bulk",
    "export",
    "api",
    "healthz",
    "readyz",
    "metrics",
    "robots",
    "favicon",
    "well-known",
];

/// The permutation under one key.
#[derive(Clone)]
pub struct Codes {
    mac: Hmac<Sha256>,
    fingerprint: [u8; 32],
    length: u8,
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codes").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Codes {
    /// Codes of `length` characters, moved into [`LENGTHS`], under `key`.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
    pub fn new(key: &[u8; 32], length: u8) -> Self {
        let mac = Hmac::new_from_slice(key).expect("a key of any length");
        let mut hash = Sha256::new();
        hash.update(b"tracegate codes fingerprint v1");
        hash.update(key);
        let length = length.clamp(*LENGTHS.start(), *LENGTHS.end());
        Self { mac, fingerprint: hash.finalize().into(), length }
    }

    /// Tells this key from another without telling the key.
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The length of every code made here.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// How many codes there are.
    pub const fn space(&self) -> u64 {
        58u64.pow(self.length as u32)
    }

    /// The code of a sequence number; none beyond [`Self::space`].
    pub fn encode(&self, sequence: u64) -> Option<String> {
        if sequence >= self.space() {
            return None;
        }
        let mut n = self.permute(sequence, false);
        while n >= self.space() {
            n = self.permute(n, false);
        }
        let mut digits = vec![0; usize::from(self.length)];
        for d in digits.iter_mut().rev() {
            *d = ALPHABET[(n % 58) as usize];
            n /= 58;
        }
        String::from_utf8(digits).ok()
    }

    /// The sequence number of a code; none for text that [`Self::encode`] never makes.
    pub fn decode(&self, code: &str) -> Option<u64> {
        if code.len() != usize::from(self.length) {
            return None;
        }
        let mut n = 0;
        for b in code.bytes() {
            n = n * 58 + ALPHABET.iter().position(|&a| a == b)? as u64;
        }
        n = self.permute(n, true);
        while n >= self.space() {
            n = self.permute(n, true);
        }
        Some(n)
    }

    /// One pass of the network over `2 * half_bits` bits.
    fn permute(&self, n: u64, backwards: bool) -> u64 {
        let half_bits = (64 - (self.space() - 1).leading_zeros()).div_ceil(2);
        let mask = (1u64 << half_bits) - 1;
        let (mut left, mut right) = (n >> half_bits, n & mask);
        for i in 0..ROUNDS {
            if backwards {
                let round = ROUNDS - 1 - i;
                (left, right) = ((right ^ self.round(round, left)) & mask, left);
            } else {
                (left, right) = (right, (left ^ self.round(i, right)) & mask);
            }
        }
        (left << half_bits) | right
    }

    fn round(&self, round: u8, half: u64) -> u64 {
        let mut mac = self.mac.clone();
        mac.update(b"tracegate codes v1");
        mac.update(&[self.length, round]);
        mac.update(&half.to_be_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        u64::from_be_bytes([tag[0], tag[1], tag[2], tag[3], tag[4], tag[5], tag[6], tag[7]])
    }

    /// Whether a caller may choose `code`: [`is_code`], nothing reserved, and nothing that
    /// [`Self::encode`] could make one day, so that the sequence read back from codes seen is
    /// never led astray.
    pub fn may_be_chosen(&self, code: &str) -> bool {
        may_be_taken_over(code) && self.decode(code).is_none()
    }
}

/// Whether a link taken over from elsewhere may keep `code`, which may look like one of ours: the
/// sequence is not read back from such links ([`LinkSettings::source`](super::LinkSettings)).
pub(super) fn may_be_taken_over(code: &str) -> bool {
    is_code(code) && !RESERVED.iter().any(|r| r.eq_ignore_ascii_case(code))
}

/// Whether text has the shape of a code: 1 to [`CHOSEN_LENGTH_MAX`] of `A-Z a-z 0-9 - _`.
pub fn is_code(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=CHOSEN_LENGTH_MAX).contains(&text.len()) && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Both ways, for every key, length and number.
        #[test]
        fn every_number_comes_back(key in any::<[u8; 32]>(), length in LENGTHS, n in any::<u64>()) {
            let codes = Codes::new(&key, length);
            let n = n % codes.space();
            let code = codes.encode(n).unwrap();
            prop_assert_eq!(code.len(), usize::from(length));
            prop_assert!(is_code(&code));
            prop_assert_eq!(codes.decode(&code), Some(n));
            prop_assert_eq!(codes.encode(codes.space() + n), None);
        }

        /// Every text of the right digits has one number: the map is onto.
        #[test]
        fn every_code_has_a_number(key in any::<[u8; 32]>(), code in "[1-9A-HJ-NP-Za-km-z]{4}") {
            let codes = Codes::new(&key, 4);
            let n = codes.decode(&code).unwrap();
            prop_assert_eq!(codes.encode(n), Some(code));
        }
    }

    #[test]
    fn neighbours_do_not_collide_or_resemble() {
        let codes = Codes::new(&[7; 32], 7);
        let all: HashSet<String> = (0..2_000).map(|n| codes.encode(n).unwrap()).collect();
        assert_eq!(all.len(), 2_000);
        let firsts: HashSet<u8> = all.iter().map(|c| c.as_bytes()[0]).collect();
        assert!(firsts.len() > 40, "numbers in a row share no prefix: {}", firsts.len());
        assert_ne!(codes.encode(1), Codes::new(&[8; 32], 7).encode(1));
    }

    #[test]
    fn what_a_caller_may_choose() {
        let codes = Codes::new(&[7; 32], 7);
        for (code, may) in [
            ("summer-sale", true),
            ("a", true),
            ("welcome", true), // has an `l`, which no generated code has
            ("partner", false),
            ("go", false),
            ("API", false),
            ("", false),
            ("a/b", false),
            ("a b", false),
            ("\u{4e2d}", false),
            ("%41", false),
        ] {
            assert_eq!(codes.may_be_chosen(code), may, "{code}");
        }
        assert!(codes.may_be_chosen(&"_".repeat(64)));
        assert!(!codes.may_be_chosen(&"_".repeat(65)));
    }
}
