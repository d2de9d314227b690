//! A spool, the real engine, and between them a proxy that breaks things on command.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Frame, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracegate::{
    clock::Clock,
    config::{self, Durability, FullPolicy},
    metrics::Metrics,
    record::{NodeName, Resolution, ResolutionTail, Table},
    spool::{self, Commit, Spool},
    store::{Shipper, Store},
};

use crate::{
    engine::{Engine, limits},
    store::connect,
};

/// What the proxy does to one INSERT into `resolutions`.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Closes the connection; the engine sees nothing.
    Refuse,
    /// Hands on half of the body and breaks off on both sides.
    CutBody,
    /// Hands all on and closes the connection instead of answering.
    CloseBeforeReply,
    /// Answers with this exception; the engine sees nothing.
    Exception(u16),
    /// Hands all on and answers with this exception.
    ExceptionAfter(u16),
    /// Hands all on and answers too late.
    Late(Duration),
}

/// The proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<VecDeque<Fault>>>,
    /// INSERTs seen.
    pub(crate) inserts: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// A body with these bytes is refused for good.
pub(crate) const POISON: &[u8] = b"poison.example";

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

#[derive(Clone)]
struct Link {
    to: SocketAddr,
    client: Client<HttpConnector, Body>,
    script: Arc<Mutex<VecDeque<Fault>>>,
    inserts: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::<Mutex<VecDeque<Fault>>>::default();
        let inserts = Arc::<AtomicUsize>::default();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let link = Link { to, client, script: Arc::clone(&script), inserts: Arc::clone(&inserts) };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let link = link.clone();
                connections.spawn(async move {
                    let service = service_fn(move |r| link.clone().serve(r));
                    // A connection that a fault closed ends with an error.
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Self { address, script, inserts, _tasks: tasks }
    }

    /// The faults of the next INSERTs; none after the last.
    pub(crate) fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().unwrap().extend(faults);
    }
}

/// The service's error closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on command")]
struct Closed;

impl Link {
    async fn serve(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
        let mut fault = Fault::None;
        if query.contains("query=INSERT+INTO+resolutions") {
            self.inserts.fetch_add(1, Ordering::SeqCst);
            fault = self.script.lock().unwrap().pop_front().unwrap_or(Fault::None);
            if body.windows(POISON.len()).any(|w| w == POISON) {
                fault = Fault::Exception(117);
            }
        }
        match fault {
            Fault::None => self.forward(parts, body, false).await,
            Fault::Refuse => Err(Closed),
            Fault::CutBody => {
                self.forward(parts, body, true).await.ok();
                Err(Closed)
            }
            Fault::CloseBeforeReply => {
                self.forward(parts, body, false).await?;
                Err(Closed)
            }
            Fault::Exception(code) => Ok(exception(code)),
            Fault::ExceptionAfter(code) => {
                self.forward(parts, body, false).await?;
                Ok(exception(code))
            }
            Fault::Late(delay) => {
                let reply = self.forward(parts, body, false).await;
                tokio::time::sleep(delay).await;
                reply
            }
        }
    }

    async fn forward(
        &self,
        mut parts: http::request::Parts,
        body: Bytes,
        cut: bool,
    ) -> Result<Response<Full<Bytes>>, Closed> {
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        parts.uri = format!("http://{}{path}", self.to).parse().unwrap();
        let half = body.slice(..body.len() / 2);
        let body = if cut {
            parts.headers.remove(http::header::CONTENT_LENGTH);
            let stream = futures_util::stream::iter([
                Ok(Frame::data(half)),
                Err(std::io::Error::other("cut on command")),
            ]);
            StreamBody::new(stream).boxed()
        } else {
            Full::new(body).map_err(|e: Infallible| match e {}).boxed()
        };
        let reply = self.client.request(Request::from_parts(parts, body)).await;
        let (parts, body) = reply.map_err(|_| Closed)?.into_parts();
        let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
        let mut reply = Response::from_parts(parts, Full::new(body));
        reply.headers_mut().remove(http::header::TRANSFER_ENCODING);
        Ok(reply)
    }
}

fn exception(code: u16) -> Response<Full<Bytes>> {
    let text = format!("Code: {code}. DB::Exception: on command. (TEST)");
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    reply
}

/// All of it together.
pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) proxy: Proxy,
    pub(crate) store: Store,
    pub(crate) spool: Spool,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) node: NodeName,
    dir: tempfile::TempDir,
    worker: u16,
    /// Rows pushed to `resolutions`.
    pub(crate) pushed: u64,
}

pub(crate) fn open_spool(dir: &Path, node: &NodeName, clock: &Clock) -> Spool {
    let config = config::Spool {
        segment_bytes_max: 1 << 20,
        shared_segment_bytes_max: 64 << 10,
        frame_rows_max: 100,
        frame_bytes_max: 60 << 10,
        batch_bytes_max: 32 << 10,
        frame_age_ms_max: 50,
        disk_free_bytes_min: 0,
        ..config::Spool::default()
    };
    let options =
        spool::Options { dir: dir.to_owned(), node: node.clone(), config, clock: clock.clone() };
    let (spool, recovery) = Spool::open(options).unwrap();
    recovery.finish().unwrap();
    spool
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(Clock::system(), |_| {}).await
    }

    pub(crate) async fn with(clock: Clock, change: impl FnOnce(&mut config::Store)) -> Self {
        // Killed often in some tests, it need not pause long.
        let engine = Engine::with(config::Engine { restart_pause_ms_max: 200, ..limits() }).await;
        let dir = tempfile::tempdir().unwrap();
        let proxy = Proxy::start(engine.endpoint.address).await;
        let mut config = config::Store {
            shipment_rows_max: 300,
            shipment_age_ms_max: 20,
            insert_timeout_ms: 5_000,
            backoff_ms_max: 200,
            node_interval_ms: 200,
            unlisted_attempts_max: 3,
            ..config::Store::default()
        };
        change(&mut config);
        let store = connect(&engine, Some(&format!("http://{}", proxy.address)), &config);
        let node: NodeName = "lab".parse().unwrap();
        let spool = open_spool(&dir.path().join("spool"), &node, &clock);
        let metrics = Metrics::new();
        let (worker, pushed) = (0, 0);
        Self { engine, proxy, store, spool, clock, metrics, node, dir, worker, pushed }
    }

    /// Keeps `frames` frames of 100 resolutions of `qname`, in a lane of their own.
    pub(crate) fn push(&mut self, frames: u64, qname: &str) {
        self.push_slowly(frames, qname, Duration::ZERO);
    }

    /// The same, with `pause` on a fixed clock in the middle of each frame.
    pub(crate) fn push_slowly(&mut self, frames: u64, qname: &str, pause: Duration) {
        let mut lane = self.spool.lane(Table::Resolutions, self.worker).unwrap();
        self.worker += 1;
        let address = "192.0.2.1".parse().unwrap();
        let tail = ResolutionTail {
            registrable_domain: qname.to_owned(),
            qname: qname.to_owned(),
            qtype: 1,
            qclass: 1,
            answers: vec![address],
            dnssec: "not_evaluated",
            ..ResolutionTail::default()
        };
        let tail = tail.encode();
        let row = Resolution {
            client: "198.51.100.7:5000".parse().unwrap(),
            client_key: "",
            server: "127.0.0.1:53".parse().unwrap(),
            transport: "udp",
            flags: 0x8180,
            latency_us: 50,
            min_ttl: 60,
            cache: "hit",
            flow: tracegate::record::Flow::NONE,
            tail: &tail,
        };
        for batch in 0..frames * 2 {
            if batch % 2 == 1 {
                self.clock.advance(pause);
            }
            for _ in 0..50 {
                lane.push(&row, FullPolicy::Refuse);
            }
            assert_eq!(lane.commit(), Commit::Kept);
        }
        lane.close().unwrap();
        self.pushed += frames * 100;
    }

    pub(crate) fn shipper(&self) -> Shipper {
        Shipper::new(
            self.spool.clone(),
            self.store.clone(),
            self.node.clone(),
            Durability::Written,
            Arc::clone(&self.metrics),
            self.clock.clone(),
        )
    }

    /// Ships until `done`, then drains and stops.
    pub(crate) async fn ship_until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(self.shipper().run(cancel.clone()));
        let limit = crate::harness::DEADLINE;
        let waited = tokio::time::timeout(limit, async {
            while !done(self) {
                self.clock.advance(Duration::from_millis(20));
                let spool = self.spool.clone();
                tokio::task::spawn_blocking(move || spool.maintain()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what}: {:?}", self.spool.stats()));
        cancel.cancel();
        let ended = tokio::time::timeout(limit, tasks.join_next()).await;
        ended.expect("the shipper ends").unwrap().unwrap().unwrap();
    }

    /// Whether every resolution was acknowledged.
    pub(crate) fn all_shipped(&self) -> bool {
        // In this order: a frame that goes from waiting to open meanwhile is seen, twice at most.
        let frames = self.spool.frames();
        let open = self.spool.open_shipments().into_iter().flat_map(|s| s.frames);
        let waiting = frames.into_iter().chain(open);
        !waiting.into_iter().any(|f| f.table == Table::Resolutions)
    }

    /// Begins a shipment of everything, which is sent as `sent` tells and never acknowledged; then
    /// our process dies and starts again.
    pub(crate) async fn leave_open(&mut self, sent: impl Fn(Vec<u8>) -> Vec<u8>) {
        self.store.prepare(Durability::Written).await.unwrap();
        let frames = self.spool.frames();
        let rows = frames.iter().flat_map(|f| self.spool.read(f).unwrap()).collect();
        let schema = frames[0].schema;
        let shipment = self.spool.begin_shipment(frames).unwrap();
        let rows = vec![sent(rows).into()];
        self.store.insert(Table::Resolutions, schema, &shipment.token, rows).await.unwrap();
        self.reopen();
        assert_eq!(self.spool.open_shipments(), [shipment]);
    }

    /// Ends the spool without a drain and opens it again, as after a crash.
    pub(crate) fn reopen(&mut self) {
        let empty = open_spool(&self.dir.path().join("empty"), &self.node, &self.clock);
        drop(std::mem::replace(&mut self.spool, empty));
        self.spool = open_spool(&self.dir.path().join("spool"), &self.node, &self.clock);
    }

    /// The store has every resolution once and nothing else; so have the views.
    pub(crate) async fn assert_exactly_once(&self) {
        let pushed = self.pushed;
        assert_eq!(self.count("count() FROM resolutions").await, pushed, "rows");
        assert_eq!(self.count("uniqExact(lane, seq) FROM resolutions").await, pushed, "ids");
        assert_eq!(self.count("sum(count) FROM passive_dns").await, pushed, "by name");
        assert_eq!(self.count("sum(count) FROM passive_dns_by_data").await, pushed, "by data");
    }

    /// The value of a measure without labels; none before it was first set.
    pub(crate) fn gauge(&self, name: &str) -> Option<String> {
        let measures = self.metrics.render();
        let line = |l: &str| Some(l.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
        measures.lines().find_map(line)
    }

    pub(crate) async fn count(&self, what: &str) -> u64 {
        let sql = format!("SELECT {what}");
        self.store.client().query_raw(&sql).fetch_one().await.unwrap()
    }
}
