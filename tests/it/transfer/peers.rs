//! Primary servers from Debian, each as a child process with its own directory and port.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{
    dns_client::{ask, free_port},
    harness::eventually,
};

pub(crate) const ZONE: &str = "rpz.test";
pub(crate) const KEY: &str = "feed.key";
pub(crate) const SECRET: &str = "c2VjcmV0IG9mIGEgdGVzdCwgdGhpcnR5LXR3byBieXRlcw==";

/// A program in the foreground; ended, and waited for, on drop.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal(Signal::SIGTERM);
        }
        for _ in 0..500 {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A zone's text: SOA, NS and these lines.
pub(crate) fn zone_text(serial: u32, lines: &str) -> String {
    format!(
        "$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns.{ZONE}. admin.{ZONE}. {serial} 3600 600 86400 60\n\
         @ NS ns.{ZONE}.\nns A 127.0.0.1\n{lines}"
    )
}

/// Rules `bad0` to `bad<n-1>`.
pub(crate) fn many_rules(n: usize) -> String {
    (0..n).map(|i| format!("bad{i}.example CNAME .\n")).collect()
}

/// A server that publishes [`ZONE`].
pub(crate) trait Primary {
    /// Where it answers.
    fn address(&self) -> SocketAddr;
    /// Publishes another text.
    fn publish(&self, text: &str);
    /// Its log, for whoever wants to know why.
    fn log(&self) -> String;
}

/// Asks for the SOA record over UDP; the serial, where there is an answer with one.
pub(crate) fn serial_at(server: SocketAddr, zone: &str) -> Option<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.send_to(&ask(zone, 6).wire(), server).unwrap();
    let mut buffer = [0; 4_096];
    let len = socket.recv(&mut buffer).ok()?;
    let message = hickory_proto::op::Message::from_vec(&buffer[..len]).ok()?;
    message.answers.iter().find_map(|r| match &r.data {
        hickory_proto::rr::RData::SOA(soa) => Some(soa.serial),
        _ => None,
    })
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn up(what: &str, address: SocketAddr, log: &Path) {
    let log = log.to_owned();
    eventually(&format!("{what} serves the zone"), || {
        let serial = serial_at(address, ZONE);
        if serial.is_none() && std::env::var_os("TRACEGATE_TEST_LOG").is_some() {
            eprintln!("{}", fs::read_to_string(&log).unwrap_or_default());
        }
        serial
    });
}

/// A directory with a zone file and a log, and a port for the server.
struct Home {
    dir: TempDir,
    port: u16,
}

impl Home {
    fn new(text: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("tracegate-peer-").tempdir().unwrap();
        fs::write(dir.path().join("zone"), text).unwrap();
        Self { dir, port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn address(&self) -> SocketAddr {
        local(self.port)
    }

    fn text(&self) -> String {
        self.dir.path().display().to_string()
    }
}

/// A server that re-reads its zone file on SIGHUP: BIND, Knot or NSD.
pub(crate) struct FilePrimary {
    home: Home,
    process: Process,
    /// BIND's port for transfers over TLS.
    pub(crate) tls: Option<SocketAddr>,
}

impl Primary for FilePrimary {
    fn address(&self) -> SocketAddr {
        self.home.address()
    }

    fn publish(&self, text: &str) {
        self.home.write("zone.new", text);
        fs::rename(self.home.path("zone.new"), self.home.path("zone")).unwrap();
        // Servers compare times in whole seconds.
        let file = fs::File::options().append(true).open(self.home.path("zone")).unwrap();
        let later = file.metadata().unwrap().modified().unwrap() + Duration::from_secs(2);
        file.set_modified(later).unwrap();
        self.process.signal(Signal::SIGHUP);
    }

    fn log(&self) -> String {
        self.home.log()
    }
}

impl FilePrimary {
    /// What to trust for transfers over TLS.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.home.path("tls.crt")
    }
}

/// A key for whoever serves TLS, its certificate and the file to trust, for `localhost`.
pub(crate) fn certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let (key, cert) = (dir.join("tls.key"), dir.join("tls.crt"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (key, cert)
}

/// BIND, which tells `notify` of changes.
pub(crate) fn bind(text: &str, notify: u16) -> FilePrimary {
    let home = Home::new(text);
    let dir = home.text();
    let (port, tls) = (home.port, free_port());
    let (key, cert) = certificate(home.dir.path());
    let (tls_key, tls_cert) = (key.display(), cert.display());
    let config = home.write(
        "named.conf",
        &format!(
            r#"key "{KEY}" {{ algorithm hmac-sha256; secret "{SECRET}"; }};
tls ours {{ key-file "{tls_key}"; cert-file "{tls_cert}"; protocols {{ TLSv1.3; }}; }};
controls {{ }};
options {{
    directory "{dir}"; pid-file "{dir}/pid"; session-keyfile "{dir}/session.key";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on port {tls} tls ours {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; ixfr-from-differences yes; max-journal-size 10m;
    notify explicit; also-notify {{ 127.0.0.1 port {notify} key {KEY}; }};
    notify-delay 0; allow-transfer {{ key {KEY}; }};
}};
zone "{ZONE}" {{ type primary; file "{dir}/zone"; }};
"#
        ),
    );
    let mut command = Command::new("named");
    command.arg("-g").arg("-c").arg(config).env("PATH", PATH);
    let process = Process::start(&mut command, &home.path("log"));
    up("named", home.address(), &home.path("log"));
    FilePrimary { home, process, tls: Some(local(tls)) }
}

/// Debian's servers are not in everyone's path.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Knot DNS.
pub(crate) fn knot(text: &str, notify: u16) -> FilePrimary {
    let home = Home::new(text);
    let (dir, port) = (home.text(), home.port);
    let config = home.write(
        "knot.conf",
        &format!(
            r#"server:
    rundir: "{dir}"
    listen: 127.0.0.1@{port}
log:
  - target: stderr
    any: info
database:
    storage: "{dir}/db"
key:
  - id: {KEY}
    algorithm: hmac-sha256
    secret: {SECRET}
remote:
  - id: us
    address: 127.0.0.1@{notify}
    key: {KEY}
acl:
  - id: out
    key: {KEY}
    action: transfer
zone:
  - domain: {ZONE}
    storage: "{dir}"
    file: zone
    acl: out
    notify: us
    zonefile-load: difference
    zonefile-sync: -1
    journal-content: changes
"#
        ),
    );
    fs::create_dir(home.path("db")).unwrap();
    let mut command = Command::new("knotd");
    command.arg("-c").arg(config).env("PATH", PATH);
    let process = Process::start(&mut command, &home.path("log"));
    up("knotd", home.address(), &home.path("log"));
    FilePrimary { home, process, tls: None }
}

/// NSD.
pub(crate) fn nsd(text: &str, notify: u16) -> FilePrimary {
    let home = Home::new(text);
    let (dir, port) = (home.text(), home.port);
    let config = home.write(
        "nsd.conf",
        &format!(
            r#"server:
    ip-address: 127.0.0.1@{port}
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{dir}"
    pidfile: "{dir}/nsd.pid"
    xfrdfile: "{dir}/xfrd.state"
    xfrdir: "{dir}"
    zonelistfile: "{dir}/zone.list"
    server-count: 1
remote-control:
    control-enable: no
key:
    name: {KEY}
    algorithm: hmac-sha256
    secret: "{SECRET}"
zone:
    name: {ZONE}
    zonefile: "{dir}/zone"
    store-ixfr: yes
    create-ixfr: yes
    provide-xfr: 127.0.0.1 {KEY}
    notify: 127.0.0.1@{notify} {KEY}
"#
        ),
    );
    let mut command = Command::new("nsd");
    command.arg("-d").arg("-c").arg(config).env("PATH", PATH);
    let process = Process::start(&mut command, &home.path("log"));
    up("nsd", home.address(), &home.path("log"));
    FilePrimary { home, process, tls: None }
}

/// PowerDNS, its zone in SQLite.
pub(crate) struct Pdns {
    home: Home,
    _process: Process,
}

impl Pdns {
    fn util(&self, program: &str, args: &[&str]) {
        pdns_util(&self.home, program, args);
    }
}

fn pdns_util(home: &Home, program: &str, args: &[&str]) {
    let done = Command::new(program)
        .arg(format!("--config-dir={}", home.text()))
        .args(args)
        .env("PATH", PATH)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{program} {args:?}: {said}");
}

pub(crate) fn pdns(text: &str, notify: u16) -> Pdns {
    let home = Home::new(text);
    let (dir, port) = (home.text(), home.port);
    home.write(
        "pdns.conf",
        &format!(
            "launch=gsqlite3\ngsqlite3-database={dir}/db\nlocal-address=127.0.0.1\n\
             local-port={port}\nsocket-dir={dir}\nmaster=yes\nalso-notify=127.0.0.1:{notify}\n\
             only-notify=\nallow-axfr-ips=127.0.0.9\ndaemon=no\nguardian=no\n\
             query-cache-ttl=0\ncache-ttl=0\nnegquery-cache-ttl=0\n"
        ),
    );
    let schema = fs::File::open("/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql").unwrap();
    let made = Command::new("sqlite3").arg(home.path("db")).stdin(schema).status().unwrap();
    assert!(made.success());
    let zone = home.path("zone").display().to_string();
    pdns_util(&home, "pdnsutil", &["load-zone", ZONE, &zone]);
    pdns_util(&home, "pdnsutil", &["set-kind", ZONE, "master"]);
    pdns_util(&home, "pdnsutil", &["import-tsig-key", KEY, "hmac-sha256", SECRET]);
    pdns_util(&home, "pdnsutil", &["activate-tsig-key", ZONE, KEY, "master"]);
    let mut command = Command::new("pdns_server");
    command.arg(format!("--config-dir={dir}")).env("PATH", PATH);
    let process = Process::start(&mut command, &home.path("log"));
    up("pdns_server", home.address(), &home.path("log"));
    Pdns { home, _process: process }
}

impl Primary for Pdns {
    fn address(&self) -> SocketAddr {
        self.home.address()
    }

    fn publish(&self, text: &str) {
        let zone = self.home.write("zone", text).display().to_string();
        self.util("pdnsutil", &["load-zone", ZONE, &zone]);
        self.util("pdns_control", &["purge", &format!("{ZONE}$")]);
        self.util("pdns_control", &["notify", ZONE]);
    }

    fn log(&self) -> String {
        self.home.log()
    }
}

/// A resolver that enforces a zone of ours.
pub(crate) trait Resolver {
    /// Where it answers, and hears of new versions.
    fn address(&self) -> SocketAddr;
    /// Its log, for whoever wants to know why.
    fn log(&self) -> String;
}

/// A resolver as a child process.
pub(crate) struct Peer {
    home: Home,
    _process: Process,
}

impl Resolver for Peer {
    fn address(&self) -> SocketAddr {
        self.home.address()
    }

    fn log(&self) -> String {
        self.home.log()
    }
}

impl Peer {
    fn start(home: Home, command: &mut Command) -> Self {
        let process = Process::start(command.env("PATH", PATH), &home.path("log"));
        eventually(&format!("{command:?} answers"), || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            socket.send_to(&ask("up.example", 1).wire(), home.address()).unwrap();
            socket.recv(&mut [0; 4_096]).ok()
        });
        Self { home, _process: process }
    }
}

/// BIND, with `zone` from `primary`, signed, as its policy; it asks `upstream`.
pub(crate) fn bind_resolver(zone: &str, primary: SocketAddr, upstream: SocketAddr) -> Peer {
    let home = Home::new("");
    let (dir, port) = (home.text(), home.port);
    let (ours, theirs) = (primary.port(), upstream.port());
    let config = home.write(
        "named.conf",
        &format!(
            r#"key "{KEY}" {{ algorithm hmac-sha256; secret "{SECRET}"; }};
controls {{ }};
options {{
    directory "{dir}"; pid-file "{dir}/pid"; session-keyfile "{dir}/session.key";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion yes; dnssec-validation no; forward only;
    forwarders {{ 127.0.0.1 port {theirs}; }};
    response-policy {{ zone "{zone}" max-policy-ttl 1; }} min-update-interval 0;
    max-cache-ttl 1; max-ncache-ttl 1; min-refresh-time 1; min-retry-time 1; max-retry-time 1;
}};
zone "{zone}" {{
    type secondary; file "{dir}/shared"; masterfile-format text;
    primaries {{ 127.0.0.1 port {ours} key {KEY}; }};
}};
"#
        ),
    );
    Peer::start(home, Command::new("named").arg("-g").arg("-c").arg(config))
}

/// Unbound, with `zone` from `primary` as its policy; it asks `upstream`.
pub(crate) fn unbound(zone: &str, primary: SocketAddr, upstream: SocketAddr) -> Peer {
    let home = Home::new("");
    let (dir, port) = (home.text(), home.port);
    let (ours, theirs) = (primary.port(), upstream.port());
    let config = home.write(
        "unbound.conf",
        &format!(
            r#"server:
    interface: 127.0.0.1@{port}
    directory: "{dir}"
    chroot: ""
    username: ""
    pidfile: "{dir}/pid"
    use-syslog: no
    verbosity: 2
    do-not-query-localhost: no
    module-config: "respip iterator"
    cache-max-ttl: 1
    cache-max-negative-ttl: 1
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{theirs}
rpz:
    name: "{zone}"
    primary: 127.0.0.1@{ours}
    allow-notify: 127.0.0.1
    zonefile: "{dir}/shared"
"#
        ),
    );
    Peer::start(home, Command::new("unbound").arg("-d").arg("-c").arg(config))
}

/// PowerDNS Recursor, with `zone` from `primary`, signed, as its policy; it asks `upstream`.
pub(crate) fn pdns_recursor(zone: &str, primary: SocketAddr, upstream: SocketAddr) -> Peer {
    let home = Home::new("");
    let (dir, port) = (home.text(), home.port);
    let lua = home.write(
        "rpz.lua",
        &format!(
            "rpzPrimary({{\"{primary}\"}}, \"{zone}\", {{tsigname=\"{KEY}\", \
             tsigalgo=\"hmac-sha256\", tsigsecret=\"{SECRET}\", refresh=1}})\n"
        ),
    );
    home.write(
        "recursor.conf",
        &format!(
            "local-address=127.0.0.1\nlocal-port={port}\nsocket-dir={dir}\ndaemon=no\n\
             dnssec=off\nsecurity-poll-suffix=\nforward-zones-recurse=.={upstream}\n\
             dont-query=\nmax-cache-ttl=1\nmax-negative-ttl=1\npacketcache-ttl=1\n\
             lua-config-file={}\nhint-file=no\n",
            lua.display()
        ),
    );
    Peer::start(home, Command::new("pdns_recursor").arg(format!("--config-dir={dir}")))
}
