//! Which addresses a list of prefixes covers.

use std::net::IpAddr;

use ipnet::IpNet;

/// The addresses of a list of prefixes. IPv4 and IPv6 are apart: `::/0` covers no IPv4 client.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressSet {
    /// The set these prefixes cover together.
    pub(super) fn new(nets: &[IpNet]) -> Self {
        let mut set = Self::default();
        for net in nets {
            match (net.network().to_canonical(), net.broadcast().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    set.v4.push((first.to_bits(), last.to_bits()));
                }
                // A prefix of IPv6, or one that only begins or ends among the mapped addresses.
                _ => {
                    if let IpNet::V6(net) = net {
                        set.v6.push((net.network().to_bits(), net.broadcast().to_bits()));
                    }
                }
            }
        }
        set.v4 = merged(set.v4);
        set.v6 = merged(set.v6);
        set
    }

    /// Whether `ip` is covered; IPv4 mapped into IPv6 counts as IPv4.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => covers(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => covers(&self.v6, ip.to_bits()),
        }
    }
}

/// Prefixes nest or are apart, so that dropping the inner ones leaves disjoint ranges in order.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if out.last().is_none_or(|outer| range.1 > outer.1) {
            out.push(range);
        }
    }
    out
}

fn covers<T: Ord>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= ip);
    after > 0 && ip <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(nets: &[&str], ip: &str, expected: bool) {
        let nets: Vec<IpNet> = nets.iter().map(|n| n.parse().unwrap()).collect();
        assert_eq!(AddressSet::new(&nets).contains(ip.parse().unwrap()), expected, "{nets:?} {ip}");
    }

    #[test]
    fn prefixes_cover_their_addresses_only() {
        check(&[], "127.0.0.1", false);
        check(&["10.0.0.0/8"], "10.255.255.255", true);
        check(&["10.0.0.0/8"], "11.0.0.0", false);
        check(&["10.0.0.0/8"], "9.255.255.255", false);
        check(&["10.1.2.3/8"], "10.0.0.1", true);
        check(&["192.0.2.7/32"], "192.0.2.7", true);
        check(&["192.0.2.7/32"], "192.0.2.6", false);
        check(&["0.0.0.0/0"], "203.0.113.9", true);
        check(&["fc00::/7"], "fdff::1", true);
        check(&["fc00::/7"], "fe00::1", false);
    }

    #[test]
    fn inner_prefixes_do_not_hide_outer_ones() {
        let nets = ["10.0.0.0/8", "10.9.0.0/16", "10.0.0.0/30", "10.0.0.0/8", "172.16.0.0/12"];
        check(&nets, "10.200.0.1", true);
        check(&nets, "10.9.255.255", true);
        check(&nets, "172.31.0.1", true);
        check(&nets, "172.32.0.1", false);
    }

    #[test]
    fn the_families_are_apart_and_mapped_addresses_are_ipv4() {
        check(&["::/0"], "127.0.0.1", false);
        check(&["0.0.0.0/0"], "::1", false);
        check(&["127.0.0.0/8"], "::ffff:127.0.0.1", true);
        check(&["::ffff:127.0.0.0/104"], "127.0.0.1", true);
        check(&["::/0"], "2001:db8::1", true);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_a_plain_scan(
            nets in proptest::collection::vec((0u32.., 0u8..=32), 0..12),
            ip in 0u32..,
        ) {
            let nets: Vec<IpNet> = nets
                .into_iter()
                .map(|(a, len)| IpNet::new(std::net::Ipv4Addr::from_bits(a).into(), len).unwrap())
                .collect();
            let ip = IpAddr::V4(std::net::Ipv4Addr::from_bits(ip));
            let expected = nets.iter().any(|n| n.contains(&ip));
            proptest::prop_assert_eq!(AddressSet::new(&nets).contains(ip), expected);
        }
    }
}
