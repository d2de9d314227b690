//! What an upstream sent, judged before it is kept or passed on.
//!
//! Only records that answer the question stay: the chain of aliases from the name asked, the
//! records asked for at its end, and an authority section that concerns names of that chain.
//! Everything else is what a forged or careless answer would smuggle in.

use super::{
    entry::{Answer, Fault},
    message::{Ede, Extended, Malformed, Rcode, Record, class, rtype},
    query::Query,
    read::{self, Sections},
    upstream::{Failure, Received},
};
use crate::name::{Name, at_or_below};

/// How long answers may be kept, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub ttl_max: u32,
    pub negative_ttl_max: u32,
    pub failure_ttl: u32,
    /// Names in one chain of aliases.
    pub chain_max: usize,
}

/// An answer and how long it may be kept.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub answer: Answer,
    /// Seconds; 0 is not kept.
    pub keep_s: u32,
    /// The answer is our failure to get one (RFC 9520).
    pub failed: bool,
}

/// The answer when nobody gave one.
pub(crate) fn failure(why: Failure, limits: &Limits) -> Judged {
    let (ede, text) = match why {
        Failure::Timeout => (Ede::NO_REACHABLE_AUTHORITY, "no upstream answered in time"),
        Failure::Network => (Ede::NETWORK_ERROR, "no upstream could be reached"),
        Failure::Malformed => (Ede::NETWORK_ERROR, "the upstream's answer is malformed"),
    };
    failed(ede, text, limits)
}

fn failed(ede: Ede, text: &'static str, limits: &Limits) -> Judged {
    let answer = Answer::error(Rcode::SERVFAIL, ede, text);
    Judged { answer, keep_s: limits.failure_ttl, failed: true }
}

/// Judges what was received for `q`.
pub(crate) fn received(q: &Query, r: &Received, limits: &Limits) -> Judged {
    let judged = match read::response(&r.wire) {
        Ok(response) => response_to(q, response, limits),
        Err(Malformed) => failure(Failure::Malformed, limits),
    };
    let answer = Answer { upstream: r.from.clone(), ..judged.answer };
    Judged { answer, ..judged }
}

fn response_to(q: &Query, r: read::Response, limits: &Limits) -> Judged {
    let same = r.qname.lower() == q.lower && r.qtype == q.qtype && r.qclass == q.qclass;
    if !same || r.truncated {
        return failure(Failure::Malformed, limits);
    }
    let mut ede: Vec<_> = r.ede.iter().map(|code| Extended::new(Ede(*code), "")).collect();
    if !matches!(r.rcode, Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN) {
        let text = "every upstream failed or refused";
        let mut judged = failed(Ede::NO_REACHABLE_AUTHORITY, text, limits);
        judged.answer.fault = fault(q, &r);
        judged.answer.ede.append(&mut ede);
        return judged;
    }
    let Some((answer, last, answered)) = relevant(q, r.sections.answer, limits.chain_max) else {
        return failure(Failure::Malformed, limits);
    };
    let authority: Vec<_> = r
        .sections
        .authority
        .into_iter()
        .filter(|a| a.class == class::IN && concerns(a, q, &last))
        .collect();
    let soa = authority.iter().find(|a| a.rtype == rtype::SOA).and_then(negative_ttl);
    let negative = !answered || r.rcode == Rcode::NXDOMAIN;
    // NXDOMAIN with NS records and no SOA is an answer (RFC 2308 §2.1).
    let empty = r.rcode == Rcode::NOERROR && answer.is_empty() && soa.is_none();
    if empty && authority.iter().any(|a| a.rtype == rtype::NS) {
        let text = "the upstream gave a referral";
        return failed(Ede::NO_REACHABLE_AUTHORITY, text, limits);
    }
    let keep_s = match (negative, soa) {
        (true, Some(ttl)) => ttl.min(limits.negative_ttl_max).min(smallest(&answer)),
        // Without SOA there is no telling how long (RFC 2308 §5).
        (true, None) => 0,
        (false, _) => smallest(&answer).min(limits.ttl_max),
    };
    let mut sections = Sections { answer, authority, additional: Vec::new() };
    for a in sections.answer.iter_mut().chain(&mut sections.authority) {
        a.ttl = a.ttl.min(if negative { keep_s.max(1) } else { limits.ttl_max });
    }
    let answer = Answer { sections, ede, ..Answer::bare(r.rcode) };
    Judged { answer, keep_s, failed: false }
}

/// Extended errors that say that validation failed (RFC 8914 §4, and 27 of RFC 9276).
const VALIDATION: [u16; 10] = [1, 2, 5, 6, 7, 8, 9, 10, 11, 12];
const NSEC3_ITERATIONS: u16 = 27;

/// Whose fault a failure is. Servers that validate mostly send no extended errors by default:
/// without any, SERVFAIL may mean that an answer is bogus.
fn fault(q: &Query, r: &read::Response) -> Fault {
    let is_of_validation = |e: &u16| VALIDATION.contains(e) || *e == NSEC3_ITERATIONS;
    let servfail = r.rcode == Rcode::SERVFAIL;
    match servfail && r.ede.iter().any(is_of_validation) {
        true => Fault::Bogus,
        false if q.cd => Fault::Unchecked,
        false if servfail && r.ede.is_empty() => Fault::Unsaid,
        false => Fault::Other,
    }
}

fn smallest(records: &[Record]) -> u32 {
    records.iter().map(|r| r.ttl).min().unwrap_or(u32::MAX)
}

/// The TTL of a negative answer (RFC 2308 §5).
fn negative_ttl(soa: &Record) -> Option<u32> {
    let minimum = soa.rdata.last_chunk::<4>()?;
    Some(soa.ttl.min(u32::from_be_bytes(*minimum)))
}

/// Whether an authority record is about a name of the question or of the end of its chain.
fn concerns(a: &Record, q: &Query, last: &Name) -> bool {
    let owner = a.owner.to_ascii_lowercase();
    match a.rtype {
        rtype::SOA | rtype::NS | rtype::DS => {
            at_or_below(last.wire(), &owner) || at_or_below(q.lower.wire(), &owner)
        }
        // Proofs of absence, for those who check them.
        rtype::NSEC | rtype::NSEC3 | rtype::RRSIG => q.do_bit(),
        _ => false,
    }
}

/// The records of the answer section that answer `q`, in the order of the chain; its last name;
/// and whether the records asked for are there. None when the chain is not sane.
fn relevant(
    q: &Query,
    mut records: Vec<Record>,
    chain_max: usize,
) -> Option<(Vec<Record>, Name, bool)> {
    records.retain(|r| r.class == class::IN);
    let (mut kept, mut name) = (Vec::new(), q.lower);
    for _ in 0..=chain_max {
        let is_here = |r: &Record| r.owner.eq_ignore_ascii_case(name.wire());
        let wanted = |r: &Record| r.rtype == q.qtype || q.qtype == rtype::ANY;
        if records.iter().any(|r| is_here(r) && wanted(r)) {
            kept.extend(
                records.extract_if(.., |r| is_here(r) && (wanted(r) || signs(r, q.qtype, q))),
            );
            return Some((kept, name, true));
        }
        let dname = records.iter().position(|r| {
            r.rtype == rtype::DNAME
                && r.owner.len() < name.wire().len()
                && at_or_below(name.wire(), &r.owner.to_ascii_lowercase())
        });
        if let Some(i) = dname {
            let owner = records[i].owner.clone();
            kept.push(records.remove(i));
            kept.extend(records.extract_if(.., |r| r.owner == owner && signs(r, rtype::DNAME, q)));
        }
        let is_here = |r: &Record| r.owner.eq_ignore_ascii_case(name.wire());
        let Some(i) = records.iter().position(|r| is_here(r) && r.rtype == rtype::CNAME) else {
            return Some((kept, name, false));
        };
        let target = Name::from_wire(&records[i].rdata).ok()?.lower();
        kept.push(records.remove(i));
        kept.extend(records.extract_if(.., |r| is_here(r) && signs(r, rtype::CNAME, q)));
        name = target;
    }
    None
}

/// Whether `r` is the signature over records of `rtype`, and wanted.
fn signs(r: &Record, rtype: u16, q: &Query) -> bool {
    q.do_bit()
        && r.rtype == rtype::RRSIG
        && r.rdata.first_chunk::<2>() == Some(&rtype.to_be_bytes())
}
