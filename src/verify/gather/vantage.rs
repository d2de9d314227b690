//! Other places that are asked what they see of a name: resolvers of other software, and other
//! tracegates (`GET /api/v1/perspectives/NAME`).

use std::{net::SocketAddr, time::Duration};

use domain::base::Rtype;
use futures_util::future::join_all;
use http::{HeaderValue, Method, StatusCode, header};
use url::Url;

use super::{
    Settings,
    ask::{Asker, Query},
    registry::{fault, resolve},
};
use crate::{
    clock::Clock,
    config,
    fetch::{self, Guard, Trust},
    verify::{
        Fault,
        dns::reply::OwnName,
        evidence::{Authority, Bundle, Got, Kind, Observation, Question, Source, Transport},
    },
};

/// The largest answer of another tracegate, in bytes.
const BYTES_MAX: usize = 65_536;

/// Another place.
struct Vantage {
    name: String,
    software: String,
    place: Place,
}

enum Place {
    Resolver(SocketAddr),
    Node { base: Url, token: HeaderValue },
}

/// All of them.
pub struct Vantages {
    all: Vec<Vantage>,
    guard: Guard,
    asker: fetch::Asker,
    dns: Asker,
    keep: Duration,
    clock: Clock,
}

impl std::fmt::Debug for Vantages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.all.iter().map(|v| v.name.as_str());
        f.debug_list().entries(names).finish()
    }
}

/// Why another place cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("verify.vantages: {name}: {why}")]
pub struct BadVantage {
    name: String,
    why: String,
}

impl Vantages {
    /// Those of the configuration.
    ///
    /// # Errors
    /// The first that cannot be used, and why.
    pub fn new(
        configured: &[config::Vantage],
        settings: &Settings,
        clock: Clock,
    ) -> Result<Self, BadVantage> {
        let mut all: Vec<Vantage> = Vec::new();
        for from in configured {
            let bad = |why: String| BadVantage { name: from.name.clone(), why };
            let vantage = of(from).map_err(bad)?;
            if all.iter().any(|v| v.name == vantage.name) || vantage.name == settings.vantage {
                return Err(bad("the name is another's".to_owned()));
            }
            all.push(vantage);
        }
        // What the configuration names may be asked wherever it is, and nothing else.
        let hosts: Vec<String> = all
            .iter()
            .filter_map(|v| match &v.place {
                Place::Node { base, .. } => {
                    base.host_str().map(|h| h.trim_matches(['[', ']']).into())
                }
                Place::Resolver(_) => None,
            })
            .collect();
        let ca = configured.iter().find_map(|v| v.ca_file.as_ref());
        let named = |why: String| BadVantage { name: "ca_file".to_owned(), why };
        let ca = ca.map(std::fs::read).transpose().map_err(|e| named(e.to_string()))?;
        Ok(Self {
            all,
            guard: Guard::new(resolve(), &hosts),
            asker: fetch::Asker {
                trust: Trust::new(ca.as_deref()).map_err(|e| named(e.to_string()))?,
                user_agent: HeaderValue::from_static(concat!(
                    "tracegate/",
                    env!("CARGO_PKG_VERSION")
                )),
                connect_timeout: settings.timeout,
                answer_timeout: settings.deadline,
                head_bytes_max: BYTES_MAX,
            },
            dns: Asker {
                // Whoever resolves asks others in turn.
                timeout: settings.timeout.saturating_mul(4),
                attempts: settings.attempts,
                recursion: true,
            },
            keep: settings.keep,
            clock,
        })
    }

    /// Whether there is nobody to ask.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds to `bundle` what all of them see of `host`, each asked at the same time, within `limit`.
    pub async fn ask(&self, host: &OwnName, limit: Duration, bundle: &mut Bundle) {
        let asks = self.all.iter().flat_map(|vantage| match &vantage.place {
            Place::Resolver(_) => vec![(vantage, Some(Rtype::A)), (vantage, Some(Rtype::AAAA))],
            Place::Node { .. } => vec![(vantage, None)],
        });
        let asks = asks.map(|(vantage, rtype)| self.one(vantage, host, rtype, limit));
        for (mut observation, came) in join_all(asks).await {
            observation.got = match came {
                Ok((kind, body)) => bundle.keep(kind, body),
                Err(fault) => Got::Fault(fault),
            };
            bundle.observations.push(observation);
        }
    }

    async fn one(
        &self,
        vantage: &Vantage,
        host: &OwnName,
        rtype: Option<Rtype>,
        limit: Duration,
    ) -> (Observation, Result<(Kind, Vec<u8>), Fault>) {
        let began = self.clock.monotonic();
        let name = host.to_string();
        let question = Question::Perspective { name, qtype: rtype.map(|t| t.to_int()) };
        let asked = async {
            match (&vantage.place, rtype) {
                (Place::Resolver(at), Some(qtype)) => {
                    let query = Query { qname: host.clone(), qtype };
                    let (transport, came) = self.dns.ask(*at, &query).await;
                    (transport, came.map(|body| (Kind::DnsWire, body)))
                }
                (Place::Node { base, token }, _) => {
                    let came = self.node(base, token, host).await;
                    (Transport::Https, came.map(|body| (Kind::Perspective, body)))
                }
                (Place::Resolver(_), None) => (Transport::Udp, Err(Fault::NoSource)),
            }
        };
        let came = tokio::time::timeout(limit, asked).await;
        let (transport, came) = came.unwrap_or((Transport::Udp, Err(Fault::Deadline)));
        let endpoint = match &vantage.place {
            Place::Resolver(at) => at.to_string(),
            Place::Node { base, .. } => base.to_string(),
        };
        let (at, took) = (self.clock.now(), self.clock.monotonic().duration_since(began));
        let observation = Observation {
            question,
            source: Source {
                authority: Authority::Resolver,
                name: vantage.software.clone(),
                endpoint,
                transport,
            },
            vantage: vantage.name.clone(),
            at,
            expires: at.saturating_add(self.keep),
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            got: Got::Fault(Fault::Silent),
        };
        (observation, came)
    }

    /// What another tracegate answers. It is held to its word by the check, not here.
    async fn node(
        &self,
        base: &Url,
        token: &HeaderValue,
        host: &OwnName,
    ) -> Result<Vec<u8>, Fault> {
        let malformed = |why: &str| Fault::Malformed { why: why.to_owned() };
        let path = format!("api/v1/perspectives/{host}");
        let url = base.join(&path).map_err(|_| malformed("base"))?;
        let port = url.port_or_known_default().ok_or(Fault::Misled)?;
        let at = url.host().ok_or(Fault::Misled)?.to_owned();
        let addresses = self.guard.addresses(&at, port).await.map_err(|e| match e {
            fetch::Error::Special(_) => Fault::Refused,
            _ => Fault::Unresolved,
        })?;
        let headers = [(header::AUTHORIZATION, token.clone())];
        let asked = self.asker.ask(Method::GET, &url, &addresses, BYTES_MAX, &headers).await;
        let answer = asked.map_err(fault)?;
        match answer.status {
            StatusCode::OK if answer.is_whole => Ok(answer.body),
            StatusCode::OK => Err(Fault::Cut { at: answer.body.len() as u64 }),
            StatusCode::TOO_MANY_REQUESTS => Err(Fault::RateLimited { retry_at: None }),
            status => Err(Fault::Failed { status: status.as_u16() }),
        }
    }
}

fn of(from: &config::Vantage) -> Result<Vantage, String> {
    let place = match (from.resolver, &from.node) {
        (Some(at), None) => Place::Resolver(at),
        (None, Some(base)) => {
            let base = Url::parse(base).map_err(|e| format!("node: {e}"))?;
            if base.scheme() != "https" && !is_loopback(&base) {
                return Err("node: a token goes over https alone".to_owned());
            }
            let file = from.token_file.as_ref().ok_or("token_file: none")?;
            let token = std::fs::read_to_string(file).map_err(|e| format!("token_file: {e}"))?;
            let token = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut token = token.map_err(|_| "token_file: no token".to_owned())?;
            token.set_sensitive(true);
            Place::Node { base, token }
        }
        _ => return Err("name either a resolver or a node".to_owned()),
    };
    if from.name.is_empty() || from.software.is_empty() {
        return Err("it needs a name and its software's".to_owned());
    }
    Ok(Vantage { name: from.name.clone(), software: from.software.clone(), place })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(a)) => a.is_loopback(),
        Some(url::Host::Ipv6(a)) => a.is_loopback(),
        _ => false,
    }
}
