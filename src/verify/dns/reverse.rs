//! IP-08: the name that an address has leads back to it.

use std::{fmt::Write as _, net::IpAddr};

use domain::{base::Rtype, rdata::AllRecordData};

use super::{
    reply::{OwnName, Reply, addresses, lower, of},
    view::View,
};
use crate::verify::{Check, Finding, Grade, Outcome, Severity, Unclear};

/// The name under which the names of an address are (RFC 1035 §3.5, RFC 3596 §2.5).
pub fn name_of(address: IpAddr) -> Option<OwnName> {
    let mut text = String::new();
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            write!(text, "{d}.{c}.{b}.{a}.in-addr.arpa").ok()?;
        }
        IpAddr::V6(a) => {
            for byte in a.octets().iter().rev() {
                write!(text, "{:x}.{:x}.", byte & 0xf, byte >> 4).ok()?;
            }
            text.push_str("ip6.arpa");
        }
    }
    text.parse().ok()
}

/// The names that a reply gives to an address.
pub fn pointers(reply: &Reply, name: &OwnName) -> Vec<OwnName> {
    let records = of(&reply.answer, name, Rtype::PTR);
    let named = records.into_iter().filter_map(|r| match r.data() {
        AllRecordData::Ptr(pointer) => Some(lower(pointer.ptrdname())),
        _ => None,
    });
    named.collect()
}

/// IP-08, for each of the addresses that was asked about.
pub(super) fn confirmed(view: &View) -> Vec<Finding> {
    view.led_to().into_iter().filter_map(|address| one(view, address)).collect()
}

fn one(view: &View, address: IpAddr) -> Option<Finding> {
    let name = name_of(address)?;
    let new = |outcome, says: String| {
        Finding::new(Check::Ip08, outcome, says).arg("address", address.to_string())
    };
    let said = view.finals(&name, Rtype::PTR);
    let used = said.iter().filter_map(|s| s.evidence).collect::<Vec<_>>();
    let Some(reply) = said.iter().find_map(|s| s.reply.as_ref().ok()) else {
        let was_asked = view.was_asked(&name, Rtype::PTR);
        let says = format!("no server told the name of {address}");
        return was_asked.then(|| new(Outcome::Unknown(Unclear::Transport), says));
    };
    let names = pointers(reply, &name);
    let shown: Vec<String> = names.iter().map(ToString::to_string).collect();
    let Some(first) = shown.first() else {
        // Nobody has to name an address.
        let finding = new(Outcome::False, format!("{address} has no name"));
        return Some(finding.grade(Grade::B).by(used));
    };
    let leads_back = |name: &&OwnName| {
        [Rtype::A, Rtype::AAAA].into_iter().any(|rtype| {
            let replies = view.finals(name, rtype);
            let mut replies = replies.iter().filter_map(|s| s.reply.as_ref().ok());
            replies.any(|r| addresses(r.answer.iter()).contains(&address))
        })
    };
    let rtype = if address.is_ipv4() { Rtype::A } else { Rtype::AAAA };
    let is_open = names.iter().any(|name| view.finals(name, rtype).is_empty());
    let finding = match names.iter().find(leads_back) {
        None if is_open => {
            let says = format!("{address} is {first}, and nobody told where that leads");
            new(Outcome::Unknown(Unclear::Transport), says)
        }
        Some(name) => new(Outcome::True, format!("{address} is {name}, which leads back to it")),
        None => {
            new(Outcome::False, format!("{address} is {first}, which does not lead back to it"))
                .severity(Severity::Notice)
        }
    };
    let finding = if finding.outcome.is_known() { finding.grade(Grade::B) } else { finding };
    Some(finding.arg("names", shown).by(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_places() {
        for (address, expected) in [
            ("192.0.2.7", "7.2.0.192.in-addr.arpa"),
            (
                "2001:db8::1",
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            ),
        ] {
            assert_eq!(name_of(address.parse().unwrap()).unwrap().to_string(), expected);
        }
    }
}
