//! Triggers as the bytes that an [`super::Index`] keeps them in: a tag and what the tag is about.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{NamePattern, Trigger, UrlKind, trigger::canonical_prefix};
use crate::name::{Name, suffixes};

/// What a key is about. The numbers are those of index files: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Tag {
    QnameExact = 0,
    QnameWildcard = 1,
    NsdnameExact = 2,
    NsdnameWildcard = 3,
    ClientV4 = 4,
    ClientV6 = 5,
    ResponseV4 = 6,
    ResponseV6 = 7,
    NsipV4 = 8,
    NsipV6 = 9,
    UrlHost = 10,
    UrlPrefix = 11,
    UrlExact = 12,
    Code = 13,
}

impl Tag {
    pub(super) const COUNT: usize = 14;
    const ALL: [Self; Self::COUNT] = [
        Self::QnameExact,
        Self::QnameWildcard,
        Self::NsdnameExact,
        Self::NsdnameWildcard,
        Self::ClientV4,
        Self::ClientV6,
        Self::ResponseV4,
        Self::ResponseV6,
        Self::NsipV4,
        Self::NsipV6,
        Self::UrlHost,
        Self::UrlPrefix,
        Self::UrlExact,
        Self::Code,
    ];

    /// Names that are asked: exact and wildcard.
    pub(super) const QNAME: [Self; 2] = [Self::QnameExact, Self::QnameWildcard];
    /// Names of servers: exact and wildcard.
    pub(super) const NSDNAME: [Self; 2] = [Self::NsdnameExact, Self::NsdnameWildcard];
    /// Addresses of clients: IPv4 and IPv6.
    pub(super) const CLIENT: [Self; 2] = [Self::ClientV4, Self::ClientV6];
    /// Addresses in answers: IPv4 and IPv6.
    pub(super) const RESPONSE: [Self; 2] = [Self::ResponseV4, Self::ResponseV6];
    /// Addresses of servers: IPv4 and IPv6.
    pub(super) const NSIP: [Self; 2] = [Self::NsipV4, Self::NsipV6];

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A trigger's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    tag: Tag,
    bytes: Vec<u8>,
}

impl Key {
    pub(super) fn of(trigger: &Trigger) -> Self {
        let name = |tags: [Tag; 2], p: &NamePattern| {
            Self::name(tags[usize::from(p.wildcard)], p.name.lower().wire())
        };
        let prefix = |tags: [Tag; 2], net: &IpNet| {
            let net = canonical_prefix(*net);
            Self::prefix(tags[usize::from(net.addr().is_ipv6())], net)
        };
        match trigger {
            Trigger::Qname(p) => name(Tag::QNAME, p),
            Trigger::Nsdname(p) => name(Tag::NSDNAME, p),
            Trigger::ClientIp(net) => prefix(Tag::CLIENT, net),
            Trigger::ResponseIp(net) => prefix(Tag::RESPONSE, net),
            Trigger::Nsip(net) => prefix(Tag::NSIP, net),
            Trigger::Url(UrlKind::Host, text) => Self::text(Tag::UrlHost, text),
            Trigger::Url(UrlKind::Prefix, text) => Self::text(Tag::UrlPrefix, text),
            Trigger::Url(UrlKind::Exact, text) => Self::text(Tag::UrlExact, text),
            Trigger::Code(code) => Self::text(Tag::Code, code),
        }
    }

    pub(super) fn name(tag: Tag, wire: &[u8]) -> Self {
        Self::new(tag, wire)
    }

    pub(super) fn text(tag: Tag, text: &str) -> Self {
        Self::new(tag, text.as_bytes())
    }

    /// `net` without bits beyond its length.
    pub(super) fn prefix(tag: Tag, net: IpNet) -> Self {
        match net.addr() {
            IpAddr::V4(a) => Self::new(tag, &[&a.octets()[..], &[net.prefix_len()]].concat()),
            IpAddr::V6(a) => Self::new(tag, &[&a.octets()[..], &[net.prefix_len()]].concat()),
        }
    }

    fn new(tag: Tag, payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(1 + payload.len());
        bytes.push(tag as u8);
        bytes.extend_from_slice(payload);
        Self { tag, bytes }
    }

    pub(super) fn tag(&self) -> Tag {
        self.tag
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The labels of a name, the length of a prefix; 0 for texts.
    pub(super) fn size(&self) -> u8 {
        let payload = &self.bytes[1..];
        match self.tag as u8 {
            0..=3 => suffixes(payload).count() as u8 - 1,
            4..=9 => payload[payload.len() - 1],
            _ => 0,
        }
    }
}

/// The trigger of a key's bytes; none where they are no key.
pub(super) fn trigger(bytes: &[u8]) -> Option<Trigger> {
    let (tag, payload) = bytes.split_first()?;
    let tag = Tag::from_number(*tag)?;
    let name = |wildcard| Some(NamePattern { name: Name::from_wire(payload).ok()?, wildcard });
    let text = || Some(std::str::from_utf8(payload).ok()?.into());
    let prefix = || {
        let (len, address) = payload.split_last()?;
        let address: IpAddr = match address.len() {
            4 => <[u8; 4]>::try_from(address).ok()?.into(),
            _ => <[u8; 16]>::try_from(address).ok()?.into(),
        };
        IpNet::new(address, *len).ok()
    };
    Some(match tag {
        Tag::QnameExact => Trigger::Qname(name(false)?),
        Tag::QnameWildcard => Trigger::Qname(name(true)?),
        Tag::NsdnameExact => Trigger::Nsdname(name(false)?),
        Tag::NsdnameWildcard => Trigger::Nsdname(name(true)?),
        Tag::ClientV4 | Tag::ClientV6 => Trigger::ClientIp(prefix()?),
        Tag::ResponseV4 | Tag::ResponseV6 => Trigger::ResponseIp(prefix()?),
        Tag::NsipV4 | Tag::NsipV6 => Trigger::Nsip(prefix()?),
        Tag::UrlHost => Trigger::Url(UrlKind::Host, text()?),
        Tag::UrlPrefix => Trigger::Url(UrlKind::Prefix, text()?),
        Tag::UrlExact => Trigger::Url(UrlKind::Exact, text()?),
        Tag::Code => Trigger::Code(text()?),
    })
}
