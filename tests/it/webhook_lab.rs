//! An HTTPS server that takes webhooks, and answers as it is told to.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use domain::utils::base64;
use hmac::{Hmac, KeyInit, Mac};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use sha2::Sha256;
use tempfile::TempDir;

use crate::{
    described,
    harness::{DEADLINE, eventually},
};

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    head: String,
    pub(crate) body: String,
}

impl Taken {
    pub(crate) fn header(&self, name: &str) -> &str {
        let named = |l: &&str| l.split(':').next().unwrap().eq_ignore_ascii_case(name);
        let line = self.head.lines().skip(1).find(named);
        line.unwrap_or_else(|| panic!("no {name}: {}", self.head)).split_once(": ").unwrap().1
    }

    pub(crate) fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        let message = serde_json::from_str(&self.body).unwrap();
        described::check_told(&message);
        message
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether one of the signatures is that of `secret` (Standard Webhooks 1.0.0), read by nothing of
    /// the program's.
    pub(crate) fn is_signed(&self, secret: &str) -> bool {
        let key: Vec<u8> = base64::decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let (id, at) = (self.id(), self.header("webhook-timestamp"));
        mac.update(format!("{id}.{at}.{}", self.body).as_bytes());
        let expected = format!("v1,{}", base64::encode_string(&mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|one| one == expected)
    }
}

#[derive(Default)]
struct Inside {
    taken: Vec<Taken>,
    /// What is answered to the next ones, head and all; 204 afterwards.
    answers: VecDeque<String>,
}

pub(crate) struct Receiver {
    pub(crate) ca: PathBuf,
    address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ca, config) = certified(dir.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Arc::new(Mutex::new(Inside::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, stopped) = (Arc::clone(&inside), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                take(stream, &config, &kept);
            }
        });
        Self { ca, address, inside, stop, thread: Some(thread), _dir: dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/hook?a=1", self.address)
    }

    /// What the next ones are answered.
    pub(crate) fn answer(&self, answers: &[&str]) {
        self.inside.lock().unwrap().answers.extend(answers.iter().map(ToString::to_string));
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.inside.lock().unwrap().taken.clone()
    }

    /// Waits for the first message that `is` says yes to.
    pub(crate) fn wait(&self, what: &str, is: impl Fn(&Taken) -> bool) -> Taken {
        eventually(what, || self.taken().into_iter().find(&is))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Takes one message, as far as one comes.
fn take(stream: TcpStream, config: &Arc<ServerConfig>, inside: &Mutex<Inside>) -> Option<()> {
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let connection = ServerConnection::new(Arc::clone(config)).ok()?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    let (head, body) = loop {
        let n = stream.read(&mut piece).ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| {
            let (name, value) = l.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length? {
            break (head.to_owned(), body.to_owned());
        }
    };
    let answer = {
        let mut inside = inside.lock().unwrap();
        inside.taken.push(Taken { head, body });
        inside.answers.pop_front().unwrap_or_else(|| "204 No Content".into())
    };
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// A certificate for 127.0.0.1 that signs itself.
pub(crate) fn certified(dir: &Path) -> (PathBuf, Arc<ServerConfig>) {
    let (chain, key) = (dir.join("chain.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "30", "-subj", "/CN=test", "-addext"])
        .args(["subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = CertificateDer::from_pem_file(&chain).unwrap();
    let key = PrivateKeyDer::from_pem_file(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (chain, Arc::new(config))
}
