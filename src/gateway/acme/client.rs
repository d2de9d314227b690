//! Requests to the authority: over TLS to an address that was checked, bounded in time and bytes.
//! When it asks to be left alone (429 or 503 with `Retry-After`), that is remembered.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Url};

use crate::{
    clock::Clock,
    fetch::{self, Guard, Trust},
};

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 3;

/// The longest that it is left alone because it asks for that.
const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What is read of an answer's head at most, in bytes.
const HEAD_BYTES_MAX: usize = 65_536;

/// Speaks to the authority.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    guard: Guard,
    trust: Trust,
    timeout: Duration,
    answer_bytes_max: usize,
    clock: Clock,
    /// Until when it wants no requests.
    until: Mutex<Option<Instant>>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0} is no https URL of a server")]
    Url(String),
    #[error(transparent)]
    Host(#[from] fetch::Error),
    #[error("{host}: {why}")]
    Connection { host: String, why: String },
    #[error("no answer in time")]
    Timeout,
    #[error("no answer: {0}")]
    Broken(String),
}

impl Client {
    pub(super) fn new(
        guard: Guard,
        trust: Trust,
        timeout: Duration,
        answer_bytes_max: usize,
        clock: Clock,
    ) -> Self {
        let until = Mutex::new(None);
        Self(Arc::new(Inner { guard, trust, timeout, answer_bytes_max, clock, until }))
    }

    /// Until when the authority wants to be left alone, if that is still to come.
    pub(super) fn until(&self) -> Option<Instant> {
        let until = *self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > self.0.clock.monotonic())
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let response = match timeout(inner.timeout, inner.exchange(request)).await {
                Ok(response) => response.map_err(|e| Error::Other(Box::new(e)))?,
                Err(_) => return Err(Error::Other(Box::new(NoAnswer::Timeout))),
            };
            inner.heed(&response);
            Ok(BytesResponse::from(response))
        })
    }
}

impl Inner {
    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, NoAnswer> {
        let broken = |e: &dyn std::fmt::Display| NoAnswer::Broken(e.to_string());
        let text = request.uri().to_string();
        let url = Url::parse(&text).ok().filter(|url| url.scheme() == "https");
        let url = url.ok_or(NoAnswer::Url(text))?;
        let request = relative(&url, request).ok_or_else(|| NoAnswer::Url(url.to_string()))?;
        let stream = self.connect(&url).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, self.answer_bytes_max).collect().await;
            let body = body.map_err(|e| NoAnswer::Broken(e.to_string()))?.to_bytes();
            Ok(Response::from_parts(parts, Full::new(body)))
        };
        // The connection works as long as it is looked at; what it has read may still be taken after
        // its end.
        match select(pin!(exchange), pin!(connection)).await {
            Either::Left((response, _)) => response,
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    async fn connect(&self, url: &Url) -> Result<TlsStream<TcpStream>, NoAnswer> {
        let host = url.host().ok_or_else(|| NoAnswer::Url(url.to_string()))?.to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = self.guard.addresses(&host, port).await?;
        let name = match &host {
            Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()),
            Host::Ipv4(a) => Ok(ServerName::from(IpAddr::V4(*a))),
            Host::Ipv6(a) => Ok(ServerName::from(IpAddr::V6(*a))),
        };
        let name = name.map_err(|_| NoAnswer::Url(url.to_string()))?;
        let mut why = String::new();
        for address in addresses.iter().take(ADDRESSES_MAX) {
            let stream = match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(e) => {
                    why = e.to_string();
                    continue;
                }
            };
            let connector = TlsConnector::from(Arc::clone(&self.trust.0));
            match connector.connect(name.clone(), stream).await {
                Ok(stream) => return Ok(stream),
                Err(e) => why = e.to_string(),
            }
        }
        Err(NoAnswer::Connection { host: host.to_string(), why })
    }

    /// Remembers how long the authority wants to be left alone.
    fn heed<B>(&self, response: &Response<B>) {
        if !fetch::may_retry_after(response.status()) {
            return;
        }
        if let Some(wait) = fetch::retry_after(response.headers(), self.clock.now()) {
            let until = self.clock.monotonic().checked_add(wait.min(WAIT_MAX));
            *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }
}

/// The request as it goes over the connection.
fn relative(
    url: &Url,
    request: Request<BodyWrapper<Bytes>>,
) -> Option<Request<BodyWrapper<Bytes>>> {
    let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
    let target: Uri = format!("{}{query}", url.path()).parse().ok()?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    let (mut parts, body) = request.into_parts();
    parts.uri = target;
    parts.headers.insert(header::HOST, HeaderValue::from_str(&host).ok()?);
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(Request::from_parts(parts, body))
}
