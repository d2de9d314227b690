//! Owner names of a policy zone and the triggers they stand for (RPZ §4).

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::Reason;
use crate::{
    name::{NAME_BYTES_MAX, Name},
    policy::{NamePattern, Trigger, canonical_prefix},
};

/// An owner, below its zone's apex.
pub(super) struct Relative {
    /// The name with the apex cut off, absolute.
    pub(super) name: Name,
    /// The last label: the kind of trigger, if it is one that begins with `rpz-`.
    last: (usize, usize),
}

/// What is below the apex of an owner name; none at the apex itself.
///
/// # Errors
/// When the owner lies outside the zone.
pub(super) fn below(apex: &Name, owner: &Name) -> Result<Option<Relative>, Reason> {
    let wire = owner.wire();
    let Some(cut) = wire.len().checked_sub(apex.wire().len()) else {
        return Err(outside(apex, owner));
    };
    let (mut at, mut last) = (0, 0);
    while at < cut {
        last = at;
        at += 1 + usize::from(wire[at]);
    }
    if at != cut || wire[cut..] != *apex.wire() {
        return Err(outside(apex, owner));
    }
    if cut == 0 {
        return Ok(None);
    }
    Ok(Some(Relative { name: absolute(&wire[..cut]), last: (last, cut) }))
}

fn outside(apex: &Name, owner: &Name) -> Reason {
    let text = format!(
        "the owner {owner} lies outside the zone {apex}: leave its trailing dot away, or name the zone with --origin"
    );
    Reason::new("out-of-zone", text)
}

/// Labels without the root's, made absolute.
fn absolute(labels: &[u8]) -> Name {
    let mut wire = [0; NAME_BYTES_MAX];
    wire[..labels.len()].copy_from_slice(labels);
    Name::from_checked(&wire[..=labels.len()])
}

/// The trigger that an owner in lower case stands for, relative to its zone's apex and made
/// absolute: `24.0.2.0.192.rpz-ip`, `*.bad.example`.
///
/// # Errors
/// When it is no trigger that there is.
pub fn trigger(relative: &Name) -> Result<Trigger, Reason> {
    let wire = relative.wire();
    let (mut at, mut last) = (0, 0);
    while wire[at] != 0 {
        last = at;
        at += 1 + usize::from(wire[at]);
    }
    Relative { name: *relative, last: (last, at) }.trigger()
}

impl Relative {
    /// The trigger that it stands for.
    ///
    /// # Errors
    /// When it is no trigger that there is.
    pub(super) fn trigger(&self) -> Result<Trigger, Reason> {
        let (from, to) = self.last;
        let wire = self.name.wire();
        let before = &wire[..from];
        match &wire[from..to] {
            // The length of the label, and the label.
            b"\x06rpz-ip" => address(before).map(Trigger::ResponseIp),
            b"\x0drpz-client-ip" => address(before).map(Trigger::ClientIp),
            b"\x08rpz-nsip" => address(before).map(Trigger::Nsip),
            b"\x0brpz-nsdname" if before.is_empty() => {
                Err(Reason::syntax("rpz-nsdname without a name before it"))
            }
            b"\x0brpz-nsdname" => Ok(Trigger::Nsdname(pattern(&absolute(before)))),
            [_, b'r', b'p', b'z', b'-', ..] => {
                let text =
                    format!("{} is a kind of trigger that is not known", label(&wire[from..to]));
                Err(Reason::new("unknown-trigger", text))
            }
            _ => Ok(Trigger::Qname(pattern(&self.name))),
        }
    }
}

fn pattern(name: &Name) -> NamePattern {
    match name.wire() {
        [1, b'*', rest @ ..] => NamePattern { name: Name::from_checked(rest), wildcard: true },
        _ => NamePattern { name: *name, wildcard: false },
    }
}

fn label(wire: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(wire.get(1..).unwrap_or_default())
}

/// A prefix length and an address backwards (RPZ §4.1.1): `24.0.2.0.192`, `48.zz.db8.2001`.
fn address(labels: &[u8]) -> Result<IpNet, Reason> {
    let bad = |why: &'static str| Reason::new("bad-address", why);
    let mut parts: [&str; 10] = [""; 10];
    let (mut count, mut at) = (0, 0);
    while at < labels.len() {
        let end = at + 1 + usize::from(labels[at]);
        let text = std::str::from_utf8(&labels[at + 1..end]);
        let part = parts.get_mut(count).ok_or_else(|| bad("too many labels for an address"))?;
        *part = text.map_err(|_| bad("a label that is no number"))?;
        (count, at) = (count + 1, end);
    }
    let Some((prefix, backwards)) = parts[..count].split_first() else {
        return Err(bad("no address before the kind of trigger"));
    };
    let prefix: u8 = number(prefix, 10)
        .and_then(|n| u8::try_from(n).ok())
        .filter(|n| *n > 0)
        .ok_or_else(|| bad("the first label is no prefix length from 1 on"))?;
    let net = if backwards.len() == 4 && !backwards.contains(&"zz") {
        let mut octets = [0; 4];
        for (octet, part) in octets.iter_mut().zip(backwards.iter().rev()) {
            *octet = number(part, 10)
                .and_then(|n| u8::try_from(n).ok())
                .ok_or_else(|| bad("a label that is no number from 0 to 255"))?;
        }
        Ipv4Net::new(Ipv4Addr::from(octets), prefix).map(IpNet::V4)
    } else {
        Ipv6Net::new(v6(backwards)?, prefix).map(IpNet::V6)
    };
    let net = net.map_err(|_| bad("a prefix length that is too long"))?;
    if net.trunc() != net {
        return Err(bad("bits behind the prefix: which network is meant cannot be known"));
    }
    Ok(canonical_prefix(net))
}

fn v6(backwards: &[&str]) -> Result<Ipv6Addr, Reason> {
    let bad = |why: &'static str| Reason::new("bad-address", why);
    let gap = backwards.iter().filter(|p| **p == "zz").count();
    if gap > 1 {
        return Err(bad("more than one zz"));
    }
    let given = backwards.len() - gap;
    if (gap == 0 && given != 8) || given > 7 + usize::from(gap == 0) {
        return Err(bad("not four labels of IPv4, nor eight of IPv6 or fewer with zz"));
    }
    let mut segments = [0; 8];
    let mut at = 0;
    for part in backwards.iter().rev() {
        if *part == "zz" {
            at += 8 - given;
            continue;
        }
        segments[at] = number(part, 16)
            .and_then(|n| u16::try_from(n).ok())
            .ok_or_else(|| bad("a label that is no hexadecimal number of four digits"))?;
        at += 1;
    }
    Ok(segments.into())
}

/// A number without signs and without zeros before it.
fn number(text: &str, radix: u32) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_hexdigit()) && text.len() <= 4;
    let canonical = text == "0" || !text.starts_with('0') || radix == 16;
    if plain && canonical { u32::from_str_radix(text, radix).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Trigger, &str>) {
        let name = Name::from_text(text).unwrap();
        assert_eq!(trigger(&name).map_err(|r| r.code), expected, "{text}");
    }

    fn pattern(name: &str, wildcard: bool) -> NamePattern {
        NamePattern { name: Name::from_text(name).unwrap(), wildcard }
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn owners_and_triggers() {
        check("bad.example", Ok(Trigger::Qname(pattern("bad.example", false))));
        check("*.bad.example", Ok(Trigger::Qname(pattern("bad.example", true))));
        check("*", Ok(Trigger::Qname(pattern(".", true))));
        check("a.*.example", Ok(Trigger::Qname(pattern("a.*.example", false))));
        check("24.0.2.0.192.rpz-ip", Ok(Trigger::ResponseIp(net("192.0.2.0/24"))));
        check("32.1.2.0.192.rpz-client-ip", Ok(Trigger::ClientIp(net("192.0.2.1/32"))));
        check("128.1.zz.db8.2001.rpz-nsip", Ok(Trigger::Nsip(net("2001:db8::1/128"))));
        check("48.zz.2.db8.2001.rpz-ip", Ok(Trigger::ResponseIp(net("2001:db8:2::/48"))));
        check("128.8.7.6.5.4.3.2.1.rpz-ip", Ok(Trigger::ResponseIp(net("1:2:3:4:5:6:7:8/128"))));
        check("128.zz.rpz-ip", Ok(Trigger::ResponseIp(net("::/128"))));
        check("1.zz.rpz-ip", Ok(Trigger::ResponseIp(net("::/1"))));
        check("128.0.0.zz.2.1.rpz-ip", Ok(Trigger::ResponseIp(net("1:2::/128"))));
        check("ns.evil.rpz-nsdname", Ok(Trigger::Nsdname(pattern("ns.evil", false))));
        check("*.evil.rpz-nsdname", Ok(Trigger::Nsdname(pattern("evil", true))));
    }

    #[test]
    fn owners_that_are_no_trigger() {
        for owner in [
            "rpz-ip",
            "32.rpz-ip",
            "0.0.0.0.0.rpz-ip",
            "33.1.2.0.192.rpz-ip",
            "24.1.2.0.192.rpz-ip",
            "32.1.2.0.256.rpz-ip",
            "32.01.2.0.192.rpz-ip",
            "32.1.2.3.4.5.rpz-ip",
            "129.zz.rpz-ip",
            "128.zz.1.zz.rpz-ip",
            "128.1.2.3.4.5.6.7.8.9.rpz-ip",
            "128.zz.1.2.3.4.5.6.7.8.rpz-ip",
            "128.g.zz.rpz-ip",
            "128.00001.zz.rpz-ip",
            "+32.1.2.0.192.rpz-ip",
            "a.b.c.d.e.f.g.h.i.j.k.l.rpz-ip",
        ] {
            check(owner, Err("bad-address"));
        }
        check("bad.example.rpz-url", Err("unknown-trigger"));
        check("rpz-nsdname", Err("syntax"));
    }

    #[test]
    fn owners_below_their_zone() {
        let check = |apex: &str, owner: &str, expected: Option<Option<&str>>| {
            let (apex, owner) = (Name::from_text(apex).unwrap(), Name::from_text(owner).unwrap());
            let found = below(&apex, &owner).ok().map(|r| r.map(|r| r.name.to_string()));
            assert_eq!(found, expected.map(|e| e.map(str::to_owned)));
        };
        check("rpz", "bad.example.rpz", Some(Some("bad.example")));
        check("rpz", "rpz", Some(None));
        check(".", "bad.example", Some(Some("bad.example")));
        check("rpz", "bad.example", None);
        check("rpz.example", "example", None);
        // The apex must begin where a label does.
        check(r"rpz", r"bad\003rpz", None);
        assert!(
            below(&Name::from_text("rpz").unwrap(), &Name::from_text(r"a\003rpz\000").unwrap())
                .is_err()
        );
    }
}
