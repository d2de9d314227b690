//! Bundles of STIX 2.1: indicators whose patterns compare a domain name, a URL or an address with
//! a value, alone or joined by OR. What such a pattern means by AND, FOLLOWEDBY, LIKE or a
//! qualifier cannot be said by a rule, and is rejected.
//!
//! A bundle is one JSON value: where it ends early or is none, nothing behind that place can be
//! read, and the list is refused as a whole.

use std::{fmt, io::BufRead};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{Error, LegalField, Place, Reason, out::Out, subject};
use crate::policy::Trigger;

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        input.consume(3);
    }
    let mut json = serde_json::Deserializer::from_reader(input);
    let bundle = json.deserialize_map(Bundle(out)).and_then(|()| {
        // Where nobody wanted more, the rest has not been read.
        if out.summary.stopped { Ok(()) } else { json.end() }
    });
    match bundle {
        Err(_) if out.summary.stopped => Ok(()),
        Err(e) if e.is_io() => Err(Error::Io(e.into())),
        Err(e) => Err(Error::Form(format!("the bundle: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// The bundle: an object with `objects` in it.
struct Bundle<'o, 'a>(&'o mut Out<'a>);

impl<'de> Visitor<'de> for Bundle<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a STIX bundle")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "objects" {
                map.next_value_seed(Objects(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The objects of a bundle, one after the other.
struct Objects<'o, 'a>(&'o mut Out<'a>);

impl<'de> DeserializeSeed<'de> for Objects<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of STIX objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let out = self.0;
        while let Some(value) = seq.next_element::<Value>()? {
            out.summary.lines += 1;
            object(out.summary.lines, &value, out);
            if !out.wants_more() {
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

fn object(line: u64, value: &Value, out: &mut Out<'_>) {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let revoked = value.get("revoked").and_then(Value::as_bool).unwrap_or(false);
    if text("type") != "indicator" || revoked {
        out.summary.ignored += 1;
        return;
    }
    let pattern = text("pattern");
    let bytes_max = out.options.line_bytes_max;
    let shown = &pattern.as_bytes()[..pattern.len().min(bytes_max)];
    let at = Place { line, text: shown };
    if pattern.len() > bytes_max {
        return out.reject(at, Reason::too_long(bytes_max));
    }
    if !matches!(text("pattern_type"), "stix" | "") {
        let why = format!("a pattern of type {:?}, not stix", text("pattern_type"));
        return out.reject(at, Reason::new("unsupported", why));
    }
    let reason = if text("description").is_empty() { text("name") } else { text("description") };
    let fields = [
        (LegalField::Reason, crate::record::capped(reason, out.options.field_bytes_max)),
        (LegalField::Evidence, text("id")),
        (LegalField::EffectiveFrom, text("valid_from")),
        (LegalField::ExpiresAt, text("valid_until")),
    ];
    let action = out.options.action.clone();
    let taken = triggers(pattern).and_then(|triggers| {
        triggers
            .into_iter()
            .try_for_each(|t| out.rule_with(at, t, action.clone(), fields.into_iter()))
    });
    if let Err(reason) = taken {
        out.reject(at, reason);
    }
}

/// The triggers of a pattern: all of them, or none.
fn triggers(pattern: &str) -> Result<Vec<Trigger>, Reason> {
    let mut rest = pattern.trim();
    let mut all = Vec::new();
    if rest.is_empty() {
        return Err(Reason::syntax("an indicator without a pattern"));
    }
    loop {
        // `[a = 'x' OR b = 'y'] OR [c = 'z']`
        rest = rest.strip_prefix('[').ok_or_else(unsupported)?.trim_start();
        loop {
            let (trigger, behind) = comparison(rest)?;
            all.extend(trigger);
            rest = behind.trim_start();
            match word(rest) {
                ("OR", behind) => rest = behind.trim_start(),
                _ => break,
            }
        }
        rest = rest.strip_prefix(']').ok_or_else(unsupported)?.trim_start();
        match word(rest) {
            ("OR", behind) => rest = behind.trim_start(),
            _ if rest.is_empty() => return Ok(all),
            _ => return Err(unsupported()),
        }
    }
}

fn unsupported() -> Reason {
    let why = "only comparisons by = of domain-name, url, ipv4-addr and ipv6-addr values, joined by OR, are rules";
    Reason::new("unsupported", why)
}

/// The word in capitals that a text begins with, and what is behind it.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(text.len());
    text.split_at(end)
}

/// `domain-name:value = 'bad.example'`
fn comparison(text: &str) -> Result<(Vec<Trigger>, &str), Reason> {
    let (path, rest) = text.split_once(['=', ' ']).ok_or_else(unsupported)?;
    let rest = if text[path.len()..].starts_with('=') {
        rest
    } else {
        rest.trim_start().strip_prefix('=').ok_or_else(unsupported)?
    };
    let rest = rest.trim_start().strip_prefix('\'').ok_or_else(unsupported)?;
    let (value, behind) = literal(rest)?;
    let triggers = match path.trim() {
        "domain-name:value" => subject::of_name(&value)?,
        "url:value" => subject::of_url(&value)?,
        "ipv4-addr:value" | "ipv6-addr:value" => vec![Trigger::ResponseIp(subject::net(&value)?)],
        _ => return Err(unsupported()),
    };
    Ok((triggers, behind))
}

/// A string up to its closing quote; a backslash takes the character behind it as it is.
fn literal(text: &str) -> Result<(String, &str), Reason> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    Err(Reason::syntax("a string that does not end"))
}
