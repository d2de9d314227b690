//! Answers from local zones (RFC 1034 §4.3.2, with RFC 4592 wildcards and RFC 6672 DNAME).

use super::{
    Owner, ZoneSet,
    zone::{RrSet, Zone, set},
};
use crate::{
    name::{Name, at_or_below},
    resolver::{
        enforce::Servers,
        entry::Answer,
        message::{Ede, Extended, Rcode, Record, class, rtype},
        query::Query,
    },
};

/// An answer from local zones.
#[derive(Debug)]
pub(crate) struct Local {
    pub answer: Answer,
    /// Where the chain of aliases leaves our zones: into another's, or below a delegation where
    /// that may be asked upstream.
    pub leaves_to: Option<Name>,
}

/// The TTL of the record that stands for ANY, in seconds (RFC 8482 §4.2).
const ANY_TTL_S: u32 = 3_600;

/// What one zone has for one name.
enum Found<'a> {
    Data(&'a RrSet),
    /// The name exists and has other types.
    Any,
    Alias(&'a RrSet),
    /// A DNAME above the name, and the bytes of the name before its owner.
    Dname {
        set: &'a RrSet,
        cut: usize,
    },
    /// A delegation at this name.
    Referral {
        ns: &'a RrSet,
        at: &'a [u8],
    },
    NoData,
    NoName,
}

impl ZoneSet {
    /// The answer to `q`; none when the name is not ours. With `recursive`, what our zones do not
    /// hold may be asked upstream, and a name below a delegation is not ours: there, a referral is
    /// only for those who do not want, or cannot get, recursion (RFC 1034 §4.3.2).
    pub(crate) fn answer(&self, q: &Query, recursive: bool) -> Option<Local> {
        let mut answer = Answer { authoritative: true, ..Answer::bare(Rcode::NOERROR) };
        let mut name = q.lower;
        let mut leaves_to = None;
        for hop in 0..=self.chain_max {
            let zone = match self.owner(&name, q.qtype) {
                None if hop == 0 => return None,
                None => {
                    leaves_to = Some(name);
                    break;
                }
                Some(Owner::Missing) => {
                    answer.authoritative &= hop > 0;
                    answer.rcode = Rcode::SERVFAIL;
                    let text = "a local zone could not be loaded";
                    answer.ede.push(Extended::new(Ede::INVALID_DATA, text));
                    break;
                }
                Some(Owner::Zone(zone)) => zone,
            };
            // Without the parent's zone, upstream knows more of a DS than the child does.
            if recursive && q.qtype == rtype::DS && hop == 0 && zone.apex() == name.wire() {
                return None;
            }
            let found = zone.find(&name, q.qtype);
            if recursive && matches!(found, Found::Referral { .. }) {
                if hop == 0 {
                    return None;
                }
                leaves_to = Some(name);
                break;
            }
            answer.authoritative &= hop > 0 || !matches!(found, Found::Referral { .. });
            match step(&mut answer, zone, &name, found) {
                // A synthesised CNAME is itself what was asked for.
                Some(_) if q.qtype == rtype::CNAME => break,
                Some(next) if !seen(&answer, &next) && hop == self.chain_max => {
                    let text = "the chain of aliases is longer than dns.cname_chain_max";
                    answer = Answer::error(Rcode::SERVFAIL, Ede::OTHER, text);
                }
                Some(next) if !seen(&answer, &next) => name = next,
                _ => break,
            }
        }
        Some(Local { answer, leaves_to })
    }
}

impl ZoneSet {
    /// Whether a zone of ours begins at this name, in lower-case wire form.
    pub(crate) fn is_apex(&self, name: &[u8]) -> bool {
        self.by_apex.contains_key(name)
    }

    /// The servers of the zone of ours that a name is in, the addresses as far as our zones hold
    /// them; none when the name is not ours, or below a delegation.
    pub(crate) fn servers(&self, name: &Name) -> Option<Servers> {
        let Some(Owner::Zone(zone)) = self.owner(name, rtype::A) else { return None };
        if matches!(zone.find(name, rtype::A), Found::Referral { .. }) {
            return None;
        }
        let mut servers = Servers { complete: true, ..Servers::default() };
        let apex = zone.node(zone.apex()).unwrap_or_default();
        for name in set(apex, rtype::NS).iter().flat_map(|ns| &ns.data) {
            let Ok(name) = Name::from_wire(name) else { continue };
            let name = name.lower();
            servers.names.push(name);
            let node = match self.owner(&name, rtype::A) {
                Some(Owner::Zone(zone)) => zone.node(name.wire()),
                _ => None,
            };
            let sets = node.unwrap_or_default().iter();
            let sets = sets.filter(|s| matches!(s.rtype, rtype::A | rtype::AAAA));
            let known = servers.addresses.len();
            servers.addresses.extend(sets.flat_map(RrSet::addresses));
            servers.complete &= servers.addresses.len() > known;
        }
        Some(servers)
    }
}

/// Whether the chain has been at `name` before.
fn seen(answer: &Answer, name: &Name) -> bool {
    let mut aliases = answer.sections.answer.iter().filter(|r| r.rtype == rtype::CNAME);
    aliases.any(|r| *r.owner == *name.wire())
}

/// Adds what was found for `name`; the next name of the chain, where it goes on.
fn step(answer: &mut Answer, zone: &Zone, name: &Name, found: Found<'_>) -> Option<Name> {
    let sections = &mut answer.sections;
    match found {
        Found::Data(set) => push(&mut sections.answer, name.wire(), set),
        Found::Any => sections.answer.push(Record {
            owner: name.wire().into(),
            rtype: rtype::HINFO,
            class: class::IN,
            ttl: ANY_TTL_S,
            rdata: (*b"\x07RFC8482\0").into(),
        }),
        Found::Alias(set) => {
            push(&mut sections.answer, name.wire(), set);
            return target(set);
        }
        Found::Dname { set, cut } => {
            push(&mut sections.answer, &name.wire()[cut..], set);
            let Some(next) = set.data.first().and_then(|t| name.replace_suffix(cut, t)) else {
                answer.rcode = Rcode::YXDOMAIN;
                let text = "the name is too long behind this DNAME";
                answer.ede.push(Extended::new(Ede::OTHER, text));
                return None;
            };
            // Old resolvers follow this one (RFC 6672 §3.1).
            sections.answer.push(Record {
                owner: name.wire().into(),
                rtype: rtype::CNAME,
                class: class::IN,
                ttl: set.ttl,
                rdata: next.wire().into(),
            });
            return Some(next.lower());
        }
        Found::Referral { ns, at } => {
            push(&mut sections.authority, at, ns);
            for server in &ns.data {
                let server = server.to_ascii_lowercase();
                if !at_or_below(&server, zone.apex()) {
                    continue;
                }
                let node = zone.node(&server).unwrap_or_default();
                for set in node.iter().filter(|s| matches!(s.rtype, rtype::A | rtype::AAAA)) {
                    push(&mut sections.additional, &server, set);
                }
            }
        }
        Found::NoData => sections.authority.extend(zone.negative()),
        Found::NoName => {
            answer.rcode = Rcode::NXDOMAIN;
            sections.authority.extend(zone.negative());
        }
    }
    None
}

fn push(section: &mut Vec<Record>, owner: &[u8], set: &RrSet) {
    section.extend(set.data.iter().map(|rdata| Record {
        owner: owner.into(),
        rtype: set.rtype,
        class: class::IN,
        ttl: set.ttl,
        rdata: rdata.clone(),
    }));
}

fn target(set: &RrSet) -> Option<Name> {
    Name::from_wire(set.data.first()?).ok().map(|n| n.lower())
}

impl Zone {
    /// Looks a name in lower case up: one probe per label below the apex, and one for a wildcard.
    fn find<'a>(&'a self, name: &'a Name, qtype: u16) -> Found<'a> {
        // The name and its ancestors down to the apex, shortest first.
        let mut path = [&[][..]; 128];
        let mut depth = 0;
        for s in name.suffixes().take_while(|s| s.len() >= self.apex().len()) {
            path[depth] = s;
            depth += 1;
        }
        let path = &path[..depth];
        let mut encloser = self.apex();
        for (i, &at) in path.iter().enumerate().rev() {
            let Some(node) = self.node(at) else { return self.wildcard(encloser, qtype) };
            if at.len() > self.apex().len()
                && let Some(ns) = set(node, rtype::NS)
                && !(i == 0 && qtype == rtype::DS)
            {
                return Found::Referral { ns, at };
            }
            if i == 0 {
                return in_node(node, qtype);
            }
            if let Some(set) = set(node, rtype::DNAME) {
                return Found::Dname { set, cut: name.wire().len() - at.len() };
            }
            encloser = at;
        }
        Found::NoName
    }

    /// The wildcard of the closest encloser (RFC 4592 §3.3.1).
    fn wildcard(&self, encloser: &[u8], qtype: u16) -> Found<'_> {
        let mut wildcard = [0; 257];
        wildcard[..2].copy_from_slice(b"\x01*");
        wildcard[2..2 + encloser.len()].copy_from_slice(encloser);
        match self.node(&wildcard[..2 + encloser.len()]) {
            Some(node) => in_node(node, qtype),
            None => Found::NoName,
        }
    }
}

fn in_node(node: &[RrSet], qtype: u16) -> Found<'_> {
    if let Some(found) = set(node, qtype) {
        return Found::Data(found);
    }
    match set(node, rtype::CNAME) {
        Some(alias) if qtype == rtype::ANY => Found::Data(alias),
        Some(alias) if !matches!(qtype, rtype::NSEC | rtype::RRSIG) => Found::Alias(alias),
        _ if qtype == rtype::ANY && !node.is_empty() => Found::Any,
        _ => Found::NoData,
    }
}
