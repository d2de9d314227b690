//! What the engine's process and its supervisor say to each other: one JSON object a line, down
//! the child's stdin and up its stdout. The child ends when its stdin does.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::config;

/// The two secrets. Whoever shows `internal` may write; `reader` only reads, and every statement
/// of it is reported before it runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Ours alone.
    pub internal: Secret,
    /// For tools that people point at the engine.
    pub reader: Secret,
}

impl Secrets {
    /// Two new ones.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self { internal: Secret::generate()?, reader: Secret::generate()? })
    }
}

/// A secret; its debug form does not show it.
#[derive(Clone, Deserialize, Serialize)]
pub struct Secret(String);

impl Secret {
    /// A new one of 256 bits.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// One made elsewhere.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to show to the engine.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The first line down.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Who may do what.
    pub secrets: Secrets,
    /// Limits and the library.
    pub engine: config::Engine,
    /// Whether a reader's statements wait for a [`Verdict`].
    pub report: bool,
}

/// Later lines down: the answer to a [`Look`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Verdict {
    /// The look's number.
    pub(super) look: u64,
    /// Whether it was recorded and may run.
    pub(super) allow: bool,
}

/// A reader's statement that is about to run, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Look {
    /// Counts from 1 in each process.
    pub look: u64,
    /// The id in `X-ClickHouse-Query-Id`.
    pub query_id: String,
    /// The address the statement came from.
    pub peer: SocketAddr,
    /// Its text.
    pub statement: String,
    /// The database asked for; empty for none.
    pub database: String,
    /// What stands for `{name:Type}` in the text, as sent.
    pub parameters: Vec<(String, String)>,
    /// Settings asked for, as sent.
    pub settings: Vec<(String, String)>,
    /// It was refused before the engine saw it, and does not run.
    pub refused: bool,
}

impl Look {
    /// All that was asked, as JSON: the text alone would not say whose rows it was about.
    pub fn question(&self) -> String {
        let asked = Asked {
            statement: &self.statement,
            database: &self.database,
            parameters: Pairs(&self.parameters),
            settings: Pairs(&self.settings),
        };
        // Strings alone always serialise.
        serde_json::to_string(&asked).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    statement: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    database: &'a str,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    parameters: Pairs<'a>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    settings: Pairs<'a>,
}

/// An object in the order given; a name given twice is kept twice.
struct Pairs<'a>(&'a [(String, String)]);

impl Pairs<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Lines up.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Said {
    /// Serving from now on.
    Ready(Ready),
    /// A reader's statement.
    Look(Look),
    /// Not yet serving.
    Waiting {
        /// For what.
        waiting: String,
    },
}

/// The engine serves.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Ready {
    /// The library's version.
    pub(super) ready: String,
    /// Where.
    pub(super) address: SocketAddr,
    /// What of the sandbox is in force.
    pub(super) sandbox: Sandbox,
}

/// What of the sandbox is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Sandbox {
    /// Files: `enforced`, `partial` or `none`.
    pub landlock: Enforced,
    /// System calls.
    pub seccomp: Enforced,
}

/// How far a fence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforced {
    /// Wholly.
    Enforced,
    /// As far as this kernel can.
    Partial,
    /// This kernel cannot.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_keeps_all_that_was_asked() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let look = Look {
            look: 1,
            query_id: "q".into(),
            peer: ([127, 0, 0, 1], 9).into(),
            statement: "SELECT {c:IPv6}".into(),
            database: String::new(),
            parameters: vec![pair("c", "2001:db8::1"), pair("c", "\"")],
            settings: vec![],
            refused: false,
        };
        assert_eq!(
            look.question(),
            r#"{"statement":"SELECT {c:IPv6}","parameters":{"c":"2001:db8::1","c":"\""}}"#
        );
        let look = Look {
            database: "d".into(),
            parameters: vec![],
            settings: vec![pair("max_threads", "1")],
            ..look
        };
        assert_eq!(
            look.question(),
            r#"{"statement":"SELECT {c:IPv6}","database":"d","settings":{"max_threads":"1"}}"#
        );
    }
}
