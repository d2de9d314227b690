//! Conversions: making and changing links.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Actor, Codes, Error, Link, LinkStore, Operation, OutboxRow, Refusal, Revision, State, Target,
    TargetRules, cache::LinkCache,
};
use crate::{
    clock::{Clock, Timestamp},
    metrics::Metrics,
    record::{Conversion, PublicSuffixes, RecordId},
    spool::{Refused, SharedLane},
};

/// How far apart the clocks of those who made links may have been.
const CLOCKS_APART: Duration = Duration::from_secs(86_400);

/// Sequence numbers taken from the database at a time. Those unused at a crash are skipped.
const NUMBERS_AT_ONCE: u64 = 64;

/// How often a generated code may turn out to be in use before we give up: codes chosen by
/// callers, or made under another length, are the only ones in the way.
const ATTEMPTS_MAX: u32 = 32;

/// What a new link shall be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The target as submitted.
    pub target: String,
    /// The code wanted; none for a generated one.
    pub code: Option<String>,
    /// When it ends; [`Timestamp::ZERO`] for never.
    pub expires: Timestamp,
    /// Whose it is.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// What shall change; none leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The target as submitted.
    pub target: Option<String>,
    /// When it ends; [`Timestamp::ZERO`] for never.
    pub expires: Option<Timestamp>,
    /// Whether it may be followed.
    pub state: Option<State>,
    /// Why.
    pub reason: String,
    /// Only if this is the newest revision.
    pub revision: Option<u32>,
}

/// The longest wait for codes that are held.
const HELD_MAX: Duration = Duration::from_secs(12);

/// Who asks.
#[derive(Clone, Debug)]
pub struct By {
    /// The token.
    pub actor: Actor,
    /// The connection.
    pub client: SocketAddr,
}

/// A conversion that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The newest revision.
    pub revision: Revision,
    /// The record of the conversion; none when nothing was to be changed.
    pub record: Option<RecordId>,
}

/// Why there was no conversion.
#[derive(Debug, thiserror::Error)]
pub enum NotConverted {
    /// The target is none.
    #[error(transparent)]
    Target(#[from] Refusal),
    /// Nobody may choose that code.
    #[error("this code cannot be chosen")]
    Code,
    /// The end lies in the past.
    #[error("the end lies in the past")]
    Past,
    /// A list without which no jump is made is not there.
    #[error("a list without which no jump is made is not in force")]
    Closed,
    /// The control state could not be changed.
    #[error(transparent)]
    Control(#[from] Error),
}

/// What the rules in force would make of a jump to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It would go on.
    No,
    /// A rule would stop it.
    Yes,
    /// Nobody can say: a list without which no jump is made is not there.
    Unknown,
}

/// Asks the rules in force about a target. Neither blocks nor waits.
pub type IsListed = Box<dyn Fn(&Target) -> Listed + Send + Sync>;

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
    /// For registrable domains.
    pub suffixes: Arc<PublicSuffixes>,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Links kept in memory, in bytes.
    pub cache_bytes_max: u64,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("codes", &self.codes).finish_non_exhaustive()
    }
}

/// The links: what the gateway follows and the API changes.
pub struct Links {
    store: Arc<dyn LinkStore>,
    lane: SharedLane,
    codes: Codes,
    rules: TargetRules,
    is_listed: IsListed,
    suffixes: Arc<PublicSuffixes>,
    clock: Clock,
    metrics: Arc<Metrics>,
    cache: LinkCache,
    numbers: Mutex<Range<u64>>,
    held: (Mutex<bool>, Condvar),
}

impl Links {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`Error::OtherKey`] when the codes in the database were made under another key.
    pub fn new(options: LinksOptions) -> Result<Self, Error> {
        let LinksOptions { store, lane, codes, rules, is_listed, .. } = options;
        let LinksOptions { suffixes, clock, metrics, cache_bytes_max, .. } = options;
        if !store.pin("codes.key", codes.fingerprint())? {
            return Err(Error::OtherKey);
        }
        let (cache, numbers) = (LinkCache::new(cache_bytes_max), Mutex::new(0..0));
        let held = (Mutex::new(false), Condvar::new());
        Ok(Self {
            store,
            lane,
            codes,
            rules,
            is_listed,
            suffixes,
            clock,
            metrics,
            cache,
            numbers,
            held,
        })
    }

    /// While held, no code is generated: somebody still finds out which codes an earlier or newer
    /// copy of the database has given out. Whoever wants one waits, at most [`HELD_MAX`].
    pub fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.held.1.notify_all();
    }

    fn is_held(&self) -> bool {
        let held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.held.1.wait_timeout_while(held, HELD_MAX, |held| *held);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The link of `code` if it is in memory. Does not block.
    pub fn cached(&self, code: &str) -> Option<Arc<Link>> {
        self.cache.find(code)
    }

    /// The link of `code` from the database. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read(&self, code: &str) -> Result<Option<Arc<Link>>, Error> {
        self.cache.read(&*self.store, code)
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

    /// Every code since [`Self::unlearned`] was given to [`Self::raise_above`]. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn learned(&self) -> Result<(), Error> {
        self.store.set_unlearned(None)
    }

    /// Raises the sequence above every code seen, so that none of them is ever made again.
    /// Codes that we did not generate are passed over. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn raise_above<'a>(&self, seen: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
        let highest = seen.into_iter().filter_map(|code| self.codes.decode(code)).max();
        let Some(highest) = highest else { return Ok(()) };
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.raise(self.codes.length(), highest + 1)?;
        *numbers = 0..0;
        Ok(())
    }

    /// Makes a link. Blocks on the disk.
    ///
    /// # Errors
    /// See [`NotConverted`]; nothing was changed then, except after [`Error::Failed`], when a
    /// restart decides.
    pub fn create(&self, draft: Draft, by: &By) -> Result<Converted, NotConverted> {
        let target = self.target(&draft.target)?;
        self.refuse_past(draft.expires)?;
        let generated = draft.code.is_none();
        if generated && self.is_held() {
            return Err(Error::Held.into());
        }
        if draft.code.as_ref().is_some_and(|code| !self.codes.may_be_chosen(code)) {
            return Err(NotConverted::Code);
        }
        let mut revision = Revision {
            code: draft.code.unwrap_or_default(),
            revision: 1,
            ts: self.clock.now(),
            operation: Operation::Create,
            target_submitted: String::new(),
            target: String::new(),
            target_host: String::new(),
            target_registrable_domain: String::new(),
            state: State::Enabled,
            expires: draft.expires,
            actor: by.actor.name.to_string(),
            owner: draft.owner,
            reason: draft.reason,
            psl_version: String::new(),
        };
        self.aim(&mut revision, target);
        for _ in 0..ATTEMPTS_MAX {
            if generated {
                revision.code = self.next_code()?;
            }
            match self.convert(&revision, by) {
                Err(Error::Taken) if generated => {}
                done => return Ok(Converted { record: Some(done?), revision }),
            }
        }
        Err(Error::Exhausted(self.codes.length()).into())
    }

    /// Changes a link. Blocks on the disk.
    ///
    /// # Errors
    /// See [`NotConverted`]. [`Error::Conflict`] when it is not at the revision given.
    pub fn edit(&self, code: &str, edit: &Edit, by: &By) -> Result<Converted, NotConverted> {
        let target = edit.target.as_ref().map(|t| self.target(t)).transpose()?;
        loop {
            let current = self.store.current(code)?.ok_or(Error::Unknown)?;
            if edit.revision.is_some_and(|r| r != current.revision) {
                return Err(Error::Conflict { current: current.revision }.into());
            }
            let Some(next) = self.next(&current, edit, target.clone(), by) else {
                return Ok(Converted { revision: current, record: None });
            };
            if next.expires != current.expires {
                self.refuse_past(next.expires)?;
            }
            match self.convert(&next, by) {
                // Somebody was faster; without a revision asked for, ours comes after theirs.
                Err(Error::Conflict { .. }) if edit.revision.is_none() => {}
                done => return Ok(Converted { record: Some(done?), revision: next }),
            }
        }
    }

    /// A target that a link may lead to.
    fn target(&self, submitted: &str) -> Result<Target, NotConverted> {
        let target = self.rules.parse(submitted, &self.suffixes)?;
        match (self.is_listed)(&target) {
            Listed::No => Ok(target),
            Listed::Yes => Err(Refusal::Listed.into()),
            Listed::Unknown => Err(NotConverted::Closed),
        }
    }

    /// The revision after `current`; none when `edit` changes nothing.
    fn next(
        &self,
        current: &Revision,
        edit: &Edit,
        target: Option<Target>,
        by: &By,
    ) -> Option<Revision> {
        let mut next = current.clone();
        if let Some(target) = target {
            self.aim(&mut next, target);
        }
        next.expires = edit.expires.unwrap_or(current.expires);
        next.state = edit.state.unwrap_or(current.state);
        if next.target_submitted == current.target_submitted
            && next.expires == current.expires
            && next.state == current.state
        {
            return None;
        }
        next.operation = match (current.state, next.state) {
            (State::Enabled, State::Disabled) => Operation::Disable,
            (State::Disabled, State::Enabled) => Operation::Enable,
            _ => Operation::Edit,
        };
        next.revision += 1;
        next.ts = self.clock.now();
        next.actor = by.actor.name.to_string();
        next.reason.clone_from(&edit.reason);
        Some(next)
    }

    fn aim(&self, revision: &mut Revision, target: Target) {
        revision.target_submitted = target.submitted;
        revision.target = target.serialised;
        revision.target_host = target.host;
        revision.target_registrable_domain = target.registrable_domain;
        self.suffixes.version().clone_into(&mut revision.psl_version);
    }

    fn refuse_past(&self, expires: Timestamp) -> Result<(), NotConverted> {
        let past = expires != Timestamp::ZERO && expires <= self.clock.now();
        if past { Err(NotConverted::Past) } else { Ok(()) }
    }

    fn next_code(&self) -> Result<String, Error> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.is_empty() {
            let first = self.store.reserve(self.codes.length(), NUMBERS_AT_ONCE)?;
            *numbers = first..first + NUMBERS_AT_ONCE;
        }
        let code = numbers.next().and_then(|n| self.codes.encode(n));
        code.ok_or_else(|| Error::Exhausted(self.codes.length()))
    }

    /// Record and revision in one transaction, then the append, then the answer.
    fn convert(&self, revision: &Revision, by: &By) -> Result<RecordId, Error> {
        let flow = self.lane.new_flow();
        let prepared = self
            .lane
            .prepare(&Conversion {
                code: &revision.code,
                revision: revision.revision,
                operation: revision.operation.name(),
                target_submitted: &revision.target_submitted,
                target: &revision.target,
                target_host: &revision.target_host,
                target_registrable_domain: &revision.target_registrable_domain,
                actor: &revision.actor,
                owner: &revision.owner,
                reason: &revision.reason,
                client: by.client,
                client_key: "",
                expires: revision.expires,
                verification: "not_evaluated",
                psl_version: &revision.psl_version,
                flow,
                service: "link",
                domain: "",
                state: revision.state.name(),
                settings: "",
                previous: "",
            })
            .map_err(refused)?;
        let id = prepared.id.clone();
        let record = OutboxRow {
            lane: id.lane,
            seq: id.seq,
            schema: prepared.schema,
            bytes: prepared.bytes.clone(),
        };
        let mut prepared = Some(prepared);
        self.store.revise(revision, &record, &mut || {
            let prepared = prepared.take().ok_or(Error::Failed)?;
            prepared.append().map(|_| ()).map_err(refused)
        })?;
        self.cache.changed(&revision.code);
        self.metrics.gateway.conversions.increment(1);
        Ok(id)
    }
}

const fn refused(why: Refused) -> Error {
    match why {
        // A row too large for a batch has no room either; the API's own limits come long before.
        Refused::Full | Refused::TooLarge => Error::Full,
        Refused::Failed => Error::Failed,
    }
}
