//! Ranges of addresses and what is said of them: found by the last that begins in time.

use std::net::IpAddr;

/// Ranges of one family that do not overlap, in order.
#[derive(Clone, Debug)]
pub(super) struct Ranges<T> {
    /// First and last address, as numbers of IPv6.
    rows: Vec<(u128, u128, T)>,
}

/// Two ranges that overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlap;

impl<T> Ranges<T> {
    /// Ranges in any order.
    pub(super) fn new(mut rows: Vec<(u128, u128, T)>) -> Result<Self, Overlap> {
        rows.sort_by_key(|(first, _, _)| *first);
        match rows.windows(2).all(|pair| pair[0].1 < pair[1].0) {
            true => Ok(Self { rows }),
            false => Err(Overlap),
        }
    }

    pub(super) fn of(&self, address: IpAddr) -> Option<&T> {
        let at = number(address);
        let before = self.rows.partition_point(|(first, _, _)| *first <= at);
        let (_, last, found) = self.rows.get(before.checked_sub(1)?)?;
        (at <= *last).then_some(found)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// An address as a number, IPv4 mapped into IPv6.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_to_their_very_ends() {
        let n = |text: &str| number(text.parse().unwrap());
        let ranges = Ranges::new(vec![
            (n("192.0.2.0"), n("192.0.2.255"), 'b'),
            (n("10.0.0.5"), n("10.0.0.7"), 'a'),
            (n("2001:db8::"), n("2001:db8::ff"), 'c'),
        ])
        .unwrap();
        for (address, expected) in [
            ("10.0.0.4", None),
            ("10.0.0.5", Some('a')),
            ("10.0.0.7", Some('a')),
            ("10.0.0.8", None),
            ("192.0.2.255", Some('b')),
            ("192.0.3.0", None),
            ("2001:db8::ff", Some('c')),
            ("2001:db8::100", None),
            ("::", None),
        ] {
            assert_eq!(ranges.of(address.parse().unwrap()).copied(), expected, "{address}");
        }
        assert_eq!(Ranges::new(vec![(1, 5, ()), (5, 6, ())]).err(), Some(Overlap));
    }
}
