//! Messages of a transfer read: header, question, records with their data uncompressed.

use crate::name::{Malformed, Name};

/// Record types that transfers know by name (IANA "Resource Record (RR) TYPEs").
#[expect(missing_docs, reason = "the names are the documentation")]
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const TSIG: u16 = 250;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
}

/// Class IN.
pub const CLASS_IN: u16 = 1;

/// The fixed head of every message, in bytes (RFC 1035 §4.1.1).
pub const HEADER_BYTES: usize = 12;

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What ties an answer to its question.
    pub id: u16,
    flags: u16,
    /// Entries of question, answer, authority and additional.
    pub counts: [u16; 4],
}

impl Header {
    /// Whether it is a response.
    pub const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// QUERY is 0, NOTIFY is 4.
    pub const fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    /// AA.
    pub const fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    /// TC.
    pub const fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// The response code without what EDNS adds.
    pub const fn rcode(&self) -> u8 {
        (self.flags & 0xf) as u8
    }
}

/// The entry of a question section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// In lower case.
    pub name: Name,
    /// The type asked for.
    pub qtype: u16,
    /// The class asked for.
    pub qclass: u16,
}

/// A record in its message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// In lower case.
    pub owner: Name,
    /// The type.
    pub rtype: u16,
    /// The class.
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    message: &'a [u8],
    at: usize,
    len: usize,
}

impl Record<'_> {
    /// Puts the data in `out`, names in it in lower case and uncompressed, in all types whose
    /// names a sender may compress (RFC 3597 §4).
    ///
    /// # Errors
    /// When a name in it is malformed or does not end with the data.
    pub fn rdata(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        out.clear();
        let (mut at, end) = (self.at, self.at + self.len);
        let message = self.message.get(..end).ok_or(Malformed)?;
        let Some((before, names)) = names_in(self.rtype) else {
            out.extend_from_slice(&message[at..]);
            return Ok(());
        };
        out.extend_from_slice(message.get(at..at + before).ok_or(Malformed)?);
        at += before;
        for _ in 0..names {
            out.extend_from_slice(Name::from_message(message, &mut at)?.lower().wire());
        }
        out.extend_from_slice(message.get(at..).ok_or(Malformed)?);
        Ok(())
    }
}

/// Names inside record data: bytes before the first, and how many follow one another.
pub(super) const fn names_in(rtype: u16) -> Option<(usize, usize)> {
    Some(match rtype {
        // NS MD MF CNAME MB MG MR PTR NXT DNAME
        2..=5 | 7..=9 | 12 | 30 | 39 => (0, 1),
        // SOA MINFO RP
        6 | 14 | 17 => (0, 2),
        // MX AFSDB RT KX
        15 | 18 | 21 | 36 => (2, 1),
        // SIG
        24 => (18, 1),
        // PX
        26 => (2, 2),
        // SRV
        33 => (6, 1),
        _ => return None,
    })
}

/// Reads a message from its beginning to its end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The head of `message`, and what reads on behind it.
    ///
    /// # Errors
    /// When the message is shorter than a head.
    pub fn new(message: &'a [u8]) -> Result<(Header, Self), Malformed> {
        let mut reader = Self { message, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        Ok((Header { id, flags, counts }, reader))
    }

    /// The next entry of the question section.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn question(&mut self) -> Result<Question, Malformed> {
        let name = Name::from_message(self.message, &mut self.at)?.lower();
        Ok(Question { name, qtype: self.u16()?, qclass: self.u16()? })
    }

    /// The next record.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn record(&mut self) -> Result<Record<'a>, Malformed> {
        let owner = Name::from_message(self.message, &mut self.at)?.lower();
        let (rtype, class) = (self.u16()?, self.u16()?);
        let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let len = usize::from(self.u16()?);
        let at = self.at;
        self.at += len;
        if self.at > self.message.len() {
            return Err(Malformed);
        }
        // The first bit is reserved and read as zero (RFC 2181 §8).
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        Ok(Record { owner, rtype, class, ttl, message: self.message, at, len })
    }

    /// How far reading has come, in bytes.
    pub const fn position(&self) -> usize {
        self.at
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        let bytes = self.message.get(self.at..self.at + 2).ok_or(Malformed)?;
        self.at += 2;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

/// The end of the last record that the head counts, in bytes.
///
/// # Errors
/// When the message is malformed before it.
pub fn counted_end(message: &[u8]) -> Result<usize, Malformed> {
    let (header, mut reader) = Reader::new(message)?;
    for _ in 0..header.counts[0] {
        reader.question()?;
    }
    let records: u32 = header.counts[1..].iter().map(|n| u32::from(*n)).sum();
    for _ in 0..records {
        reader.record()?;
    }
    Ok(reader.position())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_compressed_data() {
        let mut message = vec![0, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(b"\x03RPZ\0\0\x06\0\x01");
        message
            .extend_from_slice(b"\x01a\xc0\x0c\0\x0f\0\x01\0\0\x01\x2c\0\x06\0\x0a\x01M\xc0\x0c");
        let (header, mut reader) = Reader::new(&message).unwrap();
        assert!(header.is_response() && header.is_authoritative() && !header.is_truncated());
        assert_eq!((header.id, header.opcode(), header.rcode()), (7, 0, 0));
        assert_eq!(reader.question().unwrap().name.to_string(), "rpz");
        let record = reader.record().unwrap();
        assert_eq!((record.owner.to_string(), record.ttl), ("a.rpz".to_owned(), 300));
        let mut data = Vec::new();
        record.rdata(&mut data).unwrap();
        assert_eq!(data, b"\0\x0a\x01m\x03rpz\0");
        assert_eq!(reader.position(), message.len());
        assert_eq!(counted_end(&message), Ok(message.len()));
        assert_eq!(counted_end(&message[..message.len() - 1]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(message: Vec<u8>, rtype in 0u16..50) {
            if let Ok((_, mut reader)) = Reader::new(&message) {
                let mut data = Vec::new();
                while let Ok(record) = reader.record() {
                    let as_type = Record { rtype, ..record };
                    let _read = as_type.rdata(&mut data);
                }
            }
            let _end = counted_end(&message);
        }
    }
}
