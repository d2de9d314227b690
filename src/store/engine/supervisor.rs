//! The engine as a child process: started, watched, started again, ended.
//!
//! The child gets its settings and secrets through stdin and ends when that closes, so it cannot
//! outlive us, however we end. When it dies by itself it is started again, after a pause that
//! doubles up to `restart_pause_ms_max`; it keeps its address. Readers' statements are handed to
//! the [`LookHandler`] and run only when that says so.

use std::{fmt, io, net::SocketAddr, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::protocol::{Look, Ready, Said, Sandbox, Secrets, Start, Verdict};
use crate::{clock::Clock, config};

/// Records a reader's statement; false refuses it.
pub type LookHandler = Arc<dyn Fn(Look) -> BoxFuture<'static, bool> + Send + Sync>;

/// A child that lived this long starts the pauses anew.
const STEADY: Duration = Duration::from_secs(30);
/// The first pause before a restart.
const PAUSE: Duration = Duration::from_millis(100);
/// Verdicts that may wait to be written to the child.
const VERDICTS_MAX: usize = 64;

/// What the supervisor is told once.
#[derive(Clone)]
pub struct Options {
    /// The program with the `engine` command; usually ourselves.
    pub program: PathBuf,
    /// The data directory; the engine's own is `engine` in it.
    pub data_dir: PathBuf,
    /// Limits and the library.
    pub config: config::Engine,
    /// Who may do what.
    pub secrets: Secrets,
    /// Who records readers' statements; without it they are not reported.
    pub looks: Option<LookHandler>,
    /// For the age of a child.
    pub clock: Clock,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// Where the engine is and which run of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its loopback address; the same after a restart.
    pub address: SocketAddr,
    /// The process.
    pub pid: u32,
    /// Counts starts from 1: what was in flight in an earlier run is in doubt.
    pub run: u64,
    /// What of the sandbox is in force.
    pub sandbox: Sandbox,
}

impl Endpoint {
    /// `http://address`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// What the engine is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way, or waiting for what is named.
    Starting(String),
    /// Serving.
    Ready(Endpoint),
    /// Ended; it will be started again, except after [`Supervisor::shutdown`].
    Down(String),
}

/// There is no engine to speak to.
#[derive(Debug, thiserror::Error)]
#[error("the engine is not ready: {0}")]
pub struct NotReady(pub String);

/// The supervised engine.
#[derive(Debug)]
pub struct Supervisor {
    state: watch::Receiver<State>,
    secrets: Secrets,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Supervisor {
    /// Starts the engine, in a task of its own that ends with [`Supervisor::shutdown`].
    pub fn start(options: Options) -> Self {
        let (set_state, state) = watch::channel(State::Starting("not yet started".into()));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let secrets = options.secrets.clone();
        let stop_it = stop.clone();
        let watcher =
            Watcher { options, set_state, stop: stop_it, address: None, run: 0, ended: None };
        tasks.spawn(watcher.run());
        tasks.close();
        Self { state, secrets, stop, tasks }
    }

    /// The secrets it was started with.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// What it is doing, now and later.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It did not within `limit`; says what it was doing instead.
    pub async fn ready(&self, limit: Duration) -> Result<Endpoint, NotReady> {
        let mut state = self.state.clone();
        let waited = timeout(limit, state.wait_for(|s| matches!(s, State::Ready(_)))).await;
        match waited.map(|s| s.map(|s| s.clone())) {
            Ok(Ok(State::Ready(endpoint))) => Ok(endpoint),
            _ => match self.state.borrow().clone() {
                State::Ready(endpoint) => Ok(endpoint),
                State::Starting(what) | State::Down(what) => Err(NotReady(what)),
            },
        }
    }

    /// Ends the engine: closes its stdin, waits for `stop_grace_ms` and a little more, then kills.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Watcher {
    options: Options,
    set_state: watch::Sender<State>,
    stop: CancellationToken,
    address: Option<SocketAddr>,
    run: u64,
    /// How the run before ended, and when.
    ended: Option<String>,
}

impl Watcher {
    async fn run(mut self) {
        let max = Duration::from_millis(self.options.config.restart_pause_ms_max);
        let mut pause = PAUSE;
        loop {
            let begun = self.options.clock.monotonic();
            let why = match self.one_run().await {
                Ok(why) => why,
                Err(e) => e.to_string(),
            };
            let ended = format!("{why}, at {}", self.options.clock.now());
            self.set_state.send_replace(State::Down(ended.clone()));
            self.ended = Some(ended);
            if self.stop.is_cancelled() {
                return;
            }
            let lived = self.options.clock.monotonic().duration_since(begun);
            if lived >= STEADY {
                pause = PAUSE;
            }
            tracing::error!(
                reason = why,
                pause_ms = pause.as_millis(),
                "the engine ended; starting it again"
            );
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(max);
        }
    }

    /// One child, from its start to its end; says why it ended.
    async fn one_run(&mut self) -> io::Result<String> {
        self.run += 1;
        let first = || "for the first time".to_owned();
        let again = |why| format!("again (start {}), because {why}", self.run);
        let why = self.ended.as_ref().map_or_else(first, again);
        self.set_state.send_replace(State::Starting(why));
        let mut child = self.spawn()?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Ok("the engine has no pipes".into());
        };
        let start = Start {
            secrets: self.options.secrets.clone(),
            engine: self.options.config.clone(),
            report: self.options.looks.is_some(),
        };
        let mut line = serde_json::to_vec(&start)?;
        line.push(b'\n');
        let written = stdin.write_all(&line).await;
        let mut lines = BufReader::new(stdout).lines();
        if written.is_ok() {
            self.until_ended(&mut child, stdin, &mut lines).await;
        }
        self.reap(child).await
    }

    fn spawn(&self) -> io::Result<Child> {
        let o = &self.options;
        let listen = self.address.unwrap_or(o.config.listen);
        Command::new(&o.program)
            .arg("engine")
            .arg("--data-dir")
            .arg(&o.data_dir)
            .args(["--listen", &listen.to_string(), "--supervised"])
            // The service manager waits for us, not for it.
            .env_remove("NOTIFY_SOCKET")
            // Its own group: a terminal's ^C is for us, who drain before the engine ends.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// Follows a child until it ends or is to end. Dropping its stdin is what ends it.
    async fn until_ended(
        &mut self,
        child: &mut Child,
        mut stdin: ChildStdin,
        lines: &mut Lines<BufReader<ChildStdout>>,
    ) {
        let pid = child.id().unwrap_or(0);
        let (decide, mut verdicts) = mpsc::channel::<Verdict>(VERDICTS_MAX);
        let handlers = TaskTracker::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                line = lines.next_line() => match line {
                    Ok(Some(line)) => self.heard(&line, pid, &decide, &handlers),
                    Ok(None) | Err(_) => return,
                },
                Some(verdict) = verdicts.recv() => {
                    let Ok(mut line) = serde_json::to_vec(&verdict) else { continue };
                    line.push(b'\n');
                    if stdin.write_all(&line).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn heard(
        &mut self,
        line: &str,
        pid: u32,
        decide: &mpsc::Sender<Verdict>,
        handlers: &TaskTracker,
    ) {
        match serde_json::from_str(line) {
            Ok(Said::Ready(Ready { ready, address, sandbox })) => {
                tracing::info!(version = ready, %address, ?sandbox, "the engine serves");
                self.address = Some(address);
                let endpoint = Endpoint { address, pid, run: self.run, sandbox };
                self.set_state.send_replace(State::Ready(endpoint));
            }
            Ok(Said::Waiting { waiting }) => {
                tracing::info!(reason = waiting, "the engine waits");
                self.set_state.send_replace(State::Starting(waiting));
            }
            Ok(Said::Look(look)) => {
                let Some(handler) = self.options.looks.clone() else { return };
                let decide = decide.clone();
                handlers.spawn(async move {
                    let number = look.look;
                    let verdict = Verdict { look: number, allow: handler(look).await };
                    if decide.send(verdict).await.is_err() {
                        tracing::debug!("the engine ended before it heard a verdict");
                    }
                });
            }
            Err(e) => tracing::warn!(error = %e, "the engine said what nobody knows"),
        }
    }

    async fn reap(&self, mut child: Child) -> io::Result<String> {
        let grace = Duration::from_millis(self.options.config.stop_grace_ms) + STEADY / 10;
        let status = match timeout(grace, child.wait()).await {
            Ok(status) => status?,
            Err(_) => {
                tracing::warn!("the engine did not end in time and is killed");
                child.kill().await?;
                child.wait().await?
            }
        };
        Ok(format!("the engine ended: {status}"))
    }
}
