//! Triggers as the bytes that an index keeps them in: a tag and what the tag is about.

use std::net::IpAddr;

use ipnet::IpNet;

use super::hash::label_starts;
use crate::{
    name::Name,
    policy::{NamePattern, Trigger, UrlKind, trigger::canonical_prefix},
};

/// What a key is about. The numbers are those of index files: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(in crate::policy) enum Tag {
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
    UrlPrefixAnyCase = 14,
    UrlExactAnyCase = 15,
}

impl Tag {
    pub(in crate::policy) const COUNT: usize = 16;
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
        Self::UrlPrefixAnyCase,
        Self::UrlExactAnyCase,
    ];

    /// Names that are asked: exact and wildcard.
    pub(in crate::policy) const QNAME: [Self; 2] = [Self::QnameExact, Self::QnameWildcard];
    /// Names of servers: exact and wildcard.
    pub(in crate::policy) const NSDNAME: [Self; 2] = [Self::NsdnameExact, Self::NsdnameWildcard];
    /// Addresses of clients: IPv4 and IPv6.
    pub(in crate::policy) const CLIENT: [Self; 2] = [Self::ClientV4, Self::ClientV6];
    /// Addresses in answers: IPv4 and IPv6.
    pub(in crate::policy) const RESPONSE: [Self; 2] = [Self::ResponseV4, Self::ResponseV6];
    /// Addresses of servers: IPv4 and IPv6.
    pub(in crate::policy) const NSIP: [Self; 2] = [Self::NsipV4, Self::NsipV6];

    #[inline]
    pub(super) fn is_name(self) -> bool {
        self as u8 <= Self::NsdnameWildcard as u8
    }

    #[inline]
    pub(super) fn is_text(self) -> bool {
        self as u8 >= Self::UrlHost as u8
    }

    #[inline]
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// What an entry is about, as bytes: a name in wire form; an address and the length of a prefix;
/// the length of a text, seven bits a byte, the lowest first, and the text. Where it ends can be
/// told from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Key {
    pub tag: Tag,
    pub payload: Vec<u8>,
}

impl Key {
    pub(in crate::policy) fn of(trigger: &Trigger) -> Self {
        let name = |tags: [Tag; 2], p: &NamePattern| {
            let tag = tags[usize::from(p.wildcard)];
            // Length bytes are below `A`, so they stay as they are.
            Self { tag, payload: p.name.wire().to_ascii_lowercase() }
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
            Trigger::Url(UrlKind::PrefixAnyCase, text) => Self::text(Tag::UrlPrefixAnyCase, text),
            Trigger::Url(UrlKind::Exact, text) => Self::text(Tag::UrlExact, text),
            Trigger::Url(UrlKind::ExactAnyCase, text) => Self::text(Tag::UrlExactAnyCase, text),
            Trigger::Code(code) => Self::text(Tag::Code, code),
        }
    }

    pub(in crate::policy) fn text(tag: Tag, text: &str) -> Self {
        let mut payload = Vec::with_capacity(text.len() + 2);
        let mut len = text.len();
        while len > 0x7f {
            payload.push(len as u8 | 0x80);
            len >>= 7;
        }
        payload.push(len as u8);
        payload.extend_from_slice(text.as_bytes());
        Self { tag, payload }
    }

    /// `net` without bits beyond its length.
    pub(in crate::policy) fn prefix(tag: Tag, net: IpNet) -> Self {
        let payload = match net.addr() {
            IpAddr::V4(a) => [&a.octets()[..], &[net.prefix_len()]].concat(),
            IpAddr::V6(a) => [&a.octets()[..], &[net.prefix_len()]].concat(),
        };
        Self { tag, payload }
    }

    /// The labels of a name, the length of a prefix, the slashes of a URL's beginning up to 128; 0
    /// for other texts.
    pub(in crate::policy) fn size(&self) -> u8 {
        match self.tag {
            tag if tag.is_name() => label_starts(&self.payload).1 as u8,
            Tag::UrlPrefix | Tag::UrlPrefixAnyCase => {
                text_len(&self.payload).map_or(0, |t| slashes(&self.payload[t.1..]))
            }
            tag if tag.is_text() => 0,
            _ => self.payload.last().copied().unwrap_or(0),
        }
    }
}

/// How many slashes there are, 128 at most.
pub(in crate::policy) fn slashes(text: &[u8]) -> u8 {
    text.iter().filter(|b| **b == b'/').take(128).count() as u8
}

/// The payload that these bytes begin with.
pub(super) fn payload(tag: Tag, bytes: &[u8]) -> Option<&[u8]> {
    let len = match tag {
        tag if tag.is_name() => {
            let mut at = 0;
            loop {
                match usize::from(*bytes.get(at)?) {
                    0 => break at + 1,
                    len => at += 1 + len,
                }
            }
        }
        tag if tag.is_text() => {
            let (len, begin) = text_len(bytes)?;
            begin.checked_add(len)?
        }
        Tag::ClientV4 | Tag::ResponseV4 | Tag::NsipV4 => 5,
        _ => 17,
    };
    bytes.get(..len)
}

/// The length of the text and where it begins.
fn text_len(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for (i, b) in bytes.iter().take(4).enumerate() {
        len |= usize::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            return Some((len, i + 1));
        }
    }
    None
}

/// The trigger of a payload; none where it is none.
pub(super) fn trigger(tag: Tag, payload: &[u8]) -> Option<Trigger> {
    let name = |wildcard| Some(NamePattern { name: Name::from_wire(payload).ok()?, wildcard });
    let text = || {
        let (_, begin) = text_len(payload)?;
        Some(std::str::from_utf8(payload.get(begin..)?).ok()?.into())
    };
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
        Tag::UrlPrefixAnyCase => Trigger::Url(UrlKind::PrefixAnyCase, text()?),
        Tag::UrlExact => Trigger::Url(UrlKind::Exact, text()?),
        Tag::UrlExactAnyCase => Trigger::Url(UrlKind::ExactAnyCase, text()?),
        Tag::Code => Trigger::Code(text()?),
    })
}
