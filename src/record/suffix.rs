//! Public suffixes and registrable domains, by a dated list.
//!
//! `public_suffix_list.dat` beside this file is publicsuffix.org's list as published (MPL-2.0); a
//! file named in the configuration overrides it. Its version goes into every record that holds a
//! registrable domain, because the same name may belong to another domain next year.

use std::path::{Path, PathBuf};

use publicsuffix::{List, Psl, Type};

const EMBEDDED: &[u8] = include_bytes!("public_suffix_list.dat");

/// A public suffix list and its version.
#[derive(Clone, Debug)]
pub struct PublicSuffixes {
    list: List,
    version: String,
}

/// A public suffix list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSuffixList {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no public suffix list.
    #[error("not a public suffix list: {0}")]
    Parse(publicsuffix::Error),
}

impl PublicSuffixes {
    /// The list of `file`, or the embedded one without a file.
    pub fn load(file: Option<&Path>) -> Result<Self, BadSuffixList> {
        match file {
            None => Self::from_bytes(EMBEDDED),
            Some(path) => {
                let bytes = std::fs::read(path)
                    .map_err(|source| BadSuffixList::Read { path: path.to_owned(), source })?;
                Self::from_bytes(&bytes)
            }
        }
    }

    /// The list in `bytes`. Its version is its own `VERSION:` line, or a CRC-32C of the bytes
    /// where it has none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSuffixList> {
        let list = List::from_bytes(bytes).map_err(BadSuffixList::Parse)?;
        let head = &bytes[..bytes.len().min(4096)];
        let version = String::from_utf8_lossy(head)
            .lines()
            .find_map(|line| line.strip_prefix("// VERSION: "))
            .map_or_else(|| format!("crc32c:{:08x}", crc32c::crc32c(bytes)), |v| v.trim().into());
        Ok(Self { list, version: super::capped(&version, 64).to_owned() })
    }

    /// The list's version, for `psl_version`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The public suffix plus one label of `name`; `name` itself where there is none (it is a
    /// suffix, or a single label). `name` is lower case, of A-labels, without the trailing dot.
    pub fn registrable_domain<'a>(&self, name: &'a str) -> &'a str {
        match self.list.domain(name.as_bytes()) {
            // The domain is a tail of `name` that begins after a dot or at its beginning.
            Some(d) => &name[name.len() - d.as_bytes().len()..],
            None => name,
        }
    }

    /// The domain that a registry has `name` under: the suffix plus one label, where suffixes that
    /// others than registries have are none (`me.github.io` is registered as `github.io`).
    pub fn registered_domain<'a>(&self, name: &'a str) -> &'a str {
        let mut tail = name;
        let suffix = loop {
            let Some(suffix) = self.list.suffix(tail.as_bytes()) else { return name };
            let at = &name[name.len() - suffix.as_bytes().len()..];
            match (suffix.typ(), at.split_once('.')) {
                (Some(Type::Private), Some((_, above))) => tail = above,
                _ => break at,
            }
        };
        match name[..name.len() - suffix.len()].strip_suffix('.') {
            Some(before) => &name[before.rfind('.').map_or(0, |dot| dot + 1)..],
            None => name,
        }
    }

    /// Whether `name` (as for [`Self::registrable_domain`]) is a public suffix. A single label is
    /// one even when it is not listed (the list's implicit rule `*`).
    pub fn is_suffix(&self, name: &str) -> bool {
        self.list.suffix(name.as_bytes()).is_some_and(|s| s.as_bytes().len() == name.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrable_domains_follow_the_list() {
        let list = PublicSuffixes::load(None).unwrap();
        for (name, domain) in [
            ("example.com", "example.com"),
            ("a.b.example.com", "example.com"),
            ("com", "com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("www.city.kawasaki.jp", "city.kawasaki.jp"),
            ("a.b.c.kawasaki.jp", "b.c.kawasaki.jp"),
            ("me.github.io", "me.github.io"),
            ("x.xn--fiqs8s", "x.xn--fiqs8s"),
            ("a.x.xn--fiqs8s", "x.xn--fiqs8s"),
            ("www.unlisted-tld-of-ours", "www.unlisted-tld-of-ours"),
            ("in-addr.arpa", "in-addr.arpa"),
            (".", "."),
            ("localhost", "localhost"),
        ] {
            assert_eq!(list.registrable_domain(name), domain, "{name}");
        }
    }

    #[test]
    fn registries_have_what_is_below_their_own_suffixes() {
        let list = PublicSuffixes::load(None).unwrap();
        for (name, domain) in [
            ("www.example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("me.github.io", "github.io"),
            ("github.io", "github.io"),
            ("a.b.me.github.io", "github.io"),
            ("x.s3.amazonaws.com", "amazonaws.com"),
            ("com", "com"),
            ("co.uk", "co.uk"),
            ("www.unlisted", "www.unlisted"),
            (".", "."),
        ] {
            assert_eq!(list.registered_domain(name), domain, "{name}");
        }
    }

    #[test]
    fn suffixes_are_known() {
        let list = PublicSuffixes::load(None).unwrap();
        for (name, is) in [("co.uk", true), ("com", true), ("example.com", false), ("x", true)] {
            assert_eq!(list.is_suffix(name), is, "{name}");
        }
    }

    #[test]
    fn versions_are_stated_or_computed() {
        assert!(PublicSuffixes::load(None).unwrap().version().starts_with("20"));
        let own = b"// ===BEGIN ICANN DOMAINS===\ncom\n// ===END ICANN DOMAINS===\n";
        assert!(PublicSuffixes::from_bytes(own).unwrap().version().starts_with("crc32c:"));
        assert!(PublicSuffixes::from_bytes(b"nothing").is_err());
        assert!(PublicSuffixes::load(Some(Path::new("/nonexistent"))).is_err());
    }
}
