//! Where a list comes from: a path, or an address with a scheme.

use std::{
    borrow::Cow,
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::{Host, Url};

use super::{Fault, SpecError};

/// Where a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file, or a directory whose files together are the list. Absolute.
    Path(PathBuf),
    /// A file at a web server.
    Https(Url),
    /// A zone at a name server.
    Zone(Transfer),
    /// Names by their verdicts and findings: `verdicts:RES-07,contradicted`.
    Verdicts(Vec<String>),
}

/// A zone at a name server: `axfr://host[:port][/zone]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Whether the whole zone is asked for each time (`axfr`), and not what has changed.
    pub whole: bool,
    /// Whether the connection is encrypted (`xot`, RFC 9103).
    pub tls: bool,
    /// The server: a name, or an address.
    pub host: Host<String>,
    /// Its port: 53, or 853 with TLS.
    pub port: u16,
    /// The zone's name; empty for the feed's origin, or its name.
    pub zone: String,
}

impl Transfer {
    fn scheme(&self) -> (&'static str, u16) {
        match (self.tls, self.whole) {
            (true, _) => ("xot", 853),
            (false, true) => ("axfr", 53),
            (false, false) => ("ixfr", 53),
        }
    }
}

impl Location {
    /// Whether the list is a zone at a name server.
    pub const fn is_transfer(&self) -> bool {
        matches!(self, Self::Zone(_))
    }

    /// Whether it is on this machine, where looking costs nothing.
    pub const fn is_near(&self) -> bool {
        matches!(self, Self::Path(_) | Self::Verdicts(_))
    }

    fn of_words(words: &str) -> Option<Self> {
        let is_word = |w: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
            !w.is_empty() && w.bytes().all(plain)
        };
        let words: Vec<String> = words.split(',').map(str::to_owned).collect();
        words.iter().all(|w| is_word(w)).then_some(Self::Verdicts(words))
    }

    fn of_path(path: &str) -> Option<Self> {
        let path = Path::new(path);
        let plain = |c| matches!(c, Component::RootDir | Component::Normal(_));
        let good = path.is_absolute() && path.components().all(plain);
        good.then(|| Self::Path(path.components().collect()))
    }

    fn of_url(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (tls, whole) = match scheme {
            "https" => return Self::of_https(text),
            "axfr" => (false, true),
            "ixfr" => (false, false),
            "xot" => (true, false),
            _ => return None,
        };
        // Of the schemes that the URL standard knows, so that host and port are read as hosts and
        // ports are.
        let url = Url::parse(&format!("http://{rest}")).ok()?;
        if !is_plain(&url) || url.query().is_some() {
            return None;
        }
        let default = if tls { 853 } else { 53 };
        let port = url.port().or_else(|| rest_has_port_80(rest).then_some(80)).unwrap_or(default);
        let zone = url.path().trim_start_matches('/').trim_end_matches('.').to_ascii_lowercase();
        let zone_is_name = zone.is_empty() || crate::name::Name::from_text(&zone).is_ok();
        let good = zone_is_name && port != 0;
        let host = url.host()?.to_owned();
        good.then_some(Self::Zone(Transfer { whole, tls, host, port, zone }))
    }

    fn of_https(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        is_plain(&url).then_some(Self::Https(url))
    }
}

/// Secrets would show in records, and a fragment is not sent.
fn is_plain(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

/// A URL's parser drops the default port of the scheme that stands in for ours.
fn rest_has_port_80(rest: &str) -> bool {
    rest.split('/').next().is_some_and(|authority| authority.ends_with(":80"))
}

impl FromStr for Location {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let read = match text.strip_prefix("verdicts:") {
            Some(words) => Self::of_words(words),
            None if text.starts_with('/') => Self::of_path(text),
            None => Self::of_url(text),
        };
        read.ok_or_else(|| SpecError::new("source", Fault::Source))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Https(url) => write!(f, "{url}"),
            Self::Zone(zone) => write!(f, "{zone}"),
            Self::Verdicts(words) => write!(f, "verdicts:{}", words.join(",")),
        }
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = self.scheme();
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != default {
            write!(f, ":{}", self.port)?;
        }
        if !self.zone.is_empty() {
            write!(f, "/{}", self.zone)?;
        }
        Ok(())
    }
}

impl JsonSchema for Location {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Location".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An absolute path, an https://, axfr://, ixfr:// or xot:// address, or \
                verdicts: and words of verdicts and ids of checks",
        })
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e: SpecError| D::Error::custom(e.fault))
    }
}
