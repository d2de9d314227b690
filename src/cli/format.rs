//! `--format`: how results are printed, and, where lists and reports come and go, what those are
//! written in.
//!
//! One option serves both, so that `feed add NAME --format rpz --format json` says what the list is
//! written in and how the answer is printed. A word that the command at hand has no use for is
//! refused ([`Formats::refuse_other`]).

use std::{convert::Infallible, str::FromStr};

use clap::{Args, CommandFactory as _, error::ErrorKind};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Every `--format` given.
#[derive(Clone, Debug, Default, Args)]
pub struct Formats {
    /// How results are printed: text or json. Where lists or reports come and go, also what those
    /// are written in [default: text]
    #[arg(long = "format", global = true, value_name = "FORMAT")]
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Print(Format),
    Other(String),
}

impl FromStr for Word {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "text" => Self::Print(Format::Text),
            "json" => Self::Print(Format::Json),
            other => Self::Other(other.to_owned()),
        })
    }
}

impl Formats {
    /// How results are printed; the last word counts.
    pub fn print(&self) -> Format {
        let print = |w: &Word| if let Word::Print(format) = w { Some(*format) } else { None };
        self.words.iter().rev().find_map(print).unwrap_or(Format::Text)
    }

    /// What a list or a report is written in, if that was said.
    pub fn other(&self) -> Option<&str> {
        let other = |w: &'_ Word| matches!(w, Word::Other(_));
        match self.words.iter().rev().find(|w| other(w)) {
            Some(Word::Other(name)) => Some(name),
            _ => None,
        }
    }

    /// Ends the program as any wrong option does, where a word is given that `known` has not.
    pub(super) fn refuse_other(&self, known: &[&str]) {
        let Some(name) = self.other().filter(|name| !known.contains(name)) else { return };
        let mut all = vec!["text", "json"];
        all.extend(known);
        let said = format!("--format takes {}, not '{name}'", all.join(", "));
        super::Cli::command().error(ErrorKind::InvalidValue, said).exit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_each_kind_counts() {
        let formats =
            |words: &[&str]| Formats { words: words.iter().map(|w| w.parse().unwrap()).collect() };
        for (words, print, other) in [
            (&[][..], Format::Text, None),
            (&["json"], Format::Json, None),
            (&["rpz", "json"], Format::Json, Some("rpz")),
            (&["json", "text", "rpz", "hosts"], Format::Text, Some("hosts")),
        ] {
            let formats = formats(words);
            assert_eq!((formats.print(), formats.other()), (print, other), "{words:?}");
        }
    }
}
