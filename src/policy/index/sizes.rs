//! Which sizes there are: of names in labels, of prefixes in bits. Others are not looked for.

/// A set of numbers up to 191.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes(pub [u64; 3]);

impl Sizes {
    pub(super) fn insert(&mut self, size: u8) {
        if let Some(bits) = self.0.get_mut(usize::from(size / 64)) {
            *bits |= 1 << (size % 64);
        }
    }

    #[inline]
    pub(super) fn has(&self, size: usize) -> bool {
        self.0.get(size / 64).is_some_and(|bits| bits >> (size % 64) & 1 == 1)
    }

    /// The largest.
    #[inline]
    pub(super) fn largest(self) -> usize {
        self.descending().next().map_or(0, usize::from)
    }

    /// The largest first.
    pub(super) fn descending(self) -> impl Iterator<Item = u8> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let (i, bits) = left.iter_mut().enumerate().rfind(|(_, bits)| **bits != 0)?;
            let top = 63 - bits.leading_zeros();
            *bits ^= 1 << top;
            Some(i as u8 * 64 + top as u8)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_largest_first() {
        let mut sizes = Sizes::default();
        for size in [0, 128, 32, 64, 63, 32, 191, 192] {
            sizes.insert(size);
        }
        assert_eq!(sizes.descending().collect::<Vec<_>>(), [191, 128, 64, 63, 32, 0]);
        assert!(sizes.has(63) && !sizes.has(62) && !sizes.has(192));
    }
}
