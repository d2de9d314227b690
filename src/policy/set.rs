//! Every rule in force, as one immutable value.

use std::{collections::HashSet, sync::Arc};

use super::{FeedInForce, Override, hit::HitClass, index::key::Tag};
use crate::clock::Timestamp;

/// What takes part beside the feeds.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Blocks at once: a feed of its own before all others, which allow rules do not win over.
    pub instant: Option<Arc<FeedInForce>>,
    /// Allow rules, whatever their actions say.
    pub allow: Option<Arc<FeedInForce>>,
    /// Rules that an appeal suspends.
    pub suspended: Vec<Suspended>,
    /// Whether names in the tier `interstitial` lead to the gateway; else their answers stand.
    pub warns: bool,
}

/// A rule that does not count until further notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The feed's name; empty for every feed, but not for instant blocks and allow rules.
    pub feed: Box<str>,
    /// The trigger's text.
    pub rule: Box<str>,
}

/// A feed and its place among the others.
#[derive(Debug)]
pub(super) struct Slot {
    pub feed: Arc<FeedInForce>,
    /// Its position.
    pub order: u16,
    pub class: HitClass,
    /// Whether what the question triggers here waits for the answer, because an earlier feed
    /// might still win by it.
    pub waits: bool,
    /// See [`Extras::warns`].
    pub warns: bool,
    pub suspended: HashSet<Box<str>>,
}

/// The tags of triggers that only the answer can meet, the chain of aliases left aside.
const ANSWER_TAGS: [Tag; 6] = [
    Tag::ResponseV4,
    Tag::ResponseV6,
    Tag::NsdnameExact,
    Tag::NsdnameWildcard,
    Tag::NsipV4,
    Tag::NsipV6,
];

/// The tags of triggers that are about the servers of a zone.
pub(super) const SERVER_TAGS: [Tag; 4] =
    [Tag::NsdnameExact, Tag::NsdnameWildcard, Tag::NsipV4, Tag::NsipV6];

/// Every rule in force. Changes replace it whole.
#[derive(Debug, Default)]
pub struct PolicySet {
    id: u64,
    pub(super) slots: Vec<Slot>,
    boundaries: Vec<Timestamp>,
    closed: Option<Arc<str>>,
    pub(super) client_triggers: bool,
    pub(super) qname_triggers: bool,
    answer_triggers: bool,
    /// Whether allow rules may be about clients.
    pub(super) allows_clients: bool,
}

impl PolicySet {
    /// The set without a rule; its id is 0.
    pub const fn empty() -> Self {
        Self {
            id: 0,
            slots: Vec::new(),
            boundaries: Vec::new(),
            closed: None,
            client_triggers: false,
            qname_triggers: false,
            answer_triggers: false,
            allows_clients: false,
        }
    }

    /// A set of these feeds, the first first. `id` must be another for every set of a process.
    pub fn new(id: u64, feeds: Vec<Arc<FeedInForce>>, extras: Extras) -> Self {
        let named = [(extras.instant, Some(HitClass::Firm)), (extras.allow, Some(HitClass::Allow))];
        let named = named.into_iter().filter_map(|(feed, class)| Some((feed?, class)));
        let all: Vec<_> = named.chain(feeds.into_iter().map(|f| (f, None))).collect();
        let closed = all.iter().find(|(f, _)| f.closed).map(|(f, _)| Arc::clone(&f.name));
        let mut slots: Vec<Slot> = Vec::with_capacity(all.len());
        for (feed, class) in all {
            let every = class.is_none();
            let class = class.unwrap_or_else(|| class_of(&feed));
            let about = |s: &&Suspended| *s.feed == *feed.name || every && s.feed.is_empty();
            let suspended = extras.suspended.iter().filter(about);
            let suspended = suspended.map(|s| s.rule.clone()).collect();
            let waits =
                feed.settings.qname_wait_recurse && slots.iter().any(|s| s.may_win_late(class));
            let order = u16::try_from(slots.len()).unwrap_or(u16::MAX);
            slots.push(Slot { feed, order, class, waits, warns: extras.warns, suspended });
        }
        let has = |tags: &[Tag]| slots.iter().any(|s| s.feed.index.has(tags));
        let allow = slots.iter().find(|s| s.class == HitClass::Allow);
        Self {
            id,
            allows_clients: allow.is_some_and(|s| s.feed.index.has(&Tag::CLIENT)),
            boundaries: boundaries(&slots),
            closed,
            client_triggers: has(&Tag::CLIENT),
            qname_triggers: has(&Tag::QNAME),
            answer_triggers: has(&ANSWER_TAGS),
            slots,
        }
    }

    /// What tells this set from every other of the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The feeds, in order; `instant` and `allow` first, where there are such rules.
    pub fn feeds(&self) -> impl Iterator<Item = &Arc<FeedInForce>> {
        self.slots.iter().map(|s| &s.feed)
    }

    /// What is in force of one feed and of allow rules, as if there were no other; none where there is
    /// no such feed.
    pub fn alone(&self, feed: &str) -> Option<Self> {
        let slot = self.slots.iter().find(|s| *s.feed.name == *feed)?;
        let allow = self.slots.iter().find(|s| s.class == HitClass::Allow);
        let suspended = allow.into_iter().chain([slot]).flat_map(|slot| {
            let feed = &slot.feed.name;
            slot.suspended
                .iter()
                .map(|rule| Suspended { feed: (**feed).into(), rule: rule.clone() })
        });
        let extras = Extras {
            allow: allow.map(|s| Arc::clone(&s.feed)),
            suspended: suspended.collect(),
            warns: slot.warns,
            ..Extras::default()
        };
        Some(Self::new(self.id, vec![Arc::clone(&slot.feed)], extras))
    }

    /// Whether an appeal suspends the rule of this feed with this trigger.
    pub fn is_suspended(&self, feed: &str, rule: &str) -> bool {
        self.slots.iter().any(|s| *s.feed.name == *feed && s.suspended.contains(rule))
    }

    /// Whether an appeal suspends any rule.
    pub fn has_suspended(&self) -> bool {
        self.slots.iter().any(|s| !s.suspended.is_empty())
    }

    /// The feed that has no version to go by and forbids to answer without it.
    pub fn closed(&self) -> Option<&Arc<str>> {
        self.closed.as_ref()
    }

    /// Whether nothing can apply, so that nobody need ask.
    pub fn is_empty(&self) -> bool {
        self.closed.is_none() && self.slots.iter().all(|s| s.feed.index.is_empty())
    }

    /// Whether who asks may matter: [`PolicySet::client`] is asked for nothing otherwise.
    pub fn has_client_triggers(&self) -> bool {
        self.client_triggers
    }

    /// Whether addresses or servers of an answer may matter.
    pub fn has_answer_triggers(&self) -> bool {
        self.answer_triggers
    }

    /// Whether the servers of an answer's zones may matter, so that it pays to know them.
    pub fn has_server_triggers(&self) -> bool {
        self.slots.iter().any(|s| s.feed.index.has(&SERVER_TAGS))
    }

    /// The feeds with rules about the servers of zones.
    pub fn feeds_about_servers(&self) -> impl Iterator<Item = &Arc<FeedInForce>> {
        self.feeds().filter(|f| f.index.has(&SERVER_TAGS))
    }

    /// When, after `now`, a rule next begins or ceases to count: until then, what was found stays
    /// true. None for never.
    pub fn next_boundary(&self, now: Timestamp) -> Option<Timestamp> {
        self.boundaries.get(self.boundaries.partition_point(|b| *b <= now)).copied()
    }
}

impl Slot {
    /// Whether a trigger that only the answer meets could win here over a later feed of `class`.
    fn may_win_late(&self, class: HitClass) -> bool {
        let wins = match self.class {
            HitClass::Yielding | HitClass::Firm => true,
            HitClass::Allow => matches!(class, HitClass::Yielding | HitClass::ObservedYielding),
            HitClass::ObservedYielding | HitClass::ObservedFirm => false,
            // Single rules are, no feed.
            HitClass::SoftYielding | HitClass::SoftFirm => false,
        };
        wins && self.feed.index.has(&ANSWER_TAGS)
    }
}

fn class_of(feed: &FeedInForce) -> HitClass {
    match (&feed.settings.action, feed.settings.allow_may_win) {
        (Override::Observe, true) => HitClass::ObservedYielding,
        (Override::Observe, false) => HitClass::ObservedFirm,
        (_, true) => HitClass::Yielding,
        (_, false) => HitClass::Firm,
    }
}

fn boundaries(slots: &[Slot]) -> Vec<Timestamp> {
    let times = slots
        .iter()
        .flat_map(|s| s.feed.index.legals().flat_map(|legal| s.feed.settings.times_of(legal)));
    let mut times: Vec<_> = times.filter(|t| *t != Timestamp::ZERO).collect();
    times.sort_unstable();
    times.dedup();
    times
}
