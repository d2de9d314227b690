//! WHOIS responses (RFC 3912): text of the registry's own making. Those of CNNIC and of the largest
//! others are read by their own grammar; a generic one reads the rest, at a lower grade, and never
//! takes a text for the word that there is no such domain.
//!
//! What is kept is a text of our own: the lines that checks look at, under the grammar's name, and
//! digests where a holder was.

pub use super::grammar::{Field, Grammar};
use super::{Registrar, Registration, Said, status::Status, strip::Stripper, times};
use crate::verify::Grade;

/// The most lines that are read.
const LINES_MAX: usize = 2_000;

/// What a text is that tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWhois {
    /// The server asks for pause.
    #[error("asked too often")]
    Limited,
    /// There is neither a domain in it nor that there is none.
    #[error("neither a domain nor that there is none")]
    Unclear,
    /// It is about another domain.
    #[error("about another domain")]
    Another,
}

/// Takes what is looked at out of what `server` said, and persons out of that.
///
/// # Errors
/// When it tells nothing.
pub fn strip(
    text: &str,
    grammar: Grammar,
    domain: &str,
    stripper: &Stripper,
) -> Result<String, BadWhois> {
    let is_icann = grammar == Grammar::Generic && text.contains("Registry Domain ID:");
    // Generic registries have one form for what there is and few for what is not.
    let grammar = if is_icann { Grammar::Icann } else { grammar };
    let mut kept = format!("% grammar: {}\n", grammar.name());
    let found = fields(text, grammar);
    for (field, value) in &found {
        let value = match field {
            Field::HolderName | Field::HolderOrganization | Field::HolderEmail => {
                stripper.digest(value)
            }
            _ => value.clone(),
        };
        kept.push_str(&format!("{}: {value}\n", field.name()));
    }
    match read(kept.as_bytes(), domain) {
        Err(BadWhois::Unclear) if is_limit(text) => Err(BadWhois::Limited),
        Err(e) => Err(e),
        Ok(_) => Ok(kept),
    }
}

/// Whether a text that tells nothing else says that too much was asked.
fn is_limit(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let words = ["exceeded", "too many", "rate limit", "quota", "too fast", "try again later"];
    words.iter().any(|w| text.contains(w)) || text.contains("interval is too short")
}

/// The fields of a text. Three layouts are in use: `Key: value`, `[Key] value`, and a key alone
/// with its values below it, further in.
fn fields(text: &str, grammar: Grammar) -> Vec<(Field, String)> {
    let mut found = Vec::new();
    let mut block: Option<(usize, Field)> = None;
    for line in text.lines().take(LINES_MAX) {
        let indent = line.len() - line.trim_start().len();
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['%', '#', '>']) {
            continue;
        }
        if grammar.is_absent(bare) {
            found.push((Field::Absent, bare.to_owned()));
            continue;
        }
        let bracket = bare.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let pair = bracket.or_else(|| bare.split_once(':'));
        let field = pair.and_then(|(key, _)| {
            let key = key.trim().trim_start_matches(|c: char| !c.is_alphanumeric());
            grammar.field(&key.to_ascii_lowercase())
        });
        match (pair, field) {
            (Some((_, value)), Some(field)) if !value.trim().is_empty() => {
                found.push((field, value.trim().to_owned()));
                block = None;
            }
            (Some(_), Some(field)) => block = Some((indent, field)),
            _ => match block {
                Some((at, field)) if indent > at => found.push((field, bare.to_owned())),
                _ => block = None,
            },
        }
    }
    found
}

/// What a text that was kept says of `domain`.
///
/// # Errors
/// When it says nothing about it.
pub fn read(kept: &[u8], domain: &str) -> Result<(Said, Grade), BadWhois> {
    let kept = std::str::from_utf8(kept).map_err(|_| BadWhois::Unclear)?;
    let mut lines = kept.lines();
    let grammar = lines.next().and_then(|l| l.strip_prefix("% grammar: "));
    let grammar = Grammar::ALL.iter().copied().find(|g| Some(g.name()) == grammar);
    let grammar = grammar.ok_or(BadWhois::Unclear)?;
    let grade = if grammar == Grammar::Generic { Grade::D } else { Grade::B };
    let mut found = Registration::default();
    let mut is_absent = false;
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match Field::ALL.iter().copied().find(|f| f.name() == name) {
            Some(Field::Absent) => is_absent = true,
            Some(field) => take(&mut found, field, value, grammar),
            None => {}
        }
    }
    match (found.domain.as_str(), is_absent) {
        // DENIC names the domain that is free.
        (_, true) if grammar == Grammar::Denic => Ok((Said::Absent, grade)),
        ("", true) if grammar == Grammar::Generic => Ok((Said::Perhaps, grade)),
        ("", true) => Ok((Said::Absent, grade)),
        ("", false) => Err(BadWhois::Unclear),
        (name, _) if name == domain => Ok((Said::Registered(Box::new(found)), grade)),
        _ => Err(BadWhois::Another),
    }
}

fn take(found: &mut Registration, field: Field, value: &str, grammar: Grammar) {
    let at = || times::any(value, grammar.offset_h());
    let first = || value.split_whitespace().next().unwrap_or_default();
    let name = || first().trim_end_matches('.').to_lowercase();
    let registrar = |found: &mut Registration, f: &dyn Fn(&mut Registrar)| {
        f(found.registrar.get_or_insert_with(Registrar::default));
    };
    match field {
        Field::Domain if found.domain.is_empty() => {
            found.domain = idna::domain_to_ascii(&name()).unwrap_or_else(|_| name());
        }
        Field::Status => statuses(found, value, grammar),
        Field::Registrar => registrar(found, &|r| r.name = value.to_owned()),
        Field::RegistrarId => registrar(found, &|r| r.iana_id = value.parse().ok()),
        Field::NameServer => {
            found.nameservers.insert(name());
        }
        Field::Registered => found.registered = found.registered.or_else(at),
        Field::Changed => found.changed = found.changed.or_else(at),
        Field::Expires => found.expires = found.expires.or_else(at),
        Field::Dnssec => {
            let word = first().to_ascii_lowercase();
            let unsigned = ["unsigned", "no", "inactive"].contains(&word.as_str());
            found.is_signed = Some(!unsigned);
            if unsigned {
                found.ds = Some(Default::default());
            }
        }
        Field::HolderName | Field::HolderOrganization | Field::HolderEmail => {
            let member = field.name().trim_start_matches("holder_");
            found.registrant.insert(format!("{member}_digest"), value.to_owned());
        }
        Field::HolderCountry => {
            found.registrant.insert("country".to_owned(), value.to_owned());
        }
        Field::Domain | Field::Absent => {}
    }
}

fn statuses(found: &mut Registration, value: &str, grammar: Grammar) {
    for word in value.split(',').map(str::trim) {
        let lower = word.to_ascii_lowercase();
        let own = match (grammar, lower.as_str()) {
            (Grammar::Denic, "connect") | (Grammar::Tci, "delegated" | "registered") => {
                Some(Status::Active)
            }
            (Grammar::Tci, "verified") => Some(Status::Validated),
            (Grammar::Tci, "not delegated") => Some(Status::Inactive),
            (Grammar::Jprs, "active" | "connected") => Some(Status::Active),
            (Grammar::Nominet, text) if text.starts_with("registered until") => {
                Some(Status::Active)
            }
            _ => Status::read(word),
        };
        match own {
            Some(status) => found.statuses.insert(status),
            None => found.unknown_statuses.insert(word.to_owned()),
        };
    }
}

#[cfg(test)]
mod tests;
