//! Why entries are rejected: a word for counting, a sentence for whoever wrote the list.

use std::{borrow::Cow, fmt};

/// Why an entry was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A word for counting, such as `bad-name`.
    pub code: &'static str,
    /// A sentence for whoever wrote the list.
    pub text: Cow<'static, str>,
}

impl Reason {
    /// A reason of this code.
    pub fn new(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into() }
    }

    /// The entry does not have the form of its format.
    pub fn syntax(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new("syntax", text)
    }

    /// Not a domain name.
    pub fn bad_name(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new("bad-name", text)
    }

    /// An entry longer than the limit.
    pub fn too_long(bytes_max: usize) -> Self {
        Self::new("too-long", format!("longer than {bytes_max} bytes"))
    }

    /// Bytes that are not text.
    pub const fn encoding() -> Self {
        Self {
            code: "encoding",
            text: Cow::Borrowed("not UTF-8, nor the encoding that the feed names"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
