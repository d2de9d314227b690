//! Sockets, and connections one by one.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use metrics::Gauge;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::clients::{Admitted, Clients};
use crate::{config, gateway::Peer, metrics::GatewayMetrics};

/// Connections the kernel holds ready for us.
const BACKLOG: i32 = 1024;
/// The first wait after a failed accept; each further one doubles it up to the last.
const BACK_OFF_FIRST: Duration = Duration::from_millis(10);
const BACK_OFF_LAST: Duration = Duration::from_secs(1);
/// The smallest read buffer the HTTP library takes.
const HEADER_BYTES_MIN: usize = 8192;

/// The limits of connections.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    pub(super) permits: Arc<Semaphore>,
    pub(super) idle: Duration,
    pub(super) header: Duration,
    pub(super) header_bytes_max: usize,
    pub(super) clients: Option<Clients>,
}

impl HttpLimits {
    /// Those of `[gateway]`; clones share one count of connections.
    pub fn gateway(c: &config::Gateway) -> Self {
        let limits = Self::new(
            c.connections_max,
            c.idle_timeout_ms,
            c.header_timeout_ms,
            c.header_bytes_max,
        );
        Self { clients: Some(Clients::new(c.limits.clone())), ..limits }
    }

    /// Those of `[api]`; clones share one count of connections.
    pub fn api(c: &config::Api) -> Self {
        Self::new(c.connections_max, c.idle_timeout_ms, c.header_timeout_ms, c.header_bytes_max)
    }

    fn new(connections: usize, idle_ms: u64, header_ms: u64, header_bytes: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            idle: Duration::from_millis(idle_ms),
            header: Duration::from_millis(header_ms),
            header_bytes_max: header_bytes.max(HEADER_BYTES_MIN),
            clients: None,
        }
    }
}

/// `count` listening sockets on one address, which share its connections between them. Port 0
/// becomes one free port for all.
///
/// # Errors
/// When the address is in use or not ours.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let mut address = address;
    let mut sockets = Vec::new();
    if count > 1 {
        // Sockets that share a port let in any other of the same user that shares; one that does
        // not share tells whether the port is free.
        socket(address, false)?;
    }
    for _ in 0..count.max(1) {
        let socket = socket(address, count > 1)?;
        socket.listen(BACKLOG)?;
        let socket = std::net::TcpListener::from(socket);
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A place among `connections_max`, counted while it is held.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _admitted: Option<Admitted>,
    gauge: Option<Gauge>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.decrement(1.0);
        }
    }
}

/// The next connection. A place is taken before it is accepted: beyond the limit connections wait
/// in the kernel. No place is held while nobody knocks, so that several sockets can share one
/// limit. Errors are waited out.
pub(super) async fn next(
    listener: &TcpListener,
    limits: &HttpLimits,
    metrics: Option<&GatewayMetrics>,
) -> io::Result<(TcpStream, Peer, Place)> {
    let mut wait = BACK_OFF_FIRST;
    loop {
        let Some(Knock { permit, accepted }) = poll_fn(|cx| knock(listener, limits, cx)).await
        else {
            // Every place is taken: wait until one is free, then look again.
            drop(limits.permits.acquire().await.map_err(io::Error::other)?);
            continue;
        };
        let accepted = accepted.and_then(|(stream, client)| {
            // Answers are small and complete; waiting to fill a packet only adds delay.
            stream.set_nodelay(true)?;
            let server = stream.local_addr()?;
            Ok((stream, Peer { client, server }))
        });
        let admit = |client: SocketAddr| match &limits.clients {
            Some(clients) => clients.admit(client.ip()),
            None => Ok(None),
        };
        let error = match accepted {
            Ok((stream, peer)) => {
                let Ok(admitted) = admit(peer.client) else {
                    // Whoever holds so many is not told why: an answer would cost more than it does.
                    if let Some(metrics) = metrics {
                        metrics.connections_refused.increment(1);
                    }
                    continue;
                };
                let gauge = metrics.map(|m| m.connections.clone());
                if let Some(gauge) = &gauge {
                    gauge.increment(1.0);
                }
                let place = Place { _permit: permit, _admitted: admitted, gauge };
                return Ok((stream, peer, place));
            }
            Err(e) => e,
        };
        // The client was gone before we came to it.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::NotConnected) {
            continue;
        }
        tracing::warn!(error = %error, wait_ms = wait.as_millis(), "cannot accept connections");
        drop(permit);
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF_LAST);
    }
}

/// Somebody at the door.
struct Knock {
    permit: OwnedSemaphorePermit,
    accepted: io::Result<(TcpStream, SocketAddr)>,
}

/// A place and a connection for it, once there is one; none when there is no place.
fn knock(listener: &TcpListener, limits: &HttpLimits, cx: &mut Context<'_>) -> Poll<Option<Knock>> {
    match Arc::clone(&limits.permits).try_acquire_owned() {
        Ok(permit) => listener.poll_accept(cx).map(|accepted| Some(Knock { permit, accepted })),
        Err(_) => Poll::Ready(None),
    }
}
