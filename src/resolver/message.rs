//! Messages as they leave: records written with compression (RFC 1035 §4.1.4), and the numbers
//! of DNS that the resolver knows by name.

use std::borrow::Cow;

pub(crate) use crate::name::Malformed;
use crate::name::suffixes;

/// A response code, extended by EDNS where it is above 15 (RFC 6895 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error.
    pub const NOERROR: Self = Self(0);
    /// The question could not be parsed.
    pub const FORMERR: Self = Self(1);
    /// We failed.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// Not implemented.
    pub const NOTIMP: Self = Self(4);
    /// Refused by policy.
    pub const REFUSED: Self = Self(5);
    /// A name that a DNAME makes is too long (RFC 6672 §2.2).
    pub const YXDOMAIN: Self = Self(6);
    /// An EDNS version we do not speak (RFC 6891 §6.1.3).
    pub const BADVERS: Self = Self(16);
}

/// An extended DNS error (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede(pub u16);

impl Ede {
    /// None of the others.
    pub const OTHER: Self = Self(0);
    /// The answer was replaced by policy.
    pub const FORGED: Self = Self(4);
    /// A failure kept from an earlier question.
    pub const CACHED_ERROR: Self = Self(13);
    /// Not fully operational yet.
    pub const NOT_READY: Self = Self(14);
    /// The name is on a list of the operator of this resolver.
    pub const BLOCKED: Self = Self(15);
    /// The name is on a list that somebody outside demands.
    pub const CENSORED: Self = Self(16);
    /// The name is on a list that the client asked for.
    pub const FILTERED: Self = Self(17);
    /// The client may not ask.
    pub const PROHIBITED: Self = Self(18);
    /// Recursion was not desired or is not offered, and the name is not ours.
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    /// The operation or type is not supported.
    pub const NOT_SUPPORTED: Self = Self(21);
    /// No server that could answer was reached.
    pub const NO_REACHABLE_AUTHORITY: Self = Self(22);
    /// Talking to another server failed.
    pub const NETWORK_ERROR: Self = Self(23);
    /// A zone that we should serve could not be loaded.
    pub const INVALID_DATA: Self = Self(24);
}

/// An extended DNS error with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extended {
    pub code: Ede,
    /// For people; empty for none.
    pub text: Cow<'static, str>,
    /// For clients that ask for structured errors (draft-ietf-dnsop-structured-dns-error): JSON in
    /// place of `text`; empty for none.
    pub structured: Box<str>,
}

impl Extended {
    /// One with a text of ours, empty for none.
    pub(crate) fn new(code: Ede, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text), structured: Box::default() }
    }
}

/// Record types (IANA "Resource Record (RR) TYPEs").
#[expect(missing_docs, reason = "the names are the documentation")]
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const NAPTR: u16 = 35;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const NSEC3: u16 = 50;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    /// The first of the meta types and question types (RFC 6895 §3.1: 128 to 255).
    pub const META_FIRST: u16 = 128;
    pub const TSIG: u16 = 250;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// Classes.
#[expect(missing_docs, reason = "the names are the documentation")]
pub mod class {
    pub const IN: u16 = 1;
    pub const CH: u16 = 3;
    pub const HS: u16 = 4;
    pub const ANY: u16 = 255;
}

/// The largest message we make, without its OPT record, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 65_535 - 512;

/// Offsets of names remembered for compression; more are not compressed, so that writing a large
/// message stays linear.
const COMPRESSION_TARGETS_MAX: usize = 64;

/// The header without flags and counts, and the question.
pub(crate) const HEADER_BYTES: usize = 12;

/// One resource record, its data uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The owner in wire form.
    pub owner: Box<[u8]>,
    pub rtype: u16,
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    pub rdata: Box<[u8]>,
}

impl Record {
    /// The same, `age` seconds later.
    pub(crate) fn aged(&self, age: u32) -> Self {
        Self { ttl: self.ttl.saturating_sub(age), ..self.clone() }
    }
}

/// Names inside record data: bytes before the first, and how many follow one another.
pub(crate) fn names_in(rtype: u16) -> Option<(usize, usize)> {
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

/// Whether names in the data may be compressed: the types of RFC 1035 alone (RFC 3597 §4).
const fn compresses(rtype: u16) -> bool {
    matches!(rtype, 2..=9 | 12 | 14 | 15)
}

/// Writes a message without its OPT record.
pub(crate) struct Builder {
    /// The message so far.
    pub wire: Vec<u8>,
    /// Where the TTLs of its records are.
    pub ttls: Vec<u16>,
    targets: Vec<u16>,
    /// A record did not fit.
    pub full: bool,
}

impl Builder {
    /// A message with this question; the header's id and flags are zero.
    pub(crate) fn new(qname: &[u8], qtype: u16, qclass: u16) -> Self {
        let mut b = Self {
            wire: Vec::with_capacity(512),
            ttls: Vec::new(),
            targets: Vec::new(),
            full: false,
        };
        b.wire.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        b.name(qname, true);
        b.u16(qtype);
        b.u16(qclass);
        b
    }

    /// Appends `records` to `section` (1 answer, 2 authority, 3 additional), in that order.
    pub(crate) fn section(&mut self, section: usize, records: &[Record]) {
        let mut count = 0_u16;
        for r in records {
            let (wire, ttls, targets) = (self.wire.len(), self.ttls.len(), self.targets.len());
            self.record(r);
            if self.full || self.wire.len() > MESSAGE_BYTES_MAX {
                self.wire.truncate(wire);
                self.ttls.truncate(ttls);
                self.targets.truncate(targets);
                self.full = true;
                break;
            }
            count += 1;
        }
        self.wire[4 + 2 * section..6 + 2 * section].copy_from_slice(&count.to_be_bytes());
    }

    fn record(&mut self, r: &Record) {
        self.name(&r.owner, true);
        self.u16(r.rtype);
        self.u16(r.class);
        // Below MESSAGE_BYTES_MAX before the record, which is short up to here.
        self.ttls.push(self.wire.len() as u16);
        self.wire.extend_from_slice(&r.ttl.to_be_bytes());
        let length_at = self.wire.len();
        self.u16(0);
        match names_in(r.rtype) {
            Some((skip, names)) if compresses(r.rtype) => {
                let (head, mut rest) = r.rdata.split_at(skip.min(r.rdata.len()));
                self.wire.extend_from_slice(head);
                for _ in 0..names {
                    let len = name_len(rest);
                    self.name(&rest[..len], true);
                    rest = &rest[len..];
                }
                self.wire.extend_from_slice(rest);
            }
            _ => self.wire.extend_from_slice(&r.rdata),
        }
        let len = self.wire.len() - length_at - 2;
        self.wire[length_at..length_at + 2].copy_from_slice(&(len as u16).to_be_bytes());
    }

    fn u16(&mut self, v: u16) {
        self.wire.extend_from_slice(&v.to_be_bytes());
    }

    fn name(&mut self, name: &[u8], compress: bool) {
        for suffix in suffixes(name) {
            if suffix.len() == 1 {
                break;
            }
            let found = self.targets.iter().find(|&&t| self.is_at(suffix, usize::from(t)));
            if let Some(&target) = found.filter(|_| compress) {
                self.u16(0xc000 | target);
                return;
            }
            if self.targets.len() < COMPRESSION_TARGETS_MAX && self.wire.len() < 0x4000 {
                self.targets.push(self.wire.len() as u16);
            }
            self.wire.extend_from_slice(&suffix[..=usize::from(suffix[0])]);
        }
        self.wire.push(0);
    }

    /// Whether the name written at `at` is `name`, in any case.
    fn is_at(&self, name: &[u8], mut at: usize) -> bool {
        for suffix in suffixes(name) {
            // What we wrote ourselves is well-formed; a name still being written ends early.
            while let [high, low] = self.wire.get(at..at + 2).unwrap_or_default()
                && high & 0xc0 == 0xc0
            {
                at = usize::from(high & 0x3f) << 8 | usize::from(*low);
            }
            let len = 1 + usize::from(suffix[0]);
            let same = self.wire.get(at..at + len);
            if !same.is_some_and(|w| w.eq_ignore_ascii_case(&suffix[..len])) {
                return false;
            }
            at += len;
        }
        true
    }
}

/// How many bytes the checked name at the beginning of `wire` takes.
pub(crate) fn name_len(wire: &[u8]) -> usize {
    suffixes(wire).map(|s| 1 + usize::from(s[0])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn record(owner: &str, rtype: u16, rdata: &[u8]) -> Record {
        let owner = Name::from_text(owner).unwrap().wire().into();
        Record { owner, rtype, class: class::IN, ttl: 60, rdata: rdata.into() }
    }

    #[test]
    fn names_are_compressed_in_any_case() {
        let mut b = Builder::new(b"\x03www\x04test\0", rtype::CNAME, class::IN);
        b.section(1, &[record("WWW.test", rtype::CNAME, b"\x01b\x04TEST\0")]);
        b.section(2, &[record("b.test", rtype::NS, b"\x02ns\x01b\x04test\0")]);
        b.section(3, &[record("ns.b.test", rtype::A, &[192, 0, 2, 1])]);
        let question = b"\0\0\0\0\0\x01\0\x01\0\x01\0\x01\x03www\x04test\0\0\x05\0\x01";
        let answer = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x10";
        let authority = b"\xc0\x26\0\x02\0\x01\0\0\0\x3c\0\x05\x02ns\xc0\x26";
        let additional = b"\xc0\x36\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
        assert_eq!(b.wire, [&question[..], answer, authority, additional].concat());
        assert_eq!(b.ttls, [32, 48, 65]);
        assert!(!b.full);
    }

    #[test]
    fn a_message_that_is_too_large_is_cut_at_a_record() {
        let mut b = Builder::new(b"\0", rtype::TXT, class::IN);
        let records = vec![record("a.test", rtype::TXT, &[0; 20_000]); 5];
        b.section(1, &records);
        assert!(b.full && b.wire.len() <= MESSAGE_BYTES_MAX);
        assert_eq!((b.wire[6..8].to_vec(), b.ttls.len()), (vec![0, 3], 3));
    }
}
