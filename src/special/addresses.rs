//! IANA's special-purpose address registries (RFC 6890, RFC 8190), multicast, and what is beside
//! global unicast. The longest prefix counts: parts of a block that is not reachable may be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether packets to such an address may cross the public internet: the registries' column
/// "Globally Reachable".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachable {
    /// They may.
    Yes,
    /// They may not.
    No,
    /// The registry says "N/A": it depends on the IPv4 address inside, or the block is deprecated.
    Depends,
}

/// One block with a special purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The first address; IPv4 blocks are here as IPv4.
    pub first: IpAddr,
    /// The length of the prefix, in bits.
    pub length: u8,
    /// What the registry calls it.
    pub purpose: &'static str,
    /// Where that is written.
    pub source: &'static str,
    /// Whether it can be reached.
    pub reachable: Reachable,
}

impl Registered {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(a)) => {
                let shift = 32 - u32::from(self.length);
                (first.to_bits() ^ a.to_bits()).checked_shr(shift).is_none_or(|rest| rest == 0)
            }
            (IpAddr::V6(first), IpAddr::V6(a)) => {
                let shift = 128 - u32::from(self.length);
                (first.to_bits() ^ a.to_bits()).checked_shr(shift).is_none_or(|rest| rest == 0)
            }
            _ => false,
        }
    }
}

const fn v4(
    [a, b, c, d]: [u8; 4],
    length: u8,
    purpose: &'static str,
    source: &'static str,
    reachable: Reachable,
) -> Registered {
    let first = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    Registered { first, length, purpose, source, reachable }
}

const fn v6(
    s: [u16; 8],
    length: u8,
    purpose: &'static str,
    source: &'static str,
    reachable: Reachable,
) -> Registered {
    let first = IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]));
    Registered { first, length, purpose, source, reachable }
}

use Reachable::{Depends, No, Yes};

/// Every block: the registries of 2025-10 and, marked so, what they leave to the registries of
/// multicast (RFC 5771, RFC 4291 §2.7) and of IPv6 addresses (all but `2000::/3` is reserved).
pub const TABLE: [Registered; 53] = [
    v4([0, 0, 0, 0], 8, "this network", "RFC 791", No),
    v4([0, 0, 0, 0], 32, "this host on this network", "RFC 1122", No),
    v4([10, 0, 0, 0], 8, "private use", "RFC 1918", No),
    v4([100, 64, 0, 0], 10, "shared address space", "RFC 6598", No),
    v4([127, 0, 0, 0], 8, "loopback", "RFC 1122", No),
    v4([169, 254, 0, 0], 16, "link local", "RFC 3927", No),
    v4([172, 16, 0, 0], 12, "private use", "RFC 1918", No),
    v4([192, 0, 0, 0], 24, "IETF protocol assignments", "RFC 6890", No),
    v4([192, 0, 0, 0], 29, "IPv4 service continuity prefix", "RFC 7335", No),
    v4([192, 0, 0, 8], 32, "IPv4 dummy address", "RFC 7600", No),
    v4([192, 0, 0, 9], 32, "port control protocol anycast", "RFC 7723", Yes),
    v4([192, 0, 0, 10], 32, "traversal using relays around NAT anycast", "RFC 8155", Yes),
    v4([192, 0, 0, 170], 32, "NAT64/DNS64 discovery", "RFC 8880", No),
    v4([192, 0, 0, 171], 32, "NAT64/DNS64 discovery", "RFC 8880", No),
    v4([192, 0, 2, 0], 24, "documentation (TEST-NET-1)", "RFC 5737", No),
    v4([192, 31, 196, 0], 24, "AS112-v4", "RFC 7535", Yes),
    v4([192, 52, 193, 0], 24, "automatic multicast tunneling", "RFC 7450", Yes),
    v4([192, 88, 99, 0], 24, "deprecated (6to4 relay anycast)", "RFC 7526", Depends),
    v4([192, 88, 99, 2], 32, "6a44 relay anycast", "RFC 6751", No),
    v4([192, 168, 0, 0], 16, "private use", "RFC 1918", No),
    v4([192, 175, 48, 0], 24, "direct delegation AS112 service", "RFC 7534", Yes),
    v4([198, 18, 0, 0], 15, "benchmarking", "RFC 2544", No),
    v4([198, 51, 100, 0], 24, "documentation (TEST-NET-2)", "RFC 5737", No),
    v4([203, 0, 113, 0], 24, "documentation (TEST-NET-3)", "RFC 5737", No),
    v4([224, 0, 0, 0], 4, "multicast", "RFC 5771", No),
    v4([240, 0, 0, 0], 4, "reserved", "RFC 1112", No),
    v4([255, 255, 255, 255], 32, "limited broadcast", "RFC 8190", No),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 3, "reserved by the IETF", "RFC 4291", No),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified address", "RFC 4291", No),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback address", "RFC 4291", No),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped address", "RFC 4291", No),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "IPv4-IPv6 translation", "RFC 6052", Yes),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "IPv4-IPv6 translation", "RFC 8215", No),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only address block", "RFC 6666", No),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy IPv6 prefix", "RFC 9780", No),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "IETF protocol assignments", "RFC 2928", No),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "TEREDO", "RFC 4380", Depends),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, "port control protocol anycast", "RFC 7723", Yes),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, "relays around NAT anycast", "RFC 8155", Yes),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, "service registration anycast", "RFC 9665", Yes),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking", "RFC 5180", No),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, "automatic multicast tunneling", "RFC 7450", Yes),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, "AS112-v6", "RFC 7535", Yes),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "deprecated (ORCHID)", "RFC 4843", Depends),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHIDv2", "RFC 7343", Yes),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, "drone remote ID entity tags", "RFC 9374", Yes),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", "RFC 3849", No),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC 3056", Depends),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "direct delegation AS112", "RFC 7534", Yes),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", "RFC 9637", No),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, "reserved by the IETF", "RFC 4291", No),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing (SRv6) SIDs", "RFC 9602", No),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, "reserved, local or multicast", "RFC 4291", No),
];

/// What an address is registered for, by the longest prefix; nothing for an ordinary one.
pub fn registered(address: IpAddr) -> Option<&'static Registered> {
    TABLE.iter().filter(|r| r.contains(address)).max_by_key(|r| r.length)
}

/// The dress in which an IPv6 address carries an IPv4 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedding {
    /// RFC 4291 §2.5.5.2.
    Mapped,
    /// RFC 6052 §2.1, the well-known prefix.
    Translated,
    /// RFC 3056.
    SixToFour,
    /// RFC 4380 §4: the client's address, its bits turned over.
    Teredo,
}

impl Embedding {
    /// Its name, as records have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Translated => "translated",
            Self::SixToFour => "6to4",
            Self::Teredo => "teredo",
        }
    }
}

/// The IPv4 address inside an IPv6 one.
pub fn embedded(address: Ipv6Addr) -> Option<(Embedding, Ipv4Addr)> {
    let s = address.segments();
    let of = |hi: u16, lo: u16| Ipv4Addr::from_bits(u32::from(hi) << 16 | u32::from(lo));
    match s {
        [0, 0, 0, 0, 0, 0xffff, hi, lo] => Some((Embedding::Mapped, of(hi, lo))),
        [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => Some((Embedding::Translated, of(hi, lo))),
        [0x2002, hi, lo, ..] => Some((Embedding::SixToFour, of(hi, lo))),
        [0x2001, 0, .., hi, lo] => Some((Embedding::Teredo, of(!hi, !lo))),
        _ => None,
    }
}

/// Mapped, translated and 6to4 addresses become the IPv4 address that packets go to. Behind Teredo
/// addresses are clients, whatever theirs.
pub(crate) fn canonical_address(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match embedded(v6) {
        Some((Embedding::Mapped | Embedding::Translated | Embedding::SixToFour, v4)) => v4.into(),
        Some((Embedding::Teredo, _)) | None => address,
    }
}

/// Whether packets to an address do not go to the public internet, or nobody can tell.
pub(crate) fn is_special_address(address: IpAddr) -> bool {
    registered(canonical_address(address)).is_some_and(|r| r.reachable != Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, expected: Option<(&str, Reachable)>) {
        let found = registered(address.parse().unwrap()).map(|r| (r.purpose, r.reachable));
        assert_eq!(found, expected, "{address}");
    }

    #[test]
    fn the_longest_prefix_counts() {
        check("192.0.0.8", Some(("IPv4 dummy address", No)));
        check("192.0.0.9", Some(("port control protocol anycast", Yes)));
        check("192.0.0.11", Some(("IETF protocol assignments", No)));
        check("192.0.1.0", None);
        check("0.0.0.0", Some(("this host on this network", No)));
        check("100.63.255.255", None);
        check("100.64.0.0", Some(("shared address space", No)));
        check("198.19.255.255", Some(("benchmarking", No)));
        check("223.255.255.255", None);
        check("255.255.255.255", Some(("limited broadcast", No)));
        check("8.8.8.8", None);
        check("::1", Some(("loopback address", No)));
        check("2001:1::1", Some(("port control protocol anycast", Yes)));
        check("2001:1::4", Some(("IETF protocol assignments", No)));
        check("2001:200::", None);
        check("3fff:fff:ffff::", Some(("documentation", No)));
        check("3fff:1000::", None);
        check("fe80::1", Some(("reserved, local or multicast", No)));
        check("5f00::1", Some(("segment routing (SRv6) SIDs", No)));
    }

    #[test]
    fn ipv4_is_found_in_every_dress() {
        for (address, expected) in [
            ("::ffff:192.0.2.1", Some((Embedding::Mapped, "192.0.2.1"))),
            ("64:ff9b::808:808", Some((Embedding::Translated, "8.8.8.8"))),
            ("64:ff9b:1::808:808", None),
            ("2002:c000:204::1", Some((Embedding::SixToFour, "192.0.2.4"))),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some((Embedding::Teredo, "192.0.2.45"))),
            ("2001:db8::1", None),
        ] {
            let found = embedded(address.parse().unwrap()).map(|(e, v4)| (e, v4.to_string()));
            assert_eq!(found, expected.map(|(e, v4)| (e, v4.to_owned())), "{address}");
        }
    }

    #[test]
    fn blocks_begin_where_they_say() {
        for block in TABLE {
            let bits = match block.first {
                IpAddr::V4(a) => a.to_bits().trailing_zeros() + u32::from(block.length) >= 32,
                IpAddr::V6(a) => a.to_bits().trailing_zeros() + u32::from(block.length) >= 128,
            };
            assert!(bits && block.contains(block.first), "{block:?}");
        }
    }
}
