//! An engine of its own, as an operator would run one by hand.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Stdio},
};

use tracegate::config::Config;

use crate::{
    harness::{eventually, tracegate},
    site,
};

/// A store that lives and dies apart from the node.
pub(super) struct Engine {
    child: Child,
    dir: tempfile::TempDir,
    address: SocketAddr,
}

impl Engine {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    pub(super) fn prepared() -> Self {
        let dir = tempfile::Builder::new().prefix("tracegate-engine-").tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(dir.path().join(name));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        };
        put("secrets.json", &format!(r#"{{"internal":"{0}","reader":"r{0}"}}"#, Self::SECRET));
        put("password", Self::SECRET);
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Self::spawn(dir.path(), address);
        Self { child, dir, address }
    }

    fn spawn(dir: &Path, address: SocketAddr) -> Child {
        let log = fs::File::create(dir.join("engine.log")).unwrap();
        tracegate(["engine", "--listen", &address.to_string(), "--secrets-file"])
            .arg(dir.join("secrets.json"))
            .arg("--data-dir")
            .arg(dir.join("data"))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Lets a node use it.
    pub(super) fn serve(&self, config: &mut Config) {
        config.store.url = format!("http://{}", self.address);
        config.store.user = "internal".into();
        config.store.password_file = Some(self.dir.path().join("password"));
    }

    /// Ends it as a crash would.
    pub(super) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn start_again(&mut self) {
        self.child = Self::spawn(self.dir.path(), self.address);
    }

    /// Runs one statement, once it answers.
    pub(super) fn ask(&self, sql: &str) -> String {
        let reply = eventually("the engine answers", || {
            // It may still be opening its tables.
            self.try_ask(sql).filter(|reply| reply.status != 503)
        });
        assert_eq!(reply.status, 200, "{sql}: {}", reply.body);
        reply.body.trim_end().to_owned()
    }

    /// A statement's one number; none when it cannot be had just now.
    pub(super) fn number(&self, sql: &str) -> Option<u64> {
        let reply = self.try_ask(sql).filter(|r| r.status == 200)?;
        reply.body.trim().parse().ok()
    }

    fn try_ask(&self, sql: &str) -> Option<site::Reply> {
        std::net::TcpStream::connect(self.address).ok()?;
        let host = self.address.to_string();
        let headers = [
            ("Host", host.as_str()),
            ("X-ClickHouse-User", "internal"),
            ("X-ClickHouse-Key", Self::SECRET),
        ];
        Some(site::ask(self.address, "POST", "/", &headers, sql))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
