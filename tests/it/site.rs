//! Gateway, API, links, resolver and spool in this process, on ports of the kernel's choice.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracegate::{
    api::{ApiParts, ApiState, Check, Hosts, router, trace_routes},
    clock::{Clock, Timestamp},
    config::{Config, UpstreamMode, Zone},
    feeds::{By, Feeds, FeedsOptions, NewAppeal, Protected, SqliteFeeds, source::Files},
    gateway::{
        Gateway, GatewayParts, Lanes, WalkParts, Walker, is_listed,
        notice::{Keys, Notices},
    },
    links::{
        Codes, LinkStore, Links, LinksOptions, OutboundKeys, Secrets, SqliteLinks, TargetRules,
        Tokens, restore,
    },
    listener::http::{Certificates, GatewayThread, HttpLimits, TlsListener, bind, serve_api},
    metrics::Metrics,
    policy::InForce,
    record::{NodeName, PublicSuffixes, Table, rowbinary::Reader},
    reports::{self, AppealAsked, ReportStore, Reports, ReportsOptions, SqliteReports},
    resolver::{self, Resolver},
    spool::{self, Spool},
    trace::{Parts, ShortUrls, Tracer},
    verify::{Book, Verdicts, Verifier, VerifierOptions, data::Data, here::Here},
    webhooks::Signer,
};

use crate::{described, harness::DEADLINE};

/// The time at which every site begins; its clock stands still until a test moves it.
pub(crate) const BEGIN: Timestamp = Timestamp::from_secs(1_900_000_000);

/// What signs pages and step-ups.
pub(crate) const NOTICE_KEYS: Keys = Keys { current: [1; 32], previous: None, step_up: [2; 32] };

const ZONE: &str = "\
$ORIGIN demo.test.
$TTL 300
@    IN SOA ns hostmaster 1 3600 600 86400 60
@    IN NS  ns
ns   IN A   192.0.2.53
www  IN A   192.0.2.80
www  IN AAAA 2001:db8::80
self IN A   127.0.0.1
back IN CNAME self
";

/// A running site.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) links: Arc<Links>,
    pub(crate) gateway: SocketAddr,
    /// Where certificates were configured.
    pub(crate) gateway_tls: Option<SocketAddr>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) api: SocketAddr,
    /// The operator's secret.
    pub(crate) operator: String,
    pub(crate) metrics: Arc<Metrics>,
    spool: Spool,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    tasks: TaskTracker,
    runtime: Runtime,
    resolver: Arc<Resolver>,
    config: Config,
    pub(crate) in_force: InForce,
}

/// The control database and the spool of a directory, recovered, and the links over both.
pub(crate) fn open_links(
    dir: &Path,
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    listening: &[SocketAddr],
    wrap: impl FnOnce(SqliteLinks) -> Arc<dyn LinkStore>,
) -> (Spool, Arc<Links>) {
    open_links_under(&InForce::new(), dir, config, clock, metrics, listening, wrap)
}

/// The same under rules.
fn open_links_under(
    in_force: &InForce,
    dir: &Path,
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    listening: &[SocketAddr],
    wrap: impl FnOnce(SqliteLinks) -> Arc<dyn LinkStore>,
) -> (Spool, Arc<Links>) {
    let node: NodeName = "it".parse().unwrap();
    let options = spool::Options {
        dir: dir.join("spool"),
        node,
        config: config.spool.clone(),
        clock: clock.clone(),
    };
    let (spool, mut recovery) = Spool::open(options).unwrap();
    let store = SqliteLinks::open(&dir.join("control.sqlite"), 2).unwrap();
    let restored = restore(&store, &mut recovery).unwrap();
    recovery.finish().unwrap();
    store.forget(&restored).unwrap();
    let key = Secrets::open(dir).unwrap().load_or_make("codes.key").unwrap();
    let links = Links::new(LinksOptions {
        store: wrap(store),
        lane: spool.shared(Table::Conversions).unwrap(),
        codes: Codes::new(&key, config.gateway.code_length),
        rules: TargetRules::new(&config.gateway, listening),
        is_listed: {
            let (in_force, clock) = (in_force.clone(), clock.clone());
            Box::new(move |target| is_listed(&in_force, target, clock.now()))
        },
        serves: Box::new(|host| host.ends_with("demo.test")),
        suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
        gateway: config.gateway.clone(),
        batch_bytes_max: config.spool.batch_bytes_max as usize,
    });
    let keys = dir.join("secrets/outbound.keys");
    let keys = OutboundKeys::open_or_make(&keys).unwrap();
    let links = links.unwrap().with_outbound(Arc::new(keys));
    (spool, Arc::new(links.with_owner_links_max(config.api.limits.owner_links_max)))
}

/// Answers questions where there is no store to ask: every page fails, every look is recorded.
fn storeless_tracer(
    spool: &Spool,
    links: &Arc<Links>,
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Tracer {
    let store = Arc::clone(links.store());
    Tracer::new(Parts {
        client: clickhouse::Client::default().with_url("http://127.0.0.1:1"),
        external: false,
        spool: spool.clone(),
        node: "it".parse().unwrap(),
        clock: clock.clone(),
        limits: config.trace.clone(),
        short_urls: ShortUrls::default(),
        known: Box::new(move |code| store.current(code).is_ok_and(|link| link.is_some())),
        suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
        metrics: Arc::clone(metrics),
    })
    .unwrap()
}

/// Feeds of a directory below `dir`, with lists from files below `dir/lists`.
#[expect(clippy::too_many_arguments, reason = "what a server has at hand")]
fn open_feeds(
    dir: &Path,
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    spool: &Spool,
    in_force: &InForce,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Arc<Feeds> {
    let suffixes = Arc::new(PublicSuffixes::load(None).unwrap());
    let place = dir.join("feeds");
    std::fs::create_dir(&place).unwrap();
    let store = SqliteFeeds::open(&place.join("policy.sqlite"), 2).unwrap();
    let options = FeedsOptions {
        config: config.feeds.clone(),
        dir: place,
        store: Arc::new(store),
        spool: spool.clone(),
        spool_bytes_max: config.spool.disk_bytes_max,
        node: "it".parse().unwrap(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
        in_force: in_force.clone(),
        protected: Protected::new(Arc::clone(&suffixes)),
        suffixes,
        source: Arc::new(Files::new(&config.feeds, Clock::system())),
        servers_known: true,
        warns: false,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    Feeds::open(options).unwrap()
}

/// The desk of reports over a database in `dir`; appeals are those of `feeds`.
fn verifier(dir: &Path, config: &Config, spool: &Spool, clock: &Clock) -> Arc<Verifier> {
    let parts = VerifierOptions {
        config: config.verify.clone(),
        lane: spool.shared(Table::Verifications).unwrap(),
        evidence: spool.shared(Table::Evidence).unwrap(),
        node: "it".parse().unwrap(),
        suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
        registries: None,
        book: Arc::new(Book::open(&dir.join("verify.sqlite3"), 100).unwrap()),
        verdicts: Arc::new(Verdicts::new(16, 16)),
        data: Arc::new(Data::load(&config.verify.data).unwrap()),
        protected: Arc::default(),
        here: Here::default(),
        policy_version: String::new(),
        clock: clock.clone(),
    };
    Arc::new(Verifier::new(parts).unwrap())
}

fn open_desk(
    dir: &Path,
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    spool: &Spool,
    feeds: &Arc<Feeds>,
) -> Arc<Reports> {
    let node: NodeName = "it".parse().unwrap();
    let store: Arc<dyn ReportStore> =
        Arc::new(SqliteReports::open(&dir.join("reports.sqlite"), &node).unwrap());
    let feeds = Arc::clone(feeds);
    let open_appeal = move |asked: &AppealAsked<'_>| {
        let new = NewAppeal {
            feed: String::new(),
            what: asked.what.to_owned(),
            claimant: asked.number.to_owned(),
        };
        let by = By { reason: asked.number.to_owned(), ..By::default() };
        let opened = feeds.open_appeal(&new, &by);
        opened.map(|a| a.id).map_err(|e| reports::Error::Appeal(e.to_string()))
    };
    Arc::new(Reports::new(ReportsOptions {
        config: config.gateway.reports.clone(),
        store,
        lane: spool.shared(Table::Reports).unwrap(),
        node,
        key: [3; 32],
        open_appeal: Box::new(open_appeal),
        suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    }))
}

impl Site {
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(change, Vec::new())
    }

    #[expect(clippy::too_many_lines, reason = "every part in the order of the data")]
    pub(crate) fn start_with(change: impl FnOnce(&mut Config), checks: Vec<Check>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.gateway.threads = 2;
        config.gateway.targets.special_hosts = vec!["demo.test".into()];
        config.spool.segment_bytes_max = 1 << 20;
        config.spool.shared_segment_bytes_max = 1 << 20;
        config.spool.frame_bytes_max = 256 << 10;
        config.spool.batch_bytes_max = 64 << 10;
        config.spool.disk_free_bytes_min = 0;
        config.dns.zone_root = dir.path().join("zones");
        config.dns.upstream.mode = UpstreamMode::Off;
        config.dns.zones = vec![Zone { name: "demo.test".into(), file: "demo.zone".into() }];
        std::fs::create_dir(&config.dns.zone_root).unwrap();
        std::fs::write(config.dns.zone_root.join("demo.zone"), ZONE).unwrap();
        config.feeds.roots = vec![dir.path().join("lists")];
        std::fs::create_dir(dir.path().join("lists")).unwrap();
        change(&mut config);

        let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
        let any = "127.0.0.1:0".parse().unwrap();
        let (mut sockets, api) =
            (bind(any, config.gateway.threads).unwrap(), bind(any, 1).unwrap().pop().unwrap());
        let gateway_address = sockets[0].local_addr().unwrap();
        let api_address = api.local_addr().unwrap();
        let listening = [gateway_address, api_address];
        let in_force = InForce::new();
        let (spool, links) =
            open_links_under(&in_force, dir.path(), &config, &clock, &metrics, &listening, |s| {
                Arc::new(s)
            });

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let tasks = TaskTracker::new();
        let (resolver, reports) = {
            let _inside = runtime.enter();
            Resolver::new(resolver::Options {
                dns: config.dns.clone(),
                rules: config.policy.clone(),
                in_force: in_force.clone(),
                node: "it".parse().unwrap(),
                on_full: config.spool.on_full.clone(),
                suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
                metrics: Arc::clone(&metrics),
                clock: clock.clone(),
                runtime: runtime.handle().clone(),
                tasks: tasks.clone(),
            })
            .unwrap()
        };
        assert_eq!(reports.len(), config.dns.zones.len());
        let stop = CancellationToken::new();
        let feeds = {
            let _inside = runtime.enter();
            open_feeds(dir.path(), &config, &clock, &metrics, &spool, &in_force, &tasks, &stop)
        };
        let desk = open_desk(dir.path(), &config, &clock, &metrics, &spool, &feeds);
        let gateway = Gateway::new(GatewayParts {
            config: config.gateway.clone(),
            rules: config.policy.clone(),
            listening: vec![gateway_address],
            in_force: in_force.clone(),
            notices: Notices::open(&config.gateway, &config.policy.blocked_by, NOTICE_KEYS)
                .unwrap(),
            suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
            on_full: config.spool.on_full.clone(),
            links: Arc::clone(&links),
            resolver: Arc::clone(&resolver),
            reports: Some(Arc::clone(&desk)),
            verdicts: Arc::new(Verdicts::new(16, 16)),
            acme: None,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        });
        let limits = HttpLimits::gateway(&config.gateway);
        let mut threads = Vec::new();
        let (certificates, tls, mut tls_sockets) = match &config.gateway.certificates[..] {
            [] => (None, None, Vec::new()),
            files => {
                let certificates = Certificates::load(files, None).unwrap();
                let tls = certificates.server_config().unwrap();
                (Some(certificates), Some(tls), bind(any, config.gateway.threads).unwrap())
            }
        };
        let gateway_tls = tls_sockets.first().map(|s| s.local_addr().unwrap());
        for (worker, listener) in (0u16..).zip(sockets.drain(..)) {
            let thread = GatewayThread {
                listener: Some(listener),
                tls: tls
                    .clone()
                    .and_then(|config| Some(TlsListener { listener: tls_sockets.pop()?, config })),
                gateway: Arc::clone(&gateway),
                lanes: Lanes {
                    jumps: spool.lane(Table::Jumps, worker).unwrap(),
                    resolutions: spool.lane(Table::Resolutions, worker + 1000).unwrap(),
                    notices: spool.lane(Table::Notices, worker).unwrap(),
                },
                limits: limits.clone(),
                clock: clock.clone(),
                metrics: Arc::clone(&metrics),
                stop: stop.clone(),
                grace: Duration::from_secs(5),
            };
            threads.push(thread::spawn(move || thread.run().unwrap()));
        }
        let tracer = storeless_tracer(&spool, &links, &config, &clock, &metrics);
        let secrets = Secrets::open(dir.path()).unwrap();
        let tokens =
            Tokens::open(Arc::clone(links.store()), &secrets, clock.clone(), config.api.tokens_max)
                .unwrap();
        let in_files = config.gateway.certificates.clone();
        let state = ApiState::new(ApiParts {
            certificates: Box::new(move || tracegate::gateway::acme::in_files(&in_files)),
            hosts: Hosts::new(&config.api),
            links: Arc::clone(&links),
            short_url_base: format!("http://{gateway_address}/"),
            feeds,
            reports: desk,
            verifier: verifier(dir.path(), &config, &spool, &clock),
            tasks: tasks.clone(),
            tokens: Arc::new(tokens),
            webhooks: config.webhooks.clone(),
            signer: Arc::new(Signer::new([3; 32])),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            checks,
            reload_zones: {
                let resolver = Arc::clone(&resolver);
                Box::new(move || resolver.reload_zones())
            },
            config: config.api.clone(),
        });
        let serving = serve_api(
            api,
            router(state, trace_routes(tracer)),
            HttpLimits::api(&config.api),
            clock.clone(),
            stop.clone(),
            Duration::from_secs(5),
        );
        let handle = runtime.handle().clone();
        threads.push(thread::spawn(move || handle.block_on(serving).unwrap()));
        let operator = std::fs::read_to_string(secrets.path("operator.token")).unwrap();
        let operator = operator.trim().to_owned();
        Self {
            dir,
            clock,
            links,
            gateway: gateway_address,
            gateway_tls,
            certificates,
            api: api_address,
            operator,
            metrics,
            spool,
            stop,
            threads,
            tasks,
            runtime,
            resolver,
            config,
            in_force,
        }
    }

    /// Starts to walk along the redirects of targets.
    pub(crate) fn walk(&self) {
        let walker = Walker::new(WalkParts {
            config: self.config.gateway.clone(),
            listening: vec![self.gateway],
            public: Vec::new(),
            in_force: self.in_force.clone(),
            suffixes: Arc::new(PublicSuffixes::load(None).unwrap()),
            links: Arc::clone(&self.links),
            resolver: Arc::clone(&self.resolver),
            lane: self.spool.shared(Table::Hops).unwrap(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
        });
        self.tasks.spawn_on(walker.unwrap().run(self.stop.clone()), self.runtime.handle());
    }

    /// A request to the gateway on a connection of its own.
    pub(crate) fn visit(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let host = self.gateway.to_string();
        let mut all = vec![("Host", host.as_str())];
        all.extend(headers);
        ask(self.gateway, method, path, &all, "")
    }

    /// A GET of a visitor at another address of loopback.
    pub(crate) fn get_from(&self, client: [u8; 4], path: &str) -> Reply {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
        socket.connect(&self.gateway.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.gateway);
        ask_over(stream, "GET", path, request.as_bytes())
    }

    /// A request to the API with a token.
    pub(crate) fn call(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let host = self.api.to_string();
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Host", host.as_str()), ("Authorization", &bearer)];
        if !body.is_empty() || method == "POST" {
            headers.push(("Content-Type", "application/json"));
        }
        ask(self.api, method, path, &headers, body)
    }

    /// Makes a link; its code.
    pub(crate) fn link(&self, target: &str) -> String {
        let body = serde_json::json!({ "target": target }).to_string();
        let reply = self.call(&self.operator, "POST", "/api/v1/links", &body);
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json()["code"].as_str().unwrap().to_owned()
    }

    /// Drains everything; every record kept, by table.
    pub(crate) fn stop(self) -> Records {
        self.stop.cancel();
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.tasks.close();
        self.runtime.block_on(self.tasks.wait());
        drop(self.links);
        self.spool.maintain();
        self.spool.close().unwrap();
        records(&self.spool)
    }
}

/// Records by table, each as the JSON of its row, in the order of lane and seq.
pub(crate) struct Records(BTreeMap<&'static str, Vec<Value>>);

impl Records {
    pub(crate) fn of(&self, table: Table) -> &[Value] {
        self.0.get(table.name()).map_or(&[], Vec::as_slice)
    }

    /// One column of a table.
    pub(crate) fn column(&self, table: Table, column: &str) -> Vec<String> {
        let rows = self.of(table).iter();
        rows.map(|r| r[column].as_str().map_or_else(|| r[column].to_string(), str::to_owned))
            .collect()
    }
}

/// Everything in closed frames.
pub(crate) fn records(spool: &Spool) -> Records {
    let mut all: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for frame in spool.frames() {
        let bytes = spool.read(&frame).unwrap();
        let mut rest = Reader(&bytes);
        while !rest.is_empty() {
            let row = frame.schema.read_json(&mut rest).unwrap();
            all.entry(frame.table.name()).or_default().push(Value::Object(row));
        }
    }
    Records(all)
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, v) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let cut = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..cut]).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no response: {head:?}"));
        let body = bytes.get(cut + 4..).unwrap_or_default();
        let mut reply = Self { status, head, body: String::new() };
        let chunked = reply.header("transfer-encoding").is_some_and(|t| t == "chunked");
        let body = if chunked { whole(body) } else { body.to_vec() };
        reply.body = String::from_utf8_lossy(&body).into_owned();
        reply
    }
}

/// A body without the sizes of its chunks, as far as it arrived.
fn whole(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&chunks[..end]).ok();
        let size = size.and_then(|s| usize::from_str_radix(s.trim(), 16).ok()).unwrap_or(0);
        let rest = &chunks[end + 2..];
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        if size == 0 {
            break;
        }
        chunks = rest.get(size + 2..).unwrap_or_default();
    }
    body
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// One request on a connection of its own.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    text += body;
    ask_over(connect(address), method, path, text.as_bytes())
}

/// One request as its bytes, on this connection.
fn ask_over(mut stream: TcpStream, method: &str, path: &str, request: &[u8]) -> Reply {
    // A server that refuses early may close before it has read everything.
    let sent = stream.write_all(request);
    let mut reply = Vec::new();
    let read = stream.read_to_end(&mut reply);
    assert!(!reply.is_empty(), "no response: {sent:?} {read:?}");
    let reply = Reply::parse(&reply);
    described::check(method, path, &reply);
    reply
}
