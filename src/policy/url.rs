//! URLs in the canonical form of the Safe Browsing API v5, and the expressions that rules about
//! URLs are looked up by.
//!
//! A canonical URL has no scheme, user, port or fragment; its escapes are undone until none is
//! left, then everything that is not printable ASCII, and `#` and `%`, is escaped once; `.` and
//! `..` are resolved and slashes joined in the path, not in the query. Its host is lower case, an
//! A-label, an IPv4 address in decimal, or an IPv6 address in brackets.
//!
//! We ask more expressions than the API's thirty, because our table is at hand: every suffix of
//! the host, and every directory of the path.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A canonical URL: `host/path?query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    text: String,
    /// Where the path begins, with its slash.
    path: usize,
    /// Where the query begins, with its question mark; the text's end where there is none.
    query: usize,
    address: bool,
}

impl Canonical {
    /// Reads a URL, with or without its scheme; none where there is no host.
    pub fn read(url: &str) -> Option<Self> {
        Self::read_bytes(url.as_bytes())
    }

    /// The same of bytes that need not be UTF-8.
    pub fn read_bytes(url: &[u8]) -> Option<Self> {
        let mut bytes: Vec<u8> =
            url.trim_ascii().iter().copied().filter(|b| !b"\t\r\n".contains(b)).collect();
        if let Some(fragment) = bytes.iter().position(|b| *b == b'#') {
            bytes.truncate(fragment);
        }
        let rest = after_scheme(&bytes);
        let end = rest.iter().position(|b| b"/?\\".contains(b)).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (host, address) = host(authority)?;
        let (path, query) = match rest.iter().position(|b| *b == b'?') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let mut text = host;
        let path_at = text.len();
        escape(&resolve(&unescape(path)), b"?", &mut text);
        let query_at = text.len();
        if let Some(query) = query {
            text.push('?');
            escape(&unescape(query), b"", &mut text);
        }
        Some(Self { text, path: path_at, query: query_at, address })
    }

    /// `host/path?query`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.text[..self.path]
    }

    /// The path, with its slash, without the query.
    pub fn path(&self) -> &str {
        &self.text[self.path..self.query]
    }

    /// The host and the names it is below, longest first; an address alone.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let mut rest = Some(self.host());
        std::iter::from_fn(move || {
            let now = rest?;
            rest = now.split_once('.').map(|(_, parent)| parent).filter(|_| !self.address);
            Some(now)
        })
    }

    /// The path and the directories it is in, longest first: `/a/b`, `/a/`, `/`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let path = self.path();
        let mut end = Some(path.len());
        std::iter::from_fn(move || {
            let now = &path[..end?];
            // The slash before the last character, that one included in what is left.
            end = now[..now.len() - 1].rfind('/').map(|slash| slash + 1);
            Some(now)
        })
    }
}

/// What comes after `scheme://`, or everything.
fn after_scheme(url: &[u8]) -> &[u8] {
    let scheme = url.iter().position(|b| !b.is_ascii_alphanumeric() && !b"+-.".contains(b));
    match scheme {
        Some(at) if url[at..].starts_with(b"://") => &url[at + 3..],
        _ => url,
    }
}

/// Undoes escapes until none is left, in one pass: two escapes never share a byte, so that any order
/// of undoing them ends in the same text, and whoever wraps a URL in escapes a thousand times costs
/// us no more than its length.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut done: Vec<u8> = Vec::with_capacity(bytes.len());
    for b in bytes {
        done.push(*b);
        // What was undone may end another escape.
        while let Some((rest, value)) = escaped(&done) {
            done.truncate(rest);
            done.push(value);
        }
    }
    done
}

/// The byte that an escape at the end stands for, and what is before it.
fn escaped(bytes: &[u8]) -> Option<(usize, u8)> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    match bytes {
        [rest @ .., b'%', high, low] => Some((rest.len(), digit(*high)? << 4 | digit(*low)?)),
        _ => None,
    }
}

/// Escapes what is not printable ASCII, `#`, `%`, and `also`.
fn escape(bytes: &[u8], also: &[u8], out: &mut String) {
    for &b in bytes {
        if !b.is_ascii_graphic() || b"#%".contains(&b) || also.contains(&b) {
            let digit = |d: u8| char::from(b"0123456789ABCDEF"[usize::from(d)]);
            out.extend(['%', digit(b >> 4), digit(b & 15)]);
        } else {
            out.push(char::from(b));
        }
    }
}

/// Resolves `.` and `..` and joins slashes; begins with a slash.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut directory = true;
    for part in path.split(|b| *b == b'/' || *b == b'\\') {
        directory = true;
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => {
                parts.push(part);
                directory = false;
            }
        }
    }
    let mut out = vec![b'/'];
    out.extend(parts.join(&b'/'));
    if directory && !parts.is_empty() {
        out.push(b'/');
    }
    out
}

/// The host of an authority, and whether it is an address.
fn host(authority: &[u8]) -> Option<(String, bool)> {
    let user = authority.iter().rposition(|b| *b == b'@').map_or(0, |at| at + 1);
    let authority = &authority[user..];
    if let Some(v6) = authority.strip_prefix(b"[") {
        let end = v6.iter().position(|b| *b == b']')?;
        let address: Ipv6Addr = std::str::from_utf8(&v6[..end]).ok()?.parse().ok()?;
        return Some((format!("[{address}]"), true));
    }
    let port = authority.iter().rposition(|b| *b == b':');
    let port = port.filter(|at| authority[at + 1..].iter().all(u8::is_ascii_digit));
    let mut bytes = tidy(&authority[..port.unwrap_or(authority.len())]);
    let unicode = std::str::from_utf8(&bytes).ok().filter(|t| !t.is_ascii());
    if let Some(ascii) = unicode.and_then(|t| idna::domain_to_ascii(t).ok()) {
        // Full-width dots, digits and percent signs are plain ones now.
        bytes = tidy(ascii.as_bytes());
    }
    if bytes.is_empty() {
        return None;
    }
    if let Some(address) = v4(&bytes) {
        return Some((address.to_string(), true));
    }
    let mut text = String::with_capacity(bytes.len());
    // What was escaped and would end the host, or begin it, stays escaped.
    escape(&bytes, b"/?\\@:[", &mut text);
    Some((text, false))
}

/// Without escapes, empty labels and upper case.
fn tidy(host: &[u8]) -> Vec<u8> {
    let bytes = unescape(host);
    let labels: Vec<&[u8]> = bytes.split(|b| *b == b'.').filter(|l| !l.is_empty()).collect();
    labels.join(&b'.').to_ascii_lowercase()
}

/// One to four numbers in decimal, octal or hexadecimal, the last filling what is left.
fn v4(host: &[u8]) -> Option<Ipv4Addr> {
    let text = std::str::from_utf8(host).ok()?;
    let number = |t: &str| {
        let plain = |t: &str, radix| {
            let digits = t.bytes().all(|b| b.is_ascii_alphanumeric());
            digits.then(|| u32::from_str_radix(t, radix).ok())?
        };
        match t.strip_prefix("0x") {
            Some(hexadecimal) => plain(hexadecimal, 16),
            None if t.len() > 1 && t.starts_with('0') => plain(t, 8),
            None => plain(t, 10),
        }
    };
    let numbers: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last().filter(|(_, first)| first.len() < 4)?;
    let room = 32 - 8 * first.len() as u32;
    if u64::from(*last) >= 1 << room || first.iter().any(|n| *n > 255) {
        return None;
    }
    let high = first.iter().enumerate().map(|(i, n)| n << (24 - 8 * i)).sum::<u32>();
    Some(Ipv4Addr::from(high | last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The test vectors that the API's documentation publishes.
    #[test]
    fn published_vectors() {
        let check = |url: &[u8], expected: &str| {
            let canonical = Canonical::read_bytes(url).unwrap();
            let expected = expected.split_once("://").unwrap().1;
            assert_eq!(canonical.text(), expected, "{}", url.escape_ascii());
        };
        check(b"http://host/%25%32%35", "http://host/%25");
        check(b"http://host/%25%32%35%25%32%35", "http://host/%25%25");
        check(b"http://host/%2525252525252525", "http://host/%25");
        check(b"http://host/asdf%25%32%35asd", "http://host/asdf%25asd");
        check(b"http://host/%%%25%32%35asd%%", "http://host/%25%25%25asd%25%25");
        check(b"http://www.google.com/", "http://www.google.com/");
        check(
            b"http://%31%36%38%2e%31%38%38%2e%39%39%2e%32%36/%2E%73%65%63%75%72%65/%77%77%77%2E%65%62%61%79%2E%63%6F%6D/",
            "http://168.188.99.26/.secure/www.ebay.com/",
        );
        check(
            b"http://195.127.0.11/uploads/%20%20%20%20/.verify/.eBaysecure=updateuserdataxplimnbqmn-xplmvalidateinfoswqpcmlx=hgplmcx/",
            "http://195.127.0.11/uploads/%20%20%20%20/.verify/.eBaysecure=updateuserdataxplimnbqmn-xplmvalidateinfoswqpcmlx=hgplmcx/",
        );
        check(
            b"http://host%23.com/%257Ea%2521b%2540c%2523d%2524e%25f%255E00%252611%252A22%252833%252944_55%252B",
            "http://host%23.com/~a!b@c%23d$e%25f^00&11*22(33)44_55+",
        );
        check(b"http://3279880203/blah", "http://195.127.0.11/blah");
        check(b"http://www.google.com/blah/..", "http://www.google.com/");
        check(b"www.google.com/", "http://www.google.com/");
        check(b"www.google.com", "http://www.google.com/");
        check(b"http://www.evil.com/blah#frag", "http://www.evil.com/blah");
        check(b"http://www.GOOgle.com/", "http://www.google.com/");
        check(b"http://www.google.com.../", "http://www.google.com/");
        check(b"http://www.google.com/foo\tbar\rbaz\n2", "http://www.google.com/foobarbaz2");
        check(b"http://www.google.com/q?", "http://www.google.com/q?");
        check(b"http://www.google.com/q?r?", "http://www.google.com/q?r?");
        check(b"http://www.google.com/q?r?s", "http://www.google.com/q?r?s");
        check(b"http://evil.com/foo#bar#baz", "http://evil.com/foo");
        check(b"http://evil.com/foo;", "http://evil.com/foo;");
        check(b"http://evil.com/foo?bar;", "http://evil.com/foo?bar;");
        check(b"http://\x01\x80.com/", "http://%01%80.com/");
        check(b"http://notrailingslash.com", "http://notrailingslash.com/");
        check(b"http://www.gotaport.com:1234/", "http://www.gotaport.com/");
        check(b"  http://www.google.com/  ", "http://www.google.com/");
        check(b"http:// leadingspace.com/", "http://%20leadingspace.com/");
        check(b"http://%20leadingspace.com/", "http://%20leadingspace.com/");
        check(b"%20leadingspace.com/", "http://%20leadingspace.com/");
        check(b"https://www.securesite.com/", "https://www.securesite.com/");
        check(b"http://host.com/ab%23cd", "http://host.com/ab%23cd");
        check(
            b"http://host.com//twoslashes?more//slashes",
            "http://host.com/twoslashes?more//slashes",
        );
    }

    #[test]
    fn escapes_of_escapes_are_undone_however_many() {
        let check = |text: &str, expected: &str| {
            assert_eq!(unescape(text.as_bytes()), expected.as_bytes(), "{text:.40}");
        };
        check("%2%35", "%");
        check("%%32%35", "%");
        check("%25%32%35", "%");
        check("%%2525", "%%");
        check("%4%31%%34%31", "AA");
        check(&format!("a%{}z", "25".repeat(1 << 20)), "a%z");
        check(&"%".repeat(1 << 20), &"%".repeat(1 << 20));
    }

    /// Round by round, as the API's documentation tells it.
    fn unescape_by_rounds(bytes: &[u8]) -> Vec<u8> {
        let mut now = bytes.to_vec();
        loop {
            let mut next = Vec::new();
            let mut at = 0;
            while let Some(b) = now.get(at) {
                let escape = now.get(at..at + 3).and_then(escaped);
                next.push(escape.map_or(*b, |(_, value)| value));
                at += if escape.is_some() { 3 } else { 1 };
            }
            if next.len() == now.len() {
                return next;
            }
            now = next;
        }
    }

    #[test]
    fn hosts_in_every_form() {
        let check = |url: &str, expected: Option<&str>| {
            let canonical = Canonical::read(url);
            assert_eq!(canonical.as_ref().map(Canonical::text), expected, "{url}");
        };
        check("http://user:pass@evil.example:80/a", Some("evil.example/a"));
        check("http://例え.テスト/", Some("xn--r8jz45g.xn--zckzah/"));
        check("http://0x7f.1/", Some("127.0.0.1/"));
        check("http://010.0.0.1/", Some("8.0.0.1/"));
        check("http://1.2.3.4.5/", Some("1.2.3.4.5/"));
        check("http://256.1.1.1/", Some("256.1.1.1/"));
        check("http://[2001:DB8:0:0::1]:8080/x", Some("[2001:db8::1]/x"));
        check("http://a%2Fb/", Some("a%2Fb/"));
        check("http:///path", None);
        check("http://[::1", None);
        check("", None);
    }

    #[test]
    fn expressions() {
        let url = Canonical::read("http://a.b.c/1/2.html?param=1").unwrap();
        assert_eq!(url.hosts().collect::<Vec<_>>(), ["a.b.c", "b.c", "c"]);
        assert_eq!(url.paths().collect::<Vec<_>>(), ["/1/2.html", "/1/", "/"]);
        assert_eq!(url.text(), "a.b.c/1/2.html?param=1");
        let url = Canonical::read("http://1.2.3.4/1/").unwrap();
        assert_eq!(url.hosts().collect::<Vec<_>>(), ["1.2.3.4"]);
        assert_eq!(url.paths().collect::<Vec<_>>(), ["/1/", "/"]);
    }

    proptest! {
        #[test]
        fn unescaping_in_one_pass_is_unescaping_by_rounds(
            text in proptest::collection::vec(
                prop_oneof![8 => proptest::sample::select(b"%%%2345".to_vec()), 1 => any::<u8>()],
                0..60,
            ),
        ) {
            prop_assert_eq!(unescape(&text), unescape_by_rounds(&text));
        }

        #[test]
        fn canonical_is_canonical(
            begin in "\\PC{0,5}",
            rest in proptest::collection::vec(
                prop_oneof![proptest::sample::select(b"%25./?@:\\[".to_vec()), any::<u8>()],
                0..40,
            ),
        ) {
            let url = [begin.as_bytes(), &rest].concat();
            if let Some(canonical) = Canonical::read_bytes(&url) {
                prop_assert!(canonical.text().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(canonical.path().starts_with('/'));
                prop_assert_eq!(Canonical::read(canonical.text()), Some(canonical.clone()));
                prop_assert!(canonical.hosts().count() > 0 && canonical.paths().last() == Some("/"));
            }
        }
    }
}
