//! The DNS side by itself: spool, resolver and listeners, without the rest of the server; a client
//! of few lines; and the records read back out of the spool.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message},
    serialize::binary::BinEncodable,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;
use tracegate::{
    clock::Clock,
    config::{self, FullPolicy, UpstreamMode, Zone},
    listener::{Bound, Dns, Parts},
    metrics::Metrics,
    policy::InForce,
    record::{PublicSuffixes, Table, rowbinary::Reader},
    resolver::{self, Resolver},
    spool::{self, Spool},
};

use crate::harness::{DEADLINE, eventually};

/// The zone every test has.
pub(crate) const ZONE: &str = "\
$ORIGIN front.test.
$TTL 300
@     IN SOA ns hostmaster 1 3600 600 86400 60
@     IN NS  ns
ns    IN A   192.0.2.1
www   IN A   192.0.2.80
www   IN AAAA 2001:db8::80
alias IN CNAME www
";

/// The DNS side while it serves.
pub(crate) struct Front {
    _dir: TempDir,
    runtime: Runtime,
    spool: Spool,
    dns: Option<Dns>,
    /// Maintains the spool until it is told to end.
    upkeep: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
    pub(crate) metrics: Arc<Metrics>,
    /// The rules in force.
    pub(crate) in_force: InForce,
    /// The first address served.
    pub(crate) address: SocketAddr,
    /// Every address served.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What a record says of a resolution, as far as the tests look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) transport: String,
    pub(crate) flags: u32,
    pub(crate) cache: String,
    pub(crate) qname: String,
    pub(crate) qtype: u16,
    pub(crate) rcode: u16,
    pub(crate) ede: Vec<u16>,
    pub(crate) answers: Vec<IpAddr>,
    pub(crate) action: String,
    pub(crate) rule: String,
    pub(crate) feed_version: String,
}

/// What was left in the spool after a stop.
pub(crate) struct Left {
    pub(crate) resolutions: Vec<Kept>,
    /// Rows counted in gap rows.
    pub(crate) shed: u64,
}

/// The configuration the tests change.
pub(crate) struct Settings {
    pub(crate) dns: config::Dns,
    pub(crate) spool: config::Spool,
    pub(crate) rules: config::Policy,
}

impl Front {
    pub(crate) fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::Builder::new().prefix("tracegate-it-").tempdir().unwrap();
        fs::write(dir.path().join("front.zone"), ZONE).unwrap();
        let mut settings = Settings {
            dns: config::Dns::default(),
            spool: config::Spool::default(),
            rules: config::Policy::default(),
        };
        settings.dns.listen = vec!["127.0.0.1:0".parse().unwrap()];
        settings.dns.udp_threads = 2;
        settings.dns.zone_root = dir.path().into();
        settings.dns.zones = vec![Zone { name: "front.test".into(), file: "front.zone".into() }];
        settings.dns.upstream.mode = UpstreamMode::Off;
        settings.spool.segment_bytes_max = 1 << 20;
        settings.spool.batch_bytes_max = 64 << 10;
        settings.spool.frame_bytes_max = 256 << 10;
        settings.spool.shared_segment_bytes_max = 1 << 20;
        settings.spool.disk_free_bytes_min = 0;
        change(&mut settings);
        Self::with(dir, settings)
    }

    fn with(dir: TempDir, settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (clock, metrics, in_force) = (Clock::system(), Metrics::new(), InForce::new());
        let bound = Bound::new(&settings.dns).unwrap();
        let dns = config::Dns { listen: bound.addresses(), ..settings.dns };
        let node: tracegate::record::NodeName = "it".parse().unwrap();
        let on_full = settings.spool.on_full.clone();
        let (spool, recovery) = Spool::open(spool::Options {
            dir: dir.path().join("spool"),
            node: node.clone(),
            config: settings.spool,
            clock: clock.clone(),
        })
        .unwrap();
        recovery.finish().unwrap();
        let inside = runtime.enter();
        let (resolver, reports) = Resolver::new(resolver::Options {
            dns: dns.clone(),
            rules: settings.rules,
            in_force: in_force.clone(),
            node,
            on_full,
            suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            runtime: runtime.handle().clone(),
            tasks: TaskTracker::new(),
        })
        .unwrap();
        assert!(reports.iter().all(|r| r.problem.is_none()), "{reports:?}");
        let parts = Parts {
            config: &dns,
            spool: &spool,
            shared: spool.shared(Table::Resolutions).unwrap(),
            resolver,
            clock,
            metrics: Arc::clone(&metrics),
            runtime: runtime.handle().clone(),
        };
        let served = Dns::start(bound, parts).unwrap();
        drop(inside);
        let addresses = served.addresses().to_vec();
        Self {
            _dir: dir,
            runtime,
            spool: spool.clone(),
            dns: Some(served),
            upkeep: Some(upkeep(spool)),
            metrics,
            in_force,
            address: addresses[0],
            addresses,
        }
    }

    /// Stops within `grace`, while `meanwhile` runs.
    pub(crate) fn stop_while(mut self, grace: Duration, meanwhile: impl FnOnce()) -> Left {
        let dns = self.dns.take().unwrap();
        let stopping = self.runtime.spawn(dns.stop(grace));
        meanwhile();
        self.runtime.block_on(stopping).unwrap().unwrap();
        self.left()
    }

    pub(crate) fn stop(self) -> Left {
        self.stop_while(DEADLINE, || ())
    }

    /// Reads everything back once all frames are closed.
    fn left(mut self) -> Left {
        let (end, thread) = self.upkeep.take().unwrap();
        drop(end);
        thread.join().unwrap();
        self.spool.close().unwrap();
        let mut left = Left { resolutions: Vec::new(), shed: 0 };
        for frame in self.spool.frames() {
            let rows = self.spool.read(&frame).unwrap();
            let mut rows = Reader(&rows);
            while !rows.is_empty() {
                match frame.table {
                    Table::Resolutions => left.resolutions.push(resolution(&mut rows)),
                    Table::Gaps => left.shed += gap(&mut rows),
                    other => panic!("rows of {other}"),
                }
            }
        }
        left
    }

    /// The sum of a counter over its labels.
    pub(crate) fn count(&self, name: &str) -> u64 {
        sum(&self.metrics, name)
    }

    /// Waits until a counter has this value.
    #[track_caller]
    pub(crate) fn counted(&self, name: &str, expected: u64) {
        eventually(&format!("{name} = {expected}, is {}", self.count(name)), || {
            (self.count(name) == expected).then_some(())
        });
    }
}

/// The sum of a counter over its labels.
pub(crate) fn sum(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.render();
    let lines = text
        .lines()
        .filter(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    lines.map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// A thread that maintains the spool until the sender is dropped.
fn upkeep(spool: Spool) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (end, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        while ended.recv_timeout(Duration::from_millis(100)) == Err(mpsc::RecvTimeoutError::Timeout)
        {
            spool.maintain();
        }
    });
    (end, thread)
}

fn text(r: &mut Reader<'_>) -> String {
    String::from_utf8(r.bytes().unwrap().to_vec()).unwrap()
}

fn address(r: &mut Reader<'_>) -> SocketAddr {
    let ip = IpAddr::V6(r.ip().unwrap()).to_canonical();
    SocketAddr::new(ip, r.u16().unwrap())
}

fn head(r: &mut Reader<'_>) {
    assert_eq!(text(r), "it");
    r.u64().unwrap();
    r.u64().unwrap();
    r.ts().unwrap();
}

fn data(r: &mut Reader<'_>) {
    for _ in 0..r.len().unwrap() {
        text(r);
        r.u16().unwrap();
        r.u32().unwrap();
        text(r);
    }
}

/// The count of a gap row.
fn gap(r: &mut Reader<'_>) -> u64 {
    head(r);
    assert_eq!(text(r), "resolutions");
    r.u64().unwrap();
    r.u64().unwrap();
    let count = r.u64().unwrap();
    assert_eq!(text(r), "exact");
    r.ts().unwrap();
    r.ts().unwrap();
    text(r);
    text(r);
    count
}

fn resolution(r: &mut Reader<'_>) -> Kept {
    head(r);
    let client = address(r);
    assert_eq!(text(r), "", "client_key");
    let server = address(r);
    let transport = text(r);
    let flags = r.u32().unwrap();
    r.u32().unwrap();
    r.u32().unwrap();
    let cache = text(r);
    assert_eq!((r.u64().unwrap(), r.u64().unwrap()), (0, 0), "flow");
    text(r);
    let qname = text(r);
    let (qtype, _class, rcode) = (r.u16().unwrap(), r.u16().unwrap(), r.u16().unwrap());
    let ede = (0..r.len().unwrap()).map(|_| r.u16().unwrap()).collect();
    let answers =
        (0..r.len().unwrap()).map(|_| IpAddr::V6(r.ip().unwrap()).to_canonical()).collect();
    for _ in 0..r.len().unwrap() {
        text(r);
    }
    data(r);
    data(r);
    let [_upstream, _dnssec, action, rule, _feed, feed_version, _psl]: [String; 7] =
        std::array::from_fn(|_| text(r));
    Kept {
        client,
        server,
        transport,
        flags,
        cache,
        qname,
        qtype,
        rcode,
        ede,
        answers,
        action,
        rule,
        feed_version,
    }
}

/// Default settings with every stream's policy for a full spool being `full`.
pub(crate) fn small_spool(settings: &mut Settings, full: FullPolicy) {
    settings.spool.segment_bytes_max = 256 << 10;
    settings.spool.shared_segment_bytes_max = 256 << 10;
    settings.spool.frame_bytes_max = 64 << 10;
    settings.spool.batch_bytes_max = 32 << 10;
    settings.spool.disk_bytes_max = 2 << 20;
    settings.spool.on_full.resolutions = full;
}

/// EDNS as a query carries it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Opt {
    pub(crate) payload: u16,
    pub(crate) nsid: bool,
}

/// A query with recursion desired.
pub(crate) fn query(id: u16, name: &str, qtype: u16, opt: Option<Opt>) -> Vec<u8> {
    let mut q = id.to_be_bytes().to_vec();
    q.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
    for label in name.split('.') {
        q.push(label.len() as u8);
        q.extend(label.as_bytes());
    }
    q.push(0);
    q.extend(qtype.to_be_bytes());
    q.extend([0, 1]);
    if let Some(opt) = opt {
        q.extend([0, 0, 41]);
        q.extend(opt.payload.to_be_bytes());
        q.extend([0, 0, 0, 0]);
        q.extend(if opt.nsid { &[0, 4, 0, 3, 0, 0][..] } else { &[0, 0] });
    }
    q
}

/// A client's socket, whose receives end.
pub(crate) fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Asks over UDP and waits for the answer.
#[track_caller]
pub(crate) fn ask(from: &UdpSocket, to: SocketAddr, query: &[u8]) -> Vec<u8> {
    from.send_to(query, to).unwrap();
    let mut buf = [0; 65_535];
    let (len, source) = from.recv_from(&mut buf).unwrap();
    assert_eq!(source, to, "a reply from another address");
    assert_eq!(buf[..2], query[..2], "the answer to another query");
    buf[..len].to_vec()
}

/// Everything that waits at a socket.
pub(crate) fn waiting(at: &UdpSocket) -> Vec<Vec<u8>> {
    at.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    let mut buf = [0; 65_535];
    loop {
        match at.recv(&mut buf) {
            Ok(len) => all.push(buf[..len].to_vec()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => panic!("{e}"),
        }
    }
    at.set_nonblocking(false).unwrap();
    all
}

/// A response that another implementation can read.
#[track_caller]
pub(crate) fn parsed(wire: &[u8]) -> Message {
    Message::from_vec(wire).unwrap()
}

/// The extended errors of a response.
pub(crate) fn ede(edns: Option<&Edns>) -> Vec<u16> {
    options(edns, 15).into_iter().map(|d| u16::from_be_bytes([d[0], d[1]])).collect()
}

/// The data of all options of one code.
pub(crate) fn options(edns: Option<&Edns>, code: u16) -> Vec<Vec<u8>> {
    let all = edns.into_iter().flat_map(|e| &e.options().options);
    all.filter(|(c, _)| u16::from(*c) == code).map(|(_, o)| o.try_into().unwrap()).collect()
}

/// An upstream of the tests' own.
pub(crate) struct Upstream {
    socket: UdpSocket,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self { socket: client("127.0.0.1") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Makes a front ask this upstream.
    pub(crate) fn configure(&self, dns: &mut config::Dns) {
        dns.upstream.mode = UpstreamMode::Forward;
        dns.upstream.servers = vec![self.address()];
    }

    /// Waits for a question.
    pub(crate) fn question(&self) -> (Vec<u8>, SocketAddr) {
        let mut buf = [0; 4_096];
        let (len, from) = self.socket.recv_from(&mut buf).unwrap();
        (buf[..len].to_vec(), from)
    }

    /// Answers a question with one address.
    pub(crate) fn answer(&self, question: &(Vec<u8>, SocketAddr)) {
        let (query, to) = question;
        let asked = parsed(query);
        let end = 12 + asked.queries[0].name().to_bytes().unwrap().len() + 4;
        let mut response = query[..end].to_vec();
        response[2..4].copy_from_slice(&[0x81, 0x80]);
        response[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 7]);
        self.socket.send_to(&response, to).unwrap();
    }
}
