//! Hits, and which of them comes first.

use std::sync::Arc;

use super::{Action, EdeNote, Legal, Tier};

/// What kind of trigger it was, in the order of precedence within a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who asks.
    ClientIp,
    /// The code of a link.
    Code,
    /// A URL alone.
    Url,
    /// URLs that begin so.
    UrlPrefix,
    /// URLs of a host.
    UrlHost,
    /// A name.
    Qname,
    /// An address in the answer.
    ResponseIp,
    /// The name of an authoritative server.
    Nsdname,
    /// The address of an authoritative server.
    Nsip,
}

/// Where a hit stands among the hits of one question. Total: no two hits that can meet are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The position in the chain of aliases.
    pub position: u16,
    /// Whether it had to wait for what only the answer tells; see [`super::PolicySet`].
    pub waits: bool,
    /// The position of the feed.
    pub feed: u16,
    pub kind: Kind,
}

/// One rule that applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What is to be done: the feed's override where there is one, else what the rule says.
    pub action: Action,
    /// What being listed means.
    pub tier: Tier,
    /// The rule: its trigger's text.
    pub rule: Box<str>,
    /// What kind of trigger it is.
    pub kind: Kind,
    /// The position in the chain of aliases of the name that triggered it; 0 is the name asked.
    pub position: u16,
    /// The feed's name.
    pub feed: Arc<str>,
    /// The feed's version.
    pub feed_version: u64,
    /// What the law says of it, the feed's defaults included.
    pub legal: Arc<Legal>,
    /// What clients are told.
    pub ede: Option<EdeNote>,
    /// Where a person may turn to; empty for nowhere.
    pub contact: Arc<str>,
    /// Why there is such a feed; empty for unsaid.
    pub justification: Arc<str>,
    pub(super) rank: Rank,
}

impl Hit {
    /// Whether this hit comes before `other`, a hit of the same question under the same set.
    pub fn precedes(&self, other: &Self) -> bool {
        self.rank < other.rank
    }
}

/// What is to be done, and what would have been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The rule that acts; [`Action::Passthru`] acts, too.
    pub hit: Option<Arc<Hit>>,
    /// The rule that would have acted, had its feed not been set to observe.
    pub observed: Option<Arc<Hit>>,
}

/// All that matters of the rules that apply to a client, a question or an answer. Values for the
/// same question under the same set are joined by [`Matches::and`]; [`Matches::outcome`] decides.
///
/// What is found for an answer can be kept beside it, until the set changes or its next boundary
/// ([`super::PolicySet::next_boundary`]); what is found for a client is joined at each query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// The first hit of the allow rules.
    pub(super) allow: Option<Arc<Hit>>,
    /// The first of the feeds that allow rules win over, and of those that they do not.
    pub(super) yielding: Option<Arc<Hit>>,
    pub(super) firm: Option<Arc<Hit>>,
    /// The same of rules that leave the answer as it is and tell of it: they act only where no rule
    /// that stops does.
    pub(super) soft_yielding: Option<Arc<Hit>>,
    pub(super) soft_firm: Option<Arc<Hit>>,
    /// The same of feeds that only observe.
    pub(super) observed_yielding: Option<Arc<Hit>>,
    pub(super) observed_firm: Option<Arc<Hit>>,
    /// The first position of the chain at which the servers are unknown, plus one; 0 for none.
    pub(super) unknown_cut: u16,
}

fn first(a: Option<Arc<Hit>>, b: Option<Arc<Hit>>) -> Option<Arc<Hit>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.precedes(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

impl Matches {
    /// Whether no rule applies.
    pub fn is_empty(&self) -> bool {
        *self == Self { unknown_cut: self.unknown_cut, ..Self::default() }
    }

    /// These and those. In any order, the same.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            allow: first(self.allow, other.allow),
            yielding: first(self.yielding, other.yielding),
            firm: first(self.firm, other.firm),
            soft_yielding: first(self.soft_yielding, other.soft_yielding),
            soft_firm: first(self.soft_firm, other.soft_firm),
            observed_yielding: first(self.observed_yielding, other.observed_yielding),
            observed_firm: first(self.observed_firm, other.observed_firm),
            unknown_cut: match (self.unknown_cut, other.unknown_cut) {
                (0, cut) | (cut, 0) => cut,
                (a, b) => a.min(b),
            },
        }
    }

    /// The one rule that acts: the first of all, but an allow rule removes what comes after it in
    /// feeds that allow rules win over, and acts itself only where nothing else is left. A rule that
    /// merely tells takes no force from one that stops, wherever its feed stands; what comes after
    /// it and lets through does not silence it either.
    pub fn outcome(&self) -> Outcome {
        if self.is_empty() {
            return Outcome::default();
        }
        let acting = self.last_word();
        let soft = first(self.standing(self.soft_yielding.as_ref()), self.soft_firm.clone());
        let hit = match (acting, soft) {
            (Some(acting), Some(soft))
                if acting.action == Action::Passthru && soft.precedes(&acting) =>
            {
                Some(soft)
            }
            (acting, soft) => acting.or(soft),
        };
        let observed =
            first(self.standing(self.observed_yielding.as_ref()), self.observed_firm.clone());
        let observed = observed.filter(|o| hit.as_ref().is_none_or(|h| o.precedes(h)));
        Outcome { hit: hit.or_else(|| self.allow.clone()), observed }
    }

    /// The first hit that stops or lets through: nothing after it can act.
    pub(super) fn last_word(&self) -> Option<Arc<Hit>> {
        first(self.standing(self.yielding.as_ref()), self.firm.clone())
    }

    /// The hit of a feed that allow rules win over, unless one does.
    fn standing(&self, hit: Option<&Arc<Hit>>) -> Option<Arc<Hit>> {
        hit.filter(|hit| !self.allow.as_ref().is_some_and(|a| a.precedes(hit))).map(Arc::clone)
    }

    /// Whether `hit` merely tells: what comes later may still act.
    pub(super) fn is_soft(&self, hit: &Arc<Hit>) -> bool {
        let is = |soft: &Option<Arc<Hit>>| soft.as_ref().is_some_and(|s| Arc::ptr_eq(s, hit));
        is(&self.soft_yielding) || is(&self.soft_firm)
    }

    pub(super) fn insert(&mut self, hit: Hit, class: HitClass) {
        let place = match class {
            HitClass::Allow => &mut self.allow,
            HitClass::Yielding => &mut self.yielding,
            HitClass::Firm => &mut self.firm,
            HitClass::SoftYielding => &mut self.soft_yielding,
            HitClass::SoftFirm => &mut self.soft_firm,
            HitClass::ObservedYielding => &mut self.observed_yielding,
            HitClass::ObservedFirm => &mut self.observed_firm,
        };
        if place.as_ref().is_none_or(|old| hit.precedes(old)) {
            *place = Some(Arc::new(hit));
        }
    }
}

/// Which of a [`Matches`]' places a feed's hits go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HitClass {
    Allow,
    Yielding,
    Firm,
    SoftYielding,
    SoftFirm,
    ObservedYielding,
    ObservedFirm,
}
