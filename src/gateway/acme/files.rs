//! What is kept: the account, and for each host one file with its key and its certificate.
//!
//! Both are in one file so that a rename exchanges them together. Nobody else may read the directory
//! or what is in it. A directory that several gateways share is locked by whoever orders.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::AcmeError;
use crate::clock::Timestamp;

/// What the names of certificates end in.
const SUFFIX: &str = ".pem";

/// The largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The account as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    /// Where it was made.
    pub(super) directory: String,
    /// Of its key (RFC 7638), in base64url: what challenges are answered with.
    pub(super) thumbprint: String,
    /// The key and the account's address, as the library keeps them.
    pub(super) credentials: serde_json::Value,
}

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Dir(PathBuf);

impl Dir {
    /// Makes it where it is not there.
    pub(super) fn open(path: PathBuf) -> Result<Self, AcmeError> {
        let certificates = path.join(CERTIFICATES);
        for dir in [&path, &certificates] {
            match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
                Ok(()) => {}
                Err(e) => return Err(at(dir)(e)),
            }
            refuse_exposed(dir)?;
        }
        Ok(Self(path))
    }

    /// Held for as long as somebody orders, by one of those who share the directory; none while
    /// another holds it.
    pub(super) fn lock(&self) -> Result<Option<File>, AcmeError> {
        let path = self.0.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(at(&path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(at(&path)(e.into())),
        }
    }

    pub(super) fn account(&self) -> Result<Option<Kept>, AcmeError> {
        let path = self.0.join("account.json");
        let Some(text) = read(&path)? else { return Ok(None) };
        refuse_exposed(&path)?;
        serde_json::from_slice(&text).map(Some).map_err(|e| AcmeError::Account(path, e.to_string()))
    }

    pub(super) fn put_account(&self, account: &Kept) -> Result<(), AcmeError> {
        let path = self.0.join("account.json");
        let text = serde_json::to_vec_pretty(account)
            .map_err(|e| AcmeError::Account(path.clone(), e.to_string()))?;
        write(&path, &text)
    }

    /// Keeps the account under another name.
    pub(super) fn set_account_aside(&self) -> Result<(), AcmeError> {
        let path = self.0.join("account.json");
        fs::rename(&path, self.0.join("account.unknown.json")).map_err(at(&path))
    }

    /// How long the certificate of `host` is good; none where there is none that can be read.
    pub(super) fn validity(&self, host: &str) -> Result<Option<Validity>, AcmeError> {
        Ok(read(&self.certificate(host))?.as_deref().and_then(validity))
    }

    pub(super) fn put_certificate(&self, host: &str, pem: &str) -> Result<(), AcmeError> {
        write(&self.certificate(host), pem.as_bytes())
    }

    fn certificate(&self, host: &str) -> PathBuf {
        self.0.join(CERTIFICATES).join(format!("{host}{SUFFIX}"))
    }
}

/// The directory of certificates within the other.
const CERTIFICATES: &str = "certificates";

/// The certificates below `dir` by their hosts, in the order of their names.
pub fn certificates(dir: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir.join(CERTIFICATES)) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let host = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.to_owned();
            Some((host, path))
        })
        .collect();
    found.sort();
    found
}

/// How long the first certificate of a PEM text is good.
pub(super) fn validity(pem: &[u8]) -> Option<Validity> {
    let certificate = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
    let at =
        |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1_000_000));
    let validity = certificate.validity();
    Some(Validity { from: at(validity.not_before), until: at(validity.not_after) })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, AcmeError> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_BYTES_MAX => {
            Err(at(path)(io::Error::other("larger than what is kept here")))
        }
        Ok(_) => fs::read(path).map(Some).map_err(at(path)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(path)(e)),
    }
}

/// Whole or not at all, for us alone.
fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    let beside = path.with_extension("new");
    let written = (|| {
        let options =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).clone();
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    })();
    written.map_err(at(path))
}

fn refuse_exposed(path: &Path) -> Result<(), AcmeError> {
    let meta = fs::metadata(path).map_err(at(path))?;
    match meta.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(AcmeError::Exposed(path.to_owned())),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> AcmeError {
    let path = path.to_owned();
    |source| AcmeError::Io { path, source }
}
