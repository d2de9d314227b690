//! A bounded number of connections, and the thread that drives them.

use std::{
    ops::{Deref, DerefMut},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::{Builder, Runtime},
};
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_util::task::TaskTracker;

use super::{
    Error, RETRY, Session, Settings,
    tls::{Stream, Tls},
    wait::block_on,
};
use crate::clock::Clock;

/// What every connection begins with. A commit that was answered is on the server's disk. The server
/// notices soon that we are gone without a word, and lets go of what we held: a node that was cut off
/// must be able to come back under its name.
const BEGIN: &str = "SET client_min_messages = warning;
    SET default_transaction_isolation = 'read committed';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off'";

/// Connections to one database.
#[derive(Debug)]
pub struct Pool {
    config: Config,
    tls: Tls,
    settings: Settings,
    clock: Clock,
    state: Mutex<State>,
    back: Condvar,
    tasks: TaskTracker,
    /// Gone only when the pool is dropped, without waiting: connections end with it.
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Session>,
    /// Connections on loan or idle.
    open: usize,
    /// Since when, and why, the database is away.
    away: Option<(Instant, String)>,
    /// Somebody finds out whether it is back.
    probed: bool,
}

impl Pool {
    /// Connects once, to be sure.
    ///
    /// # Errors
    /// When the settings are wrong or the database cannot be reached.
    pub fn open(settings: Settings, clock: Clock) -> Result<Self, Error> {
        let config = settings.config()?;
        let ca_file = Some(settings.ca_file.as_path()).filter(|f| !f.as_os_str().is_empty());
        let io = |path: &str| {
            let path = path.into();
            |source| Error::Io { path, source }
        };
        let tls = Tls::new(ca_file)
            .map_err(|source| Error::Io { path: settings.ca_file.clone(), source })?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(io("the thread of PostgreSQL's connections"))?;
        let pool = Self {
            config,
            tls,
            settings,
            clock,
            state: Mutex::default(),
            back: Condvar::new(),
            tasks: TaskTracker::new(),
            runtime: Some(runtime),
        };
        drop(pool.take()?);
        Ok(pool)
    }

    /// A connection on loan, made when none is idle.
    ///
    /// # Errors
    /// When all are in use for too long or none can be made.
    pub fn take(&self) -> Result<Pooled<'_>, Error> {
        let mut state = self.lock();
        loop {
            if let Some(why) = self.is_away_in(&state) {
                return Err(Error::Down(why));
            }
            match state.idle.pop() {
                Some(session) if session.is_sound() => {
                    return Ok(Pooled { session: Some(session), pool: self });
                }
                Some(_) => state.open -= 1,
                None if state.open < self.settings.connections_max => break,
                None => {
                    let waited = self.back.wait_timeout(state, self.settings.connect_timeout);
                    let (woken, time) = waited.unwrap_or_else(PoisonError::into_inner);
                    if time.timed_out() {
                        return Err(Error::Busy);
                    }
                    state = woken;
                }
            }
        }
        state.open += 1;
        drop(state);
        match self.connect() {
            Ok(session) => Ok(Pooled { session: Some(session), pool: self }),
            Err(e) => {
                self.lock().open -= 1;
                self.back.notify_one();
                Err(e)
            }
        }
    }

    /// Runs `work` with a connection on loan.
    ///
    /// # Errors
    /// Those of `work`, and when there is no connection.
    pub fn with<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut session = self.take()?;
        let done = work(&mut session);
        if done.is_err() && !session.is_sound() {
            self.lost(&Error::Down("the connection was lost".into()));
        }
        done
    }

    /// A connection of its own, beside those on loan.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn connect(&self) -> Result<Session, Error> {
        {
            let mut state = self.lock();
            if let Some(why) = self.is_away_in(&state) {
                return Err(Error::Down(why));
            }
            state.probed = state.away.is_some();
        }
        let made = self.make();
        let mut state = self.lock();
        state.probed = false;
        match &made {
            Ok(_) => state.away = None,
            Err(e) => self.note(&mut state, e),
        }
        made
    }

    fn make(&self) -> Result<Session, Error> {
        let runtime = self.runtime.as_ref().ok_or(Error::Busy)?;
        let (config, tls) = (self.config.clone(), self.tls.clone());
        let connecting =
            self.tasks.spawn_on(async move { config.connect(tls).await }, runtime.handle());
        let stop = connecting.abort_handle();
        // Name, TCP, TLS and authentication together.
        let waited = block_on(&self.clock, self.settings.connect_timeout, connecting);
        let Some(Ok(made)) = waited else {
            stop.abort();
            return Err(Error::Down("no connection in time".into()));
        };
        let (client, connection) = made?;
        self.tasks.spawn_on(drive(connection), runtime.handle());
        let (clock, timeout) = (self.clock.clone(), self.settings.statement_timeout);
        let mut session = Session::new(client, clock, timeout);
        session.batch(BEGIN)?;
        let timeout = timeout.as_millis();
        session.batch(&format!(
            "SET statement_timeout = {timeout}; SET idle_in_transaction_session_timeout = {timeout}"
        ))?;
        Ok(session)
    }

    /// A connection that its owner drives: see [`tokio_postgres::Connection::poll_message`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn connect_raw(
        &self,
    ) -> Result<(Client, Connection<Socket, impl AsyncRead + AsyncWrite + Unpin + use<>>), Error>
    {
        let connecting = self.config.connect(self.tls.clone());
        let made = tokio::time::timeout(self.settings.connect_timeout, connecting).await;
        let made = made.map_err(|_| Error::Down("no connection in time".into()))??;
        self.lock().away = None;
        Ok(made)
    }

    /// The database did not answer: whoever asks is refused for a while.
    pub fn lost(&self, why: &Error) {
        self.note(&mut self.lock(), why);
    }

    /// Whether whoever asks now is refused at once.
    pub fn is_away(&self) -> bool {
        self.is_away_in(&self.lock()).is_some()
    }

    /// The longest wait for a connection.
    pub fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    fn is_away_in(&self, state: &State) -> Option<String> {
        let (since, why) = state.away.as_ref()?;
        let early = self.clock.monotonic().saturating_duration_since(*since) < RETRY;
        (early || state.probed).then(|| why.clone())
    }

    fn note(&self, state: &mut State, e: &Error) {
        let why = match e {
            Error::Down(why) => why.clone(),
            Error::InDoubt => e.to_string(),
            _ => return,
        };
        // Those that are idle now would each be found out alone.
        state.open -= state.idle.len();
        state.idle.clear();
        state.away = Some((self.clock.monotonic(), why));
        self.back.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A list of connections is whole whatever its last holder did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drive(connection: Connection<Socket, Stream>) {
    // Whoever waits for the connection learns why it ended.
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to PostgreSQL ended");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection on loan.
#[derive(Debug)]
pub struct Pooled<'a> {
    session: Option<Session>,
    pool: &'a Pool,
}

impl Deref for Pooled<'_> {
    type Target = Session;

    #[expect(clippy::expect_used, reason = "empty only while it is being dropped")]
    fn deref(&self) -> &Session {
        self.session.as_ref().expect("on loan until dropped")
    }
}

impl DerefMut for Pooled<'_> {
    #[expect(clippy::expect_used, reason = "empty only while it is being dropped")]
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("on loan until dropped")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match self.session.take() {
            Some(session) if session.is_sound() => state.idle.push(session),
            _ => state.open -= 1,
        }
        drop(state);
        self.pool.back.notify_one();
    }
}
