//! Load on a node, and the list of what it answered.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What the clients received: every entry must be found in the records exactly once.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Names answered over UDP and TCP.
    pub(super) names: HashSet<String>,
    /// Codes handed out.
    pub(super) codes: HashSet<String>,
    /// Unknown codes answered with 404.
    pub(super) unknown: HashSet<String>,
    /// Codes whose jump was answered with 302, with how often.
    pub(super) jumped: Vec<String>,
}

/// Clients that ask until they are stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Received>>,
}

/// Where a node listens.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) dns: SocketAddr,
    pub(super) gateway: SocketAddr,
    pub(super) api: SocketAddr,
    pub(super) token: String,
}

impl Load {
    /// Starts the clients; names end in `<tag>.load.test`.
    pub(super) fn start(at: &Addresses, tag: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for worker in 0..3 {
            let (at, stop, tag) = (at.clone(), Arc::clone(&stop), format!("{worker}.{tag}"));
            clients.push(thread::spawn(move || match worker {
                0 => udp(at.dns, &tag, &stop),
                1 => tcp(at.dns, &tag, &stop),
                _ => http(&at, &tag, &stop),
            }));
        }
        Self { stop, clients }
    }

    /// Stops the clients and gives what they received.
    pub(super) fn stop(self) -> Received {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Received::default();
        for c in self.clients {
            let r = c.join().expect("a client panicked");
            all.names.extend(r.names);
            all.codes.extend(r.codes);
            all.unknown.extend(r.unknown);
            all.jumped.extend(r.jumped);
        }
        all
    }
}

/// A window of questions in flight, each name asked once.
fn udp(server: SocketAddr, tag: &str, stop: &AtomicBool) -> Received {
    let mut got = Received::default();
    let s = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    s.connect(server).expect("an address");
    s.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let mut buf = [0; 2048];
    for n in 0_u32.. {
        if stop.load(Ordering::Relaxed) || n == 20_000 {
            break;
        }
        let name = format!("q{n}.{tag}.load.test");
        // Errors mean that the node is dead just now: what is not answered is not owed.
        if s.send(&question(&name)).is_ok()
            && let Ok(len) = s.recv(&mut buf)
            && let Some(name) = answered(&buf[..len])
        {
            got.names.insert(name);
        }
    }
    got
}

fn tcp(server: SocketAddr, tag: &str, stop: &AtomicBool) -> Received {
    let mut got = Received::default();
    let mut n = 0_u32;
    while !stop.load(Ordering::Relaxed) && n < 5_000 {
        let Ok(mut s) = TcpStream::connect(server) else { continue };
        s.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            match over_tcp(&mut s, &format!("q{n}.{tag}.load.test")) {
                Some(name) => got.names.insert(name),
                None => break,
            };
        }
    }
    got
}

/// Asks for a name; the name that was answered, none when the node died on the way.
pub(super) fn over_tcp(stream: &mut TcpStream, name: &str) -> Option<String> {
    let q = question(name);
    let mut framed = u16::try_from(q.len()).expect("short").to_be_bytes().to_vec();
    framed.extend_from_slice(&q);
    let mut len = [0; 2];
    stream.write_all(&framed).ok()?;
    stream.read_exact(&mut len).ok()?;
    let mut body = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut body).ok()?;
    answered(&body)
}

/// Creates links, follows them, asks for codes that do not exist.
fn http(at: &Addresses, tag: &str, stop: &AtomicBool) -> Received {
    let mut got = Received::default();
    let mut n = 0_u32;
    while !stop.load(Ordering::Relaxed) && n < 5_000 {
        n += 1;
        if let Some(code) = create(at, &format!("https://w{n}.{tag}.load.test/")) {
            if let Some((302, _)) = exchange(at.gateway, &get(at.gateway, &code)) {
                got.jumped.push(code.clone());
            }
            got.codes.insert(code);
        }
        let unknown = format!("u{}x{n}", tag.replace('.', "x"));
        // Each is a question of its own afterwards.
        if n % 8 == 1
            && let Some((404, _)) = exchange(at.gateway, &get(at.gateway, &unknown))
        {
            got.unknown.insert(unknown);
        }
    }
    got
}

/// The code of a new link to `target`; none when it was refused.
pub(super) fn create(at: &Addresses, target: &str) -> Option<String> {
    let body = format!("{{\"target\":\"{target}\"}}");
    let request = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        at.api,
        at.token,
        body.len()
    );
    let (status, body) = exchange(at.api, &request)?;
    let link: serde_json::Value = serde_json::from_str(&body).ok()?;
    (status == 201).then(|| link["code"].as_str().expect("a code").to_owned())
}

pub(super) fn get(host: SocketAddr, code: &str) -> String {
    format!("GET /{code} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Status and body of a whole response; none when the node died on the way.
pub(super) fn exchange(server: SocketAddr, request: &str) -> Option<(u16, String)> {
    let mut s = TcpStream::connect(server).ok()?;
    s.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    s.write_all(request.as_bytes()).ok()?;
    let mut r = BufReader::new(s);
    let mut status = String::new();
    r.read_line(&mut status).ok()?;
    let status = status.split(' ').nth(1)?.parse().ok()?;
    let mut length = None;
    loop {
        let mut line = String::new();
        if r.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse::<usize>().ok();
        }
    }
    let mut body = Vec::new();
    match length {
        Some(n) => {
            body.resize(n, 0);
            r.read_exact(&mut body).ok()?;
        }
        None => {
            r.read_to_end(&mut body).ok()?;
        }
    }
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A question for A, class IN, recursion desired.
pub(super) fn question(name: &str) -> Vec<u8> {
    let mut q = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        q.push(u8::try_from(label.len()).expect("a label"));
        q.extend_from_slice(label.as_bytes());
    }
    q.extend_from_slice(&[0, 0, 1, 0, 1]);
    q
}

/// The name of the question that this response answers, whatever its rcode.
fn answered(response: &[u8]) -> Option<String> {
    let mut name = String::new();
    let mut at = 12;
    loop {
        let len = usize::from(*response.get(at)?);
        if len == 0 {
            return (response[2] & 0x80 != 0).then_some(name);
        }
        let label = response.get(at + 1..at + 1 + len)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label));
        at += 1 + len;
    }
}
