//! Who answers for a top-level domain: by IANA's table of RDAP servers (RFC 9224), label by label.
//!
//! A table that is older than the one in use, or lost many of its entries, is refused: whoever
//! wants every question must not get them by a bad table.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::whois::Grammar;
use crate::{clock::Timestamp, verify::evidence::EvidenceId};

/// What is known without a table of the operator's.
const KNOWN: &str = include_str!("registries.txt");

/// A new table must have nine tenths of the old one's entries.
const SHRINK_TENTHS_MIN: usize = 9;

/// A larger table is none, in bytes.
pub const TABLE_BYTES_MAX: usize = 4 << 20;

/// Who answers for the domains below a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// The base of RDAP, with a slash at its end.
    pub rdap: Option<Url>,
    /// The server of WHOIS, with a port where that is not 43.
    pub whois: Option<String>,
    /// How it writes, where that is known.
    pub grammar: Option<Grammar>,
}

/// A line that names no registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: write NAME RDAP|- WHOIS|- [GRAMMAR], RDAP by https")]
pub struct BadRegistry(String);

/// Who answers for what.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    by: BTreeMap<String, Registry>,
    /// When the table was published, as it says.
    pub publication: Option<Timestamp>,
    /// The digest of the table that is in use.
    pub digest: EvidenceId,
}

/// Why a table is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// It is no table.
    #[error("no bootstrap table (RFC 9224): {0}")]
    Syntax(String),
    /// It is older than the one in use.
    #[error("its publication is not newer than that of the table in use")]
    Older,
    /// It lost too many entries.
    #[error("it has {0} entries where the table in use has {1}")]
    Shrunk(usize, usize),
}

#[derive(Deserialize)]
struct Table {
    publication: String,
    services: Vec<Vec<Vec<String>>>,
}

impl Bootstrap {
    /// What is known without a table.
    pub fn known() -> Self {
        let mut by = BTreeMap::new();
        for line in KNOWN.lines().filter(|l| !l.starts_with('#')) {
            let mut words = line.split(' ');
            let registry = Registry {
                rdap: words.next().and_then(base),
                whois: words.next().filter(|w| *w != "-").map(str::to_owned),
                grammar: None,
            };
            by.extend(words.map(|tld| (tld.to_owned(), registry.clone())));
        }
        Self { by, publication: None, digest: EvidenceId::of(KNOWN.as_bytes()) }
    }

    /// How many names have an entry.
    pub fn len(&self) -> usize {
        self.by.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// Takes over IANA's table: its RDAP servers take the place of those known for the same names.
    ///
    /// # Errors
    /// When it is no table, not newer, or much smaller: then nothing changes.
    pub fn take(&self, table: &[u8]) -> Result<Self, BadTable> {
        let syntax = |e: &dyn std::fmt::Display| BadTable::Syntax(e.to_string());
        let parsed: Table = serde_json::from_slice(table).map_err(|e| syntax(&e))?;
        let publication: Timestamp =
            parsed.publication.parse().map_err(|_| syntax(&"publication: no time"))?;
        if self.publication.is_some_and(|ours| publication <= ours) {
            return Err(BadTable::Older);
        }
        let mut found: BTreeMap<String, Url> = BTreeMap::new();
        for service in &parsed.services {
            let [names, urls] = service.as_slice() else {
                return Err(syntax(&"services: not pairs of names and URLs"));
            };
            let Some(url) = urls.iter().find_map(|u| base(u)) else { continue };
            found.extend(names.iter().map(|n| (plain(n), url.clone())));
        }
        let ours = self.by.values().filter(|r| r.rdap.is_some()).count();
        if found.len() * 10 < ours * SHRINK_TENTHS_MIN {
            return Err(BadTable::Shrunk(found.len(), ours));
        }
        let mut by = self.by.clone();
        for registry in by.values_mut() {
            registry.rdap = None;
        }
        for (name, url) in found {
            by.entry(name).or_default().rdap = Some(url);
        }
        Ok(Self { by, publication: Some(publication), digest: EvidenceId::of(table) })
    }

    /// Says who answers for the domains below a name, whatever tables say: `NAME RDAP|- WHOIS|-
    /// [GRAMMAR]`.
    ///
    /// # Errors
    /// When the line is none.
    pub fn set(&mut self, line: &str) -> Result<(), BadRegistry> {
        let bad = || BadRegistry(line.to_owned());
        let words: Vec<&str> = line.split_whitespace().collect();
        let (&[name, rdap, whois], grammar) =
            words.split_at_checked(3).ok_or_else(bad).and_then(|(first, rest)| {
                Ok((<&[&str; 3]>::try_from(first).map_err(|_| bad())?, rest))
            })?;
        let grammar = match grammar {
            [] => None,
            [one] => {
                let found = Grammar::ALL.iter().copied().find(|g| g.name() == *one);
                Some(found.ok_or_else(bad)?)
            }
            _ => return Err(bad()),
        };
        let rdap = if rdap == "-" { None } else { Some(base(rdap).ok_or_else(bad)?) };
        let whois = Some(whois.to_owned()).filter(|w| w != "-");
        self.by.insert(plain(name), Registry { rdap, whois, grammar });
        Ok(())
    }

    /// Who answers for `domain`: the entry with the most labels that it ends with, whole labels
    /// alone (RFC 9224 §4).
    pub fn of(&self, domain: &str) -> Option<(&str, &Registry)> {
        let domain = plain(domain);
        let mut rest = domain.as_str();
        loop {
            if let Some((name, registry)) = self.by.get_key_value(rest) {
                return Some((name, registry));
            }
            rest = rest.split_once('.')?.1;
        }
    }
}

fn plain(name: &str) -> String {
    let name = name.trim_matches('.').to_ascii_lowercase();
    if name.is_ascii() { name } else { idna::domain_to_ascii(&name).unwrap_or(name) }
}

/// The base of an RDAP service: HTTPS alone, with a slash at its end.
pub(super) fn base(text: &str) -> Option<Url> {
    let text = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    Url::parse(&text).ok().filter(|url| url.scheme() == "https" && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(publication: &str, names: &[&str]) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "version": "1.0", "publication": publication,
            "services": [[names, ["https://rdap.example/base", "http://rdap.example/"]]],
        }))
        .unwrap()
    }

    fn of(table: &Bootstrap, domain: &str) -> Option<String> {
        let (name, registry) = table.of(domain)?;
        Some(format!("{name} {}", registry.rdap.as_ref()?))
    }

    #[test]
    fn whole_labels_count() {
        let known = Bootstrap::known();
        assert!(known.len() > 1_300, "{}", known.len());
        let com = Some("com https://rdap.verisign.com/com/v1/".to_owned());
        assert_eq!(of(&known, "example.com"), com);
        assert_eq!(of(&known, "A.COM."), com);
        assert_eq!(of(&known, "telecom"), None);
        assert_eq!(of(&known, "example.xn--90ais"), None, "not Iceland's");
        let (_, cn) = known.of("example.cn").unwrap();
        assert_eq!((cn.rdap.as_ref(), cn.whois.as_deref()), (None, Some("whois.cnnic.cn")));
        assert_eq!(known.of("例子.中国").map(|(n, _)| n), Some("xn--fiqs8s"));
        assert!(known.of("example.no-such-tld").is_none());
    }

    #[test]
    fn registries_by_hand_are_over_any_table() {
        let mut table = Bootstrap::known();
        table.set("com - 127.0.0.1:4343 cnnic").unwrap();
        let (_, com) = table.of("example.com").unwrap();
        assert_eq!((com.rdap.as_ref(), com.whois.as_deref()), (None, Some("127.0.0.1:4343")));
        assert_eq!(com.grammar, Some(Grammar::Cnnic));
        for line in ["", "com", "com -", "com http://x/ -", "com - - latin", "com - - cnnic x"] {
            assert_eq!(table.set(line), Err(BadRegistry(line.to_owned())), "{line}");
        }
    }

    #[test]
    fn a_table_that_is_old_or_small_changes_nothing() {
        let mut small = Bootstrap::known();
        small.by.retain(|n, _| ["com", "net", "org"].contains(&n.as_str()));
        let names = ["com", "net", "org", "de"];
        let first = small.take(&table("2026-01-01T00:00:00Z", &names)).unwrap();
        assert_eq!(of(&first, "a.de").as_deref(), Some("de https://rdap.example/base/"));
        let older = first.take(&table("2025-01-01T00:00:00Z", &names));
        assert_eq!(older.unwrap_err(), BadTable::Older);
        let same = first.take(&table("2026-01-01T00:00:00Z", &names));
        assert_eq!(same.unwrap_err(), BadTable::Older);
        let shrunk = first.take(&table("2026-02-01T00:00:00Z", &names[..3]));
        assert_eq!(shrunk.unwrap_err(), BadTable::Shrunk(3, 4));
        assert!(matches!(first.take(b"{}"), Err(BadTable::Syntax(_))));
    }
}
