//! What the DNS tests share: questions as bytes, and responses read by another implementation.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_proto::op::Message;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;
use tracegate::{
    clock::{Clock, Timestamp},
    config::{Dns, OnFull, Policy, Upstream, UpstreamMode, Zone},
    metrics::Metrics,
    name::Name,
    policy::InForce,
    record::{
        Flow, Head, LaneId, PublicSuffixes, Resolution, Row, SchemaId, Table, rowbinary::Reader,
    },
    resolver::{
        Answered, Context, Error, Options, Resolver, Step, Transport, ZoneReport,
        query::{self, Parsed, Query},
    },
};

/// A question as it goes over the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) name: &'a str,
    pub(crate) qtype: u16,
    pub(crate) qclass: u16,
    pub(crate) rd: bool,
    pub(crate) cd: bool,
    /// The payload, DO and NSID; none for no EDNS.
    pub(crate) edns: Option<(u16, bool, bool)>,
}

/// A question with recursion desired and EDNS.
pub(crate) fn ask(name: &str, qtype: u16) -> Ask<'_> {
    Ask { name, qtype, qclass: 1, rd: true, cd: false, edns: Some((4096, false, false)) }
}

impl Ask<'_> {
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut w = vec![0x12, 0x34, u8::from(self.rd), u8::from(self.cd) << 4, 0, 1, 0, 0, 0, 0];
        w.extend([0, u8::from(self.edns.is_some())]);
        w.extend(Name::from_text(self.name).unwrap().wire());
        w.extend(self.qtype.to_be_bytes());
        w.extend(self.qclass.to_be_bytes());
        if let Some((payload, do_bit, nsid)) = self.edns {
            w.extend([0, 0, 41]);
            w.extend(payload.to_be_bytes());
            w.extend([0, 0, u8::from(do_bit) << 7, 0]);
            w.extend(if nsid { &[0, 4, 0, 3, 0, 0][..] } else { &[0, 0] });
        }
        w
    }

    pub(crate) fn query(&self) -> Query {
        match query::parse(&self.wire()) {
            Parsed::Query(q) => q,
            other => panic!("{self:?} is no query: {other:?}"),
        }
    }
}

/// A resolver, and what it needs to live.
pub(crate) struct Fixture {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) reports: Vec<ZoneReport>,
    pub(crate) runtime: Runtime,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: Arc<Metrics>,
    /// The rules in force.
    pub(crate) in_force: InForce,
    /// Holds the zone files.
    pub(crate) dir: TempDir,
    began: Instant,
}

/// A response and what would be recorded of it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) wire: Vec<u8>,
    pub(crate) message: Message,
    pub(crate) answered: Answered,
}

impl Got {
    /// The row that would be recorded, as JSON.
    pub(crate) fn row(&self) -> serde_json::Value {
        let local: SocketAddr = (Ipv4Addr::LOCALHOST, 53).into();
        let resolution = Resolution {
            client: local,
            client_key: "",
            server: local,
            transport: "udp",
            flags: self.answered.flags,
            latency_us: 0,
            min_ttl: self.answered.min_ttl,
            cache: self.answered.cache,
            flow: Flow::NONE,
            tail: &self.answered.tail,
        };
        let node = "test".parse().unwrap();
        let head = Head { node: &node, lane: LaneId(0), seq: 0, ts: Timestamp::ZERO };
        let mut row = Vec::new();
        resolution.encode(&head, &mut row);
        let read = SchemaId::newest(Table::Resolutions).read_json(&mut Reader(&row)).unwrap();
        serde_json::Value::Object(read)
    }

    /// The codes of its extended errors.
    pub(crate) fn ede(&self) -> Vec<u16> {
        options(&self.message, 15).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
    }
}

/// The data of every EDNS option of this code.
pub(crate) fn options(message: &Message, code: u16) -> impl Iterator<Item = Vec<u8>> {
    let all = message.edns.iter().flat_map(|e| e.options().options.iter());
    all.filter(move |(c, _)| u16::from(*c) == code).map(|(_, o)| Vec::<u8>::try_from(o).unwrap())
}

/// A resolver for `zones` (apex and text), asking `servers`.
pub(crate) fn fixture(
    zones: &[(&str, &str)],
    servers: &[SocketAddr],
    change: impl FnOnce(&mut Dns),
) -> Fixture {
    try_fixture(zones, servers, change).unwrap()
}

pub(crate) fn try_fixture(
    zones: &[(&str, &str)],
    servers: &[SocketAddr],
    change: impl FnOnce(&mut Dns),
) -> Result<Fixture, Error> {
    fixture_under(zones, servers, Policy::default(), change)
}

/// A resolver that enforces rules in this way.
pub(crate) fn fixture_under(
    zones: &[(&str, &str)],
    servers: &[SocketAddr],
    rules: Policy,
    change: impl FnOnce(&mut Dns),
) -> Result<Fixture, Error> {
    let dir = tempfile::tempdir().unwrap();
    let mut dns = Dns { zone_root: dir.path().into(), ..Dns::default() };
    for (name, text) in zones {
        let file = format!("{name}.zone");
        std::fs::write(dir.path().join(&file), text).unwrap();
        dns.zones.push(Zone { name: (*name).into(), file: file.into() });
    }
    dns.upstream = Upstream {
        mode: if servers.is_empty() { UpstreamMode::Off } else { UpstreamMode::Forward },
        servers: servers.to_vec(),
        timeout_ms: 5_000,
        ..Upstream::default()
    };
    change(&mut dns);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tasks = TaskTracker::new();
    let (clock, metrics, in_force) = (Clock::system(), Metrics::new(), InForce::new());
    let (resolver, reports) = {
        let _inside = runtime.enter();
        Resolver::new(Options {
            dns,
            rules,
            in_force: in_force.clone(),
            node: "test-node".parse().unwrap(),
            on_full: OnFull::default(),
            suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            runtime: runtime.handle().clone(),
            tasks: tasks.clone(),
        })?
    };
    let began = clock.monotonic();
    Ok(Fixture { resolver, reports, runtime, tasks, metrics, in_force, dir, began })
}

impl Fixture {
    pub(crate) fn context(&self, transport: Transport, later: Duration) -> Context {
        Context {
            client: (Ipv4Addr::LOCALHOST, 4242).into(),
            transport,
            now: Clock::system().now(),
            now_mono: Clock::system().monotonic() + later,
        }
    }

    /// Asks over UDP, waiting for upstream where due.
    pub(crate) fn get(&self, ask: &Ask<'_>) -> Got {
        self.get_by(ask, Transport::Udp, Duration::ZERO)
    }

    /// Asks as if `later` had gone by.
    pub(crate) fn get_by(&self, ask: &Ask<'_>, transport: Transport, later: Duration) -> Got {
        assert!(self.began <= Clock::system().monotonic());
        let (q, mut wire) = (ask.query(), Vec::new());
        let answered = match self.resolver.answer(&q, &self.context(transport, later), &mut wire) {
            Step::Done(answered) => answered,
            Step::Ask(pending) => {
                let done = self.runtime.block_on(self.resolver.resolve(*pending));
                wire = done.wire;
                done.answered
            }
        };
        let message = Message::from_vec(&wire).unwrap();
        assert_eq!((message.id, message.queries.len()), (0x1234, 1));
        Got { wire, message, answered }
    }
}

/// A port of 127.0.0.1 that is free for UDP and TCP.
pub(crate) fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
