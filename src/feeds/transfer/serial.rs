//! Serial numbers of zones (RFC 1982).

use std::fmt;

/// The version of a zone, counted round 2³².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial(pub u32);

impl Serial {
    /// Whether this one comes after `other`. Of two numbers 2³¹ apart neither does (RFC 1982 §3.2).
    pub const fn is_after(self, other: Self) -> bool {
        let distance = self.0.wrapping_sub(other.0);
        distance != 0 && distance < 1 << 31
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_round() {
        let after = |a: u32, b: u32| Serial(a).is_after(Serial(b));
        assert!(after(2, 1) && !after(1, 2) && !after(1, 1));
        assert!(after(0, u32::MAX) && !after(u32::MAX, 0));
        assert!(after(0x7fff_ffff, 0) && !after(0x8000_0000, 0) && !after(0, 0x8000_0000));
        assert_eq!(Serial(u32::MAX).next(), Serial(0));
    }
}
