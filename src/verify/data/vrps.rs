//! Validated ROA payloads and origin validation (RFC 6811). Exports of Routinator (`json`, `jsonext`,
//! `csv`) and of rpki-client (`-j`) are read.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;

/// A prefix that an autonomous system may announce, down to a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vrp {
    /// The prefix.
    pub prefix: IpNet,
    /// The longest prefix within it that may be announced.
    pub max_length: u8,
    /// The number of the autonomous system; 0 for nobody (RFC 6483 §4).
    pub asn: u32,
}

/// How an announcement stands (RFC 6811 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is what somebody signed.
    Valid,
    /// Somebody signed something else: another origin.
    InvalidOrigin,
    /// The right origin, and a prefix that is too long.
    InvalidLength,
    /// Nobody signed anything about it.
    NotFound,
}

/// How the announcement of `prefix` by `asn` stands, by those of `covering` that cover it.
pub fn validity(covering: &[Vrp], prefix: IpNet, asn: u32) -> Validity {
    let mut found = Validity::NotFound;
    for vrp in covering.iter().filter(|v| v.prefix.contains(&prefix)) {
        let is_origin = vrp.asn == asn && asn != 0;
        if is_origin && prefix.prefix_len() <= vrp.max_length {
            return Validity::Valid;
        }
        if is_origin {
            found = Validity::InvalidLength;
        } else if found == Validity::NotFound {
            found = Validity::InvalidOrigin;
        }
    }
    found
}

/// All that may be announced.
#[derive(Clone, Debug, Default)]
pub(super) struct Vrps {
    by: HashMap<IpNet, Vec<(u32, u8)>>,
    /// Through when they count, where they say so.
    pub(super) expires: Option<Timestamp>,
    /// When they were made, where they say so.
    pub(super) made: Option<Timestamp>,
}

impl Vrps {
    /// Reads an export.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "no text".to_owned())?;
        if text.trim_start().starts_with('{') { Self::json(text) } else { Self::csv(text) }
    }

    fn json(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let roas = json["roas"].as_array().ok_or("no member \"roas\"")?;
        let mut all = Self::default();
        for (at, roa) in roas.iter().enumerate() {
            let row = || format!("roas[{at}]");
            let prefix = roa["prefix"].as_str().ok_or_else(row)?;
            let length = roa["maxLength"].as_u64().ok_or_else(row)?;
            let asn = match &roa["asn"] {
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            all.add(prefix, &length.to_string(), &asn).ok_or_else(row)?;
        }
        let meta = &json["metadata"];
        let time = |v: &Value| match v {
            Value::Number(n) => n.as_i64().map(Timestamp::from_secs),
            Value::String(t) => t.parse().ok(),
            _ => None,
        };
        all.made =
            time(&meta["generated"]).or(time(&meta["generatedTime"])).or(time(&meta["buildtime"]));
        // rpki-client says of each when it ends; what has ended is not exported.
        let ends = roas.iter().filter_map(|r| r["expires"].as_i64()).map(Timestamp::from_secs);
        all.expires = ends.min();
        Ok(all)
    }

    fn csv(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for (at, line) in text.lines().enumerate() {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            if at == 0 && cells.first().is_some_and(|c| c.eq_ignore_ascii_case("asn"))
                || line.is_empty()
            {
                continue;
            }
            let row = || format!("line {}", at + 1);
            let &[asn, prefix, length, ..] = cells.as_slice() else { return Err(row()) };
            all.add(prefix, length, asn).ok_or_else(row)?;
        }
        Ok(all)
    }

    fn add(&mut self, prefix: &str, length: &str, asn: &str) -> Option<()> {
        let prefix: IpNet = prefix.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let most = if prefix.addr().is_ipv4() { 32 } else { 128 };
        let asn = asn.trim_start_matches("AS").parse().ok()?;
        if length < prefix.prefix_len() || length > most {
            return None;
        }
        self.by.entry(prefix.trunc()).or_default().push((asn, length));
        Some(())
    }

    /// All that cover an address.
    pub(super) fn covering(&self, address: IpAddr) -> Vec<Vrp> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let mut found = Vec::new();
        for length in 0..=most {
            let Ok(net) = IpNet::new(address, length) else { continue };
            let prefix = net.trunc();
            if let Some(all) = self.by.get(&prefix) {
                found.extend(all.iter().map(|(asn, max_length)| Vrp {
                    prefix,
                    max_length: *max_length,
                    asn: *asn,
                }));
            }
        }
        found
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by.values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn announcements_are_judged_as_rfc_6811_has_it() {
        let csv = "ASN,IP Prefix,Max Length,Trust Anchor\nAS64496,192.0.2.0/24,25,ripe\n\
                   AS0,198.51.100.0/24,24,arin\nAS64497,2001:db8::/32,48,apnic\n";
        let json = r#"{ "metadata": { "generated": 1795000000 }, "roas": [
            { "asn": "AS64496", "prefix": "192.0.2.0/24", "maxLength": 25, "ta": "ripe" },
            { "asn": 0, "prefix": "198.51.100.0/24", "maxLength": 24, "ta": "arin" },
            { "asn": 64497, "prefix": "2001:db8::/32", "maxLength": 48, "expires": 1795003600 }]}"#;
        for text in [csv, json] {
            let vrps = Vrps::read(text.as_bytes()).unwrap();
            assert_eq!(vrps.len(), 3);
            for (prefix, asn, expected) in [
                ("192.0.2.0/24", 64496, Validity::Valid),
                ("192.0.2.128/25", 64496, Validity::Valid),
                ("192.0.2.128/26", 64496, Validity::InvalidLength),
                ("192.0.2.0/24", 64999, Validity::InvalidOrigin),
                ("192.0.0.0/16", 64496, Validity::NotFound),
                ("203.0.113.0/24", 64496, Validity::NotFound),
                ("198.51.100.0/24", 0, Validity::InvalidOrigin),
                ("198.51.100.0/24", 64496, Validity::InvalidOrigin),
                ("2001:db8:1::/48", 64497, Validity::Valid),
                ("2001:db8:1:1::/64", 64497, Validity::InvalidLength),
            ] {
                let prefix = net(prefix);
                let covering = vrps.covering(prefix.addr());
                assert_eq!(validity(&covering, prefix, asn), expected, "{prefix} {asn}");
            }
        }
        let read = Vrps::read(json.as_bytes()).unwrap();
        assert_eq!(read.made, Some(Timestamp::from_secs(1_795_000_000)));
        assert_eq!(read.expires, Some(Timestamp::from_secs(1_795_003_600)));
        for (bad, why) in [
            ("{}", "no member \"roas\""),
            ("ASN,IP Prefix,Max Length\nAS1,192.0.2.0/24,23", "line 2"),
            ("ASN,IP Prefix,Max Length\nAS1,nothing,24", "line 2"),
        ] {
            assert_eq!(Vrps::read(bad.as_bytes()).unwrap_err(), why, "{bad}");
        }
    }
}
