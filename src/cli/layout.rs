//! Text that fits a terminal: labels in a column, long values wrapped, nothing cut.

use serde_json::Value;

use super::Format;
use crate::escape;

/// Every line fits this many columns.
pub(super) const COLUMNS: usize = 100;

/// The column where the values of a longer answer begin.
pub(super) const AT: usize = 26;

/// Lines in the making. Everything that goes in is escaped.
#[derive(Debug, Default)]
pub(super) struct Lines(pub(super) String);

impl Lines {
    /// One paragraph, its lines indented by `indent`, continuation lines two more.
    pub(super) fn text(&mut self, indent: usize, text: &str) -> &mut Self {
        self.put(&" ".repeat(indent), indent + 2, text)
    }

    /// A label and its value, values below each other at column `at`.
    pub(super) fn labelled(&mut self, label: &str, at: usize, value: &str) -> &mut Self {
        let pad = at.saturating_sub(width(label)).max(1);
        self.put(&format!("{label}{}", " ".repeat(pad)), at, value)
    }

    /// An empty line.
    pub(super) fn gap(&mut self) -> &mut Self {
        self.0.push('\n');
        self
    }

    fn put(&mut self, first: &str, indent: usize, text: &str) -> &mut Self {
        self.0.push_str(first);
        let mut column = width(first);
        let mut fresh = true;
        for (i, word) in escape::text(text).split(' ').enumerate() {
            if i > 0 && !fresh {
                if column + 1 + width(word).min(COLUMNS - indent) > COLUMNS {
                    self.turn(indent);
                    (column, fresh) = (indent, true);
                } else {
                    self.0.push(' ');
                    column += 1;
                }
            }
            for c in word.chars() {
                if column + width_of(c) > COLUMNS {
                    self.turn(indent);
                    column = indent;
                }
                self.0.push(c);
                (column, fresh) = (column + width_of(c), false);
            }
        }
        self.0.truncate(self.0.trim_end_matches(' ').len());
        self.0.push('\n');
        self
    }

    fn turn(&mut self, indent: usize) {
        self.0.push('\n');
        self.0.extend(std::iter::repeat_n(' ', indent));
    }
}

/// An answer of the API, for a program or a person.
pub(super) fn print(answer: &Value, format: Format) -> String {
    match format {
        Format::Json => format!("{}\n", escape::json(&answer.to_string())),
        Format::Text => {
            let mut out = Lines::default();
            members(&mut out, 0, answer);
            out.0
        }
    }
}

/// Every member of an object by name, lists as blocks below theirs.
fn members(out: &mut Lines, indent: usize, value: &Value) {
    let Some(object) = value.as_object() else { return };
    let longest = object.keys().map(|k| width(k)).max().unwrap_or_default();
    for (name, value) in object {
        let label = format!("{}{}", " ".repeat(indent), escape::text(name));
        let at = indent + longest + 2;
        match value {
            Value::Null => {}
            Value::String(s) => {
                out.labelled(&label, at, s);
            }
            Value::Array(list) if list.iter().all(Value::is_object) => {
                out.labelled(&label, at, &list.len().to_string());
                for one in list {
                    out.gap();
                    members(out, indent + 2, one);
                }
            }
            other => {
                out.labelled(&label, at, &other.to_string());
            }
        }
    }
}

/// A label and its value, where there is one.
pub(super) fn put(out: &mut Lines, label: &str, value: &Value) {
    let shown = text(value);
    if !shown.is_empty() {
        out.labelled(label, AT, &shown);
    }
}

/// A value as a person reads it: nothing for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The columns `s` takes on a terminal.
pub(super) fn width(s: &str) -> usize {
    s.chars().map(width_of).sum()
}

/// Wide characters of Unicode Standard Annex #11, by block: generous rather than exact.
const fn width_of(c: char) -> usize {
    match c as u32 {
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0x33ff
        | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xa000..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_f000..=0x1_faff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_words_are_broken_and_short_ones_moved() {
        let mut lines = Lines::default();
        let url = format!("https://demo.test/{}", "x".repeat(120));
        lines.text(2, &format!("a → {url} → b"));
        lines.labelled("Kind 类型", 12, "domain");
        assert_eq!(
            lines.0,
            format!(
                "  a →\n    https://demo.test/{}\n    {} → b\nKind 类型   domain\n",
                "x".repeat(78),
                "x".repeat(42)
            )
        );
    }

    #[test]
    fn answers_are_told_by_name() {
        let answer = serde_json::json!({ "code": "abc1234", "expires": null, "revisions": [
            { "revision": 1, "reason": "a\u{1b}b" } ] });
        let text = "code       abc1234\nrevisions  1\n\n  reason    a\\u{1b}b\n  revision  1\n";
        assert_eq!(print(&answer, Format::Text), text);
        let json = print(&answer, Format::Json);
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), answer);
    }

    proptest! {
        #[test]
        fn every_line_fits_and_nothing_is_lost(s in any::<String>(), indent in 0..30usize) {
            let mut lines = Lines::default();
            lines.text(indent, &s);
            for line in lines.0.lines() {
                prop_assert!(width(line) <= COLUMNS, "{line}");
            }
            let bare = |s: &str| s.replace([' ', '\n'], "");
            prop_assert_eq!(bare(&lines.0), bare(&escape::text(&s)));
        }
    }
}
