//! Configuration of dnsmasq, as far as it says what names are answered with. What it says of a
//! name counts for everything below it, too.
//!
//! `address=/name/` and `local=/name/` say that the name does not exist, `address=/name/ADDRESS`
//! what it is answered with (an address that leads nowhere stands for the feed's action),
//! `server=/name/#` that it is resolved as usual, `bogus-nxdomain=ADDRESS` that answers with this
//! address are none. Other directives are rejected.

use std::io::BufRead;

use super::{
    Error, Place, Reason,
    action::sink_or_address,
    lines,
    names::{self, meant},
    out::Out,
    subject,
};
use crate::policy::{Action, NamePattern, Trigger};

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    lines::each(input, out, entry)
}

fn entry(at: Place<'_>, out: &mut Out<'_>) -> Result<(), Reason> {
    let line = out.options.encoding.decode(at.text)?;
    let text = without_comment(line.trim());
    if text.is_empty() {
        return Ok(());
    }
    let (key, value) = text.split_once('=').map_or((text, ""), |(k, v)| (k.trim(), v.trim()));
    match key {
        "address" | "server" | "local" => names_and_target(at, key, value, out),
        "bogus-nxdomain" => {
            let net = subject::net(value)?;
            out.rule(at, Trigger::ResponseIp(net), Action::Nxdomain);
            Ok(())
        }
        _ => {
            Err(Reason::new("directive", "not a directive that says what a name is answered with"))
        }
    }
}

/// `#` begins a comment at the beginning and behind a space: elsewhere it means something.
fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.split_once(" #")
        .or_else(|| line.split_once("\t#"))
        .map_or(line, |(text, _)| text.trim_end())
}

/// `/name/name/target`
fn names_and_target(
    at: Place<'_>,
    key: &str,
    value: &str,
    out: &mut Out<'_>,
) -> Result<(), Reason> {
    let why = "without /name/: it is about every name, or about servers";
    let rest = value.strip_prefix('/').ok_or_else(|| Reason::new("directive", why))?;
    let (names, target) = rest.rsplit_once('/').ok_or_else(|| Reason::new("directive", why))?;
    let action = action(key, target, out)?;
    for name in names.split('/') {
        if let Err(reason) = with_below(at, name, &action, out) {
            out.reject(at, reason);
        }
    }
    Ok(())
}

fn with_below(at: Place<'_>, name: &str, action: &Action, out: &mut Out<'_>) -> Result<(), Reason> {
    if matches!(name, "" | "#") {
        return Err(Reason::bad_name("every name: a list cannot be about all of them"));
    }
    let (name, exact) = match name.strip_prefix("*.") {
        // Names below it alone.
        Some(below) => (below, false),
        None => (name.strip_prefix('.').unwrap_or(name), true),
    };
    let names::Meant::Pattern(NamePattern { name, wildcard: false }) =
        meant(name.as_bytes(), out.options.encoding)?
    else {
        return Err(Reason::bad_name("a pattern"));
    };
    for wildcard in [false, true].into_iter().filter(|wildcard| exact || *wildcard) {
        out.rule(at, Trigger::Qname(NamePattern { name, wildcard }), action.clone());
    }
    Ok(())
}

fn action(key: &str, target: &str, out: &Out<'_>) -> Result<Action, Reason> {
    match (key, target) {
        (_, "") => Ok(Action::Nxdomain),
        ("address", "#") => Ok(out.options.action.clone()),
        ("address", target) => match names::address(target) {
            Some(address) => Ok(sink_or_address(address, out.options)),
            None => Err(Reason::new("bad-address", format!("{target:?} is no address"))),
        },
        ("server", "#") => Ok(Action::Passthru),
        _ => Err(Reason::new("directive", "says which server is asked, which is no rule")),
    }
}
