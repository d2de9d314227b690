//! Questions that wait for an upstream: one flight for many waiters.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Answered, Context, Found, Resolver, Transport,
    cache::{Hit, Key},
    entry::{Answer, Entry, Life},
    judge,
    message::{Ede, Extended, Rcode, rtype},
    query::Query,
    read, tail,
};
use crate::name::Name;

/// A question that must wait.
#[derive(Debug)]
pub struct Pending {
    /// The question of the client.
    query: Query,
    ctx: Context,
    /// What upstream is asked first.
    ask: Query,
}

impl Pending {
    pub(super) fn new(q: &Query, ctx: &Context, ask: Query) -> Box<Self> {
        Box::new(Self { query: *q, ctx: *ctx, ask })
    }

    /// The question of the client.
    pub fn query(&self) -> &Query {
        &self.query
    }
}

/// Answers that a waiting question got so far: what upstream said may not be in the cache.
#[derive(Default)]
pub(super) struct Got(Vec<(Query, Arc<Entry>, &'static str)>);

impl Got {
    /// The answer to the question of this key, and where it came from.
    pub(super) fn find(&self, key: &Key) -> Option<(Arc<Entry>, &'static str)> {
        let mut all = self.0.iter();
        let (_, entry, from) = all.find(|(q, _, _)| Key::new(q).as_bytes() == key.as_bytes())?;
        Some((Arc::clone(entry), from))
    }
}

/// Questions to upstream that one client's question may take, one after another: the name asked,
/// the same without checking, the end of a chain of aliases, and once more when policy changed
/// meanwhile.
const ASKS_MAX: usize = 5;

/// A response that had to wait.
#[derive(Debug)]
pub struct Done {
    /// The whole response.
    pub wire: Vec<u8>,
    /// What a record needs to know of it.
    pub answered: Answered,
}

/// What came of asking for a host's addresses.
#[derive(Debug)]
pub struct Lookup {
    /// The addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// The CNAME chain, without the host.
    pub chain: Vec<String>,
    /// `literal`, `resolved`, `stale`, `nodata`, `nxdomain`, `failed` or `timeout`.
    pub outcome: &'static str,
    /// The questions it took, to be recorded with the caller's flow.
    pub caused: Vec<Caused>,
}

/// One question that a look-up of addresses took.
#[derive(Debug)]
pub struct Caused {
    /// What a record needs to know of it.
    pub answered: Answered,
    /// How long it took, in microseconds.
    pub latency_us: u32,
}

type Landing = watch::Receiver<Option<Arc<Entry>>>;

/// The questions in flight.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Box<[u8]>, Landing>>);

impl Flights {
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Landing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight out of the list when its task ends, however it ends.
struct Ticket {
    resolver: Arc<Resolver>,
    key: Box<[u8]>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.resolver.flights.lock().remove(&self.key);
    }
}

/// How a question for an upstream goes on.
enum Joined {
    Ready(Arc<Entry>),
    Waiting(Landing),
    Full,
}

impl Resolver {
    /// Waits for what [`Resolver::answer`] could not answer: for each question that has to be asked,
    /// at most the configured wait. Everything is decided anew after each, so that what changed
    /// meanwhile is obeyed.
    pub async fn resolve(self: &Arc<Self>, pending: Pending) -> Done {
        let Pending { query, ctx, ask } = pending;
        let (mut got, mut ask) = (Got::default(), ask);
        let mut wire = Vec::with_capacity(RESPONSE_BYTES_TYPICAL);
        loop {
            let (entry, from) = self.ask(&ask).await;
            got.0.push((ask, entry, from));
            let (now, now_mono) = (self.clock.now(), self.clock.monotonic());
            let ctx = Context { now, now_mono, ..ctx };
            let answered = match self.decide(&query, &ctx, &got) {
                Found::Ready(entry, from) => {
                    entry.serve(&query, &ctx, &self.style, from, &mut wire)
                }
                Found::Ask(next) if got.0.len() < ASKS_MAX => {
                    ask = *next;
                    continue;
                }
                Found::Ask(_) => {
                    let text = "the answer took too many questions";
                    let answer = Answer::error(Rcode::SERVFAIL, Ede::OTHER, text);
                    self.bare(&query, &ctx, &answer, &mut wire)
                }
            };
            return Done { wire, answered };
        }
    }

    async fn ask(self: &Arc<Self>, q: &Query) -> (Arc<Entry>, &'static str) {
        let error = |ede, text| {
            let answer = Answer::error(Rcode::SERVFAIL, ede, text);
            Arc::new(Entry::new(q, &answer, Life::FOR_EVER, &self.style))
        };
        let mut landing = match self.join(q) {
            Joined::Ready(entry) => return (entry, "hit"),
            Joined::Waiting(landing) => landing,
            Joined::Full => return (error(Ede::OTHER, "too many questions in flight"), "none"),
        };
        match landing.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(entry)) => (Arc::clone(entry), "miss"),
            // The task was taken down with the runtime.
            _ => (error(Ede::NOT_READY, "shutting down"), "none"),
        }
    }

    fn join(self: &Arc<Self>, q: &Query) -> Joined {
        let key = Key::new(q);
        let mut flights = self.flights.lock();
        if let Some(landing) = flights.get(key.as_bytes()) {
            return Joined::Waiting(landing.clone());
        }
        // A flight keeps its answer before it leaves the list.
        if let Hit::Fresh(entry) = self.cache.get(&key, self.clock.monotonic()) {
            return Joined::Ready(entry);
        }
        let Ok(permit) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            self.metrics.dns.overload.increment(1);
            return Joined::Full;
        };
        let (land, landing) = watch::channel(None);
        flights.insert(key.as_bytes().into(), landing.clone());
        drop(flights);
        let ticket = Ticket { resolver: Arc::clone(self), key: key.as_bytes().into() };
        let q = *q;
        let flight = async move {
            let entry = ticket.resolver.fly(&q).await;
            // Whoever comes from here on finds what may be kept in the cache, and nothing else.
            drop((ticket, permit));
            land.send_replace(Some(entry));
        };
        self.tasks.spawn_on(flight, &self.runtime);
        Joined::Waiting(landing)
    }

    /// Asks upstream and keeps the answer.
    async fn fly(&self, q: &Query) -> Arc<Entry> {
        let began = self.clock.monotonic();
        self.metrics.dns.upstream_queries.increment(1);
        let received = match &self.upstreams {
            Some(upstreams) => upstreams.ask(q).await,
            None => Err(super::upstream::Failure::Network),
        };
        let mut judged = match received {
            Ok(received) => judge::received(q, &received, &self.limits),
            Err(why) => judge::failure(why, &self.limits),
        };
        let now = self.clock.monotonic();
        let took = now.saturating_duration_since(began);
        self.metrics.dns.upstream_seconds.record(took.as_secs_f64());
        if judged.failed {
            self.metrics.dns.upstream_failures.increment(1);
        }
        let expires = now.checked_add(Duration::from_secs(judged.keep_s.into()));
        let life = Life::until(now, expires);
        let entry = Arc::new(Entry::new(q, &judged.answer, life, &self.style));
        if !judged.failed
            && judged.answer.rcode == Rcode::NOERROR
            && let Some(seen) = self.seen.get()
        {
            let mut name = String::new();
            crate::name::print(q.lower.wire(), &mut name);
            seen(&name);
        }
        let key = Key::new(q);
        if judged.failed {
            judged.answer.ede.push(Extended::new(Ede::CACHED_ERROR, ""));
            let mut kept = Entry::new(q, &judged.answer, life, &self.style);
            kept.keep_stale(self.cache.get(&key, now).into_stale());
            self.cache.insert(&key, Arc::new(kept));
        } else if judged.keep_s > 0 {
            self.cache.insert(&key, Arc::clone(&entry));
        }
        entry
    }

    /// A host's addresses before policy, waiting at most `wait`: whoever asks decides by itself. What the cache holds past its time, within
    /// `dns.cache_stale_max_s`, is taken when nothing newer comes in time.
    pub async fn addresses(self: &Arc<Self>, host: &str, wait: Duration) -> Lookup {
        let mut lookup = Lookup {
            addresses: Vec::new(),
            chain: Vec::new(),
            outcome: "failed",
            caused: Vec::new(),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Lookup { addresses: vec![address], outcome: "literal", ..lookup };
        }
        let Ok(name) = Name::from_text(host) else { return lookup };
        let (v4, v6) = (Query::new(name, rtype::A), Query::new(name, rtype::AAAA));
        let both = futures_util::future::join(self.one(&v4, wait), self.one(&v6, wait)).await;
        for one in [both.0, both.1] {
            let Some(one) = one else {
                if lookup.outcome != "resolved" && lookup.outcome != "stale" {
                    lookup.outcome = "timeout";
                }
                continue;
            };
            lookup.take(one);
        }
        lookup
    }

    /// One type of a host's addresses; none when there is nothing in time.
    async fn one(self: &Arc<Self>, q: &Query, wait: Duration) -> Option<One> {
        let began = self.clock.monotonic();
        let ctx = Context {
            client: SocketAddr::from(([127, 0, 0, 1], 0)),
            transport: Transport::Tcp,
            now: self.clock.now(),
            now_mono: began,
        };
        let found = match self.plain(q, began, &Got::default()) {
            Found::Ready(entry, from) => Some((entry, from)),
            Found::Ask(ask) => Box::pin(self.timed(self.plain_after(q, *ask), wait)).await,
        };
        // A failure that is kept still remembers the last good answer.
        let failed = found.as_ref().is_none_or(|(entry, _)| entry.failed());
        let stale = failed.then(|| self.stale(q, began)).flatten();
        let (entry, from) = stale.map(|entry| (entry, "stale")).or(found)?;
        let mut wire = Vec::with_capacity(RESPONSE_BYTES_TYPICAL);
        let answered = entry.serve(q, &ctx, &self.style, from, &mut wire);
        let response = read::response(&wire).ok()?;
        let (addresses, chain) = tail::addresses(&q.lower, q.qtype, &response.sections.answer);
        let latency = self.clock.monotonic().saturating_duration_since(began);
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        Some(One { addresses, chain, caused: Caused { answered, latency_us } })
    }

    /// The answer before policy, once `ask` is answered.
    async fn plain_after(self: &Arc<Self>, q: &Query, ask: Query) -> (Arc<Entry>, &'static str) {
        let (entry, from) = self.ask(&ask).await;
        let got = Got(vec![(ask, Arc::clone(&entry), from)]);
        match self.plain(q, self.clock.monotonic(), &got) {
            Found::Ready(entry, from) => (entry, from),
            // Our zones were loaded anew meanwhile and the chain leaves them elsewhere now.
            Found::Ask(_) => (entry, from),
        }
    }

    /// Waits on the shared runtime's timer, wherever the caller runs.
    async fn timed<T>(&self, future: impl Future<Output = T>, wait: Duration) -> Option<T> {
        let timer = {
            let _runtime = self.runtime.enter();
            tokio::time::sleep(wait)
        };
        tokio::select! {
            biased;
            value = future => Some(value),
            () = timer => None,
        }
    }

    fn stale(&self, q: &Query, now: Instant) -> Option<Arc<Entry>> {
        let entry = self.cache.get(&Key::new(q), now).into_stale()?;
        let past = now.saturating_duration_since(entry.expires()?);
        (past <= self.stale_max).then_some(entry)
    }
}

/// A chain that began elsewhere, and what `end` says of its end.
pub(super) fn joined(mut answer: Answer, end: &Entry, now: Instant) -> Answer {
    let (age, end) = (end.age_s(now), end.answer());
    answer.rcode = end.rcode;
    answer.ede.extend(end.ede);
    answer.upstream = end.upstream;
    answer.fault = end.fault;
    answer.sections.answer.extend(end.sections.answer.iter().map(|r| r.aged(age)));
    answer.sections.authority.extend(end.sections.authority.iter().map(|r| r.aged(age)));
    answer
}

/// The room made for a response, in bytes.
const RESPONSE_BYTES_TYPICAL: usize = 512;

/// What one type of addresses came to.
struct One {
    addresses: Vec<IpAddr>,
    chain: Vec<String>,
    caused: Caused,
}

impl Lookup {
    fn take(&mut self, one: One) {
        let found = !one.addresses.is_empty();
        let outcome = match (found, one.caused.answered.rcode) {
            (true, _) if one.caused.answered.cache == "stale" => "stale",
            (true, _) => "resolved",
            (false, Rcode::NXDOMAIN) => "nxdomain",
            (false, Rcode::NOERROR) => "nodata",
            _ => "failed",
        };
        if self.addresses.is_empty() && (found || self.outcome != "timeout") {
            self.outcome = outcome;
        }
        if self.chain.is_empty() {
            self.chain = one.chain;
        }
        self.addresses.extend(one.addresses);
        self.caused.push(one.caused);
    }
}
