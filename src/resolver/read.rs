//! Responses read back into records: what an upstream sent, and what we made ourselves.

use super::message::{HEADER_BYTES, Malformed, Rcode, Record, names_in, rtype};
use crate::name::Name;

/// A message's records, its OPT record taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    pub answer: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
}

/// A response as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub truncated: bool,
    pub rcode: Rcode,
    pub qname: Name,
    pub qtype: u16,
    pub qclass: u16,
    pub sections: Sections,
    /// Extended DNS errors in its OPT record.
    pub ede: Vec<u16>,
}

/// Extended errors of one response that are read; more are left out.
const EDE_MAX: usize = 4;

/// Reads a response with exactly one question. Names in record data are decompressed, TTLs above
/// 2^31 - 1 are zero (RFC 2181 §8).
///
/// # Errors
/// When it is malformed.
pub(crate) fn response(message: &[u8]) -> Result<Response, Malformed> {
    let header = message.first_chunk::<HEADER_BYTES>().ok_or(Malformed)?;
    let count = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
    if header[2] & 0xf8 != 0x80 || count(4) != 1 {
        return Err(Malformed);
    }
    let mut at = HEADER_BYTES;
    let qname = Name::from_message(message, &mut at)?;
    let mut reader = Reader { message, at };
    let mut response = Response {
        truncated: header[2] & 2 != 0,
        rcode: Rcode(u16::from(header[3] & 0xf)),
        qname,
        qtype: reader.u16()?,
        qclass: reader.u16()?,
        sections: Sections::default(),
        ede: Vec::new(),
    };
    for _ in 0..count(6) {
        response.sections.answer.push(reader.record()?);
    }
    for _ in 0..count(8) {
        response.sections.authority.push(reader.record()?);
    }
    for _ in 0..count(10) {
        let record = reader.record()?;
        if record.rtype == rtype::OPT {
            response.rcode.0 |= ((record.ttl >> 24) as u16) << 4;
            extended_errors(&record.rdata, &mut response.ede);
        } else {
            response.sections.additional.push(record);
        }
    }
    Ok(response)
}

fn extended_errors(mut options: &[u8], ede: &mut Vec<u16>) {
    while let Some(&[c1, c0, l1, l0]) = options.first_chunk() {
        let len = usize::from(u16::from_be_bytes([l1, l0]));
        let Some(data) = options.get(4..4 + len) else { return };
        if u16::from_be_bytes([c1, c0]) == 15
            && let Some(code) = data.first_chunk()
            && ede.len() < EDE_MAX
        {
            ede.push(u16::from_be_bytes(*code));
        }
        options = &options[4 + len..];
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.message.get(self.at..self.at + n).ok_or(Malformed)?;
        self.at += n;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn record(&mut self) -> Result<Record, Malformed> {
        let owner = Name::from_message(self.message, &mut self.at)?;
        let (rtype, class) = (self.u16()?, self.u16()?);
        let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let ttl = if ttl >> 31 == 0 || rtype == rtype::OPT { ttl } else { 0 };
        let len = usize::from(self.u16()?);
        let end = self.at + len;
        if end > self.message.len() {
            return Err(Malformed);
        }
        let rdata = self.rdata(rtype, end)?;
        Ok(Record { owner: owner.wire().into(), rtype, class, ttl, rdata })
    }

    fn rdata(&mut self, rtype: u16, end: usize) -> Result<Box<[u8]>, Malformed> {
        let mut out = Vec::with_capacity(end - self.at);
        let layout =
            if rtype == rtype::NAPTR { Some((self.naptr_head()?, 1)) } else { names_in(rtype) };
        if let Some((skip, names)) = layout {
            out.extend_from_slice(self.take(skip)?);
            for _ in 0..names {
                out.extend_from_slice(Name::from_message(self.message, &mut self.at)?.wire());
            }
        }
        let rest = end.checked_sub(self.at).ok_or(Malformed)?;
        // SOA has five numbers behind its names, SIG its signature; the others nothing.
        let extra = match rtype {
            rtype::SOA => rest == 20,
            24 | 30 => true,
            _ => layout.is_none() || rest == 0,
        };
        let fixed = match rtype {
            rtype::A => rest == 4,
            rtype::AAAA => rest == 16,
            _ => true,
        };
        if !extra || !fixed {
            return Err(Malformed);
        }
        out.extend_from_slice(self.take(rest)?);
        Ok(out.into())
    }

    /// Bytes before the replacement of a NAPTR record (RFC 3403 §4.1).
    fn naptr_head(&self) -> Result<usize, Malformed> {
        let mut len = 4;
        for _ in 0..3 {
            len += 1 + usize::from(*self.message.get(self.at + len).ok_or(Malformed)?);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resolver::{
        corpus::{mutant, samples},
        message::{Builder, class},
    };

    fn written() -> Vec<u8> {
        let record = |owner: &[u8], rtype, rdata: &[u8]| Record {
            owner: owner.into(),
            rtype,
            class: class::IN,
            ttl: 60,
            rdata: rdata.into(),
        };
        let mut b = Builder::new(b"\x01a\x04test\0", rtype::MX, class::IN);
        b.section(
            1,
            &[
                record(b"\x01a\x04test\0", rtype::MX, b"\0\x0a\x01m\x04test\0"),
                record(b"\x01a\x04test\0", rtype::NAPTR, b"\0\x01\0\x02\x01s\0\0\x01m\x04test\0"),
            ],
        );
        b.section(2, &[record(b"\x04test\0", rtype::SOA, &[&[0; 2][..], &[1; 20]].concat())]);
        b.wire[2] = 0x81;
        b.wire
    }

    #[test]
    fn what_is_written_is_read() {
        let wire = written();
        let r = response(&wire).unwrap();
        assert_eq!((r.qname.to_string().as_str(), r.qtype, r.truncated), ("a.test", 15, false));
        assert_eq!(*r.sections.answer[0].rdata, *b"\0\x0a\x01m\x04test\0");
        assert_eq!(*r.sections.answer[1].rdata, *b"\0\x01\0\x02\x01s\0\0\x01m\x04test\0");
        assert_eq!(r.sections.authority[0].rdata.len(), 22);
        for cut in 0..wire.len() {
            assert!(response(&wire[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn extended_errors_and_codes() {
        let mut wire = written();
        wire[11] = 1;
        wire.extend(b"\0\0\x29\x04\xd0\x01\0\0\0\0\x10\0\x0f\0\x06\0\x06text\0\x0f\0\x02\0\x16");
        let r = response(&wire).unwrap();
        assert_eq!((r.rcode, r.ede), (Rcode::BADVERS, vec![6, 22]));
    }

    #[test]
    fn fuzz() {
        let good = written();
        let samples = samples();
        bolero::check!().with_iterations(20_000).with_max_len(256).for_each(|input: &[u8]| {
            // Behind a header and a question, and over a good response.
            let mut behind = b"\0\0\x81\0\0\x01\0\x02\0\x01\0\x01\x01a\0\0\x01\0\x01".to_vec();
            behind.extend_from_slice(input);
            let over: Vec<u8> =
                good.iter().enumerate().map(|(i, b)| b ^ input.get(i).unwrap_or(&0)).collect();
            // And over the corpus, as if its queries were responses.
            let mut mutant = mutant(&samples, input);
            mutant[2] |= 0x80;
            for message in [input, &behind, &over, &mutant] {
                if let Ok(r) = response(message) {
                    // A record takes at least 11 bytes of its message.
                    let read = r.sections.answer.len() + r.sections.authority.len();
                    assert!(read <= message.len() / 11 && r.ede.len() <= EDE_MAX);
                }
            }
        });
    }

    proptest! {
        #[test]
        fn flipped_bytes_are_read_without_panic(flips: Vec<(usize, u8)>) {
            let mut wire = written();
            for (at, byte) in flips {
                let at = at % wire.len();
                wire[at] = byte;
            }
            if let Ok(r) = response(&wire) {
                // Whatever was read can be written again.
                let mut b = Builder::new(r.qname.wire(), r.qtype, r.qclass);
                b.section(1, &r.sections.answer);
                b.section(2, &r.sections.authority);
            }
        }
    }
}
