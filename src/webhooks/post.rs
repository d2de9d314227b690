//! One attempt: a POST to an address that was checked, without cookies or credentials, bounded in
//! time and bytes. No redirect is followed.

use std::{net::SocketAddr, path::Path, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Url};

use super::Error;
use crate::{
    config,
    fetch::{self, Guard, Trust},
};

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 3;

/// What is read of an answer's head at most, in bytes.
const HEAD_BYTES_MAX: usize = 16_384;

/// The largest file of certificates, in bytes.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

/// Why there was no answer: the word that is kept.
pub(super) type Failure = &'static str;

/// What is sent.
pub(super) struct Outgoing<'a> {
    pub(super) url: &'a str,
    pub(super) id: &'a str,
    /// Seconds since 1970, as they were signed.
    pub(super) at: i64,
    pub(super) signatures: String,
    pub(super) body: Bytes,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// Whoever sends.
pub(super) struct Post {
    guard: Guard,
    trust: Trust,
    resolve_timeout: Duration,
    connect_timeout: Duration,
    answer_timeout: Duration,
    answer_bytes_max: usize,
}

impl Post {
    pub(super) fn new(config: &config::Webhooks, guard: Guard) -> Result<Self, Error> {
        Ok(Self {
            guard,
            trust: trust(config.ca_file.as_deref())?,
            resolve_timeout: Duration::from_millis(config.resolve_timeout_ms),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            answer_timeout: Duration::from_millis(config.answer_timeout_ms),
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    /// Sends once.
    pub(super) async fn send(&self, out: &Outgoing<'_>) -> Result<Answer, Failure> {
        let url = Url::parse(out.url).map_err(|_| "malformed")?;
        let addresses = self.addresses(&url).await?;
        let request = request(&url, out).ok_or("malformed")?;
        let stream = self.connect(&url, &addresses).await?;
        let made = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream));
        let made = timeout(self.answer_timeout, made).await.map_err(|_| "timeout")?;
        let (mut sender, connection) = made.map_err(|_| "no_answer")?;
        let exchange = async {
            let response = timeout(self.answer_timeout, sender.send_request(request)).await;
            let response = response.map_err(|_| "timeout")?.map_err(|_| "no_answer")?;
            let (parts, body) = response.into_parts();
            self.discard(body).await;
            Ok(Answer { status: parts.status, headers: parts.headers })
        };
        // The connection works as long as it is looked at; what it has read may still be taken after
        // its end.
        match select(pin!(exchange), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, Failure> {
        let host = url.host().ok_or("malformed")?.to_owned();
        let port = url.port_or_known_default().ok_or("malformed")?;
        let found = timeout(self.resolve_timeout, self.guard.addresses(&host, port)).await;
        match found.map_err(|_| "no_address")? {
            Ok(found) => Ok(found),
            Err(fetch::Error::Special(_)) => Err("not_public"),
            Err(_) => Err("no_address"),
        }
    }

    async fn connect(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let mut last = "no_connection";
        for address in addresses.iter().take(ADDRESSES_MAX) {
            let connected = async {
                let stream = TcpStream::connect(address).await.map_err(|_| "no_connection")?;
                let connector = TlsConnector::from(Arc::clone(&self.trust.0));
                let name = server_name(url).ok_or("tls")?;
                connector.connect(name, stream).await.map_err(|_| "tls")
            };
            match timeout(self.connect_timeout, connected).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failure)) => last = failure,
                Err(_) => last = "no_connection",
            }
        }
        Err(last)
    }

    /// Reads a little of what nobody looks at, so that the other side sees its answer taken.
    async fn discard(&self, mut body: Incoming) {
        let mut read = 0;
        let reading = async {
            while read < self.answer_bytes_max
                && let Some(Ok(frame)) = body.frame().await
            {
                read += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        if timeout(self.answer_timeout, reading).await.is_err() {
            tracing::debug!("a webhook's answer came too slowly");
        }
    }
}

fn request(url: &Url, out: &Outgoing<'_>) -> Option<Request<Full<Bytes>>> {
    let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
    let target: Uri = format!("{}{query}", url.path()).parse().ok()?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    let mut request = Request::new(Full::new(out.body.clone()));
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, target);
    let headers = request.headers_mut();
    let agent = concat!("tracegate/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::HOST, HeaderValue::from_str(&host).ok()?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let id = HeaderName::from_static("webhook-id");
    headers.insert(id, HeaderValue::from_str(out.id).ok()?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(out.at));
    let signature = HeaderName::from_static("webhook-signature");
    headers.insert(signature, HeaderValue::from_str(&out.signatures).ok()?);
    Some(request)
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
        Host::Ipv4(a) => Some(ServerName::from(std::net::IpAddr::V4(a))),
        Host::Ipv6(a) => Some(ServerName::from(std::net::IpAddr::V6(a))),
    }
}

fn trust(file: Option<&Path>) -> Result<Trust, Error> {
    let bad = |why: String| Error::Certificates(why);
    let pem = match file {
        None => None,
        Some(path) => {
            let length = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?.len();
            if length > CERTIFICATES_BYTES_MAX {
                return Err(bad(format!("more than {CERTIFICATES_BYTES_MAX} bytes")));
            }
            Some(std::fs::read(path).map_err(|e| bad(e.to_string()))?)
        }
    };
    Trust::new(pem.as_deref()).map_err(|e| bad(e.to_string()))
}
