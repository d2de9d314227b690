//! Names and addresses that lead nowhere on the public internet, or to a different place for
//! everyone. Targets of links are held to this, and servers that lists are fetched from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Special-purpose names; everything below them counts too. RFC 6761 and its registry (`test`,
/// `localhost`, `invalid`, `example`), RFC 6762 §3 and appendix G (`local` and the private names
/// people use), RFC 7686 (`onion`), RFC 9476 (`alt`), RFC 8375 and the other `arpa` names (the
/// whole of `arpa` is infrastructure), `internal` (ICANN 2024). `example.com`, `.net` and `.org`
/// are in the registry as well, but are real sites and stay usable.
const SPECIAL: [&str; 17] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "test",
    "workgroup",
];

/// Whether `name` (lower case, without the trailing dot) is, or lies below, a special-purpose
/// name.
pub(crate) fn is_special(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    SPECIAL.contains(&last)
}

/// IPv4 in any IPv6 dress becomes IPv4: mapped (RFC 4291 §2.5.5.2), translated (RFC 6052 §2.1,
/// the well-known prefix) and 6to4 (RFC 3056).
pub(crate) fn canonical_address(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let s = v6.segments();
    let v4 = |hi: u16, lo: u16| {
        let ([a, b], [c, d]) = (hi.to_be_bytes(), lo.to_be_bytes());
        Ipv4Addr::new(a, b, c, d).into()
    };
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => v4(hi, lo),
        [0x2002, hi, lo, ..] => v4(hi, lo),
        _ => address,
    }
}

/// Whether an address is not globally reachable (IANA special-purpose registries, RFC 6890).
pub(crate) fn is_special_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [x, y, z, _] = a.octets();
            a.is_private()
                || a.is_loopback()
                || a.is_link_local()
                || a.is_multicast()
                || a.is_documentation()
                || x == 0
                || x >= 240
                || (x == 100 && (y & 0xc0) == 64)
                || (x == 192 && y == 0 && z == 0)
                || (x == 198 && (y & 0xfe) == 18)
        }
        IpAddr::V6(a) => is_special_v6(a),
    }
}

const fn is_special_v6(a: Ipv6Addr) -> bool {
    let s = a.segments();
    // Everything outside 2000::/3 is unallocated, local, multicast or special.
    (s[0] & 0xe000) != 0x2000
        || (s[0] == 0x2001 && s[1] < 0x200)
        || (s[0] == 0x2001 && s[1] == 0xdb8)
        || (s[0] & 0xfff0) == 0x3ff0
}
