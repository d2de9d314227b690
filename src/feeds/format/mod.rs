//! The formats that lists come in: bytes in, rules and rejections out.
//!
//! A parser reads its input once, from the beginning to the end, and hands every rule and every
//! rejection to a [`Sink`] as it goes, so that the memory it takes does not grow with the list.
//! It normalises (IDNA, lower case, trailing dots) and never stops at an entry that it cannot
//! take: that one is rejected with its line, its text and a reason that says what to do, and the
//! next one is read as if it had not been there. Only what makes the whole input unreadable is an
//! [`Error`]. Duplicates are not a parser's concern: whoever collects the rules sees them. Nor is
//! what a rule would do to others, such as listing a public suffix: versions are judged later.
//!
//! A list that holds one kind of thing is never guessed into another: an address in a list of
//! names is rejected with the format that could take it. What is taken for what was meant is
//! written down in `deploy/feeds.md`.

mod action;
mod adblock;
mod csv;
mod dnsmasq;
mod domains;
mod hosts;
mod jsonl;
mod legal;
mod lines;
mod manifest;
mod names;
mod options;
mod out;
mod reason;
pub mod rpz;
mod settings;
mod stix;
mod subject;
mod table;
mod xlsx;

use std::{
    fmt,
    io::{BufRead, Read, Seek, SeekFrom},
    str::FromStr,
    sync::Arc,
};

pub use legal::{LegalField, utc_offset};
pub use manifest::Manifest;
pub use options::{Encoding, Options, Origin, TableOptions};
use out::Out;
pub use reason::Reason;
pub use settings::BadOption;
pub use table::{COLUMN_WORDS, Column, SubjectKind};

use crate::policy::Rule;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The line, row or element, from 1.
    pub line: u64,
    /// Its text as it came, without the line's end.
    pub text: &'a [u8],
}

/// Where a parser puts what it finds.
pub trait Sink {
    /// A rule.
    fn rule(&mut self, at: Place<'_>, rule: Rule);

    /// An entry that is no rule.
    fn reject(&mut self, at: Place<'_>, reason: Reason);

    /// At the beginning: the encoding of the text of the entries.
    fn encoding(&mut self, _encoding: Encoding) {}

    /// At the end: what stood beside the list.
    fn manifest(&mut self, _manifest: &Arc<Manifest>) {}

    /// Whether to go on: asked between entries, for limits and stops.
    fn wants_more(&self) -> bool {
        true
    }
}

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The zone text of a response policy zone.
    Rpz,
    /// Lines of an address and names.
    Hosts,
    /// A name a line.
    Domains,
    /// Comma-separated values.
    Csv,
    /// A workbook (Office Open XML).
    Xlsx,
    /// A JSON object a line.
    Jsonl,
    /// A filter list of Adblock Plus or uBlock Origin.
    Adblock,
    /// Configuration of dnsmasq.
    Dnsmasq,
    /// A bundle of STIX 2.1.
    Stix,
}

impl Format {
    /// Every format.
    pub const ALL: &[Self] = &[
        Self::Rpz,
        Self::Hosts,
        Self::Domains,
        Self::Csv,
        Self::Xlsx,
        Self::Jsonl,
        Self::Adblock,
        Self::Dnsmasq,
        Self::Stix,
    ];

    /// Its word in commands and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rpz => "rpz",
            Self::Hosts => "hosts",
            Self::Domains => "domains",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Jsonl => "jsonl",
            Self::Adblock => "adblock",
            Self::Dnsmasq => "dnsmasq",
            Self::Stix => "stix",
        }
    }

    /// The format of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no format {0:?}")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::from_name(name).ok_or_else(|| UnknownFormat(name.into()))
    }
}

/// What one run of a parser found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines, rows or elements read.
    pub lines: u64,
    /// Rules handed over.
    pub rules: u64,
    /// Entries rejected.
    pub rejected: u64,
    /// Entries that are neither: the SOA of a zone, `localhost` in a hosts file.
    pub ignored: u64,
    /// Records that carry what the law wants known of a rule beside them.
    pub companions: u64,
    /// The serial of the zone's SOA.
    pub serial: Option<u32>,
    /// Whether the sink wanted no more before the end.
    pub stopped: bool,
}

/// Why an input cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("the list cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is not in an encoding that this format is read in.
    #[error("the list is in {0}: save it as UTF-8")]
    Encoding(&'static str),
    /// It does not have the form that the whole of it must have.
    #[error("the list cannot be read as a whole: {0}")]
    Form(String),
    /// It, or what it unpacks to, is too large.
    #[error("the list is larger than {0} bytes{1}")]
    TooLarge(u64, &'static str),
}

/// How much of an input votes on its encoding, in bytes.
const BEGINNING_BYTES: u64 = 256 << 10;

/// Reads a whole input once. What TXT records of a policy zone say of its rules is not known then:
/// [`read`] knows.
///
/// # Errors
/// When it cannot be read as this format at all; what was found until then is with the sink.
pub fn parse(
    format: Format,
    input: &mut dyn BufRead,
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<Summary, Error> {
    let mut beginning = Vec::new();
    (&mut *input).take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    let encoding = options.encoding.settled(&beginning);
    let options = Options { encoding, ..options.clone() };
    // The text of a workbook's rows is our own; STIX is JSON, which is UTF-8 (RFC 8259 §8.1).
    let unicode = matches!(format, Format::Xlsx | Format::Stix);
    sink.encoding(if unicode { Encoding::Utf8 } else { encoding });
    let mut out = Out::new(&options, sink);
    if let Some(manifest) = &options.manifest {
        manifest.report(&mut out);
    }
    let input = &mut beginning.as_slice().chain(input);
    match format {
        Format::Rpz => rpz::parse(input, &mut out)?,
        Format::Hosts => hosts::parse(input, &mut out)?,
        Format::Domains => domains::parse(input, &mut out)?,
        Format::Csv => csv::parse(input, &mut out)?,
        Format::Xlsx => xlsx::parse(input, &mut out)?,
        Format::Jsonl => jsonl::parse(input, &mut out)?,
        Format::Adblock => adblock::parse(input, &mut out)?,
        Format::Dnsmasq => dnsmasq::parse(input, &mut out)?,
        Format::Stix => stix::parse(input, &mut out)?,
    }
    let summary = out.summary;
    if let Some(manifest) = &options.manifest {
        sink.manifest(manifest);
    }
    Ok(summary)
}

/// Reads a whole input from where it stands, a policy zone twice if there are TXT records in it
/// that say what the law wants known of its rules: they may stand anywhere.
///
/// # Errors
/// As [`parse`].
pub fn read(
    format: Format,
    input: &mut (impl BufRead + Seek),
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<Summary, Error> {
    if format != Format::Rpz {
        return parse(format, input, options, sink);
    }
    let start = input.stream_position()?;
    let mut options = options.clone();
    if manifest::may_have_companions(input)? {
        input.seek(SeekFrom::Start(start))?;
        if let Some(found) = manifest::companions(input, &options)? {
            options.manifest = Some(Arc::new(found));
        }
    }
    input.seek(SeekFrom::Start(start))?;
    parse(format, input, &options, sink)
}

#[cfg(test)]
mod tests;
