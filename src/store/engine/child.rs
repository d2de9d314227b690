//! The life of the engine's process: lock, listener, fences, library, service, end.
//!
//! In this order, because the fences must stand before the first foreign thread, and the listener
//! must exist before the fences. Under a supervisor the process ends when its stdin does, and
//! signals from a terminal or a service manager are left to the supervisor, which drains first.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufRead, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    binding::Library,
    database::Database,
    front::Front,
    library,
    looks::Looks,
    protocol::{Ready, Said, Start, Verdict},
    request::Keys,
    sandbox,
    turns::Turns,
};
use crate::{clock::Clock, config};

/// Lines for the supervisor that may wait to be written.
const LINES_MAX: usize = 64;
/// The pause between two looks at a lock that is held.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The engine's process could not start.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The first line of stdin was not what a supervisor says.
    #[error("stdin did not begin with a line of settings")]
    Settings(#[source] Option<serde_json::Error>),
    /// Only loopback is served.
    #[error("{0} is no loopback address: the engine serves this machine alone")]
    NotLoopback(SocketAddr),
    /// The address is taken.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// Somebody else has the directory.
    #[error("{0} is used by another process: it was waited for in vain")]
    Locked(PathBuf),
    /// There is no library.
    #[error(transparent)]
    Library(#[from] library::LibraryError),
    /// The library does not load, or the engine does not open.
    #[error("the engine does not start")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The fences.
    #[error("the engine's process could not be fenced in")]
    Sandbox(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How the process was started.
#[derive(Debug)]
pub enum Master {
    /// By a supervisor: settings, verdicts and the end come from stdin.
    Supervisor,
    /// By a person with these settings: a signal ends it.
    Person(Box<Start>),
}

/// Runs the engine on `<data_dir>/engine` until it is told to end.
///
/// # Errors
/// See [`ChildError`]; after the ready line only for reading and writing.
pub fn run(data_dir: &Path, listen: SocketAddr, master: Master) -> Result<(), ChildError> {
    let (start, supervised) = match master {
        Master::Supervisor => (read_start()?, true),
        Master::Person(start) => (*start, false),
    };
    if !listen.ip().is_loopback() {
        return Err(ChildError::NotLoopback(listen));
    }
    let found = library::find(&start.engine)?;
    let path = directory(data_dir)?;
    let _lock = lock(&path, Duration::from_millis(start.engine.start_timeout_ms))?;
    let listener = TcpListener::bind(listen).map_err(|e| ChildError::Listen(listen, e))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::env::set_current_dir(&path)?;
    let sandbox = sandbox::enter(&path, &found).map_err(|e| ChildError::Sandbox(Box::new(e)))?;
    let library = Library::load(&found).map_err(|e| ChildError::Engine(Box::new(e)))?;
    let ready = Ready { ready: library.version(), address, sandbox };
    let database = Database::open(library, &path, start.engine.clone())
        .map_err(|e| ChildError::Engine(Box::new(e)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(blocking_threads(&start.engine))
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(database, listener, ready, &start, supervised));
    // Threads that still wait for the engine are left to the end of the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// A thread for every statement and one to cancel it, and a few for the rest.
fn blocking_threads(limits: &config::Engine) -> usize {
    (limits.connections_max + limits.readers_max) as usize * 2 + 8
}

fn read_start() -> Result<Start, ChildError> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if line.is_empty() {
        return Err(ChildError::Settings(None));
    }
    serde_json::from_str(&line).map_err(|e| ChildError::Settings(Some(e)))
}

fn directory(data_dir: &Path) -> io::Result<PathBuf> {
    let path = data_dir.join("engine");
    fs::create_dir_all(&path)?;
    fs::canonicalize(path)
}

/// Takes the directory for this process, waiting for another that is about to end.
fn lock(path: &Path, limit: Duration) -> Result<File, ChildError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("tracegate.lock"))?;
    let clock = Clock::system();
    let begun = clock.monotonic();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(e.into()),
            Err(TryLockError::WouldBlock) => {}
        }
        if !std::mem::replace(&mut told, true) {
            let waiting = format!("another process uses {}", path.display());
            write_line(&Said::Waiting { waiting })?;
        }
        if clock.monotonic().duration_since(begun) >= limit {
            return Err(ChildError::Locked(path.to_owned()));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

fn write_line(said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_string(said)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

async fn serve(
    database: Database,
    listener: TcpListener,
    ready: Ready,
    start: &Start,
    supervised: bool,
) -> Result<(), ChildError> {
    let limits = &start.engine;
    let readers = limits.readers_max as usize;
    let queue_wait = Duration::from_millis(limits.queue_timeout_ms);
    let (say, mut lines) = mpsc::channel(LINES_MAX);
    let report = (supervised && start.report).then(|| say.clone());
    let looks = Arc::new(Looks::new(report, Duration::from_millis(limits.look_timeout_ms)));
    let front = Arc::new(Front {
        database: Arc::new(database),
        looks: Arc::clone(&looks),
        keys: Keys::new(&start.secrets),
        ours: Turns::new(limits.connections_max as usize, limits.queue_max, queue_wait),
        // Few wait, so that readers cannot hold every connection either.
        readers: Turns::new(readers, readers.min(limits.queue_max), queue_wait),
        connections: Arc::new(Semaphore::new(limits.http_connections_max)),
        tracker: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    let listener = tokio::net::TcpListener::from_std(listener)?;
    front.tracker.spawn(Arc::clone(&front).serve(listener));
    // Blocking, because stdout is; ends with the last sender.
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(said) = lines.blocking_recv() {
            write_line(&said)?;
        }
        Ok::<_, io::Error>(())
    });
    if say.send(Said::Ready(ready)).await.is_err() {
        return writer.await.map_err(io::Error::other)?.map_err(Into::into);
    }
    drop(say);
    let mut told = ended(supervised, looks)?;
    tokio::select! {
        _ = &mut told => {}
        outcome = writer => {
            // Nobody reads us any more, or nobody could ever say anything (no reports).
            if outcome.map_err(io::Error::other)?.is_ok() {
                let _ended = told.await;
            }
        }
    }
    front.cancel.cancel();
    front.tracker.close();
    let grace = Duration::from_millis(limits.stop_grace_ms);
    if tokio::time::timeout(grace, front.tracker.wait()).await.is_err() {
        tracing::warn!("statements were still running at the end of the engine");
    }
    Ok(())
}

/// Resolves when the process is to end: at the end of stdin, or at a signal when a person runs it.
fn ended(supervised: bool, looks: Arc<Looks>) -> io::Result<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .map(signal)
        .into_iter()
        .collect::<io::Result<Vec<_>>>()?;
    if supervised {
        // Its own thread, not one of the runtime's: a read that never ends would hold up the end.
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            // Handlers stay installed while this lives: the default would end the process.
            let _signals = signals;
            for line in io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str::<Verdict>(&line) {
                    Ok(verdict) => looks.decide(verdict),
                    Err(e) => tracing::warn!(error = %e, "the supervisor said what nobody knows"),
                }
            }
            drop(tell);
        })?;
    } else {
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
            runtime.block_on(async {
                let waits = signals.iter_mut().map(|s| Box::pin(s.recv()));
                futures_util::future::select_all(waits).await;
            });
            drop(tell);
        })?;
    }
    Ok(told)
}
