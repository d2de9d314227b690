//! Who was given which addresses: the extended statistics of the regional registries
//! (`delegated-apnic-extended-latest` and the like).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ranges::{Overlap, Ranges, number};

/// A range that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) registry: String,
    pub(super) status: String,
    pub(super) country: String,
}

/// Reads one file.
pub(super) fn read(text: &[u8]) -> Result<Ranges<Given>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "no text".to_owned())?;
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').collect();
        // Comments, the line of the version and the lines of sums.
        if line.starts_with('#') || cells.len() < 7 || cells[5] == "summary" {
            continue;
        }
        let &[registry, country, kind, start, value, _, status, ..] = cells.as_slice() else {
            continue;
        };
        let bad = || format!("line {}", at + 1);
        let range = match kind {
            "ipv4" => v4(start, value).ok_or_else(bad)?,
            "ipv6" => v6(start, value).ok_or_else(bad)?,
            _ => continue,
        };
        let given = Given {
            registry: registry.to_owned(),
            status: status.to_owned(),
            country: country.to_owned(),
        };
        rows.push((range.0, range.1, given));
    }
    if rows.is_empty() {
        return Err("no row about addresses".to_owned());
    }
    Ranges::new(rows).map_err(|Overlap| "ranges overlap".to_owned())
}

/// So many addresses from `start` on: not always a prefix.
fn v4(start: &str, value: &str) -> Option<(u128, u128)> {
    let first: Ipv4Addr = start.parse().ok()?;
    let count: u32 = value.parse().ok().filter(|n| *n > 0)?;
    let last = first.to_bits().checked_add(count - 1)?;
    Some((number(first.into()), number(IpAddr::V4(Ipv4Addr::from_bits(last)))))
}

/// A prefix by its first address and length.
fn v6(start: &str, value: &str) -> Option<(u128, u128)> {
    let first: Ipv6Addr = start.parse().ok()?;
    let length: u32 = value.parse().ok().filter(|n| *n > 0 && *n <= 128)?;
    Some((first.to_bits(), first.to_bits() | (u128::MAX.checked_shr(length).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_registries_write_them() {
        let text = "2.3|apnic|20261101|4|19830613|20261031|+1000\n\
                    apnic|*|ipv4|*|3|summary\n\
                    apnic|CN|ipv4|1.0.1.0|256|20110414|allocated|A92E1062\n\
                    apnic|AU|ipv4|1.0.4.0|1024|20110412|assigned|A9192210\n\
                    apnic||ipv4|1.1.0.0|768||available|\n\
                    apnic|JP|ipv6|2001:200::|35|19990813|allocated|A916A983\n\
                    apnic|JP|asn|173|1|20020801|allocated|A91A7381\n";
        let ranges = read(text.as_bytes()).unwrap();
        assert_eq!(ranges.len(), 4);
        for (address, expected) in [
            ("1.0.1.255", Some("CN allocated")),
            ("1.0.2.0", None),
            ("1.0.7.255", Some("AU assigned")),
            ("1.1.2.255", Some(" available")),
            ("1.1.3.0", None),
            ("2001:200:1fff:ffff::1", Some("JP allocated")),
            ("2001:200:2000::", None),
        ] {
            let found = ranges.of(address.parse().unwrap());
            let found = found.map(|g| format!("{} {}", g.country, g.status));
            assert_eq!(found.as_deref(), expected, "{address}");
        }
        for (bad, why) in [
            ("", "no row about addresses"),
            ("apnic|CN|ipv4|1.0.1.0|0|20110414|allocated|A", "line 1"),
            ("apnic|CN|ipv6|2001::|129|20110414|allocated|A", "line 1"),
        ] {
            assert_eq!(read(bad.as_bytes()).unwrap_err(), why);
        }
    }
}
