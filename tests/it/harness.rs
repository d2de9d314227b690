//! The real binary as a child, on ports of the kernel's choice, in a directory of its own.
//!
//! Dropping a [`Server`] ends it and fails the test when anything of it is left over.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use tempfile::TempDir;
use tracegate::{
    clock::Clock,
    config::{Config, UpstreamMode, Zone},
};

/// How long anything that must happen may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// Looks at `condition` until it gives something.
///
/// # Panics
/// When the deadline passes first; `what` says what did not happen.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    let start = clock.monotonic();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "did not happen within {DEADLINE:?}: {what}");
        thread::sleep(POLL);
    }
}

/// The binary under test with these arguments, without our environment's data directory.
pub(crate) fn tracegate<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracegate"));
    without_ours(&mut command);
    command.args(args);
    command
}

fn without_ours(command: &mut Command) {
    command.env_remove("TRACEGATE_DATA_DIR").env_remove("NOTIFY_SOCKET");
    command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command.stdin(Stdio::null());
}

/// Runs what its arguments will name with a tmpfs over `dir` that nobody else sees, as the same
/// process.
fn in_tmpfs(bytes: u64, dir: &Path) -> Command {
    let mut command = Command::new("unshare");
    without_ours(&mut command);
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script =
        "mount -t tmpfs -o \"size=$1,mode=700\" tracegate \"$2\" && shift 2 && exec \"$@\"";
    command.args(["sh", "-c", script, "sh", &bytes.to_string()]).arg(dir);
    command
}

/// Python with the clients that the tests use, as `scripts/test-deps` made it.
///
/// # Panics
/// When it is not there.
pub(crate) fn python() -> Command {
    let named = std::env::var_os("TRACEGATE_TEST_PYTHON").map(PathBuf::from);
    let cache = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
        cache.unwrap_or_else(home).join("tracegate/python/bin/python")
    };
    let python = named.unwrap_or_else(cache);
    assert!(python.exists(), "{} is missing: run scripts/test-deps", python.display());
    Command::new(python)
}

/// A server to be.
pub(crate) struct Builder {
    dir: TempDir,
    config: Config,
    variables: Vec<(String, String)>,
    /// The size of a file system for the data directory alone, in bytes.
    tmpfs: Option<u64>,
}

/// What a server says about itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Run {
    /// Its process.
    pub(crate) pid: u32,
    /// Its DNS listeners.
    #[serde(default)]
    pub(crate) dns: Vec<SocketAddr>,
    /// Its gateway.
    pub(crate) gateway: Option<SocketAddr>,
    /// Its API.
    pub(crate) api: Option<SocketAddr>,
    /// Its engine.
    pub(crate) engine: Option<SocketAddr>,
}

/// A running server.
pub(crate) struct Server {
    child: Option<Child>,
    run: Run,
    /// Taken by [`Server::kill9`] and [`Server::terminate`].
    home: Option<Builder>,
}

impl Builder {
    /// A server that answers from its zones only, with every port chosen by the kernel.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("tracegate-it-").tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
        config.node = Some("it".parse().unwrap());
        config.worker_threads = 2;
        config.dns.listen = vec![any];
        config.dns.udp_threads = 1;
        config.dns.zone_root = dir.path().join("zones");
        config.dns.upstream.mode = UpstreamMode::Off;
        config.gateway.listen = Some(any);
        config.gateway.threads = 1;
        // Nothing leaves this machine unless a test says so.
        config.gateway.walks.enabled = false;
        config.verify.network = false;
        config.api.listen = Some(any);
        config.spool.segment_bytes_max = 1 << 20;
        config.spool.frame_bytes_max = 256 << 10;
        config.spool.batch_bytes_max = 64 << 10;
        config.store.engine.listen = any;
        config.log.filter = "debug,hyper=info,h2=info,rustls=info".into();
        fs::create_dir(dir.path().join("zones")).unwrap();
        Self { dir, config, variables: Vec::new(), tmpfs: None }
    }

    /// Changes the configuration.
    pub(crate) fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Serves a zone of this text.
    pub(crate) fn zone(mut self, name: &str, text: &str) -> Self {
        let file = PathBuf::from(format!("{name}.zone"));
        fs::write(self.config.dns.zone_root.join(&file), text).unwrap();
        self.config.dns.zones.push(Zone { name: name.into(), file });
        self
    }

    /// Sets an environment variable of the server.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Puts the data directory on a tmpfs of this size, in a mount namespace that lives as long as
    /// the server; none where this machine lets nobody make one, which is said aloud.
    pub(crate) fn on_tmpfs(mut self, bytes: u64) -> Option<Self> {
        fs::create_dir(&self.config.data_dir).unwrap();
        let mut trial = in_tmpfs(bytes, &self.config.data_dir);
        let trial = trial.arg("true").output();
        if !trial.as_ref().is_ok_and(|o| o.status.success()) {
            eprintln!("SKIPPED, nothing was tested: no mount namespace here: {trial:?}");
            return None;
        }
        self.tmpfs = Some(bytes);
        Some(self)
    }

    /// Its data directory as seen from here, while `pid` serves it.
    fn data_seen(&self, pid: u32) -> PathBuf {
        match self.tmpfs {
            None => self.config.data_dir.clone(),
            Some(_) => {
                let below = self.config.data_dir.strip_prefix("/").unwrap();
                Path::new("/proc").join(pid.to_string()).join("root").join(below)
            }
        }
    }

    /// The directory that holds the configuration, `zones` and `data`; removed with the server.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(self) -> Server {
        let child = self.spawn();
        self.running(child)
    }

    fn running(self, mut child: Child) -> Server {
        let pid = child.id();
        let run_file = self.data_seen(pid).join("run.json");
        let run = eventually("run.json names the child", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("serve ended with {status}:\n{}", self.log());
            }
            let run: Run = serde_json::from_slice(&fs::read(&run_file).ok()?).ok()?;
            (run.pid == pid).then_some(run)
        });
        Server { child: Some(child), run, home: Some(self) }
    }

    /// As [`Builder::start`], for a server whose environment names another data directory.
    pub(crate) fn start_below(mut self, data_dir: &Path) -> Server {
        let child = self.spawn();
        self.config.data_dir = data_dir.to_owned();
        self.running(child)
    }

    /// Starts it and asks it to end as soon as it logs `line`.
    pub(crate) fn start_and_terminate(self, line: &str) -> (ExitStatus, Self) {
        let mut child = self.spawn();
        eventually("serve logs the line", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "serve ended with {ended:?}:\n{}", self.log());
            self.log().contains(line).then_some(())
        });
        kill(pid_of(child.id()), Signal::SIGTERM).unwrap();
        let status = eventually("serve ends", || child.try_wait().unwrap());
        (status, self)
    }

    /// Starts it and waits until it ends by itself.
    pub(crate) fn start_and_fail(self) -> (ExitStatus, String) {
        let mut child = self.spawn();
        let status = eventually("serve ends", || child.try_wait().unwrap());
        (status, self.log())
    }

    /// Starts it and kills it when `moment` returns, wherever it is by then.
    pub(crate) fn start_and_kill(self, moment: impl FnOnce()) -> Self {
        let mut child = self.spawn();
        moment();
        child.kill().unwrap();
        child.wait().unwrap();
        eventually("every process of the server ends", || {
            leftovers(self.path()).is_empty().then_some(())
        });
        self
    }

    fn spawn(&self) -> Child {
        let file = self.dir.path().join("tracegate.toml");
        fs::write(&file, toml::to_string(&self.config).unwrap()).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = match self.tmpfs {
            None => tracegate(["serve"]),
            Some(bytes) => {
                let mut command = in_tmpfs(bytes, &self.config.data_dir);
                command.args([env!("CARGO_BIN_EXE_tracegate"), "serve"]);
                command
            }
        };
        command
            .arg("--config")
            .arg(&file)
            .envs(self.variables.iter().map(|(k, v)| (k, v)))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("serve.log")
    }

    /// All it logged, over all starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Server {
    /// A server that is not started yet.
    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    /// Its first DNS listener.
    pub(crate) fn dns(&self) -> SocketAddr {
        self.run.dns[0]
    }

    /// Its gateway.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.run.gateway.expect("the gateway is off")
    }

    /// Its API.
    pub(crate) fn api(&self) -> SocketAddr {
        self.run.api.expect("the API is off")
    }

    /// Its engine.
    pub(crate) fn engine(&self) -> SocketAddr {
        self.run.engine.expect("no embedded engine")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.run.pid
    }

    /// Its data directory, as seen from here.
    pub(crate) fn data(&self) -> PathBuf {
        self.home().data_seen(self.run.pid)
    }

    /// The operator's token.
    pub(crate) fn token(&self) -> String {
        let path = self.data().join("secrets/operator.token");
        fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Its directory, configuration and log.
    pub(crate) fn home(&self) -> &Builder {
        self.home.as_ref().expect("still ours")
    }

    /// Runs a command against it.
    pub(crate) fn cli<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Output {
        let mut command = tracegate(args);
        command.arg("--data-dir").arg(self.data()).output().unwrap()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid_of(self.run.pid), signal).unwrap();
    }

    /// Ends whatever it started, which is its engine, as a crash would.
    pub(crate) fn kill_engine(&self) {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("still running");
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for pid in children.split_whitespace().filter_map(|p| p.parse().ok()) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
    }

    /// Ends it as a crash would. What it leaves behind can be started again.
    pub(crate) fn kill9(mut self) -> Builder {
        self.signal(Signal::SIGKILL);
        self.wait();
        self.take_home()
    }

    /// Asks it to drain, and waits.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Builder) {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        (status, self.take_home())
    }

    fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("still running");
        eventually("serve ends", || child.try_wait().unwrap())
    }

    fn take_home(&mut self) -> Builder {
        let home = self.home.take().expect("still ours");
        eventually("every process of the server ends", || {
            leftovers(home.path()).is_empty().then_some(())
        });
        home
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if thread::panicking() {
                eprintln!("--- serve.log ---\n{}", self.home().log());
                child.kill().ok();
                child.wait().ok();
                return;
            }
            kill(pid_of(child.id()), Signal::SIGTERM).unwrap();
            let status = eventually("serve drains", || child.try_wait().unwrap());
            assert!(status.success(), "serve ended with {status}:\n{}", self.home().log());
            self.take_home();
        }
    }
}

/// Holds a run file as a server would, until this is dropped.
pub(crate) fn hold(run_file: &Path) -> fs::File {
    let file = fs::File::options().write(true).open(run_file).unwrap();
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    file
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// Processes whose command line names `dir`.
pub(crate) fn leftovers(dir: &Path) -> Vec<String> {
    let name = dir.to_str().unwrap().to_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if !entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&name) {
            found.push(line);
        }
    }
    found
}

/// Runs functions that are generic over a database as tests of one database.
macro_rules! conformance {
    ($module:ident, $database:ty: $($test:ident)*) => {
        mod $module {
            $(#[test]
            fn $test() {
                super::$test::<$database>();
            })*
        }
    };
}

pub(crate) use conformance;
