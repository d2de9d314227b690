//! Numbers, secrets and forms of reports.
//!
//! A form carries a nonce and when it was made, signed under `reports.key`, so that nobody posts
//! who was not shown it. Number and secret are made of the nonce: a form that is sent twice gets the
//! same report both times.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;

/// Digits of a number: no `I`, `L`, `O` or `U`, which people take for others.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How many digits it has: 60 bits.
const NUMBER_DIGITS: usize = 12;
/// The bytes of a form's token: nonce, time, signature.
pub const FORM_TOKEN_BYTES: usize = 16 + 8 + 32;

/// Makes and reads what forms carry, and makes numbers and secrets of it.
#[derive(Clone)]
pub struct Forms {
    key: [u8; 32],
    valid: Duration,
}

impl std::fmt::Debug for Forms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forms").field("valid", &self.valid).finish_non_exhaustive()
    }
}

impl Forms {
    /// Under `key`; a form may be sent for `valid` after it was made.
    pub const fn new(key: [u8; 32], valid: Duration) -> Self {
        Self { key, valid }
    }

    /// A nonce that no other form has.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn nonce(&self) -> Result<[u8; 16], getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        Ok(nonce)
    }

    /// What a form with this nonce carries.
    pub fn token(&self, nonce: &[u8; 16], now: Timestamp) -> String {
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&now.0.to_be_bytes());
        let tag = self.mac("form", &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag);
        hex::encode(bytes)
    }

    /// The nonce of a form that is sent; none for a token that is not ours, or too old.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<[u8; 16]> {
        let bytes: [u8; FORM_TOKEN_BYTES] = hex::decode(token).ok()?.try_into().ok()?;
        let (signed, tag) = bytes.split_at(24);
        self.mac("form", signed).verify_slice(tag).ok()?;
        let (nonce, made) = signed.split_at(16);
        let made = Timestamp(i64::from_be_bytes(made.try_into().ok()?));
        let fresh = made <= now && now.since(made) <= self.valid;
        if fresh { nonce.try_into().ok() } else { None }
    }

    /// The number of the report made with this nonce.
    pub fn number(&self, nonce: &[u8; 16]) -> String {
        let bytes = self.mac("number", nonce).finalize().into_bytes();
        let digits = bytes.iter().take(NUMBER_DIGITS).map(|b| DIGITS[usize::from(b & 31)]);
        digits.map(char::from).collect()
    }

    /// The secret of it.
    pub fn secret(&self, nonce: &[u8; 16]) -> String {
        hex::encode(&self.mac("secret", nonce).finalize().into_bytes()[..16])
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
    fn mac(&self, purpose: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(b"tracegate report 1 ");
        mac.update(purpose.as_bytes());
        mac.update(b"\n");
        mac.update(bytes);
        mac
    }
}

/// Whether `text` has the shape of a number.
pub fn is_number(text: &str) -> bool {
    text.len() == NUMBER_DIGITS && text.bytes().all(|b| DIGITS.contains(&b))
}

/// A number in groups of four, for people.
pub fn pretty(number: &str) -> String {
    let groups: Vec<&str> = (0..number.len())
        .step_by(4)
        .filter_map(|at| number.get(at..(at + 4).min(number.len())))
        .collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_until_it_is_old_and_no_other_is() {
        let forms = Forms::new([7; 32], Duration::from_secs(60));
        let nonce = forms.nonce().unwrap();
        let made = Timestamp::from_secs(1_900_000_000);
        let token = forms.token(&nonce, made);
        let at = |s| made.saturating_add(Duration::from_secs(s));
        assert_eq!(forms.read(&token, at(0)), Some(nonce));
        assert_eq!(forms.read(&token, at(60)), Some(nonce));
        assert_eq!(forms.read(&token, at(61)), None);
        assert_eq!(forms.read(&token, made.saturating_sub(Duration::from_secs(1))), None);
        assert_eq!(Forms::new([8; 32], Duration::from_secs(60)).read(&token, at(0)), None);
        for at_byte in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at_byte] = if other[at_byte] == b'0' { b'1' } else { b'0' };
            assert_eq!(forms.read(std::str::from_utf8(&other).unwrap(), at(0)), None, "{at_byte}");
        }
        for junk in ["", "00", "zz", &token[2..]] {
            assert_eq!(forms.read(junk, at(0)), None, "{junk}");
        }
    }

    #[test]
    fn number_and_secret_are_those_of_the_nonce() {
        let forms = Forms::new([7; 32], Duration::from_secs(60));
        let (a, b) = ([1; 16], [2; 16]);
        assert_eq!((forms.number(&a), forms.secret(&a)), (forms.number(&a), forms.secret(&a)));
        assert_ne!(forms.number(&a), forms.number(&b));
        assert_ne!(forms.secret(&a), forms.secret(&b));
        let number = forms.number(&a);
        assert!(is_number(&number), "{number}");
        assert_eq!(pretty("ABCD1234WXYZ"), "ABCD-1234-WXYZ");
        assert_eq!(forms.secret(&a).len(), 32);
        for other in ["", "ABCD", "ABCD1234WXYI", "abcd1234wxyz"] {
            assert!(!is_number(other), "{other}");
        }
    }
}
