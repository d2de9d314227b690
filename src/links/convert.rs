//! The links: what conversions and visits have in common.

use std::{
    ops::Range,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use super::{
    Codes, Error, Freshness, Link, LinkStore, Listed, NotConverted, OutboundKeys, Revision,
    SeenCode, Target, TargetRules,
    cache::{ABSENT_FOR, LinkCache},
    forward::is_forward,
    group::Group,
    room::Room,
    visits::Visits,
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    metrics::Metrics,
    record::PublicSuffixes,
    spool::SharedLane,
};

/// How far apart the clocks of those who made links may have been.
const CLOCKS_APART: Duration = Duration::from_secs(86_400);

/// Sequence numbers taken from the database at a time. Those unused at a crash are skipped.
const NUMBERS_AT_ONCE: u64 = 64;

/// Of all numbers, the part that is passed over at once.
const SKIPPED_PART: u64 = 4_096;

/// The longest wait for codes that are held.
const HELD_MAX: Duration = Duration::from_secs(12);

/// Asks the rules in force about a target. Neither blocks nor waits.
pub type IsListed = Box<dyn Fn(&Target) -> Listed + Send + Sync>;

/// What the last verdict on a host means for links that lead there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The verdict in one word; `not_evaluated` without one.
    pub word: &'static str,
    /// The verdict or the check for which no link may lead there.
    pub refused: Option<&'static str>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { word: "not_evaluated", refused: None }
    }
}

/// Asks for the last verdict on a host. Neither blocks nor waits.
pub type Standings = Box<dyn Fn(&str) -> Standing + Send + Sync>;

/// Asks our zones about a host. Neither blocks nor waits.
pub type Serves = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// What [`Links`] is made of.
pub struct LinksOptions {
    /// The database.
    pub store: Arc<dyn LinkStore>,
    /// The lane of conversions.
    pub lane: SharedLane,
    /// The codes.
    pub codes: Codes,
    /// What a target may be.
    pub rules: TargetRules,
    /// What the rules in force would make of a jump to it.
    pub is_listed: IsListed,
    /// Whether a zone that we serve holds a host.
    pub serves: Serves,
    /// For registrable domains.
    pub suffixes: Arc<PublicSuffixes>,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The section `[gateway]`: domains, and what is kept in memory.
    pub gateway: config::Gateway,
    /// The most bytes of records in one transaction: those of a batch of the spool.
    pub batch_bytes_max: usize,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("codes", &self.codes).finish_non_exhaustive()
    }
}

/// The links: what the gateway follows and the API changes.
pub struct Links {
    pub(super) store: Arc<dyn LinkStore>,
    pub(super) lane: SharedLane,
    pub(super) codes: Codes,
    rules: TargetRules,
    is_listed: IsListed,
    pub(super) standings: Standings,
    pub(super) serves: Serves,
    pub(super) foreign_forwards: bool,
    pub(super) hops_max: u8,
    pub(super) suffixes: Arc<PublicSuffixes>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) cache: LinkCache,
    /// Whether a forward was ever seen.
    pub(super) any_forward: AtomicBool,
    fresh: Option<Arc<Freshness>>,
    pub(super) visits: Visits,
    domains: Vec<String>,
    pub(super) batch_bytes_max: usize,
    pub(super) group: Group,
    numbers: Mutex<Range<u64>>,
    held: (Mutex<bool>, Condvar),
    pub(super) outbound: Arc<OutboundKeys>,
    pub(super) query_bytes_max: usize,
    pub(super) room: Room,
}

impl Links {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`Error::OtherKey`] when the codes in the database were made under another key.
    pub fn new(options: LinksOptions) -> Result<Self, Error> {
        let LinksOptions { store, lane, codes, rules, is_listed, serves, .. } = options;
        let LinksOptions { suffixes, clock, metrics, gateway, batch_bytes_max, .. } = options;
        if !store.pin("codes.key", codes.fingerprint())? {
            return Err(Error::OtherKey);
        }
        let (cache, numbers) = (LinkCache::new(gateway.link_cache_bytes_max), Mutex::new(0..0));
        let held = (Mutex::new(false), Condvar::new());
        let domains = gateway.domains.iter().map(|d| d.to_ascii_lowercase()).collect();
        let fresh = store.freshness();
        Ok(Self {
            store,
            lane,
            codes,
            rules,
            is_listed,
            standings: Box::new(|_| Standing::default()),
            serves,
            foreign_forwards: gateway.foreign_forwards == config::ForeignForwards::Allow,
            hops_max: gateway.hops_max,
            suffixes,
            clock,
            metrics,
            cache,
            any_forward: AtomicBool::new(false),
            fresh,
            visits: Visits::new(gateway.visit_leases_max, gateway.visit_portion_max),
            domains,
            batch_bytes_max,
            group: Group::default(),
            numbers,
            held,
            outbound: Arc::new(OutboundKeys::none()),
            query_bytes_max: gateway.outbound.query_bytes_max,
            room: Room::default(),
        })
    }

    /// The same, asking for verdicts on targets.
    #[must_use]
    pub fn with_standings(self, standings: Standings) -> Self {
        Self { standings, ..self }
    }

    /// The same with keys for outbound targets.
    #[must_use]
    pub fn with_outbound(self, keys: Arc<OutboundKeys>) -> Self {
        Self { outbound: keys, ..self }
    }

    /// The same with at most `max` links of an owner that may be followed; 0 for no limit.
    /// Operators are exempt.
    #[must_use]
    pub fn with_owner_links_max(self, max: u64) -> Self {
        Self { room: Room::new(max), ..self }
    }

    /// The keys for outbound targets.
    pub fn outbound(&self) -> &Arc<OutboundKeys> {
        &self.outbound
    }

    /// While held, no code is generated: somebody still finds out which codes an earlier or newer
    /// copy of the database has given out. Whoever wants one waits, at most [`HELD_MAX`].
    pub fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.held.1.notify_all();
    }

    pub(super) fn is_held(&self) -> bool {
        let held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.held.1.wait_timeout_while(held, HELD_MAX, |held| *held);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The link of `code` if it is in memory and may be believed. Does not block.
    pub fn cached(&self, code: &str) -> Option<Arc<Link>> {
        let link = self.cache.find(code)?;
        let believed = self.fresh.as_ref().is_none_or(|f| f.believes(link.read));
        believed.then_some(link)
    }

    /// The link of `code` from the database, or, where that is away and links shall go on, from
    /// memory. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read(&self, code: &str) -> Result<Option<Arc<Link>>, Error> {
        // Whoever waited for the same link has read it meanwhile.
        if let Some(link) = self.cached(code) {
            return Ok(Some(link));
        }
        let Some(fresh) = &self.fresh else { return self.cache.read(&*self.store, code, 0) };
        let serves = fresh.serves_when_away();
        if serves
            && fresh.spares_reads()
            && let Some(link) = self.cache.find(code)
        {
            return Ok(Some(link));
        }
        match self.cache.read(&*self.store, code, fresh.now()) {
            Err(e) if serves && is_unreadable(&e) => {
                fresh.spare_reads();
                self.cache.find(code).map(Some).ok_or(e)
            }
            read => read,
        }
    }

    /// How often links changed so far: for [`Self::is_newest`].
    pub fn changes(&self) -> u64 {
        self.cache.changes()
    }

    /// Whether nothing is known to have come after `link`, which was found when there had been
    /// `changes`. Does not block.
    pub fn is_newest(&self, link: &Link, changes: u64) -> bool {
        let same = |now: Arc<Link>| now.revision == link.revision;
        self.cache.changes() == changes || self.cached(&link.code).is_some_and(same)
    }

    /// Whether links go on while the database is away.
    pub(super) fn serves_when_away(&self) -> bool {
        self.fresh.as_ref().is_some_and(|fresh| fresh.serves_when_away())
    }

    /// For how long a forward that was not found is taken for none.
    pub(super) fn absent_for(&self) -> Duration {
        let stale_max = self.fresh.as_ref().map_or(ABSENT_FOR, |fresh| fresh.stale_max());
        stale_max.min(ABSENT_FOR)
    }

    /// Whether `host` is one of ours.
    pub(super) fn is_own(&self, host: &str) -> bool {
        self.rules.is_own(host)
    }

    /// The longest target.
    pub(super) fn target_length_max(&self) -> usize {
        self.rules.length_max()
    }

    /// Forgets what is in memory of a link whose walk found something else.
    pub(crate) fn walked(&self, code: &str) {
        self.cache.changed(code);
    }

    /// The database.
    pub fn store(&self) -> &Arc<dyn LinkStore> {
        &self.store
    }

    /// Since when conversions may hold codes that the database does not know, because it was lost
    /// or an older copy of it was put back: a day before its newest revision, for clocks that were
    /// not together, and [`Timestamp::ZERO`] where it has none. Stays what it was, over restarts
    /// and new revisions, until [`Self::learned`]. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unlearned(&self) -> Result<Timestamp, Error> {
        if let Some(since) = self.store.unlearned()? {
            return Ok(since);
        }
        let since = self.store.newest()?.saturating_sub(CLOCKS_APART).max(Timestamp::ZERO);
        self.store.set_unlearned(Some(since))?;
        Ok(since)
    }

    /// Every code since [`Self::unlearned`] was given to [`Self::learn`]. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn learned(&self) -> Result<(), Error> {
        self.store.set_unlearned(None)
    }

    /// Learns of codes that records name: the sequence is raised above those that we generated, so
    /// that none of them is ever made again, and those that somebody chose or brought along and that
    /// no link here has are never given to anybody else. A host that was forwarded may be again.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn learn(&self, seen: &[SeenCode]) -> Result<(), Error> {
        let number = |seen: &SeenCode| match seen.taken_over {
            true => None,
            false => self.codes.decode(&seen.code),
        };
        let chosen = seen.iter().filter(|s| number(s).is_none() && !is_forward(&s.code));
        let chosen: Vec<&str> = chosen.map(|s| s.code.as_str()).collect();
        if !chosen.is_empty() {
            self.store.spend(&chosen)?;
        }
        let Some(highest) = seen.iter().filter_map(number).max() else { return Ok(()) };
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.raise(self.codes.length(), highest + 1)?;
        // What was taken is skipped; nothing below is ever taken for new.
        *numbers = numbers.end..numbers.end;
        Ok(())
    }

    /// A target that a link may lead to.
    pub(super) fn target(&self, submitted: &str) -> Result<Target, NotConverted> {
        let target = self.rules.parse(submitted, &self.suffixes)?;
        match (self.is_listed)(&target) {
            Listed::No => match (self.standings)(&target.host).refused {
                Some(finding) => Err(NotConverted::Refuted(finding)),
                None => Ok(target),
            },
            Listed::Yes(by) => Err(NotConverted::Listed(by)),
            Listed::Unknown => Err(NotConverted::Closed),
        }
    }

    /// A host that links may be served at.
    pub(super) fn refuse_domain(&self, domain: &str) -> Result<(), NotConverted> {
        let known = domain.is_empty() || self.domains.iter().any(|d| d == domain);
        if known { Ok(()) } else { Err(NotConverted::Domain) }
    }

    pub(super) fn aim(&self, revision: &mut Revision, target: Target) {
        revision.target_submitted = target.submitted;
        revision.target = target.serialised;
        revision.target_host = target.host;
        revision.target_registrable_domain = target.registrable_domain;
        self.suffixes.version().clone_into(&mut revision.psl_version);
    }

    pub(super) fn refuse_past(&self, expires: Timestamp) -> Result<(), NotConverted> {
        let past = expires != Timestamp::ZERO && expires <= self.clock.now();
        if past { Err(NotConverted::Past) } else { Ok(()) }
    }

    /// So many codes that were never given before.
    pub(super) fn next_codes(&self, count: usize) -> Result<Vec<String>, Error> {
        let mut codes = Vec::with_capacity(count);
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        while codes.len() < count {
            let missing = (count - codes.len()) as u64;
            if numbers.is_empty() {
                let more = missing.max(NUMBERS_AT_ONCE);
                let mut first = self.store.reserve(self.codes.length(), more)?;
                // An older copy of the database was put in place while we run.
                if first < numbers.end {
                    tracing::error!("the control database gives numbers a second time");
                    self.store.raise(self.codes.length(), numbers.end)?;
                    first = self.store.reserve(self.codes.length(), more)?;
                }
                *numbers = first..first + more;
            }
            for number in numbers.by_ref().take(count - codes.len()) {
                let code = self.codes.encode(number);
                let code = code.ok_or_else(|| Error::Exhausted(self.codes.length()))?;
                // A few words are paths of ours.
                if super::code::may_be_taken_over(&code) {
                    codes.push(code);
                }
            }
        }
        Ok(codes)
    }

    /// Passes over numbers, twice as many with each `attempt`: codes that came from another database of
    /// ours, under the same key, are in the way in long runs. At most a small part of all of them.
    pub(super) fn skip_codes(&self, attempt: u32) -> Result<(), Error> {
        let most = self.codes.space() / SKIPPED_PART;
        let count = NUMBERS_AT_ONCE.checked_shl(attempt).unwrap_or(most).min(most);
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.store.reserve(self.codes.length(), count)?;
        *numbers = first + count..first + count;
        Ok(())
    }
}

/// Whether the database cannot say what a link is, away, slow or out of something, rather than what it
/// says being damaged.
pub(super) const fn is_unreadable(e: &Error) -> bool {
    !matches!(e, Error::Damaged(_))
}
