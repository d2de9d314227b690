//! A reply of a name server, read from its bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use domain::{
    base::{
        CanonicalOrd as _, Message, Name, Record, Rtype, ToName as _,
        iana::{Class, OptRcode},
        message::RecordSection,
        name::{FlattenInto as _, ParsedName},
        opt::AllOptData,
    },
    rdata::AllRecordData,
};

/// A name that stands on its own.
pub type OwnName = Name<Bytes>;

/// What a record says.
pub type Data = AllRecordData<Bytes, OwnName>;

/// A record that stands on its own.
pub type Rr = Record<OwnName, Data>;

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The RCODE, extended where there is EDNS.
    pub rcode: OptRcode,
    /// AA.
    pub is_authoritative: bool,
    /// TC.
    pub is_truncated: bool,
    /// AD.
    pub is_authentic: bool,
    /// Whether there is EDNS.
    pub has_edns: bool,
    /// The answer section.
    pub answer: Vec<Rr>,
    /// The authority section.
    pub authority: Vec<Rr>,
    /// The additional section, without EDNS.
    pub additional: Vec<Rr>,
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no DNS reply: {0}")]
pub struct BadReply(&'static str);

impl Reply {
    /// Reads a message. Records of other classes than IN are left out.
    ///
    /// # Errors
    /// What is wrong, when any part of the message cannot be read.
    pub fn read(wire: &[u8]) -> Result<Self, BadReply> {
        let bytes = Bytes::copy_from_slice(wire);
        let message = Message::from_octets(bytes).map_err(|_| BadReply("short header"))?;
        let header = message.header();
        if !header.qr() {
            return Err(BadReply("a question"));
        }
        let opt = message.opt();
        let rcode = opt.as_ref().map_or_else(|| header.rcode().into(), |opt| opt.rcode(header));
        // An option that cannot be read makes a message that cannot.
        if let Some(opt) = &opt {
            let mut options = opt.opt().iter::<AllOptData<_, _>>();
            options.try_for_each(|o| o.map(drop)).map_err(|_| BadReply("bad option"))?;
        }
        let bad = |_| BadReply("bad record");
        let (_, answer, authority, additional) = message.sections().map_err(bad)?;
        Ok(Self {
            rcode,
            is_authoritative: header.aa(),
            is_truncated: header.tc(),
            is_authentic: header.ad(),
            has_edns: opt.is_some(),
            answer: records(answer)?,
            authority: records(authority)?,
            additional: records(additional)?,
        })
    }

    /// The records of one owner and type in the answer.
    pub fn answers(&self, owner: &OwnName, rtype: Rtype) -> Vec<&Rr> {
        of(&self.answer, owner, rtype)
    }

    /// Whether it says with authority that there is something, or nothing, at the name asked.
    pub fn is_final(&self) -> bool {
        self.is_authoritative && matches!(self.rcode, OptRcode::NOERROR | OptRcode::NXDOMAIN)
    }

    /// The owner of the SOA in the authority section.
    pub fn soa_owner(&self) -> Option<&OwnName> {
        self.authority.iter().find(|r| r.rtype() == Rtype::SOA).map(Rr::owner)
    }

    /// The zone that a referral leads to: below `zone`, at or above `name`.
    pub fn referral(&self, zone: &OwnName, name: &OwnName) -> Option<&OwnName> {
        if self.rcode != OptRcode::NOERROR || !self.answer.is_empty() || self.soa_owner().is_some()
        {
            return None;
        }
        let leads = |owner: &&OwnName| {
            owner.ends_with(zone) && !zone.name_eq(owner) && name.ends_with(owner)
        };
        self.authority.iter().filter(|r| r.rtype() == Rtype::NS).map(Rr::owner).find(leads)
    }

    /// The addresses of a name in the additional section.
    pub fn glue(&self, name: &OwnName) -> Vec<IpAddr> {
        addresses(self.additional.iter().filter(|r| r.owner().name_eq(name)))
    }
}

/// The records of one owner and type.
pub fn of<'a>(records: &'a [Rr], owner: &OwnName, rtype: Rtype) -> Vec<&'a Rr> {
    records.iter().filter(|r| r.rtype() == rtype && r.owner().name_eq(owner)).collect()
}

/// The addresses that records name, in order.
pub fn addresses<'a>(records: impl Iterator<Item = &'a Rr>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = records
        .filter_map(|r| match r.data() {
            AllRecordData::A(a) => Some(Ipv4Addr::from(a.addr().octets()).into()),
            AllRecordData::Aaaa(a) => Some(Ipv6Addr::from(a.addr().octets()).into()),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The names that records lead to, in lower case and in order: of servers, aliases, exchanges.
pub fn targets<'a>(records: impl IntoIterator<Item = &'a Rr>) -> Vec<OwnName> {
    let mut found: Vec<OwnName> = records
        .into_iter()
        .filter_map(|r| match r.data() {
            AllRecordData::Ns(ns) => Some(ns.nsdname()),
            AllRecordData::Cname(cname) => Some(cname.cname()),
            AllRecordData::Mx(mx) => Some(mx.exchange()),
            _ => None,
        })
        .map(lower)
        .collect();
    found.sort_by(|a, b| a.canonical_cmp(b));
    found.dedup();
    found
}

/// A name in lower case.
pub fn lower(name: &OwnName) -> OwnName {
    name.to_canonical_name()
}

fn records(section: RecordSection<'_, Bytes>) -> Result<Vec<Rr>, BadReply> {
    let mut found = Vec::new();
    for record in section {
        let record = record.map_err(|_| BadReply("bad record"))?;
        if record.rtype() == Rtype::OPT || record.class() != Class::IN {
            continue;
        }
        let record = record
            .into_any_record::<AllRecordData<Bytes, ParsedName<Bytes>>>()
            .map_err(|_| BadReply("bad record data"))?;
        found.push(record.flatten_into());
    }
    Ok(found)
}
