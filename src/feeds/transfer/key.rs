//! Keys that transfers are signed with (TSIG, RFC 8945), read from files for our user alone.
//!
//! A file holds what `tsig-keygen NAME` prints, or one line `algorithm:name:secret` as `dig -y`
//! takes it. The secret never leaves this module: not in logs, not in errors, not in `Debug`.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use domain::{
    base::{Message, MessageBuilder, Name as WireName, ToName},
    rdata::tsig::Time48,
    tsig::{Algorithm, Key, KeyName, KeyStore, ServerSequence},
    utils::base64,
};

use super::wire::counted_end;
use crate::{clock::Timestamp, name::Name};

/// The largest file of a key, in bytes.
const FILE_BYTES_MAX: u64 = 4_096;

/// The shortest secret, in bytes: half of the shortest signature (RFC 8945 §8).
const SECRET_BYTES_MIN: usize = 16;

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyError {
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    #[error("{0} can be read by others: chmod 600 it")]
    Exposed(PathBuf),
    #[error("{0} holds no key: write what tsig-keygen prints, or algorithm:name:secret")]
    Form(PathBuf),
    #[error("{0} holds a key that another file holds, too: {1}")]
    Twice(PathBuf, String),
    #[error("{0}: the algorithm must be hmac-sha256, hmac-sha384 or hmac-sha512")]
    Algorithm(PathBuf),
    #[error("{0}: the secret must be at least 16 bytes in base64")]
    Secret(PathBuf),
}

/// Keys by name.
#[derive(Clone, Default)]
pub struct Keys(BTreeMap<String, Key>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Keys {
    /// Reads a key from each file.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn load(files: &[PathBuf]) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        for path in files {
            let key = read_key(path)?;
            let name = key_name(&key);
            if keys.0.insert(name.clone(), key).is_some() {
                return Err(KeyError::Twice(path.clone(), name));
            }
        }
        Ok(keys)
    }

    /// The key of this name.
    pub fn find(&self, name: &str) -> Option<Key> {
        self.0.get(&canonical(name)).cloned()
    }
}

impl KeyStore for Keys {
    type Key = Key;

    fn get_key<N: ToName>(&self, name: &N, algorithm: Algorithm) -> Option<Key> {
        let good = |key: &&Key| key.name() == name && key.algorithm() == algorithm;
        self.0.values().find(good).cloned()
    }
}

/// The name of a key as settings write it.
pub fn key_name(key: &Key) -> String {
    canonical(&key.name().to_string())
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn read_key(path: &Path) -> Result<Key, KeyError> {
    let text = read_file(path)?;
    let form = || KeyError::Form(path.to_owned());
    let (algorithm, name, secret) = parse(&text).ok_or_else(form)?;
    let algorithm = match algorithm {
        "hmac-sha256" => Algorithm::Sha256,
        "hmac-sha384" => Algorithm::Sha384,
        "hmac-sha512" => Algorithm::Sha512,
        _ => return Err(KeyError::Algorithm(path.to_owned())),
    };
    let secret: Vec<u8> = base64::decode(secret).map_err(|_| KeyError::Secret(path.to_owned()))?;
    if secret.len() < SECRET_BYTES_MIN {
        return Err(KeyError::Secret(path.to_owned()));
    }
    let name: KeyName = canonical(name).parse().map_err(|_| form())?;
    Key::new(algorithm, &secret, name, None, None).map_err(|_| form())
}

fn read_file(path: &Path) -> Result<String, KeyError> {
    let io = |e| KeyError::Io(path.to_owned(), e);
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw() || meta.uid() == 0;
    if meta.mode() & 0o077 != 0 || !ours {
        return Err(KeyError::Exposed(path.to_owned()));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// Algorithm, name and secret.
fn parse(text: &str) -> Option<(&str, &str, &str)> {
    let lines = text.lines().map(str::trim).filter(|l| !l.starts_with(['#', '/', ';']));
    let lines: Vec<&str> = lines.filter(|l| !l.is_empty()).collect();
    if let [line] = lines[..]
        && !line.contains('{')
    {
        let mut parts = line.splitn(3, ':');
        return Some((parts.next()?, parts.next()?, parts.next()?));
    }
    let separators = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"');
    let mut words = lines.iter().flat_map(|l| l.split(separators)).filter(|w| !w.is_empty());
    let (mut algorithm, mut name, mut secret) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "key" => name = words.next(),
            "algorithm" => algorithm = words.next(),
            "secret" => secret = words.next(),
            _ => return None,
        }
    }
    Some((algorithm?, name?, secret?))
}

/// The wall clock as signatures have it: 48 bits of seconds.
pub fn signature_time(now: Timestamp) -> Time48 {
    Time48::from_u64(u64::try_from(now.secs()).unwrap_or(0) & 0xffff_ffff_ffff)
}

/// Our name as `domain` has it.
pub fn wire_name(name: &Name) -> WireName<&[u8]> {
    // Both check the same; the root stands in for what cannot be.
    WireName::from_octets(name.wire()).unwrap_or_else(|_| WireName::root_ref())
}

/// Checks the signature of a request and takes it off; none for a request without one.
///
/// # Errors
/// The message to answer with when the signature is wrong; empty for none.
pub fn verify_request(
    keys: &Keys,
    message: &mut Vec<u8>,
    now: Timestamp,
) -> Result<Option<ServerSequence<Key>>, Vec<u8>> {
    let mut parsed = Message::from_octets(std::mem::take(message)).map_err(|_| Vec::new())?;
    match ServerSequence::request(keys, &mut parsed, signature_time(now)) {
        Ok(sequence) => {
            *message = parsed.into_octets();
            // The record is no longer counted; its bytes are still there.
            if sequence.is_some() {
                let end = counted_end(message).map_err(|_| Vec::new())?;
                message.truncate(end);
            }
            Ok(sequence)
        }
        Err(error) => {
            let answer = error.build_message(&parsed, MessageBuilder::new_vec());
            Err(answer.map(|a| a.finish()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(text: &str, mode: u32) -> Result<Keys, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Keys::load(std::slice::from_ref(&path))
            .map_err(|e| e.to_string().replace(path.to_str().unwrap(), "FILE"))
    }

    const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

    #[test]
    fn both_forms_of_a_file() {
        let clause =
            format!("key \"feed.key\" {{\n\talgorithm hmac-sha512;\n\tsecret \"{SECRET}\";\n}};\n");
        let keys = load(&clause, 0o600).unwrap();
        let key = keys.find("feed.key").unwrap();
        assert_eq!((key.algorithm(), key_name(&key)), (Algorithm::Sha512, "feed.key".to_owned()));
        assert_eq!(format!("{keys:?}"), r#"{"feed.key"}"#);
        let keys = load(&format!("# ours\nhmac-sha256:Feed.Key.:{SECRET}\n"), 0o400).unwrap();
        assert_eq!(keys.find("FEED.key.").unwrap().algorithm(), Algorithm::Sha256);
        assert!(keys.find("other").is_none());
    }

    #[test]
    fn files_that_hold_no_usable_key() {
        let line = |algorithm: &str, name: &str| format!("{algorithm}:{name}:{SECRET}");
        let check = |text: &str, mode, expected: &str| {
            let error = load(text, mode).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(SECRET), "{error}");
        };
        check(&line("hmac-sha256", "feed.key"), 0o640, "chmod 600");
        check(&line("hmac-sha256", "a..b"), 0o600, "holds no key");
        check(&line("hmac-md5", "feed.key"), 0o600, "must be hmac-sha256");
        check("hmac-sha256:feed.key:c2hvcnQ=", 0o600, "at least 16 bytes");
        check("hmac-sha256:feed.key:!", 0o600, "at least 16 bytes");
        check(&format!("key \"feed.key\" {{ secret \"{SECRET}\"; }};\n"), 0o600, "holds no key");
        check("", 0o600, "holds no key");
    }
}
