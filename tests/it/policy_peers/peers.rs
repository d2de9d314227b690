//! Three resolvers of others with the same zones, and ours, asked the same way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hickory_proto::op::Message;
use tempfile::TempDir;
use tracegate::{
    config::UpstreamMode,
    feeds::format::{Format, Options, Origin, Place, Reason, Sink, parse},
    name::Name,
    policy::{Extras, FeedInForce, FeedSettings, Index, IndexBuilder, PolicySet, Rule},
};

use super::world;
use crate::{dns_client::free_port, dns_front::Front, forward::Upstream, harness::eventually};

/// A policy zone: its name and its rules, an entry a line, owners below the zone.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub(super) name: &'static str,
    pub(super) rules: Vec<String>,
}

impl Zone {
    /// As a zone file: with an SOA, an NS that every server takes, and a rule to see that it is in
    /// force by.
    fn text(&self) -> String {
        let Self { name, rules } = self;
        format!(
            "$TTL 60\n$ORIGIN {name}.\n@ SOA localhost. h.localhost. 1 3600 600 86400 60\n\
             @ NS localhost.\n{}.loaded.zz CNAME .\n{}\n",
            name,
            rules.join("\n")
        )
    }
}

/// One question from one client.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: String,
    pub(super) qtype: u16,
    pub(super) client: Ipv4Addr,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.qtype)?;
        if self.client == Ipv4Addr::LOCALHOST { Ok(()) } else { write!(f, " @{}", self.client) }
    }
}

/// What a party says: as text, so that tables can hold it. AA, TTLs and the sections behind the
/// answer are left out.
pub(super) type Said = String;

/// The parties, all running.
pub(super) struct Parties {
    dir: TempDir,
    children: Vec<Child>,
    front: Option<Front>,
    _upstream: Upstream,
    /// By name.
    pub(super) at: BTreeMap<&'static str, SocketAddr>,
}

impl Parties {
    /// Starts ours and these with these zones, and sees that each zone is in force everywhere.
    pub(super) fn start(zones: &[Zone], others: &[&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let upstream = world::upstream();
        for zone in zones {
            fs::write(dir.path().join(format!("{}.zone", zone.name)), zone.text()).unwrap();
        }
        let mut all = Self {
            children: Vec::new(),
            front: Some(ours(zones, upstream.address)),
            at: BTreeMap::new(),
            _upstream: upstream,
            dir,
        };
        let (dir, up) = (all.dir.path().to_owned(), all._upstream.address);
        let ours = all.front.as_ref().map(|f| f.address).unwrap();
        all.at.insert("tracegate", ours);
        for other in others {
            let command = match *other {
                "bind" => bind,
                "unbound" => unbound,
                "recursor" => recursor,
                other => panic!("who is {other}?"),
            };
            all.run(other, |port| command(&dir, zones, port, up));
        }
        for (party, at) in &all.at {
            for zone in zones {
                let name = format!("{}.loaded.zz", zone.name);
                let question = Question { name, qtype: 1, client: Ipv4Addr::LOCALHOST };
                eventually(&format!("{party} has loaded {}", zone.name), || {
                    let said = ask_all(*at, std::slice::from_ref(&question), 1);
                    (said[0] == "NXDOMAIN").then_some(())
                });
            }
        }
        all
    }

    fn run(&mut self, name: &'static str, command: impl FnOnce(u16) -> Command) {
        let port = free_port();
        let log = File::create(self.dir.path().join(format!("{name}.log"))).unwrap();
        let mut command = command(port);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap_or_else(|e| panic!("{name}: {e}")));
        self.at.insert(name, (Ipv4Addr::LOCALHOST, port).into());
    }

    /// What each party says to each question.
    pub(super) fn ask(&self, questions: &[Question]) -> BTreeMap<&'static str, Vec<Said>> {
        std::thread::scope(|scope| {
            let asking: Vec<_> = self
                .at
                .iter()
                .map(|(party, at)| (*party, scope.spawn(|| ask_all(*at, questions, 3))))
                .collect();
            asking.into_iter().map(|(party, t)| (party, t.join().unwrap())).collect()
        })
    }
}

impl Drop for Parties {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
        if let Some(front) = self.front.take() {
            front.stop();
        }
    }
}

/// Where Debian has its servers.
fn program(name: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(name);
    if sbin.exists() { sbin } else { name.into() }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn bind(dir: &Path, zones: &[Zone], port: u16, up: SocketAddr) -> Command {
    let list: String = zones.iter().map(|z| format!("zone \"{}\"; ", z.name)).collect();
    let files: String = zones
        .iter()
        .map(|z| format!("zone \"{0}\" {{ type primary; file \"{0}.zone\"; }};\n", z.name))
        .collect();
    let conf = format!(
        "options {{ directory \"{}\"; pid-file none; session-keyfile none; \
         listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes; \
         allow-recursion {{ any; }}; dnssec-validation no; forward only; empty-zones-enable no; \
         forwarders port {} {{ 127.0.0.1; }}; \
         response-policy {{ {list} }} break-dnssec yes qname-wait-recurse no; }};\n\
         controls {{ }};\n{files}",
        dir.display(),
        up.port()
    );
    let conf = write(dir, "named.conf", &conf);
    let mut command = Command::new(program("named"));
    command.args(["-g", "-4", "-n", "1", "-c"]).arg(conf);
    command
}

fn unbound(dir: &Path, zones: &[Zone], port: u16, up: SocketAddr) -> Command {
    let d = dir.display();
    let list: String = zones
        .iter()
        .map(|z| format!("rpz:\n name: \"{0}.\"\n zonefile: \"{d}/{0}.zone\"\n", z.name))
        .collect();
    let conf = format!(
        "server:\n num-threads: 1\n interface: 127.0.0.1@{port}\n port: {port}\n do-ip6: no\n \
         username: \"\"\n chroot: \"\"\n directory: \"{d}\"\n pidfile: \"{d}/unbound.pid\"\n \
         use-syslog: no\n do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n \
         module-config: \"respip iterator\"\n\
         remote-control:\n control-enable: no\n{list}\
         forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{}\n",
        up.port()
    );
    let conf = write(dir, "unbound.conf", &conf);
    let mut command = Command::new(program("unbound"));
    command.arg("-d").arg("-c").arg(conf);
    command
}

fn recursor(dir: &Path, zones: &[Zone], port: u16, up: SocketAddr) -> Command {
    let d = dir.display();
    let lua: String = zones
        .iter()
        .map(|z| format!("rpzFile(\"{d}/{0}.zone\", {{ policyName=\"{0}\" }})\n", z.name))
        .collect();
    let lua = write(dir, "recursor.lua", &lua);
    let mut command = Command::new(program("pdns_recursor"));
    command.args([
        "--config-dir=/nonexistent".to_owned(),
        format!("--lua-config-file={}", lua.display()),
        format!("--local-address=127.0.0.1:{port}"),
        format!("--forward-zones-recurse=.=127.0.0.1:{}", up.port()),
        format!("--socket-dir={d}"),
        "--threads=1".into(),
        "--dnssec=off".into(),
        "--quiet=yes".into(),
        "--daemon=no".into(),
        "--security-poll-suffix=".into(),
        "--loglevel=4".into(),
        "--disable-syslog=yes".into(),
        "--disable-packetcache=yes".into(),
        "--dont-query=".into(),
        "--allow-from=127.0.0.0/8".into(),
    ]);
    command
}

/// Ours, with the same zone texts read by the parser of feeds.
fn ours(zones: &[Zone], up: SocketAddr) -> Front {
    let front = Front::start(|s| {
        s.dns.upstream.mode = UpstreamMode::Forward;
        s.dns.upstream.servers = vec![up];
        s.dns.rate_limit.responses_per_second = 0;
    });
    let feeds = zones.iter().map(|zone| {
        let mut rules = Rules(Index::builder());
        let options = Options {
            origin: Origin::Feed(Name::from_text(zone.name).unwrap()),
            ..Options::default()
        };
        parse(Format::Rpz, &mut zone.text().as_bytes(), &options, &mut rules).unwrap();
        // As BIND is set, and the others are made.
        let settings = FeedSettings { ..FeedSettings::default() };
        Arc::new(FeedInForce {
            name: zone.name.into(),
            version: 1,
            index: Arc::new(rules.0.finish()),
            settings,
            closed: false,
        })
    });
    front.in_force.swap(Arc::new(PolicySet::new(1, feeds.collect(), Extras::default())));
    front
}

struct Rules(IndexBuilder);

impl Sink for Rules {
    fn rule(&mut self, _: Place<'_>, rule: Rule) {
        self.0.add(&rule);
    }

    fn reject(&mut self, at: Place<'_>, reason: Reason) {
        panic!("{}: {reason}", String::from_utf8_lossy(at.text));
    }
}

/// Questions asked at once.
const BATCH: usize = 32;
/// How long the last of them is waited for.
const PATIENCE: Duration = Duration::from_millis(700);

/// What the server at `to` says; silence is asked again, `tries` times in all.
fn ask_all(to: SocketAddr, questions: &[Question], tries: usize) -> Vec<Said> {
    let mut said = vec![String::new(); questions.len()];
    for _ in 0..tries {
        let open: Vec<usize> = (0..questions.len()).filter(|i| said[*i].is_empty()).collect();
        for batch in open.chunks(BATCH) {
            let mut sockets: BTreeMap<Ipv4Addr, (UdpSocket, usize)> = BTreeMap::new();
            for i in batch {
                let q = &questions[*i];
                let (socket, asked) = sockets.entry(q.client).or_insert_with(|| {
                    let socket = UdpSocket::bind((q.client, 0)).unwrap();
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    (socket, 0)
                });
                let wire = crate::dns_front::query(
                    u16::try_from(*i).unwrap(),
                    &q.name,
                    q.qtype,
                    Some(crate::dns_front::Opt { payload: 1232, nsid: false }),
                );
                // Nobody there yet is no answer.
                if socket.send_to(&wire, to).is_ok() {
                    *asked += 1;
                }
            }
            for (socket, asked) in sockets.values() {
                let mut buf = [0; 4096];
                for _ in 0..*asked {
                    let Ok(len) = socket.recv(&mut buf) else { break };
                    let m = Message::from_vec(&buf[..len]).unwrap();
                    said[usize::from(m.id)] = words(&m);
                }
            }
        }
    }
    said.into_iter().map(|s| if s.is_empty() { "silence".into() } else { s }).collect()
}

/// A response as text: the code, TC, and the answer section in order of its words.
fn words(m: &Message) -> Said {
    let mut text = match u16::from(m.response_code) {
        0 => "NOERROR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        n => format!("rcode {n}"),
    };
    if m.truncation {
        text += " TC";
    }
    let asked = m.queries.first().map(|q| q.name().to_string().to_lowercase());
    let records: BTreeSet<String> = m
        .answers
        .iter()
        .map(|r| {
            let owner = r.name.to_string().to_lowercase();
            let owner = if Some(&owner) == asked.as_ref() { "@".to_owned() } else { owner };
            format!(" {owner} {} {}", r.record_type(), r.data.to_string().to_lowercase())
        })
        .collect();
    text + &records.into_iter().collect::<String>()
}
