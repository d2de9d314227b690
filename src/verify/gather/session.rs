//! Everything that one verification asks, and what came back.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use domain::base::Rtype;
use tokio::sync::OnceCell;

use super::{
    Settings,
    ask::{Asker, Query},
};
use crate::{
    clock::{Clock, Timestamp},
    special::{canonical_address, is_special_address},
    verify::{
        Fault,
        dns::{
            plan::{Plan, Server},
            reply::{OwnName, Reply},
        },
        evidence::{Authority, Bundle, Got, Kind, Observation, Question, Source, Transport},
    },
};

/// What was said to a question.
type Said = Result<Arc<Reply>, Fault>;

/// Questions of one verification. Each is asked once of each server, however many want to know.
pub(super) struct Session<'a> {
    settings: &'a Settings,
    asker: Asker,
    clock: &'a Clock,
    ends: Instant,
    sent: AtomicU32,
    flights: Mutex<HashMap<(IpAddr, Query), Arc<Once>>>,
    silent: Mutex<HashSet<IpAddr>>,
    log: Mutex<Log>,
}

/// One question to one server, asked at most once.
type Once = OnceCell<(Flight, Said)>;

/// How one question went.
struct Flight {
    transport: Transport,
    at: Timestamp,
    took: Duration,
    body: Option<Vec<u8>>,
}

#[derive(Default)]
struct Log {
    bundle: Bundle,
    seen: HashSet<(String, IpAddr, Query)>,
}

impl<'a> Session<'a> {
    pub(super) fn new(settings: &'a Settings, asker: Asker, clock: &'a Clock) -> Self {
        Self {
            settings,
            asker,
            clock,
            ends: clock.monotonic() + settings.deadline,
            sent: AtomicU32::new(0),
            flights: Mutex::default(),
            silent: Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// Asks a server as one of `zone`'s.
    pub(super) async fn ask(
        &self,
        zone: &OwnName,
        server: &Server,
        qname: &OwnName,
        qtype: Rtype,
    ) -> Said {
        let query = Query { qname: qname.clone(), qtype };
        let key = (server.address, query.clone());
        let cell = Arc::clone(lock(&self.flights).entry(key).or_default());
        let (flight, said) = cell.get_or_init(|| self.fly(server.address, &query)).await;
        self.note(zone, server, &query, flight, said);
        said.clone()
    }

    async fn fly(&self, address: IpAddr, query: &Query) -> (Flight, Said) {
        let began = self.clock.monotonic();
        let (transport, came) = match self.barred(address) {
            Some(fault) => (Transport::Udp, Err(fault)),
            None => {
                let server = SocketAddr::new(address, self.settings.port);
                let left = self.ends.saturating_duration_since(began);
                let asked = tokio::time::timeout(left, self.asker.ask(server, query));
                asked.await.unwrap_or((Transport::Udp, Err(Fault::Deadline)))
            }
        };
        if matches!(came, Err(Fault::Silent | Fault::Unreachable)) {
            lock(&self.silent).insert(address);
        }
        let said = match &came {
            Ok(body) => {
                Reply::read(body).map(Arc::new).map_err(|e| Fault::Malformed { why: e.to_string() })
            }
            Err(fault) => Err(fault.clone()),
        };
        let took = self.clock.monotonic().saturating_duration_since(began);
        (Flight { transport, at: self.clock.now(), took, body: came.ok() }, said)
    }

    /// Why an address is not asked.
    fn barred(&self, address: IpAddr) -> Option<Fault> {
        let plain = canonical_address(address);
        let is_allowed = || self.settings.servers_allow.iter().any(|net| net.contains(&plain));
        if is_special_address(address) && !is_allowed() {
            return Some(Fault::Refused);
        }
        if self.clock.monotonic() >= self.ends {
            return Some(Fault::Deadline);
        }
        if lock(&self.silent).contains(&address)
            || self.sent.fetch_add(1, Ordering::Relaxed) >= self.settings.questions_max
        {
            return Some(Fault::Spared);
        }
        None
    }

    fn note(&self, zone: &OwnName, server: &Server, query: &Query, flight: &Flight, said: &Said) {
        let mut log = lock(&self.log);
        let zone = zone.to_string();
        if !log.seen.insert((zone.clone(), server.address, query.clone())) {
            return;
        }
        let got = match (&flight.body, said) {
            (Some(body), _) => log.bundle.keep(Kind::DnsWire, body.clone()),
            (None, Err(fault)) => Got::Fault(fault.clone()),
            (None, Ok(_)) => Got::Fault(Fault::Silent),
        };
        let keep = self.settings.keep;
        log.bundle.observations.push(Observation {
            question: Question::Dns {
                zone,
                qname: query.qname.to_string(),
                qtype: query.qtype.to_int(),
            },
            source: Source {
                authority: Authority::Child,
                name: server.name.to_string(),
                endpoint: SocketAddr::new(server.address, self.settings.port).to_string(),
                transport: flight.transport,
            },
            vantage: self.settings.vantage.clone(),
            at: flight.at,
            expires: flight.at.saturating_add(keep),
            took_us: u64::try_from(flight.took.as_micros()).unwrap_or(u64::MAX),
            got,
        });
    }

    /// All that was seen, in an order that does not depend on who was quicker.
    pub(super) fn into_bundle(self, plan: &Plan) -> Bundle {
        let log = self.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut bundle = log.bundle;
        for observation in &mut bundle.observations {
            if let Question::Dns { zone, .. } = &observation.question
                && plan.above.contains(zone)
            {
                observation.source.authority = Authority::Parent;
            }
        }
        bundle.sort();
        bundle
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
