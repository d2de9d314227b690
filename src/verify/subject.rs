//! What somebody wants to know about: a name, a URL, an address.

use std::net::IpAddr;

use url::{Host, Url};

use super::dns::reply::OwnName;

/// A longer subject is none, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 2_048;

/// A subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A name.
    Host(OwnName),
    /// A URL, and the name in it.
    Url(Url, OwnName),
    /// An address.
    Address(IpAddr),
}

/// Why a text is no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSubject {
    /// It is too long.
    #[error("it is longer than 2,048 bytes")]
    TooLong,
    /// It is a URL that cannot be read, or has no host.
    #[error("it is no URL of a host")]
    Url,
    /// It is no name.
    #[error("it is neither a name nor an address nor a URL")]
    Name,
}

impl Subject {
    /// Reads a subject: URLs have a scheme, everything else is an address or a name, in any script.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadSubject> {
        let text = text.trim();
        if text.len() > SUBJECT_BYTES_MAX {
            return Err(BadSubject::TooLong);
        }
        if text.contains("://") {
            let url = Url::parse(text).map_err(|_| BadSubject::Url)?;
            return match url.host() {
                Some(Host::Ipv4(address)) => Ok(Self::Address(address.into())),
                Some(Host::Ipv6(address)) => Ok(Self::Address(address.into())),
                Some(Host::Domain(host)) => {
                    let name = name(host)?;
                    Ok(Self::Url(url, name))
                }
                None => Err(BadSubject::Url),
            };
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        match bare.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => Ok(Self::Host(name(text)?)),
        }
    }

    /// The word that records have for the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Host(_) => "host",
            Self::Url(..) => "url",
            Self::Address(_) => "address",
        }
    }

    /// The name in it.
    pub const fn host(&self) -> Option<&OwnName> {
        match self {
            Self::Host(name) | Self::Url(_, name) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// The address that it is.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            _ => None,
        }
    }

    /// As records have it: in lower case, of A-labels.
    pub fn text(&self) -> String {
        match self {
            Self::Host(name) => name.to_string(),
            Self::Url(url, _) => url.to_string(),
            Self::Address(address) => address.to_string(),
        }
    }
}

/// A name in A-labels and lower case.
fn name(text: &str) -> Result<OwnName, BadSubject> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(BadSubject::Name);
    }
    let ascii = idna::domain_to_ascii(text).map_err(|_| BadSubject::Name)?;
    if ascii.contains(['\\', '"', '(', ')', ';', '@', '$']) || ascii.contains(char::is_whitespace) {
        return Err(BadSubject::Name);
    }
    ascii.parse().map_err(|_| BadSubject::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, &str), BadSubject>) {
        let found = Subject::parse(text).map(|s| (s.kind(), s.text()));
        let found = found.as_ref().map(|(kind, text)| (*kind, text.as_str())).map_err(|e| *e);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn names_urls_and_addresses_are_told_apart() {
        check("WWW.Example.com.", Ok(("host", "www.example.com")));
        check(
            "中国互联网络信息中心.中国",
            Ok(("host", "xn--fiqa61au8b7zsevnm8ak20mc4a87e.xn--fiqs8s")),
        );
        check("_dmarc.example.com", Ok(("host", "_dmarc.example.com")));
        check("https://Example.com/a?b", Ok(("url", "https://example.com/a?b")));
        check("http://192.0.2.1/", Ok(("address", "192.0.2.1")));
        check("2001:DB8::1", Ok(("address", "2001:db8::1")));
        check("[2001:db8::1]", Ok(("address", "2001:db8::1")));
        check("", Err(BadSubject::Name));
        check("a..b", Err(BadSubject::Name));
        check("a b", Err(BadSubject::Name));
        check("mailto:x@example.com", Err(BadSubject::Name));
        check("https://", Err(BadSubject::Url));
        check(&"a".repeat(2_049), Err(BadSubject::TooLong));
    }
}
