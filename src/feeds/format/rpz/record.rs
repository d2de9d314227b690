//! Records of a policy zone and what they mean: the same for a text and for a transfer.

use std::sync::Arc;

use super::{
    super::{Options, Reason},
    owner::below,
};
use crate::{
    name::Name,
    policy::{Action, LocalRecord, Trigger},
};

/// The first label of an owner whose TXT record says what the law wants known of the rule at the
/// rest of the name.
pub const COMPANION_LABEL: &[u8] = b"\x0a_tracegate";

/// A record of a policy zone.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// In lower case.
    pub owner: &'a Name,
    /// The type.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// The data, names in it uncompressed.
    pub rdata: &'a [u8],
}

/// What a TXT record beside a rule says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// Where the record stands.
    pub line: u64,
    /// The rule's trigger.
    pub trigger: Trigger,
    /// The strings, each `field=value`.
    pub strings: Vec<Box<[u8]>>,
}

/// What a record is to policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A rule, or one record more of a rule's local data.
    Rule(Trigger, Action),
    /// What the law wants known of the rule with this trigger: the strings of a TXT record, each
    /// `key=value`.
    Companion(Trigger, Vec<Box<[u8]>>),
    /// The zone's SOA and its serial.
    Soa(u32),
    /// Nothing: what a zone has to be one.
    Nothing,
}

/// Types by number (IANA, DNS parameters).
pub(super) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const DNAME: u16 = 39;
    /// DS, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, CDS, CDNSKEY, ZONEMD: a signed policy zone has
    /// them, and they are no rules (RPZ §3).
    pub(crate) const DNSSEC: [u16; 9] = [43, 46, 47, 48, 50, 51, 59, 60, 63];
    /// OPT and the types from which on numbers are of questions and transactions only.
    pub(crate) const OPT: u16 = 41;
    pub(crate) const META: std::ops::RangeInclusive<u16> = 128..=255;
}

/// What a record of the zone `apex` means.
///
/// # Errors
/// When it is no rule and should be one.
pub fn meaning(apex: &Name, record: Record<'_>, options: &Options) -> Result<Meaning, Reason> {
    if record.rtype == rtype::SOA {
        return soa(apex, &record);
    }
    if rtype::DNSSEC.contains(&record.rtype) {
        return Ok(Meaning::Nothing);
    }
    let Some(relative) = below(apex, record.owner)? else {
        return match record.rtype {
            rtype::CNAME => {
                Err(Reason::syntax("a CNAME at the zone's own name; `*` lists every name"))
            }
            _ => Ok(Meaning::Nothing),
        };
    };
    if record.rtype == rtype::TXT
        && let Some(rest) = relative.name.wire().strip_prefix(COMPANION_LABEL)
    {
        let strings = strings(record.rdata).ok_or_else(|| Reason::syntax("broken strings"))?;
        return Ok(Meaning::Companion(super::trigger(&Name::from_checked(rest))?, strings));
    }
    let trigger = relative.trigger()?;
    let action = match record.rtype {
        rtype::CNAME => alias(apex, &relative.name, record.rdata)?,
        _ => local_data(&record, options)?,
    };
    Ok(Meaning::Rule(trigger, action))
}

fn soa(apex: &Name, record: &Record<'_>) -> Result<Meaning, Reason> {
    if record.owner != apex {
        return Err(Reason::new("out-of-zone", format!("an SOA that is not the zone's, {apex}")));
    }
    let numbers =
        record.rdata.len().checked_sub(20).and_then(|at| record.rdata[at..].first_chunk());
    numbers
        .map(|n| Meaning::Soa(u32::from_be_bytes(*n)))
        .ok_or_else(|| Reason::syntax("a short SOA"))
}

/// The action of an alias (RPZ §3): `target` in wire form, upper case allowed.
fn alias(apex: &Name, owner: &Name, target: &[u8]) -> Result<Action, Reason> {
    let target = Name::from_wire(target).map_err(|_| Reason::bad_name("the alias is no name"))?;
    action_of(apex, owner, &target.lower())
}

/// The action of an alias to `target`, in lower case, at `owner`, relative to the apex.
pub(super) fn action_of(apex: &Name, owner: &Name, target: &Name) -> Result<Action, Reason> {
    match target.wire() {
        b"\0" => return Ok(Action::Nxdomain),
        b"\x01*\0" => return Ok(Action::Nodata),
        b"\x0crpz-passthru\0" => return Ok(Action::Passthru),
        b"\x08rpz-drop\0" => return Ok(Action::Drop),
        b"\x0crpz-tcp-only\0" => return Ok(Action::TcpOnly),
        // What PASSTHRU was written like in the first drafts.
        wire if wire[0] != 0 && wire == owner.wire() && !wire.starts_with(b"\x01*") => {
            return Ok(Action::Passthru);
        }
        _ => {}
    }
    if let Ok(Some(relative)) = below(apex, target)
        && apex.wire().len() > 1
    {
        let text = format!(
            "the alias leads to {target}, into the policy zone: an absolute name such as {}. was meant",
            relative.name
        );
        return Err(Reason::new("relative-target", text));
    }
    let wire = target.wire();
    let last = target.labels().last().unwrap_or_default();
    if last.starts_with(b"rpz-") {
        return Err(Reason::new("unknown-action", format!("{target} is no action that is known")));
    }
    Ok(match wire {
        [1, b'*', rest @ ..] => Action::CnameBelow(rest.into()),
        _ => Action::Cname(wire.into()),
    })
}

fn local_data(record: &Record<'_>, options: &Options) -> Result<Action, Reason> {
    let reason = match record.rtype {
        rtype::DNAME => "a DNAME cannot be a rule (RPZ §3)",
        rtype::NS => "an NS record cannot be a rule: a policy zone delegates nothing",
        t if may_be_local_data(t) => {
            let ttl = record.ttl.min(options.ttl_max_s);
            let record = LocalRecord { rtype: record.rtype, ttl, rdata: record.rdata.into() };
            return Ok(Action::LocalData(Arc::new([record])));
        }
        _ => "a type that no record has",
    };
    Err(Reason::new("bad-type", reason))
}

/// Whether a rule can answer with records of this type.
pub(crate) fn may_be_local_data(number: u16) -> bool {
    let never = [0, rtype::NS, rtype::CNAME, rtype::SOA, rtype::DNAME, rtype::OPT];
    !never.contains(&number) && !rtype::META.contains(&number) && !rtype::DNSSEC.contains(&number)
}

/// The strings of a TXT record.
fn strings(mut rdata: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let mut strings = Vec::new();
    while let Some((&len, rest)) = rdata.split_first() {
        strings.push(rest.get(..usize::from(len))?.into());
        rdata = &rest[usize::from(len)..];
    }
    Some(strings)
}
