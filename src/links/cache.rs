//! Links in memory, in front of the database, bounded in bytes.
//!
//! What is found here is never older than the last change made through this process: a change
//! takes its link out, and a reader that read the database while a change went on takes its own
//! entry out again (the counter below).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;
use quick_cache::{Weighter, sync::Cache};

use super::{
    Error, Findings, ForwardFrom, LinkSettings, LinkStore, Revision, STATUS, State, Target,
    change::unsaid,
    forward::{PREFIX, all_of},
};
use crate::clock::Timestamp;

/// Forwards remembered that are not there.
const ABSENT_MAX: usize = 65_536;

/// For how long at most: what another node makes is served within a second, which leaves some time to
/// read it.
pub(super) const ABSENT_FOR: Duration = Duration::from_millis(750);

/// What a jump needs to know of a link: its newest revision.
#[derive(Debug)]
pub struct Link {
    /// The code.
    pub code: Box<str>,
    /// The revision in force.
    pub revision: u32,
    /// The target in its WHATWG serialisation, for `Location`.
    pub location: HeaderValue,
    /// The same as text.
    pub target: Box<str>,
    /// Its host.
    pub target_host: Box<str>,
    /// Its registrable domain.
    pub target_registrable_domain: Box<str>,
    /// Whether it may be followed.
    pub state: State,
    /// When it ends; [`Timestamp::ZERO`] for never.
    pub expires: Timestamp,
    /// The public suffix list behind the registrable domain.
    pub psl_version: Box<str>,
    /// Whose it is.
    pub owner: Box<str>,
    /// What walks along its way found.
    pub findings: Findings,
    /// When it was read, for [`Freshness`](super::Freshness).
    pub(super) read: u64,
    /// What few links have; see [`Link::settings`].
    more: Option<Box<More>>,
}

/// What is kept for links that have it alone.
#[derive(Debug)]
struct More {
    domain: Box<str>,
    settings: LinkSettings,
}

impl Link {
    fn new(mut r: Revision, findings: Findings, read: u64) -> Result<Self, Error> {
        if r.state == State::Disabled && r.settings.stopped.is_none() {
            r.settings.stopped = unsaid(&r);
        }
        let damaged = |_| Error::Damaged(r.code.clone());
        let location = HeaderValue::from_str(&r.target).map_err(damaged)?;
        Ok(Self {
            code: r.code.into(),
            revision: r.revision,
            location,
            target: r.target.into(),
            target_host: r.target_host.into(),
            target_registrable_domain: r.target_registrable_domain.into(),
            state: r.state,
            expires: r.expires,
            psl_version: r.psl_version.into(),
            owner: r.owner.into(),
            findings,
            read,
            more: more(r.domain, r.settings),
        })
    }

    /// A link that nobody made: it leads to `target`, has no code and is in no database.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a target that fits no header, which none is that was parsed.
    pub fn ad_hoc(target: Target, psl_version: &str) -> Result<Self, Error> {
        let location = HeaderValue::from_str(&target.serialised);
        Ok(Self {
            code: "".into(),
            revision: 0,
            location: location.map_err(|_| Error::Damaged(String::new()))?,
            target: target.serialised.into(),
            target_host: target.host.into(),
            target_registrable_domain: target.registrable_domain.into(),
            state: State::Enabled,
            expires: Timestamp::ZERO,
            psl_version: psl_version.into(),
            owner: "".into(),
            findings: Findings::default(),
            read: 0,
            more: None,
        })
    }

    /// Whether the link has ended by `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let past = self.expires != Timestamp::ZERO && self.expires <= now;
        past || self.state == State::Expired
    }

    /// The host it is served at; empty for every host of ours.
    pub fn domain(&self) -> &str {
        self.more.as_ref().map_or("", |m| &m.domain)
    }

    /// What is set of it that a jump needs to know (without tags, purpose and how its owner was
    /// verified); none when everything is as usual.
    pub fn settings(&self) -> Option<&LinkSettings> {
        self.more.as_ref().map(|m| &m.settings)
    }

    /// The status of its jumps.
    pub fn status(&self) -> u16 {
        self.settings().map_or(STATUS, |s| s.status)
    }
}

fn more(domain: String, settings: LinkSettings) -> Option<Box<More>> {
    let settings = LinkSettings {
        tags: Vec::new(),
        purpose: String::new(),
        owner_verification: None,
        source: String::new(),
        ..settings
    };
    let usual = domain.is_empty() && settings == LinkSettings::default();
    (!usual).then(|| Box::new(More { domain: domain.into(), settings }))
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Box<str>, Arc<Link>> for ByBytes {
    fn weight(&self, code: &Box<str>, link: &Arc<Link>) -> u64 {
        // The structures themselves, allocator and cache slots: about 300 bytes.
        let text = code.len() * 2
            + link.target.len() * 2
            + link.target_host.len()
            + link.target_registrable_domain.len()
            + link.psl_version.len()
            + link.owner.len();
        let more = link
            .more
            .as_ref()
            .map_or(0, |m| size_of::<More>() + m.domain.len() + m.settings.password.len() + 64);
        300 + (text + more) as u64
    }
}

#[derive(Debug)]
pub(super) struct LinkCache {
    links: Cache<Box<str>, Arc<Link>, ByBytes>,
    /// Forwards that were looked for and not found, and when: whoever sends us visitors of a thousand
    /// hosts must not have the database asked for each of them. Also [`all_of`] hosts without any, and
    /// [`PREFIX`] where there is none at all.
    absent: Cache<Box<str>, Instant>,
    /// Changes so far.
    changes: AtomicU64,
}

impl LinkCache {
    pub(super) fn new(bytes_max: u64) -> Self {
        let about = usize::try_from(bytes_max / 500).unwrap_or(usize::MAX);
        Self {
            links: Cache::with_weighter(about.clamp(16, 1 << 20), bytes_max, ByBytes),
            absent: Cache::new(ABSENT_MAX),
            changes: AtomicU64::new(0),
        }
    }

    pub(super) fn find(&self, code: &str) -> Option<Arc<Link>> {
        self.links.get(code)
    }

    /// Reads the database at `now` and remembers what it says. Unknown codes are not remembered: whoever
    /// guesses codes must not push links out.
    pub(super) fn read(
        &self,
        store: &dyn LinkStore,
        code: &str,
        now: u64,
    ) -> Result<Option<Arc<Link>>, Error> {
        let before = self.changes.load(Ordering::SeqCst);
        let Some(revision) = store.current(code)? else { return Ok(None) };
        let walked = store.destination(code)?.filter(|d| d.target == revision.target);
        let findings = walked.map(|d| d.findings).unwrap_or_default();
        let link = Arc::new(Link::new(revision, findings, now)?);
        self.links.insert(code.into(), Arc::clone(&link));
        if self.changes.load(Ordering::SeqCst) != before {
            // A change may have been shown after we read and taken its link out before we put
            // ours in.
            self.links.remove(code);
        }
        Ok(Some(link))
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Whether nothing was found under `code` so lately before now; for none, the last time.
    pub(super) fn is_absent(&self, code: &str, lately: Option<(Instant, Duration)>) -> bool {
        let holds = |at| lately.is_none_or(|(now, span)| now.saturating_duration_since(at) < span);
        self.absent.get(code).is_some_and(holds)
    }

    /// Something was found.
    pub(super) fn present(&self, code: &str) {
        self.absent.remove(code);
    }

    /// Remembers that nothing was found under `code`, unless something has changed since `before`.
    pub(super) fn absent(&self, code: &str, now: Instant, before: u64) {
        self.absent.insert(code.into(), now);
        if self.changes() != before {
            self.absent.remove(code);
        }
    }

    /// To be called after a change is shown and before it is answered.
    pub(super) fn changed(&self, code: &str) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.links.remove(code);
        if let Some(from) = ForwardFrom::of_code(code) {
            for gone in [code, &all_of(from.host()), PREFIX] {
                self.absent.remove(gone);
            }
        }
    }

    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.links.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::Operation;

    fn link(code: &str) -> Arc<Link> {
        let revision = Revision {
            code: code.into(),
            revision: 1,
            ts: Timestamp::ZERO,
            operation: Operation::Create,
            target_submitted: "https://www.example.com/".into(),
            target: "https://www.example.com/".into(),
            target_host: "www.example.com".into(),
            target_registrable_domain: "example.com".into(),
            state: State::Enabled,
            expires: Timestamp::ZERO,
            actor: "a".into(),
            owner: "o".into(),
            reason: String::new(),
            psl_version: "v".into(),
            domain: String::new(),
            settings: LinkSettings::default(),
            request: String::new(),
        };
        Arc::new(Link::new(revision, Findings::default(), 0).unwrap())
    }

    #[test]
    fn memory_is_bounded_in_bytes() {
        let cache = LinkCache::new(64 << 10);
        for i in 0..10_000 {
            let code = format!("code-{i}");
            cache.links.insert(code.as_str().into(), link(&code));
            assert!(cache.bytes() <= 64 << 10);
        }
        assert!(cache.bytes() > 32 << 10);
    }

    #[test]
    fn what_was_not_found_is_believed_for_a_moment_and_until_it_is_made() {
        let (cache, clock) = (LinkCache::new(64 << 10), crate::clock::Clock::system());
        let all = ["fwd:h.test/a", "fwd:h.test/", "fwd:"];
        let then = clock.monotonic();
        let lately = |span| Some((then + Duration::from_millis(50), Duration::from_millis(span)));
        for code in all {
            assert!(!cache.is_absent(code, None));
            cache.absent(code, then, cache.changes());
            assert!(cache.is_absent(code, lately(51)) && !cache.is_absent(code, lately(50)));
            assert!(cache.is_absent(code, None), "the last time it was so");
        }
        // Another link says nothing of it; its own making ends it, for its host and for all.
        cache.changed("h.test");
        assert!(all.iter().all(|code| cache.is_absent(code, None)));
        let before = cache.changes();
        cache.changed("fwd:h.test/a");
        assert!(!all.iter().any(|code| cache.is_absent(code, None)));
        cache.absent("fwd:h.test/a", then, before);
        assert!(!cache.is_absent("fwd:h.test/a", None), "it was made while we looked");
    }

    #[test]
    fn an_end_is_an_end() {
        let at =
            |expires| Link { expires: Timestamp(expires), ..Arc::into_inner(link("a")).unwrap() };
        for (expires, now, ended) in [(0, 5, false), (5, 4, false), (5, 5, true), (5, 6, true)] {
            assert_eq!(at(expires).is_expired(Timestamp(now)), ended, "{expires} at {now}");
        }
    }
}
