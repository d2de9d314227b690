//! The gateway's threads, and the API on the shared runtime.

use std::{io, pin::pin, rc::Rc, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    task::LocalSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    HttpLimits,
    accept::{self, Place},
    connection::{self, Orders},
    tls::TlsError,
};
use crate::{
    clock::Clock,
    gateway::{Gateway, Lanes, Peer, Secure, Worker, body_bytes_max},
    metrics::{GatewayMetrics, Metrics},
    spool,
};

/// How often a worker's frames are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Threads per gateway thread that read links from the disk.
const BLOCKING_THREADS: usize = 4;

/// Why a listener ended before it was told to, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The socket or the runtime cannot be used.
    #[error("the HTTP listener: {0}")]
    Io(#[from] io::Error),
    /// The certificates cannot be used.
    #[error("gateway.certificates: {0}")]
    Tls(#[from] TlsError),
    /// TLS cannot be spoken.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    /// A lane could not be closed; the next start closes it.
    #[error("a lane of the gateway: {0}")]
    Lane(#[from] spool::Error),
}

/// A socket on which TLS is spoken.
pub struct TlsListener {
    /// One of [`bind`](super::bind)'s sockets.
    pub listener: std::net::TcpListener,
    /// How.
    pub config: Arc<ServerConfig>,
}

/// What one thread of the gateway needs.
pub struct GatewayThread {
    /// One of [`bind`](super::bind)'s sockets; none without plain HTTP.
    pub listener: Option<std::net::TcpListener>,
    /// The same for TLS.
    pub tls: Option<TlsListener>,
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Lanes for this thread alone.
    pub lanes: Lanes,
    /// Shared by all threads.
    pub limits: HttpLimits,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Told to stop.
    pub stop: CancellationToken,
    /// How long requests in flight may take after that.
    pub grace: Duration,
}

impl GatewayThread {
    /// Serves until it is told to stop. Blocks its thread.
    ///
    /// # Errors
    /// When it cannot begin, or a lane cannot be closed.
    pub fn run(self) -> Result<(), HttpError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let tasks = LocalSet::new();
        let worker = Rc::new(Worker::new(Arc::clone(&self.gateway), self.lanes));
        tasks.block_on(&runtime, async {
            let plain = self.listener.map(TcpListener::from_std).transpose()?;
            let (secure, acceptor) = match self.tls {
                None => (None, None),
                Some(TlsListener { listener, config }) => {
                    (Some(TcpListener::from_std(listener)?), Some(TlsAcceptor::from(config)))
                }
            };
            let cut = CancellationToken::new();
            let orders = Orders {
                limits: self.limits.clone(),
                clock: self.clock,
                stop: self.stop.clone(),
                cut: cut.clone(),
            };
            let connections = TaskTracker::new();
            let mut tick = tokio::time::interval(TICK);
            let metrics = Some(&self.metrics.gateway);
            {
                let mut at_plain = pin!(next(plain.as_ref(), &self.limits, metrics));
                let mut at_secure = pin!(next(secure.as_ref(), &self.limits, metrics));
                loop {
                    let (accepted, acceptor) = tokio::select! {
                        biased;
                        () = self.stop.cancelled() => break,
                        _ = tick.tick() => {
                            worker.tick();
                            continue;
                        }
                        accepted = at_plain.as_mut() => {
                            at_plain.set(next(plain.as_ref(), &self.limits, metrics));
                            (accepted, None)
                        }
                        accepted = at_secure.as_mut() => {
                            at_secure.set(next(secure.as_ref(), &self.limits, metrics));
                            (accepted, acceptor.clone())
                        }
                    };
                    let (stream, peer, place) = accepted?;
                    let (orders, worker) = (orders.clone(), Rc::clone(&worker));
                    connections.spawn_local(async move {
                        let wait = orders.limits.header;
                        let secure = acceptor.is_some();
                        let answer = |request| {
                            let worker = Rc::clone(&worker);
                            async move {
                                let mut request = whole(request, wait).await;
                                if secure {
                                    request.extensions_mut().insert(Secure);
                                }
                                worker.serve(&request, peer).await
                            }
                        };
                        connection::run(stream, acceptor, orders, answer).await;
                        drop(place);
                    });
                }
            }
            drop((plain, secure));
            drain(&connections, &cut, self.grace).await;
            Ok::<_, io::Error>(())
        })?;
        // Every connection has let go of it.
        match Rc::into_inner(worker) {
            Some(worker) => Ok(worker.close()?),
            None => Ok(()),
        }
    }
}

/// A request with its body, where that may be a form: nothing of a longer or slower one.
async fn whole(request: Request<Incoming>, wait: Duration) -> Request<Bytes> {
    let (head, body) = request.into_parts();
    let mut form = Bytes::new();
    if head.method == Method::POST {
        let read =
            timeout(wait, Limited::new(body, body_bytes_max(head.uri.path())).collect()).await;
        if let Ok(Ok(read)) = read {
            form = read.to_bytes();
        }
    }
    Request::from_parts(head, form)
}

/// The next connection of a socket; never one without a socket.
async fn next(
    listener: Option<&TcpListener>,
    limits: &HttpLimits,
    metrics: Option<&GatewayMetrics>,
) -> io::Result<(TcpStream, Peer, Place)> {
    match listener {
        Some(listener) => accept::next(listener, limits, metrics).await,
        None => std::future::pending().await,
    }
}

/// Serves the API until `stop`; requests in flight have `grace` to end.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve_api(
    listener: std::net::TcpListener,
    router: Router,
    limits: HttpLimits,
    clock: Clock,
    stop: CancellationToken,
    grace: Duration,
) -> Result<(), HttpError> {
    let listener = TcpListener::from_std(listener)?;
    let cut = CancellationToken::new();
    let orders = Orders { limits: limits.clone(), clock, stop: stop.clone(), cut: cut.clone() };
    let connections = TaskTracker::new();
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = accept::next(&listener, &limits, None) => next,
        };
        let (stream, peer, place) = next?;
        let (orders, router) = (orders.clone(), router.clone());
        connections.spawn(async move {
            let answer = |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(peer);
                let router = router.clone();
                async move {
                    match router.oneshot(request.map(Body::new)).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    }
                }
            };
            connection::run(stream, None, orders, answer).await;
            drop(place);
        });
    }
    drop(listener);
    drain(&connections, &cut, grace).await;
    Ok(())
}

/// Lets connections end by themselves within `grace`, then cuts them.
async fn drain(connections: &TaskTracker, cut: &CancellationToken, grace: Duration) {
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests outlast the grace and are cut");
    }
    cut.cancel();
    connections.wait().await;
}
