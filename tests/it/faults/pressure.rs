//! A store that is away, a disk that is full, clients that waste what we have.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    os::unix::fs::OpenOptionsExt,
    process::{Child, Stdio},
    time::Duration,
};

use tracegate::clock::Clock;

use super::{
    addresses, complete,
    load::{self, Load, question},
    node, pause, verify,
};
use crate::harness::{Server, tracegate};

/// An engine of its own, as an operator would run one by hand.
struct Engine {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Engine {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn prepared() -> Self {
        let dir = tempfile::Builder::new().prefix("tracegate-engine-").tempdir().unwrap();
        let secrets = dir.path().join("secrets.json");
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secrets).unwrap();
        write!(file, r#"{{"internal":"{0}","reader":"r{0}"}}"#, Self::SECRET).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Self::spawn(dir.path(), port);
        Self { child, dir, port }
    }

    fn spawn(dir: &std::path::Path, port: u16) -> Child {
        let log = fs::File::create(dir.join("engine.log")).unwrap();
        tracegate(["engine", "--listen", &format!("127.0.0.1:{port}"), "--secrets-file"])
            .arg(dir.join("secrets.json"))
            .arg("--data-dir")
            .arg(dir.join("data"))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(self.dir.path(), self.port);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// ClickHouse away for a whole run, then back: nothing lost, nothing doubled, service unaffected.
#[test]
fn store_away_for_a_whole_run() {
    let mut engine = Engine::prepared();
    let password = engine.dir.path().join("password");
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password).unwrap();
    file.write_all(Engine::SECRET.as_bytes()).unwrap();
    let server = node()
        .config(|c| {
            c.store.url = format!("http://127.0.0.1:{}", engine.port);
            c.store.user = "internal".into();
            c.store.password_file = Some(password.clone());
        })
        .start();
    let at = addresses(&server);
    complete(&at, Clock::system().now());
    engine.stop();
    let load = Load::start(&at, "away");
    pause(1_500);
    let got = load.stop();
    assert!(got.names.len() > 100, "only {} answers while the store was away", got.names.len());
    assert!(!got.codes.is_empty() && !got.jumped.is_empty());
    engine.start_again();
    complete(&at, Clock::system().now());
    verify::check(&at, "away", &got);
    drop(server);
}

/// No room at all: resolutions are answered and counted exactly, and what was kept is all there.
#[test]
fn full_spool_sheds_and_counts_exactly() {
    let server = node()
        .config(|c| {
            c.spool.segment_bytes_max = 256 << 10;
            c.spool.frame_bytes_max = 64 << 10;
            c.spool.batch_bytes_max = 32 << 10;
            c.spool.disk_bytes_max = 12 << 20;
            // Nothing is shipped: the store does not exist.
            c.store.url = "http://127.0.0.1:9".into();
        })
        .start();
    let at = addresses(&server);
    let shed = || metric(&at, "tracegate_spool_shed_total");
    let mut asked = 0_u64;
    let s = udp(&server);
    while shed() == 0.0 {
        for _ in 0..2_000 {
            asked += 1;
            assert!(ask(&s, &format!("f{asked}.full.load.test")), "no answer");
        }
        assert!(asked < 2_000_000, "the spool never filled");
    }
    for n in 0..500 {
        assert!(ask(&s, &format!("g{n}.full.load.test")), "resolutions are still answered");
    }
    let home = server.kill9();
    // Room again, and a store: everything recorded is there, everything else is a number.
    let server = home
        .config(|c| {
            c.spool.disk_bytes_max = 1 << 30;
            c.store.url = "embedded".into();
        })
        .start();
    let at = addresses(&server);
    complete(&at, Clock::system().now());
    let kept = verify::trace(&at, "full.load.test", "domain").len() as u64;
    let missing: u64 = verify::gaps(&at, "full.load.test", "resolutions");
    assert_eq!(kept + missing, asked + 500, "records and gaps are all answers");
    assert!(missing >= 500);
}

/// Ten thousand idle connections: others are served, and they cost no more than their sockets.
#[test]
fn ten_thousand_idle_connections() {
    raise_file_limit();
    let server = node().start();
    let mut idle = Vec::new();
    for n in 0..10_000 {
        let stream = TcpStream::connect(server.gateway());
        idle.push(stream.unwrap_or_else(|e| panic!("connection {n}: {e}")));
    }
    let request =
        format!("GET /nothing HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.gateway());
    let (status, _) = load::exchange(server.gateway(), &request).expect("an answer");
    assert_eq!(status, 404);
    assert!(ask(&udp(&server), "www.load.test"));
    let resident = resident(server.pid());
    assert!(resident < 512 << 20, "{resident} bytes for ten thousand idle connections");
}

/// Slow and oversized requests are cut off, one by one.
#[test]
fn slow_and_oversized_requests_are_cut_off() {
    let server = node()
        .config(|c| {
            c.gateway.header_timeout_ms = 300;
            c.api.header_timeout_ms = 300;
        })
        .start();
    for address in [server.gateway(), server.api()] {
        let mut slow = TcpStream::connect(address).unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-").unwrap();
        let mut rest = Vec::new();
        // Closed, with or without a word; never left open.
        slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        slow.read_to_end(&mut rest).expect("closed, not left open");
        let mut big = TcpStream::connect(address).unwrap();
        let head = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
        // The server may close before it has read everything.
        let sent = big.write_all(head.as_bytes());
        big.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = Vec::new();
        let read = big.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.starts_with("HTTP/1.1 4") || sent.is_err() || read.is_err(),
            "an oversized request was taken: {text}"
        );
    }
    assert!(ask(&udp(&server), "www.load.test"));
}

/// A flood of random names: memory is bounded, others are served.
#[test]
fn flood_of_random_names_is_bounded() {
    let server = node().config(|c| c.dns.cache_bytes_max = 16 << 20).start();
    let s = udp(&server);
    let name = |n: u64| format!("x{:x}.{:x}.load.test", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n);
    for n in 0..20_000 {
        ask(&s, &name(n));
    }
    let before = resident(server.pid());
    for n in 20_000..120_000 {
        ask(&s, &name(n));
    }
    let after = resident(server.pid());
    assert!(after < before + (192 << 20), "memory grew from {before} to {after}");
    assert!(ask(&udp(&server), "www.load.test"));
}

fn udp(server: &Server) -> UdpSocket {
    let s = UdpSocket::bind("127.0.0.1:0").unwrap();
    s.connect(server.dns()).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    s
}

/// Whether an answer came.
fn ask(s: &UdpSocket, name: &str) -> bool {
    let mut buf = [0; 2048];
    s.send(&question(name)).is_ok() && s.recv(&mut buf).is_ok()
}

fn metric(at: &load::Addresses, name: &str) -> f64 {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        at.api, at.token
    );
    let (_, text) = load::exchange(at.api, &request).expect("measures");
    text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard > 11_000, "this test needs more open files: ulimit -Hn is {hard}");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
