//! An internet of one's own: a root (Knot), a top-level zone (NSD) and two servers of the zones
//! below it (BIND and NSD), each at an address of its own on loopback, on one port.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{dns_client::ask, harness::eventually, transfer::peers::Process};

/// Programs of administrators are not in everybody's path.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) const ROOT: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const TLD: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);
/// BIND takes no address that no interface has.
pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub(crate) const SECOND: Ipv4Addr = Ipv4Addr::new(127, 30, 1, 1);

/// Nobody answers there, and nothing says so.
const SILENT: Ipv4Addr = Ipv4Addr::new(127, 30, 9, 9);

/// How a zone is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signed {
    /// Not.
    #[default]
    No,
    /// As it should be.
    Yes,
    /// As it should be, denying by NSEC3.
    Nsec3,
    /// As it should be, by RSA.
    Rsa,
    /// Once; the time of the signatures is over.
    Expired,
    /// The time of the signatures has not come.
    Early,
    /// The time of the signatures is nearly over.
    Ending,
    /// And the zone above does not say so.
    NoDs,
    /// And the zone above vouches for another key.
    OtherDs,
    /// And then a record was changed.
    Altered,
    /// No, but the zone above says so.
    Stripped,
}

/// A zone below `test`.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) name: &'static str,
    /// What `test` says of it, as `@`; empty for nothing.
    pub(crate) delegation: String,
    /// The text at the first server, and at the second; none where it does not have the zone.
    pub(crate) texts: [Option<String>; 2],
    pub(crate) signed: Signed,
}

/// Two servers in the zone, as both sides say.
pub(crate) const BOTH: &str = "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.30.1.1\n";

/// A zone's text: SOA, and these lines.
pub(crate) fn text(serial: u32, lines: &str) -> String {
    format!("$TTL 3600\n@ SOA ns1 hostmaster {serial} 7200 3600 604800 300\n{lines}")
}

impl Zone {
    /// A zone as it should be, but for what is changed.
    pub(crate) fn good(name: &'static str) -> Self {
        let text = text(1, &format!("{BOTH}@ A 5.6.7.8\nwww A 5.6.7.8\n"));
        let texts = [Some(text.clone()), Some(text)];
        Self { name, delegation: BOTH.into(), texts, signed: Signed::No }
    }

    /// The same text at both servers.
    pub(crate) fn lines(mut self, lines: &str) -> Self {
        let text = text(1, lines);
        self.texts = [Some(text.clone()), Some(text)];
        self
    }

    pub(crate) fn delegated(mut self, delegation: &str) -> Self {
        self.delegation = delegation.into();
        self
    }

    pub(crate) fn second(mut self, text: Option<String>) -> Self {
        self.texts[1] = text;
        self
    }

    pub(crate) fn signed(mut self, signed: Signed) -> Self {
        self.signed = signed;
        self
    }
}

/// The servers, up.
pub(crate) struct Lab {
    pub(crate) port: u16,
    /// The DS records of the root, as text.
    pub(crate) anchors: String,
    _servers: Vec<Server>,
    /// Takes questions at an address, and answers none.
    _silent: UdpSocket,
    _dir: TempDir,
}

impl Lab {
    /// With these zones below `test`, and with these lines in it.
    pub(crate) fn start(zones: &[Zone], more: &str) -> Self {
        Self::start_at(free_port(&[ROOT, TLD, FIRST, SECOND, SILENT]), zones, more)
    }

    /// The same on this port.
    pub(crate) fn start_at(port: u16, zones: &[Zone], more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("tracegate-lab-").tempdir().unwrap();
        let keys = Keys { dir: dir.path().join("keys") };
        fs::create_dir(&keys.dir).unwrap();
        let mut tld = format!(
            "$TTL 3600\n@ SOA ns.test. hostmaster 1 7200 3600 604800 300\n@ NS ns\nns A {TLD}\n{more}"
        );
        let mut leaves: [BTreeMap<String, String>; 2] = Default::default();
        for zone in zones {
            let origin = format!("{}.test", zone.name);
            writeln!(tld, "$ORIGIN {origin}.\n{}$ORIGIN test.", zone.delegation).unwrap();
            let (texts, ds) = keys.zone(&origin, zone);
            for record in ds.lines() {
                writeln!(tld, "{record}").unwrap();
            }
            for (leaf, text) in leaves.iter_mut().zip(texts) {
                if let Some(text) = text {
                    leaf.insert(origin.clone(), text);
                }
            }
        }
        let (tld, ds) = keys.sign("test", &tld, &["-3", "-"]);
        let root = format!(
            "$TTL 3600\n@ SOA ns.root. hostmaster.root. 1 7200 3600 604800 300\n@ NS ns.root.\n\
             ns.root. A {ROOT}\n8.7.6.5.in-addr.arpa. PTR www.good.test.\n\
             77.7.6.5.in-addr.arpa. PTR www.good.test.\ntest NS ns.test.\nns.test. A {TLD}\n{ds}"
        );
        let (root, anchors) = keys.sign(".", &root, &[]);
        let [first, second] = leaves;
        let one = |name: &str, text: String| BTreeMap::from([(name.to_owned(), text)]);
        let servers = vec![
            knot(dir.path(), ROOT, port, &one(".", root)),
            nsd(dir.path(), TLD, port, &one("test", tld)),
            bind(dir.path(), FIRST, port, &first),
            nsd(dir.path(), SECOND, port, &second),
        ];
        let up = [(ROOT, "."), (TLD, "test"), (FIRST, "good.test"), (SECOND, "good.test")];
        for ((address, zone), server) in up.into_iter().zip(&servers) {
            answering((address, port).into(), zone, &server.log);
        }
        let silent = UdpSocket::bind((SILENT, port)).unwrap();
        Self { port, anchors, _servers: servers, _silent: silent, _dir: dir }
    }
}

fn free_port(addresses: &[Ipv4Addr]) -> u16 {
    loop {
        let port = crate::dns_client::free_port();
        let free = |a: &Ipv4Addr| UdpSocket::bind((*a, port)).is_ok();
        if addresses.iter().all(free) {
            return port;
        }
    }
}

fn answering(server: SocketAddr, zone: &str, log: &Path) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    eventually(&format!("{server} serves {zone}"), || {
        socket.send_to(&ask(zone, 6).wire(), server).unwrap();
        let mut buffer = [0; 4_096];
        let len = socket.recv(&mut buffer).ok();
        if len.is_none() && std::env::var_os("TRACEGATE_TEST_LOG").is_some() {
            eprintln!("{}", fs::read_to_string(log).unwrap_or_default());
        }
        let len = len?;
        // NOERROR with an answer.
        (len > 12 && buffer[3] & 0xf == 0 && buffer[7] > 0).then_some(())
    });
}

/// Keys and signatures by BIND's tools.
struct Keys {
    dir: PathBuf,
}

impl Keys {
    fn run(&self, program: &str, args: &[&str]) -> String {
        let done = Command::new(program)
            .args(args)
            .current_dir(&self.dir)
            .env("PATH", PATH)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{program} {args:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// What each server has of a zone, and what the zone above says of its keys.
    fn zone(&self, origin: &str, zone: &Zone) -> ([Option<String>; 2], String) {
        if zone.signed == Signed::No {
            return (zone.texts.clone(), String::new());
        }
        let plain = zone.texts[0].clone().unwrap();
        let past = ["-P", "-s", "20260101000000", "-e", "20260201000000"];
        let future = ["-P", "-s", "20400101000000", "-e", "20400201000000"];
        let ending = ["-P", "-e", "now+100000"];
        let options: &[&str] = match zone.signed {
            Signed::Expired => &past,
            Signed::Early => &future,
            Signed::Ending => &ending,
            Signed::Nsec3 => &["-3", "-"],
            _ => &[],
        };
        let algorithm = if zone.signed == Signed::Rsa { "RSASHA256" } else { "ECDSAP256SHA256" };
        let (mut signed, mut ds) = self.sign_by(algorithm, origin, &plain, options);
        match zone.signed {
            Signed::NoDs => ds.clear(),
            Signed::OtherDs => ds = self.ds(origin, &self.keys(algorithm, origin)[0]),
            Signed::Altered => signed = signed.replace("5.6.7.8", "5.6.7.9"),
            Signed::Stripped => signed = plain,
            _ => {}
        }
        let texts = [Some(signed.clone()), zone.texts[1].as_ref().map(|_| signed)];
        (texts, ds)
    }

    /// A new key for signing keys and one for signing the rest.
    fn keys(&self, algorithm: &str, zone: &str) -> [String; 2] {
        let make = |more: &[&str]| {
            let args = [&["-q", "-a", algorithm], more, &[zone]].concat();
            self.run("dnssec-keygen", &args).trim().to_owned()
        };
        [make(&["-f", "KSK"]), make(&[])]
    }

    fn ds(&self, zone: &str, key: &str) -> String {
        let ds = self.run("dnssec-dsfromkey", &["-2", key]);
        assert!(ds.contains(" DS "), "{zone}: {ds}");
        ds
    }

    /// The text signed with new keys, and its DS record.
    fn sign(&self, zone: &str, text: &str, options: &[&str]) -> (String, String) {
        self.sign_by("ECDSAP256SHA256", zone, text, options)
    }

    fn sign_by(
        &self,
        algorithm: &str,
        zone: &str,
        text: &str,
        options: &[&str],
    ) -> (String, String) {
        let [ksk, zsk] = self.keys(algorithm, zone);
        let file = format!("zone-{}", zone.replace('.', "_"));
        let absolute = if zone == "." { ".".to_owned() } else { format!("{zone}.") };
        fs::write(self.dir.join(&file), format!("$ORIGIN {absolute}\n{text}")).unwrap();
        for key in [&ksk, &zsk] {
            let record = fs::read_to_string(self.dir.join(format!("{key}.key"))).unwrap();
            let mut all = fs::read_to_string(self.dir.join(&file)).unwrap();
            all.push_str(&format!("\n$ORIGIN .\n{record}"));
            fs::write(self.dir.join(&file), all).unwrap();
        }
        let out = format!("{file}.signed");
        let args =
            [options, &["-q", "-O", "full", "-o", zone, "-f", &out, "-k", &ksk, &file, &zsk]];
        self.run("dnssec-signzone", &args.concat());
        let signed = fs::read_to_string(self.dir.join(out)).unwrap();
        (signed, self.ds(zone, &ksk))
    }
}

/// A directory for a server, with its zones' files in it: name and file.
fn home(
    dir: &Path,
    name: &str,
    zones: &BTreeMap<String, String>,
) -> (PathBuf, Vec<(String, String)>) {
    let dir = dir.join(name);
    fs::create_dir(&dir).unwrap();
    let mut files = Vec::new();
    for (at, (zone, text)) in zones.iter().enumerate() {
        let origin = if zone == "." { ".".to_owned() } else { format!("{zone}.") };
        let file = format!("zone{at}");
        fs::write(dir.join(&file), format!("$ORIGIN {origin}\n{text}")).unwrap();
        files.push((zone.clone(), file));
    }
    (dir, files)
}

/// A server and where it says why.
struct Server {
    _process: Process,
    log: PathBuf,
}

fn started(program: &str, args: &[&str], dir: &Path) -> Server {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).env("PATH", PATH);
    let log = dir.join("log");
    Server { _process: Process::start(&mut command, &log), log }
}

fn knot(dir: &Path, address: Ipv4Addr, port: u16, zones: &BTreeMap<String, String>) -> Server {
    let (dir, files) = home(dir, "knot", zones);
    let at = dir.display();
    let mut config = format!(
        "server:\n  listen: {address}@{port}\n  rundir: {at}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\ndatabase:\n  storage: {at}/db\n  journal-db-max-size: 20M\n  \
         kasp-db-max-size: 20M\n  timer-db-max-size: 1M\nzone:\n"
    );
    for (zone, file) in files {
        writeln!(config, "  - domain: {zone}\n    file: {at}/{file}\n    zonefile-sync: -1")
            .unwrap();
    }
    fs::create_dir(dir.join("db")).unwrap();
    fs::write(dir.join("knot.conf"), config).unwrap();
    started("knotd", &["-c", "knot.conf"], &dir)
}

fn nsd(dir: &Path, address: Ipv4Addr, port: u16, zones: &BTreeMap<String, String>) -> Server {
    let (dir, files) = home(dir, &format!("nsd-{address}"), zones);
    let at = dir.display();
    let mut config = format!(
        "server:\n  ip-address: {address}@{port}\n  username: \"\"\n  chroot: \"\"\n  database: \"\"\n  \
         zonesdir: \"{at}\"\n  pidfile: \"{at}/pid\"\n  xfrdfile: \"{at}/xfrd\"\n  xfrdir: \"{at}\"\n  \
         zonelistfile: \"{at}/zone.list\"\n  server-count: 1\n  minimal-responses: no\n\
         remote-control:\n  control-enable: no\n"
    );
    for (zone, file) in files {
        writeln!(config, "zone:\n  name: \"{zone}\"\n  zonefile: \"{at}/{file}\"").unwrap();
    }
    fs::write(dir.join("nsd.conf"), config).unwrap();
    started("nsd", &["-d", "-c", "nsd.conf"], &dir)
}

fn bind(dir: &Path, address: Ipv4Addr, port: u16, zones: &BTreeMap<String, String>) -> Server {
    let (dir, files) = home(dir, "bind", zones);
    let at = dir.display();
    let mut config = format!(
        "options {{\n  directory \"{at}\";\n  listen-on port {port} {{ {address}; }};\n  \
         listen-on-v6 {{ none; }};\n  pid-file none;\n  session-keyfile none;\n  recursion no;\n  \
         dnssec-validation no;\n  notify no;\n  check-names primary ignore;\n  \
         check-integrity no;\n  minimal-responses no;\n}};\ncontrols {{ }};\n"
    );
    for (zone, file) in files {
        writeln!(config, "zone \"{zone}\" {{ type primary; file \"{at}/{file}\"; }};").unwrap();
    }
    fs::write(dir.join("named.conf"), config).unwrap();
    started("named", &["-g", "-n", "1", "-c", "named.conf"], &dir)
}
