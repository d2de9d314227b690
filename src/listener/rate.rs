//! The response rate limit: a token bucket per client prefix, in a table of fixed size.
//!
//! UDP sources can be forged; whoever sends queries in a victim's name is held to
//! `responses_per_second` for the victim's prefix. Every `slip`-th response over the limit leaves
//! truncated, which is no larger than the query and sends a real client to TCP; the others are
//! dropped. Each UDP thread has its own table, so that nothing is locked; a prefix whose queries
//! the kernel spreads over all threads gets the limit once per thread.

use std::{net::IpAddr, time::Instant};

use super::acl::AddressSet;
use crate::{
    config,
    rate::{Buckets, Taken},
    record::rowbinary::mapped,
};

/// What the limit says of one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may leave.
    Pass,
    /// It may leave truncated.
    Slip,
    /// It may not leave.
    Drop,
}

/// The limit of one thread.
pub(super) struct RateLimit {
    slip: u32,
    v4_mask: u128,
    v6_mask: u128,
    exempt: AddressSet,
    buckets: Buckets,
}

impl RateLimit {
    /// An empty table; `now` is any instant no later than the first [`RateLimit::check`].
    pub(super) fn new(config: &config::RateLimit, now: Instant) -> Self {
        Self {
            slip: config.slip,
            v4_mask: mask(96 + u32::from(config.ipv4_prefix.min(32))),
            v6_mask: mask(u32::from(config.ipv6_prefix.min(128))),
            exempt: AddressSet::new(&config.exempt),
            buckets: Buckets::new(config.responses_per_second, 1, config.table_max, now),
        }
    }

    /// Takes one response to `client` out of its prefix's bucket.
    pub(super) fn check(&mut self, client: IpAddr, now: Instant) -> Verdict {
        if !self.buckets.limits() || self.exempt.contains(client) {
            return Verdict::Pass;
        }
        // No client's prefix is that of an empty place, which is multicast.
        let prefix = match client.to_canonical() {
            v4 @ IpAddr::V4(_) => mapped(v4).to_bits() & self.v4_mask,
            IpAddr::V6(v6) => v6.to_bits() & self.v6_mask,
        };
        let Taken::Over { over, .. } = self.buckets.take(prefix, now) else {
            return Verdict::Pass;
        };
        *over += 1;
        if self.slip > 0 && *over >= self.slip {
            *over = 0;
            return Verdict::Slip;
        }
        Verdict::Drop
    }
}

const fn mask(bits: u32) -> u128 {
    match bits {
        0 => 0,
        bits => u128::MAX << (128 - bits),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    fn limit(per_second: u32, slip: u32, table_max: usize) -> (RateLimit, Instant) {
        let config = config::RateLimit {
            responses_per_second: per_second,
            slip,
            table_max,
            exempt: vec!["127.0.0.0/8".parse().unwrap()],
            ..config::RateLimit::default()
        };
        let now = Clock::system().monotonic();
        (RateLimit::new(&config, now), now)
    }

    fn ip(s: &str) -> IpAddr {
        s.parse().unwrap()
    }

    #[test]
    fn a_prefix_gets_its_rate_and_no_more() {
        let (mut limit, now) = limit(10, 0, 64);
        let passed = |limit: &mut RateLimit, at| {
            (0..100)
                .filter(|i| limit.check(ip(&format!("192.0.2.{i}")), at) == Verdict::Pass)
                .count()
        };
        assert_eq!(passed(&mut limit, now), 10);
        assert_eq!(passed(&mut limit, now + Duration::from_millis(300)), 3);
        assert_eq!(passed(&mut limit, now + Duration::from_secs(60)), 10, "the burst is a second");
        assert_eq!(limit.check(ip("192.0.3.1"), now), Verdict::Pass, "another prefix");
    }

    #[test]
    fn every_nth_over_the_limit_slips() {
        let (mut limit, now) = limit(1, 3, 64);
        let seen: Vec<_> = (0..7).map(|_| limit.check(ip("2001:db8::1"), now)).collect();
        use Verdict::{Drop, Pass, Slip};
        assert_eq!(seen, [Pass, Drop, Drop, Slip, Drop, Drop, Slip]);
    }

    #[test]
    fn the_exempt_and_the_unlimited_pass() {
        let (mut some, now) = limit(1, 0, 64);
        assert!((0..9).all(|_| some.check(ip("127.1.2.3"), now) == Verdict::Pass));
        let (mut none, now) = limit(0, 0, 64);
        assert!((0..9).all(|_| none.check(ip("192.0.2.1"), now) == Verdict::Pass));
        assert_eq!(none.buckets.sets(), 0);
    }

    #[test]
    fn a_flood_of_prefixes_neither_grows_the_table_nor_frees_the_busiest() {
        let (mut limit, now) = limit(1, 0, 8);
        let size = limit.buckets.sets();
        assert_eq!(limit.check(ip("192.0.2.1"), now), Verdict::Pass);
        for i in 0..10_000u32 {
            // A batch of 32 shares one reading of the clock.
            let at = now + Duration::from_micros(u64::from(i / 32));
            let other = IpAddr::from((0x0a00_0000 + (i << 8)).to_be_bytes());
            assert_eq!(limit.check(other, at), Verdict::Pass);
            assert_eq!(limit.check(ip("192.0.2.9"), at), Verdict::Drop);
        }
        assert_eq!(limit.buckets.sets(), size);
    }

    #[test]
    fn prefixes_are_as_long_as_configured() {
        let config = config::RateLimit {
            responses_per_second: 1,
            slip: 0,
            ipv4_prefix: 32,
            ipv6_prefix: 0,
            ..config::RateLimit::default()
        };
        let now = Clock::system().monotonic();
        let mut limit = RateLimit::new(&config, now);
        assert_eq!(limit.check(ip("192.0.2.1"), now), Verdict::Pass);
        assert_eq!(limit.check(ip("192.0.2.2"), now), Verdict::Pass);
        assert_eq!(limit.check(ip("2001:db8::1"), now), Verdict::Pass);
        assert_eq!(limit.check(ip("2a00::1"), now), Verdict::Drop, "one bucket for all of IPv6");
    }
}
