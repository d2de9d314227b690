//! Names and record data of zone text.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
};

use bytes::Bytes;
use domain::{
    base::{iana::Rtype, rdata::ComposeRecordData},
    zonefile::inplace::{Entry, Zonefile},
};

use super::{
    super::{Reason, names},
    record::rtype,
};
use crate::name::{LABEL_BYTES_MAX, NAME_BYTES_MAX, Name};

/// Reads a name of a zone text: absolute with a trailing dot, else below `origin`; `@` is the
/// origin. In lower case; U-labels become A-labels.
pub(super) fn name(word: &[u8], origin: Option<&Name>) -> Result<Name, Reason> {
    if word == b"@" {
        return origin.copied().ok_or_else(no_origin);
    }
    if word == b"." {
        return Ok(Name::ROOT);
    }
    if !word.is_ascii() {
        return unicode(word, origin);
    }
    ascii(word, origin)
}

fn no_origin() -> Reason {
    Reason::new("no-origin", "a name below an $ORIGIN that could not be read")
}

fn ascii(word: &[u8], origin: Option<&Name>) -> Result<Name, Reason> {
    let long_name = || Reason::bad_name("a name longer than 255 bytes");
    let mut wire = [0; NAME_BYTES_MAX];
    let (mut label, mut at, mut read) = (0, 1, 0);
    while let Some(&b) = word.get(read) {
        read += 1;
        let b = match b {
            b'.' => {
                close(&mut wire, label, at)?;
                (label, at) = (at, at + 1);
                continue;
            }
            b'\\' => escaped(word, &mut read)?,
            b => b,
        };
        *wire.get_mut(at).ok_or_else(long_name)? = b.to_ascii_lowercase();
        at += 1;
    }
    let ended = at == label + 1;
    if ended && label == 0 {
        return Err(Reason::bad_name("an empty name"));
    }
    let (end, suffix) = if ended {
        (label, Name::ROOT.wire())
    } else {
        close(&mut wire, label, at)?;
        (at, origin.ok_or_else(no_origin)?.wire())
    };
    let whole = wire.get_mut(end..end + suffix.len()).ok_or_else(long_name)?;
    whole.copy_from_slice(suffix);
    Ok(Name::from_checked(&wire[..end + suffix.len()]))
}

fn close(wire: &mut [u8; NAME_BYTES_MAX], label: usize, at: usize) -> Result<(), Reason> {
    let len = at - label - 1;
    if len == 0 {
        return Err(Reason::bad_name("an empty label"));
    }
    if len > LABEL_BYTES_MAX {
        return Err(Reason::bad_name("a label longer than 63 bytes"));
    }
    *wire.get_mut(label).ok_or_else(|| Reason::bad_name("a name longer than 255 bytes"))? =
        len as u8;
    Ok(())
}

/// The byte that an escape stands for (RFC 1035 §5.1); `read` is behind the backslash.
fn escaped(word: &[u8], read: &mut usize) -> Result<u8, Reason> {
    let bad = || Reason::bad_name("an escape that is none");
    let first = *word.get(*read).ok_or_else(bad)?;
    if !first.is_ascii_digit() {
        *read += 1;
        return Ok(first);
    }
    let digits = word.get(*read..*read + 3).filter(|d| d.iter().all(u8::is_ascii_digit));
    let value = digits.ok_or_else(bad)?.iter().fold(0_u32, |v, d| v * 10 + u32::from(d - b'0'));
    *read += 3;
    u8::try_from(value).map_err(|_| bad())
}

/// Zone text has no U-labels, but lists made by hand do.
fn unicode(word: &[u8], origin: Option<&Name>) -> Result<Name, Reason> {
    let text = std::str::from_utf8(word).map_err(|_| Reason::encoding())?;
    let (stars, host) = text.strip_prefix("*.").map_or(("", text), |rest| ("*.", rest));
    let absolute = host.ends_with(['.', '。']);
    let host = names::name(host)?;
    let dot = if absolute { "." } else { "" };
    ascii(format!("{stars}{host}{dot}").as_bytes(), origin)
}

/// The number of a type's word.
pub(crate) fn type_number(word: &[u8]) -> Option<u16> {
    let is = |t: &str| word.eq_ignore_ascii_case(t.as_bytes());
    if is("CNAME") {
        return Some(rtype::CNAME);
    }
    if is("A") {
        return Some(rtype::A);
    }
    let text = std::str::from_utf8(word).ok()?;
    Rtype::from_str(&text.to_ascii_uppercase()).ok().map(Rtype::to_int)
}

/// The data of a record of this type, from its words.
pub(crate) fn rdata<'e>(
    number: u16,
    type_word: &[u8],
    words: impl Iterator<Item = &'e [u8]> + Clone,
    origin: Option<&Name>,
) -> Result<Box<[u8]>, Reason> {
    let mut alone = words.clone();
    if let (Some(word), None) =
        (alone.next().and_then(|w| std::str::from_utf8(w).ok()), alone.next())
    {
        match number {
            rtype::A => {
                if let Ok(a) = word.parse::<Ipv4Addr>() {
                    return Ok(a.octets().into());
                }
            }
            rtype::AAAA => {
                if let Ok(a) = word.parse::<Ipv6Addr>() {
                    return Ok(a.octets().into());
                }
            }
            _ => {}
        }
    }
    let mut text = b". 0 IN ".to_vec();
    text.extend_from_slice(type_word);
    for word in words {
        text.push(b' ');
        text.extend_from_slice(word);
    }
    text.push(b'\n');
    scanned(&text, origin)
}

/// The data of the one record in `text`.
fn scanned(text: &[u8], origin: Option<&Name>) -> Result<Box<[u8]>, Reason> {
    let bad = |why: String| Reason::new("bad-data", why);
    let mut scanner = Zonefile::from(text);
    let octets = origin.map(|o| Bytes::copy_from_slice(o.wire()));
    if let Some(Ok(origin)) = octets.map(domain::base::Name::from_octets) {
        scanner.set_origin(origin);
    }
    // `domain` 0.12.3 can still index past its buffer on broken text; that is a broken entry.
    let entry = catch_unwind(AssertUnwindSafe(|| scanner.next_entry()))
        .map_err(|_| bad("the data cannot be read".into()))?
        .map_err(|e| {
            let text = e.to_string();
            // Without its line and column, which are not the file's.
            bad(text.splitn(3, ':').nth(2).unwrap_or(&text).trim().to_owned())
        })?;
    let Some(Entry::Record(record)) = entry else { return Err(bad("no record data".into())) };
    let mut rdata = Vec::with_capacity(64);
    record.data().compose_rdata(&mut rdata).map_err(|_| bad("the data is too long".into()))?;
    if rdata.len() > usize::from(u16::MAX) {
        return Err(bad("the data is longer than 65535 bytes".into()));
    }
    Ok(rdata.into())
}

/// A TTL in seconds, or with units: `300`, `1h30m`; none for a word that is none.
pub(super) fn ttl(word: &[u8]) -> Option<u32> {
    let (mut total, mut number, mut units) = (0_u32, None, false);
    for b in word {
        if b.is_ascii_digit() {
            let n: u32 = number.unwrap_or(0);
            number = Some(n.checked_mul(10)?.checked_add(u32::from(b - b'0'))?);
            continue;
        }
        let unit = match b.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        units = true;
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    match number {
        Some(n) if !units => Some(n),
        None if units => Some(total),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_zone_text() {
        let origin = Name::from_text("rpz").unwrap();
        let check = |word: &str, expected: Result<&str, &str>| {
            let found =
                name(word.as_bytes(), Some(&origin)).map(|n| n.to_string()).map_err(|r| r.code);
            assert_eq!(found, expected.map(str::to_owned), "{word}");
        };
        check("@", Ok("rpz"));
        check(".", Ok("."));
        check("*", Ok("*.rpz"));
        check("Bad.Example", Ok("bad.example.rpz"));
        check("Bad.Example.", Ok("bad.example"));
        check(r"a\.b\065", Ok(r"a\.ba.rpz"));
        check("*.诈骗.example", Ok("*.xn--0d3aq50a.example.rpz"));
        check("", Err("bad-name"));
        check("..", Err("bad-name"));
        check("a..b", Err("bad-name"));
        check(r"\256", Err("bad-name"));
        check(r"\25", Err("bad-name"));
        check(&"a".repeat(64), Err("bad-name"));
        check(&"a.".repeat(127), Ok("a.".repeat(127).trim_end_matches('.')));
        check(&"a.".repeat(128), Err("bad-name"));
        check(&"a.".repeat(126)[..251], Err("bad-name"));
    }

    #[test]
    fn ttls() {
        for (word, expected) in [
            ("300", Some(300)),
            ("1h30m", Some(5_400)),
            ("1W", Some(604_800)),
            ("", None),
            ("h", None),
            ("1h3", None),
            ("99999999999", None),
            ("a", None),
        ] {
            assert_eq!(ttl(word.as_bytes()), expected, "{word}");
        }
    }
}
