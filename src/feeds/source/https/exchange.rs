//! One request and its answer, on a connection to an address that was checked.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming as Body, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Url};

use super::{
    super::{Ask, Incoming, SourceError},
    Answer, Fetched, HttpsBounds, elsewhere, target,
    validator::Validator,
};
use crate::{
    clock::Timestamp,
    fetch::{self, Trust},
};

/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A connection to the first of these addresses that has one, with a certificate for `host`.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    host: &Host<String>,
    trust: &Trust,
    bounds: &HttpsBounds,
    url: &Url,
) -> Result<TlsStream<TcpStream>, SourceError> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()),
        Host::Ipv4(a) => Ok(ServerName::from(std::net::IpAddr::V4(*a))),
        Host::Ipv6(a) => Ok(ServerName::from(std::net::IpAddr::V6(*a))),
    };
    let name = name.map_err(|_| SourceError::Refused(format!("{url}: no name of a server")))?;
    let connector = TlsConnector::from(Arc::clone(&trust.0));
    let mut last = io::Error::from(io::ErrorKind::NotConnected);
    for address in addresses {
        let connected = async {
            let stream = TcpStream::connect(address).await?;
            connector.connect(name.clone(), stream).await
        };
        match timeout(bounds.connect_timeout, connected).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => last = e,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(SourceError::Away(format!("{url}: no connection: {last}")))
}

/// One request on its own connection.
pub(super) struct Exchange<'a> {
    pub(super) url: &'a Url,
    pub(super) stream: TlsStream<TcpStream>,
    /// The waits.
    pub(super) bounds: &'a HttpsBounds,
    /// The time, for servers that say when to come back.
    pub(super) now: Timestamp,
}

impl Exchange<'_> {
    /// Asks, and takes what comes.
    pub(super) async fn get(
        self,
        before: &Validator,
        ask: Ask<'_>,
        bytes_max: u64,
    ) -> Result<Answer, SourceError> {
        let Self { url, stream, bounds, now } = self;
        let idle = bounds.idle_timeout;
        let failed = |e: hyper::Error| SourceError::Away(format!("{url}: {e}"));
        let made =
            http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
        let (mut sender, connection) = within(idle, url, made).await?.map_err(failed)?;
        let request = request(url, before)?;
        let exchange = async {
            let response =
                within(idle, url, sender.send_request(request)).await?.map_err(failed)?;
            let asks = fetch::retry_after(response.headers(), now);
            if let (Some(after), true) = (asks, fetch::may_retry_after(response.status())) {
                let why = format!("{url}: {}", response.status());
                return Err(SourceError::Busy(why, after.min(bounds.retry_after_max)));
            }
            take(url, response, idle, ask, bytes_max).await
        };
        // The connection works as long as it is looked at; what it has read may still be taken
        // after its end.
        match select(pin!(exchange), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, exchange)) => exchange.await,
        }
    }
}

async fn within<T>(
    idle: Duration,
    url: &Url,
    what: impl Future<Output = T>,
) -> Result<T, SourceError> {
    let slow = |_| SourceError::Away(format!("{url}: nothing came for {idle:?}"));
    timeout(idle, what).await.map_err(slow)
}

fn request(url: &Url, before: &Validator) -> Result<Request<Empty<Bytes>>, SourceError> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = target(url)?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let host = HeaderValue::from_str(&host);
    let host = host.map_err(|_| SourceError::Refused(format!("{url}: no host")))?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    let agent = HeaderValue::from_static(concat!("tracegate/", env!("CARGO_PKG_VERSION")));
    headers.insert(header::USER_AGENT, agent);
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    // A packed list can unpack to anything.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    before.ask(headers);
    Ok(request)
}

async fn take(
    url: &Url,
    response: Response<Body>,
    idle: Duration,
    ask: Ask<'_>,
    bytes_max: u64,
) -> Result<Answer, SourceError> {
    let status = response.status();
    let headers = response.headers();
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED => return Ok(Answer::Same),
        s if matches!(s.as_u16(), 301 | 302 | 303 | 307 | 308) => {
            return Ok(Answer::Elsewhere(elsewhere(url, s, headers)?));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            return Err(SourceError::Away(format!("{url}: {status}")));
        }
        s if s.is_server_error() => return Err(SourceError::Away(format!("{url}: {status}"))),
        _ => return Err(SourceError::Refused(format!("{url}: {status}"))),
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|e| e != "identity") {
        return Err(SourceError::Refused(format!("{url}: a packed body that was not asked for")));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok());
    if length.is_some_and(|l: u64| l > bytes_max) {
        return Err(SourceError::TooLong(bytes_max));
    }
    let validator = Validator::of(headers);
    let mut file = Incoming::create(ask.incoming, bytes_max)?;
    ask.meter.begin(length.unwrap_or(0));
    let mut body = response.into_body();
    while let Some(frame) = within(idle, url, body.frame()).await? {
        let frame = frame.map_err(|e| SourceError::Away(format!("{url}: {e}")))?;
        if let Some(piece) = frame.data_ref() {
            file.push(piece)?;
            ask.meter.add(piece.len());
        }
    }
    Ok(Answer::Body(Fetched { part: file.finish()?, from: url.clone(), validator }))
}
