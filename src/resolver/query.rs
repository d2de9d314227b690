//! Questions as they arrive: parsed in place, without allocation, never with a panic.

use super::message::{Malformed, Rcode, class, rtype};
use crate::name::Name;

/// What a datagram, or the body of a stream message, turned out to be.
#[expect(clippy::large_enum_variant, reason = "a query stays on the stack")]
#[derive(Clone, Debug)]
pub enum Parsed {
    /// Not to be answered: too short for a header, or itself a response.
    Drop,
    /// To be answered by its header alone: FORMERR or NOTIMP.
    Answer(HeaderOnly),
    /// A question.
    Query(Query),
}

/// A response of twelve bytes to what could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderOnly([u8; 12]);

impl HeaderOnly {
    fn new(datagram: &[u8], rcode: Rcode) -> Self {
        let mut h = [0; 12];
        h[..2].copy_from_slice(&datagram[..2]);
        // QR, the opcode and RD as they came.
        h[2] = 0x80 | (datagram[2] & 0x79);
        h[3] = rcode.0 as u8 & 0xf;
        Self(h)
    }

    /// The whole response.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Its response code.
    pub fn rcode(&self) -> Rcode {
        Rcode(u16::from(self.0[3]))
    }
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// The message id.
    pub id: u16,
    /// The name as it came; its case is echoed.
    pub qname: Name,
    /// The name in lower case.
    pub lower: Name,
    /// The type asked.
    pub qtype: u16,
    /// The class asked.
    pub qclass: u16,
    /// Recursion desired.
    pub rd: bool,
    /// Authentic data wanted (RFC 6840 §5.7).
    pub ad: bool,
    /// Checking disabled.
    pub cd: bool,
    /// What EDNS said, where the query had it.
    pub edns: Option<Edns>,
}

/// The OPT record of a query (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP response the client takes, in bytes, as it said.
    pub payload: u16,
    /// The version; above 0 the answer is BADVERS.
    pub version: u8,
    /// DNSSEC OK.
    pub do_bit: bool,
    /// The client asks for the name server identifier (RFC 5001).
    pub nsid: bool,
    /// The client asks for structured errors: an extended error 0 without text
    /// (draft-ietf-dnsop-structured-dns-error §5.1).
    pub structured_errors: bool,
}

impl Query {
    /// A question of our own: recursion desired, no EDNS.
    pub fn new(qname: Name, qtype: u16) -> Self {
        Self {
            id: 0,
            qname,
            lower: qname.lower(),
            qtype,
            qclass: class::IN,
            rd: true,
            ad: false,
            cd: false,
            edns: None,
        }
    }

    /// Whether DNSSEC records are wanted.
    pub fn do_bit(&self) -> bool {
        self.edns.is_some_and(|e| e.do_bit)
    }
}

/// Parses a datagram, or the body of a stream message.
pub fn parse(datagram: &[u8]) -> Parsed {
    let Some(header) = datagram.first_chunk::<12>() else { return Parsed::Drop };
    if header[2] & 0x80 != 0 {
        return Parsed::Drop;
    }
    if header[2] >> 3 & 0xf != 0 {
        return Parsed::Answer(HeaderOnly::new(datagram, Rcode::NOTIMP));
    }
    match question(datagram, header) {
        Ok(query) => Parsed::Query(query),
        Err(Malformed) => Parsed::Answer(HeaderOnly::new(datagram, Rcode::FORMERR)),
    }
}

fn question(datagram: &[u8], header: &[u8; 12]) -> Result<Query, Malformed> {
    let count = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
    if count(4) != 1 {
        return Err(Malformed);
    }
    let qname = Name::from_wire(&datagram[12..])?;
    let mut at = 12 + qname.wire().len();
    let qtype = u16_at(datagram, at)?;
    let qclass = u16_at(datagram, at + 2)?;
    at += 4;
    if matches!(qtype, 0 | rtype::OPT | rtype::TSIG) || qclass == 0 {
        return Err(Malformed);
    }
    // Nothing belongs there in a query, but nothing in it is read either.
    for _ in 0..u32::from(count(6)) + u32::from(count(8)) {
        record(datagram, &mut at)?;
    }
    let mut edns = None;
    for _ in 0..count(10) {
        let r = record(datagram, &mut at)?;
        if r.rtype == rtype::OPT {
            if edns.is_some() || !r.root {
                return Err(Malformed);
            }
            let asked = options(r.data)?;
            edns = Some(Edns {
                payload: r.class,
                version: (r.ttl >> 16) as u8,
                do_bit: r.ttl & 0x8000 != 0,
                nsid: asked.nsid,
                structured_errors: asked.structured_errors,
            });
        }
    }
    Ok(Query {
        id: u16::from_be_bytes([header[0], header[1]]),
        lower: qname.lower(),
        qname,
        qtype,
        qclass,
        rd: header[2] & 1 != 0,
        ad: header[3] & 0x20 != 0,
        cd: header[3] & 0x10 != 0,
        edns,
    })
}

struct RawRecord<'a> {
    root: bool,
    rtype: u16,
    class: u16,
    ttl: u32,
    data: &'a [u8],
}

fn record<'a>(datagram: &'a [u8], at: &mut usize) -> Result<RawRecord<'a>, Malformed> {
    let root = datagram.get(*at) == Some(&0);
    // Owners are stepped over, not followed.
    loop {
        let len = usize::from(*datagram.get(*at).ok_or(Malformed)?);
        *at += 1;
        match len {
            0 => break,
            0xc0..=0xff => {
                *at += 1;
                break;
            }
            1..=63 => *at += len,
            _ => return Err(Malformed),
        }
    }
    let (rtype, class) = (u16_at(datagram, *at)?, u16_at(datagram, *at + 2)?);
    let ttl = u32::from(u16_at(datagram, *at + 4)?) << 16 | u32::from(u16_at(datagram, *at + 6)?);
    let len = usize::from(u16_at(datagram, *at + 8)?);
    *at += 10 + len;
    let data = datagram.get(*at - len..*at).ok_or(Malformed)?;
    Ok(RawRecord { root, rtype, class, ttl, data })
}

/// What the options of a query ask for.
#[derive(Default)]
struct Wishes {
    nsid: bool,
    structured_errors: bool,
}

fn options(mut options: &[u8]) -> Result<Wishes, Malformed> {
    let mut wishes = Wishes::default();
    while !options.is_empty() {
        let (code, len) = (u16_at(options, 0)?, usize::from(u16_at(options, 2)?));
        let data = options.get(4..4 + len).ok_or(Malformed)?;
        wishes.nsid |= code == 3;
        wishes.structured_errors |= code == 15 && data == [0, 0];
        options = &options[4 + len..];
    }
    Ok(wishes)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let b = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
    Ok(u16::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resolver::corpus::{mutant, samples};

    const PLAIN: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03WwW\x04test\0\0\x01\0\x01";

    fn with(at: usize, byte: u8) -> Vec<u8> {
        let mut v = PLAIN.to_vec();
        v[at] = byte;
        v
    }

    fn with_opts(opts: &[&[u8]]) -> Vec<u8> {
        let mut v = with(11, opts.len() as u8);
        v.extend(opts.concat());
        v
    }

    fn rcode(datagram: &[u8]) -> Option<Rcode> {
        match parse(datagram) {
            Parsed::Answer(a) => Some(a.rcode()),
            _ => None,
        }
    }

    #[test]
    fn a_plain_question() {
        let Parsed::Query(q) = parse(PLAIN) else { panic!("not a query") };
        assert_eq!((q.id, q.qtype, q.qclass, q.rd, q.cd, q.ad), (0x1234, 1, 1, true, false, false));
        assert_eq!(q.qname.to_string(), "WwW.test");
        assert_eq!(q.lower.to_string(), "www.test");
        assert_eq!(q.edns, None);
    }

    #[test]
    fn an_opt_record_anywhere_in_additional() {
        let opt = b"\0\0\x29\x10\x00\0\0\x80\0\0\x04\0\x03\0\0";
        let other = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04";
        let tsig = b"\0\0\xfa\0\xff\0\0\0\0\0\0";
        for all in [&[&opt[..]][..], &[other, opt], &[opt, other], &[opt, tsig]] {
            let Parsed::Query(q) = parse(&with_opts(all)) else { panic!("not a query") };
            let edns = Edns {
                payload: 4096,
                version: 0,
                do_bit: true,
                nsid: true,
                structured_errors: false,
            };
            assert_eq!(q.edns, Some(edns));
        }
    }

    #[test]
    fn an_extended_error_without_text_asks_for_structured_ones() {
        let asks = |option: &[u8]| {
            let mut opt = b"\0\0\x29\x10\x00\0\0\0\0\0".to_vec();
            opt.push(option.len() as u8);
            opt.extend(option);
            match parse(&with_opts(&[&opt])) {
                Parsed::Query(q) => q.edns.map(|e| e.structured_errors),
                _ => None,
            }
        };
        assert_eq!(asks(b"\0\x0f\0\x02\0\0"), Some(true));
        assert_eq!(asks(b"\0\x03\0\0\0\x0f\0\x02\0\0"), Some(true));
        for not in [&b"\0\x0f\0\x02\0\x01"[..], b"\0\x0f\0\x03\0\0x", b"\0\x0f\0\0", b""] {
            assert_eq!(asks(not), Some(false), "{not:?}");
        }
        assert_eq!(asks(b"\0\x0f\0\x02\0"), None);
    }

    #[test]
    fn what_is_dropped() {
        for bad in [&b""[..], b"\0\0\0", &PLAIN[..11], &with(2, 0x81)] {
            assert!(matches!(parse(bad), Parsed::Drop), "{bad:?}");
        }
    }

    #[test]
    fn what_is_refused_by_its_header_alone() {
        let opt: &[u8] = b"\0\0\x29\x10\x00\0\0\0\0\0\0";
        let cases: &[(Vec<u8>, Rcode)] = &[
            (with(2, 0x21), Rcode::NOTIMP),
            (with(2, 0x29), Rcode::NOTIMP),
            (with(5, 0), Rcode::FORMERR),
            (with(5, 2), Rcode::FORMERR),
            (with(12, 0xc0), Rcode::FORMERR),
            (with(12, 64), Rcode::FORMERR),
            (with(12, 60), Rcode::FORMERR),
            (with(23, 41), Rcode::FORMERR),
            (with(7, 1), Rcode::FORMERR),
            (PLAIN[..12].to_vec(), Rcode::FORMERR),
            (PLAIN[..PLAIN.len() - 1].to_vec(), Rcode::FORMERR),
            (with_opts(&[opt, opt]), Rcode::FORMERR),
            (with_opts(&[b"\x01a\0\0\x29\x10\x00\0\0\0\0\0\0"]), Rcode::FORMERR),
            (with_opts(&[b"\0\0\x29\x10\x00\0\0\0\0\0\x03\0\x03\0"]), Rcode::FORMERR),
            (with_opts(&[b"\0\0\x29\x10\x00\0\0\0\0\0\x04\0\x03\0\x01"]), Rcode::FORMERR),
        ];
        for (datagram, expected) in cases {
            assert_eq!(rcode(datagram), Some(*expected), "{datagram:02x?}");
            let Parsed::Answer(a) = parse(datagram) else { unreachable!() };
            assert_eq!(a.wire()[..2], datagram[..2]);
            assert_eq!(a.wire()[2], 0x80 | (datagram[2] & 0x79));
            assert_eq!(a.wire()[4..], [0; 8]);
        }
    }

    #[test]
    fn names_at_the_limits() {
        let long = |n: usize| {
            let mut v = PLAIN[..12].to_vec();
            for len in [63, 63, 63, n] {
                v.push(len as u8);
                v.extend(vec![b'a'; len]);
            }
            v.extend(b"\0\0\x01\0\x01");
            v
        };
        assert!(matches!(parse(&long(61)), Parsed::Query(q) if q.qname.wire().len() == 255));
        assert_eq!(rcode(&long(62)), Some(Rcode::FORMERR));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes: Vec<u8>) {
            parse(&bytes);
        }

        #[test]
        fn any_question_with_any_tail_is_parsed_without_panic(
            head in 0usize..PLAIN.len(), counts: [u8; 3], tail: Vec<u8>,
        ) {
            let mut v = PLAIN[..head].to_vec();
            for (i, c) in counts.into_iter().enumerate() {
                if let Some(b) = v.get_mut(7 + 2 * i) { *b = c % 4; }
            }
            v.extend(tail);
            parse(&v);
        }
    }

    #[test]
    fn the_corpus_is_parsed_as_it_says() {
        for s in samples() {
            let expected = s.rcode.map(Rcode);
            match parse(&s.wire) {
                Parsed::Drop => assert_eq!(expected, None, "{}", s.name),
                Parsed::Answer(a) => assert_eq!(expected, Some(a.rcode()), "{}", s.name),
                Parsed::Query(_) => {
                    assert!(expected.is_some_and(|r| r != Rcode::FORMERR), "{}", s.name);
                }
            }
        }
    }

    #[test]
    fn fuzz() {
        let samples = samples();
        bolero::check!().with_iterations(20_000).for_each(|input: &[u8]| {
            let mut v = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
            v.extend_from_slice(input);
            for message in [v, mutant(&samples, input)] {
                if let Parsed::Query(q) = parse(&message) {
                    assert_eq!(q.lower, q.qname.lower());
                }
            }
        });
    }
}
