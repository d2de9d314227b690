//! robots.txt (RFC 9309): what a site lets crawlers ask for.
//!
//! Walks are no crawl: they ask for what somebody linked, once a day. A site that says no to us is left
//! alone all the same, and the walk ends in front of it.

use memchr::memmem;

/// Rules kept of one file; those behind them are passed over.
const RULES_MAX: usize = 10_000;

/// What one site says to one crawler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Robots {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// What the path has one after another: the first part at its beginning.
    parts: Vec<Box<[u8]>>,
    /// Whether the last part has to be its end (`$`).
    ends: bool,
    /// Octets of the pattern: the longest that matches decides (§2.2.2).
    weight: usize,
}

impl Robots {
    /// What `text` says to the crawler of this name (its product token, §2.2.1).
    pub(super) fn parse(text: &[u8], name: &str) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        // All groups that name us are one; where there is none, those of everybody.
        let (mut ours, mut named, mut everybody) = (Vec::new(), false, Vec::new());
        let (mut for_us, mut for_all, mut rules_seen) = (false, false, true);
        for line in text.split(|b| matches!(b, b'\r' | b'\n')) {
            let Some((key, value)) = key_and_value(line) else { continue };
            let allow = match key.to_ascii_lowercase().as_slice() {
                b"user-agent" => {
                    if rules_seen {
                        (for_us, for_all, rules_seen) = (false, false, false);
                    }
                    for_all |= value == b"*";
                    for_us |= is_token(value, name);
                    named |= for_us;
                    continue;
                }
                b"allow" => true,
                b"disallow" => false,
                // What is of another kind breaks no group (§2.2.4).
                _ => continue,
            };
            rules_seen = true;
            let Some(rule) = Rule::new(allow, value) else { continue };
            for (wanted, rules) in [(for_us, &mut ours), (for_all, &mut everybody)] {
                if wanted && rules.len() < RULES_MAX {
                    rules.push(rule.clone());
                }
            }
        }
        Self { rules: if named { ours } else { everybody } }
    }

    /// Whether `path` (with its query) may be asked for.
    pub(super) fn allows(&self, path: &str) -> bool {
        if path == "/robots.txt" {
            return true;
        }
        let path = plain(path.as_bytes());
        let matching = self.rules.iter().filter(|r| r.matches(&path));
        // Of two that weigh the same, the one that allows (§2.2.2).
        matching.max_by_key(|r| (r.weight, r.allow)).is_none_or(|r| r.allow)
    }

    /// What it takes in memory, in bytes, about.
    pub(super) fn bytes(&self) -> u64 {
        let rule = |r: &Rule| 80 + r.parts.iter().map(|p| 32 + p.len()).sum::<usize>();
        self.rules.iter().map(rule).sum::<usize>() as u64
    }
}

impl Rule {
    /// None for a pattern that says nothing.
    fn new(allow: bool, value: &[u8]) -> Option<Self> {
        if !matches!(value.first(), Some(b'/' | b'*')) {
            return None;
        }
        let value = plain(value);
        let (pattern, ends) = match value.strip_suffix(b"$") {
            Some(pattern) => (pattern, true),
            None => (value.as_slice(), false),
        };
        let parts = pattern.split(|b| *b == b'*').map(Box::from).collect();
        Some(Self { allow, parts, ends, weight: value.len() })
    }

    fn matches(&self, path: &[u8]) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some(mut left) = path.strip_prefix(&**first) else { return false };
        let Some((last, between)) = rest.split_last() else {
            return !self.ends || left.is_empty();
        };
        for part in between {
            let Some(at) = memmem::find(left, part) else { return false };
            left = &left[at + part.len()..];
        }
        match self.ends {
            true => left.ends_with(last),
            false => memmem::find(left, last).is_some(),
        }
    }
}

/// One line without its comment.
fn key_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.split(|b| *b == b'#').next()?;
    let colon = line.iter().position(|b| *b == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

/// Whether a line `user-agent` means the crawler of this name, whatever version it writes behind.
fn is_token(value: &[u8], name: &str) -> bool {
    let token = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_');
    let length = value.iter().take_while(|b| token(b)).count();
    let behind = value.get(length).is_none_or(|b| matches!(b, b'/' | b' ' | b'\t'));
    length > 0 && behind && value[..length].eq_ignore_ascii_case(name.as_bytes())
}

/// One spelling of a path: what need not be escaped is not, all else is, in upper case (§2.2.2).
fn plain(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut left = path;
    while let Some((byte, rest)) = left.split_first() {
        left = rest;
        let escaped = match (byte, rest) {
            (b'%', [a, b, ..]) => hex::decode([*a, *b]).ok().and_then(|d| d.first().copied()),
            _ => None,
        };
        match escaped {
            Some(b) => {
                left = &rest[2..];
                if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                    out.push(b);
                } else {
                    out.extend(format!("%{b:02X}").bytes());
                }
            }
            None if byte.is_ascii() => out.push(*byte),
            None => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, path: &str, expected: bool) {
        let robots = Robots::parse(text.as_bytes(), "tracegate");
        assert_eq!(robots.allows(path), expected, "{path} of {text:?}");
    }

    #[test]
    fn groups_are_chosen_by_name() {
        let text = "User-agent: *\nDisallow: /all\n\nUser-Agent: TraceGate/9\nUser-agent: other\n\
                    disallow: /us # not here\n\nuser-agent: third\nDisallow: /\n\n\
                    User-agent: tracegate\nSitemap: https://e.com/x\nAllow: /us/in\n";
        check(text, "/all", true);
        check(text, "/us", false);
        check(text, "/us/in", true);
        check(text, "/robots.txt", true);
        check("User-agent: tracegated\nDisallow: /\n", "/", true);
        check("User-agent: *\nDisallow: /x\nUser-agent: tracegate\nDisallow:\n", "/x", true);
        check("Disallow: /\n", "/", true);
        check("\u{feff}User-agent: *\rDisallow: /a\r\nDisallow: /b", "/b", false);
        check("User-agent: a\nSitemap: x\nUser-agent: *\nDisallow: /", "/", false);
    }

    /// The examples of RFC 9309 §5.2 and of the table in its §2.2.2.
    #[test]
    fn the_longest_pattern_decides() {
        let text = "User-Agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n";
        check(text, "/example/page/disallowed.gif", false);
        check(text, "/example/page/", true);
        check("User-agent: *\nDisallow: /a\nAllow: /a\n", "/a", true);
        for (pattern, path, matches) in [
            ("/fish*", "/fish.html", true),
            ("/fish*", "/Fish", false),
            ("*.php", "/a.php?x", true),
            ("/*.php$", "/a.php", true),
            ("/*.php$", "/a.php?x", false),
            ("/a$", "/a", true),
            ("/a$", "/ab", false),
            ("/a*b*c", "/a-b-c-d", true),
            ("/a*b*c", "/a-c-b", false),
            ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html", false),
            ("/foo/bar?baz=quz", "/foo/bar?baz=quz", true),
            ("/foo/bar/\u{30c4}", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
            ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84", true),
            ("relative", "/relative", false),
        ] {
            check(&format!("User-agent: *\nDisallow: {pattern}\n"), path, !matches);
        }
    }

    #[test]
    fn a_file_of_any_size_takes_bounded_room_and_time() {
        let line = "Disallow: *a*b*c*d$\n".repeat(60_000);
        let robots = Robots::parse(format!("User-agent: *\n{line}").as_bytes(), "tracegate");
        assert_eq!(robots.rules.len(), RULES_MAX);
        assert!(robots.bytes() < 4 << 20);
        assert!(robots.allows(&format!("/{}", "a".repeat(1_000))));
    }

    #[test]
    fn fuzz() {
        bolero::check!().with_iterations(5_000).for_each(|input: &[u8]| {
            let at = input.len() / 2;
            let path = String::from_utf8_lossy(&input[at..]);
            let as_sent = Robots::parse(input, "tracegate");
            as_sent.allows(&path);
            let mut text = b"user-agent: *\ndisallow: /".to_vec();
            text.extend(&input[..at]);
            let parsed = Robots::parse(&text, "tracegate");
            // Whatever spelling a path has, the answer is the same.
            let spelt = plain(path.as_bytes());
            assert_eq!(plain(&spelt), spelt);
            let spelt = String::from_utf8(spelt).unwrap();
            assert_eq!(parsed.allows(&path), parsed.allows(&spelt));
        });
    }
}
