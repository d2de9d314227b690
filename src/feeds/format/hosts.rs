//! Lines of an address and names, as in `/etc/hosts`. `#` begins a comment.
//!
//! An address that leads nowhere (unspecified, loopback) stands for the feed's action; every other
//! one is what the names are answered with. Each name is an entry of its own.

use std::{
    io::BufRead,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Error, Place, Reason,
    action::sink_or_address,
    lines,
    names::{self, meant},
    out::Out,
};
/// Names of the machine itself, which lists made from a machine's file still carry.
const LOCAL_NAMES: [&str; 12] = [
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
];

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    lines::each(input, out, entries)
}

fn entries(at: Place<'_>, out: &mut Out<'_>) -> Result<(), Reason> {
    let end = memchr::memchr(b'#', at.text).unwrap_or(at.text.len());
    let text = at.text[..end].trim_ascii();
    if matches!(text.first(), None | Some(b'!' | b';')) {
        return Ok(());
    }
    let mut words = text.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    let Some(address) = words.next().and_then(address) else {
        let reason = "no address before the names; a list of names alone is format domains";
        return Err(Reason::syntax(reason));
    };
    let mut any = false;
    for word in words {
        any = true;
        name(at, address, word, out);
    }
    if any { Ok(()) } else { Err(Reason::syntax("an address without a name")) }
}

fn name(at: Place<'_>, address: IpAddr, word: &[u8], out: &mut Out<'_>) {
    let local = |n: &&str| word.eq_ignore_ascii_case(n.as_bytes());
    if LOCAL_NAMES.iter().any(local) || word == b"0.0.0.0" {
        out.summary.ignored += 1;
        return;
    }
    match meant(word, out.options.encoding) {
        Ok(meant) => {
            let action = sink_or_address(address, out.options);
            meant.triggers().for_each(|trigger| out.rule(at, trigger, action.clone()));
        }
        Err(reason) => out.reject(at, reason),
    }
}

/// The address at the beginning of a line; `0` is what some lists write for `0.0.0.0`.
fn address(word: &[u8]) -> Option<IpAddr> {
    match word {
        b"0.0.0.0" | b"0" => return Some(Ipv4Addr::UNSPECIFIED.into()),
        b"::" => return Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => {}
    }
    let text = std::str::from_utf8(word).ok()?;
    // `fe80::1%lo0`
    let address = names::address(text.split('%').next()?)?;
    Some(address.to_canonical())
}
