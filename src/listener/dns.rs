//! The DNS listeners as a whole: started, watched and drained together.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Bound, Error,
    front::Front,
    idle::IdleQueue,
    misses::{Home, Misses, wake},
    rate::RateLimit,
    stream::Streams,
    udp,
};
use crate::{
    clock::Clock,
    config,
    metrics::Metrics,
    record::Table,
    resolver::Resolver,
    spool::{SharedLane, Spool},
};

/// What a stopped listener may take beyond the grace: its last commit and the closing of its lane.
const CLOSE_MARGIN: Duration = Duration::from_secs(5);

/// What the listeners are made of.
pub struct Parts<'a> {
    /// The section `[dns]`.
    pub config: &'a config::Dns,
    /// Where records go: one lane per UDP thread.
    pub spool: &'a Spool,
    /// The lane of all stream listeners.
    pub shared: SharedLane,
    /// Who answers.
    pub resolver: Arc<Resolver>,
    /// The clocks.
    pub clock: Clock,
    /// The measures.
    pub metrics: Arc<Metrics>,
    /// Where streams are served and upstreams are waited for.
    pub runtime: Handle,
}

/// A listener that ended.
#[derive(Debug)]
pub struct Ended {
    /// `udp-0` and so on for threads, `tcp-ADDRESS` for stream listeners.
    pub name: String,
    /// Why.
    pub outcome: Result<(), Error>,
}

/// The DNS listeners while they serve.
pub struct Dns {
    addresses: Vec<SocketAddr>,
    threads: Vec<Thread>,
    /// Set once: until when the threads may wait for upstreams.
    stop: Arc<OnceLock<Instant>>,
    stop_streams: CancellationToken,
    /// The grace is over.
    cut: CancellationToken,
    tasks: TaskTracker,
    running: usize,
    /// The first error of those that ended after a stop was asked for.
    outcome: Result<(), Error>,
    ended: mpsc::Receiver<Ended>,
    say_ended: mpsc::Sender<Ended>,
    clock: Clock,
}

struct Thread {
    handle: JoinHandle<()>,
    wake: Arc<EventFd>,
}

/// Says that a listener ended when it is dropped, by a panic too.
struct Watch {
    name: String,
    outcome: Option<Result<(), Error>>,
    ended: mpsc::Sender<Ended>,
}

/// What is dropped without having been stopped ends by itself, unheard.
impl Drop for Dns {
    fn drop(&mut self) {
        self.tell_to_stop(Duration::ZERO);
        self.cut.cancel();
    }
}

impl Watch {
    fn run(mut self, f: impl FnOnce() -> Result<(), Error>) {
        self.outcome = Some(f());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or(Err(Error::Panicked));
        let ended = Ended { name: std::mem::take(&mut self.name), outcome };
        // There is room for every listener; nobody listening means that the server is gone.
        if self.ended.try_send(ended).is_err() {
            tracing::debug!("a listener ended after its owner");
        }
    }
}

impl Dns {
    /// Serves on `bound`. Everything that answers must be in force.
    ///
    /// # Errors
    /// [`Error::Spool`] and [`Error::Start`]; then nothing is served.
    pub fn start(bound: Bound, parts: Parts<'_>) -> Result<Self, Error> {
        let addresses = bound.addresses();
        let (say_ended, ended) = mpsc::channel(bound.threads + addresses.len() + 1);
        let mut dns = Self {
            addresses,
            threads: Vec::new(),
            stop: Arc::default(),
            stop_streams: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: 0,
            outcome: Ok(()),
            ended,
            say_ended,
            clock: parts.clock.clone(),
        };
        dns.start_all(bound, &parts)?;
        Ok(dns)
    }

    /// The addresses served, in the order of `dns.listen`.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits for a listener to end. Before a stop was asked for, that is fatal.
    pub async fn ended(&mut self) -> Ended {
        let ended = self.ended.recv().await;
        self.running = self.running.saturating_sub(1);
        ended.unwrap_or(Ended { name: "dns".into(), outcome: Err(Error::Panicked) })
    }

    /// Stops: receives nothing more, answers what has arrived, waits for upstreams at most `grace`,
    /// closes the lanes.
    ///
    /// # Errors
    /// The first error of a listener, or [`Error::Stuck`].
    pub async fn stop(mut self, grace: Duration) -> Result<(), Error> {
        self.tell_to_stop(grace);
        self.tasks.close();
        // Streams within the grace; threads know the same deadline.
        if timeout(grace, self.all_ended()).await.is_err() {
            self.cut.cancel();
        }
        if timeout(CLOSE_MARGIN, self.all_ended()).await.is_err() {
            return Err(Error::Stuck(self.running.max(1)));
        }
        // Each has said that it ended; what is left of it takes no time.
        for thread in self.threads.drain(..) {
            thread.handle.join().map_err(|_| Error::Panicked)?;
        }
        std::mem::replace(&mut self.outcome, Ok(()))
    }

    /// Waits until every listener and every task has ended. May be cancelled and called again.
    async fn all_ended(&mut self) {
        while self.running > 0 {
            let outcome = self.ended().await.outcome;
            let first = std::mem::replace(&mut self.outcome, Ok(()));
            self.outcome = first.and(outcome);
        }
        self.tasks.wait().await;
    }

    fn tell_to_stop(&self, grace: Duration) {
        // A second stop keeps the first one's deadline.
        self.stop.get_or_init(|| self.clock.monotonic() + grace);
        self.stop_streams.cancel();
        for thread in &self.threads {
            wake(&thread.wake);
        }
    }

    fn start_all(&mut self, bound: Bound, parts: &Parts<'_>) -> Result<(), Error> {
        let front = Arc::new(Front::new(Arc::clone(&parts.resolver), parts.config));
        let mut by_thread: Vec<Vec<(SocketAddr, UdpSocket)>> =
            (0..bound.threads).map(|_| Vec::new()).collect();
        let mut listeners = Vec::new();
        for place in bound.places {
            for (sockets, socket) in by_thread.iter_mut().zip(place.udp) {
                sockets.push((place.address, socket));
            }
            let _inside = parts.runtime.enter();
            let listener = TcpListener::from_std(place.tcp).map_err(Error::Start)?;
            listeners.push((listener, place.address));
        }
        if listeners.is_empty() {
            return Ok(());
        }
        for (i, sockets) in by_thread.into_iter().enumerate() {
            self.start_thread(i, sockets, &front, parts)?;
        }
        self.start_streams(listeners, front, parts);
        Ok(())
    }

    fn start_thread(
        &mut self,
        i: usize,
        sockets: Vec<(SocketAddr, UdpSocket)>,
        front: &Arc<Front>,
        parts: &Parts<'_>,
    ) -> Result<(), Error> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let wake = EventFd::from_flags(flags).map_err(|e| Error::Start(e.into()))?;
        let wake = Arc::new(wake);
        let home = Home {
            resolver: Arc::clone(&parts.resolver),
            runtime: parts.runtime.clone(),
            tasks: self.tasks.clone(),
            cut: self.cut.clone(),
        };
        let worker = u16::try_from(i).unwrap_or(u16::MAX);
        let thread = udp::Parts {
            sockets,
            batch_max: parts.config.udp_batch_max,
            front: Arc::clone(front),
            limit: RateLimit::new(&parts.config.rate_limit, parts.clock.monotonic()),
            misses: Misses::new(parts.config.misses_max, Arc::clone(&wake), home),
            lane: parts.spool.lane(Table::Resolutions, worker)?,
            clock: parts.clock.clone(),
            metrics: Arc::clone(&parts.metrics),
            wake: Arc::clone(&wake),
            stop: Arc::clone(&self.stop),
        };
        let name = format!("udp-{i}");
        let watch = Watch { name: name.clone(), outcome: None, ended: self.say_ended.clone() };
        let handle = std::thread::Builder::new()
            .name(format!("dns-{name}"))
            .spawn(move || watch.run(|| udp::run(thread)))
            .map_err(Error::Start)?;
        self.running += 1;
        self.threads.push(Thread { handle, wake });
        Ok(())
    }

    fn start_streams(
        &mut self,
        listeners: Vec<(TcpListener, SocketAddr)>,
        front: Arc<Front>,
        parts: &Parts<'_>,
    ) {
        let streams = Arc::new(Streams {
            front,
            lane: parts.shared.clone(),
            clock: parts.clock.clone(),
            metrics: Arc::clone(&parts.metrics),
            places: Arc::new(Semaphore::new(parts.config.tcp_connections_max)),
            idle: IdleQueue::default(),
            idle_timeout: Duration::from_millis(parts.config.tcp_idle_timeout_ms),
            pipeline_max: parts.config.tcp_pipeline_max,
            stop: self.stop_streams.clone(),
            cut: self.cut.clone(),
            tasks: self.tasks.clone(),
        });
        for (listener, address) in listeners {
            let streams = Arc::clone(&streams);
            let name = format!("tcp-{address}");
            let watch = Watch { name, outcome: None, ended: self.say_ended.clone() };
            let accept = async move {
                streams.accept(listener, address).await;
                watch.run(|| Ok(()));
            };
            self.tasks.spawn_on(accept, &parts.runtime);
            self.running += 1;
        }
    }
}
