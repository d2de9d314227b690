//! Actions as answers.
//!
//! | action | answer |
//! |---|---|
//! | NXDOMAIN, NODATA | the code, and an SOA in the additional section that names feed and version |
//! | local data | the rule's records of the type asked, under the name asked; NODATA for others |
//! | alias | a CNAME, and what it leads to before policy; `*.garden` puts the name asked before it; NODATA for HTTPS and SVCB |
//! | DROP | nothing; the record says so |
//! | TCP-only | TC and no records over UDP, the answer over TCP |
//!
//! Where an alias led to the name that the rule is about, the records up to there stay in front, as
//! BIND has it. The SOA is in the additional section, as BIND has it too: in the authority section it
//! would have to be an ancestor of the name, and resolvers behind us would keep the answer by it
//! although the rule may be lifted at any time.

use super::words;
use crate::{
    config::Policy,
    name::Name,
    policy::{Action, Hit, LocalRecord, PolicySet, Tier},
    resolver::{
        Context, Transport,
        entry::{Answer, Manner},
        message::{Rcode, Record, class, rtype},
        query::Query,
    },
};

/// A question while it is decided.
pub(super) struct Case<'a> {
    pub q: &'a Query,
    pub ctx: &'a Context,
    pub set: &'a PolicySet,
    /// No rule applies to the client.
    pub alone: bool,
}

/// What becomes of an answer.
pub(super) enum Effect {
    /// It stands; the column `action`.
    Stand(&'static str),
    /// It is replaced; the column `action`, and what by.
    Replace(&'static str, With),
}

/// What replaces an answer.
pub(super) enum With {
    /// The name does not exist.
    Nxdomain,
    /// These records; NODATA when there are none.
    Records(Vec<LocalRecord>),
    /// An alias.
    Alias(To),
    /// No records, in this manner.
    Nothing(Manner),
}

/// Where an alias leads.
pub(super) enum To {
    /// To this name, in wire form.
    Name(Box<[u8]>),
    /// To the name asked before this one.
    Below(Box<[u8]>),
}

/// What a rule that acts does to an answer.
pub(super) fn effect(hit: &Hit, case: &Case<'_>, rules: &Policy) -> Effect {
    let qtype = case.q.qtype;
    match (&hit.action, hit.tier) {
        (Action::Passthru, _) => Effect::Stand("passthru"),
        (_, Tier::Hint) => Effect::Stand("hint"),
        (_, Tier::Interstitial) => match gateway(qtype, rules) {
            Some(records) => Effect::Replace("gateway", With::Records(records)),
            None => Effect::Stand("interstitial"),
        },
        (action, Tier::Block) => block(action, qtype, case.ctx.transport),
    }
}

fn block(action: &Action, qtype: u16, transport: Transport) -> Effect {
    let with = match (action, transport) {
        (Action::Nxdomain, _) => With::Nxdomain,
        (Action::Nodata, _) => With::Records(Vec::new()),
        (Action::LocalData(records), _) => {
            let asked = |r: &&LocalRecord| r.rtype == qtype || qtype == rtype::ANY;
            With::Records(records.iter().filter(asked).cloned().collect())
        }
        // What the other name's service says is not said of this one: its hints and parameters would
        // lead past whoever is to be seen there.
        (Action::Cname(_) | Action::CnameBelow(_), _)
            if matches!(qtype, rtype::HTTPS | rtype::SVCB) =>
        {
            With::Records(Vec::new())
        }
        (Action::Cname(to), _) => With::Alias(To::Name((**to).into())),
        (Action::CnameBelow(to), _) => With::Alias(To::Below((**to).into())),
        (Action::Drop, _) => With::Nothing(Manner::Silent),
        (Action::TcpOnly, Transport::Udp) => With::Nothing(Manner::Truncated),
        (Action::TcpOnly, Transport::Tcp) | (Action::Passthru, _) => {
            return Effect::Stand(action.name());
        }
    };
    Effect::Replace(action.name(), with)
}

/// The gateway's addresses as records of this type; none where the answer stands. Without an
/// address of the family asked, and for HTTPS and SVCB, whose hints would lead past the gateway,
/// the answer is NODATA.
fn gateway(qtype: u16, rules: &Policy) -> Option<Vec<LocalRecord>> {
    let takes_part = matches!(qtype, rtype::A | rtype::AAAA | rtype::HTTPS | rtype::SVCB);
    if rules.gateway_addresses.is_empty() || !takes_part {
        return None;
    }
    let records = rules.gateway_addresses.iter().filter_map(|address| {
        let rdata: Box<[u8]> = match (qtype, address.to_canonical()) {
            (rtype::A, std::net::IpAddr::V4(a)) => a.octets().into(),
            (rtype::AAAA, std::net::IpAddr::V6(a)) => a.octets().into(),
            _ => return None,
        };
        Some(LocalRecord { rtype: qtype, ttl: rules.ttl_s, rdata })
    });
    Some(records.collect())
}

/// Puts what replaces the answer for `name` into `answer`; where the alias leads that remains to be
/// followed.
pub(super) fn fill(
    answer: &mut Answer,
    with: With,
    name: &Name,
    q: &Query,
    hit: &Hit,
    rules: &Policy,
) -> Option<Name> {
    let record = |rtype, ttl, rdata: Box<[u8]>| Record {
        owner: name.wire().into(),
        rtype,
        class: class::IN,
        ttl,
        rdata,
    };
    let error = |answer: &mut Answer, forged| answer.ede.push(words::error(hit, forged, rules));
    match with {
        With::Nothing(manner) => answer.manner = manner,
        With::Nxdomain => {
            answer.rcode = Rcode::NXDOMAIN;
            answer.sections.additional.push(soa(hit, rules));
            error(answer, false);
        }
        With::Records(records) if records.is_empty() => {
            answer.sections.additional.push(soa(hit, rules));
            error(answer, false);
        }
        With::Records(records) => {
            let records = records.into_iter().map(|r| record(r.rtype, r.ttl, r.rdata));
            answer.sections.answer.extend(records);
            error(answer, true);
        }
        With::Alias(to) => {
            let target = match &to {
                To::Name(to) => Name::from_wire(to).ok(),
                To::Below(to) => name.replace_suffix(name.wire().len() - 1, to),
            };
            let Some(target) = target else {
                // A name that does not fit: still blocked.
                answer.rcode = Rcode::YXDOMAIN;
                error(answer, false);
                return None;
            };
            answer.sections.answer.push(record(rtype::CNAME, rules.ttl_s, target.wire().into()));
            error(answer, true);
            let follow = !matches!(q.qtype, rtype::CNAME | rtype::ANY);
            return follow.then(|| target.lower());
        }
    }
    None
}

/// The SOA of a negative answer: the feed as its owner, the feed's version as its serial.
fn soa(hit: &Hit, rules: &Policy) -> Record {
    let owner = Name::from_text(&hit.feed).unwrap_or(Name::ROOT).lower();
    let mut rdata = owner.wire().to_vec();
    rdata.push(0);
    let ttl = rules.ttl_s;
    for number in [hit.feed_version as u32, ttl, ttl, ttl, ttl] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    let owner = owner.wire().into();
    Record { owner, rtype: rtype::SOA, class: class::IN, ttl, rdata: rdata.into() }
}
