//! Countries and origins as text: `FIRST,LAST,WORD`, addresses or numbers of IPv4 (as in Tor's
//! `geoip`), and `PREFIX,WORD`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::ranges::{Overlap, Ranges, number};

/// Reads ranges, each with what `word` makes of its last cell that counts.
pub(super) fn read<T>(text: &[u8], word: impl Fn(&str) -> Option<T>) -> Result<Ranges<T>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "no text".to_owned())?;
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let cells: Vec<&str> = line.split(',').map(|c| c.trim().trim_matches('"')).collect();
        let bad = || format!("line {}", at + 1);
        let (first, last, value) = match cells.as_slice() {
            [prefix, value, ..] if prefix.contains('/') => {
                let net: IpNet = prefix.parse().map_err(|_| bad())?;
                (net.network(), net.broadcast(), *value)
            }
            [first, last, value, ..] => {
                (address(first).ok_or_else(bad)?, address(last).ok_or_else(bad)?, *value)
            }
            _ => return Err(bad()),
        };
        let (first, last) = (number(first), number(last));
        if first > last {
            return Err(bad());
        }
        rows.push((first, last, word(value).ok_or_else(bad)?));
    }
    if rows.is_empty() {
        return Err("no row".to_owned());
    }
    Ranges::new(rows).map_err(|Overlap| "ranges overlap".to_owned())
}

fn address(text: &str) -> Option<IpAddr> {
    match text.parse::<u32>() {
        Ok(number) => Some(Ipv4Addr::from_bits(number).into()),
        Err(_) => text.parse().ok(),
    }
}

/// A country's code.
pub(super) fn country(text: &str) -> Option<String> {
    // Tor has `??` where nothing is known.
    let known = text.len() == 2 && (text == "??" || text.bytes().all(|b| b.is_ascii_alphabetic()));
    known.then(|| text.to_ascii_uppercase())
}

/// The number of an autonomous system.
pub(super) fn asn(text: &str) -> Option<u32> {
    text.trim_start_matches("AS").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_every_form() {
        let text = "# comment\n16777216,16777471,AU\n\"1.0.1.0\",\"1.0.3.255\",\"CN\"\n2001:200::,2001:200:ffff:ffff:ffff:ffff:ffff:ffff,jp\n192.0.2.0/24,??\n";
        let ranges = read(text.as_bytes(), country).unwrap();
        for (address, expected) in [
            ("1.0.0.255", Some("AU")),
            ("1.0.1.0", Some("CN")),
            ("1.0.4.0", None),
            ("2001:200::1", Some("JP")),
            ("192.0.2.7", Some("??")),
        ] {
            let found = ranges.of(address.parse().unwrap()).map(String::as_str);
            assert_eq!(found, expected, "{address}");
        }
        let origins = read(b"192.0.2.0/24,AS64496\n", asn).unwrap();
        assert_eq!(origins.of("192.0.2.1".parse().unwrap()), Some(&64_496));
        for (bad, why) in [
            ("", "no row"),
            ("1.0.0.0,1.0.0.255,Australia", "line 1"),
            ("1.0.0.9,1.0.0.1,AU", "line 1"),
            ("1.0.0.0,1.0.0.9,AU\n1.0.0.9,1.0.0.10,AU", "ranges overlap"),
        ] {
            assert_eq!(read(bad.as_bytes(), country).unwrap_err(), why, "{bad}");
        }
    }
}
