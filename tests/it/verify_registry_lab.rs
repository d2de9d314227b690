//! A registry of one's own: RDAP by HTTPS and WHOIS, which answer as they are told, well or badly.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::webhook_lab::certified;

/// How one question is answered.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// These bytes, and the end.
    Say(Vec<u8>),
    /// These bytes, and nothing more, until whoever asks gives up.
    Hang(Vec<u8>),
}

#[derive(Default)]
struct Inside {
    /// By what is asked for: a path, or a line of WHOIS.
    kept: BTreeMap<String, Act>,
    /// Before that.
    next: VecDeque<Act>,
    asked: Vec<String>,
}

pub(crate) struct Registry {
    pub(crate) ca: PathBuf,
    pub(crate) rdap: SocketAddr,
    pub(crate) whois: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
    _dir: TempDir,
}

/// A response of HTTP.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    Act::Say(format!("{head}{body}").into_bytes())
}

/// A domain as RDAP has it.
pub(crate) fn domain(name: &str, servers: &[&str], more: Value) -> Act {
    let servers: Vec<Value> =
        servers.iter().map(|n| json!({ "objectClassName": "nameserver", "ldhName": n })).collect();
    let mut body = json!({
        "objectClassName": "domain", "rdapConformance": ["rdap_level_0"], "ldhName": name,
        "status": ["client transfer prohibited"], "nameservers": servers,
        "events": [
            { "eventAction": "registration", "eventDate": "2015-01-01T00:00:00Z" },
            { "eventAction": "expiration", "eventDate": "2095-01-01T00:00:00Z" },
        ],
        "secureDNS": { "delegationSigned": false },
        "entities": [
            { "roles": ["registrar"], "publicIds": [{ "type": "IANA Registrar ID", "identifier": "292" }],
              "vcardArray": ["vcard", [["fn", {}, "text", "Example Registrar"]]] },
            { "roles": ["registrant"],
              "vcardArray": ["vcard", [["fn", {}, "text", "Jane Doe"], ["email", {}, "text", "jane@example.com"]]] },
        ],
    });
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    http("200 OK", "Content-Type: application/rdap+json\r\n", &body.to_string())
}

pub(crate) fn absent() -> Act {
    let body =
        json!({ "errorCode": 404, "title": "Not Found", "rdapConformance": ["rdap_level_0"] });
    http("404 Not Found", "Content-Type: application/rdap+json\r\n", &body.to_string())
}

impl Registry {
    pub(crate) fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let (ca, config) = certified(dir.path());
        let (rdap, whois) = (bound(), bound());
        let at = [&rdap, &whois].map(|l| l.local_addr().unwrap());
        let inside = Arc::new(Mutex::new(Inside::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = vec![
            serve(rdap, Arc::clone(&inside), Arc::clone(&stop), Some(config)),
            serve(whois, Arc::clone(&inside), Arc::clone(&stop), None),
        ];
        Self { ca, rdap: at[0], whois: at[1], inside, stop, threads, _dir: dir }
    }

    /// What is answered to the next question, whatever it is.
    pub(crate) fn next(&self, act: Act) {
        self.inside.lock().unwrap().next.push_back(act);
    }

    /// What is answered to whoever asks for `what`.
    pub(crate) fn keep(&self, what: &str, act: Act) {
        self.inside.lock().unwrap().kept.insert(what.to_owned(), act);
    }

    /// Everything that was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.inside.lock().unwrap().asked.clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for address in [self.rdap, self.whois] {
            drop(TcpStream::connect(address));
        }
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn serve(
    listener: TcpListener,
    inside: Arc<Mutex<Inside>>,
    stop: Arc<AtomicBool>,
    tls: Option<Arc<ServerConfig>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            stream.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
            match &tls {
                Some(config) => {
                    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                    let mut stream = StreamOwned::new(connection, stream);
                    if take(&mut stream, &inside).is_some() {
                        stream.conn.send_close_notify();
                        stream.flush().ok();
                    }
                }
                None => {
                    let mut stream = stream;
                    take(&mut stream, &inside);
                }
            }
        }
    })
}

/// Takes one question, and answers it.
fn take(stream: &mut (impl Read + Write), inside: &Mutex<Inside>) -> Option<()> {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !read.ends_with(b"\r\n") {
        let n = stream.read(&mut piece).ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&piece[..n]);
    }
    let text = String::from_utf8_lossy(&read).into_owned();
    let line = text.lines().next().unwrap();
    let what = line.strip_prefix("GET ").map_or(line, |l| l.split(' ').next().unwrap()).to_owned();
    let act = {
        let mut inside = inside.lock().unwrap();
        inside.asked.push(what.clone());
        let next = inside.next.pop_front();
        next.or_else(|| inside.kept.get(&what).cloned()).unwrap_or_else(absent)
    };
    match act {
        Act::Say(bytes) => stream.write_all(&bytes).ok(),
        Act::Hang(bytes) => {
            stream.write_all(&bytes).ok()?;
            stream.flush().ok()?;
            while stream.read(&mut piece).is_ok_and(|n| n > 0) {}
            None
        }
    }
}
