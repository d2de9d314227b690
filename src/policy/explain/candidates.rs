//! Every rule that could be about a thing.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Thing;
use crate::{
    name::{Name, suffixes},
    policy::{Canonical, NamePattern, Trigger, UrlKind},
};

/// What a trigger may be about a thing by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) trigger: Trigger,
    /// By the feed's `subtree` alone.
    pub(super) implied: bool,
}

impl Thing {
    /// Every rule that could be about it, by its text; those that only `subtree` makes so, too.
    pub fn rules(&self) -> Vec<String> {
        let mut texts: Vec<String> =
            self.candidates().iter().map(|c| c.trigger.to_string()).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        match self {
            Self::Name(name) => {
                names(name, Trigger::Qname, &mut all);
                names(name, Trigger::Nsdname, &mut all);
                for host in name.suffixes().filter(|s| s.len() > 1) {
                    let host = Name::from_checked(host).to_string();
                    push(&mut all, Trigger::Url(UrlKind::Host, host.into()));
                }
                // The text of a rule that is no name, such as `24.0.2.0.192.rpz-ip`.
                let trigger = name.to_string().parse::<Trigger>();
                if let Some(trigger) = trigger.ok().filter(|t| !matches!(t, Trigger::Qname(_))) {
                    push(&mut all, trigger);
                }
                if let Some(trigger) = wildcard(name) {
                    push(&mut all, trigger);
                }
            }
            Self::Url(url) => of_url(url, &mut all),
            Self::Address(address) => {
                for net in nets(*address) {
                    push(&mut all, Trigger::ResponseIp(net));
                    push(&mut all, Trigger::ClientIp(net));
                    push(&mut all, Trigger::Nsip(net));
                }
                let host = match address {
                    IpAddr::V4(v4) => v4.to_string(),
                    IpAddr::V6(v6) => format!("[{v6}]"),
                };
                push(&mut all, Trigger::Url(UrlKind::Host, host.into()));
            }
            Self::Link { code, target } => {
                push(&mut all, Trigger::Code(code.as_str().into()));
                of_url(target, &mut all);
            }
        }
        all
    }
}

fn push(all: &mut Vec<Candidate>, trigger: Trigger) {
    all.push(Candidate { trigger, implied: false });
}

/// The rules about a name: itself, everything below one above it; by `subtree` the other way round.
fn names(name: &Name, trigger: impl Fn(NamePattern) -> Trigger, all: &mut Vec<Candidate>) {
    for (above, suffix) in suffixes(name.wire()).enumerate().map(|(i, s)| (i > 0, s)) {
        let name = Name::from_checked(suffix);
        for wildcard in [above, !above] {
            let trigger = trigger(NamePattern { name, wildcard });
            all.push(Candidate { trigger, implied: wildcard != above });
        }
    }
}

/// `*.x` asked for as it stands in lists.
fn wildcard(name: &Name) -> Option<Trigger> {
    let mut suffixes = suffixes(name.wire());
    let first = suffixes.next()?;
    let is_star = first.len() > 2 && first[..2] == *b"\x01*";
    let name = Name::from_checked(suffixes.next().filter(|_| is_star)?);
    Some(Trigger::Qname(NamePattern { name, wildcard: true }))
}

fn of_url(url: &str, all: &mut Vec<Candidate>) {
    let Some(url) = Canonical::read(url) else { return };
    push(all, Trigger::Url(UrlKind::Exact, url.text().into()));
    push(all, Trigger::Url(UrlKind::ExactAnyCase, url.text().to_ascii_lowercase().into()));
    for path in url.paths() {
        for host in url.hosts() {
            let text = format!("{host}{path}");
            let folded = text.to_ascii_lowercase();
            push(all, Trigger::Url(UrlKind::Prefix, text.into()));
            push(all, Trigger::Url(UrlKind::PrefixAnyCase, folded.into()));
        }
    }
    for host in url.hosts() {
        push(all, Trigger::Url(UrlKind::Host, host.into()));
    }
    match host_of(&url) {
        Host::Address(address) => nets(address).for_each(|n| push(all, Trigger::ResponseIp(n))),
        Host::Name(name) => names(&name, Trigger::Qname, all),
        Host::Other => {}
    }
}

/// The host of a URL.
pub(super) enum Host {
    Address(IpAddr),
    Name(Box<Name>),
    Other,
}

pub(super) fn host_of(url: &Canonical) -> Host {
    let host = url.host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Host::Address(address);
    }
    Name::from_text(host).map_or(Host::Other, |name| Host::Name(Box::new(name.lower())))
}

/// Every prefix around an address, the longest first.
fn nets(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let address = address.to_canonical();
    let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
    (0..=longest).rev().filter_map(move |len| Some(IpNet::new(address, len).ok()?.trunc()))
}
