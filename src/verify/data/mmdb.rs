//! MaxMind's format, of whoever writes it. A file is verified whole before it is used.

use std::net::IpAddr;

use ipnet::IpNet;
use maxminddb::Reader;
use serde_json::Value;

use crate::clock::Timestamp;

/// A database.
pub(super) struct Mmdb {
    reader: Reader<Vec<u8>>,
}

impl std::fmt::Debug for Mmdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mmdb")
    }
}

impl Mmdb {
    /// Whether bytes may be one.
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
        let tail = &bytes[bytes.len().saturating_sub(128 << 10)..];
        tail.windows(MARKER.len()).any(|w| w == MARKER)
    }

    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes).map_err(|e| e.to_string())?;
        reader.verify().map_err(|e| e.to_string())?;
        Ok(Self { reader })
    }

    /// When it was made.
    pub(super) fn made(&self) -> Timestamp {
        Timestamp::from_secs(i64::try_from(self.reader.metadata().build_epoch).unwrap_or(0))
    }

    fn row(&self, address: IpAddr) -> Option<(IpNet, Value)> {
        let found = self.reader.lookup(address).ok()?;
        let prefix = found.network().ok()?.to_string().parse().ok()?;
        Some((prefix, found.decode::<Value>().ok()??))
    }

    /// The country, wherever writers put it.
    pub(super) fn country(&self, address: IpAddr) -> Option<String> {
        let (_, row) = self.row(address)?;
        let places = [
            &row["country"]["iso_code"],
            &row["country_code"],
            &row["country"],
            &row["registered_country"]["iso_code"],
        ];
        let code = places.into_iter().find_map(Value::as_str)?;
        super::lines::country(code)
    }

    /// The prefix and its origin, wherever writers put it.
    pub(super) fn origin(&self, address: IpAddr) -> Option<(IpNet, u32)> {
        let (prefix, row) = self.row(address)?;
        let places = [&row["autonomous_system_number"], &row["asn"]];
        let asn = places.into_iter().find_map(|v| match v {
            Value::String(text) => super::lines::asn(text),
            number => number.as_u64().and_then(|n| n.try_into().ok()),
        })?;
        Some((prefix, asn))
    }
}
