//! Questions outside our zones, asked of other resolvers.
//!
//! hickory's `NameServerPool` picks the server, retries over TCP after a truncated answer and
//! keeps connections. It turns negative answers and failures into errors that lose their bytes.
//! Therefore every connection is wrapped ([`Traced`]): the wrapper takes the raw answer, notes who
//! gave it, and hands the pool either a message that the pool passes on as it is, or, for an
//! answer that another server may improve (SERVFAIL, REFUSED, ...), an error that carries the
//! bytes. What leaves this module is bytes and provenance alone.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use hickory_net::{
    DnsError, NetError, NoRecords,
    runtime::TokioRuntimeProvider,
    xfer::{DnsExchange, DnsHandle},
};
use hickory_proto::{
    op::{
        DnsRequest, DnsRequestOptions, DnsResponse, Edns, Message, Query as Question, ResponseCode,
    },
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{NULL, TXT},
    },
};
use hickory_resolver::{
    ConnectionProvider, NameServerPool, PoolContext, TlsConfig,
    config::{
        ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts, ServerOrderingStrategy,
    },
};

use super::{Error, query::Query};
use crate::config;

/// What an upstream sent, and who it was.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The whole message.
    pub wire: Vec<u8>,
    /// `transport://address:port`.
    pub from: String,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody answered in time.
    Timeout,
    /// Talking to every upstream failed.
    Network,
    /// Nobody sent anything that can be parsed.
    Malformed,
}

/// The upstreams.
pub(crate) struct Upstreams {
    pool: NameServerPool<Traced>,
    timeout: Duration,
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Attempts that the whole wait is shared among: a dead server must leave time for the others.
const ATTEMPTS: u32 = 3;

/// Questions at once on one connection to an upstream.
const CONNECTION_ACTIVE_MAX: usize = 1_024;

/// The EDNS payload we offer to upstreams, in bytes.
const PAYLOAD: u16 = 1_232;

impl Upstreams {
    /// The upstreams of the configuration, or of `resolv.conf`.
    ///
    /// # Errors
    /// When there is none, or when one of them is ourselves (`own`).
    pub(crate) fn new(config: &config::Upstream, own: &[SocketAddr]) -> Result<Self, Error> {
        let servers = match config.servers.as_slice() {
            [] => system_servers(config)?,
            servers => servers.to_vec(),
        };
        if let Some(server) = servers.iter().find(|s| is_own(**s, own)) {
            return Err(Error::Loop(*server));
        }
        let timeout = Duration::from_millis(config.timeout_ms);
        let mut options = ResolverOpts::default();
        options.timeout = timeout;
        options.num_concurrent_reqs = 1;
        options.max_active_requests = CONNECTION_ACTIVE_MAX;
        options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
        let tls = TlsConfig::new().map_err(|e| Error::Upstream(e.to_string().into()))?;
        let traced = Traced {
            inner: TokioRuntimeProvider::new(),
            attempt: if servers.len() > 1 { timeout / ATTEMPTS } else { timeout },
        };
        let pool = NameServerPool::from_config(
            servers.into_iter().map(name_server),
            Arc::new(PoolContext::new(options, tls)),
            traced,
        );
        Ok(Self { pool, timeout })
    }

    /// Asks. Ends after the configured wait at the latest.
    pub(crate) async fn ask(&self, q: &Query) -> Result<Received, Failure> {
        let Some(request) = request(q) else { return Err(Failure::Malformed) };
        let answer = self.pool.send(request);
        let first = async { answer.into_future().await.0 };
        match tokio::time::timeout(self.timeout, first).await {
            Err(_) | Ok(None | Some(Err(NetError::Timeout))) => Err(Failure::Timeout),
            Ok(Some(Ok(response))) => received(response).ok_or(Failure::Malformed),
            Ok(Some(Err(NetError::Dns(DnsError::NoRecordsFound(carrier))))) => {
                carried(&carrier).ok_or(Failure::Malformed)
            }
            Ok(Some(Err(NetError::Proto(_)))) => Err(Failure::Malformed),
            Ok(Some(Err(_))) => Err(Failure::Network),
        }
    }
}

fn system_servers(config: &config::Upstream) -> Result<Vec<SocketAddr>, Error> {
    let path = &config.resolv_conf;
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::ResolvConf { path: path.as_path().into(), source })?;
    let mut servers: Vec<SocketAddr> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver")
            && let Some(Ok(ip)) = words.next().map(str::parse)
            && !servers.contains(&SocketAddr::new(ip, 53))
        {
            servers.push(SocketAddr::new(ip, 53));
        }
    }
    if servers.is_empty() { Err(Error::NoUpstream(path.as_path().into())) } else { Ok(servers) }
}

fn is_own(server: SocketAddr, own: &[SocketAddr]) -> bool {
    let same = |a: IpAddr, b: IpAddr| a.to_canonical() == b.to_canonical();
    own.iter().any(|o| {
        o.port() == server.port()
            && (same(o.ip(), server.ip()) || (o.ip().is_unspecified() && server.ip().is_loopback()))
    })
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    // Lets the pool go on after what `carrier` makes; real negative answers never look like it.
    config.trust_negative_responses = false;
    for c in &mut config.connections {
        c.port = server.port();
    }
    config
}

/// The question as we ask it: recursion desired, our own payload, the client's DO and CD.
fn request(q: &Query) -> Option<DnsRequest> {
    let mut message = Message::query();
    let name = Name::from_labels(q.lower.labels()).ok()?;
    let mut query = Question::query(name, RecordType::from(q.qtype));
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = q.cd;
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD).set_dnssec_ok(q.do_bit());
    message.edns = Some(edns);
    Some(DnsRequest::new(message, DnsRequestOptions::default()))
}

/// What came back through the pool: the raw bytes, and in place of the records our own note.
fn received(response: DnsResponse) -> Option<Received> {
    let (message, wire) = response.into_parts();
    let note = message.answers.first().and_then(|r| match &r.data {
        RData::TXT(txt) => txt.txt_data.first(),
        _ => None,
    })?;
    Some(Received { wire, from: String::from_utf8(note.to_vec()).ok()? })
}

/// Opens connections whose answers carry their provenance.
#[derive(Clone)]
struct Traced {
    inner: TokioRuntimeProvider,
    /// The longest wait for one server.
    attempt: Duration,
}

impl ConnectionProvider for Traced {
    type Conn = TracedConnection;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Self::Conn, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        cx: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let transport = if matches!(config.protocol, ProtocolConfig::Udp) { "udp" } else { "tcp" };
        let from: Arc<str> = format!("{transport}://{}", SocketAddr::new(ip, config.port)).into();
        let connecting = self.inner.new_connection(ip, config, cx)?;
        let attempt = self.attempt;
        Ok(Box::pin(async move {
            let inner = tokio::time::timeout(attempt, connecting)
                .await
                .map_err(|_| NetError::Timeout)??;
            Ok(TracedConnection { inner, from, attempt })
        }))
    }

    fn runtime_provider(&self) -> &Self::RuntimeProvider {
        &self.inner
    }
}

/// A connection whose answers carry their provenance.
#[derive(Clone)]
struct TracedConnection {
    inner: DnsExchange<TokioRuntimeProvider>,
    from: Arc<str>,
    attempt: Duration,
}

impl DnsHandle for TracedConnection {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let (mut answers, from, attempt) =
            (self.inner.send(request), Arc::clone(&self.from), self.attempt);
        Box::pin(stream::once(async move {
            match tokio::time::timeout(attempt, answers.next()).await {
                Err(_) | Ok(None) => Err(NetError::Timeout),
                Ok(Some(answer)) => note(answer?, &from),
            }
        }))
    }
}

/// The answer as the pool passes it on: see the module page.
fn note(mut response: DnsResponse, from: &str) -> Result<DnsResponse, NetError> {
    let last = matches!(response.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        || response.response_code == ResponseCode::YXDomain;
    if !last {
        return Err(carrier(response, from));
    }
    response.metadata.response_code = ResponseCode::NoError;
    let note = RData::TXT(TXT::new(vec![from.to_owned()]));
    response.answers = vec![Record::from_rdata(Name::root(), 0, note)];
    response.authorities.clear();
    response.additionals.clear();
    Ok(response)
}

/// The one error after which the pool asks the next server and which it also prefers over all
/// others in the end, with the raw answer in it.
fn carrier(response: DnsResponse, from: &str) -> NetError {
    let (message, wire) = response.into_parts();
    let question = message.queries.into_iter().next().unwrap_or_default();
    let mut carrier = NoRecords::new(Box::new(question), ResponseCode::NXDomain);
    let record = |data| Record::from_rdata(Name::root(), 0, data);
    let note = record(RData::TXT(TXT::new(vec![from.to_owned()])));
    carrier.authorities = Some([note, record(RData::NULL(NULL::with(wire)))].into());
    NetError::Dns(DnsError::NoRecordsFound(carrier))
}

/// What [`carrier`] put in.
fn carried(carrier: &NoRecords) -> Option<Received> {
    match carrier.authorities.as_deref()? {
        [note, raw] => match (&note.data, &raw.data) {
            (RData::TXT(note), RData::NULL(raw)) => {
                let from = String::from_utf8(note.txt_data.first()?.to_vec()).ok()?;
                Some(Received { wire: raw.anything.clone(), from })
            }
            _ => None,
        },
        _ => None,
    }
}
