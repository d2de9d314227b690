//! Transfers over TLS (RFC 9103): TLS 1.3 and the protocol `dot`, or no transfer.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The name of DNS over TLS in the handshake (RFC 7858 §3.2, RFC 9103 §7.1).
const PROTOCOL: &[u8] = b"dot";

/// Whom we trust to be a primary over TLS.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the authorities in a PEM file, or, with none, those of the system.
    ///
    /// # Errors
    /// When there are none, or the file cannot be read.
    pub fn new(ca_file: Option<&Path>) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?;
        let mut config = match ca_file {
            Some(file) => builder.with_root_certificates(roots(file)?).with_no_client_auth(),
            None => {
                use hyper_rustls::ConfigBuilderExt as _;
                builder.with_native_roots()?.with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// A session with the server of this name, which its certificate must bear.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connect(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
            return Err(io::Error::other("the server does not offer transfers (protocol dot)"));
        }
        Ok(stream)
    }
}

fn roots(file: &Path) -> io::Result<RootCertStore> {
    let wrong = |e: String| io::Error::other(format!("{}: {e}", file.display()));
    let mut roots = RootCertStore::empty();
    for found in CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))? {
        let certificate = found.map_err(|e| wrong(e.to_string()))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("no certificate in it".into())) } else { Ok(roots) }
}
