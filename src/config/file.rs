//! From a file to a [`Config`], naming everything that is wrong with it at once.
//!
//! serde stops at the first key it cannot take. We write that one down, take it out of the parsed
//! document and read again, until it fits: so that one run shows every bad key, and the limits are
//! checked on what remains.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, Error, Problem, Source, check, place::Place, problem::plain, source::line_of};

/// A file with more problems than this is not read to its end.
const PROBLEMS_MAX: usize = 100;
/// A larger file is refused, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// An unknown key is answered with a known one that is at least this much alike.
const LIKENESS_MIN: f64 = 0.75;

/// A valid configuration and where its keys stand.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where it was read from.
    pub source: Source,
}

/// Reads and checks the configuration in `path`. Nothing is bound, created or written.
///
/// # Errors
/// Every problem found, in the order of the file.
pub fn load(path: &Path) -> Result<Loaded, Error> {
    parse(path, &read(path)?)
}

/// Reads and checks the text of a configuration; `path` is what messages call it.
///
/// # Errors
/// Every problem found, in the order of the file.
pub fn parse(path: &Path, text: &str) -> Result<Loaded, Error> {
    let (mut table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let source = Source::empty(path);
        return Err(Error(errors.iter().map(|e| syntax(&source, text, e)).collect()));
    }
    let source = Source::new(path, text, table.get_ref());
    version(&source, table.get_ref())?;

    let mut problems = Vec::new();
    let config = fit(&source, text, &mut table, &mut problems);
    if let Some(config) = &config {
        problems.extend(check::check(config, &source));
    }
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded { config, source }),
        _ => {
            problems.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
            Err(Error(problems))
        }
    }
}

/// Reads the text of another file of ours, whose keys `T` has: with the same complaints, and where
/// each key stands for those that only the caller can make.
///
/// # Errors
/// Every key that does not fit, in the order of the file.
pub fn table<T: DeserializeOwned>(path: &Path, text: &str) -> Result<(T, Source), Error> {
    let (mut table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let source = Source::empty(path);
        return Err(Error(errors.iter().map(|e| syntax(&source, text, e)).collect()));
    }
    let source = Source::new(path, text, table.get_ref());
    let mut problems = Vec::new();
    match fit(&source, text, &mut table, &mut problems) {
        Some(read) if problems.is_empty() => Ok((read, source)),
        _ => Err(Error(problems)),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let source = Source::empty(path);
    let refuse =
        |problem: String, advice: &str| Err(Error(vec![source.problem("", problem, advice)]));
    match fs::metadata(path) {
        Ok(m) if m.len() > FILE_BYTES_MAX => {
            return refuse(
                format!("the file has {} bytes, more than {FILE_BYTES_MAX}", m.len()),
                "Name a configuration with --config",
            );
        }
        _ => {}
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) => refuse(
            format!("cannot be read: {}", plain(&e)),
            "Name a readable TOML file in UTF-8 with --config; deploy/tracegate.toml is an example",
        ),
    }
}

/// The version is read before all else: another format may have other keys.
fn version(source: &Source, table: &DeTable<'_>) -> Result<(), Error> {
    let value = table.iter().find(|(key, _)| key.get_ref() == "version").map(|(_, v)| v.get_ref());
    let problem = match value {
        None => {
            let advice = "Write \"version = 1\" as the first line";
            Problem {
                line: Some(1),
                ..source.problem("version", "the format's version is missing", advice)
            }
        }
        Some(DeValue::Integer(i)) if i.to_string() == "1" => return Ok(()),
        Some(DeValue::Integer(i)) => source.problem(
            "version",
            format!("version {i} is not known to this build"),
            "Write \"version = 1\" and keep to the keys of deploy/tracegate.toml",
        ),
        Some(other) => source.problem(
            "version",
            format!("expected the number 1, found {}", other.type_str()),
            "Write \"version = 1\"",
        ),
    };
    Err(Error(vec![problem]))
}

/// Takes out what does not fit until the rest does.
fn fit<T: DeserializeOwned>(
    source: &Source,
    text: &str,
    table: &mut Spanned<DeTable<'_>>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    while problems.len() < PROBLEMS_MAX {
        let error = match T::deserialize(toml::Deserializer::from(table.clone())) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let place = error.span().and_then(|span| Place::around(table.get_ref(), span));
        let path = place.as_ref().map(Place::to_string).unwrap_or_default();
        let at = error.span().map(|span| line_of(text, span.start));
        problems.push(misfit(source.problem_at(at, &path), error.message()));
        place?.remove_from(table.get_mut());
    }
    None
}

fn syntax(source: &Source, text: &str, error: &toml::de::Error) -> Problem {
    Problem {
        line: error.span().map(|span| line_of(text, span.start)),
        ..source.problem("", format!("not TOML: {}", error.message()), "Correct that line")
    }
}

/// Words serde's complaint for a reader of the file.
fn misfit(place: Problem, message: &str) -> Problem {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (problem, advice) = match (message.split_once(' '), quoted.as_slice()) {
        (Some(("unknown", rest)), [name, known @ ..]) if rest.starts_with("field") => {
            (format!("unknown key \"{name}\""), key_advice(name, known))
        }
        (Some(("unknown", rest)), [name, known @ ..]) if rest.starts_with("variant") => {
            (format!("unknown value \"{name}\""), format!("Write one of: {}", known.join(", ")))
        }
        (Some(("missing", _)), [name, ..]) => {
            (format!("the key \"{name}\" is missing"), format!("Add \"{name} = …\""))
        }
        (Some(("invalid", rest)), _) if rest.starts_with("socket address") => (
            "not an address and port".to_owned(),
            "Write both, such as 127.0.0.1:53 or [::1]:53".to_owned(),
        ),
        (Some(("invalid", _)), _) => (
            whole_numbers(&message.replace('`', "")),
            "Write a value of the expected kind".to_owned(),
        ),
        _ => (message.replace('`', ""), "Correct the value".to_owned()),
    };
    Problem { problem, advice, ..place }
}

fn key_advice(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|k| (strsim::jaro_winkler(name, k), k))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
    match nearest {
        Some((_, key)) => format!("Perhaps \"{key}\" was meant; otherwise remove it"),
        None => format!("Remove it; the keys here are: {}", known.join(", ")),
    }
}

/// Says "a whole number" where serde names one of Rust's.
fn whole_numbers(message: &str) -> String {
    match message.rsplit_once("expected ") {
        Some((before, "u8" | "u16" | "u32" | "u64" | "usize")) => {
            format!("{before}expected a whole number")
        }
        _ => message.to_owned(),
    }
}
