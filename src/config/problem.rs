//! What is wrong with a configuration: file, line, key, one sentence on what to do.

use std::{fmt, io, path::PathBuf};

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file; none when there is only the default configuration.
    pub file: Option<PathBuf>,
    /// The line, from 1; none where the key is not in the file and its default applies.
    pub line: Option<usize>,
    /// The key's path, such as `dns.listen[0]`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// One sentence on what to do.
    pub advice: String,
}

impl fmt::Display for Problem {
    /// `file:line: key: problem. advice.`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("(no file)")?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
            if self.line.is_none() {
                f.write_str(" (default)")?;
            }
        }
        write!(f, ": {}. {}.", self.problem, self.advice)
    }
}

/// The configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Error(
    /// Everything that is wrong, in the order of the file.
    pub Vec<Problem>,
);

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// An error's message without its number, which says nothing to people.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}
