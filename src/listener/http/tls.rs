//! Certificates of the gateway: one per set of hosts, chosen by the name a client asks for (SNI),
//! read again when their files change.
//!
//! Every file is read and checked before any of it counts: the key belongs to the certificate, the
//! certificate to the hosts, and nobody else may read the key. A set that cannot be read when the
//! server starts ends the start; one that cannot be read later leaves the last good set in force, is
//! logged once, and is read again when a file changes again. Whoever asks for no name gets the first
//! certificate; whoever asks for a name we have none for is refused in the handshake.
//!
//! Certificates that the gateway obtained for itself come from a directory, a file a host with its key
//! in it. There may be none yet, and one that cannot be read keeps no other from being used.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{config, gateway::acme};

/// The largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{0}: larger than a certificate or a key")]
    TooLarge(PathBuf),
    /// A key that others may read is none.
    #[error("{0}: others may read it; give it mode 0600")]
    Exposed(PathBuf),
    /// Not PEM, or without what it should hold.
    #[error("{0}: holds no certificate or key in PEM")]
    NotPem(PathBuf),
    /// The certificate is not for this host.
    #[error("{path}: the certificate is not for {host}")]
    OtherHost {
        /// The chain.
        path: PathBuf,
        /// The host.
        host: String,
    },
    /// The library refuses it, such as a key of another certificate.
    #[error("{path}: {source}")]
    Refused {
        /// The chain.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// There are none.
    #[error("gateway.tls_listen needs certificates: add [[gateway.certificates]]")]
    None,
}

/// The certificates in force.
pub struct Certificates {
    files: Vec<config::Certificate>,
    /// Where those are that were obtained.
    obtained: Option<PathBuf>,
    set: ArcSwap<Set>,
    /// What the files were like when they were last read, well or not.
    seen: Mutex<Vec<(PathBuf, Sign)>>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

struct Set {
    first: Option<Arc<CertifiedKey>>,
    by_host: HashMap<String, Arc<CertifiedKey>>,
}

/// What tells a file from another under the same name; none while there is none.
type Sign = Option<(u64, u64, i64, i64)>;

impl Certificates {
    /// Reads all of them: those in `files`, and those obtained below `obtained`. Blocks on the disk.
    ///
    /// # Errors
    /// When one in `files` cannot be used, or there are none and none are obtained.
    pub fn load(
        files: &[config::Certificate],
        obtained: Option<PathBuf>,
    ) -> Result<Arc<Self>, TlsError> {
        let all = all(files, obtained.as_deref());
        let seen = Mutex::new(signs(&all));
        let set = read(files, &all)?;
        if set.first.is_none() && obtained.is_none() {
            return Err(TlsError::None);
        }
        let set = ArcSwap::from_pointee(set);
        Ok(Arc::new(Self { files: files.to_vec(), obtained, set, seen }))
    }

    /// Reads all of them again if a file has changed; whether new ones are in force. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// When one in a file that is configured cannot be used; those before stay in force.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all(&self.files, self.obtained.as_deref());
        let now = signs(&all);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.set.store(Arc::new(read(&self.files, &all)?));
        Ok(true)
    }

    /// What a listener needs: TLS 1.3 and 1.2, HTTP/1.1.
    ///
    /// # Errors
    /// When the library cannot do that.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let set = self.set.load();
        let Some(name) = hello.server_name() else { return set.first.clone() };
        set.find(name).cloned()
    }
}

impl Set {
    /// The certificate for `name`: its own, else that of the wildcard above it.
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.by_host.get(&name).or_else(|| {
            let (_, above) = name.split_once('.')?;
            self.by_host.get(&format!("*.{above}"))
        })
    }
}

/// Those in `files`, then those obtained.
fn all(files: &[config::Certificate], obtained: Option<&Path>) -> Vec<config::Certificate> {
    let one = |(host, path): (String, PathBuf)| config::Certificate {
        hosts: vec![host],
        chain: path.clone(),
        key: path,
    };
    let obtained = obtained.map(acme::certificates).unwrap_or_default();
    files.iter().cloned().chain(obtained.into_iter().map(one)).collect()
}

fn signs(files: &[config::Certificate]) -> Vec<(PathBuf, Sign)> {
    let of = |path: &PathBuf| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    files.iter().flat_map(|c| [&c.chain, &c.key]).map(|p| (p.clone(), of(p))).collect()
}

/// Reads all of `all`, of which `files` must be good.
fn read(files: &[config::Certificate], all: &[config::Certificate]) -> Result<Set, TlsError> {
    let provider = ring::default_provider();
    let mut set = Set { first: None, by_host: HashMap::new() };
    for (i, file) in all.iter().enumerate() {
        let certified = match one(file, &provider) {
            Ok(certified) => Arc::new(certified),
            Err(error) if i >= files.len() => {
                tracing::error!(%error, "a certificate that was obtained cannot be used");
                continue;
            }
            Err(error) => return Err(error),
        };
        for host in &file.hosts {
            let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            set.by_host.entry(host).or_insert_with(|| Arc::clone(&certified));
        }
        set.first.get_or_insert(certified);
    }
    Ok(set)
}

fn one(file: &config::Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let not_pem = |path: &Path| TlsError::NotPem(path.to_owned());
    let refused = |source| TlsError::Refused { path: file.chain.clone(), source };
    let text = contents(&file.chain)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|_| not_pem(&file.chain))?;
    let leaf = chain.first().ok_or_else(|| not_pem(&file.chain))?;
    let parsed = ParsedCertificate::try_from(leaf).map_err(refused)?;
    for host in &file.hosts {
        // A wildcard is for any name one label below; `x` stands for all of them.
        let asked = host.replacen('*', "x", 1);
        let for_it = ServerName::try_from(asked)
            .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        if !for_it {
            return Err(TlsError::OtherHost { path: file.chain.clone(), host: host.clone() });
        }
    }
    let meta = fs::metadata(&file.key).map_err(at(&file.key))?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw() || meta.uid() == 0;
    if meta.mode() & 0o077 != 0 || !ours {
        return Err(TlsError::Exposed(file.key.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&contents(&file.key)?);
    let key = key.map_err(|_| not_pem(&file.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(refused)
}

fn contents(path: &Path) -> Result<Vec<u8>, TlsError> {
    if fs::metadata(path).map_err(at(path))?.len() > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    fs::read(path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    |source| TlsError::Io { path, source }
}
