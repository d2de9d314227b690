//! One question to one server, at an address that was checked: no cookies, no credentials, no
//! `Referer`, a bounded answer.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::super::ahead::HOP;
use crate::{config::Walks, fetch::Trust};

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 3;

/// Why there was no answer: the word in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) &'static str);

const NO_CONNECTION: Failure = Failure("no_connection");
const TLS: Failure = Failure("tls");
const TIMEOUT: Failure = Failure("timeout");
const MALFORMED: Failure = Failure("malformed");

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// As much of the body as was asked for and came in time.
    pub(super) body: Vec<u8>,
}

/// Whoever asks.
pub(super) struct Asker {
    pub(super) trust: Trust,
    pub(super) user_agent: HeaderValue,
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) head_bytes_max: usize,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Asker {
    pub(super) fn new(config: &Walks, trust: Trust, user_agent: HeaderValue) -> Self {
        Self {
            trust,
            user_agent,
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            answer_timeout: Duration::from_millis(config.answer_timeout_ms),
            head_bytes_max: config.head_bytes_max,
        }
    }

    /// Asks for `url` at one of `addresses`. `hop` is what gateways of ours told on the way.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: &Url,
        addresses: &[SocketAddr],
        body_bytes_max: usize,
        hop: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let request = self.request(method, url, hop).ok_or(MALFORMED)?;
        let stream = self.connect(url, addresses).await?;
        let made = http1::Builder::new()
            .max_buf_size(self.head_bytes_max)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream));
        let made = timeout(self.answer_timeout, made).await.map_err(|_| TIMEOUT)?;
        let (mut sender, connection) = made.map_err(|_| MALFORMED)?;
        let exchange = async {
            let response = timeout(self.answer_timeout, sender.send_request(request)).await;
            let response = response.map_err(|_| TIMEOUT)?.map_err(|_| MALFORMED)?;
            let (parts, body) = response.into_parts();
            let body = self.some(body, body_bytes_max).await;
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        // The connection works as long as it is looked at; what it has read may still be taken after
        // its end.
        match select(pin!(exchange), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    /// The beginning of a body. One that is cut short, or drips, is as good as what came of it.
    async fn some(&self, mut body: Incoming, bytes_max: usize) -> Vec<u8> {
        let mut read = Vec::new();
        let reading = async {
            while read.len() < bytes_max
                && let Some(Ok(frame)) = body.frame().await
            {
                if let Some(piece) = frame.data_ref() {
                    let room = bytes_max.saturating_sub(read.len()).min(piece.len());
                    read.extend_from_slice(&piece[..room]);
                }
            }
        };
        if timeout(self.answer_timeout, reading).await.is_err() {
            tracing::debug!("a page came too slowly");
        }
        read
    }

    async fn connect(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
    ) -> Result<Box<dyn Stream>, Failure> {
        let mut last = NO_CONNECTION;
        for address in addresses.iter().take(ADDRESSES_MAX) {
            let connected = async {
                let stream = TcpStream::connect(address).await.map_err(|_| NO_CONNECTION)?;
                if url.scheme() != "https" {
                    return Ok(Box::new(stream) as Box<dyn Stream>);
                }
                let name = server_name(url).ok_or(TLS)?;
                let connector = TlsConnector::from(Arc::clone(&self.trust.0));
                let stream = connector.connect(name, stream).await;
                Ok(Box::new(stream.map_err(|_: io::Error| TLS)?) as Box<dyn Stream>)
            };
            match timeout(self.connect_timeout, connected).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failure)) => last = failure,
                Err(_) => last = NO_CONNECTION,
            }
        }
        Err(last)
    }

    fn request(
        &self,
        method: Method,
        url: &Url,
        hop: Option<&HeaderValue>,
    ) -> Option<Request<Empty<Bytes>>> {
        let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
        let target: Uri = format!("{}{query}", url.path()).parse().ok()?;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        let mut request = Request::new(Empty::new());
        (*request.method_mut(), *request.uri_mut()) = (method, target);
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(&host).ok()?);
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        // What is packed can unpack to anything.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(HOP, hop.cloned().unwrap_or(HeaderValue::from_static("0")));
        Some(request)
    }
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
        Host::Ipv4(a) => Some(ServerName::from(std::net::IpAddr::V4(a))),
        Host::Ipv6(a) => Some(ServerName::from(std::net::IpAddr::V6(a))),
    }
}
