//! What registries say of domains, asked by RDAP (RFC 7480, RFC 9082) and WHOIS (RFC 3912), kept for
//! a while, persons taken out.
//!
//! Whoever answers by RDAP is asked by RDAP; WHOIS is asked where there is no RDAP, or it did not
//! tell. One question of one domain is under way at a time, whoever wants to know. What was
//! heard before stays beside a fault, so that it can be said that it is stale.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, StatusCode, header};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex as AsyncMutex,
};
use url::{Host, Url};

use super::pace::Pace;
use crate::{
    clock::Clock,
    config,
    fetch::{self, Answer, Asker, Failure, Guard, Resolve, Trust},
    verify::{
        Fault,
        evidence::{Authority, Bundle, Got, Kind, Observation, Question, Source, Transport},
        registration::{
            Said,
            bootstrap::{Bootstrap, Registry, TABLE_BYTES_MAX},
            read_rdap,
            strip::Stripper,
            whois::{self, Grammar},
        },
    },
};

/// The port of WHOIS.
const WHOIS_PORT: u16 = 43;

/// Asks registries.
pub struct Registries {
    bootstrap: Mutex<Arc<Bootstrap>>,
    config: config::Registries,
    vantage: String,
    guard: Guard,
    asker: Asker,
    pub(super) pace: Pace,
    pub(super) stripper: Stripper,
    pub(super) clock: Clock,
    cells: Mutex<HashMap<String, Cell>>,
}

/// What was heard of one domain; held by whoever asks.
pub(super) type Cell = Arc<AsyncMutex<Vec<Heard>>>;

/// What was heard; it is asked again when it may not be believed any more.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) observation: Observation,
    body: Option<Vec<u8>>,
}

impl Heard {
    /// Adds it to what one verification saw.
    pub(super) fn into_bundle(mut self, bundle: &mut Bundle) {
        if let (Some(body), Got::Body { kind, .. }) = (self.body, &self.observation.got) {
            self.observation.got = bundle.keep(*kind, body);
        }
        bundle.observations.push(self.observation);
    }
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What [`Registries`] are made of.
pub struct RegistriesOptions {
    /// The section `[verify.registries]`.
    pub config: config::Registries,
    /// Who answers for what.
    pub bootstrap: Bootstrap,
    /// What this place is called.
    pub vantage: String,
    /// How hosts of registries are found.
    pub resolve: Resolve,
    /// The authorities in a file, instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// The key of digests about persons.
    pub key: [u8; 32],
    /// The clock.
    pub clock: Clock,
}

impl Registries {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When certificates cannot be used.
    pub fn new(parts: RegistriesOptions) -> Result<Self, fetch::Error> {
        let RegistriesOptions { config, bootstrap, vantage, resolve, ca, key, clock } = parts;
        let timeout = Duration::from_millis(config.timeout_ms);
        let asker = Asker {
            trust: Trust::new(ca.as_deref())?,
            user_agent: HeaderValue::from_static(concat!("tracegate/", env!("CARGO_PKG_VERSION"))),
            connect_timeout: timeout,
            answer_timeout: timeout,
            head_bytes_max: 65_536,
        };
        Ok(Self {
            bootstrap: Mutex::new(Arc::new(bootstrap)),
            guard: Guard::new(resolve, &config.allowed_hosts),
            pace: Pace::new(Duration::from_millis(config.interval_ms), clock.clone()),
            stripper: Stripper::new(key),
            cells: Mutex::default(),
            asker,
            config,
            vantage,
            clock,
        })
    }

    /// The table that is in use.
    pub fn bootstrap(&self) -> Arc<Bootstrap> {
        Arc::clone(&lock(&self.bootstrap))
    }

    /// Uses another table from now on.
    pub fn use_bootstrap(&self, table: Bootstrap) {
        *lock(&self.bootstrap) = Arc::new(table);
    }

    /// IANA's table, from where the configuration says.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fetch_table(&self) -> Result<Vec<u8>, Fault> {
        let url = Url::parse(&self.config.bootstrap_url).map_err(|_| Fault::Misled)?;
        if url.scheme() != "https" {
            return Err(Fault::Misled);
        }
        let addresses = self.addresses(&url).await?;
        let accept = [(header::ACCEPT, HeaderValue::from_static("application/json"))];
        let asked = self.asker.ask(Method::GET, &url, &addresses, TABLE_BYTES_MAX, &accept).await;
        let answer = asked.map_err(fault)?;
        match answer.status {
            StatusCode::OK if answer.is_whole => Ok(answer.body),
            StatusCode::OK => Err(Fault::Cut { at: answer.body.len() as u64 }),
            status => Err(Fault::Failed { status: status.as_u16() }),
        }
    }

    /// Takes digests of persons by the same key.
    pub const fn stripper(&self) -> &Stripper {
        &self.stripper
    }

    /// Adds to `bundle` what the registry of `domain` says of it, within `limit`.
    pub async fn ask(&self, domain: &str, limit: Duration, bundle: &mut Bundle) {
        let table = self.bootstrap();
        let Some((_, registry)) = table.of(domain) else { return };
        let cell = self.cell(domain);
        let heard = tokio::time::timeout(limit, self.fresh(&cell, domain, registry)).await;
        let heard = heard.unwrap_or_else(|_| {
            let source = source("", "", Transport::Https);
            vec![self.heard(domain, source, self.clock.monotonic(), Err(Fault::Deadline))]
        });
        for heard in heard {
            heard.into_bundle(bundle);
        }
    }

    /// The place of what is heard of `domain`. Where there are too many, those that nobody holds
    /// are forgotten.
    pub(super) fn cell(&self, domain: &str) -> Cell {
        let mut cells = lock(&self.cells);
        if cells.len() >= self.config.kept_max && !cells.contains_key(domain) {
            cells.retain(|_, cell| Arc::strong_count(cell) > 1);
        }
        Arc::clone(cells.entry(domain.to_owned()).or_default())
    }

    /// What is known of `domain`, asked anew where it is time.
    async fn fresh(&self, cell: &Cell, domain: &str, registry: &Registry) -> Vec<Heard> {
        let mut kept = cell.lock().await;
        let now = self.clock.now();
        if !kept.is_empty() && kept.iter().all(|h| h.observation.expires > now) {
            return kept.clone();
        }
        let mut found = Vec::new();
        if let Some(base) = &registry.rdap {
            found.push(self.rdap(base, domain).await);
        }
        if found.iter().all(|h| h.body.is_none())
            && let Some(server) = &registry.whois
        {
            found.push(self.whois(server, registry.grammar, domain).await);
        }
        if found.iter().all(|h| h.body.is_none()) {
            // What was heard before is stale, and better than nothing.
            found.extend(kept.iter().filter(|h| h.body.is_some()).cloned());
        }
        kept.clone_from(&found);
        found
    }

    async fn rdap(&self, base: &Url, domain: &str) -> Heard {
        let began = self.clock.monotonic();
        let host = base.host_str().unwrap_or_default().to_owned();
        let came = match self.pace.turn(&host).await {
            Ok(_turn) => {
                let came = self.rdap_body(base, domain).await;
                self.pace.went(&host, &came);
                came
            }
            Err(fault) => Err(fault),
        };
        let source = source(&host, base.as_str(), Transport::Https);
        self.heard(domain, source, began, came.map(|body| (Kind::RdapJson, body)))
    }

    /// The answer, from wherever the registry sends us.
    async fn rdap_body(&self, base: &Url, domain: &str) -> Result<Vec<u8>, Fault> {
        let (answer, is_own) = self.fetch(base, &format!("domain/{domain}")).await?;
        self.rdap_answer(&answer, domain, is_own)
    }

    /// What is answered to `path` below `base`, from wherever the registry sends us; whether that is
    /// its own host.
    pub(super) async fn fetch(&self, base: &Url, path: &str) -> Result<(Answer, bool), Fault> {
        let malformed = |why: &str| Fault::Malformed { why: why.to_owned() };
        let mut url = base.join(path).map_err(|_| malformed("base"))?;
        for _ in 0..=self.config.redirects_max {
            let addresses = self.addresses(&url).await?;
            let accept = [(header::ACCEPT, HeaderValue::from_static("application/rdap+json"))];
            let bytes_max = self.config.body_bytes_max;
            let asked = self.asker.ask(Method::GET, &url, &addresses, bytes_max, &accept).await;
            let answer = asked.map_err(fault)?;
            if answer.status.is_redirection() {
                let location = answer.headers.get(header::LOCATION).and_then(|l| l.to_str().ok());
                let next = location.and_then(|l| url.join(l).ok());
                url = next.filter(|n| n.scheme() == "https").ok_or(Fault::Misled)?;
                continue;
            }
            let is_own = url.host() == base.host();
            return Ok((answer, is_own));
        }
        Err(Fault::Misled)
    }

    /// The body of an answer that has to be there and whole.
    pub(super) fn whole<'a>(&self, answer: &'a Answer) -> Result<&'a [u8], Fault> {
        match answer.status {
            StatusCode::OK if answer.is_whole => Ok(&answer.body),
            StatusCode::OK => Err(Fault::Cut { at: answer.body.len() as u64 }),
            StatusCode::NOT_FOUND => Err(Fault::NotAuthoritative),
            StatusCode::TOO_MANY_REQUESTS => {
                let now = self.clock.now();
                let after = fetch::retry_after(&answer.headers, now);
                Err(Fault::RateLimited { retry_at: after.map(|a| now.saturating_add(a)) })
            }
            status => Err(Fault::Failed { status: status.as_u16() }),
        }
    }

    fn rdap_answer(&self, answer: &Answer, domain: &str, is_own: bool) -> Result<Vec<u8>, Fault> {
        let malformed = |why: &dyn std::fmt::Display| Fault::Malformed { why: why.to_string() };
        let is_absent = answer.status == StatusCode::NOT_FOUND;
        if !is_absent {
            self.whole(answer)?;
        } else if !answer.is_whole {
            return Err(Fault::Cut { at: answer.body.len() as u64 });
        }
        let body = match self.stripper.rdap(&answer.body) {
            Ok(body) => body,
            // A page that there is no page is no registry's word.
            Err(_) if is_absent => return Err(Fault::NotAuthoritative),
            Err(e) => return Err(malformed(&e)),
        };
        match read_rdap(&body, domain) {
            Ok(Said::Absent) if !is_absent => Err(malformed(&"an error with status 200")),
            Ok(Said::Absent) if !is_own => Err(Fault::NotAuthoritative),
            Ok(Said::Registered(_)) if is_absent => Err(malformed(&"a domain with status 404")),
            Ok(_) => Ok(body),
            Err(_) if is_absent => Err(Fault::NotAuthoritative),
            Err(e) => Err(malformed(&e)),
        }
    }

    async fn whois(&self, server: &str, grammar: Option<Grammar>, domain: &str) -> Heard {
        let began = self.clock.monotonic();
        let grammar = grammar.unwrap_or_else(|| Grammar::of_server(server));
        let came = match self.pace.turn(server).await {
            Ok(_turn) => {
                let came = self.whois_body(server, domain, grammar).await;
                self.pace.went(server, &came);
                came
            }
            Err(fault) => Err(fault),
        };
        let source = source(server, server, Transport::Tcp);
        self.heard(domain, source, began, came.map(|body| (Kind::WhoisText, body)))
    }

    async fn whois_body(
        &self,
        server: &str,
        domain: &str,
        grammar: Grammar,
    ) -> Result<Vec<u8>, Fault> {
        let url = Url::parse(&format!("whois://{server}/"));
        let url = url.map_err(|_| Fault::Malformed { why: "server".to_owned() })?;
        let addresses = self.addresses(&url).await?;
        let limit = Duration::from_millis(self.config.timeout_ms);
        let bytes_max = self.config.body_bytes_max as u64;
        let exchange = async {
            let mut last = Fault::Unreachable;
            for address in addresses {
                let mut stream = match TcpStream::connect(address).await {
                    Ok(stream) => stream,
                    Err(_) => {
                        last = Fault::Unreachable;
                        continue;
                    }
                };
                let mut body = Vec::new();
                let asked = async {
                    stream.write_all(grammar.question(domain).as_bytes()).await?;
                    stream.take(bytes_max + 1).read_to_end(&mut body).await
                };
                return match asked.await {
                    Ok(_) if body.len() as u64 > bytes_max => Err(Fault::Cut { at: bytes_max }),
                    Ok(_) => Ok(body),
                    Err(_) if body.is_empty() => Err(Fault::Unreachable),
                    Err(_) => Err(Fault::Cut { at: body.len() as u64 }),
                };
            }
            Err(last)
        };
        let body = tokio::time::timeout(limit, exchange).await.map_err(|_| Fault::Silent)??;
        let text = String::from_utf8_lossy(&body);
        match whois::strip(&text, grammar, domain, &self.stripper) {
            Ok(kept) => Ok(kept.into_bytes()),
            Err(whois::BadWhois::Limited) => Err(Fault::RateLimited { retry_at: None }),
            Err(e) => Err(Fault::Malformed { why: e.to_string() }),
        }
    }

    /// The addresses of a server that may be asked.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, Fault> {
        let port = url.port_or_known_default().unwrap_or(WHOIS_PORT);
        // Hosts of schemes that URLs know nothing about are text.
        let host = match url.host().ok_or(Fault::Misled)? {
            Host::Domain(name) => {
                Host::parse(name).map_err(|_| Fault::Malformed { why: "host".to_owned() })?
            }
            other => other.to_owned(),
        };
        let found = self.guard.addresses(&host, port).await;
        found.map_err(|e| match e {
            fetch::Error::Special(_) => Fault::Refused,
            _ => Fault::Unresolved,
        })
    }

    fn heard(
        &self,
        domain: &str,
        source: Source,
        began: Instant,
        came: Result<(Kind, Vec<u8>), Fault>,
    ) -> Heard {
        let is_absent = match &came {
            Ok((Kind::RdapJson, body)) => matches!(read_rdap(body, domain), Ok(Said::Absent)),
            _ => false,
        };
        let question = Question::Domain { name: domain.to_owned() };
        self.heard_of(question, source, began, came, is_absent)
    }

    /// What came back to a question, with the time for which it is kept.
    pub(super) fn heard_of(
        &self,
        question: Question,
        source: Source,
        began: Instant,
        came: Result<(Kind, Vec<u8>), Fault>,
        is_absent: bool,
    ) -> Heard {
        let (now, at) = (self.clock.monotonic(), self.clock.now());
        let seconds = Duration::from_secs;
        let keep = match &came {
            Ok(_) if is_absent => seconds(self.config.keep_absent_s),
            Ok(_) => seconds(self.config.keep_s),
            // Whoever failed is asked again as soon as that is polite.
            Err(_) => Duration::ZERO,
        };
        let (got, body) = match came {
            Ok((kind, body)) => (Bundle::default().keep(kind, body.clone()), Some(body)),
            Err(fault) => (Got::Fault(fault), None),
        };
        let took = now.saturating_duration_since(began);
        let observation = Observation {
            question,
            source,
            vantage: self.vantage.clone(),
            at,
            expires: at.saturating_add(keep),
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            got,
        };
        Heard { observation, body }
    }
}

pub(super) fn source(name: &str, endpoint: &str, transport: Transport) -> Source {
    Source {
        authority: Authority::Registry,
        name: name.to_owned(),
        endpoint: endpoint.to_owned(),
        transport,
    }
}

pub(super) fn fault(failure: Failure) -> Fault {
    match failure {
        Failure::TLS => Fault::Untrusted,
        Failure::TIMEOUT => Fault::Silent,
        Failure::MALFORMED => Fault::Malformed { why: "no HTTP".to_owned() },
        _ => Fault::Unreachable,
    }
}

/// Hosts of registries are found as the rest of the machine finds hosts.
pub fn resolve() -> Resolve {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(|e| e.to_string())?;
            Ok(found.map(|address: SocketAddr| -> IpAddr { address.ip() }).collect())
        })
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
