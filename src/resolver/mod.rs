//! The resolver: a question in, a response and what a record keeps of it out.
//!
//! Order: what we do not answer at all ([`query`], and the refusals here), local zones
//! ([`zones`]), the cache of what upstream said before policy ([`cache`]), upstream
//! ([`upstream`], judged by [`judge`]). Every answer becomes an [`entry::Entry`]: the message
//! without OPT, the places of its TTLs, and the encoded columns of its record. It is made once and
//! sent many times; sending from the cache or from a local zone's ready answers does not allocate.
//!
//! [`Resolver::answer`] never waits. What must wait becomes a [`Pending`], and
//! [`Resolver::resolve`] ends within the configured wait: one upstream question for many waiters,
//! owned by the task set that was handed in, so that a waiter that goes away takes nothing with it.
//!
//! Failure: a zone that cannot be read keeps its last good version, or answers SERVFAIL; upstream
//! failures are SERVFAIL with an extended error and are kept for a few seconds (RFC 9520). No
//! state is kept on disk. AD is never set, because nothing is validated yet.

mod cache;
#[cfg(test)]
#[path = "../../tests/it/dns_corpus.rs"]
mod corpus;
mod enforce;
mod entry;
mod judge;
pub mod message;
pub mod query;
mod read;
mod tail;
mod told;
mod upstream;
mod wait;
mod zones;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use cache::{Cache, Hit, Key};
use entry::{Answer, Entry, Life, Style};
pub use entry::{Answered, Tail};
use judge::Limits;
use message::{Ede, Rcode, class, rtype};
use query::Query;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::task::TaskTracker;
pub use told::Seen;
use upstream::Upstreams;
pub use wait::{Caused, Done, Lookup, Pending};
use wait::{Flights, Got, joined};
use zones::{ZoneOptions, ZoneSet, Zones};
pub use zones::{ZoneProblem, ZoneReport};

use crate::{
    clock::{Clock, Timestamp},
    config::{self, OnFull, UpstreamMode},
    metrics::Metrics,
    policy::InForce,
    record::{NodeName, PublicSuffixes},
};

/// Why the resolver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An upstream is one of our own listeners.
    #[error(
        "dns.upstream: {0} is our own address, which would ask itself without end; name other servers or set mode = \"off\""
    )]
    Loop(SocketAddr),
    /// `resolv.conf` names no server.
    #[error("dns.upstream: {0} names no server; set dns.upstream.servers")]
    NoUpstream(Box<Path>),
    /// `resolv.conf` cannot be read.
    #[error("dns.upstream.resolv_conf {path}: {source}; set dns.upstream.servers")]
    ResolvConf {
        /// The file.
        path: Box<Path>,
        /// What the system said.
        source: std::io::Error,
    },
    /// The upstreams cannot be used.
    #[error("dns.upstream: {0}")]
    Upstream(Box<str>),
}

/// How a question arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP: responses are bounded by EDNS and `dns.udp_payload_max`.
    Udp,
    /// TCP, or a question of our own: responses are bounded by 65535 bytes.
    Tcp,
}

/// What surrounds a question.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Who asks.
    pub client: SocketAddr,
    /// How.
    pub transport: Transport,
    /// The wall clock, for policy.
    pub now: Timestamp,
    /// The monotonic clock, for TTLs.
    pub now_mono: Instant,
}

/// What [`Resolver::answer`] came to.
#[derive(Debug)]
pub enum Step {
    /// The whole response is in `out`, at most the limit of its transport, TC set where due.
    Done(Answered),
    /// It must wait for an upstream.
    Ask(Box<Pending>),
}

/// An answer, or the question that has to be asked for it.
enum Found {
    /// It is there; where it was found, as records say it.
    Ready(Arc<Entry>, &'static str),
    /// Upstream has to be asked this.
    Ask(Box<Query>),
}

/// What a resolver is made of.
#[derive(Clone)]
pub struct Options {
    /// The section `[dns]`.
    pub dns: config::Dns,
    /// The section `[policy]`.
    pub rules: config::Policy,
    /// The rules in force.
    pub in_force: InForce,
    /// The node, for NSID.
    pub node: NodeName,
    /// What happens to records when the spool is full.
    pub on_full: OnFull,
    /// For the registrable domains in records.
    pub suffixes: Arc<PublicSuffixes>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The clocks.
    pub clock: Clock,
    /// Where upstream questions run.
    pub runtime: Handle,
    /// The set that owns them; whoever drains it waits for them.
    pub tasks: TaskTracker,
}

/// The resolver.
pub struct Resolver {
    zones: Zones,
    cache: Cache,
    /// What rules made of questions.
    made: Cache,
    in_force: InForce,
    rules: config::Policy,
    upstreams: Option<Upstreams>,
    flights: Flights,
    in_flight: Arc<Semaphore>,
    style: Style,
    limits: Limits,
    stale_max: Duration,
    metrics: Arc<Metrics>,
    clock: Clock,
    runtime: Handle,
    tasks: TaskTracker,
    /// Who wants to know which names were asked upstream.
    seen: OnceLock<Seen>,
}

impl Resolver {
    /// Loads the zones and prepares the upstreams. Call it inside `options.runtime`.
    ///
    /// # Errors
    /// See [`Error`]. A bad zone is no error: the reports say so.
    pub fn new(options: Options) -> Result<(Arc<Self>, Vec<ZoneReport>), Error> {
        let Options { dns, rules, in_force, node, on_full, .. } = options;
        let Options { suffixes, metrics, clock, runtime, tasks, .. } = options;
        let upstreams = match dns.upstream.mode {
            UpstreamMode::Forward => Some(Upstreams::new(&dns.upstream, &dns.listen)?),
            UpstreamMode::Off => None,
        };
        let nsid = match dns.nsid.as_str() {
            "" => node.as_str(),
            "off" => "",
            nsid => nsid,
        };
        let style = Style {
            udp_payload_max: dns.udp_payload_max,
            nsid: nsid.as_bytes().iter().copied().take(NSID_BYTES_MAX).collect(),
            recursion: upstreams.is_some(),
            record_data_bytes_max: dns.record_data_bytes_max,
            full: on_full.resolutions,
            full_decided: on_full.decided_resolutions,
            suffixes,
        };
        let zone_bytes = dns.cache_bytes_max / ZONE_ANSWERS_SHARE;
        let zones = ZoneOptions {
            root: dns.zone_root,
            zones: dns.zones,
            records_max: dns.zone_records_max,
            chain_max: dns.cname_chain_max,
            cache_bytes_max: zone_bytes,
        };
        let (zones, reports) = Zones::load(zones, Arc::clone(&metrics));
        let resolver = Self {
            cache: Cache::new(dns.cache_bytes_max - zone_bytes),
            made: Cache::new(rules.answers_bytes_max),
            in_force,
            rules,
            zones,
            upstreams,
            flights: Flights::default(),
            in_flight: Arc::new(Semaphore::new(dns.upstream.in_flight_max)),
            style,
            limits: Limits {
                ttl_max: dns.cache_ttl_max_s,
                negative_ttl_max: dns.cache_negative_ttl_max_s,
                failure_ttl: dns.cache_failure_ttl_s,
                chain_max: dns.cname_chain_max,
            },
            stale_max: Duration::from_secs(dns.cache_stale_max_s.into()),
            metrics,
            clock,
            runtime,
            tasks,
            seen: OnceLock::new(),
        };
        Ok((Arc::new(resolver), reports))
    }

    /// Answers without waiting, or says that an upstream must be asked.
    pub fn answer(&self, q: &Query, ctx: &Context, out: &mut Vec<u8>) -> Step {
        if let Some(refusal) = refusal(q) {
            return Step::Done(self.bare(q, ctx, &refusal, out));
        }
        match self.decide(q, ctx, &Got::default()) {
            Found::Ready(entry, cache) => Step::Done(entry.serve(q, ctx, &self.style, cache, out)),
            Found::Ask(ask) => Step::Ask(Pending::new(q, ctx, *ask)),
        }
    }

    /// The answer before policy: from our zones, from what was `got` by waiting, or from the cache.
    fn plain(&self, q: &Query, now: Instant, got: &Got) -> Found {
        let zones = self.zones.in_force();
        if !zones.is_empty()
            && zones.contains(&q.lower)
            && let Some(found) = self.local(&zones, q, now, got)
        {
            return found;
        }
        if let Some(refusal) = self.not_ours(q) {
            let entry = Entry::new(q, &refusal, Life::FOR_EVER, &self.style);
            return Found::Ready(Arc::new(entry), "none");
        }
        self.kept(q, now, got)
    }

    /// The answer of our zones, with the end of a chain of aliases that leaves them; none for what
    /// upstream knows better.
    fn local(&self, zones: &ZoneSet, q: &Query, now: Instant, got: &Got) -> Option<Found> {
        let key = Key::new(q);
        if let Hit::Fresh(entry) = zones.answers.get(&key, now) {
            return Some(Found::Ready(entry, "local"));
        }
        let recursive = q.rd && self.upstreams.is_some();
        let local = zones.answer(q, recursive)?;
        let (entry, cache) = match local.leaves_to.filter(|_| recursive) {
            None => (Entry::new(q, &local.answer, Life::FOR_EVER, &self.style), "local"),
            Some(to) => match self.kept(&Query { qname: to, lower: to, ..*q }, now, got) {
                Found::Ready(end, cache) => {
                    let answer = joined(local.answer, &end, now);
                    let life = Life::until(now, end.expires());
                    (Entry::new(q, &answer, life, &self.style), cache)
                }
                ask @ Found::Ask(_) => return Some(ask),
            },
        };
        let entry = Arc::new(entry);
        if cache != "miss" {
            zones.answers.insert(&key, Arc::clone(&entry));
        }
        Some(Found::Ready(entry, cache))
    }

    /// What upstream said, if we know.
    fn kept(&self, q: &Query, now: Instant, got: &Got) -> Found {
        let key = Key::new(q);
        if let Some((entry, cache)) = got.find(&key) {
            return Found::Ready(entry, cache);
        }
        match self.cache.get(&key, now) {
            Hit::Fresh(entry) => Found::Ready(entry, "hit"),
            Hit::Stale(_) | Hit::Miss => Found::Ask(Box::new(*q)),
        }
    }

    /// What is answered without asking for a name that is not ours.
    fn not_ours(&self, q: &Query) -> Option<Answer> {
        if self.upstreams.is_none() || !q.rd {
            let text = "not our zone, and no recursion";
            return Some(Answer::error(Rcode::REFUSED, Ede::NOT_AUTHORITATIVE, text));
        }
        if q.qtype == rtype::ANY {
            return Some(any(q));
        }
        None
    }

    fn bare(&self, q: &Query, ctx: &Context, answer: &Answer, out: &mut Vec<u8>) -> Answered {
        Arc::new(Entry::new(q, answer, Life::FOR_EVER, &self.style)).serve(
            q,
            ctx,
            &self.style,
            "none",
            out,
        )
    }

    /// Writes a response without records, for a question that is refused before it is resolved
    /// (access control) or after (the spool is full). It is not recorded: its tail is empty.
    pub fn refuse(
        &self,
        q: &Query,
        rcode: Rcode,
        ede: Ede,
        text: &'static str,
        out: &mut Vec<u8>,
    ) -> Answered {
        let entry = Entry::unrecorded(q, &Answer::error(rcode, ede, text));
        let ctx = Context {
            client: SocketAddr::from(([0, 0, 0, 0], 0)),
            transport: Transport::Udp,
            now: Timestamp::ZERO,
            now_mono: self.clock.monotonic(),
        };
        let answered = Arc::new(entry).serve(q, &ctx, &self.style, "none", out);
        Answered { tail: Tail::NOTHING, ..answered }
    }

    /// Writes SERVFAIL for a question that would have to wait where no more may wait. It is
    /// recorded like any other answer.
    pub fn turn_away(&self, q: &Query, ctx: &Context, out: &mut Vec<u8>) -> Answered {
        let answer = Answer::error(Rcode::SERVFAIL, Ede::OTHER, "too many questions are waiting");
        self.bare(q, ctx, &answer, out)
    }

    /// Reads every zone again; what is in force changes once, at the end.
    pub fn reload_zones(&self) -> Vec<ZoneReport> {
        self.zones.reload()
    }

    /// Whether a zone of ours holds `host`.
    pub fn serves(&self, host: &str) -> bool {
        let name = crate::name::Name::from_text(&host.to_ascii_lowercase());
        name.is_ok_and(|name| self.zones.in_force().contains(&name))
    }

    /// Upstream answers kept, and their size in bytes.
    pub fn cache_size(&self) -> (usize, u64) {
        (self.cache.len(), self.cache.bytes())
    }

    /// Answers that rules made and that are kept, and their size in bytes.
    pub fn made_size(&self) -> (usize, u64) {
        (self.made.len(), self.made.bytes())
    }

    /// Questions that wait for an upstream now.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }
}

/// The longest name server identifier, in bytes.
const NSID_BYTES_MAX: usize = 128;

/// One part in so many of the cache is for answers from local zones.
const ZONE_ANSWERS_SHARE: u64 = 8;

/// What is never answered, whoever's name it is.
fn refusal(q: &Query) -> Option<Answer> {
    if q.edns.is_some_and(|e| e.version > 0) {
        let text = "only EDNS version 0";
        return Some(Answer::error(Rcode::BADVERS, Ede::NOT_SUPPORTED, text));
    }
    let (rcode, text) = match (q.qclass, q.qtype) {
        // Not even our version: it helps nobody but attackers.
        (class::CH | class::HS | class::ANY, _) => (Rcode::REFUSED, "only class IN is served"),
        (class::IN, rtype::AXFR | rtype::IXFR) => (Rcode::REFUSED, "no zone transfers"),
        (class::IN, rtype::ANY) => return None,
        (class::IN, rtype::META_FIRST..=rtype::ANY) => (Rcode::NOTIMP, "no such question"),
        (class::IN, _) => return None,
        _ => (Rcode::NOTIMP, "no such class"),
    };
    Some(Answer::error(rcode, Ede::NOT_SUPPORTED, text))
}

/// The record that stands for ANY (RFC 8482 §4.2).
fn any(q: &Query) -> Answer {
    let mut answer = Answer::bare(Rcode::NOERROR);
    answer.sections.answer.push(message::Record {
        owner: q.lower.wire().into(),
        rtype: rtype::HINFO,
        class: class::IN,
        ttl: 3_600,
        rdata: (*b"\x07RFC8482\0").into(),
    });
    answer
}
