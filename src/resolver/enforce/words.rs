//! What a client is told about a rule: an extended error (RFC 8914), its text for people, and its
//! JSON for programs (draft-ietf-dnsop-structured-dns-error).

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{
    config::Policy,
    policy::{EdeNote, Hit},
    resolver::message::{Ede, Extended},
};

/// The sub-error "DNS operator policy" of the draft's registry, which goes with [`Ede::BLOCKED`].
const OPERATOR_POLICY: u32 = 6;

/// The error that goes with an answer that `hit` replaced. `forged` answers hold data of ours.
pub(super) fn error(hit: &Hit, forged: bool, policy: &Policy) -> Extended {
    let cut = |text: String| cut(text, policy.error_text_bytes_max);
    let fallback = if forged { Ede::FORGED } else { Ede::BLOCKED };
    let code = hit.ede.as_ref().map_or(fallback, |e| Ede(e.code));
    let order = order(hit);
    let said = hit.ede.as_ref().map_or("", |e: &EdeNote| &e.text);
    let text = cut(with_order(said, code, &order, &hit.legal.order_number));
    let structured =
        if policy.structured_errors { structured(hit, code, &order, cut) } else { None };
    Extended { code, text: Cow::Owned(text), structured: structured.unwrap_or_default() }
}

/// The order behind a rule, in Chinese and English; empty where nobody named one.
fn order(hit: &Hit) -> String {
    let (authority, number) = (&*hit.legal.authority, &*hit.legal.order_number);
    let mut parts = Vec::new();
    if !authority.is_empty() {
        parts.push(format!("authority 下达机关: {authority}"));
    }
    if !number.is_empty() {
        parts.push(format!("order 文号: {number}"));
    }
    parts.join(", ")
}

/// What happened, in Chinese and English, for a feed that has no words of its own.
const fn happened(code: Ede) -> &'static str {
    match code {
        Ede::FORGED => "Answer replaced by policy 应答已依规则改写",
        Ede::BLOCKED => "Blocked 已拦截",
        Ede::CENSORED => "Blocked as an authority requires 依主管机关要求拦截",
        Ede::FILTERED => "Filtered 已过滤",
        Ede::PROHIBITED => "Not permitted 不允许访问",
        _ => "Listed 已列入名单",
    }
}

/// `text`, and the order behind it where the text does not name its number. Without either, nothing:
/// the code says it all.
fn with_order(text: &str, code: Ede, order: &str, number: &str) -> String {
    match (text.is_empty(), order.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("{} ({order})", happened(code)),
        (false, true) => text.to_owned(),
        (false, false) if !number.is_empty() && text.contains(number) => text.to_owned(),
        (false, false) => format!("{text} ({order})"),
    }
}

/// The JSON; none without a contact, which the draft demands.
fn structured(
    hit: &Hit,
    code: Ede,
    order: &str,
    cut: impl Fn(String) -> String,
) -> Option<Box<str>> {
    let contacts: Vec<String> = hit
        .contact
        .split([',', ' '])
        .filter(|c| !c.is_empty())
        .map(|c| if c.contains(':') { c.to_owned() } else { format!("mailto:{c}") })
        .collect();
    if contacts.is_empty() || contacts.iter().map(String::len).sum::<usize>() > CONTACTS_BYTES_MAX {
        return None;
    }
    let why = match (&*hit.justification, &*hit.legal.reason) {
        ("", "") => hit.ede.as_ref().map_or("", |e| &e.text),
        ("", reason) => reason,
        (why, _) => why,
    };
    let why = cut(with_order(why, code, order, &hit.legal.order_number));
    let mut json = Map::new();
    json.insert("c".into(), contacts.into());
    json.insert("j".into(), Value::from(why.as_str()));
    if code == Ede::BLOCKED {
        json.insert("s".into(), json!(OPERATOR_POLICY));
    }
    if !hit.legal.authority.is_empty() {
        json.insert("o".into(), Value::from(cut(hit.legal.authority.to_string())));
    }
    json.insert("l".into(), json!(language(&why)));
    Some(Value::Object(json).to_string().into())
}

/// Contacts of one error, in bytes.
const CONTACTS_BYTES_MAX: usize = 512;

/// The language of a text: Chinese where it has a Han character.
fn language(text: &str) -> &'static str {
    let han = |c: char| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}');
    if text.chars().any(han) { "zh" } else { "en" }
}

/// The longest beginning of `text` that has at most `bytes_max` bytes and ends with a character.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_named_once() {
        let both = "authority 下达机关: MIIT, order 文号: 7/2026";
        for (text, order, number, expected) in [
            ("", "", "", String::new()),
            ("listed", "", "", "listed".into()),
            ("", both, "7/2026", format!("Blocked 已拦截 ({both})")),
            ("listed", both, "7/2026", format!("listed ({both})")),
            ("by order 7/2026", both, "7/2026", "by order 7/2026".into()),
            ("listed", "authority 下达机关: MIIT", "", "listed (authority 下达机关: MIIT)".into()),
        ] {
            assert_eq!(with_order(text, Ede::BLOCKED, order, number), expected);
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (bytes_max, expected) in [(9, "依法处"), (8, "依法"), (2, ""), (99, "依法处置")]
        {
            assert_eq!(cut("依法处置".to_owned(), bytes_max), expected);
        }
        assert_eq!((language("依法处置"), language("listed")), ("zh", "en"));
    }
}
