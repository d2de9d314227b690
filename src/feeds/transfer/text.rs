//! Records as lines of zone text, in one way only: what is equal is equal byte for byte.
//!
//! A line is `owner TTL IN TYPE data`, one space between its parts. The owner is in lower case and
//! relative to the zone (`@` for its apex), or absolute where it lies outside of it. Labels hold
//! letters, digits, `-`, `_` and `*`; every other byte is `\DDD`, so that no character has a
//! meaning of its own (RFC 1035 §5.1). Names in data are absolute. Types of [`rtype`] are written
//! in their usual form; the rest, and what does not have that form, as RFC 3597 §5 has it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::wire::{names_in, rtype};
use crate::name::{Malformed, Name, at_or_below};

/// Writes the line of a record, with its end. Names in `rdata` are uncompressed.
pub fn write_line(
    out: &mut Vec<u8>,
    zone: &Name,
    owner: &Name,
    ttl: u32,
    rtype: u16,
    rdata: &[u8],
) {
    write_owner(out, zone, owner);
    out.push(b' ');
    number(out, u64::from(ttl));
    out.push(b' ');
    write_data(out, rtype, rdata);
    out.push(b'\n');
}

/// Writes an owner, relative to the zone where it lies in it.
pub(super) fn write_owner(out: &mut Vec<u8>, zone: &Name, owner: &Name) {
    let (whole, suffix) = (owner.wire(), zone.wire());
    if whole == suffix {
        out.push(b'@');
    } else if at_or_below(whole, suffix) {
        labels(out, &whole[..whole.len() - suffix.len()]);
        out.pop();
    } else {
        write_name(out, whole);
    }
}

/// Writes `IN TYPE data`.
pub(super) fn write_data(out: &mut Vec<u8>, rtype: u16, rdata: &[u8]) {
    out.extend_from_slice(b"IN ");
    let start = out.len();
    if native(out, rtype, rdata).is_none() {
        out.truncate(start);
        out.extend_from_slice(b"TYPE");
        number(out, u64::from(rtype));
        out.extend_from_slice(br" \# ");
        number(out, rdata.len() as u64);
        if !rdata.is_empty() {
            out.push(b' ');
            out.extend_from_slice(hex::encode(rdata).as_bytes());
        }
    }
}

/// Writes an absolute name.
fn write_name(out: &mut Vec<u8>, wire: &[u8]) {
    if wire.len() == 1 {
        out.push(b'.');
    }
    labels(out, &wire[..wire.len() - 1]);
}

/// Writes labels, each with a dot behind it.
fn labels(out: &mut Vec<u8>, mut wire: &[u8]) {
    while let Some((&len, rest)) = wire.split_first() {
        let (label, rest) = rest.split_at(usize::from(len));
        for &b in label {
            if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*') {
                out.push(b);
            } else {
                escape(out, b);
            }
        }
        out.push(b'.');
        wire = rest;
    }
}

fn escape(out: &mut Vec<u8>, b: u8) {
    out.extend_from_slice(&[b'\\', b'0' + b / 100, b'0' + b / 10 % 10, b'0' + b % 10]);
}

fn number(out: &mut Vec<u8>, n: u64) {
    let mut digits = [0; 20];
    let (mut at, mut n) = (digits.len(), n);
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// The usual form of types that have one here; none when the data does not fit it.
fn native(out: &mut Vec<u8>, rtype: u16, rdata: &[u8]) -> Option<()> {
    let name = mnemonic(rtype)?;
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    match rtype {
        rtype::A => {
            let address: [u8; 4] = rdata.try_into().ok()?;
            out.extend_from_slice(Ipv4Addr::from(address).to_string().as_bytes());
        }
        rtype::AAAA => {
            let address: [u8; 16] = rdata.try_into().ok()?;
            out.extend_from_slice(Ipv6Addr::from(address).to_string().as_bytes());
        }
        rtype::TXT => strings(out, rdata)?,
        _ => {
            let (before, count) = names_in(rtype)?;
            let mut at = before;
            for pair in rdata.get(..before)?.as_chunks::<2>().0 {
                number(out, u64::from(u16::from_be_bytes(*pair)));
                out.push(b' ');
            }
            for _ in 0..count {
                let name = Name::from_wire(rdata.get(at..)?).ok()?;
                // Only what is already in lower case has this form, or two texts would be equal.
                (name.lower() == name).then_some(())?;
                at += name.wire().len();
                write_name(out, name.wire());
                out.push(b' ');
            }
            out.pop();
            let rest = rdata.get(at..)?;
            match rtype {
                rtype::SOA => {
                    let rest: [u8; 20] = rest.try_into().ok()?;
                    for four in rest.as_chunks::<4>().0 {
                        out.push(b' ');
                        number(out, u64::from(u32::from_be_bytes(*four)));
                    }
                }
                _ => rest.is_empty().then_some(())?,
            }
        }
    }
    Some(())
}

fn strings(out: &mut Vec<u8>, mut rdata: &[u8]) -> Option<()> {
    (!rdata.is_empty()).then_some(())?;
    while let Some((&len, rest)) = rdata.split_first() {
        let (text, rest) = rest.split_at_checked(usize::from(len))?;
        out.push(b'"');
        for &b in text {
            match b {
                b'"' | b'\\' => escape(out, b),
                b' '..=b'~' => out.push(b),
                _ => escape(out, b),
            }
        }
        out.extend_from_slice(b"\" ");
        rdata = rest;
    }
    out.pop();
    Some(())
}

const MNEMONICS: [(u16, &str); 10] = [
    (rtype::A, "A"),
    (rtype::NS, "NS"),
    (rtype::CNAME, "CNAME"),
    (rtype::SOA, "SOA"),
    (rtype::PTR, "PTR"),
    (rtype::MX, "MX"),
    (rtype::TXT, "TXT"),
    (rtype::AAAA, "AAAA"),
    (rtype::SRV, "SRV"),
    (rtype::DNAME, "DNAME"),
];

fn mnemonic(rtype: u16) -> Option<&'static str> {
    MNEMONICS.iter().find(|(number, _)| *number == rtype).map(|(_, name)| *name)
}

/// A line read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// In lower case.
    pub owner: Name,
    /// Seconds.
    pub ttl: u32,
    /// The type.
    pub rtype: u16,
    /// The data, names in it uncompressed.
    pub rdata: Vec<u8>,
}

/// The parts of a line without its end: owner, TTL, and the rest from the class on.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut parts = line.splitn(3, |b| *b == b' ');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// Reads a line that [`write_line`] wrote, with or without its end.
///
/// # Errors
/// When it is not such a line.
pub fn read_line(line: &[u8], zone: &Name) -> Result<Line, Malformed> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (owner, ttl, rest) = split(line).ok_or(Malformed)?;
    let owner = match owner {
        b"@" => *zone,
        _ if owner.ends_with(b".") => name(owner)?,
        _ => {
            let relative = name(owner)?;
            let cut = relative.wire().len() - 1;
            relative.replace_suffix(cut, zone.wire()).ok_or(Malformed)?
        }
    };
    let (rtype, rdata) = data(rest)?;
    Ok(Line { owner, ttl: parse(ttl)?, rtype, rdata })
}

fn data(rest: &[u8]) -> Result<(u16, Vec<u8>), Malformed> {
    let rest = rest.strip_prefix(b"IN ").ok_or(Malformed)?;
    let space = rest.iter().position(|b| *b == b' ').ok_or(Malformed)?;
    let (kind, text) = (&rest[..space], &rest[space + 1..]);
    let known = MNEMONICS.iter().find(|(_, name)| name.as_bytes() == kind);
    let Some((rtype, _)) = known else {
        let rtype = parse(kind.strip_prefix(b"TYPE").ok_or(Malformed)?)?;
        let mut words = text.split(|b| *b == b' ');
        words.next().filter(|w| w == br"\#").ok_or(Malformed)?;
        let len: usize = parse(words.next().ok_or(Malformed)?)?;
        let bytes = hex::decode(words.next().unwrap_or_default()).map_err(|_| Malformed)?;
        return if bytes.len() == len { Ok((rtype, bytes)) } else { Err(Malformed) };
    };
    let mut out = Vec::new();
    match *rtype {
        rtype::A => out.extend_from_slice(&parse::<Ipv4Addr>(text)?.octets()),
        rtype::AAAA => out.extend_from_slice(&parse::<Ipv6Addr>(text)?.octets()),
        rtype::TXT => read_strings(text, &mut out)?,
        rtype => {
            let (before, count) = names_in(rtype).ok_or(Malformed)?;
            for (i, word) in text.split(|b| *b == b' ').enumerate() {
                if i < before / 2 {
                    out.extend_from_slice(&parse::<u16>(word)?.to_be_bytes());
                } else if i < before / 2 + count {
                    out.extend_from_slice(name(word)?.wire());
                } else {
                    out.extend_from_slice(&parse::<u32>(word)?.to_be_bytes());
                }
            }
        }
    }
    Ok((*rtype, out))
}

fn read_strings(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut bytes = text.iter().copied();
    while let Some(b) = bytes.next() {
        if b == b' ' {
            continue;
        }
        let at = out.len();
        out.push(0);
        loop {
            match bytes.next().ok_or(Malformed)? {
                b'"' => break,
                b'\\' => {
                    let mut value = 0;
                    for _ in 0..3 {
                        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(Malformed)?;
                        value = value * 10 + u16::from(digit - b'0');
                    }
                    out.push(u8::try_from(value).map_err(|_| Malformed)?);
                }
                b => out.push(b),
            }
        }
        out[at] = u8::try_from(out.len() - at - 1).map_err(|_| Malformed)?;
    }
    Ok(())
}

fn name(text: &[u8]) -> Result<Name, Malformed> {
    Name::from_text(std::str::from_utf8(text).map_err(|_| Malformed)?)
}

pub(super) fn parse<T: std::str::FromStr>(text: &[u8]) -> Result<T, Malformed> {
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone() -> Name {
        Name::from_text("rpz.example").unwrap()
    }

    fn line(owner: &Name, rtype: u16, rdata: &[u8]) -> String {
        let mut out = Vec::new();
        write_line(&mut out, &zone(), owner, 300, rtype, rdata);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_text_for_one_record() {
        let check = |owner: &str, rtype, rdata: &[u8], expected: &str| {
            let owner = Name::from_text(owner).unwrap();
            let text = line(&owner, rtype, rdata);
            assert_eq!(text, format!("{expected}\n"));
            let back = read_line(text.as_bytes(), &zone()).unwrap();
            assert_eq!(back, Line { owner, ttl: 300, rtype, rdata: rdata.to_vec() });
        };
        check("bad.test.rpz.example", 5, b"\0", "bad.test 300 IN CNAME .");
        check("*.bad.rpz.example", 5, b"\x01*\0", "*.bad 300 IN CNAME *.");
        check("rpz.example", 2, b"\x02ns\0", "@ 300 IN NS ns.");
        check("elsewhere.test", 5, b"\0", "elsewhere.test. 300 IN CNAME .");
        check(r"a\.b\;c.rpz.example", 1, &[192, 0, 2, 1], r"a\046b\059c 300 IN A 192.0.2.1");
        check("a.rpz.example", 28, &[0; 16], "a 300 IN AAAA ::");
        check("a.rpz.example", 1, &[1, 2, 3], r"a 300 IN TYPE1 \# 3 010203");
        check("a.rpz.example", 5, b"\x01A\0", r"a 300 IN TYPE5 \# 3 014100");
        check("a.rpz.example", 5, b"\0x", r"a 300 IN TYPE5 \# 2 0078");
        check("a.rpz.example", 65, b"\0\x01\0", r"a 300 IN TYPE65 \# 3 000100");
        check("a.rpz.example", 10, b"", r"a 300 IN TYPE10 \# 0");
        check("a.rpz.example", 15, b"\0\x0a\x01m\0", "a 300 IN MX 10 m.");
        check("a.rpz.example", 33, b"\0\x01\0\x02\0\x35\x01m\0", "a 300 IN SRV 1 2 53 m.");
        check("a.rpz.example", 16, b"\x03a b\x00\x02\"\xff", r#"a 300 IN TXT "a b" "" "\034\255""#);
        let soa = b"\x01n\0\x01h\0\0\0\0\x05\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04";
        check("rpz.example", 6, soa, "@ 300 IN SOA n. h. 5 1 2 3 4");
    }

    proptest! {
        #[test]
        fn every_record_reads_back(
            labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..5),
            rtype in prop_oneof![0u16..50, any::<u16>()],
            rdata in proptest::collection::vec(any::<u8>(), 0..40),
            name_like: bool,
            outside: bool,
        ) {
            let mut wire: Vec<u8> = Vec::new();
            for label in &labels {
                wire.push(label.len() as u8);
                wire.extend(label);
            }
            let rdata = if name_like { [&wire[..], b"\0"].concat() } else { rdata };
            wire.extend_from_slice(if outside { b"\0" } else { zone().wire().to_vec().leak() });
            let owner = Name::from_wire(&wire).unwrap().lower();
            let text = line(&owner, rtype, &rdata);
            prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b) || b == b'\n'));
            let back = read_line(text.as_bytes(), &zone()).unwrap();
            prop_assert_eq!(back, Line { owner, ttl: 300, rtype, rdata });
        }

        #[test]
        fn any_text_is_a_line_or_none(text in "[ -~]{0,60}") {
            let _read = read_line(text.as_bytes(), &zone());
        }
    }
}
