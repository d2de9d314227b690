//! One zone as a map from names to records, with the checks that make it one.

use std::{collections::HashMap, net::IpAddr};

use super::super::message::{Record, class, rtype};
use crate::name::{Name, at_or_below, suffixes};

/// Records of one name and type.
#[derive(Debug)]
pub(super) struct RrSet {
    pub rtype: u16,
    pub ttl: u32,
    pub data: Vec<Box<[u8]>>,
}

impl RrSet {
    /// The addresses in a set of A or AAAA records.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.data.iter().filter_map(|rdata| match rdata.len() {
            4 => <[u8; 4]>::try_from(&**rdata).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(&**rdata).ok().map(IpAddr::from),
            _ => None,
        })
    }
}

/// The records of one name; none at an empty non-terminal (RFC 4592 §2.2.2).
pub(super) type Node = Vec<RrSet>;

/// One zone.
#[derive(Debug)]
pub(crate) struct Zone {
    apex: Box<[u8]>,
    nodes: HashMap<Box<[u8]>, Node>,
    records: usize,
}

/// What makes records no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadZone {
    #[error("the record lies outside the zone")]
    OutOfZone,
    #[error("only class IN is served")]
    Class,
    #[error("records of this type have no place in a zone")]
    MetaType,
    #[error("SOA records belong at the apex alone")]
    SoaBelowApex,
    #[error("a zone has exactly one SOA record")]
    SecondSoa,
    #[error("CNAME and other data at one name")]
    CnameAndOther,
    #[error("more than one CNAME or DNAME at one name")]
    SecondAlias,
    #[error("more than {0} records over all zones (dns.zone_records_max)")]
    TooMany(usize),
    #[error("the zone has no SOA record")]
    NoSoa,
    #[error("the zone has no NS record at its apex")]
    NoNs,
}

impl Zone {
    /// A zone without records, which [`Zone::check`] does not accept.
    pub(super) fn new(apex: &Name) -> Self {
        let apex: Box<[u8]> = apex.lower().wire().into();
        Self { nodes: HashMap::from([(apex.clone(), Node::new())]), apex, records: 0 }
    }

    /// Adds a record; a duplicate is left out (RFC 2181 §5). `room` bounds all of them.
    pub(super) fn add(&mut self, r: Record, room: usize) -> Result<(), BadZone> {
        let owner = r.owner.to_ascii_lowercase();
        if r.class != class::IN {
            return Err(BadZone::Class);
        }
        if !at_or_below(&owner, &self.apex) {
            return Err(BadZone::OutOfZone);
        }
        if matches!(r.rtype, 0 | rtype::OPT | rtype::META_FIRST..=rtype::ANY) {
            return Err(BadZone::MetaType);
        }
        if r.rtype == rtype::SOA && *owner != *self.apex {
            return Err(BadZone::SoaBelowApex);
        }
        if self.records >= room {
            return Err(BadZone::TooMany(room));
        }
        for name in suffixes(&owner).skip(1).take_while(|s| s.len() >= self.apex.len()) {
            if self.nodes.contains_key(name) {
                break;
            }
            self.nodes.insert(name.into(), Node::new());
        }
        let node = self.nodes.entry(owner.into()).or_default();
        let aliased = |t: u16| t == rtype::CNAME;
        // DNSSEC's own types live beside a CNAME (RFC 4035 §2.5).
        let counts = |t: u16| !matches!(t, 25 | rtype::RRSIG | rtype::NSEC);
        if counts(r.rtype)
            && node.iter().any(|s| {
                counts(s.rtype) && s.rtype != r.rtype && (aliased(s.rtype) || aliased(r.rtype))
            })
        {
            return Err(BadZone::CnameAndOther);
        }
        let Some(set) = node.iter_mut().find(|s| s.rtype == r.rtype) else {
            node.push(RrSet { rtype: r.rtype, ttl: r.ttl, data: vec![r.rdata] });
            self.records += 1;
            return Ok(());
        };
        // One TTL per set (RFC 2181 §5.2): the smallest.
        set.ttl = set.ttl.min(r.ttl);
        if set.data.contains(&r.rdata) {
            return Ok(());
        }
        match r.rtype {
            rtype::SOA => return Err(BadZone::SecondSoa),
            rtype::CNAME | rtype::DNAME => return Err(BadZone::SecondAlias),
            _ => set.data.push(r.rdata),
        }
        self.records += 1;
        Ok(())
    }

    /// What only the whole zone can show.
    pub(super) fn check(&self) -> Result<(), BadZone> {
        let apex = self.nodes.get(&self.apex).map(Vec::as_slice).unwrap_or_default();
        set(apex, rtype::SOA).ok_or(BadZone::NoSoa)?;
        set(apex, rtype::NS).ok_or(BadZone::NoNs)?;
        Ok(())
    }

    /// The apex in lower-case wire form.
    pub(super) fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// The records of a name; none where the name does not exist.
    pub(super) fn node(&self, name: &[u8]) -> Option<&[RrSet]> {
        self.nodes.get(name).map(Vec::as_slice)
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// The serial in its SOA record.
    pub(crate) fn serial(&self) -> u32 {
        self.soa_number(0)
    }

    /// The SOA record for a negative answer, whose TTL is the smaller of its own and MINIMUM
    /// (RFC 2308 §3).
    pub(super) fn negative(&self) -> Option<Record> {
        let soa = set(self.node(&self.apex)?, rtype::SOA)?;
        Some(Record {
            owner: self.apex.clone(),
            rtype: rtype::SOA,
            class: class::IN,
            ttl: soa.ttl.min(self.soa_number(4)),
            rdata: soa.data.first()?.clone(),
        })
    }

    /// Number `i` of the five at the end of the SOA's data.
    fn soa_number(&self, i: usize) -> u32 {
        let soa = self.node(&self.apex).and_then(|n| set(n, rtype::SOA));
        let data: &[u8] = soa.and_then(|s| s.data.first()).map(|d| &**d).unwrap_or_default();
        let from_end = 20 - 4 * i;
        let number = data.len().checked_sub(from_end).and_then(|at| data[at..].first_chunk());
        number.map_or(0, |n| u32::from_be_bytes(*n))
    }
}

/// The set of this type at a node.
pub(super) fn set(node: &[RrSet], rtype: u16) -> Option<&RrSet> {
    node.iter().find(|s| s.rtype == rtype)
}
