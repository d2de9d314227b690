//! Whose certificates we believe.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::Error;

/// Whom a web server may be certified by.
#[derive(Clone, Debug)]
pub(crate) struct Trust(pub(crate) Arc<ClientConfig>);

impl Trust {
    /// The authorities in a PEM file and nobody else, or, without one, those of the system.
    pub(crate) fn new(pem: Option<&[u8]>) -> Result<Self, Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Away(format!("TLS: {e}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(&e))?;
        let mut config = match pem {
            Some(pem) => builder.with_root_certificates(roots(pem)?).with_no_client_auth(),
            None => {
                use hyper_rustls::ConfigBuilderExt as _;
                builder.with_native_roots().map_err(|e| wrong(&e))?.with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let refused = |why: String| Error::Certificates(format!("ca_file: {why}"));
    let mut roots = RootCertStore::empty();
    for found in CertificateDer::pem_slice_iter(pem) {
        let certificate = found.map_err(|e| refused(e.to_string()))?;
        roots.add(certificate).map_err(|e| refused(e.to_string()))?;
    }
    if roots.is_empty() { Err(refused("no certificate in it".into())) } else { Ok(roots) }
}
