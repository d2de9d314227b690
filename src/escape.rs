//! The one escaper for everything an outsider may have written and a person will look at.
//!
//! Names, paths, user agents and targets are chosen by strangers. Shown raw they could move a
//! terminal's cursor, turn text around (bidirectional controls), hide parts of a name (invisible
//! formatting) or start a formula in a spreadsheet. [`text`] is for terminals and log lines,
//! [`csv`] for one field of a CSV file, [`json`] for a serialised JSON document on a terminal.
//! What is replaced stays readable: U+202E becomes `\u{202e}`. Nothing is cut: evidence is shown
//! whole.

use std::{borrow::Cow, fmt::Write as _};

/// `s` with every control, bidirectional and invisible character written out as `\u{…}`.
pub fn text(s: &str) -> Cow<'_, str> {
    if !s.contains(is_unsafe) {
        return Cow::Borrowed(s);
    }
    let mut out = String::with_capacity(s.len() + 16);
    for c in s.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// `s` as one field of a CSV file (RFC 4180): escaped as by [`text`], with an apostrophe before
/// what a spreadsheet would take for a formula, quoted where the format needs it.
pub fn csv(s: &str) -> String {
    let safe = text(s);
    let formula = safe.trim_start().starts_with(starts_formula);
    let mut out = String::with_capacity(safe.len() + 4);
    out.push('"');
    if formula {
        out.push('\'');
    }
    out.push_str(&safe.replace('"', "\"\""));
    out.push('"');
    if formula || safe.contains([',', ';', '"', ' ']) { out } else { safe.into_owned() }
}

/// A serialised JSON document with the same characters written as `\uXXXX`, which every reader
/// turns back: outside of strings JSON has none of them but white space, which stays.
pub fn json(document: &str) -> Cow<'_, str> {
    let bad = |c| is_unsafe(c) && c != '\n';
    if !document.contains(bad) {
        return Cow::Borrowed(document);
    }
    let mut out = String::with_capacity(document.len() + 64);
    for c in document.chars() {
        if bad(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                write!(out, "\\u{unit:04x}").ok();
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Characters that act instead of being seen: controls, line separators, bidirectional controls
/// (Unicode Standard Annex #9), invisible formatting, interlinear annotation and tags.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// What makes spreadsheets read a cell as a formula, full-width forms included.
fn starts_formula(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_is_written_out() {
        for (given, shown) in [
            ("plain 例え.test", "plain 例え.test"),
            ("a\x1b[31mb", "a\\u{1b}[31mb"),
            ("moc.\u{202e}elpmaxe", "moc.\\u{202e}elpmaxe"),
            ("two\nlines\ttab", "two\\u{a}lines\\u{9}tab"),
            ("pay\u{200b}pal", "pay\\u{200b}pal"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(text(given), shown);
        }
    }

    #[test]
    fn no_field_is_a_formula() {
        for (given, field) in [
            ("www.demo.test", "www.demo.test"),
            ("=1+1", "\"'=1+1\""),
            ("  @SUM(A1)", "\"'  @SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("\u{ff1d}cmd", "\"'\u{ff1d}cmd\""),
            ("a,b \"c\"", "\"a,b \"\"c\"\"\""),
            ("\t=1", "\\u{9}=1"),
        ] {
            assert_eq!(csv(given), field);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_acts_passes(s in any::<String>()) {
            prop_assert!(!text(&s).contains(is_unsafe));
            let field = csv(&s);
            prop_assert!(!field.contains(is_unsafe));
            let inner = field.strip_prefix('"').unwrap_or(&field);
            prop_assert!(!inner.trim_start().starts_with(starts_formula));
        }

        #[test]
        fn json_means_the_same(s in any::<String>()) {
            let document = serde_json::to_string(&serde_json::json!({ "k": s })).unwrap();
            let shown = json(&document);
            prop_assert!(!shown.contains(is_unsafe));
            let back: serde_json::Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(back["k"].as_str(), Some(s.as_str()));
        }
    }
}
