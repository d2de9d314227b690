//! Web servers: nginx with TLS, by authorities of the test's own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tracegate::{
    clock::Clock,
    feeds::source::{Files, Guard, Https, HttpsBounds, Resolve, SourceError},
};

use super::{Lab, keys, sign, text};
use crate::harness::eventually;

/// The name that certificates are made for.
const HOST: &str = "lists.example.com";

struct Nginx {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn openssl(args: &[&str], dir: &Path) {
    let made = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// An authority `ca.crt`, another `other.crt`, and a server's `tls.key` and `tls.crt`.
fn certificates(dir: &Path) {
    let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for name in ["ca", "other"] {
        let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=it", "-keyout", &key, "-out", &cert];
        openssl(&[&ca[..], &ec].concat(), dir);
    }
    let request = ["req", "-subj", "/CN=it", "-keyout", "tls.key", "-out", "tls.csr"];
    openssl(&[&request[..], &ec].concat(), dir);
    fs::write(dir.join("ext"), format!("subjectAltName=DNS:{HOST},IP:127.0.0.1\n")).unwrap();
    openssl(
        &[
            "x509",
            "-req",
            "-in",
            "tls.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "ext",
            "-out",
            "tls.crt",
        ],
        dir,
    );
}

impl Nginx {
    /// nginx that serves `www`, and what `backend` (a port) says below `/backend/`.
    fn start(backend: u16) -> Self {
        let dir = TempDir::new().unwrap();
        certificates(dir.path());
        fs::create_dir(dir.path().join("www")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = dir.path().display();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|t| format!("{t}_temp_path {home}/{t};"))
            .join(" ");
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "daemon off; master_process off; {user} pid {home}/pid; error_log {home}/error.log;
             events {{ worker_connections 64; }}
             http {{
               {temp}
               access_log {home}/access.log;
               server {{
                 listen 127.0.0.1:{port} ssl; server_name {HOST};
                 ssl_certificate {home}/tls.crt; ssl_certificate_key {home}/tls.key;
                 root {home}/www;
                 location /backend/ {{ proxy_pass http://127.0.0.1:{backend}; proxy_buffering off; proxy_http_version 1.0; }}
                 location /packed {{ add_header Content-Encoding gzip; alias {home}/www/a; }}
                 location = /away {{ return 302 https://$http_host/a; }}
                 location = /round {{ return 302 https://$http_host/round; }}
                 location = /plain {{ return 301 http://$http_host/a; }}
                 location = /inside {{ return 302 https://169.254.169.254/a; }}
                 location = /busy {{ return 503; }}
                 location = /later {{ add_header Retry-After 120 always; return 503; }}
                 location = /forbidden {{ return 403; }}
               }}
             }}"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(dir.path())
            .arg("-e")
            .arg(dir.path().join("error.log"))
            .arg("-c")
            .arg(dir.path().join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx: run scripts/test-deps");
        let nginx = Self { child, dir, port };
        eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        nginx
    }

    fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}/{path}", self.port)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join("www").join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn asked(&self, path: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
        log.lines().filter(|l| l.contains(&format!("GET /{path} "))).count()
    }

    /// nginx writes its log when the exchange has ended.
    fn was_asked(&self, path: &str, times: usize) {
        eventually(&format!("{path} is asked for {times} times"), || {
            let asked = self.asked(path);
            assert!(asked <= times, "{path} was asked for {asked} times");
            (asked == times).then_some(())
        });
    }

    /// A lab whose lists' directory has the authorities.
    fn lab(&self) -> Lab {
        let mut lab = Lab::new();
        for name in ["ca.crt", "other.crt"] {
            fs::copy(self.dir.path().join(name), lab.list(name)).unwrap();
        }
        lab.config.allowed_hosts = vec![HOST.into()];
        lab.config.fetch_idle_timeout_ms = 2_000;
        lab
    }
}

/// Every name is this machine.
fn resolve() -> Resolve {
    Arc::new(|_| Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) }))
}

fn https(lab: &Lab) -> Https {
    let guard = Guard::new(resolve(), &lab.config.allowed_hosts);
    let files = Files::new(&lab.config, Clock::system());
    Https::new(guard, HttpsBounds::of(&lab.config), files)
}

fn ca(lab: &Lab, name: &str) -> String {
    format!(r#", "ca_file": "{}""#, lab.list(name).display())
}

#[tokio::test]
async fn asked_conditionally() {
    let nginx = Nginx::start(9);
    let lab = nginx.lab();
    let source = https(&lab);
    nginx.put("a", "one.example\n");
    let spec = lab.spec(&nginx.url("a"), &ca(&lab, "ca.crt"));
    let first = lab.brought(&source, &spec, "").await;
    assert_eq!((text(&first).as_str(), &first.from), ("one.example\n", &nginx.url("a")));
    let validator = first.validator.clone();
    drop(first);
    lab.same(&source, &spec, &validator).await;
    nginx.put("a", "one.example\ntwo.example\n");
    let second = lab.brought(&source, &spec, &validator).await;
    assert_eq!(text(&second), "one.example\ntwo.example\n");
    assert_ne!(second.validator, validator);
    drop(second);

    // Only the feed's authority certifies its server.
    let other = lab.spec(&nginx.url("a"), &ca(&lab, "other.crt"));
    Lab::away(lab.look(&source, &other, "").await, "certificate");
    let system = lab.spec(&nginx.url("a"), "");
    Lab::away(lab.look(&source, &system, "").await, "certificate");
    let missing = lab.spec(&nginx.url("a"), &ca(&lab, "missing.crt"));
    Lab::away(lab.look(&source, &missing, "").await, "missing.crt");
}

#[tokio::test]
async fn redirects_refusals_and_retries() {
    let nginx = Nginx::start(9);
    let lab = nginx.lab();
    let source = https(&lab);
    nginx.put("a", "one.example\n");
    let look = async |path: &str| {
        let spec = lab.spec(&nginx.url(path), &ca(&lab, "ca.crt"));
        lab.look(&source, &spec, "").await
    };
    let brought = look("away").await.unwrap().brought.unwrap();
    assert_eq!((text(&brought).as_str(), &brought.from), ("one.example\n", &nginx.url("a")));
    drop(brought);
    Lab::refused(look("round").await, "too often");
    nginx.was_asked("round", 4);
    Lab::refused(look("plain").await, "not plain https:");
    Lab::refused(look("inside").await, "169.254.169.254");
    Lab::refused(look("missing").await, "404");
    Lab::refused(look("forbidden").await, "403");
    nginx.was_asked("forbidden", 1);
    Lab::refused(look("packed").await, "packed");
    Lab::away(look("busy").await, "503");
    nginx.was_asked("busy", 3);
    // One that says when to come back is left alone until then, within limits.
    let later = |found| match found {
        Err(SourceError::Busy(why, after)) if why.contains("503") => after.as_secs(),
        other => panic!("not busy: {other:?}"),
    };
    assert_eq!(later(look("later").await), 120);
    nginx.was_asked("later", 1);
    let mut less = nginx.lab();
    less.config.fetch_retry_after_s_max = 60;
    let spec = less.spec(&nginx.url("later"), &ca(&less, "ca.crt"));
    assert_eq!(later(less.look(&https(&less), &spec, "").await), 60);
    nginx.put("long", &"x".repeat(10_001));
    assert!(matches!(look("long").await, Err(SourceError::TooLong(10_000))));
}

#[tokio::test]
async fn a_name_that_changes_its_addresses_leads_nowhere_else() {
    let nginx = Nginx::start(9);
    let mut lab = nginx.lab();
    nginx.put("a", "one.example\n");
    lab.config.allowed_hosts = vec!["127.0.0.1".into()];
    let asked = Arc::new(AtomicUsize::new(0));
    let resolve: Resolve = {
        let asked = Arc::clone(&asked);
        Arc::new(move |_| {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            let address = if first { [127, 0, 0, 1] } else { [10, 0, 0, 1] };
            Box::pin(async move { Ok(vec![IpAddr::from(address)]) })
        })
    };
    let files = Files::new(&lab.config, Clock::system());
    let guard = Guard::new(resolve, &lab.config.allowed_hosts);
    let source = Https::new(guard, HttpsBounds::of(&lab.config), files);
    // Asked for once: connected to is what was checked.
    let spec = lab.spec(&nginx.url("a"), &ca(&lab, "ca.crt"));
    assert_eq!(text(&lab.brought(&source, &spec, "").await), "one.example\n");
    assert_eq!(asked.swap(0, Ordering::Relaxed), 1);
    // A redirect to the same name is checked by what it leads to by then.
    let spec = lab.spec(&nginx.url("away"), &ca(&lab, "ca.crt"));
    Lab::refused(lab.look(&source, &spec, "").await, "10.0.0.1");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    nginx.was_asked("a", 1);
}

#[tokio::test]
async fn only_hosts_that_are_public_or_named() {
    let nginx = Nginx::start(9);
    let mut lab = nginx.lab();
    nginx.put("a", "one.example\n");
    lab.config.allowed_hosts.clear();
    let source = https(&lab);
    for host in [HOST, "127.0.0.1", "[::1]", "localhost"] {
        let url = format!("https://{host}:{}/a", nginx.port);
        let spec = lab.spec(&url, &ca(&lab, "ca.crt"));
        Lab::refused(lab.look(&source, &spec, "").await, "feeds.allowed_hosts");
    }
    assert_eq!(nginx.asked("a"), 0);
    lab.config.allowed_hosts = vec!["127.0.0.0/8".into()];
    let spec = lab.spec(&format!("https://127.0.0.1:{}/a", nginx.port), &ca(&lab, "ca.crt"));
    assert_eq!(text(&lab.brought(&https(&lab), &spec, "").await), "one.example\n");
}

#[tokio::test]
async fn signed_lists_with_a_manifest() {
    let nginx = Nginx::start(9);
    let lab = nginx.lab();
    let source = https(&lab);
    let home = nginx.dir.path();
    let key = keys(home, "ours");
    let list = nginx.put("a", "one.example\n");
    let manifest = nginx.put("a.json", "{}");
    let more = format!(
        r#"{}, "minisign_key": "{key}", "options": {{"manifest": "a.json"}}"#,
        ca(&lab, "ca.crt")
    );
    let spec = lab.spec(&nginx.url("a"), &more);
    Lab::refused(lab.look(&source, &spec, "").await, "the signature");
    sign(home, "ours", &list);
    Lab::refused(lab.look(&source, &spec, "").await, "the signature");
    sign(home, "ours", &manifest);
    let first = lab.brought(&source, &spec, "").await;
    assert_eq!(first.signer, format!("minisign {key}"));
    assert!(first.manifest.is_some());
    let validator = first.validator.clone();
    drop(first);
    lab.same(&source, &spec, &validator).await;

    // Another manifest is another version of the same list.
    nginx.put("a.json", "{ }");
    Lab::refused(lab.look(&source, &spec, &validator).await, "the signature");
    sign(home, "ours", &manifest);
    let second = lab.brought(&source, &spec, &validator).await;
    assert_eq!(second.manifest.as_ref().unwrap().bytes(), 3);
}

/// A backend that says this and ends the connection, or is silent.
fn backend(says: Option<Vec<u8>>) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4_096];
            let read = stream.read(&mut head).unwrap_or(0);
            if head[..read].starts_with(b"GET /backend/stop") {
                return;
            }
            match &says {
                // Whoever asked has gone when enough was read.
                Some(says) => drop(stream.write_all(says)),
                None => drop(stream.read(&mut head)),
            }
        }
    };
    (port, thread::spawn(serve))
}

fn stop(port: u16, serving: thread::JoinHandle<()>) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /backend/stop HTTP/1.0\r\n\r\n").unwrap();
    serving.join().unwrap();
}

async fn of_backend(
    says: Option<Vec<u8>>,
) -> Result<tracegate::feeds::source::Looked, SourceError> {
    let (port, serving) = backend(says);
    let nginx = Nginx::start(port);
    let mut lab = nginx.lab();
    lab.config.fetch_attempts_max = 1;
    lab.config.fetch_idle_timeout_ms = 500;
    let spec = lab.spec(&nginx.url("backend/a"), &ca(&lab, "ca.crt"));
    let found = lab.look(&https(&lab), &spec, "").await;
    drop(nginx);
    stop(port, serving);
    found
}

#[tokio::test]
async fn bodies_that_are_cut_short_endless_or_silent() {
    let cut = b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\none.example\n".to_vec();
    assert!(matches!(of_backend(Some(cut)).await, Err(SourceError::Away(_))));
    // Without a length, so that only counting helps.
    let long = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &vec![b'x'; 50_000]].concat();
    assert!(matches!(of_backend(Some(long)).await, Err(SourceError::TooLong(10_000))));
    Lab::away(of_backend(None).await, "nothing came");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut lab = Lab::new();
    lab.config.allowed_hosts = vec![HOST.into()];
    lab.config.fetch_connect_timeout_ms = 200;
    lab.config.fetch_attempts_max = 2;
    let spec = lab.spec(&format!("https://{HOST}:{port}/a"), "");
    Lab::away(lab.look(&https(&lab), &spec, "").await, "no connection");
    drop(silent);
    Lab::away(lab.look(&https(&lab), &spec, "").await, "no connection");
    assert!(HttpsBounds::of(&lab.config).connect_timeout == Duration::from_millis(200));
}
