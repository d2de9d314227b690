//! One question to one server, at an address that was checked: no cookies, no credentials, no
//! `Referer`, a bounded answer.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
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

use super::Trust;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 3;

/// Why there was no answer: the word in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) &'static str);

impl Failure {
    /// Nobody took the connection.
    pub(crate) const NO_CONNECTION: Self = Self("no_connection");
    /// Whoever took it could not show who they are.
    pub(crate) const TLS: Self = Self("tls");
    /// No answer in time.
    pub(crate) const TIMEOUT: Self = Self("timeout");
    /// What came is not HTTP, or cannot be asked by it.
    pub(crate) const MALFORMED: Self = Self("malformed");
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// As much of the body as was asked for and came in time.
    pub(crate) body: Vec<u8>,
    /// Whether that is all of it.
    pub(crate) is_whole: bool,
}

/// Whoever asks.
pub(crate) struct Asker {
    pub(crate) trust: Trust,
    pub(crate) user_agent: HeaderValue,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) head_bytes_max: usize,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Asker {
    /// Asks for `url` at one of `addresses`. `headers` are sent with those that every request has.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &Url,
        addresses: &[SocketAddr],
        body_bytes_max: usize,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, Failure> {
        let request = self.request(method, url, headers).ok_or(Failure::MALFORMED)?;
        let stream = self.connect(url, addresses).await?;
        let made = http1::Builder::new()
            .max_buf_size(self.head_bytes_max)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream));
        let made = timeout(self.answer_timeout, made).await.map_err(|_| Failure::TIMEOUT)?;
        let (mut sender, connection) = made.map_err(|_| Failure::MALFORMED)?;
        let exchange = async {
            let response = timeout(self.answer_timeout, sender.send_request(request)).await;
            let response =
                response.map_err(|_| Failure::TIMEOUT)?.map_err(|_| Failure::MALFORMED)?;
            let (parts, body) = response.into_parts();
            let (body, is_whole) = self.some(body, body_bytes_max).await;
            Ok(Answer { status: parts.status, headers: parts.headers, body, is_whole })
        };
        // The connection works as long as it is looked at; what it has read may still be taken after
        // its end.
        match select(pin!(exchange), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    /// The beginning of a body, and whether it is all. One that is cut short, or drips, is as good
    /// as what came of it.
    async fn some(&self, mut body: Incoming, bytes_max: usize) -> (Vec<u8>, bool) {
        let (mut read, mut is_whole) = (Vec::new(), false);
        if bytes_max == 0 {
            return (read, is_whole);
        }
        let reading = async {
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        let Some(piece) = frame.data_ref() else { continue };
                        let room = bytes_max.saturating_sub(read.len()).min(piece.len());
                        read.extend_from_slice(&piece[..room]);
                        if room < piece.len() {
                            break;
                        }
                    }
                    Some(Err(_)) => break,
                    None => {
                        is_whole = true;
                        break;
                    }
                }
            }
        };
        if timeout(self.answer_timeout, reading).await.is_err() {
            tracing::debug!("a page came too slowly");
        }
        (read, is_whole)
    }

    async fn connect(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
    ) -> Result<Box<dyn Stream>, Failure> {
        let mut last = Failure::NO_CONNECTION;
        for address in addresses.iter().take(ADDRESSES_MAX) {
            let connected = async {
                let stream =
                    TcpStream::connect(address).await.map_err(|_| Failure::NO_CONNECTION)?;
                if url.scheme() != "https" {
                    return Ok(Box::new(stream) as Box<dyn Stream>);
                }
                let name = server_name(url).ok_or(Failure::TLS)?;
                let connector = TlsConnector::from(Arc::clone(&self.trust.0));
                let stream = connector.connect(name, stream).await;
                Ok(Box::new(stream.map_err(|_: io::Error| Failure::TLS)?) as Box<dyn Stream>)
            };
            match timeout(self.connect_timeout, connected).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failure)) => last = failure,
                Err(_) => last = Failure::NO_CONNECTION,
            }
        }
        Err(last)
    }

    fn request(
        &self,
        method: Method,
        url: &Url,
        more: &[(HeaderName, HeaderValue)],
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
        headers.extend(more.iter().cloned());
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
