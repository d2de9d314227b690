//! Certificates obtained from an authority (Pebble), for the hosts that are forwarded.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Builder, Server, eventually},
    server::call,
    site::ask,
};

/// Pebble, whose certificates are good for a few seconds.
struct Pebble {
    dir: TempDir,
    port: u16,
    management: u16,
    child: Option<Child>,
}

/// How long its certificates are good, in seconds.
const LIFETIME_S: u32 = 15;

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Pebble {
    /// One that is not started yet.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "30", "-subj", "/CN=test", "-addext"])
            .args(["subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { dir, port: free_port(), management: free_port(), child: None }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// Starts it: it asks at `server`, whose zones it looks names up in, and refuses a good nonce
    /// now and then.
    fn verify_at(&mut self, server: &Server) {
        self.end();
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": self.ca(),
            "privateKey": self.dir.path().join("key.pem"),
            "httpPort": server.gateway().port(),
            "tlsPort": 1,
            "certificateValidityPeriod": LIFETIME_S,
        }});
        let file = self.dir.path().join("config.json");
        fs::write(&file, config.to_string()).unwrap();
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new("pebble")
            .arg("-config")
            .arg(&file)
            .args(["-dnsserver", &server.dns().to_string()])
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "20")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// The root of what it issues.
    fn root(&self) -> PathBuf {
        let file = self.dir.path().join("root.pem");
        let url = format!("https://127.0.0.1:{}/roots/0", self.management);
        eventually("pebble gives its root", || {
            let got = Command::new("curl")
                .args(["-s", "-f", "--noproxy", "*", "--cacert"])
                .arg(self.ca())
                .arg("-o")
                .arg(&file)
                .arg(&url)
                .status();
            got.unwrap().success().then_some(())
        });
        file
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server that obtains certificates for hosts below `acme.test`.
fn obtaining(pebble: &Pebble, hosts: &[&str]) -> Builder {
    let hosts = hosts.iter().map(ToString::to_string).collect();
    let (directory, ca_file) = (pebble.directory(), Some(pebble.ca()));
    let zone = "$TTL 60\n@ SOA ns hostmaster 1 3600 900 604800 300\n@ NS ns\nns A 127.0.0.1\n\
                old A 127.0.0.1\ngo A 127.0.0.1\n";
    Server::builder().zone("acme.test", zone).config(|c| {
        c.gateway.tls_listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        c.gateway.certificates_poll_ms = 100;
        c.gateway.targets.special_hosts = vec!["acme.test".into()];
        let acme = &mut c.gateway.acme;
        (acme.directory, acme.ca_file, acme.hosts) = (directory, ca_file, hosts);
        (acme.terms_agreed, acme.orders_hour_max) = (true, 1_000);
        (acme.poll_ms, acme.retry_ms, acme.retry_max_ms) = (100, 200, 1_000);
        // Nobody is there; the spool keeps what comes.
        c.store.url = "http://127.0.0.1:9".into();
    })
}

fn tls(server: &Server) -> SocketAddr {
    let run: Value =
        serde_json::from_slice(&fs::read(server.data().join("run.json")).unwrap()).unwrap();
    run["gateway_tls"].as_str().unwrap().parse().unwrap()
}

/// What `https://host/` answers to whoever trusts `root` alone: its status and where it leads.
fn visit(server: &Server, host: &str, root: &Path) -> Option<String> {
    let port = tls(server).port();
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "--noproxy", "*"])
        .arg("--cacert")
        .arg(root)
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .arg(format!("https://{host}:{port}/"))
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn certificates(server: &Server) -> Vec<Value> {
    let reply = call(server, &server.token(), "GET", "/api/v1/certificates", "");
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["certificates"].as_array().unwrap().clone()
}

fn of(server: &Server, host: &str) -> Option<Value> {
    certificates(server).into_iter().find(|c| c["host"] == host)
}

fn forward(server: &Server, from: &str) {
    let body = json!({ "from": from, "target": "https://www.example.com/new" }).to_string();
    let made = call(server, &server.token(), "POST", "/api/v1/forwards", &body);
    assert_eq!(made.status, 201, "{}", made.body);
}

fn challenge(server: &Server, token: &str) -> (u16, String) {
    let path = format!("/.well-known/acme-challenge/{token}");
    let reply = ask(server.gateway(), "GET", &path, &[("Host", "old.acme.test")], "");
    (reply.status, reply.body)
}

#[test]
fn forwarded_hosts_get_certificates_and_new_ones_in_time() {
    let mut pebble = Pebble::new();
    let server = obtaining(&pebble, &["go.acme.test", "away.acme.test"]).start();
    // The authority is not there yet; nothing is served that nobody vouches for.
    let why = eventually("what is missing is said", || {
        let error = of(&server, "go.acme.test")?["error"].as_str()?.to_owned();
        Some(error)
    });
    assert!(!why.is_empty());
    pebble.verify_at(&server);
    let root = pebble.root();
    forward(&server, "old.acme.test");
    for (host, answer) in
        [("old.acme.test", "302 https://www.example.com/new"), ("go.acme.test", "404 ")]
    {
        eventually("the host is served with a certificate of the authority's", || {
            (visit(&server, host, &root).as_deref() == Some(answer)).then_some(())
        });
    }
    // A host that does not lead to us gets none, keeps no other from having one, and is named.
    let away = eventually("the authority says why", || {
        let away = of(&server, "away.acme.test")?;
        (away["failures"].as_u64()? > 0 && away["error"].is_string()).then_some(away)
    });
    assert_eq!(away["until"], Value::Null);
    let ready = call(&server, &server.token(), "GET", "/readyz", "").body;
    assert!(ready.contains("away.acme.test has no certificate"), "{ready}");
    assert_eq!(visit(&server, "away.acme.test", &root), None);
    // Before its end it is replaced, without a restart and without a moment without one.
    let first = of(&server, "old.acme.test").unwrap();
    assert_eq!(first["source"], "acme");
    eventually("the certificate is renewed", || {
        let now = of(&server, "old.acme.test")?;
        (now["until"].as_str()? > first["until"].as_str()?).then_some(())
    });
    eventually("the new one is served", || visit(&server, "old.acme.test", &root));
    // An authority that is away takes nothing away.
    pebble.end();
    let later = eventually("a renewal fails", || {
        let now = of(&server, "old.acme.test")?;
        (now["failures"].as_u64()? > 0).then_some(now)
    });
    assert!(later["until"].is_string() && later["error"].is_string(), "{later}");
    let any = tls(&server).port();
    let still = Command::new("curl")
        .args(["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"])
        .args(["--resolve", &format!("old.acme.test:{any}:127.0.0.1")])
        .arg(format!("https://old.acme.test:{any}/"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(still.stdout).unwrap(), "302");
    let text = server.cli(["forward", "certificates"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("old.acme.test") && text.contains("away.acme.test"), "{text}");
    // Nothing of it is a jump, and no key is for others to read.
    let measured = call(&server, &server.token(), "GET", "/metrics", "").body;
    assert!(measured.contains("tracegate_gateway_certificates_missing 1"), "{measured}");
    let log = server.home().log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    let (status, home) = server.terminate();
    assert!(status.success());
    let kept = home.path().join("data/acme");
    for file in ["account.json", "certificates/old.acme.test.pem"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(kept.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn challenges_are_answered_for_our_account_alone() {
    let mut pebble = Pebble::new();
    let server = obtaining(&pebble, &["go.acme.test"]).start();
    assert_eq!(challenge(&server, "some-token").0, 404, "there is no account yet");
    pebble.verify_at(&server);
    let account = server.data().join("acme/account.json");
    let thumbprint = eventually("there is an account", || {
        let account: Value = serde_json::from_slice(&fs::read(&account).ok()?).ok()?;
        account["thumbprint"].as_str().map(str::to_owned)
    });
    let expected = (200, format!("some-token.{thumbprint}"));
    eventually("challenges are answered", || {
        (challenge(&server, "some-token") == expected).then_some(())
    });
    for bad in ["", "a/b", "a.b", "%0d%0aX:1", &"a".repeat(257)] {
        assert_eq!(challenge(&server, bad).0, 404, "{bad:?}");
    }
    // Another gateway that is given the account answers for this one.
    let other = obtaining(&pebble, &["go.acme.test"]);
    let dir = other.path().join("data/acme");
    let modes = |builder: fs::DirBuilder| builder;
    let mut builder = modes(fs::DirBuilder::new());
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(&dir).unwrap();
    fs::copy(&account, dir.join("account.json")).unwrap();
    let other = other.config(|c| c.gateway.acme.poll_ms = 3_600_000).start();
    assert_eq!(challenge(&other, "some-token"), expected);
    other.terminate();
    server.terminate();
    let off = Server::builder().start();
    assert_eq!(challenge(&off, "some-token").0, 404);
    off.terminate();
}

#[test]
fn a_node_that_dies_amid_an_order_begins_another() {
    let mut pebble = Pebble::new();
    let server = obtaining(&pebble, &["go.acme.test"]).start();
    pebble.verify_at(&server);
    let account = server.data().join("acme/account.json");
    eventually("there is an account", || account.exists().then_some(()));
    let server = server.kill9().start();
    let kept = fs::read(&account).unwrap();
    pebble.verify_at(&server);
    // The authority was started anew and has forgotten us: there is another account, and a
    // certificate.
    let root = pebble.root();
    eventually("a new account and its certificate", || visit(&server, "go.acme.test", &root));
    assert_ne!(fs::read(&account).unwrap(), kept);
    assert_eq!(fs::read(account.with_file_name("account.unknown.json")).unwrap(), kept);
    server.terminate();
}

#[test]
fn what_cannot_be_right_is_refused() {
    let pebble = Pebble::new();
    let refused = |change: fn(&mut tracegate::config::Config), says: &str| {
        let (status, log) = obtaining(&pebble, &["go.acme.test"]).config(change).start_and_fail();
        assert_eq!(status.code(), Some(2), "{log}");
        assert!(log.contains(says), "{log}");
    };
    refused(|c| c.gateway.acme.terms_agreed = false, "gateway.acme.terms_agreed");
    refused(|c| c.gateway.acme.directory = "http://127.0.0.1/dir".into(), "gateway.acme.directory");
    refused(|c| c.gateway.acme.hosts = vec!["*.acme.test".into()], "gateway.acme.hosts[0]");
    refused(|c| c.gateway.acme.external_account_id = "me".into(), "external_account_id");
    refused(|c| c.gateway.listen = None, "gateway.listen");
}
