//! DNS over TCP (RFC 7766).
//!
//! One accept loop per address; one task per connection, which answers up to `tcp_pipeline_max`
//! of its questions at once, in whatever order they are ready. An error of `accept` never ends a
//! loop: one that is the connection's own is passed over, any other is waited out. At
//! `tcp_connections_max` the connection that has been idle for longest makes way.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use metrics::Counter;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    batch::QUERY_BYTES_MAX,
    front::{Asked, Decided, Front, row},
    idle::IdleQueue,
    tally::Tally,
};
use crate::{
    clock::Clock,
    metrics::Metrics,
    resolver::{Answered, Transport},
    spool::SharedLane,
};

/// The wait after an error of `accept` that is ours: no more files, no more memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often another idle connection is looked for while a new one waits for its place.
const PLACE_PATIENCE: Duration = Duration::from_millis(20);

/// What all connections share.
pub(super) struct Streams {
    pub(super) front: Arc<Front>,
    pub(super) lane: SharedLane,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) places: Arc<Semaphore>,
    pub(super) idle: IdleQueue,
    pub(super) idle_timeout: Duration,
    pub(super) pipeline_max: usize,
    /// Nothing more is read.
    pub(super) stop: CancellationToken,
    /// The grace is over: nothing more is waited for.
    pub(super) cut: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// What is to be written for one message.
enum Reply {
    /// These bytes.
    Send(Vec<u8>),
    /// Nothing.
    Nothing,
    /// Nothing, and the client should go elsewhere: the spool takes no records.
    Close,
}

impl Streams {
    /// Accepts until a stop is asked for.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener, server: SocketAddr) {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    failing = false;
                    let place = tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return,
                        place = self.place() => place,
                    };
                    let connection = Arc::clone(&self).serve(stream, client, server, place);
                    self.tasks.spawn(connection);
                }
                Err(e) if of_connection(&e) => (),
                Err(e) => {
                    if !failing {
                        tracing::warn!(error = %e, "TCP connections cannot be accepted for now");
                    }
                    failing = true;
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A connection's place, for which the one idle for longest makes way where none is left.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        loop {
            if self.idle.evict() {
                self.metrics.dns.tcp_evicted.increment(1);
            }
            let acquire = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = timeout(PLACE_PATIENCE, acquire).await {
                // An error means that the semaphore was closed, which nobody does.
                return place.ok();
            }
        }
    }

    /// One connection, until it is idle for too long, has to make way, breaks a rule, or is closed;
    /// what has been asked by then is answered.
    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        server: SocketAddr,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let open = &self.metrics.dns.tcp_connections;
        open.increment(1);
        if stream.set_nodelay(true).is_ok() {
            let (read, write) = stream.into_split();
            let conversation = self.converse(Frames::new(read), write, client, server);
            // What is cut off has been counted by its `Waiting`.
            self.cut.run_until_cancelled(conversation).await;
        }
        open.decrement(1);
        drop(place);
    }

    async fn converse(
        &self,
        mut frames: Frames<OwnedReadHalf>,
        mut write: OwnedWriteHalf,
        client: SocketAddr,
        server: SocketAddr,
    ) {
        let make_way = CancellationToken::new();
        let mut asked = FuturesUnordered::new();
        let mut reading = true;
        let mut patience = std::pin::pin!(sleep(self.idle_timeout));
        while reading || !asked.is_empty() {
            let quiet = asked.is_empty();
            let in_queue = quiet.then(|| self.idle.enter(&make_way));
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if reading => reading = false,
                () = make_way.cancelled(), if reading => reading = false,
                Some(reply) = asked.next(), if !quiet => {
                    match reply {
                        Reply::Send(bytes) => {
                            // A client that does not read is not waited for any longer.
                            let written = timeout(self.idle_timeout, send(&mut write, &bytes));
                            if !matches!(written.await, Ok(Ok(()))) {
                                return;
                            }
                        }
                        Reply::Nothing => (),
                        Reply::Close => reading = false,
                    }
                    patience.set(sleep(self.idle_timeout));
                }
                frame = frames.next(), if reading && asked.len() < self.pipeline_max => {
                    match frame {
                        Ok(Some(message)) => asked.push(self.reply(message, client, server)),
                        Ok(None) | Err(_) => reading = false,
                    }
                }
                () = &mut patience, if quiet => return,
            }
            drop(in_queue);
        }
    }

    /// Answers one message once its record is kept.
    async fn reply(&self, message: Vec<u8>, client: SocketAddr, server: SocketAddr) -> Reply {
        let asked = Asked {
            client,
            server,
            transport: Transport::Tcp,
            now: self.clock.now(),
            now_mono: self.clock.monotonic(),
        };
        let mut tally = Tally::default();
        let mut out = Vec::with_capacity(512);
        let decided = self.front.decide(&message, &asked, None, &mut out, &mut tally);
        tally.flush(&self.metrics.dns, Transport::Tcp);
        match decided {
            Decided::Nothing => Reply::Nothing,
            Decided::Unrecorded => Reply::Send(out),
            Decided::Answered(answered) => self.keep(&asked, &answered, out).await,
            Decided::Ask(pending) => {
                let mut waiting = Waiting { abandoned: &self.metrics.dns.abandoned, over: false };
                let done = self.front.resolver.resolve(*pending).await;
                waiting.over = true;
                self.keep(&asked, &done.answered, done.wire).await
            }
        }
    }

    async fn keep(&self, asked: &Asked, answered: &Answered, wire: Vec<u8>) -> Reply {
        let row = row(asked, answered, self.clock.monotonic());
        let mut tally = Tally::default();
        tally.source(answered.cache);
        let reply = match self.lane.append_async(&row, answered.full).await {
            Ok(_) if wire.is_empty() => Reply::Nothing,
            Ok(_) => {
                tally.rcode(answered.rcode);
                Reply::Send(wire)
            }
            // The spool has said why in its log; here it is counted.
            Err(_) => {
                tally.unrecorded += 1;
                Reply::Close
            }
        };
        tally.flush(&self.metrics.dns, Transport::Tcp);
        reply
    }
}

/// Counts a query whose client went away, or whose time ran out, before it was answered.
struct Waiting<'a> {
    abandoned: &'a Counter,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.abandoned.increment(1);
        }
    }
}

/// Writes one message behind its length (RFC 1035 §4.2.2), in one piece.
async fn send(write: &mut OwnedWriteHalf, message: &[u8]) -> io::Result<()> {
    let Ok(len) = u16::try_from(message.len()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&len.to_be_bytes());
    framed.extend_from_slice(message);
    write.write_all(&framed).await
}

/// Whether an error of `accept` belongs to the one connection that was about to be accepted: Linux
/// passes on what the network said about it (accept(2)).
fn of_connection(e: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        e.kind(),
        E::ConnectionAborted
            | E::ConnectionReset
            | E::ConnectionRefused
            | E::NetworkUnreachable
            | E::NetworkDown
            | E::HostUnreachable
            | E::TimedOut
            | E::Interrupted
    )
}

/// Messages behind their lengths.
struct Frames<R> {
    read: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(read: R) -> Self {
        Self { read, buffer: Vec::new() }
    }

    /// The next message; none at the end of the stream. May be cancelled without loss.
    ///
    /// # Errors
    /// A message of no bytes or of more than [`QUERY_BYTES_MAX`], an end in the middle of one, or
    /// what the system says.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let wanted = match self.buffer.first_chunk::<2>() {
                None => 2,
                Some(len) => match usize::from(u16::from_be_bytes(*len)) {
                    0 => return Err(io::ErrorKind::InvalidData.into()),
                    len if len > QUERY_BYTES_MAX => {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    len => 2 + len,
                },
            };
            if wanted > 2 && self.buffer.len() >= wanted {
                let message = self.buffer[2..wanted].to_vec();
                self.buffer.drain(..wanted);
                return Ok(Some(message));
            }
            // At most one message of the largest size and the length of the next lie here.
            self.buffer.reserve(512);
            let room = (2 + QUERY_BYTES_MAX) as u64 - self.buffer.len() as u64;
            if (&mut self.read).take(room).read_buf(&mut self.buffer).await? == 0 {
                let whole = self.buffer.is_empty();
                return if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(bytes: &[u8], expected: &[&[u8]], clean: bool) {
        // In every partition of two pieces, the messages are the same.
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let mut frames = Frames::new(head.chain(tail));
            for message in expected {
                assert_eq!(frames.next().await.unwrap().as_deref(), Some(*message), "{cut}");
            }
            match frames.next().await {
                Ok(None) => assert!(clean),
                Ok(Some(m)) => panic!("one more: {m:?}"),
                Err(_) => assert!(!clean),
            }
        }
    }

    #[tokio::test]
    async fn messages_come_out_as_they_went_in() {
        check(b"", &[], true).await;
        check(b"\0\x01a\0\x02bc", &[b"a", b"bc"], true).await;
        check(b"\0\x01a\0", &[b"a"], false).await;
        check(b"\0\x03ab", &[], false).await;
        check(b"\0\x01a\0\0\0\x01b", &[b"a"], false).await;
        let mut large = vec![0x10, 0];
        large.extend(vec![7; QUERY_BYTES_MAX]);
        check(&large, &[&large[2..]], true).await;
        large[1] = 1;
        check(&large, &[], false).await;
    }

    #[test]
    fn the_loop_tells_its_own_errors_from_the_connections() {
        for e in [libc::ECONNABORTED, libc::EHOSTUNREACH] {
            assert!(of_connection(&io::Error::from_raw_os_error(e)));
        }
        for e in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(!of_connection(&io::Error::from_raw_os_error(e)));
        }
    }
}
