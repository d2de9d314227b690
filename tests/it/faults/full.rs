//! A data directory on a small file system that fills up, under load: the declared policies hold,
//! what is missing is counted exactly, and the service comes back by itself.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use tracegate::{clock::Clock, record::LaneId};

use super::{
    addresses, complete,
    load::{self, Addresses, exchange, get},
    node, pause,
    pressure::{ask, udp},
    verify,
};
use crate::{
    harness::{Server, eventually},
    server::read,
};

/// Engine, spool and control state together.
const BYTES: u64 = 128 << 20;
/// Lanes with a smaller worker are those of DNS over UDP.
const GATEWAY_WORKER: u16 = 1_024;

#[test]
fn small_tmpfs_fills_up_and_the_service_comes_back() {
    let Some(home) = node().on_tmpfs(BYTES) else { return };
    let server = home
        .config(|c| {
            c.spool.segment_bytes_max = 256 << 10;
            c.spool.shared_segment_bytes_max = 128 << 10;
            c.spool.frame_bytes_max = 64 << 10;
            c.spool.batch_bytes_max = 32 << 10;
            // Nothing but the file system says that there is no room.
            c.spool.disk_free_bytes_min = 0;
        })
        .start();
    let at = addresses(&server);
    complete(&at, Clock::system().now());
    let mut visitor = Visitor::new(&server, &at);
    let clients = Clients::default();
    thread::scope(|scope| {
        let _stopped = clients.start(scope, &server, &at);
        visitor.visit();
        assert_eq!(visitor.refused, [0; 4]);
        let mut ballast = Ballast::new(server.data().join("ballast"));
        eventually("everything that refuses has refused", || {
            ballast.fill();
            visitor.visit();
            visitor.refused.iter().all(|n| *n > 0).then_some(())
        });
        // Some time like that; what the engine or the spool gives back is taken again.
        for _ in 0..20 {
            ballast.fill();
            pause(50);
        }
        let before = visitor.refused;
        visitor.visit();
        assert!(before.iter().zip(visitor.refused).all(|(a, b)| b > *a), "{before:?}");
        let fsck = server.cli(["spool", "fsck"]);
        assert_eq!(fsck.status.code(), Some(0), "{fsck:?}");

        drop(ballast);
        eventually("nothing is refused any more", || {
            let before = visitor.refused;
            visitor.visit();
            (visitor.refused == before).then_some(())
        });
        pause(500);
    });
    complete(&at, Clock::system().now());
    compare(&server, &at, &clients, &visitor);
    let fsck = server.cli(["spool", "fsck"]);
    assert_eq!(fsck.status.code(), Some(0), "{fsck:?}");
    let ready = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", at.api);
    assert_eq!(exchange(at.api, &ready).map(|r| r.0), Some(200));
}

/// Received = records + what gap rows count, stream by stream.
fn compare(server: &Server, at: &Addresses, clients: &Clients, visitor: &Visitor<'_>) {
    let number = |sql: &str| -> u64 {
        let reply = read(server, &format!("SELECT {sql}"));
        let number = reply.body.trim().parse();
        number.unwrap_or_else(|e| panic!("{sql}: {e}: {} {}", reply.status, reply.body))
    };
    for table in ["resolutions", "jumps", "conversions", "access", "gaps"] {
        let doubled = number(&format!("count() - uniqExact(lane, seq) FROM tracegate.{table}"));
        assert_eq!(doubled, 0, "{table}");
    }
    let inexact = number("countIf(bound != 'exact' OR reason != 'disk_full') FROM tracegate.gaps");
    assert_eq!(inexact, 0);
    let gaps =
        read(server, "SELECT stream, gap_lane, sum(count) FROM tracegate.gaps GROUP BY 1, 2");
    let gap = |stream: &str, of: &dyn Fn(LaneId) -> bool| -> u64 {
        let lines = gaps.body.lines().map(|l| l.split('\t').collect::<Vec<_>>());
        let ours = lines.filter(|l| l[0] == stream && of(LaneId(l[1].parse().unwrap())));
        ours.map(|l| l[2].parse::<u64>().unwrap()).sum()
    };
    // Stream listeners share a lane of the greatest worker.
    let of_dns = |lane: LaneId| lane.worker() < GATEWAY_WORKER || lane.worker() == u16::MAX;
    let shed = gap("resolutions", &of_dns);
    let kept = number("countIf(flow = 0) FROM tracegate.resolutions");
    let answered = clients.resolutions.load(Ordering::SeqCst);
    assert_eq!(kept + shed, answered, "{kept} resolutions kept, {shed} shed");
    assert!(shed > 100, "only {shed} resolutions of {answered} shed");

    let shed = gap("jumps", &|_| true);
    let kept = number("count() FROM tracegate.jumps");
    let answered = clients.unknown.load(Ordering::SeqCst) + visitor.jumps;
    assert_eq!(kept + shed, answered, "{kept} jumps kept, {shed} shed");
    assert!(shed > 10, "only {shed} jumps of {answered} shed");

    // What jumps caused, those included that were then refused.
    let shed = gap("resolutions", &|lane| !of_dns(lane));
    let kept = number("countIf(flow != 0) FROM tracegate.resolutions");
    let each = number(
        "count() / (SELECT count() FROM tracegate.jumps WHERE outcome = 'jumped') \
         FROM tracegate.resolutions WHERE flow IN \
         (SELECT flow FROM tracegate.jumps WHERE outcome = 'jumped')",
    );
    let caused = each * (visitor.followed + visitor.refused[1]);
    assert_eq!(kept + shed, caused, "{kept} caused and kept, {shed} shed");

    let kept = number("countIf(operation = 'create') FROM tracegate.conversions");
    assert_eq!((kept, gap("conversions", &|_| true)), (visitor.created, 0));
    assert_eq!(gap("access", &|_| true), 0);
    // A trace tells the same.
    let told = verify::gaps(at, "load.test", "resolutions");
    assert_eq!(told, gap("resolutions", &|_| true), "gaps of a trace");
}

/// Asks for what is only counted when there is no room, as long as it is not stopped.
#[derive(Default)]
struct Clients {
    stop: AtomicBool,
    resolutions: AtomicU64,
    unknown: AtomicU64,
}

/// Stops the clients when it is dropped, by a failed assertion too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Clients {
    fn start<'s>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
        server: &Server,
        at: &Addresses,
    ) -> Stop<'s> {
        let socket = udp(server);
        self.each(scope, &self.resolutions, 300, move |n| {
            assert!(ask(&socket, &format!("u{n}.full.load.test")), "no answer over UDP");
        });
        let dns = at.dns;
        let mut stream = TcpStream::connect(dns).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        self.each(scope, &self.resolutions, 500, move |n| {
            let name = load::over_tcp(&mut stream, &format!("t{n}.full.load.test"));
            assert!(name.is_some(), "no answer over TCP");
        });
        let gateway = at.gateway;
        self.each(scope, &self.unknown, 1_000, move |n| {
            let answer = exchange(gateway, &get(gateway, &format!("unknown{n}")));
            assert_eq!(answer.map(|a| a.0), Some(404), "unknown codes are answered");
        });
        Stop(&self.stop)
    }

    /// Repeats `one` with pauses: what is asked shall fill a small disk, not a machine.
    fn each<'s>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
        count: &'s AtomicU64,
        pause_us: u64,
        mut one: impl FnMut(u64) + Send + 's,
    ) {
        scope.spawn(move || {
            for n in 0.. {
                if self.stop.load(Ordering::SeqCst) {
                    return;
                }
                one(n);
                count.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_micros(pause_us));
            }
        });
    }
}

/// Does what is refused when there is no room.
struct Visitor<'a> {
    at: &'a Addresses,
    live: String,
    disabled: String,
    created: u64,
    /// Jumps answered, of links.
    jumps: u64,
    /// Of these, sent on.
    followed: u64,
    /// Refused: creations, jumps, stopped jumps, looks.
    refused: [u64; 4],
}

impl<'a> Visitor<'a> {
    fn new(server: &Server, at: &'a Addresses) -> Self {
        let (live, disabled) = (String::new(), String::new());
        let mut visitor =
            Self { at, live, disabled, created: 0, jumps: 0, followed: 0, refused: [0; 4] };
        visitor.live = visitor.create().expect("a link");
        visitor.disabled = visitor.create().expect("a link");
        let done = server.cli(["link", "disable", &visitor.disabled, "--reason", "test"]);
        assert!(done.status.success(), "{done:?}");
        visitor
    }

    fn visit(&mut self) {
        for _ in 0..5 {
            self.refused[0] += u64::from(self.create().is_none());
            for n in [1, 2] {
                let (code, good) = if n == 1 { (&self.live, 302) } else { (&self.disabled, 410) };
                let request = get(self.at.gateway, code);
                match exchange(self.at.gateway, &request).expect("an answer").0 {
                    status if status == good => {
                        self.jumps += 1;
                        self.followed += u64::from(n == 1);
                    }
                    status => {
                        assert_eq!(status, 503);
                        self.refused[n] += 1;
                    }
                }
            }
            self.look();
        }
    }

    fn create(&mut self) -> Option<String> {
        let body = r#"{"target":"https://www.load.test/"}"#;
        let request = format!(
            "POST /api/v1/links HTTP/1.1\r\nHost: {0}\r\nAuthorization: Bearer {1}\r\nContent-Type: \
             application/json\r\nContent-Length: {2}\r\nConnection: close\r\n\r\n{body}",
            self.at.api,
            self.at.token,
            body.len()
        );
        let (status, body) = exchange(self.at.api, &request).expect("an answer");
        if status == 201 {
            self.created += 1;
            let link: serde_json::Value = serde_json::from_str(&body).unwrap();
            return Some(link["code"].as_str().unwrap().to_owned());
        }
        assert!(status == 503 && body.contains("no_room_for_record"), "{status}: {body}");
        None
    }

    /// A question that is none is a look all the same, and a large record.
    fn look(&mut self) {
        let request = format!(
            "GET /api/v1/trace?q={}&kind=domain HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n\r\n",
            "a".repeat(4_000),
            self.at.api,
            self.at.token
        );
        let (status, body) = exchange(self.at.api, &request).expect("an answer");
        if status != 400 {
            assert!(status == 503 && body.contains("not_recorded"), "{status}: {body}");
            self.refused[3] += 1;
        }
    }
}

/// A file that takes whatever room there is, until it is dropped.
struct Ballast {
    path: PathBuf,
    file: fs::File,
}

impl Ballast {
    fn new(path: PathBuf) -> Self {
        Self { file: fs::File::create(&path).unwrap(), path }
    }

    fn fill(&mut self) {
        for size in [1 << 20, 64 << 10, 4 << 10] {
            let block = vec![0x5a; size];
            while let Ok(written) = self.file.write(&block) {
                assert!(written > 0);
            }
        }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.path).unwrap();
    }
}
