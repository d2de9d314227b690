//! What the benchmarks share: processes pinned to a core, their CPU time, and load generators.
//!
//! Every comparison runs all parties in one process of this program, one after another, each
//! pinned to core 0 with the load on core 1, and reports CPU time per unit of work: on a shared
//! machine throughput is noise, CPU time is not.

pub(crate) mod asker;
pub(crate) mod authority;
pub(crate) mod generate;
pub(crate) mod lab;
pub(crate) mod links;
pub(crate) mod lists;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How much to do: the whole (`make bench`), more (`make bench-full`), or a smoke run
/// (`cargo bench -- --test`).
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// Whether this run only shows that the benchmark works.
    pub(crate) smoke: bool,
    /// Whether this run may take long.
    pub(crate) full: bool,
}

impl Scale {
    /// From the command line that `cargo bench` passes on.
    pub(crate) fn from_args() -> Self {
        let has = |flag: &str| std::env::args().any(|a| a == flag);
        Self { smoke: has("--test"), full: has("--full") }
    }

    /// `full`, or `smoke` in a smoke run.
    pub(crate) fn pick<T>(self, full: T, smoke: T) -> T {
        if self.smoke { smoke } else { full }
    }
}

/// A process that ends with its handle.
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `program` pinned to `core`; its output goes to `<dir>/<name>.log`.
    pub(crate) fn start(core: usize, name: &str, dir: &Path, program: &str, args: &[&str]) -> Self {
        let log = fs::File::create(dir.join(format!("{name}.log"))).expect("a log file");
        let child = Command::new("taskset")
            .args(["-c", &core.to_string(), program])
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {program}: {e}"));
        Self { child, name: name.to_owned() }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits; kills it after ten seconds.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let term =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGTERM);
        let gone = term.is_ok()
            && wait_for(Duration::from_secs(30), || matches!(self.child.try_wait(), Ok(Some(_))));
        if !gone {
            eprintln!("{} did not end in time: killed", self.name);
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// Polls `done` until it holds or `limit` has passed.
pub(crate) fn wait_for(limit: Duration, done: impl FnMut() -> bool) -> bool {
    wait_every(Duration::from_millis(20), limit, done)
}

/// The same with a pause of the caller's choice between two looks.
pub(crate) fn wait_every(pause: Duration, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if done() {
            return true;
        }
        thread::sleep(pause);
    }
    false
}

/// Waits, at most a minute, until these processes have gone quiet: background merges are over.
pub(crate) fn quiet(pids: &[u32]) -> bool {
    let all = || pids.iter().map(|p| cpu(*p)).sum::<u64>();
    wait_for(Duration::from_secs(60), || {
        let before = all();
        thread::sleep(Duration::from_secs(2));
        all() - before < 100_000
    })
}

/// The value that a share of `share` of all values does not exceed; sorts them.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// CPU time of a process in microseconds, by thread name.
pub(crate) fn cpu_by_thread(pid: u32) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(") ") else { continue };
        let name = head.split_once('(').map_or("?", |(_, n)| n);
        let fields: Vec<&str> = tail.split(' ').collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        *sum.entry(name.to_owned()).or_insert(0) += (ticks(11) + ticks(12)) * 10_000;
    }
    sum
}

/// CPU time of a whole process, ended threads included, in microseconds.
pub(crate) fn cpu(pid: u32) -> u64 {
    cpu_of(&format!("/proc/{pid}/stat"))
}

/// CPU time of the calling thread, in microseconds.
pub(crate) fn cpu_of_this_thread() -> u64 {
    cpu_of("/proc/thread-self/stat")
}

fn cpu_of(file: &str) -> u64 {
    let Ok(stat) = fs::read_to_string(file) else { return 0 };
    let Some((_, tail)) = stat.rsplit_once(") ") else { return 0 };
    let fields: Vec<&str> = tail.split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10_000
}

/// The direct children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(list.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
    }
    all
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The most memory a process had resident since [`forget_peak`], in bytes.
pub(crate) fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Has the kernel forget how much memory a process of ours had resident.
pub(crate) fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("/proc");
}

/// What the machine can still give, in bytes.
pub(crate) fn free_memory() -> u64 {
    let all = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = all.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A port that is free for TCP and UDP now.
pub(crate) fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = tcp.local_addr().expect("an address").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a load generator counted.
pub(crate) struct Load {
    /// Answers received.
    pub(crate) completed: u64,
    /// Questions that got none.
    pub(crate) lost: u64,
    /// Seconds it took.
    pub(crate) seconds: f64,
}

/// `dnsperf` on core 1 with 128 flows.
pub(crate) fn dnsperf(port: u16, queries: &Path, seconds: u32) -> Load {
    let out = Command::new("taskset")
        .args(["-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", &port.to_string(), "-c", "128"])
        .args(["-T", "2", "-q", "400", "-l", &seconds.to_string(), "-d"])
        .arg(queries)
        .output()
        .expect("dnsperf");
    let text = String::from_utf8_lossy(&out.stdout);
    Load {
        completed: figure(&text, "Queries completed:") as u64,
        lost: figure(&text, "Queries lost:") as u64,
        seconds: figure(&text, "Run time (s):"),
    }
}

/// `wrk` on core 1; the paths come from a Lua script.
pub(crate) fn wrk(url: &str, script: &Path, seconds: u32) -> Load {
    let out = Command::new("taskset")
        .args(["-c", "1", "wrk", "-t", "1", "-c", "64", "-d", &format!("{seconds}s"), "-s"])
        .arg(script)
        .arg(url)
        .output()
        .expect("wrk");
    let text = String::from_utf8_lossy(&out.stdout);
    let line = text.lines().find(|l| l.contains("requests in")).unwrap_or_default();
    let completed = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Load { completed, lost: 0, seconds: f64::from(seconds) }
}

fn figure(text: &str, label: &str) -> f64 {
    let line = text.lines().find_map(|l| l.trim().strip_prefix(label));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// One blocking HTTP GET on loopback; the body of a 200.
pub(crate) fn http_get(addr: SocketAddr, path: &str, token: &str) -> io::Result<String> {
    let mut s = TcpStream::connect(addr)?;
    s.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        s,
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )?;
    let mut all = String::new();
    s.read_to_string(&mut all)?;
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    if head.starts_with("HTTP/1.1 200") {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned()))
    }
}

/// One `tracegate serve` on loopback with its engine.
pub(crate) struct Tracegate {
    /// The process.
    pub(crate) process: Process,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// From the start of the process to `run.json`.
    pub(crate) ready: Duration,
    run: serde_json::Value,
}

impl Tracegate {
    /// Starts the release binary with `config` on top of loopback listeners.
    pub(crate) fn start(dir: &Path, name: &str, config: &str) -> Self {
        let data = dir.join(name);
        fs::create_dir_all(&data).expect("a directory");
        let file = data.join("tracegate.toml");
        fs::write(&file, config).expect("the configuration");
        let data_arg = data.to_string_lossy().into_owned();
        let started = Instant::now();
        let process = Process::start(
            0,
            name,
            dir,
            env!("CARGO_BIN_EXE_tracegate"),
            &["--data-dir", &data_arg, "serve", "--config", &file.to_string_lossy()],
        );
        let path = data.join("run.json");
        let mut run = serde_json::Value::Null;
        let ready = wait_every(Duration::from_millis(2), Duration::from_secs(60), || {
            run = fs::read(&path)
                .ok()
                .and_then(|b| serde_json::from_slice(&b).ok())
                .unwrap_or_default();
            run["pid"] == process.pid()
        });
        let took = started.elapsed();
        assert!(
            ready,
            "serve did not start: see {}",
            dir.join(name).with_extension("log").display()
        );
        Self { process, data, ready: took, run }
    }

    /// The address under this key of `run.json`.
    pub(crate) fn address(&self, key: &str) -> SocketAddr {
        let v = &self.run[key];
        let text = v.as_str().or_else(|| v[0].as_str()).expect("an address");
        text.parse().expect("an address")
    }

    /// The operator's token.
    pub(crate) fn token(&self) -> String {
        let path = self.data.join("secrets/operator.token");
        fs::read_to_string(path).expect("the token").trim().to_owned()
    }

    /// A sample of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = http_get(self.address("api"), "/metrics", &self.token()).unwrap_or_default();
        text.lines()
            .filter(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with([' ', '{'])))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until nothing is left to ship.
    pub(crate) fn drained(&self) -> bool {
        wait_for(Duration::from_secs(120), || self.metric("tracegate_spool_pending_rows") < 20.0)
    }
}
