//! What a request asks for, in the lengths records keep.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};

use crate::{links::is_code, record::capped};

/// Bytes kept of a `Host`, a path, a `User-Agent` and the host of a `Referer`.
const HOST_MAX: usize = 255;
const PATH_MAX: usize = 1024;
const USER_AGENT_MAX: usize = 512;

/// The code that a path asks for: its first segment, and what comes behind it after a slash.
pub(super) fn code_and_rest(path: &str) -> Option<(&str, Option<&str>)> {
    let path = path.strip_prefix('/')?;
    let (code, rest) = match path.split_once('/') {
        Some((code, rest)) => (code, Some(rest)),
        None => (path, None),
    };
    is_code(code).then_some((code, rest))
}

/// The code of a path that is one segment which has the shape of one.
pub(super) fn code_of_path(path: &str) -> Option<&str> {
    path.strip_prefix('/').filter(|code| is_code(code))
}

/// The path, cut; of an answer to a notice its beginning alone, without the token.
pub(super) fn path(uri: &Uri) -> &str {
    let path = uri.path();
    let notice = "/.notice/";
    if path.starts_with(notice) { &path[..notice.len()] } else { capped(path, PATH_MAX) }
}

/// The host asked for: of an absolute URI, else of `Host`.
pub(super) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let host = uri.authority().map_or_else(|| value(headers, header::HOST), |a| a.as_str());
    capped(host, HOST_MAX)
}

/// Whether a request names its host as RFC 9112 §3.2 wants it: once, and as a host; HTTP/1.0 knew
/// none. Whoever stands between us and the visitor might read another one of two.
pub(super) fn names_its_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => host.as_bytes().iter().all(|b| is_of_host(*b)),
        (Some(_), Some(_)) => false,
    }
}

/// The characters of a host and its port (RFC 3986 §3.2.2, §3.2.3); no user information.
const fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'$'..=b'.' | b':' | b';' | b'=' | b'[' | b']' | b'_' | b'~')
}

/// The name in a `Host`: without port and trailing dot.
pub(super) fn host_name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// The client's name for itself, cut.
pub(super) fn user_agent(headers: &HeaderMap) -> &str {
    capped(value(headers, header::USER_AGENT), USER_AGENT_MAX)
}

/// The host of the page that led here, without user information and port.
pub(super) fn referrer_host(headers: &HeaderMap) -> &str {
    let url = value(headers, header::REFERER);
    let Some((_, rest)) = url.split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    };
    capped(host, HOST_MAX)
}

/// A header's value; empty when there is none or it is not visible ASCII.
fn value(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).map_or("", text)
}

/// The same of a value.
pub(super) fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_single_segments() {
        for (path, expected) in [
            ("/abc", Some("abc")),
            ("/a-b_C9", Some("a-b_C9")),
            ("/abc?x=/y", Some("abc")),
            ("/", None),
            ("/abc/", None),
            ("/a/b", None),
            ("//abc", None),
            ("/a%62c", None),
            ("/.well-known/security.txt", None),
            ("/favicon.ico", None),
            ("http://host.example/abc", Some("abc")),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(code_of_path(uri.path()), expected, "{path}");
        }
        let long: Uri = format!("/{}", "a".repeat(65)).parse().unwrap();
        assert_eq!(code_of_path(long.path()), None);
    }

    #[test]
    fn a_host_is_named_once_and_is_one() {
        let one = [
            "a.example",
            "a.example:80",
            "[2001:db8::1]:80",
            "",
            "a_b.example.",
            "a%2db",
            "a.example:",
        ];
        let none = ["a b", "a/b", "u@a", "a?b", "a#b", "a\\b", "a\"b", "<a>", "a\tb", "ä.example"];
        let named = |hosts: &[&str], version| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
            }
            names_its_host(version, &headers)
        };
        for host in one {
            assert!(named(&[host], Version::HTTP_11), "{host}");
            assert!(!named(&[host, host], Version::HTTP_11), "{host}");
        }
        for host in none {
            assert!(!named(&[host], Version::HTTP_11), "{host}");
        }
        assert!(named(&[], Version::HTTP_10) && !named(&[], Version::HTTP_11));
    }

    #[test]
    fn referrers_lose_everything_but_the_host() {
        for (referrer, expected) in [
            ("https://site.example/page?q=secret", "site.example"),
            ("https://user:pw@site.example:8443/", "site.example"),
            ("http://[2001:db8::1]:80/x", "[2001:db8::1]"),
            ("android-app://com.example.app", "com.example.app"),
            ("about:blank", ""),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::REFERER, referrer.parse().unwrap());
            assert_eq!(referrer_host(&headers), expected, "{referrer}");
        }
    }
}
