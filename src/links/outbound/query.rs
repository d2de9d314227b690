//! The query of `/go`, read once and strictly.

use std::borrow::Cow;

use url::form_urlencoded;

/// Parameters that mean something.
const NAMES: [&str; 4] = ["url", "sig", "exp", "domain"];
/// Digits of an instant: enough for 30,000 years.
const EXP_MAX: usize = 12;
const DOMAIN_MAX: usize = 253;

/// What `/go` is asked. Nothing is decoded but [`Self::target`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoQuery<'a> {
    /// The value of `url` as it stands.
    pub url: &'a str,
    /// The same decoded, once.
    pub target: String,
    /// The value of `sig`; none without one.
    pub sig: Option<&'a str>,
    /// The value of `exp`: decimal digits; empty without one.
    pub exp: &'a str,
    /// The value of `domain`: a host in lower case; empty without one.
    pub domain: &'a str,
}

/// Why a query of `/go` asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Misfit {
    /// It is longer than the configuration allows.
    #[error("the query is too long")]
    TooLong,
    /// A parameter is there twice: two readers could take two.
    #[error("a parameter is there twice")]
    Twice,
    /// A name or value is written so that readers differ: disguised names, `+`, characters that
    /// browsers rewrite, percent signs that are no escape, bytes that are no UTF-8.
    #[error("a parameter is not percent-encoded as it should be")]
    Encoding,
    /// There is no target.
    #[error("there is no url")]
    NoUrl,
    /// `exp` is no number as we would write it.
    #[error("exp is not an instant in seconds")]
    Expiry,
    /// `domain` is no host as we would write it.
    #[error("domain is not a host in lower case")]
    Domain,
}

impl Misfit {
    /// The reason's code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "query_too_long",
            Self::Twice => "parameter_twice",
            Self::Encoding => "parameter_encoding",
            Self::NoUrl => "url_missing",
            Self::Expiry => "exp_malformed",
            Self::Domain => "domain_malformed",
        }
    }
}

impl<'a> GoQuery<'a> {
    /// Reads a query of at most `bytes_max` bytes, without its question mark.
    ///
    /// # Errors
    /// Why it asks for nothing.
    pub fn parse(query: &'a str, bytes_max: usize) -> Result<Self, Misfit> {
        if query.len() > bytes_max {
            return Err(Misfit::TooLong);
        }
        let mut found: [Option<&str>; 4] = [None; 4];
        for piece in query.split('&') {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let Some(at) = parameter(name)? else { continue };
            if found[at].replace(value).is_some() {
                return Err(Misfit::Twice);
            }
        }
        let [url, sig, exp, domain] = found;
        let url = url.filter(|url| !url.is_empty()).ok_or(Misfit::NoUrl)?;
        let target = decoded(url).ok_or(Misfit::Encoding)?;
        if exp.is_some_and(|e| !is_instant(e)) {
            return Err(Misfit::Expiry);
        }
        if domain.is_some_and(|d| !is_host(d)) {
            return Err(Misfit::Domain);
        }
        Ok(Self { url, target, sig, exp: exp.unwrap_or(""), domain: domain.unwrap_or("") })
    }
}

/// Which of ours a name is. One that others would read as ours and that is not written so is none.
fn parameter(name: &str) -> Result<Option<usize>, Misfit> {
    if let Some(at) = NAMES.iter().position(|n| *n == name) {
        return Ok(Some(at));
    }
    let read = form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name);
    let read = read.unwrap_or(Cow::Borrowed(""));
    let disguised = NAMES.iter().any(|n| n.eq_ignore_ascii_case(read.trim()));
    if disguised { Err(Misfit::Encoding) } else { Ok(None) }
}

/// Whether a byte may stand for itself in the value of `url`: what no browser rewrites in a query
/// and no form reads as something else.
const fn stands_for_itself(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
        // Of RFC 3986's reserved characters those that need no care.
        || matches!(b, b':' | b'/' | b'?' | b'@' | b'!' | b'$' | b'(' | b')' | b'*' | b',' | b';' | b'=')
}

/// A value decoded once; none where it is not written as it should be.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                bytes.extend(byte);
                rest = behind;
            }
            b if stands_for_itself(*b) => bytes.push(*b),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

/// A target as the value of `url`: everything escaped but what RFC 3986 §2.3 calls unreserved.
pub(super) fn encoded(target: &str) -> String {
    let mut text = String::with_capacity(target.len() * 2);
    for byte in target.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&hex::encode_upper([byte]));
        }
    }
    text
}

/// A number as we write it: there is one way for each.
fn is_instant(text: &str) -> bool {
    (1..=EXP_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0')
}

fn is_host(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    (1..=DOMAIN_MAX).contains(&text.len()) && text.bytes().all(inner) && !text.ends_with('.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<GoQuery<'_>, Misfit> {
        GoQuery::parse(query, 200)
    }

    #[test]
    fn a_query_is_read_one_way_or_not_at_all() {
        let full = read(
            "url=https%3A%2F%2Fa.example%2F%3Fx%3D1%26y&exp=1900000000&domain=go.example&sig=k.0",
        );
        let full = full.unwrap();
        assert_eq!(full.target, "https://a.example/?x=1&y");
        assert_eq!((full.sig, full.exp, full.domain), (Some("k.0"), "1900000000", "go.example"));
        let plain = read("utm_source=x&url=https://a.example/b?c=d&fbclid=%zz+&&sig=").unwrap();
        assert_eq!((&*plain.target, plain.sig), ("https://a.example/b?c=d", Some("")));
        for (query, why) in [
            ("", Misfit::NoUrl),
            ("url", Misfit::NoUrl),
            ("url=", Misfit::NoUrl),
            ("sig=k.0", Misfit::NoUrl),
            ("url=https://a&url=https://b", Misfit::Twice),
            ("url=https://a&url=", Misfit::Twice),
            ("url=https://a&sig=x&sig=y", Misfit::Twice),
            ("url=https://a&exp=9&exp=9", Misfit::Twice),
            ("url=https://a&u%72l=https://b", Misfit::Encoding),
            ("url=https://a&+url=https://b", Misfit::Encoding),
            ("url=https://a&URL=https://b", Misfit::Encoding),
            ("url=https://a&%73ig=x", Misfit::Encoding),
            ("url=https://a/b+c", Misfit::Encoding),
            ("url=https://a/'", Misfit::Encoding),
            ("url=https://a/\"", Misfit::Encoding),
            ("url=https://a/<", Misfit::Encoding),
            ("url=https://a/\\b", Misfit::Encoding),
            ("url=https://[::1]/", Misfit::Encoding),
            ("url=https://例.example/", Misfit::Encoding),
            ("url=https://a/%", Misfit::Encoding),
            ("url=https://a/%4", Misfit::Encoding),
            ("url=https://a/%zz", Misfit::Encoding),
            ("url=https://a/%ff", Misfit::Encoding),
            ("url=https://a/%c0%af", Misfit::Encoding),
            ("url=https://a/%ed%a0%80", Misfit::Encoding),
            ("url=a&exp=", Misfit::Expiry),
            ("url=a&exp=0", Misfit::Expiry),
            ("url=a&exp=01", Misfit::Expiry),
            ("url=a&exp=+1", Misfit::Expiry),
            ("url=a&exp=1e9", Misfit::Expiry),
            ("url=a&exp=%31", Misfit::Expiry),
            ("url=a&exp=1000000000000", Misfit::Expiry),
            ("url=a&domain=", Misfit::Domain),
            ("url=a&domain=Go.example", Misfit::Domain),
            ("url=a&domain=go.example.", Misfit::Domain),
            ("url=a&domain=go.example:80", Misfit::Domain),
            ("url=a&domain=go%2eexample", Misfit::Domain),
        ] {
            assert_eq!(read(query), Err(why), "{query}");
        }
        assert_eq!(read(&format!("url={}", "a".repeat(197))), Err(Misfit::TooLong));
        assert!(read(&format!("url={}", "a".repeat(196))).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded(target in "\\PC{0,60}") {
            let value = encoded(&target);
            prop_assert!(value.bytes().all(|b| b == b'%' || stands_for_itself(b)));
            prop_assert_eq!(decoded(&value), Some(target));
        }
    }

    #[test]
    fn fuzz() {
        bolero::check!().with_iterations(20_000).with_max_len(256).for_each(|input: &[u8]| {
            let Ok(text) = std::str::from_utf8(input) else { return };
            for query in [text.to_owned(), format!("url=https://a.example/{text}&sig=k.0")] {
                let Ok(read) = GoQuery::parse(&query, 512) else { continue };
                // Nothing in it can be read as something else.
                let pairs = form_urlencoded::parse(query.as_bytes());
                let urls: Vec<_> = pairs.filter(|(name, _)| name == "url").collect();
                assert_eq!(urls.len(), 1, "{query}");
                assert_eq!(urls[0].1, read.target, "{query}");
                let url = url::Url::parse(&format!("https://us.example/go?{query}")).unwrap();
                assert!(url.query().unwrap().contains(read.url), "a browser rewrites {query}");
            }
        });
    }
}
