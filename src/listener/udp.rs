//! One UDP thread: receive a batch, decide, keep the rows by one commit, only then send.
//!
//! A thread shares nothing that is locked with another: it has its own sockets, its own lane, its
//! own rate limit table and its own waiting queries. A *turn* handles what has arrived at all of
//! its sockets, at most one batch each, and what came back from upstream, at most one batch; its
//! rows are one commit.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::EventFd,
    },
};

use super::{
    Error,
    batch::{Inbox, Outbox},
    front::{Asked, Decided, Front, row},
    misses::{Misses, wake},
    rate::RateLimit,
    responses::{Needs, Responses},
    tally::Tally,
};
use crate::{
    clock::Clock,
    metrics::Metrics,
    resolver::{Answered, Transport},
    spool::{Commit, Lane},
};

/// A lane is told the time this often, so that its frames close by age.
const TICK: Duration = Duration::from_millis(100);
/// How long a full send buffer is waited for before the rest of a batch is given up.
const SEND_WAIT_MS: u16 = 20;
/// Turns in which what has already arrived is still answered after a stop was asked for.
const LAST_TURNS: usize = 64;
/// The event that is no socket.
const WAKE: u64 = u64::MAX;

/// What one thread is made of.
pub(super) struct Parts {
    /// Its sockets, each with the address it is bound to.
    pub(super) sockets: Vec<(SocketAddr, UdpSocket)>,
    pub(super) batch_max: usize,
    pub(super) front: Arc<Front>,
    pub(super) limit: RateLimit,
    pub(super) misses: Misses,
    pub(super) lane: Lane,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// Written to when a query comes back from upstream, or when the thread has to stop.
    pub(super) wake: Arc<EventFd>,
    /// Set when the thread has to stop: until when it may wait for upstreams.
    pub(super) stop: Arc<OnceLock<Instant>>,
}

struct Worker {
    sockets: Vec<Socket>,
    desk: Desk,
    outbox: Outbox,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    wake: Arc<EventFd>,
    stop: Arc<OnceLock<Instant>>,
    ticked: Instant,
}

struct Socket {
    address: SocketAddr,
    socket: UdpSocket,
    inbox: Inbox,
}

/// Everything that deciding about a query touches.
struct Desk {
    front: Arc<Front>,
    limit: RateLimit,
    misses: Misses,
    batch_max: usize,
    lane: Lane,
    /// Rows pushed and not committed.
    rows: usize,
    responses: Responses,
    tally: Tally,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// Serves until a stop is asked for, then waits for upstreams until its deadline and closes the
/// lane.
pub(super) fn run(parts: Parts) -> Result<(), Error> {
    let mut worker = Worker::new(parts)?;
    let served = worker.serve().and_then(|()| worker.drain());
    let desk = worker.desk;
    desk.metrics.dns.abandoned.increment(desk.misses.waiting() as u64);
    let closed = desk.lane.close();
    served?;
    Ok(closed?)
}

impl Worker {
    fn new(parts: Parts) -> Result<Self, Error> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(Error::Wait)?;
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        epoll.add(&*parts.wake, readable(WAKE)).map_err(Error::Wait)?;
        let mut sockets = Vec::new();
        for (i, (address, socket)) in parts.sockets.into_iter().enumerate() {
            epoll.add(&socket, readable(i as u64)).map_err(Error::Wait)?;
            sockets.push(Socket { address, socket, inbox: Inbox::new(parts.batch_max) });
        }
        Ok(Self {
            events: vec![EpollEvent::empty(); sockets.len() + 1],
            sockets,
            outbox: Outbox::new(parts.batch_max),
            epoll,
            wake: parts.wake,
            stop: parts.stop,
            ticked: parts.clock.monotonic(),
            desk: Desk {
                front: parts.front,
                limit: parts.limit,
                misses: parts.misses,
                batch_max: parts.batch_max,
                lane: parts.lane,
                rows: 0,
                responses: Responses::default(),
                tally: Tally::default(),
                clock: parts.clock,
                metrics: parts.metrics,
            },
        })
    }

    fn serve(&mut self) -> Result<(), Error> {
        while self.stop.get().is_none() {
            self.turn(TICK)?;
        }
        Ok(())
    }

    /// Answers what has arrived already, then only what waits for an upstream.
    fn drain(&mut self) -> Result<(), Error> {
        let mut left = LAST_TURNS;
        while left > 0 && self.turn(Duration::ZERO)? {
            left -= 1;
        }
        for s in &self.sockets {
            self.epoll.delete(&s.socket).map_err(Error::Wait)?;
        }
        let Some(&deadline) = self.stop.get() else { return Ok(()) };
        while self.desk.misses.waiting() > 0 {
            let left = deadline.saturating_duration_since(self.desk.clock.monotonic());
            if left.is_zero() {
                break;
            }
            self.turn(left.min(TICK))?;
        }
        Ok(())
    }

    /// Waits at most `patience` for something to do, and does it. Returns whether a datagram was
    /// received.
    fn turn(&mut self, patience: Duration) -> Result<bool, Error> {
        // Rounded up, so that less than a millisecond is no busy loop.
        let ms = u16::try_from(patience.as_micros().div_ceil(1_000)).unwrap_or(u16::MAX);
        let ready = match self.epoll.wait(&mut self.events, EpollTimeout::from(ms)) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(e) => return Err(Error::Wait(e)),
        };
        let mut received = false;
        for i in 0..ready {
            match self.events[i].data() {
                WAKE => self.came_back()?,
                socket => received |= self.receive(socket as usize)?,
            }
        }
        self.respond();
        let now = self.desk.clock.monotonic();
        if now.saturating_duration_since(self.ticked) >= TICK {
            self.ticked = now;
            self.tick();
        }
        Ok(received)
    }

    fn receive(&mut self, i: usize) -> Result<bool, Error> {
        let Some(Socket { address, socket, inbox }) = self.sockets.get_mut(i) else {
            return Ok(false);
        };
        match inbox.receive(socket) {
            Ok(_) => (),
            Err(e) if passing(e) => return Ok(false),
            Err(e) => return Err(Error::Receive(e)),
        }
        let (now, now_mono) = (self.desk.clock.now(), self.desk.clock.monotonic());
        let mut any = false;
        for datagram in inbox.datagrams() {
            any = true;
            if datagram.cut {
                self.desk.tally.malformed += 1;
                continue;
            }
            let asked = Asked {
                client: datagram.from,
                server: *address,
                transport: Transport::Udp,
                now,
                now_mono,
            };
            self.desk.query(i, &asked, datagram.bytes);
        }
        Ok(any)
    }

    /// Takes what came back from upstream.
    fn came_back(&mut self) -> Result<(), Error> {
        match self.wake.read() {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => (),
            Err(e) => return Err(Error::Wait(e)),
        }
        if self.desk.came_back() {
            wake(&self.wake);
        }
        Ok(())
    }

    /// Keeps the rows of this turn, and sends what may leave after that.
    fn respond(&mut self) {
        let commit = self.desk.commit();
        let Desk { responses, tally, metrics, .. } = &mut self.desk;
        if !responses.is_empty() {
            for (i, s) in self.sockets.iter().enumerate() {
                let leaving = responses.leaving(i, commit);
                tally.unsent += self.outbox.send(&s.socket, leaving, writable) as u64;
            }
            responses.recorded(commit).for_each(|rcode| tally.rcode(rcode));
            tally.unrecorded += responses.staying(commit) as u64;
            responses.clear();
        }
        tally.flush(&metrics.dns, Transport::Udp);
    }

    fn tick(&mut self) {
        self.desk.lane.tick();
        for s in &mut self.sockets {
            self.desk.tally.overflowed += u64::from(s.inbox.overflowed());
        }
    }
}

impl Desk {
    fn query(&mut self, socket: usize, asked: &Asked, message: &[u8]) {
        let out = self.responses.next(socket, asked.client);
        match self.front.decide(message, asked, Some(&mut self.limit), out, &mut self.tally) {
            Decided::Nothing => (),
            Decided::Unrecorded => self.responses.keep(Needs::Nothing),
            Decided::Answered(answered) => self.record(asked, &answered),
            Decided::Ask(pending) if self.misses.has_room() => {
                self.misses.ask(socket, *asked, pending);
            }
            Decided::Ask(pending) => {
                let q = pending.query();
                let answered = self.front.overload(q, asked, out, &mut self.tally);
                self.record(asked, &answered);
            }
        }
    }

    /// Takes one batch of what came back; returns whether there may be more.
    fn came_back(&mut self) -> bool {
        for _ in 0..self.batch_max {
            let Some(back) = self.misses.finished() else { return false };
            let Some(done) = back.done else {
                self.tally.abandoned += 1;
                continue;
            };
            *self.responses.next(back.socket, back.asked.client) = done.wire;
            self.record(&back.asked, &done.answered);
        }
        true
    }

    /// Pushes the row of the response just written; an empty one is what policy drops.
    fn record(&mut self, asked: &Asked, answered: &Answered) {
        self.tally.source(answered.cache);
        self.lane.push(&row(asked, answered, self.clock.monotonic()), answered.full);
        self.rows += 1;
        self.responses.keep_recorded(answered.full, answered.rcode);
    }

    fn commit(&mut self) -> Commit {
        if std::mem::take(&mut self.rows) == 0 { Commit::Kept } else { self.lane.commit() }
    }
}

/// Errors of other packets, or of a machine short of memory, that the next receive does not have.
fn passing(e: Errno) -> bool {
    matches!(
        e,
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ENETDOWN
            | Errno::EHOSTDOWN
            | Errno::ENOMEM
            | Errno::ENOBUFS
    )
}

/// Waits until the socket's buffer has room again, but not for long.
fn writable(socket: &UdpSocket) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::from(SEND_WAIT_MS)).is_ok_and(|ready| ready > 0)
}
