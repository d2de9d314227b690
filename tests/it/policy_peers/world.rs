//! The world behind every party: an upstream that knows names below `zz`, whoever asks.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record},
};

use crate::forward::{Upstream, a, asked_name, cname, name, reply, soa};

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const TXT: u16 = 16;
const AAAA: u16 = 28;

/// An upstream with that world.
///
/// | name | what it has |
/// |---|---|
/// | `nx…` | nothing: it does not exist |
/// | `to-X`, X with `_` for dots | an alias to X |
/// | `via-X` | an alias to `to-X` |
/// | `ip6….…` | the address 2001:db8::6 |
/// | `ipN.…` | the address 192.0.2.N |
/// | `twoN.…` | the addresses 192.0.2.N and 192.0.2.200 |
/// | any other | the address 192.0.2.1, an IPv6 address, a text |
pub(super) fn upstream() -> Upstream {
    Upstream::new(|q, _| Some(answer(q)))
}

fn answer(q: &Message) -> Message {
    let asked = asked_name(q).to_lowercase();
    let qtype = u16::from(q.queries[0].query_type());
    let mut m = reply(q, ResponseCode::NoError);
    let apex = matches!(asked.as_str(), "zz." | ".");
    if apex && qtype == SOA {
        m.answers = vec![soa(&asked, 60, 60)];
    } else if apex && qtype == NS {
        let ns = hickory_proto::rr::rdata::NS(name("ns.zz."));
        m.answers = vec![Record::from_rdata(name(&asked), 300, RData::NS(ns))];
    } else if asked.starts_with("nx") {
        m.metadata.response_code = ResponseCode::NXDomain;
        m.authorities = vec![soa("zz.", 60, 60)];
    } else {
        follow(&mut m, asked, qtype);
        if m.answers.last().is_none_or(|r| r.record_type() == hickory_proto::rr::RecordType::CNAME)
            && qtype != 5
        {
            m.authorities = vec![soa("zz.", 60, 60)];
        }
    }
    m
}

fn follow(m: &mut Message, mut at: String, qtype: u16) {
    loop {
        let to = if let Some(rest) = at.strip_prefix("via-") {
            format!("to-{rest}")
        } else if let Some(rest) = at.strip_prefix("to-") {
            let (label, _) = rest.split_once('.').unwrap();
            format!("{}.", label.replace('_', "."))
        } else {
            break;
        };
        m.answers.push(cname(&at, &to));
        if qtype == 5 {
            return;
        }
        at = to;
    }
    if at.starts_with("nx") {
        m.metadata.response_code = ResponseCode::NXDomain;
        return;
    }
    let number = |prefix: &str| {
        let digits = at.strip_prefix(prefix)?;
        digits.split('.').next()?.parse::<u8>().ok()
    };
    match qtype {
        A => match (number("ip"), number("two")) {
            (Some(n), _) => m.answers.push(a(&at, 300, n)),
            (_, Some(n)) => m.answers.extend([a(&at, 300, n), a(&at, 300, 200)]),
            _ => m.answers.push(a(&at, 300, 1)),
        },
        AAAA => {
            let v6 = if at.starts_with("ip6") { "2001:db8::6" } else { "2001:db8::1" };
            let v6 = v6.parse().unwrap();
            m.answers.push(Record::from_rdata(name(&at), 300, RData::AAAA(v6)));
        }
        TXT => {
            let txt = hickory_proto::rr::rdata::TXT::new(vec!["text".into()]);
            m.answers.push(Record::from_rdata(name(&at), 300, RData::TXT(txt)));
        }
        _ => {}
    }
}
