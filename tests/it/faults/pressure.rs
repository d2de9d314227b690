//! A store that is away, a disk that is full, clients that waste what we have.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use tracegate::clock::Clock;

use super::{
    addresses, complete,
    load::{self, Load, question},
    node, pause,
    store::Engine,
    verify,
};
use crate::{
    harness::{Server, eventually},
    server::read,
};

/// ClickHouse away for a whole run, then back: nothing lost, nothing doubled, service unaffected.
#[test]
fn store_away_for_a_whole_run() {
    let mut engine = Engine::prepared();
    let server = node().config(|c| engine.serve(c)).start();
    let at = addresses(&server);
    // A node that has never seen its store does not know which codes were given out before.
    eventually("codes are given out", || load::create(&at, "https://first.load.test/"));
    complete(&at, Clock::system().now());
    engine.kill9();
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

/// A flood of random names: memory and disk are bounded, others are served.
#[test]
fn flood_of_random_names_is_bounded() {
    const DISK: u64 = 16 << 20;
    let server = node()
        .config(|c| {
            c.dns.cache_bytes_max = 16 << 20;
            c.spool.segment_bytes_max = 1 << 20;
            c.spool.shared_segment_bytes_max = 256 << 10;
            c.spool.disk_bytes_max = DISK;
            // What is shipped keeps its room: the spool has to stop by itself.
            c.store.grace_s = 3_600;
        })
        .start();
    let (flood, other) = (udp(&server), udp(&server));
    let name = |n: u64| format!("x{:x}.{n:x}.load.test", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut before = 0;
    for burst in 0..1_500 {
        for n in 0..64 {
            flood.send(&question(&name(burst * 64 + n))).unwrap();
        }
        for _ in 0..64 {
            flood.recv(&mut [0; 2048]).expect("a full spool answers resolutions");
        }
        if burst % 50 == 0 {
            assert!(ask(&other, "www.load.test"), "another client is not served");
            let disk = disk(&server.data().join("spool"));
            assert!(disk <= DISK + (1 << 20), "the spool takes {disk} bytes");
        }
        if burst == 300 {
            before = resident(server.pid());
        }
    }
    let after = resident(server.pid());
    assert!(after < before + (192 << 20), "memory grew from {before} to {after}");
    let at = addresses(&server);
    eventually("the spool was full", || {
        (metric(&at, "tracegate_spool_shed_total") > 0.0).then_some(())
    });
}

/// Junk is counted and takes no room: what access control and the rate limit refuse, what is no
/// question at all.
#[test]
fn junk_is_counted_and_not_kept() {
    let server = node()
        .config(|c| {
            let net = |net: &str| net.parse().unwrap();
            c.dns.allow = vec![net("127.0.0.1/32"), net("127.0.0.3/32")];
            c.dns.rate_limit.responses_per_second = 20;
            c.dns.rate_limit.ipv4_prefix = 32;
            c.dns.rate_limit.exempt = vec![net("127.0.0.1/32")];
        })
        .start();
    let from = |address: &str| {
        let s = UdpSocket::bind((address, 0)).unwrap();
        s.connect(server.dns()).unwrap();
        s.set_nonblocking(true).unwrap();
        s
    };
    let (good, stranger, greedy) = (udp(&server), from("127.0.0.2"), from("127.0.0.3"));
    let before = disk(&server.data().join("spool"));
    let (sent, mut refused, mut whole) = (20_000, 0, 0_u64);
    let mut buf = [0; 2048];
    for n in 0..sent {
        stranger.send(&question(&format!("s{n}.load.test"))).unwrap();
        greedy.send(&question(&format!("g{n}.load.test"))).unwrap();
        // A header that promises more than there is.
        good.send(&[0x12, 0x34, 1, 0, 0, 9, 0]).unwrap();
        if n % 20 == 0 {
            assert!(ask(&good, &format!("o{n}.load.test")), "another client is not served");
            while stranger.recv(&mut buf).is_ok() {
                // Or not even that: truncated, with nothing in it.
                assert!(buf[3] & 15 == 5 || buf[2] & 2 != 0, "not refused: {:?}", &buf[..12]);
                refused += 1;
            }
            while greedy.recv(&mut buf).is_ok() {
                whole += u64::from(buf[2] & 2 == 0);
            }
        }
    }
    assert!(refused > 0 && whole > 0, "{refused} refused, {whole} answered");
    let at = addresses(&server);
    complete(&at, Clock::system().now());
    let kept = |client: &str| -> u64 {
        let sql = format!(
            "SELECT count() FROM tracegate.resolutions WHERE client = toIPv6('::ffff:{client}')"
        );
        read(&server, &sql).body.trim().parse().unwrap()
    };
    assert_eq!(kept("127.0.0.1"), sent / 20);
    assert_eq!(kept("127.0.0.2"), 0);
    assert!((whole..sent / 4).contains(&kept("127.0.0.3")), "{whole}: {}", kept("127.0.0.3"));
    // The limit holds refusals, too.
    let counted = |junk: &str| metric(&at, &format!("tracegate_dns_{junk}_total"));
    assert!(counted("refused") > 0.0);
    for junk in ["rate_limited", "malformed"] {
        assert!(counted(junk) > sent as f64 / 4.0, "{junk}: {}", counted(junk));
    }
    let grown = disk(&server.data().join("spool")).saturating_sub(before);
    assert!(grown <= 16 << 20, "the spool grew by {grown} bytes");
}

/// Bytes allocated below a directory.
fn disk(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // A file may be gone meanwhile.
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { disk(&entry.path()) } else { meta.blocks() * 512 };
    }
    bytes
}

pub(super) fn udp(server: &Server) -> UdpSocket {
    let s = UdpSocket::bind("127.0.0.1:0").unwrap();
    s.connect(server.dns()).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    s
}

/// Whether an answer came.
pub(super) fn ask(s: &UdpSocket, name: &str) -> bool {
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
