//! Targets: text becomes a [`Target`] once, or is refused with a reason.
//!
//! The WHATWG parser is what browsers are built on, so its reading decides where a link leads;
//! but it forgives much (it drops tabs and newlines, reads `\` as `/`, takes `http:host`, spells
//! addresses in octal). Whatever it would forgive is refused here: what was submitted must look
//! to a person as it reads to a browser.
//!
//! Over a thousand hostile texts are read by Node's `URL` as well (`tests/it/urls`). Where the two
//! readers differ, and what follows from it here:
//!
//! | text | our library | Node 20 | decision |
//! |---|---|---|---|
//! | `https://aẞ.com/` | `ß`, as Unicode has it since 15.1 | `ss`, as before: another site | refused, `target_idna` |
//! | `https://example.com/c:/..` | keeps `/c:/`, as if it were a drive | `/`, as the standard says | refused, `target_malformed` |
//! | right-to-left labels after digits, `a-א.com` | refuses (RFC 5893) | takes some | refused, `target_idna` |
//! | letters of Unicode 15.1 and later, `https://\u{1c89}.com/` | takes them | refuses them | taken: a browser that is older than the letter follows nowhere, none goes elsewhere |
//!
//! Everything else that one of them takes and the other does not is refused here before either
//! is asked. `Location` is ASCII, and every browser reads it as it was approved.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use url::{Host, Url};

use super::Refusal;
use crate::{
    config,
    record::PublicSuffixes,
    special::{canonical_address, is_special, is_special_address},
};

/// A target that passed every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The text byte for byte as submitted.
    pub submitted: String,
    /// The WHATWG serialisation: what `Location` carries. Printable ASCII.
    pub serialised: String,
    /// The host: lower case, A-labels, without the trailing dot, or an address.
    pub host: String,
    /// Its registrable domain; the host itself where it has none.
    pub registrable_domain: String,
}

/// What a target may be.
#[derive(Clone, Debug)]
pub struct TargetRules {
    length_max: usize,
    allow_ip_literal: bool,
    allow_special_host: bool,
    special_hosts: Vec<String>,
    allow_user_info: bool,
    tls_only: bool,
    own: HashSet<String>,
}

impl TargetRules {
    /// The rules of `gateway`. Our own hosts are those of `public_url`, `own_hosts` and the
    /// addresses in `listening`.
    pub fn new(gateway: &config::Gateway, listening: &[SocketAddr]) -> Self {
        let targets = &gateway.targets;
        let mut own: HashSet<String> =
            listening.iter().map(|a| canonical_address(a.ip()).to_string()).collect();
        let hosts = gateway.own_hosts.iter().chain(&gateway.domains);
        own.extend(hosts.filter_map(|h| own_host(&format!("http://{h}/"))));
        own.extend(own_host(&gateway.public_url));
        Self {
            length_max: targets.length_max,
            allow_ip_literal: targets.allow_ip_literal,
            allow_special_host: targets.allow_special_host,
            special_hosts: targets.special_hosts.iter().map(|h| plain_name(h)).collect(),
            allow_user_info: targets.allow_user_info,
            tls_only: targets.scheme_downgrade == config::OnTarget::Stop
                && has_tls(&gateway.public_url),
            own,
        }
    }

    /// Reads `submitted` as a target.
    pub fn parse(&self, submitted: &str, suffixes: &PublicSuffixes) -> Result<Target, Refusal> {
        if submitted.is_empty() {
            return Err(Refusal::Empty);
        }
        if submitted.len() > self.length_max {
            return Err(Refusal::TooLong);
        }
        refuse_characters(submitted)?;
        let authority = raw_authority(submitted)?;
        let (user_info, host) = authority.rsplit_once('@').map_or(("", authority), |(u, h)| (u, h));
        if !self.allow_user_info && authority.contains('@') {
            return Err(Refusal::UserInfo);
        }
        // A second `@` would be escaped by the parser, and read otherwise by others.
        if host.contains('%') || user_info.contains('@') {
            return Err(Refusal::HostSyntax);
        }
        // Which letter this is in lower case has changed between editions of Unicode.
        if host.contains('ẞ') {
            return Err(Refusal::Idna);
        }
        if climbs_from_drive(submitted) {
            return Err(Refusal::Malformed);
        }
        let url = Url::parse(submitted).map_err(reason)?;
        if self.tls_only && url.scheme() != "https" {
            return Err(Refusal::SchemeDowngrade);
        }
        if url.port() == Some(0) {
            return Err(Refusal::Port);
        }
        let serialised = url.as_str().to_owned();
        if serialised.len() > self.length_max {
            return Err(Refusal::TooLong);
        }
        let (host, registrable_domain) = match url.host() {
            None => return Err(Refusal::Malformed),
            Some(Host::Ipv4(a)) => self.address(a.into())?,
            Some(Host::Ipv6(a)) => self.address(a.into())?,
            Some(Host::Domain(name)) => self.name(name, suffixes)?,
        };
        Ok(Target { submitted: submitted.to_owned(), serialised, host, registrable_domain })
    }

    /// The longest target, in bytes.
    pub(super) fn length_max(&self) -> usize {
        self.length_max
    }

    /// Whether `host`, as [`Target::host`] has it, is one of ours.
    pub fn is_own(&self, host: &str) -> bool {
        self.own.contains(host)
    }

    /// Whether `host` may lead to special-purpose addresses.
    pub fn may_be_special(&self, host: &str) -> bool {
        let is_address = || host.parse::<IpAddr>().is_ok();
        self.is_allowed_special(host) || (self.allow_special_host && is_address())
    }

    fn address(&self, address: IpAddr) -> Result<(String, String), Refusal> {
        let address = canonical_address(address);
        let text = address.to_string();
        if self.own.contains(&text) {
            return Err(Refusal::OwnHost);
        }
        if !self.allow_ip_literal {
            return Err(Refusal::IpLiteral);
        }
        if !self.allow_special_host && is_special_address(address) {
            return Err(Refusal::SpecialAddress);
        }
        Ok((text.clone(), text))
    }

    fn name(&self, name: &str, suffixes: &PublicSuffixes) -> Result<(String, String), Refusal> {
        let name = plain_name(name);
        refuse_host_syntax(&name)?;
        if self.own.contains(&name) {
            return Err(Refusal::OwnHost);
        }
        if !self.is_allowed_special(&name) {
            if is_special(&name) {
                return Err(Refusal::SpecialHost);
            }
            if !name.contains('.') {
                return Err(Refusal::SingleLabel);
            }
            if suffixes.is_suffix(&name) {
                return Err(Refusal::PublicSuffix);
            }
        }
        let domain = suffixes.registrable_domain(&name).to_owned();
        Ok((name, domain))
    }

    /// Whether the configuration lets a special-purpose name or a single label pass.
    fn is_allowed_special(&self, name: &str) -> bool {
        let listed = self.special_hosts.iter().any(|h| {
            name.strip_suffix(h.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        listed || (self.allow_special_host && (is_special(name) || !name.contains('.')))
    }
}

/// Characters that hide what a target is. The parser would drop or rewrite them.
fn refuse_characters(text: &str) -> Result<(), Refusal> {
    for c in text.chars() {
        match c {
            '\\' => return Err(Refusal::Backslash),
            '\t' | '\n' | '\r' => return Err(Refusal::Whitespace),
            c if c.is_control() => return Err(Refusal::ControlCharacter),
            c if c.is_whitespace() => return Err(Refusal::Whitespace),
            c if is_invisible(c) => return Err(Refusal::InvisibleCharacter),
            _ => {}
        }
    }
    Ok(())
}

/// Format and bidirectional characters (Unicode general category Cf and the fillers that render
/// as nothing), variation selectors, tags and noncharacters.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
        | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{fffe}' | '\u{ffff}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The text between `scheme://` and the path, query or fragment, before any parser touched it.
fn raw_authority(text: &str) -> Result<&str, Refusal> {
    let (scheme, rest) = text.split_once("://").ok_or(Refusal::Scheme)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Refusal::Scheme);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // `http:///host` would be forgiven by the parser.
    if end == 0 { Err(Refusal::Malformed) } else { Ok(&rest[..end]) }
}

/// Whether `..` comes behind something like `c:` in the path: a drive, which nothing climbs out of,
/// to the library; a segment like any other to browsers.
fn climbs_from_drive(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.split('/').skip(3);
    let is_drive =
        |s: &str| matches!(s.as_bytes(), [letter, b':' | b'|'] if letter.is_ascii_alphabetic());
    let is_up = |s: &str| s.to_ascii_lowercase().replace("%2e", ".") == "..";
    segments.any(is_drive) && segments.any(is_up)
}

const fn reason(e: url::ParseError) -> Refusal {
    match e {
        url::ParseError::IdnaError => Refusal::Idna,
        url::ParseError::InvalidIpv4Address | url::ParseError::InvalidIpv6Address => {
            Refusal::IpLiteral
        }
        url::ParseError::InvalidPort => Refusal::Port,
        url::ParseError::InvalidDomainCharacter | url::ParseError::EmptyHost => Refusal::HostSyntax,
        _ => Refusal::Malformed,
    }
}

/// RFC 1035 §2.3.4 lengths, and the characters of host names. Underscores exist in real hosts
/// and stay; hyphens in the third and fourth place too (the parser has checked A-labels).
fn refuse_host_syntax(name: &str) -> Result<(), Refusal> {
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(good) { Ok(()) } else { Err(Refusal::HostSyntax) }
}

/// Whether short URLs have TLS.
pub(crate) fn has_tls(public_url: &str) -> bool {
    public_url.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://"))
}

/// A name as we compare names: lower case, without one trailing dot.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The host of one of our own URLs, as [`Target::host`] would have it.
fn own_host(url: &str) -> Option<String> {
    match Url::parse(url).ok()?.host()? {
        Host::Ipv4(a) => Some(a.to_string()),
        Host::Ipv6(a) => Some(canonical_address(a.into()).to_string()),
        Host::Domain(name) => Some(plain_name(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is taken reads as itself once more, and no part of it can end a line.
    #[test]
    fn fuzz() {
        let mut wide = config::Gateway::default();
        wide.targets.allow_ip_literal = true;
        wide.targets.allow_special_host = true;
        wide.targets.allow_user_info = true;
        let rules = [config::Gateway::default(), wide].map(|g| TargetRules::new(&g, &[]));
        let suffixes = PublicSuffixes::load(None).unwrap();
        bolero::check!().with_iterations(20_000).with_max_len(256).for_each(|input: &[u8]| {
            let text = format!("https://{}", String::from_utf8_lossy(input));
            for rules in &rules {
                let Ok(target) = rules.parse(&text, &suffixes) else { continue };
                assert!(target.serialised.bytes().all(|b| b.is_ascii_graphic()));
                let again = rules.parse(&target.serialised, &suffixes).unwrap();
                assert_eq!(again.serialised, target.serialised);
                assert_eq!(
                    (again.host, again.registrable_domain),
                    (target.host, target.registrable_domain)
                );
            }
        });
    }
}
