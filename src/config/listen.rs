//! A listener that can be turned off: an address, or `"off"`. TOML has no null, and a key left out
//! means its default.

use std::{fmt, net::SocketAddr};

use serde::{Deserializer, Serializer, de};

pub(super) fn serialize<S: Serializer>(
    listen: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match listen {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("off"),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SocketAddr>, D::Error> {
    d.deserialize_str(Listen)
}

struct Listen;

impl de::Visitor<'_> for Listen {
    type Value = Option<SocketAddr>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address and port, or \"off\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            "off" => Ok(None),
            _ => text.parse().map(Some).map_err(E::custom),
        }
    }
}
