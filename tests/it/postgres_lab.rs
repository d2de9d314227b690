//! A PostgreSQL server of Debian's, in the foreground, in a directory of its own, as a user that
//! may do nothing else. Ended with the test.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};
use tempfile::TempDir;
use tracegate::{
    clock::Clock,
    links::{Error, Freshness, PostgresLinks},
    sql::postgres::{Pool, Session, Settings},
};

use crate::harness::eventually;

/// What every role here is identified by.
const PASSWORD: &str = "a password of the tests";

/// The server. It syncs as it would anywhere.
pub(crate) struct Postgres {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes and starts one.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        own(dir.path());
        let given = dir.path().join("given");
        fs::write(&given, PASSWORD).unwrap();
        own(&given);
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut initdb = as_nobody(&bin("initdb"));
        initdb.args(["--username=tracegate", "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--locale=C", "--no-sync", "--wal-segsize=1", "--no-instructions"]);
        initdb.arg("--pwfile").arg(&given).arg("-D").arg(dir.path().join("data"));
        let out = initdb.current_dir(dir.path()).output().unwrap();
        assert!(out.status.success(), "initdb: {}", String::from_utf8_lossy(&out.stderr));
        let password = dir.path().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let mut server = Self { dir, port, child: None, databases: AtomicU32::new(0) };
        server.restart();
        server
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on the same port.
    pub(crate) fn restart(&mut self) {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let mut postgres = as_nobody(&bin("postgres"));
        postgres.arg("-D").arg(self.dir.path().join("data")).arg("-k").arg(self.dir.path());
        postgres.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        postgres.args(["-c", "max_connections=60", "-c", "shared_buffers=32MB"]);
        postgres.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(postgres.current_dir(self.dir.path()).spawn().unwrap());
        eventually("PostgreSQL answers", || {
            Pool::open(self.settings_of("postgres"), Clock::system()).ok()
        });
    }

    /// Ends it in order, clients or not.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::SIGINT);
    }

    /// Ends it at once: nothing that was not synced may be needed.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::SIGQUIT);
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
        child.wait().unwrap();
    }

    /// Stops every process of it where it is, or lets them go on.
    pub(crate) fn hang(&self, hangs: bool) {
        let Some(child) = &self.child else { return };
        let signal = if hangs { Signal::SIGSTOP } else { Signal::SIGCONT };
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let all = fs::read_to_string(children).unwrap();
        let all = all.split_whitespace().map(|pid| pid.parse().unwrap());
        for pid in all.chain([i32::try_from(child.id()).unwrap()]) {
            // A child may have ended meanwhile.
            kill(Pid::from_raw(pid), signal).ok();
        }
    }

    /// A new, empty database: its name.
    pub(crate) fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.ask("postgres", |s| s.batch(&format!("CREATE DATABASE {name}")).unwrap());
        name
    }

    /// Asks a database something over a connection of its own.
    pub(crate) fn ask<T>(&self, database: &str, ask: impl FnOnce(&mut Session) -> T) -> T {
        let pool = Pool::open(self.settings_of(database), Clock::system()).unwrap();
        ask(&mut pool.connect().unwrap())
    }

    /// The links in a database, as a node has them.
    pub(crate) fn links(&self, database: &str, node: &str) -> Result<PostgresLinks, Error> {
        let fresh = Freshness::new(Clock::system(), Duration::from_secs(1), true);
        let settings = self.settings_of(database);
        PostgresLinks::open(settings, &node.parse().unwrap(), Arc::new(fresh), Clock::system())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where a database is.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://tracegate@127.0.0.1:{}/{database}", self.port)
    }

    /// The file with the password.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    /// How to connect to a database.
    pub(crate) fn settings_of(&self, database: &str) -> Settings {
        Settings {
            url: self.url(database),
            password_file: self.password_file(),
            ca_file: PathBuf::new(),
            connections_max: 4,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            name: "it".into(),
        }
    }

    /// Its directory, which is the server's user's.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.hang(false);
        self.kill();
    }
}

/// Gives a file to the server's user.
pub(crate) fn own(path: &Path) {
    if let Some(user) = server_user() {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// Root may not run the server; Debian's package has a user for it.
fn server_user() -> Option<User> {
    rustix::process::geteuid().is_root().then(|| User::from_name("postgres").unwrap().unwrap())
}

fn as_nobody(program: &Path) -> Command {
    let mut command = match server_user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user.uid.to_string(), "--regid", &user.gid.to_string()]);
            command.args(["--clear-groups", "--pdeathsig", "QUIT"]).arg(program);
            command
        }
    };
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// A program of the newest version there is.
fn bin(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL (scripts/test-deps)");
    let newest = versions
        .map(|v| v.unwrap().path())
        .max_by_key(|v| v.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<u32>().ok()));
    newest.unwrap().join("bin").join(name)
}
