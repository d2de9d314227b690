//! An answer as policy sees it: the names that aliases led to, addresses, and the zones behind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    name::{Name, at_or_below},
    policy::{AnswerFacts, Cut},
    resolver::{
        Resolver,
        entry::Entry,
        message::{Record, rtype},
        query::Query,
        tail::{address, chain},
    },
};

/// What [`AnswerFacts`] borrows.
#[derive(Debug, Default)]
pub(super) struct Facts {
    chain: Vec<Name>,
    addresses: Vec<IpAddr>,
    /// For the name asked and each of the chain.
    servers: Vec<Option<Servers>>,
}

/// The servers of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Servers {
    /// Their names, in lower case.
    pub names: Vec<Name>,
    /// Those of their addresses that are known.
    pub addresses: Vec<IpAddr>,
    /// Whether these are all.
    pub complete: bool,
}

impl Facts {
    pub(super) fn with<T>(&self, f: impl FnOnce(&AnswerFacts<'_>) -> T) -> T {
        let cuts: Vec<Cut<'_>> = self
            .servers
            .iter()
            .map(|s| match s {
                None => Cut::Unknown,
                Some(s) => {
                    Cut::Known { names: &s.names, addresses: &s.addresses, complete: s.complete }
                }
            })
            .collect();
        f(&AnswerFacts { chain: &self.chain, addresses: &self.addresses, cuts: &cuts })
    }
}

impl Resolver {
    /// What policy may know of `entry`, an answer to `q`; with the servers of its zones where
    /// somebody asks for them. A failure has neither addresses nor servers.
    pub(super) fn facts(&self, q: &Query, entry: &Entry, servers: bool) -> Facts {
        let answer = entry.answer();
        let records = &answer.sections.answer;
        let (aliases, last) = chain(q.lower.wire(), q.qtype, records);
        let targets = aliases.iter().filter_map(|i| Name::from_wire(&records[*i].rdata).ok());
        let chain: Vec<Name> = targets.map(|n| n.lower()).collect();
        if entry.failed() {
            let servers =
                chain.iter().map(|_| Some(Servers { complete: true, ..Servers::default() }));
            let servers = servers.chain([Some(Servers { complete: true, ..Servers::default() })]);
            return Facts { servers: servers.collect(), chain, addresses: Vec::new() };
        }
        // No list may take a served zone's apex away, be it by where it leads or by who serves it.
        let zones = self.zones.in_force();
        let spared = zones.is_apex(&last.to_ascii_lowercase());
        let at_end = records.iter().filter(|r| !spared && r.owner.eq_ignore_ascii_case(&last));
        let addresses = at_end.flat_map(addresses).collect();
        let servers = match servers {
            false => Vec::new(),
            true => {
                let names = std::iter::once(&q.lower).chain(&chain);
                names.map(|n| self.servers_of(n, &answer.sections.authority)).collect()
            }
        };
        Facts { chain, addresses, servers }
    }

    /// The servers of the zone that a name is in: one of ours, or what upstream said of it beside
    /// its answer.
    fn servers_of(&self, name: &Name, authority: &[Record]) -> Option<Servers> {
        let zones = self.zones.in_force();
        if zones.is_apex(name.wire()) {
            return Some(Servers { complete: true, ..Servers::default() });
        }
        if let Some(servers) = zones.servers(name) {
            return Some(servers);
        }
        let of = |r: &&Record| {
            r.rtype == rtype::NS && at_or_below(name.wire(), &r.owner.to_ascii_lowercase())
        };
        let names = authority.iter().filter(of).filter_map(|r| Name::from_wire(&r.rdata).ok());
        let names: Vec<Name> = names.map(|n| n.lower()).collect();
        // Their addresses were in the additional section, of which nothing is believed.
        (!names.is_empty()).then_some(Servers { names, addresses: Vec::new(), complete: false })
    }
}

/// The name at a position of the chain, in lower case, and the records that led to it.
pub(super) fn position<'a>(
    q: &Query,
    records: &'a [Record],
    position: u16,
) -> (Name, Vec<&'a Record>) {
    let (aliases, _) = chain(q.lower.wire(), q.qtype, records);
    let last = usize::from(position).checked_sub(1).and_then(|i| aliases.get(i).copied());
    let Some(last) = last else { return (q.lower, Vec::new()) };
    let name = Name::from_wire(&records[last].rdata).map_or(q.lower, |n| n.lower());
    // Whoever checks signatures finds none at the end of this chain, and needs none before.
    let led_here = records[..=last].iter().filter(|r| r.rtype != rtype::RRSIG);
    (name, led_here.collect())
}

/// The addresses in a record: its own, or the hints of HTTPS and SVCB (RFC 9460 §7.3).
fn addresses(r: &Record) -> Vec<IpAddr> {
    match r.rtype {
        rtype::HTTPS | rtype::SVCB => hints(&r.rdata),
        _ => address(r).into_iter().collect(),
    }
}

/// The keys of address hints.
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;

/// Hints as far as they can be read: priority, target, then parameters with key and length.
fn hints(rdata: &[u8]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let Some(target) = rdata.get(2..) else { return found };
    let Ok(target) = Name::from_wire(target) else { return found };
    let mut rest = &rdata[2 + target.wire().len()..];
    while let Some(&[k1, k0, l1, l0]) = rest.first_chunk() {
        let len = usize::from(u16::from_be_bytes([l1, l0]));
        let Some(value) = rest.get(4..4 + len) else { break };
        match u16::from_be_bytes([k1, k0]) {
            IPV4HINT => {
                let all = value.as_chunks::<4>().0.iter();
                found.extend(all.map(|b| IpAddr::from(Ipv4Addr::from(*b))));
            }
            IPV6HINT => {
                let all = value.as_chunks::<16>().0.iter();
                found.extend(all.map(|b| IpAddr::from(Ipv6Addr::from(*b))));
            }
            _ => {}
        }
        rest = &rest[4 + len..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_as_far_as_they_go() {
        let alpn = b"\0\x01\0\x03\x02h2";
        let v4 = b"\0\x04\0\x08\xc0\0\x02\x01\xc0\0\x02\x02";
        let v6 = [&b"\0\x06\0\x10"[..], &[0x20; 16]].concat();
        let whole = [&b"\0\x01\x01a\0"[..], alpn, v4, &v6].concat();
        let all: Vec<IpAddr> =
            ["192.0.2.1", "192.0.2.2", "2020:2020:2020:2020:2020:2020:2020:2020"]
                .map(|a| a.parse().unwrap())
                .into();
        assert_eq!(hints(&whole), all);
        assert_eq!(hints(&whole[..whole.len() - 1]), all[..2]);
        for cut in 0..whole.len() {
            assert!(hints(&whole[..cut]).len() <= 2, "{cut}");
        }
        assert!(hints(b"\0\x01\xc0\x0c").is_empty());
    }

    #[test]
    fn fuzz() {
        bolero::check!().with_iterations(20_000).with_max_len(128).for_each(|input: &[u8]| {
            // Behind a priority and a target, and as it is.
            let behind = [b"\0\x01\x01a\0", input].concat();
            for rdata in [input, &behind] {
                // Each address takes its bytes.
                assert!(4 * hints(rdata).len() <= rdata.len());
            }
        });
    }
}
