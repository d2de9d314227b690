//! The sockets for transfers: UDP and TCP on one address, apart from those that answer clients.
//!
//! A connection takes questions one after the other and is closed when nothing comes for a while.
//! There is a limit on connections, on those of one address, and on the time that a secondary may
//! take for one message.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    access::Registry,
    answer::{Answer, Transfer, answer},
    stream::produce,
};
use crate::{clock::Clock, config, feeds::transfer::Keys, metrics::Metrics};

/// Messages of a transfer made ahead of the secondary.
const AHEAD: usize = 2;

/// The pause after an accept or a datagram that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of the sockets.
#[derive(Clone, Copy, Debug)]
pub struct ServeBounds {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// The largest message of a transfer, in bytes.
    pub message_bytes_max: usize,
    /// A connection on which nothing moves is closed after this.
    pub idle_timeout: Duration,
}

impl ServeBounds {
    /// What the configuration says.
    pub const fn new(config: &config::Transfers) -> Self {
        Self {
            connections_max: config.connections_max,
            connections_per_address_max: config.connections_per_address_max,
            message_bytes_max: config.message_bytes_max,
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
        }
    }
}

/// What serves NOTIFY, SOA, IXFR and AXFR.
#[derive(Debug)]
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    registry: Arc<Registry>,
    keys: Keys,
    clock: Clock,
    metrics: Arc<Metrics>,
    bounds: ServeBounds,
    connections: Mutex<HashMap<IpAddr, usize>>,
}

impl Sockets {
    /// Binds both sockets, inside a runtime; with port 0, to the same port of the kernel's choice.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub fn bind(
        address: SocketAddr,
        registry: Arc<Registry>,
        keys: Keys,
        clock: Clock,
        metrics: Arc<Metrics>,
        bounds: ServeBounds,
    ) -> io::Result<Self> {
        let tcp = std::net::TcpListener::bind(address)?;
        let udp = std::net::UdpSocket::bind(tcp.local_addr()?)?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        let (tcp, udp) = (TcpListener::from_std(tcp)?, UdpSocket::from_std(udp)?);
        let connections = Mutex::default();
        let state = Arc::new(State { registry, keys, clock, metrics, bounds, connections });
        Ok(Self { udp, tcp, state })
    }

    /// Where they are.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop`; connections belong to `tasks`.
    pub async fn run(self, stop: CancellationToken, tasks: TaskTracker) {
        let Self { udp, tcp, state } = self;
        let datagrams = datagrams(&state, &udp);
        let connections = connections(&state, &tcp, &stop, &tasks);
        tokio::select! {
            () = stop.cancelled() => {}
            () = datagrams => {}
            () = connections => {}
        }
    }
}

async fn datagrams(state: &State, socket: &UdpSocket) {
    let mut buffer = vec![0; 4_096];
    loop {
        let (len, peer) = match socket.recv_from(&mut buffer).await {
            Ok(got) => got,
            // The next question is another matter; but an error that stays must not spin.
            Err(error) => {
                tracing::debug!(%error, "no datagram on the socket for transfers");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let message = buffer[..len].to_vec();
        if let Answer::Message(message) = state.answer(message, peer, false)
            && let Err(error) = socket.send_to(&message, peer).await
        {
            tracing::debug!(%error, "an answer on the socket for transfers was not sent");
        }
    }
}

async fn connections(
    state: &Arc<State>,
    listener: &TcpListener,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "no connection on the socket for transfers");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = Place::take(state, peer.ip()) else {
            tracing::debug!("a connection for transfers was closed: there are too many");
            continue;
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            let serving = connection(&place.state, stream, peer);
            tokio::select! {
                () = stop.cancelled() => {}
                ended = serving => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection for transfers ended early");
                }
            }
        });
    }
}

/// One of the connections that there may be.
struct Place {
    state: Arc<State>,
    address: IpAddr,
}

impl Place {
    fn take(state: &Arc<State>, address: IpAddr) -> Option<Self> {
        let mut all = state.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(&address).copied().unwrap_or(0);
        let full = all.values().sum::<usize>() >= state.bounds.connections_max;
        if full || own >= state.bounds.connections_per_address_max {
            return None;
        }
        all.insert(address, own + 1);
        Some(Self { state: Arc::clone(state), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.state.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                all.remove(&self.address);
            }
        }
    }
}

async fn connection(state: &State, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let reading = timeout(state.bounds.idle_timeout, read(&mut stream));
        let Ok(Some(message)) = reading.await.map_err(|_| io::ErrorKind::TimedOut)? else {
            return Ok(());
        };
        match state.answer(message, peer, true) {
            Answer::None => return Ok(()),
            Answer::Message(message) => state.write(&mut stream, &message).await?,
            Answer::Transfer(transfer) => state.transfer(&mut stream, *transfer).await?,
        }
    }
}

/// The next question; none when the stream ended.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let len = match stream.read_u16().await {
        Ok(len) => len,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

impl State {
    fn answer(&self, message: Vec<u8>, peer: SocketAddr, is_stream: bool) -> Answer {
        let peer = peer.ip().to_canonical();
        answer(&self.registry, &self.keys, message, peer, is_stream, self.clock.now())
    }

    async fn write(&self, stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
        let len = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let framed = [&len.to_be_bytes()[..], message].concat();
        timeout(self.bounds.idle_timeout, stream.write_all(&framed))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Sends a zone, and measures it: by the zone, never by who takes it.
    async fn transfer(&self, stream: &mut TcpStream, transfer: Transfer) -> io::Result<()> {
        let zone = transfer.head.question.name.to_string();
        let whole = transfer.steps.is_none();
        let serial = transfer.served.soa.serial.0;
        let (began, mut bytes) = (self.clock.monotonic(), 0);
        let sent = self.send(stream, transfer, &mut bytes).await;
        let outcome = match (&sent, whole) {
            (Err(_), _) => "failed",
            (Ok(()), true) => "whole",
            (Ok(()), false) => "differences",
        };
        let of = self.metrics.transfer_out(&zone, outcome);
        of.transfers.increment(1);
        of.bytes.increment(bytes);
        of.seconds.set(self.clock.monotonic().duration_since(began).as_secs_f64());
        if sent.is_ok() {
            of.serial.set(f64::from(serial));
        }
        sent
    }

    async fn send(
        &self,
        stream: &mut TcpStream,
        transfer: Transfer,
        bytes: &mut u64,
    ) -> io::Result<()> {
        let (out, mut messages) = mpsc::channel(AHEAD);
        let (clock, bytes_max) = (self.clock.clone(), self.bounds.message_bytes_max);
        let producing =
            tokio::task::spawn_blocking(move || produce(transfer, &clock, bytes_max, &out));
        while let Some(message) = messages.recv().await {
            self.write(stream, &message).await?;
            *bytes += message.len() as u64;
        }
        producing.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }
}
