//! How many links are made a second, in SQLite and in PostgreSQL; what visitors feel meanwhile; how
//! fast three gateways obey?
//!
//! Links are made through the API over connections that stay open, one at a time by 1, 8 and 64
//! callers, and 10,000 in a request; each answer comes after the link is in the database and its
//! record in the spool, as configured by default. Jumps are then timed without and with such
//! requests under way. In the end a link is disabled and enabled at three gateways on one
//! PostgreSQL, and asked for at all of them without a pause.
//!
//! Server, its engine, PostgreSQL and callers share the machine's cores; CPU is that of the server
//! alone, without engine and PostgreSQL.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark prints its figures, and ends where it cannot go on"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(
    dead_code,
    unused_macros,
    unused_imports,
    reason = "it uses its share of `support` and of what the tests have"
)]

#[path = "../tests/it/harness.rs"]
mod harness;
#[path = "../tests/it/postgres_lab.rs"]
mod postgres_lab;
mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::{Builder, Server, eventually};
use postgres_lab::Postgres;
use support::{Scale, cpu, percentile};
use tracegate::config::Spool;

/// Links in a bulk request.
const BULK: usize = 10_000;

const JSON: &str = "application/json";

fn main() {
    let scale = Scale::from_args();
    let seconds = scale.pick(6.0, 0.5);
    println!(
        "| database | callers | links a request | links/s | p50 ms | p99 ms | CPU µs a link |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut felt = Vec::new();
    {
        let server = builder("sqlite").start();
        conversions("SQLite", &server, seconds);
        felt.push(jumps("SQLite", &server, seconds));
        end(server);
    }
    let postgres = Postgres::start();
    {
        let server = node(&postgres, &postgres.database(), "alone").start();
        conversions("PostgreSQL", &server, seconds);
        felt.push(jumps("PostgreSQL", &server, seconds));
        end(server);
    }
    println!("\n| database | meanwhile | jumps | p50 ms | p99 ms | longest ms | links made |");
    println!("|---|---|---|---|---|---|---|");
    for line in felt.concat() {
        println!("{line}");
    }
    propagation(&postgres, scale.pick(200, 5));
}

fn builder(name: &str) -> Builder {
    Server::builder().config(|c| {
        c.node = Some(name.parse().unwrap());
        c.spool = Spool::default();
        c.worker_threads = 2;
        c.gateway.resolve_timeout_ms = 1;
        c.dns.listen.clear();
        c.log.filter = "warn".into();
    })
}

/// A node on a database, with the key that all of them have.
fn node(postgres: &Postgres, database: &str, name: &str) -> Builder {
    let builder = builder(name).config(|c| {
        c.control.url = postgres.url(database);
        c.control.password_file = postgres.password_file();
    });
    let secrets = builder.path().join("data/secrets");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets).unwrap();
    fs::write(secrets.join("codes.key"), "ab".repeat(32)).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(secrets.join("codes.key"), mode).unwrap();
    builder
}

fn end(server: Server) {
    let (status, _home) = server.terminate();
    assert!(status.success(), "serve ended with {status}");
}

/// A connection that stays open.
struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    host: SocketAddr,
    token: String,
}

impl Client {
    fn new(host: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader, host, token: token.to_owned() }
    }

    /// Status and body.
    fn ask(&mut self, method: &str, path: &str, kind: &str, body: &str) -> (u16, String) {
        let bearer = match &self.token {
            none if none.is_empty() => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let kind = match body {
            "" => String::new(),
            _ => format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{bearer}{kind}\r\n", self.host);
        self.stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> (u16, String) {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let (mut length, mut chunked) = (0, false);
        loop {
            line.clear();
            self.reader.read_line(&mut line).unwrap();
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(n) = header.strip_prefix("content-length:") {
                length = n.trim().parse().unwrap();
            }
            chunked |= header == "transfer-encoding: chunked";
        }
        let mut body = Vec::new();
        while chunked {
            line.clear();
            self.reader.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let from = body.len();
            body.resize(from + size + 2, 0);
            self.reader.read_exact(&mut body[from..]).unwrap();
            body.truncate(from + size);
            chunked = size > 0;
        }
        if length > 0 {
            body.resize(length, 0);
            self.reader.read_exact(&mut body).unwrap();
        }
        (status, String::from_utf8(body).unwrap())
    }

    /// Makes a link.
    fn make(&mut self, n: u64) -> String {
        let body = format!("{{\"target\":\"https://www.example.com/{n}\"}}");
        let (status, body) = self.ask("POST", "/api/v1/links", JSON, &body);
        assert_eq!(status, 201, "{body}");
        let link: serde_json::Value = serde_json::from_str(&body).unwrap();
        link["code"].as_str().unwrap().to_owned()
    }

    /// Makes [`BULK`] links; how many were made.
    fn make_many(&mut self, first: u64) -> usize {
        let lines: String = (0..BULK as u64)
            .map(|i| format!("{{\"target\":\"https://www.example.com/{}\"}}\n", first + i))
            .collect();
        let (status, body) = self.ask("POST", "/api/v1/links/bulk", "application/x-ndjson", &lines);
        assert_eq!(status, 200, "{body}");
        body.lines().filter(|l| l.contains("\"short_url\"")).count()
    }
}

fn conversions(database: &str, server: &Server, seconds: f64) {
    let (api, token, numbers) = (server.api(), server.token(), AtomicU64::new(0));
    // It does not know before it has seen its store which codes were given out.
    let mut client = Client::new(api, &token);
    eventually("codes are given out", || {
        (client.ask("POST", "/api/v1/links", JSON, "{\"target\":\"https://www.example.com/\"}").0
            == 201)
            .then_some(())
    });
    for callers in [1, 8, 64] {
        let (began, used) = (Instant::now(), cpu(server.pid()));
        let mut times: Vec<f64> = thread::scope(|s| {
            let clients: Vec<_> = (0..callers)
                .map(|_| {
                    s.spawn(|| {
                        let mut client = Client::new(api, &token);
                        let mut times = Vec::new();
                        while began.elapsed().as_secs_f64() < seconds {
                            let at = Instant::now();
                            client.make(numbers.fetch_add(1, Ordering::Relaxed));
                            times.push(at.elapsed().as_secs_f64() * 1e3);
                        }
                        times
                    })
                })
                .collect();
            clients.into_iter().flat_map(|c| c.join().unwrap()).collect()
        });
        let (took, used) = (began.elapsed().as_secs_f64(), cpu(server.pid()) - used);
        let made = times.len() as f64;
        println!(
            "| {database} | {callers} | 1 | {:.0} | {:.2} | {:.2} | {:.0} |",
            made / took,
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
            used as f64 / made
        );
    }
    let (began, used) = (Instant::now(), cpu(server.pid()));
    let (mut client, mut made, mut times) = (Client::new(api, &token), 0, Vec::new());
    while began.elapsed().as_secs_f64() < seconds {
        let at = Instant::now();
        made += client.make_many(1 << 32);
        times.push(at.elapsed().as_secs_f64() * 1e3);
    }
    let (took, used) = (began.elapsed().as_secs_f64(), cpu(server.pid()) - used);
    println!(
        "| {database} | 1 | {BULK} | {:.0} | {:.0} | {:.0} | {:.0} |",
        made as f64 / took,
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        used as f64 / made as f64
    );
}

/// Jumps by two visitors who wait a few milliseconds in between, without and with an import.
fn jumps(database: &str, server: &Server, seconds: f64) -> Vec<String> {
    let (api, token, gateway) = (server.api(), server.token(), server.gateway());
    let mut client = Client::new(api, &token);
    let codes: Vec<String> = (0..500).map(|n| client.make(n)).collect();
    let mut lines = Vec::new();
    for importing in [false, true] {
        let (done, made) = (AtomicBool::new(!importing), AtomicU64::new(0));
        let began = Instant::now();
        let mut times: Vec<f64> = thread::scope(|s| {
            let visitors: Vec<_> = (0..2)
                .map(|_| {
                    s.spawn(|| {
                        let mut client = Client::new(gateway, "");
                        let mut times = Vec::new();
                        while began.elapsed().as_secs_f64() < seconds {
                            let code = &codes[times.len() % codes.len()];
                            let at = Instant::now();
                            let (status, _) = client.ask("GET", &format!("/{code}"), "", "");
                            times.push(at.elapsed().as_secs_f64() * 1e3);
                            assert_eq!(status, 302);
                            thread::sleep(Duration::from_millis(2));
                        }
                        done.store(true, Ordering::Relaxed);
                        times
                    })
                })
                .collect();
            while !done.load(Ordering::Relaxed) {
                made.fetch_add(client.make_many(1 << 33) as u64, Ordering::Relaxed);
            }
            visitors.into_iter().flat_map(|v| v.join().unwrap()).collect()
        });
        let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        lines.push(format!(
            "| {database} | {} | {} | {p50:.2} | {p99:.2} | {:.2} | {} |",
            if importing { "bulk requests" } else { "nothing" },
            times.len(),
            times.last().copied().unwrap_or_default(),
            made.into_inner()
        ));
    }
    lines
}

/// From the answer to a change until the last of three gateways obeys.
fn propagation(postgres: &Postgres, rounds: usize) {
    let database = postgres.database();
    let servers = ["a", "b", "c"].map(|name| {
        // Nobody is there; the spool keeps what comes.
        let node = node(postgres, &database, name);
        node.config(|c| c.store.url = "http://127.0.0.1:9".into()).start()
    });
    let body = "{\"target\":\"https://www.example.com/\",\"code\":\"everywhere\"}";
    let made =
        Client::new(servers[0].api(), &servers[0].token()).ask("POST", "/api/v1/links", JSON, body);
    assert_eq!(made.0, 201, "{}", made.1);
    let (path, link) = ("/everywhere", "/api/v1/links/everywhere");
    let mut visitors = servers.each_ref().map(|s| Client::new(s.gateway(), ""));
    let mut callers = servers.each_ref().map(|s| Client::new(s.api(), &s.token()));
    let (mut times, mut others) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for (state, status) in [("disabled", 410), ("enabled", 302)] {
            let at = round % 3;
            // Everybody is at the door, and has what was true till now in memory.
            for visitor in &mut visitors {
                visitor.ask("GET", path, "", "");
            }
            let body = format!("{{\"state\":\"{state}\"}}");
            let ready = Barrier::new(4);
            let seen: Vec<Duration> = thread::scope(|s| {
                let waiting: Vec<_> = visitors
                    .iter_mut()
                    .map(|visitor| {
                        let ready = &ready;
                        s.spawn(move || {
                            ready.wait();
                            let answered = Instant::now();
                            while visitor.ask("GET", path, "", "").0 != status {
                                assert!(answered.elapsed() < Duration::from_secs(30), "never");
                            }
                            answered.elapsed()
                        })
                    })
                    .collect();
                let (status, body) = callers[at].ask("PATCH", link, JSON, &body);
                assert_eq!(status, 200, "{body}");
                ready.wait();
                waiting.into_iter().map(|w| w.join().unwrap()).collect()
            });
            if state == "disabled" {
                let ms = |d: &Duration| d.as_secs_f64() * 1e3;
                times.push(seen.iter().map(ms).fold(0.0, f64::max));
                others
                    .extend(seen.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, d)| ms(d)));
            }
        }
    }
    println!("\n| a disable, until it is obeyed | rounds | p50 ms | p99 ms | longest ms |");
    println!("|---|---|---|---|---|");
    for (who, times) in [("by all three", &mut times), ("by another gateway", &mut others)] {
        let (p50, p99) = (percentile(times, 0.5), percentile(times, 0.99));
        let longest = times.last().copied().unwrap_or_default();
        println!("| {who} | {rounds} | {p50:.2} | {p99:.2} | {longest:.2} |");
    }
    for server in servers {
        end(server);
    }
}
