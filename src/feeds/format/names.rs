//! Names as lists write them, and what was meant.
//!
//! What is plain (letters, digits, hyphens, underscores, dots) is read in one pass. Whatever else
//! there is gets a closer look: U-labels, defanged dots (`bad[.]example`), `*.` and a leading dot,
//! a URL or a port that says no more than its host. What would list more than was written, such as
//! the host of a URL that has a path, is rejected with what to do instead.

use std::net::{Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{Encoding, Reason};
use crate::{
    name::{LABEL_BYTES_MAX, NAME_BYTES_MAX, Name},
    policy::{NamePattern, Trigger},
};

/// Which names an entry lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// One pattern.
    Pattern(NamePattern),
    /// A name and everything below it: a leading dot.
    WithBelow(Name),
}

impl Meant {
    /// The triggers for a question of these names.
    pub(super) fn triggers(self) -> impl Iterator<Item = Trigger> {
        let (first, second) = match self {
            Self::Pattern(p) => (p, None),
            Self::WithBelow(name) => {
                (NamePattern { name, wildcard: false }, Some(NamePattern { name, wildcard: true }))
            }
        };
        [Some(first), second].into_iter().flatten().map(Trigger::Qname)
    }
}

/// Reads an entry of a list of names.
pub(super) fn meant(entry: &[u8], encoding: Encoding) -> Result<Meant, Reason> {
    if let Some(name) = plain(entry) {
        return Ok(Meant::Pattern(NamePattern { name, wildcard: false }));
    }
    if let Some(name) = entry.strip_prefix(b"*.").and_then(plain) {
        return Ok(Meant::Pattern(NamePattern { name, wildcard: true }));
    }
    let text = encoding.decode(entry)?;
    let text = refanged(text.trim());
    let host = host_alone(&text)?;
    let (host, wildcard, below) = match (host.strip_prefix("*."), host.strip_prefix('.')) {
        (Some(rest), _) => (rest, true, false),
        (_, Some(rest)) => (rest, false, true),
        _ => (host, false, false),
    };
    let name = name(host)?;
    Ok(if below { Meant::WithBelow(name) } else { Meant::Pattern(NamePattern { name, wildcard }) })
}

/// A name of plain characters, in lower case; none for whatever needs a closer look.
pub(super) fn plain(text: &[u8]) -> Option<Name> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    // As long in wire form as the text and two bytes.
    if text.is_empty() || text.len() + 2 > NAME_BYTES_MAX {
        return None;
    }
    let mut wire = [0; NAME_BYTES_MAX];
    let (mut label, mut letters) = (0, false);
    let close = |wire: &mut [u8; NAME_BYTES_MAX], label: usize, at: usize| {
        let len = at - label - 1;
        wire[label] = len as u8;
        (1..=LABEL_BYTES_MAX).contains(&len)
    };
    for (&b, at) in text.iter().zip(1..) {
        match b {
            b'a'..=b'z' | b'-' | b'_' => letters = true,
            b'0'..=b'9' => {}
            b'A'..=b'Z' => letters = true,
            b'.' => {
                if !close(&mut wire, label, at) {
                    return None;
                }
                (label, letters) = (at, false);
                continue;
            }
            _ => return None,
        }
        wire[at] = b.to_ascii_lowercase();
    }
    // A name whose last label is a number is an address, or was to be one.
    (close(&mut wire, label, text.len() + 1) && letters)
        .then(|| Name::from_checked(&wire[..text.len() + 2]))
}

/// Reads a name alone, U-labels too.
pub(super) fn name(text: &str) -> Result<Name, Reason> {
    if let Some(name) = plain(text.as_bytes()) {
        return Ok(name);
    }
    if address(text).is_some() {
        return Err(Reason::new(
            "address",
            "an address is not a name: list it in a format that has address rules (rpz, jsonl, csv)",
        ));
    }
    let text = text.strip_suffix(['.', '。']).unwrap_or(text);
    if text.is_ascii() {
        return Err(why_not(text));
    }
    let ascii = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore)
        .map_err(|_| Reason::bad_name("not a name that IDNA (UTS #46) allows"))?;
    plain(ascii.as_bytes()).ok_or_else(|| why_not(&ascii))
}

/// The address that a text is, with or without brackets.
pub(super) fn address(text: &str) -> Option<std::net::IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let v4 = || bare.parse::<Ipv4Addr>().map(Into::into).ok();
    let v6 = || bare.parse::<Ipv6Addr>().map(Into::into).ok();
    v4().or_else(v6)
}

/// What is wrong with an ASCII text that is no plain name.
fn why_not(text: &str) -> Reason {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if text.is_empty() {
        return Reason::bad_name("the root is not a name to list");
    }
    if text.contains('*') {
        return Reason::bad_name("a pattern: only `*.` at the beginning of a name is known");
    }
    if text.contains('@') {
        return Reason::bad_name("a mail address is not a name");
    }
    if let Some(c) = text.chars().find(|c| odd(*c)) {
        return Reason::bad_name(format!("{c:?} cannot stand in a name"));
    }
    if text.split('.').any(str::is_empty) {
        return Reason::bad_name("an empty label");
    }
    if text.split('.').any(|l| l.len() > LABEL_BYTES_MAX) {
        return Reason::bad_name("a label longer than 63 bytes");
    }
    if text.len() + 2 > NAME_BYTES_MAX {
        return Reason::bad_name("a name longer than 255 bytes");
    }
    Reason::new("address", "a name whose last label is a number, or an address that is not whole")
}

/// Undoes what is done to names and URLs so that nobody follows them by accident.
pub(super) fn refanged(text: &str) -> std::borrow::Cow<'_, str> {
    let http = text.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("hxxp"));
    if !http && !text.contains(['[', '(', '{']) {
        return text.into();
    }
    let mut out = text.to_owned();
    for dot in ["[.]", "(.)", "{.}", "[dot]", "(dot)"] {
        out = out.replace(dot, ".");
    }
    out = out.replace("[:]", ":").replace("[://]", "://");
    if http {
        out.replace_range(1..3, "tt");
    }
    out.into()
}

/// The host of a URL, or of a host with a port, that says nothing else.
fn host_alone(text: &str) -> Result<&str, Reason> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("", text.strip_prefix("//").unwrap_or(text)),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    if !matches!(behind, "" | "/") {
        return Err(Reason::new(
            "url",
            "a URL with a path: its whole host is not what is listed; list it as a URL (adblock, jsonl, csv)",
        ));
    }
    if !scheme.is_empty() && authority.contains('@') {
        return Err(Reason::new("url", "a URL with user information"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "" => matches!(port, None | Some("80" | "443")),
        "http" => matches!(port, None | Some("80")),
        "https" => matches!(port, None | Some("443")),
        // A scheme of another kind lists its host as well.
        _ => port.is_none(),
    };
    if usual {
        return Ok(host);
    }
    Err(Reason::new(
        "port",
        "a port: a name is listed for every port, which is more than was written; list the name alone if that is meant",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(entry: &str) -> String {
        match meant(entry.as_bytes(), Encoding::Auto) {
            Ok(Meant::Pattern(p)) if p.wildcard => format!("*.{}", p.name),
            Ok(Meant::Pattern(p)) => p.name.to_string(),
            Ok(Meant::WithBelow(name)) => format!("{name} and below"),
            Err(reason) => format!("! {}", reason.code),
        }
    }

    #[test]
    fn what_was_meant() {
        for (entry, expected) in [
            ("bad.example", "bad.example"),
            ("Bad.Example.", "bad.example"),
            ("_dmarc.bad-1.example", "_dmarc.bad-1.example"),
            ("*.bad.example", "*.bad.example"),
            (".bad.example", "bad.example and below"),
            ("诈骗.example", "xn--0d3aq50a.example"),
            ("*.诈骗。example。", "*.xn--0d3aq50a.example"),
            ("ＢＡＤ．example", "bad.example"),
            ("bad[.]example", "bad.example"),
            ("hxxps://bad(.)example/", "bad.example"),
            ("http://bad.example", "bad.example"),
            ("HTTPS://BAD.example:443/", "bad.example"),
            ("//bad.example/", "bad.example"),
            ("bad.example:80", "bad.example"),
            ("single", "single"),
            ("xn--a", "xn--a"),
            ("", "! bad-name"),
            (".", "! bad-name"),
            ("*", "! bad-name"),
            ("a.*.example", "! bad-name"),
            ("bad..example", "! bad-name"),
            ("bad example", "! bad-name"),
            ("me@bad.example", "! bad-name"),
            ("-", "-"),
            ("http://bad.example/a", "! url"),
            ("bad.example/a", "! url"),
            ("http://me@bad.example/", "! url"),
            ("bad.example:8080", "! port"),
            ("http://bad.example:443/", "! port"),
            ("192.0.2.1", "! address"),
            ("http://192.0.2.1/", "! address"),
            ("2001:db8::1", "! address"),
            ("[2001:db8::1]:80", "! address"),
            ("192.0.2", "! address"),
            ("192.0.2.1/32", "! url"),
            ("\u{202e}bad.example", "! bad-name"),
        ] {
            assert_eq!(printed(entry), expected, "{entry}");
        }
        assert_eq!(printed(&format!("{}.example", "a".repeat(64))), "! bad-name");
        assert_eq!(printed(&"a.".repeat(127)), "a.".repeat(127).trim_end_matches('.'));
        assert_eq!(printed(&"a.".repeat(128)), "! bad-name");
    }

    proptest! {
        #[test]
        fn plain_agrees_with_the_presentation_form(text in r"[A-Za-z0-9._-]{0,80}|[a-z.]{240,260}") {
            if let Some(name) = plain(text.as_bytes()) {
                prop_assert_eq!(name, Name::from_text(&text.to_ascii_lowercase()).unwrap());
            } else {
                let last = text.strip_suffix('.').unwrap_or(&text).rsplit('.').next();
                let number = last.is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
                prop_assert!(number || Name::from_text(&text).is_err(), "{}", text);
            }
        }

        #[test]
        fn any_entry_is_read_without_panic(entry: Vec<u8>, text: String) {
            for entry in [&entry[..], text.as_bytes()] {
                if let Ok(Meant::Pattern(p)) = meant(entry, Encoding::Auto) {
                    prop_assert_eq!(p.name, p.name.lower());
                    prop_assert_eq!(Name::from_wire(p.name.wire()).unwrap(), p.name);
                }
            }
        }
    }
}
