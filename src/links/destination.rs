//! Where links really lead, as walks along their redirects found, and what is to be said of it.
//!
//! The first place that a walk from a target arrived at is what later ones are held against. It is
//! forgotten with the target: whoever changes that says where the link shall lead from then on.

use std::{fmt, time::Duration};

use super::Error;
use crate::clock::Timestamp;

/// Something about the way from a target that is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Finding {
    /// It ends at another registrable domain than it did first.
    DestinationChanged,
    /// It ends at another host of the same registrable domain.
    HostChanged,
    /// It leads from HTTPS to HTTP.
    SchemeDowngrade,
    /// It comes back to us.
    Loop,
    /// It goes on and on.
    TooManyHops,
    /// It leads to what a list names.
    Listed,
    /// It leads to an address that is not public.
    SpecialAddress,
}

impl Finding {
    /// Every one, by weight: the first of several is the one that a hop is told to have.
    pub const ALL: [Self; 7] = [
        Self::Listed,
        Self::Loop,
        Self::SpecialAddress,
        Self::TooManyHops,
        Self::DestinationChanged,
        Self::SchemeDowngrade,
        Self::HostChanged,
    ];

    /// Its name in records and in rules of tiers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DestinationChanged => "destination_changed",
            Self::HostChanged => "destination_host_changed",
            Self::SchemeDowngrade => "scheme_downgrade",
            Self::Loop => "loop",
            Self::TooManyHops => "too_many_hops",
            Self::Listed => "listed",
            Self::SpecialAddress => "special_address",
        }
    }
}

/// Several findings, each once.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings(u8);

impl Findings {
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds one.
    pub const fn add(&mut self, finding: Finding) {
        self.0 |= 1 << finding as u8;
    }

    /// Whether this one is among them.
    pub const fn has(self, finding: Finding) -> bool {
        self.0 & (1 << finding as u8) != 0
    }

    /// Their names, by weight.
    pub fn names(self) -> Vec<&'static str> {
        Finding::ALL.into_iter().filter(|f| self.has(*f)).map(Finding::name).collect()
    }

    /// The same as one text, as it is kept.
    pub fn to_text(self) -> String {
        self.names().join(" ")
    }

    /// What is kept; a newer build's words are passed over.
    pub fn from_text(text: &str) -> Self {
        let mut all = Self::default();
        let known = |word| Finding::ALL.into_iter().find(|f| f.name() == word);
        text.split(' ').filter_map(known).for_each(|f| all.add(f));
        all
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(found: I) -> Self {
        let mut all = Self::default();
        found.into_iter().for_each(|f| all.add(f));
        all
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// Where a walk ended. Written once and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The link's code.
    pub code: String,
    /// The revision that was walked.
    pub revision: u32,
    /// When.
    pub ts: Timestamp,
    /// The target that it began at.
    pub target: String,
    /// The URL that it ended at.
    pub url: String,
    /// Its host.
    pub host: String,
    /// The host's registrable domain.
    pub registrable_domain: String,
    /// How it ended: `arrived`, or why it did not.
    pub outcome: String,
    /// What is to be said of it.
    pub findings: Findings,
    /// More about that.
    pub detail: String,
    /// The flow of its hops' records, in decimal.
    pub flow: String,
}

impl Destination {
    /// Whether another walk told as much: what servers make up anew each time does not count.
    pub fn is_like(&self, other: &Self) -> bool {
        let scheme = |url: &str| url.split(':').next().map(str::to_owned);
        self.target == other.target
            && self.host == other.host
            && self.outcome == other.outcome
            && self.findings == other.findings
            && scheme(&self.url) == scheme(&other.url)
    }
}

/// A walk that is due, and nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueWalk {
    /// The link's code.
    pub code: String,
    /// What proves that it is still ours: the time at which another may take it.
    pub until: Timestamp,
    /// Walks of it that came to no end, since the last that did.
    pub failures: u32,
}

/// When a link was and will be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The next walk.
    pub due: Timestamp,
    /// The last walk that came to an end; [`Timestamp::ZERO`] for none.
    pub walked: Timestamp,
    /// Walks since then that did not.
    pub failures: u32,
}

/// Revisions to be taken into the schedule.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    /// Those behind this one, by the database's own number.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
    /// The time.
    pub now: Timestamp,
    /// Links that were changed longer ago than [`Intake::FRESH`] are walked within this time; all
    /// others now.
    pub spread: Duration,
    /// Only numbers below which nothing new can turn up any more, and the mark is moved behind them.
    pub settle: bool,
}

impl Intake {
    /// What was changed within this time is walked at once.
    pub const FRESH: Duration = Duration::from_secs(3_600);

    /// A number turns up this long after a greater one at most: no transaction takes longer.
    pub(super) const SETTLE: Duration = Duration::from_secs(300);

    /// When a link changed at `ts` is to be walked.
    pub(super) fn due(&self, code: &str, ts: Timestamp) -> Timestamp {
        if ts >= self.now.saturating_sub(Self::FRESH) {
            return self.now;
        }
        let spread = u64::try_from(self.spread.as_micros()).unwrap_or(u64::MAX).max(1);
        // The same for the same code, so that nothing comes in waves.
        let at = u64::from(crc32c::crc32c(code.as_bytes())) * (spread >> 32).max(1) % spread;
        self.now.saturating_add(Duration::from_micros(at))
    }
}

/// What one look for new revisions found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenIn {
    /// The number to go on behind.
    pub after: i64,
    /// How many there were.
    pub count: usize,
}

/// The schedule of walks and what they found. Every call may block on a disk.
///
/// Revisions come into the schedule by their number, behind a mark: neither making links nor a restart
/// waits for it, and nothing is forgotten. Where several nodes write, a number may turn up behind a
/// greater one; that is why [`Intake::settle`] goes over the last ones again.
pub trait WalkStore: Send + Sync + fmt::Debug {
    /// The number behind which everything has to be looked at again after a start.
    fn walks_mark(&self) -> Result<i64, Error>;

    /// Takes revisions into the schedule, and keeps the mark where asked to.
    fn take_in(&self, intake: &Intake) -> Result<TakenIn, Error>;

    /// Takes at most `limit` walks that are due at `now`, the nearest due first; nobody else gets them
    /// before `until`.
    fn claim_walks(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWalk>, Error>;

    /// Ends a walk: keeps where it led, if that is to be kept, and when the next is due (none: the link
    /// is not walked any more until it has another revision). Whether the walk was still ours; where
    /// it was not, nothing is kept.
    fn end_walk(
        &self,
        walk: &DueWalk,
        next: Option<Scheduled>,
        found: Option<&Destination>,
    ) -> Result<bool, Error>;

    /// When a link is walked; none for one that is not.
    fn scheduled(&self, code: &str) -> Result<Option<Scheduled>, Error>;

    /// Where the newest walk led; none without one.
    fn destination(&self, code: &str) -> Result<Option<Destination>, Error>;

    /// Where the first walk from `target` led that arrived, since the link last had another one.
    fn first_destination(&self, code: &str, target: &str) -> Result<Option<Destination>, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_kept_as_words() {
        for finding in Finding::ALL {
            let one: Findings = [finding].into_iter().collect();
            assert_eq!(one.to_text(), finding.name());
            assert_eq!(Findings::from_text(finding.name()), one);
        }
        let all: Findings = Finding::ALL.into_iter().collect();
        assert_eq!(Findings::from_text(&format!("newer {}", all.to_text())), all);
        assert_eq!(all.names().len(), Finding::ALL.len());
        assert!(Findings::from_text("").is_empty());
    }

    #[test]
    fn what_is_old_is_spread_and_what_is_new_is_not() {
        let now = Timestamp::from_secs(2_000_000_000);
        let spread = Duration::from_secs(86_400);
        let intake = Intake { after: 0, limit: 1, now, spread, settle: false };
        assert_eq!(intake.due("a", now), now);
        let old = Timestamp::from_secs(1_000_000_000);
        let due: Vec<_> = (0..100).map(|i| intake.due(&format!("code{i}"), old)).collect();
        assert!(due.iter().all(|t| *t >= now && *t <= now.saturating_add(spread)));
        let first_half = due.iter().filter(|t| **t < now.saturating_add(spread / 2)).count();
        assert!((20..80).contains(&first_half), "{first_half}");
        assert_eq!(due[7], intake.due("code7", old));
    }
}
