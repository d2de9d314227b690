//! What a record keeps of an answer: the columns that depend on the answer alone.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use domain::{
    base::{
        Rtype, rdata::ParseAnyRecordData, zonefile_fmt::DisplayKind, zonefile_fmt::ZonefileFmt,
    },
    dep::octseq::Parser,
    rdata::AllRecordData,
};

use super::{
    entry::Applied,
    message::{Rcode, Record, name_len, rtype},
};
use crate::name::{Name, print};
use crate::record::{AnswerData, PublicSuffixes, ResolutionTail};

/// What is known of an answer besides its records.
pub(crate) struct Facts<'a> {
    /// The name asked, in lower case.
    pub qname: &'a [u8],
    pub qtype: u16,
    pub qclass: u16,
    pub rcode: Rcode,
    /// Who answered us, as `transport://address:port`; empty for ourselves.
    pub upstream: &'a str,
    /// The rule that decided.
    pub applied: Option<&'a Applied>,
}

/// The encoded columns for an answer of `records`, with the extended errors `ede`. Presentation
/// text beyond `data_bytes_max` is cut, and says so.
pub(crate) fn encode(
    facts: &Facts<'_>,
    records: &[Record],
    ede: &[u16],
    suffixes: &PublicSuffixes,
    data_bytes_max: usize,
) -> Box<[u8]> {
    let (chain, last) = chain(facts.qname, facts.qtype, records);
    let qname = printed(facts.qname);
    let mut tail = ResolutionTail {
        registrable_domain: suffixes.registrable_domain(&qname).to_owned(),
        qname,
        qtype: facts.qtype,
        qclass: facts.qclass,
        rcode: facts.rcode.0,
        ede: ede.to_vec(),
        upstream: facts.upstream.to_owned(),
        dnssec: "not_evaluated",
        psl_version: suffixes.version().to_owned(),
        ..ResolutionTail::default()
    };
    if let Some(a) = facts.applied {
        tail.action = a.action;
        tail.rule.clone_from(&a.rule);
        tail.feed.clone_from(&a.feed);
        tail.feed_version.clone_from(&a.feed_version);
        tail.original_answers = presented(&tail.qname, a.original.iter(), data_bytes_max);
    }
    let mut others = Vec::new();
    for (i, r) in records.iter().enumerate() {
        if chain.contains(&i) {
            tail.answer_names.push(printed(&r.rdata.to_ascii_lowercase()));
            continue;
        }
        if r.owner.eq_ignore_ascii_case(&last)
            && let Some(address) = address(r)
        {
            tail.answers.push(address);
            continue;
        }
        others.push(r);
    }
    tail.answer_data = presented(&tail.qname, others.into_iter(), data_bytes_max);
    tail.encode().into()
}

/// Records in presentation form, as far as there is `room`, in bytes.
fn presented<'a>(
    qname: &str,
    mut records: impl ExactSizeIterator<Item = &'a Record>,
    mut room: usize,
) -> Vec<AnswerData> {
    let mut all = Vec::with_capacity(records.len());
    while let Some(r) = records.next() {
        let owner = printed(&r.owner.to_ascii_lowercase());
        let rdata = rdata(r.rtype, &r.rdata);
        let Some(left) = room.checked_sub(owner.len() + rdata.len()) else {
            let rest = records.len() + 1;
            all.push(AnswerData {
                owner: qname.to_owned(),
                rtype: r.rtype,
                ttl: r.ttl,
                rdata: format!("; cut: {rest} records left out"),
            });
            break;
        };
        room = left;
        all.push(AnswerData { owner, rtype: r.rtype, ttl: r.ttl, rdata });
    }
    all
}

/// The CNAME records from `qname` on, as indexes into `records` in the order of the chain, and
/// the name it ends in, in lower case.
pub(crate) fn chain(qname: &[u8], qtype: u16, records: &[Record]) -> (Vec<usize>, Vec<u8>) {
    let (mut chain, mut last) = (Vec::new(), qname.to_vec());
    if matches!(qtype, rtype::CNAME | rtype::ANY) {
        return (chain, last);
    }
    while let Some(i) = records
        .iter()
        .position(|r| r.rtype == rtype::CNAME && r.owner.eq_ignore_ascii_case(&last))
        .filter(|i| !chain.contains(i))
    {
        chain.push(i);
        last = records[i].rdata.to_ascii_lowercase();
    }
    (chain, last)
}

/// The addresses at the end of the chain and the chain's names, for callers that want to connect.
pub(crate) fn addresses(
    qname: &Name,
    qtype: u16,
    records: &[Record],
) -> (Vec<IpAddr>, Vec<String>) {
    let (chain, last) = chain(qname.lower().wire(), qtype, records);
    let names = chain.iter().map(|&i| printed(&records[i].rdata.to_ascii_lowercase())).collect();
    let at_end = records.iter().filter(|r| r.owner.eq_ignore_ascii_case(&last));
    (at_end.filter_map(address).collect(), names)
}

/// The address in an A or AAAA record.
pub(crate) fn address(r: &Record) -> Option<IpAddr> {
    match r.rtype {
        rtype::A => <[u8; 4]>::try_from(&*r.rdata).ok().map(|b| Ipv4Addr::from(b).into()),
        rtype::AAAA => <[u8; 16]>::try_from(&*r.rdata).ok().map(|b| Ipv6Addr::from(b).into()),
        _ => None,
    }
}

fn printed(wire: &[u8]) -> String {
    let mut s = String::with_capacity(wire.len());
    print(wire, &mut s);
    s
}

/// Record data in presentation form. Names in it are printed as everywhere else: lower case,
/// without the trailing dot.
fn rdata(rtype: u16, rdata: &[u8]) -> String {
    let mut out = String::new();
    let numbers = match rtype {
        rtype::NS | rtype::CNAME | rtype::PTR | rtype::DNAME | rtype::SOA => 0,
        rtype::MX => 1,
        rtype::SRV => 3,
        _ => return other_rdata(rtype, rdata),
    };
    let (head, mut rest) = rdata.split_at((2 * numbers).min(rdata.len()));
    let separate = |out: &mut String| {
        if !out.is_empty() {
            out.push(' ');
        }
    };
    for n in head.chunks_exact(2) {
        separate(&mut out);
        out.push_str(&u16::from_be_bytes([n[0], n[1]]).to_string());
    }
    for _ in 0..if rtype == rtype::SOA { 2 } else { 1 } {
        let (name, after) = rest.split_at(name_len(rest));
        separate(&mut out);
        print(&name.to_ascii_lowercase(), &mut out);
        rest = after;
    }
    for n in rest.chunks_exact(4) {
        separate(&mut out);
        out.push_str(&u32::from_be_bytes([n[0], n[1], n[2], n[3]]).to_string());
    }
    out
}

fn other_rdata(rtype: u16, rdata: &[u8]) -> String {
    let mut out = String::new();
    let mut parser = Parser::from_ref(rdata);
    let parsed = AllRecordData::<&[u8], domain::base::ParsedName<&[u8]>>::parse_any_rdata(
        Rtype::from_int(rtype),
        &mut parser,
    );
    if let Ok(parsed) = parsed
        && parser.remaining() == 0
        && !matches!(parsed, AllRecordData::Unknown(_))
        && write!(out, "{}", parsed.display_zonefile(DisplayKind::Simple)).is_ok()
    {
        return out;
    }
    // Whatever it is, RFC 3597 §5 has a form for it.
    format!(r"\# {} {}", rdata.len(), hex::encode(rdata))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        clock::Timestamp,
        record::{Flow, Head, LaneId, Resolution, Row, SchemaId, Table, rowbinary::Reader},
        resolver::message::class,
    };

    fn record(owner: &str, rtype: u16, rdata: &[u8]) -> Record {
        let owner = Name::from_text(owner).unwrap().wire().into();
        Record { owner, rtype, class: class::IN, ttl: 60, rdata: rdata.into() }
    }

    /// The tail as it stands in a row, read back by its schema.
    fn columns(records: &[Record], room: usize) -> Value {
        let facts = Facts {
            qname: b"\x03www\x04demo\x04test\0",
            qtype: 1,
            qclass: 1,
            rcode: Rcode::NOERROR,
            upstream: "udp://192.0.2.53:53",
            applied: None,
        };
        let tail = encode(&facts, records, &[22], &PublicSuffixes::load(None).unwrap(), room);
        let resolution = Resolution {
            client: "[::1]:1".parse().unwrap(),
            client_key: "",
            server: "[::1]:53".parse().unwrap(),
            transport: "udp",
            flags: 0,
            latency_us: 0,
            min_ttl: 0,
            cache: "miss",
            flow: Flow::NONE,
            tail: &tail,
        };
        let node = "n1".parse().unwrap();
        let head = Head { node: &node, lane: LaneId(0), seq: 0, ts: Timestamp::ZERO };
        let mut row = Vec::new();
        resolution.encode(&head, &mut row);
        let mut reader = Reader(&row);
        let row = SchemaId::newest(Table::Resolutions).read_json(&mut reader).unwrap();
        assert!(reader.is_empty());
        Value::Object(row)
    }

    #[test]
    fn a_chain_with_addresses_and_other_data() {
        let row = columns(
            &[
                record("WWW.demo.test", rtype::CNAME, b"\x01A\x04demo\x04test\0"),
                record("a.demo.test", rtype::CNAME, b"\x01b\x07example\0"),
                record("b.EXAMPLE", rtype::A, &[192, 0, 2, 1]),
                record("b.example", rtype::AAAA, &[0x20; 16]),
                record("other.test", rtype::A, &[192, 0, 2, 2]),
                record("b.example", rtype::MX, b"\0\x0a\x04MAIL\x04test\0"),
                record("b.example", rtype::TXT, b"\x03a\"b\x02\0\xff"),
                record("b.example", 65_280, b"\x01\x02"),
            ],
            16_384,
        );
        assert_eq!(row["registrable_domain"], "demo.test");
        assert_eq!(row["qname"], "www.demo.test");
        assert_eq!(row["ede"], json!([22]));
        assert_eq!(row["answer_names"], json!(["a.demo.test", "b.example"]));
        let v6 = "2020:2020:2020:2020:2020:2020:2020:2020";
        assert_eq!(row["answers"], json!(["192.0.2.1", v6]));
        let data =
            |owner, rtype, rdata| json!({"owner": owner, "type": rtype, "ttl": 60, "rdata": rdata});
        assert_eq!(
            row["answer_data"],
            json!([
                data("other.test", 1, "192.0.2.2"),
                data("b.example", 15, "10 mail.test"),
                data("b.example", 16, r#""a\"b" "\000\255""#),
                data("b.example", 65_280, r"\# 2 0102"),
            ])
        );
        assert_eq!(
            (&row["upstream"], &row["dnssec"]),
            (&json!("udp://192.0.2.53:53"), &json!("not_evaluated"))
        );
    }

    #[test]
    fn presentation_forms() {
        let check = |rtype, wire: &[u8], expected| assert_eq!(rdata(rtype, wire), expected);
        check(rtype::NS, b"\x02NS\x04test\0", "ns.test");
        check(rtype::PTR, b"\0", ".");
        check(rtype::SRV, b"\0\x01\0\x02\0\x50\x01a\0", "1 2 80 a");
        let numbers = [0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        check(rtype::SOA, &[b"\x01a\0\x01B\0", &numbers[..]].concat(), "a b 7 1 2 3 4");
        check(257, b"\0\x05issueca.test", r#"0 issue "ca.test""#);
        check(rtype::DS, &[1, 2, 13, 2, 0xab], "258 13 2 AB");
        // Data that its own type does not explain.
        check(257, b"\0", r"\# 1 00");
        check(rtype::TXT, b"\x05a", r"\# 2 0561");
    }

    #[test]
    fn a_loop_of_aliases_ends() {
        let row = columns(
            &[
                record("www.demo.test", rtype::CNAME, b"\x01a\x04demo\x04test\0"),
                record("a.demo.test", rtype::CNAME, b"\x03www\x04demo\x04test\0"),
            ],
            16_384,
        );
        assert_eq!(row["answer_names"], json!(["a.demo.test", "www.demo.test"]));
    }

    #[test]
    fn text_beyond_the_limit_is_cut_and_says_so() {
        let many =
            vec![record("www.demo.test", rtype::TXT, &[b"\x63", &[b'x'; 99][..]].concat()); 9];
        let row = columns(&many, 300);
        let data = row["answer_data"].as_array().unwrap();
        assert_eq!(data.len(), 3);
        assert_eq!(data[2]["rdata"], "; cut: 7 records left out");
        assert_eq!(columns(&many, 9 * 114)["answer_data"].as_array().unwrap().len(), 9);
        assert_eq!(columns(&many, 9 * 114 - 1)["answer_data"].as_array().unwrap().len(), 9);
    }
}
