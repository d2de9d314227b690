//! Triggers as text: the owner names of response policy zones, and `url:`, `url-prefix:`,
//! `url-host:` and `code:` for what RPZ cannot say (`url-nocase:` and `url-prefix-nocase:` whatever
//! the case of letters). This is what the column `rule` holds.
//!
//! Printing and reading are inverse to one another. Where a name would read as something else
//! (an exact rule for a name whose first label is `*`, a name that ends in `rpz-ip`, a name that
//! begins with `url:`), the character that would mislead is escaped.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;

use super::{NamePattern, Trigger, UrlKind, url};
use crate::name::{Malformed, Name, print};

/// Why a text is no trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTrigger {
    /// Neither a name nor one of the forms with a prefix.
    #[error("not a domain name")]
    Name,
    /// The labels before `rpz-ip`, `rpz-client-ip` or `rpz-nsip` are no prefix in reverse.
    #[error("not an address prefix in reverse, as in 24.0.2.0.192.rpz-ip")]
    Prefix,
    /// A prefix with bits beyond its length.
    #[error("the address has bits beyond the length of its prefix")]
    HostBits,
    /// Not a URL that a rule can be about.
    #[error("not a URL of a host")]
    Url,
    /// A code that is empty, too long or not printable ASCII.
    #[error("not a link code")]
    Code,
}

/// The longest code that a rule may name, in bytes.
const CODE_BYTES_MAX: usize = 128;

const CLIENT_IP: &str = "rpz-client-ip";
const RESPONSE_IP: &str = "rpz-ip";
const NSDNAME: &str = "rpz-nsdname";
const NSIP: &str = "rpz-nsip";

/// The forms that are no names, by what they begin with.
const PREFIXES: [&str; 6] =
    ["url-host:", "url-prefix:", "url-prefix-nocase:", "url:", "url-nocase:", "code:"];

/// What of a URL may be listed.
const URL_KINDS: [UrlKind; 5] =
    [UrlKind::Host, UrlKind::Prefix, UrlKind::PrefixAnyCase, UrlKind::Exact, UrlKind::ExactAnyCase];

impl Trigger {
    /// A trigger for a URL, in canonical form.
    ///
    /// # Errors
    /// When `text` is no URL with a host.
    pub fn url(kind: UrlKind, text: &str) -> Result<Self, BadTrigger> {
        let canonical = url::Canonical::read(text).ok_or(BadTrigger::Url)?;
        let beginning = || format!("{}{}", canonical.host(), canonical.path());
        let text = match kind {
            UrlKind::Host => canonical.host().to_owned(),
            UrlKind::Prefix => beginning(),
            UrlKind::PrefixAnyCase => beginning().to_ascii_lowercase(),
            UrlKind::Exact => canonical.text().to_owned(),
            UrlKind::ExactAnyCase => canonical.text().to_ascii_lowercase(),
        };
        Ok(Self::Url(kind, text.into()))
    }
}

/// A prefix as rules keep it: no bits beyond its length, IPv4 never mapped into IPv6.
pub fn canonical_prefix(net: IpNet) -> IpNet {
    match net.trunc() {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.network().to_ipv4_mapped() {
            Some(v4) => IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).unwrap_or(net.trunc()),
            None => IpNet::V6(v6),
        },
        other => other,
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qname(pattern) => f.write_str(&qname(pattern)),
            Self::Nsdname(pattern) => match pattern.name == Name::ROOT {
                true if pattern.wildcard => write!(f, "*.{NSDNAME}"),
                true => f.write_str(NSDNAME),
                false => write!(f, "{}.{NSDNAME}", plain(pattern)),
            },
            Self::ClientIp(net) => write!(f, "{}.{CLIENT_IP}", Reverse(*net)),
            Self::ResponseIp(net) => write!(f, "{}.{RESPONSE_IP}", Reverse(*net)),
            Self::Nsip(net) => write!(f, "{}.{NSIP}", Reverse(*net)),
            Self::Url(kind, text) => write!(f, "{}{text}", kind.prefix()),
            Self::Code(code) => write!(f, "code:{code}"),
        }
    }
}

/// A pattern without care for what its end would mean.
fn plain(pattern: &NamePattern) -> String {
    let wire = pattern.name.wire();
    let mut text = String::with_capacity(wire.len() + 2);
    if pattern.wildcard {
        text.push('*');
        if wire.len() == 1 {
            return text;
        }
        text.push('.');
    } else if wire.starts_with(b"\x01*") {
        // A label `*` is not the wildcard.
        print(wire, &mut text);
        text.replace_range(..1, "\\042");
        return text;
    }
    print(wire, &mut text);
    if !pattern.wildcard
        && let Some(prefix) = PREFIXES.iter().find(|p| text.starts_with(*p))
    {
        text.insert(prefix.len() - 1, '\\');
    }
    text
}

fn qname(pattern: &NamePattern) -> String {
    let mut text = plain(pattern);
    let special = [CLIENT_IP, RESPONSE_IP, NSDNAME, NSIP].into_iter().find(|special| {
        let before = text.strip_suffix(special);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    if let Some(special) = special {
        let at = text.len() - special.len();
        text.replace_range(at..=at, "\\114");
    }
    text
}

/// A prefix in the form of RPZ: `24.0.2.0.192`, `32.zz.db8.2001`.
struct Reverse(IpNet);

impl fmt::Display for Reverse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.prefix_len())?;
        match self.0.addr() {
            IpAddr::V4(v4) => v4.octets().iter().rev().try_for_each(|b| write!(f, ".{b}")),
            IpAddr::V6(v6) => {
                // `::` of RFC 5952 is `zz` here: the first of the longest runs of zeros.
                let text = v6_words(v6);
                text.iter().rev().try_for_each(|w| match w {
                    Some(w) => write!(f, ".{w:x}"),
                    None => f.write_str(".zz"),
                })
            }
        }
    }
}

/// The words of an address, the longest run of two or more zeros as one `None`.
fn v6_words(v6: Ipv6Addr) -> Vec<Option<u16>> {
    let words = v6.segments();
    let run = |start: usize| words[start..].iter().take_while(|w| **w == 0).count();
    // The first of the longest, as `max_by_key` would give the last.
    let longest = (0..8).rev().max_by_key(|i| run(*i)).filter(|i| run(*i) > 1);
    let skipped = longest.map_or(0..0, |i| i..i + run(i));
    let keep = |(i, w): (usize, &u16)| match () {
        () if !skipped.contains(&i) => Some(Some(*w)),
        () if i == skipped.start => Some(None),
        () => None,
    };
    words.iter().enumerate().filter_map(keep).collect()
}

impl FromStr for Trigger {
    type Err = BadTrigger;

    fn from_str(text: &str) -> Result<Self, BadTrigger> {
        for kind in URL_KINDS {
            if let Some(rest) = text.strip_prefix(kind.prefix()) {
                return Self::url(kind, rest);
            }
        }
        if let Some(code) = text.strip_prefix("code:") {
            let fits = (1..=CODE_BYTES_MAX).contains(&code.len());
            let printable = code.bytes().all(|b| b.is_ascii_graphic());
            return (fits && printable).then(|| Self::Code(code.into())).ok_or(BadTrigger::Code);
        }
        let text = match last_dot(text) {
            Some(at) if at > 0 && at + 1 == text.len() => &text[..at],
            _ => text,
        };
        let (before, last) = last_dot(text).map_or(("", text), |at| (&text[..at], &text[at + 1..]));
        match last.to_ascii_lowercase().as_str() {
            CLIENT_IP => Ok(Self::ClientIp(prefix(before)?)),
            RESPONSE_IP => Ok(Self::ResponseIp(prefix(before)?)),
            NSIP => Ok(Self::Nsip(prefix(before)?)),
            NSDNAME if before.is_empty() => {
                Ok(Self::Nsdname(NamePattern { name: Name::ROOT, wildcard: false }))
            }
            NSDNAME => Ok(Self::Nsdname(pattern(before)?)),
            _ => Ok(Self::Qname(pattern(text)?)),
        }
    }
}

/// Where the last dot is that is not escaped.
fn last_dot(text: &str) -> Option<usize> {
    let escapes = |at: usize| text[..at].bytes().rev().take_while(|b| *b == b'\\').count();
    text.match_indices('.').map(|(at, _)| at).rfind(|at| escapes(*at) % 2 == 0)
}

fn pattern(text: &str) -> Result<NamePattern, BadTrigger> {
    let name = |t: &str| match Name::from_text(t) {
        Ok(name) => Ok(name.lower()),
        Err(Malformed) => Err(BadTrigger::Name),
    };
    if text == "*" {
        return Ok(NamePattern { name: Name::ROOT, wildcard: true });
    }
    match text.strip_prefix("*.") {
        Some(rest) => Ok(NamePattern { name: name(rest)?, wildcard: true }),
        None => Ok(NamePattern { name: name(text)?, wildcard: false }),
    }
}

/// Reads `24.0.2.0.192` or `32.zz.db8.2001`.
fn prefix(text: &str) -> Result<IpNet, BadTrigger> {
    let mut labels = text.split('.');
    let length: u8 = labels.next().and_then(decimal).ok_or(BadTrigger::Prefix)?;
    let rest: Vec<&str> = labels.collect();
    let address = v4(&rest).or_else(|| v6(&rest)).ok_or(BadTrigger::Prefix)?;
    let net = IpNet::new(address, length).map_err(|_| BadTrigger::Prefix)?;
    if net.trunc() != net {
        return Err(BadTrigger::HostBits);
    }
    Ok(canonical_prefix(net))
}

fn decimal(text: &str) -> Option<u8> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn v4(labels: &[&str]) -> Option<IpAddr> {
    let labels: &[&str; 4] = labels.try_into().ok()?;
    // `zz` among four labels is an IPv6 address; four hexadecimal words alone are none.
    let [d, c, b, a] = labels.map(decimal);
    Some(IpAddr::V4(Ipv4Addr::new(a?, b?, c?, d?)))
}

fn v6(labels: &[&str]) -> Option<IpAddr> {
    let mut words = Vec::with_capacity(8);
    let zeros = 9usize.checked_sub(labels.len())?;
    for label in labels.iter().rev() {
        if label.eq_ignore_ascii_case("zz") {
            words.extend(std::iter::repeat_n(0, zeros));
        } else {
            let hexadecimal =
                (1..=4).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_hexdigit());
            words.push(hexadecimal.then(|| u16::from_str_radix(label, 16).ok())??);
        }
    }
    let words: [u16; 8] = words.try_into().ok()?;
    Some(IpAddr::V6(words.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_and_printed_in_one_form() {
        let check = |text: &str, printed: &str| {
            let trigger: Trigger = text.parse().unwrap();
            assert_eq!(trigger.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Trigger>().unwrap(), trigger, "{printed}");
        };
        check("Bad.Example.", "bad.example");
        check("*.bad.example", "*.bad.example");
        check("*", "*");
        check(".", ".");
        check(r"\*.bad.example", r"\042.bad.example");
        check("24.0.2.0.192.rpz-ip", "24.0.2.0.192.rpz-ip");
        check("32.1.2.0.192.RPZ-CLIENT-IP", "32.1.2.0.192.rpz-client-ip");
        check("0.0.0.0.0.rpz-nsip", "0.0.0.0.0.rpz-nsip");
        check("32.zz.db8.2001.rpz-ip", "32.zz.db8.2001.rpz-ip");
        check("128.1.zz.db8.2001.rpz-ip", "128.1.zz.db8.2001.rpz-ip");
        check("128.1.0.0.0.0.0.db8.2001.rpz-ip", "128.1.zz.db8.2001.rpz-ip");
        check("128.57.zz.1.0.0.db8.2001.rpz-ip", "128.57.0.0.1.zz.db8.2001.rpz-ip");
        check("0.zz.rpz-ip", "0.zz.rpz-ip");
        check("128.1.2.3.4.5.6.7.8.rpz-ip", "128.1.2.3.4.5.6.7.8.rpz-ip");
        check("120.0.200.ffff.zz.rpz-ip", "24.0.0.0.2.rpz-ip");
        check("ns.evil.rpz-nsdname", "ns.evil.rpz-nsdname");
        check("*.evil.rpz-nsdname", "*.evil.rpz-nsdname");
        check("url-host:Evil.Example", "url-host:evil.example");
        check("url-prefix:evil.example/a/", "url-prefix:evil.example/a/");
        check("url:http://evil.example/b/../a?b", "url:evil.example/a?b");
        check("url-nocase:http://evil.example/A?B=%C3%a9", "url-nocase:evil.example/a?b=%c3%a9");
        check("url-prefix-nocase:Evil.Example/A/", "url-prefix-nocase:evil.example/a/");
        check(r"url-nocase\:evil.example", r"url-nocase\:evil.example");
        check("code:aBc", "code:aBc");
        check(r"url\:evil.example", r"url\:evil.example");
        check(r"x.\114pz-ip", r"x.\114pz-ip");
        check(r"a.b\.", r"a.b\.");
        check(r"a.b\\.", r"a.b\\");
        check(r"a\.rpz-ip", r"a\.\114pz-ip");
    }

    #[test]
    fn texts_that_are_no_trigger() {
        let check = |text: &str, why: BadTrigger| {
            assert_eq!(text.parse::<Trigger>(), Err(why), "{text}");
        };
        for bad in ["", "a..b", "*..a"] {
            check(bad, BadTrigger::Name);
        }
        for bad in [
            "rpz-ip",
            "33.1.2.0.192.rpz-ip",
            "24.0.2.0.rpz-ip",
            "24.0.2.0.256.rpz-ip",
            "128.1.zz.zz.2001.rpz-nsip",
            "129.zz.rpz-ip",
            "64.12345.zz.rpz-ip",
            "x.1.2.0.192.rpz-client-ip",
            "+8.0.0.0.10.rpz-ip",
        ] {
            check(bad, BadTrigger::Prefix);
        }
        check("24.1.2.0.192.rpz-ip", BadTrigger::HostBits);
        check("code:", BadTrigger::Code);
        check("code:a b", BadTrigger::Code);
        check("url:", BadTrigger::Url);
    }

    proptest! {
        #[test]
        fn any_name_comes_back(
            wire in proptest::collection::vec("[a-z*:.\u{1}-]{1,9}|rpz-ip|url:x|rpz-nsdname|\\*", 0..5),
            wildcard: bool,
            ns: bool,
        ) {
            let mut bytes = Vec::new();
            for label in &wire {
                bytes.push(label.len() as u8);
                bytes.extend_from_slice(label.as_bytes());
            }
            bytes.push(0);
            let pattern = NamePattern { name: Name::from_wire(&bytes).unwrap(), wildcard };
            let trigger = if ns { Trigger::Nsdname(pattern) } else { Trigger::Qname(pattern) };
            prop_assert_eq!(trigger.to_string().parse::<Trigger>().unwrap(), trigger);
        }

        #[test]
        fn any_prefix_comes_back(bits: u128, v4: bool, len in 0u8..=128) {
            let net = match v4 {
                true => IpNet::new(IpAddr::V4((bits as u32).into()), len % 33),
                false => IpNet::new(IpAddr::V6((bits & bits >> 64).into()), len),
            };
            let trigger = Trigger::Nsip(canonical_prefix(net.unwrap()));
            prop_assert_eq!(trigger.to_string().parse::<Trigger>().unwrap(), trigger);
        }
    }
}
