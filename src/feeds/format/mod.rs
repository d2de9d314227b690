//! The formats that lists come in: bytes in, rules and rejections out.
//!
//! A parser reads its input once, from the beginning to the end, and hands every rule and every
//! rejection to a [`Sink`] as it goes, so that the memory it takes does not grow with the list.
//! It normalises (IDNA, lower case, trailing dots) and never stops at an entry that it cannot
//! take. Duplicates are not its concern: whoever collects the rules sees them.

use std::{borrow::Cow, fmt};

use crate::policy::Rule;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The line, row or element, from 1.
    pub line: u64,
    /// Its text as it came, without the line's end.
    pub text: &'a [u8],
}

/// Why an entry was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A word for counting, such as `bad-name`.
    pub code: &'static str,
    /// A sentence for whoever wrote the list.
    pub text: Cow<'static, str>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where a parser puts what it finds.
pub trait Sink {
    /// A rule.
    fn rule(&mut self, at: Place<'_>, rule: Rule);

    /// An entry that is no rule.
    fn reject(&mut self, at: Place<'_>, reason: Reason);

    /// Whether to go on: asked between entries, for limits and stops.
    fn wants_more(&self) -> bool {
        true
    }
}
