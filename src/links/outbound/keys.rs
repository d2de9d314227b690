//! Keys that sign targets: a file of them, for our user alone; the last one signs.
//!
//! A line is a key's id and its 32 bytes in hexadecimal; `#` begins a comment. A new key is written
//! below the others: from then on it signs, and those above go on to verify until their line is
//! taken out. Owners of sites that sign by themselves get a line of their own.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{GoQuery, query::encoded};
use crate::{
    clock::Timestamp,
    links::{
        Error,
        secret::{random, refuse_exposed},
    },
};

/// What the signature is for, so that no other signature under a key is taken for one.
const PURPOSE: &str = "outbound target 1";
/// Keys in a file, at most.
const KEYS_MAX: usize = 1_000;
/// A larger file is refused, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// The longest id.
const ID_MAX: usize = 32;
/// The id of the key that we make where there is none.
const FIRST: &str = "k1";

struct Key {
    id: String,
    bytes: [u8; 32],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys in force.
#[derive(Debug)]
pub struct OutboundKeys {
    file: Option<PathBuf>,
    keys: ArcSwap<Vec<Key>>,
}

/// Why a target is not known to be where an embedder of ours leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// There is no signature.
    Unsigned,
    /// What stands there is none.
    Malformed,
    /// It names a key that we do not have, or have no more.
    UnknownKey,
    /// It is not this target's, or somebody changed something.
    Wrong,
    /// Its time is over.
    Expired,
    /// It counts at another host.
    OtherHost,
}

impl Doubt {
    /// The reason's code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Malformed => "signature_malformed",
            Self::UnknownKey => "signature_key_unknown",
            Self::Wrong => "signature_wrong",
            Self::Expired => "signature_expired",
            Self::OtherHost => "signature_other_host",
        }
    }
}

/// A target signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The key's id.
    pub key: String,
    /// The query of `/go`.
    pub query: String,
}

impl OutboundKeys {
    /// No keys: nothing is signed, and nothing counts as such.
    pub fn none() -> Self {
        Self { file: None, keys: ArcSwap::default() }
    }

    /// The keys in `file`.
    ///
    /// # Errors
    /// When it is not ours alone, or not a file of keys.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let keys = read(file)?;
        Ok(Self { file: Some(file.to_owned()), keys: ArcSwap::from_pointee(keys) })
    }

    /// The same; a file with one key is made where there is none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_or_make(file: &Path) -> Result<Self, Error> {
        let at = |source| Error::Io { path: file.to_owned(), source };
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        match new {
            Ok(mut made) => {
                let line = format!("{FIRST} {}\n", hex::encode(random()?));
                io::Write::write_all(&mut made, line.as_bytes()).map_err(at)?;
                made.sync_all().map_err(at)?;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(at(e)),
        }
        Self::open(file)
    }

    /// Looks at the file again; whether other keys are in force now. What cannot be read leaves
    /// those there are.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn refresh(&self) -> Result<bool, Error> {
        let Some(file) = &self.file else { return Ok(false) };
        let (new, old) = (read(file)?, self.keys.load());
        let same = new.len() == old.len()
            && new.iter().zip(old.iter()).all(|(a, b)| a.id == b.id && a.bytes == b.bytes);
        if !same {
            self.keys.store(Arc::new(new));
        }
        Ok(!same)
    }

    /// Signs `target` under the newest key, until `expires` ([`Timestamp::ZERO`] for ever) and for
    /// one host of ours (empty for all). None without keys.
    pub fn sign(&self, target: &str, expires: Timestamp, domain: &str) -> Option<Seal> {
        let keys = self.keys.load();
        let key = keys.last()?;
        let url = encoded(target);
        let exp = match expires {
            Timestamp::ZERO => String::new(),
            at => at.secs().to_string(),
        };
        let tag = mac(key, domain, &exp, &url).finalize().into_bytes();
        let mut query = format!("url={url}");
        for (name, value) in [("domain", domain), ("exp", &*exp)] {
            if !value.is_empty() {
                query.push_str(&format!("&{name}={value}"));
            }
        }
        query.push_str(&format!("&sig={}.{}", key.id, hex::encode(tag)));
        Some(Seal { key: key.id.clone(), query })
    }

    /// Whether `asked` is signed under one of the keys, for `host` (a name without port, in any
    /// case) and for now. Takes the same time for every tag.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, asked: &GoQuery<'_>, host: &str, now: Timestamp) -> Result<(), Doubt> {
        let sig = asked.sig.ok_or(Doubt::Unsigned)?;
        let (id, digits) = sig.split_once('.').ok_or(Doubt::Malformed)?;
        let mut tag = [0; 32];
        let lower = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !lower || hex::decode_to_slice(digits, &mut tag).is_err() || !is_id(id) {
            return Err(Doubt::Malformed);
        }
        let keys = self.keys.load();
        let key = keys.iter().find(|k| k.id == id).ok_or(Doubt::UnknownKey)?;
        let signed = mac(key, asked.domain, asked.exp, asked.url).verify_slice(&tag);
        signed.map_err(|_| Doubt::Wrong)?;
        if !asked.exp.is_empty() && asked.exp.parse().is_ok_and(|exp: i64| exp <= now.secs()) {
            return Err(Doubt::Expired);
        }
        if !asked.domain.is_empty() && !asked.domain.eq_ignore_ascii_case(host) {
            return Err(Doubt::OtherHost);
        }
        Ok(())
    }
}

fn mac(key: &Key, domain: &str, exp: &str, url: &str) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.bytes).expect("a key of any length");
    mac.update([PURPOSE, &key.id, domain, exp, url].join("\n").as_bytes());
    mac
}

fn is_id(id: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(inner)
}

fn read(path: &Path) -> Result<Vec<Key>, Error> {
    let at = |source| Error::Io { path: path.to_owned(), source };
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).map_err(at)?;
    refuse_exposed(path, &file)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(at)?;
    let bad = |line, why| Error::BadKeys { path: path.to_owned(), line, why };
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(bad(1, "the file is too large"));
    }
    // Somebody may be writing: a last line without its end is not whole.
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(bad(text.lines().count(), "the last line has no end"));
    }
    let mut keys: Vec<Key> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut bytes = [0; 32];
        let (id, digits) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if !is_id(id) {
            return Err(bad(number, "an id is 1 to 32 of A-Z a-z 0-9 - _"));
        }
        if hex::decode_to_slice(digits.trim(), &mut bytes).is_err() {
            return Err(bad(number, "a key is 64 hexadecimal digits behind its id"));
        }
        if keys.iter().any(|k| k.id == id) {
            return Err(bad(number, "this id stands above"));
        }
        if keys.len() == KEYS_MAX {
            return Err(bad(number, "there are too many keys"));
        }
        keys.push(Key { id: id.to_owned(), bytes });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
