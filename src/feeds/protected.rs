//! What no list may touch: public suffixes, the apexes of zones that we serve, our own hosts, and
//! what the operator names.
//!
//! A rule for such a name, or for everything below a name above it, is rejected by itself and takes
//! no other rule with it. A name below a served zone is not protected: lists may name it. A rule
//! A rule about addresses must not be wider than the operator allows (`feeds.ipv4_prefix_min`,
//! `feeds.ipv6_prefix_min`): two halves of all addresses are everybody, too. A rule
//! that lets things through harms none of them, whatever its feed makes its other rules do
//! ([`Override::of`](crate::policy::Override::of)). That a feed only observes, or lets everything
//! through, excuses no rule: settings change at once, and the rules read under them stay.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::format::Reason;
use crate::{
    name::Name,
    policy::{Action, NamePattern, Rule, Trigger, UrlKind},
    record::PublicSuffixes,
};

/// Why a name is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is the apex of a zone that we serve.
    Apex,
    /// The gateway or the API is reached by it.
    OwnHost,
    /// The operator said so, in `feeds.protected`.
    Listed,
}

impl Why {
    const fn text(self) -> &'static str {
        match self {
            Self::Apex => "the apex of a zone served here",
            Self::OwnHost => "a host of the gateway or the API",
            Self::Listed => "named in feeds.protected",
        }
    }
}

/// What no list may touch.
#[derive(Clone, Debug)]
pub struct Protected {
    suffixes: Arc<PublicSuffixes>,
    /// In lower-case wire form.
    names: HashMap<Box<[u8]>, Why>,
    /// Protected names above which a wildcard may not stand: the ancestors of those.
    above: HashMap<Box<[u8]>, Box<[u8]>>,
    addresses: Vec<IpAddr>,
    prefix_min: PrefixMin,
}

/// The shortest prefixes of rules about addresses.
#[derive(Clone, Copy, Debug)]
struct PrefixMin {
    ipv4: u8,
    ipv6: u8,
}

fn protected(what: &str) -> Reason {
    Reason { code: "protected", text: format!("protected: {what}").into() }
}

impl Protected {
    /// The public suffixes alone, and every address there is.
    pub fn new(suffixes: Arc<PublicSuffixes>) -> Self {
        let (names, above) = (HashMap::new(), HashMap::new());
        let prefix_min = PrefixMin { ipv4: 1, ipv6: 1 };
        Self { suffixes, names, above, addresses: Vec::new(), prefix_min }
    }

    /// Refuses rules about more addresses at once than prefixes of these lengths hold, in bits.
    #[must_use]
    pub fn with_prefix_min(self, ipv4: u8, ipv6: u8) -> Self {
        Self { prefix_min: PrefixMin { ipv4: ipv4.max(1), ipv6: ipv6.max(1) }, ..self }
    }

    /// Protects a host: a name or an address; what is neither is passed over.
    pub fn add(&mut self, host: &str, why: Why) {
        if let Some(address) = address(host) {
            // A list of loopback addresses guards against rebinding, and harms nobody's visitor.
            if !address.is_loopback() && !address.is_unspecified() {
                self.addresses.push(address.to_canonical());
            }
            return;
        }
        let Ok(name) = Name::from_text(host) else { return };
        let name = name.lower();
        for above in name.suffixes().skip(1).filter(|s| s.len() > 1) {
            self.above.entry(above.into()).or_insert_with(|| name.wire().into());
        }
        self.names.insert(name.wire().into(), why);
    }

    /// What tells this protection from another: rules compiled under another one are not the same.
    pub fn key(&self) -> u64 {
        let mut names: Vec<&[u8]> = self.names.keys().map(|n| &**n).collect();
        names.sort_unstable();
        let mut addresses = self.addresses.clone();
        addresses.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(self.suffixes.version());
        for name in names {
            hash.update(name);
        }
        for address in addresses {
            hash.update(address.to_string());
        }
        hash.update([self.prefix_min.ipv4, self.prefix_min.ipv6]);
        let digest = hash.finalize();
        digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// Why a rule may not be; none when it may. `subtree` is the feed's.
    pub fn refuses(&self, rule: &Rule, subtree: bool) -> Option<Reason> {
        if rule.action == Action::Passthru {
            return None;
        }
        match &rule.trigger {
            Trigger::Qname(pattern) | Trigger::Nsdname(pattern) => self.name(pattern, subtree),
            Trigger::ClientIp(net) | Trigger::Nsip(net) => self.prefix_min.refuses(net),
            Trigger::ResponseIp(net) => self.prefix_min.refuses(net).or_else(|| self.address(net)),
            Trigger::Url(UrlKind::Host, host) => self.host(host),
            Trigger::Url(UrlKind::Prefix | UrlKind::PrefixAnyCase, text) => {
                let (host, path) = text.split_once('/')?;
                path.is_empty().then(|| self.host(host)).flatten()
            }
            Trigger::Url(UrlKind::Exact | UrlKind::ExactAnyCase, _) | Trigger::Code(_) => None,
        }
    }

    fn host(&self, host: &str) -> Option<Reason> {
        if let Some(address) = address(host) {
            return self.address(&IpNet::from(address.to_canonical()));
        }
        let name = Name::from_text(host).ok()?.lower();
        // Every host below it is meant, too.
        self.name(&NamePattern { name, wildcard: false }, true)
    }

    fn name(&self, pattern: &NamePattern, subtree: bool) -> Option<Reason> {
        let wire = pattern.name.wire();
        if let Some(why) = self.names.get(wire) {
            return Some(protected(why.text()));
        }
        if wire.len() == 1 || self.suffixes.is_suffix(&pattern.name.to_string()) {
            return Some(protected("a public suffix"));
        }
        if !pattern.wildcard && !subtree {
            return None;
        }
        let below = self.above.get(wire)?;
        let below = Name::from_wire(below).ok()?;
        Some(protected(&format!("{below}, which it covers")))
    }

    fn address(&self, net: &IpNet) -> Option<Reason> {
        let covered = self.addresses.iter().find(|a| net.contains(*a))?;
        Some(protected(&format!("{covered}, an address of the gateway or the API")))
    }
}

/// The address that a host is, with brackets or without.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

impl PrefixMin {
    /// Why a rule may not be about so many addresses. Multicast, reserved and local ones are nobody's
    /// visitors nor servers of the public: lists against rebinding name them whole.
    fn refuses(self, net: &IpNet) -> Option<Reason> {
        const MAPPED: Ipv6Addr = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
        const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
        let (bits, min, key) = match net {
            IpNet::V4(net) if net.network() >= Ipv4Addr::new(224, 0, 0, 0) => return None,
            IpNet::V4(net) => (net.prefix_len(), self.ipv4, "feeds.ipv4_prefix_min"),
            // IPv4 counts as mapped into IPv6.
            IpNet::V6(net) if net.contains(&MAPPED) => {
                (net.prefix_len().saturating_sub(96), self.ipv4, "feeds.ipv4_prefix_min")
            }
            IpNet::V6(net) => match net.network().to_ipv4_mapped() {
                Some(address) if address < Ipv4Addr::new(224, 0, 0, 0) => {
                    (net.prefix_len().saturating_sub(96), self.ipv4, "feeds.ipv4_prefix_min")
                }
                Some(_) => return None,
                None if net.contains(&GLOBAL) || net.network().octets()[0] >> 5 == 1 => {
                    (net.prefix_len(), self.ipv6, "feeds.ipv6_prefix_min")
                }
                None => return None,
            },
        };
        let wide = || protected(&format!("more addresses than a prefix of {min} bits has ({key})"));
        match bits {
            0 => Some(protected("every address there is")),
            bits => (bits < min).then(wide),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Legal, Override};

    fn guard() -> Protected {
        let suffixes = Arc::new(PublicSuffixes::load(None).unwrap());
        let mut guard = Protected::new(suffixes).with_prefix_min(8, 16);
        guard.add("corp.example.org", Why::Apex);
        guard.add("go.example.net", Why::OwnHost);
        guard.add("203.0.113.7", Why::OwnHost);
        guard.add("[2001:db8::7]", Why::OwnHost);
        guard.add("127.0.0.1", Why::OwnHost);
        guard.add("www.gov.cn", Why::Listed);
        guard
    }

    #[test]
    fn what_lists_may_not_touch() {
        let guard = guard();
        let check = |rule: &str, subtree: bool, expected: Option<&str>| {
            let rule = Rule {
                trigger: rule.parse().unwrap(),
                action: Action::Nxdomain,
                legal: Arc::new(Legal::default()),
            };
            let reason = guard.refuses(&rule, subtree).map(|r| r.text.into_owned());
            match expected {
                None => assert_eq!(reason, None, "{}", rule.trigger),
                Some(part) => {
                    let reason = reason.unwrap_or_default();
                    assert!(reason.contains(part), "{}: {reason:?}", rule.trigger);
                }
            }
        };
        check("bad.example", false, None);
        check("*.bad.example", false, None);
        check("com", false, Some("public suffix"));
        check("*.co.uk", false, Some("public suffix"));
        check("corp.example.org", false, Some("apex"));
        check("*.corp.example.org", false, Some("apex"));
        check("phish.corp.example.org", false, None);
        check("*.example.org", false, Some("corp.example.org, which it covers"));
        check("example.org", false, None);
        check("example.org", true, Some("covers"));
        check("go.example.net", false, Some("gateway"));
        check("www.gov.cn", false, Some("feeds.protected"));
        check("32.7.113.0.203.rpz-ip", false, Some("203.0.113.7"));
        check("24.0.113.0.203.rpz-ip", false, Some("203.0.113.7"));
        check("8.0.0.0.127.rpz-ip", false, None);
        check("url-host:go.example.net", false, Some("gateway"));
        check("url-prefix:go.example.net/", false, Some("gateway"));
        check("url-prefix:go.example.net/a/", false, None);
        check("128.7.zz.db8.2001.rpz-ip", false, Some("2001:db8::7"));
        check("url-host:[2001:db8::7]", false, Some("2001:db8::7"));
        check("url-prefix:[2001:db8::7]/", false, Some("2001:db8::7"));
        check("url-host:[::ffff:203.0.113.7]", false, Some("203.0.113.7"));
        check("url-prefix:[2001:db8::7]/a/", false, None);
        check("url-host:[2001:db8::8]", false, None);
        check("code:abc", false, None);
        check("0.0.0.0.0.rpz-client-ip", false, Some("every address"));
        check("1.0.0.0.128.rpz-ip", false, Some("feeds.ipv4_prefix_min"));
        check("7.0.0.0.10.rpz-nsip", false, Some("feeds.ipv4_prefix_min"));
        check("8.0.0.0.10.rpz-client-ip", false, None);
        check("4.0.0.0.240.rpz-ip", false, None);
        check("96.0.0.ffff.zz.rpz-ip", false, Some("every address"));
        check("97.0.0.ffff.zz.rpz-ip", false, Some("feeds.ipv4_prefix_min"));
        check("3.zz.2000.rpz-ip", false, Some("feeds.ipv6_prefix_min"));
        check("15.zz.2a00.rpz-nsip", false, Some("feeds.ipv6_prefix_min"));
        check("16.zz.2a00.rpz-nsip", false, None);
        check("7.zz.fc00.rpz-ip", false, None);
    }

    #[test]
    fn letting_through_harms_nobody_whatever_the_feed_makes_of_it() {
        let rule = |trigger: &str, action| Rule {
            trigger: trigger.parse().unwrap(),
            action,
            legal: Arc::new(Legal::default()),
        };
        let block = Override::Action(Action::Nodata);
        for trigger in ["com", "www.gov.cn", "*.example.org", "url-host:go.example.net"] {
            let exception = rule(trigger, Action::Passthru);
            assert_eq!(guard().refuses(&exception, false), None, "{trigger}");
            assert_eq!(*block.of(&exception.action), Action::Passthru, "{trigger}");
        }
        // The feed's settings may be others tomorrow.
        assert_eq!(*Override::Action(Action::Passthru).of(&Action::Drop), Action::Passthru);
        assert!(guard().refuses(&rule("com", Action::Drop), false).is_some());
    }
}
