//! Builds the stages in the order of the data, owns their tasks, drains them in the same order.
//!
//! **Start**: clock, spool, control state, policy and zones, listeners; the store comes up beside
//! them, and nobody who asks us waits for it. No listener answers before the last good policy and
//! zones are in force and the outbox is in the spool. While the spool is read the service manager is
//! told that the start goes on.
//!
//! **End** (SIGTERM, SIGINT): listeners stop accepting and finish what is in flight, lanes are
//! closed, what is closed is shipped, the engine ends, the spool is sealed. One deadline,
//! `drain_grace_ms` after the signal, is shared by all of them; the closing of lanes and the engine
//! have a few seconds of their own beyond it. What is not shipped by then is shipped after the next
//! start.
//!
//! **Failure**: a stage that ends by itself ends the process with exit code 1, after the same
//! drain: a node that answers but does not record, or records but never ships, is worse than none.

mod acme;
mod alive;
mod clock_check;
mod core;
mod demo;
mod expiry;
mod here;
mod listeners;
mod past;
mod policy;
mod reports;
mod run_file;
mod storage;
mod transfers;
mod upkeep;
mod verify;
mod walks;
mod webhooks;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

pub use clock_check::ClockError;
pub use demo::{DEMO_ZONE, demo_config};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use self::{alive::Alive, core::Core};
use crate::{
    clock::Clock,
    config::Config,
    links, listener,
    listener::http::HttpError,
    metrics::Metrics,
    notify,
    record::{BadNodeName, BadSuffixList},
    resolver, spool, store,
};

/// Why a server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The clock cannot be right.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The host name cannot name a node.
    #[error("the host name cannot name this node, set `node`: {0}")]
    Node(#[from] BadNodeName),
    /// The spool.
    #[error("spool: {0}")]
    Spool(#[from] spool::Error),
    /// Warnings cannot be shown as configured.
    #[error("notices: {0}")]
    Notices(#[from] crate::gateway::notice::Error),
    /// Where targets lead cannot be looked for as configured.
    #[error(transparent)]
    Walks(#[from] crate::gateway::WalkError),
    /// Certificates cannot be obtained as configured.
    #[error(transparent)]
    Acme(#[from] crate::gateway::acme::AcmeError),
    /// Nobody can be told of changes as configured.
    #[error(transparent)]
    Webhooks(#[from] crate::webhooks::Error),
    /// Links, tokens and the rest of the control state.
    #[error("control state: {0}")]
    Links(#[from] links::Error),
    /// Reports by the public.
    #[error("reports: {0}")]
    Reports(#[from] crate::reports::Error),
    /// What the section `[verify]` names cannot be used.
    #[error("{0}")]
    Verify(#[from] crate::verify::Error),
    /// Feeds and their control state.
    #[error("feeds: {0}")]
    Feeds(crate::feeds::Error),
    /// A key that transfers are signed with.
    #[error("feeds.transfer.keys: {0}")]
    Keys(#[from] crate::feeds::transfer::KeyError),
    /// The public suffix list.
    #[error(transparent)]
    Suffixes(#[from] BadSuffixList),
    /// Zones and upstreams.
    #[error("resolver: {0}")]
    Resolver(#[from] resolver::Error),
    /// DNS sockets.
    #[error("dns: {0}")]
    Dns(#[from] listener::Error),
    /// HTTP sockets.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store cannot be used, whatever we wait.
    #[error("store: {0}")]
    Store(#[from] store::Error),
    /// A secret could not be made.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// An HTTP socket.
    #[error("{key}: {address} cannot be bound: {source}")]
    Bind {
        /// The key that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why it failed.
        source: io::Error,
    },
    /// A file or socket.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A part ended by itself.
    #[error("{0} ended by itself")]
    Ended(String),
}

impl Error {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Serves until SIGTERM or SIGINT, then drains. `ready` is called once every listener answers.
///
/// # Errors
/// Whatever kept it from starting, or ended it.
pub fn serve(config: Config, ready: impl FnOnce(&Addresses)) -> Result<(), Error> {
    let mut builder = runtime::Builder::new_multi_thread();
    if config.worker_threads > 0 {
        builder.worker_threads(config.worker_threads);
    }
    let runtime =
        builder.thread_name("shared").enable_all().build().map_err(Error::io("the runtime"))?;
    raise_file_limit();
    let served = runtime.block_on(run(config, ready));
    // Blocking work that is still under way (a file, a database).
    runtime.shutdown_timeout(BLOCKING_GRACE);
    served
}

/// Where a server listens.
pub use run_file::Run as Addresses;
pub use run_file::is_held;

/// What blocking work may take after everything else has ended.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

async fn run(config: Config, ready: impl FnOnce(&Addresses)) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::io("signals"))?;
    let (clock, metrics) = (Clock::system(), Metrics::new());
    metrics.install();
    let grace = Duration::from_millis(config.drain_grace_ms);
    let alive = Arc::new(Alive::new(clock.clone()));
    let mut core = Core::build(config, clock, metrics, alive)?;
    let mut storage = storage::Storage::start(&core)?;
    let mut upkeep = upkeep::Upkeep::start(&core, &storage)?;
    let memory = core.config.trace.memory_bytes_max;
    let mut following =
        policy::Following::start(&core.feeds, &storage, &core.tasks, &core.feeds_stop, memory);
    if let Some(follower) = core.follower.take() {
        following.also(vec![core.tasks.spawn(follower.run())]);
    }
    let transfers = core.transfers.take();
    let transfers_address = transfers.as_ref().and_then(transfers::Transfers::address);
    if let Some(transfers) = transfers {
        following.also(transfers.start(&core.feeds, &core.tasks, &core.feeds_stop));
    }
    let mut listeners = listeners::Listeners::start(&mut core, &mut storage)?;
    let addresses = Addresses { transfers: transfers_address, ..listeners.addresses(&storage) };
    let expiry = expiry::Expiry::start(&core);
    let counting = reports::Counting::start(&core);
    let walks = walks::Walks::start(&core, &addresses)?;
    let refresh = verify::Refresh::start(&core);
    let webhooks = webhooks::Webhooks::start(&core)?;
    let obtaining = acme::Obtaining::start(&core);
    let run_file = run_file::RunFile::write(&core.config.data_dir, &addresses)
        .map_err(Error::io("run.json"))?;
    ready(&addresses);
    notify::ready();
    tracing::info!(dns = ?addresses.dns, gateway = ?addresses.gateway, api = ?addresses.api,
        engine = ?addresses.engine, "serving");

    let ended = loop {
        tokio::select! {
            stop = signals.next() => match stop {
                true => break Ok(()),
                false => core.reload_in_background(),
            },
            ended = listeners.ended() => break Err(ended),
            ended = storage.ended() => break Err(ended),
            ended = upkeep.ended() => break Err(ended),
            ended = following.ended() => break Err(ended),
        }
    };
    if let Err(error) = &ended {
        tracing::error!(%error, "a part of the server ended, draining the others");
    }
    notify::stopping();
    drop(run_file);
    let deadline = core.clock.monotonic() + grace;
    let stopped = listeners.stop(grace).await;
    expiry.stop().await;
    counting.stop().await;
    walks.stop().await;
    refresh.stop().await;
    webhooks.stop().await;
    obtaining.stop().await;
    core.tasks.close();
    let left = deadline.saturating_duration_since(core.clock.monotonic());
    following.stop(left).await;
    let left = deadline.saturating_duration_since(core.clock.monotonic());
    let shipped = storage.stop_shipping(left).await;
    // A reader's statement is a record: the engine goes before the spool.
    storage.stop_engine().await;
    upkeep.stop().await;
    let sealed = core.close_spool().await;
    tracing::info!("drained");
    ended.and(stopped).and(shipped).and(sealed)
}

/// Ten thousand idle connections must not be the end of what we may open.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one: whether it says stop, else it says reload.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            _ = self.hangup.recv() => false,
        }
    }
}
