//! The HTTP side: one loopback listener, bounded connections, a bounded queue of statements.
//!
//! A statement's blocking work runs on a thread of [`statement::run`]; between it and the socket
//! lie two short channels, so that neither side can run ahead of the other by more than a few
//! pieces. A request or reply that is dropped (hyper drops both when the client goes away) cancels
//! the statement in the engine until it has ended. A client that neither sends what it announced
//! nor reads what it asked for is treated as gone after `stall_timeout_ms`.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    body::{BodyReader, Piece, ReplyBody},
    database::Database,
    exception::{Code, Exception},
    guard::Who,
    looks::Looks,
    reply::Part,
    request::{BodyCoding, Call, Keys, form_boundary},
    stall::Stalling,
    statement,
    turns::Turns,
};

/// Pieces that may lie between the socket and the statement, each way.
const PIECES_MAX: usize = 4;
/// The wait between two attempts to cancel a statement, or to accept after a failure.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the rest of a body is thrown away after its statement has failed.
const DISCARD: Duration = Duration::from_secs(10);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What every connection shares.
pub(super) struct Front {
    pub(super) database: Arc<Database>,
    pub(super) looks: Arc<Looks>,
    pub(super) keys: Keys,
    pub(super) ours: Turns,
    pub(super) readers: Turns,
    pub(super) connections: Arc<Semaphore>,
    pub(super) tracker: TaskTracker,
    pub(super) cancel: CancellationToken,
}

impl Front {
    /// Accepts until cancelled.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = self.accept(&listener) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else { return };
            let front = Arc::clone(&self);
            self.tracker.spawn(async move {
                front.connection(stream, peer).await;
                drop(permit);
            });
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, permit)),
                Err(e) => {
                    tracing::warn!(error = %e, "the engine's listener could not accept");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!(error = %e, "no TCP_NODELAY");
        }
        let front = Arc::clone(self);
        let service = hyper::service::service_fn(move |request| {
            let front = Arc::clone(&front);
            async move { Ok::<_, Infallible>(front.answer(request, peer).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(60))
            .serve_connection(TokioIo::new(Stalling::new(stream, self.stall())), service);
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.cancel.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(e) = outcome {
            tracing::trace!(error = %e, "a connection of the engine ended");
        }
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let path = request.uri().path();
        if path == "/ping" {
            return plain(StatusCode::OK, "Ok.\n");
        }
        if path != "/" {
            return plain(
                StatusCode::NOT_FOUND,
                "There is no handle for this path. Use / or /ping.\n",
            );
        }
        if ![Method::GET, Method::POST].contains(request.method()) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "Use GET or POST.\n");
        }
        match self.start(request, peer).await {
            Ok(response) => response,
            Err(exception) => failure(&exception),
        }
    }

    /// Starts the statement and waits for its head.
    async fn start(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Exception> {
        let (head, body) = request.into_parts();
        let mut call = Call::read(&head.method, &head.uri, &head.headers, peer, &self.keys)?;
        let permit = match call.who {
            Who::Internal => self.ours.next().await?,
            Who::Reader => self.readers.next().await?,
        };
        let (data, incoming) = mpsc::channel(PIECES_MAX);
        if let Some(boundary) = form_boundary(&head.headers) {
            let max = self.database.limits().statement_bytes_max;
            let body = collect(body, max, self.stall()).await?;
            call.take_form(&boundary, &body)?;
            call.coding = BodyCoding::Plain;
            drop(data);
        } else {
            self.tracker.spawn(pump(body, data, self.stall()));
        }
        let gone = CancellationToken::new();
        let ended = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        self.watch(call.tag.clone(), gone, ended.clone());
        let (out, parts) = mpsc::channel(PIECES_MAX);
        let front = Arc::clone(self);
        self.tracker.spawn_blocking(move || {
            // Also when the statement panics: the watcher must not wait for ever.
            let _ended = ended.drop_guard();
            statement::run(&front.database, &front.looks, &call, BodyReader::new(incoming), out);
            drop(permit);
        });
        reply(parts, guard).await
    }

    /// How long a client may do nothing where it is waited for.
    fn stall(&self) -> Duration {
        Duration::from_millis(self.database.limits().stall_timeout_ms)
    }

    /// Cancels the statement in the engine once nobody waits for it, until it has ended.
    fn watch(self: &Arc<Self>, tag: String, gone: CancellationToken, ended: CancellationToken) {
        let front = Arc::clone(self);
        self.tracker.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => return,
                () = gone.cancelled() => {}
                () = front.cancel.cancelled() => {}
            }
            while !ended.is_cancelled() {
                let (database, tag) = (Arc::clone(&front.database), tag.clone());
                let killed = front.tracker.spawn_blocking(move || database.kill(&tag)).await;
                if let Ok(Err(exception)) = killed {
                    tracing::debug!(code = exception.code, "a statement was not cancelled yet");
                }
                tokio::select! {
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        });
    }
}

/// Waits for the head; the body goes on with the parts behind it.
async fn reply(
    mut parts: mpsc::Receiver<Part>,
    guard: DropGuard,
) -> Result<Response<Body>, Exception> {
    let Some(Part::Head(status, headers)) = parts.recv().await else {
        return Err(Exception::unknown("the statement ended without an answer"));
    };
    let mut response = Response::new(ReplyBody::new(parts, guard).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Passes a body on; a body that breaks off is passed on as broken.
///
/// A statement that failed early reads no more. What the client still sends is then read and thrown
/// away for a while, because most clients look for an answer only when they have sent everything,
/// and a connection closed under them would hide the reason.
async fn pump(body: Incoming, data: mpsc::Sender<Piece>, stall: Duration) {
    let mut frames = BodyStream::new(body);
    loop {
        let piece = match timeout(stall, frames.next()).await {
            Ok(None) => return,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Piece::Data(bytes),
                Err(_) => continue,
            },
            Ok(Some(Err(_))) => Piece::Broken,
            Err(_) => Piece::Stalled,
        };
        let last = !matches!(piece, Piece::Data(_));
        if data.send(piece).await.is_err() {
            let rest = async { while frames.next().await.is_some_and(|f| f.is_ok()) {} };
            if timeout(DISCARD, rest).await.is_err() {
                tracing::debug!("a client went on sending to a statement that had failed");
            }
            return;
        }
        if last {
            return;
        }
    }
}

async fn collect(body: Incoming, max: u64, stall: Duration) -> Result<Bytes, Exception> {
    let mut frames =
        BodyStream::new(Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX)));
    let mut all = BytesMut::new();
    let late = |_| Exception::new(Code::SocketTimeout, "the rest of the form did not come in time");
    while let Some(frame) = timeout(stall, frames.next()).await.map_err(late)? {
        let frame = frame.map_err(|e| {
            Exception::new(Code::BadArguments, format!("the form cannot be read: {e}"))
        })?;
        if let Ok(bytes) = frame.into_data() {
            all.extend_from_slice(&bytes);
        }
    }
    Ok(all.freeze())
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::from(text).map_err(|e| match e {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn failure(exception: &Exception) -> Response<Body> {
    let text = Full::from(format!("{}\n", exception.text));
    let mut response = Response::new(text.map_err(|e| match e {}).boxed_unsync());
    *response.status_mut() = exception.status();
    let headers = response.headers_mut();
    headers.insert("x-clickhouse-exception-code", exception.code.into());
    if exception.status() == StatusCode::UNAUTHORIZED {
        let realm = header::HeaderValue::from_static("Basic realm=\"ClickHouse server HTTP API\"");
        headers.insert(header::WWW_AUTHENTICATE, realm);
    }
    response
}
