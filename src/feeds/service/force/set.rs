//! The set of rules that everybody decides by, made of what is loaded.

use std::sync::Arc;

use super::{
    super::{
        super::{
            ALLOW, FeedSpec, INSTANT, OnFailure,
            store::{FeedRow, OwnRule},
        },
        Feeds, lock,
    },
    Force, Loaded,
};
use crate::{
    clock::Timestamp,
    policy::{
        Action, Extras, FeedInForce, FeedSettings, Index, Legal, PolicySet, Rule, Suspended, Tier,
    },
};

/// What tells one set from another.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    Feed { name: String, spec: String, version: u64, closed: bool },
    Own(u64, u64),
    Suspended(Vec<(String, String)>),
}

impl Feeds {
    /// The set in force with another version of one feed.
    pub(in crate::feeds::service) fn set_with(
        &self,
        row: &FeedRow,
        spec: &FeedSpec,
        index: &Arc<Index>,
    ) -> PolicySet {
        let mut force = lock(&self.force);
        let mut feeds = force.feeds();
        feeds.retain(|(_, f)| *f.name != *row.name);
        let version = row.newest + 1;
        let one = in_force(&row.name, version, Arc::clone(index), spec.settings(), false);
        feeds.push(((spec.position, row.name.clone()), Arc::new(one)));
        force.set(feeds, self.clock().now())
    }
}

impl Force {
    pub(super) fn key(&self) -> Vec<Key> {
        let feeds = self.standing.feeds.iter().filter_map(|row| {
            let (version, closed) = self.state(row)?;
            Some(Key::Feed { name: row.name.clone(), spec: row.spec.clone(), version, closed })
        });
        let mut key: Vec<Key> = feeds.collect();
        key.push(Key::Own(self.standing.instant_version, self.standing.allow_version));
        key.push(Key::Suspended(self.standing.suspended.clone()));
        key
    }

    /// The version of a feed that takes part, and whether nothing may be answered because of it.
    pub(super) fn state(&self, row: &FeedRow) -> Option<(u64, bool)> {
        let spec = FeedSpec::read(&row.spec).ok()?;
        let loaded = self.loaded.get(&row.name).map(|l| l.version);
        let failed = row.newest_failed
            || self.failures.contains_key(&row.name)
            || self.expired.contains(&row.name);
        match (failed, spec.on_failure) {
            (true, OnFailure::Open) => None,
            (true, OnFailure::Closed) => Some((loaded.unwrap_or(0), true)),
            // Before its first version, nobody knows what it would decide.
            (false, OnFailure::Closed) if loaded.is_none() => Some((0, true)),
            _ => loaded.map(|version| (version, false)),
        }
    }

    /// The feeds that take part, with their places.
    pub(super) fn feeds(&self) -> Vec<((u32, String), Arc<FeedInForce>)> {
        let feeds = self.standing.feeds.iter().filter_map(|row| {
            let (version, closed) = self.state(row)?;
            let spec = FeedSpec::read(&row.spec).ok()?;
            let (position, index, settings) = match self.loaded.get(&row.name) {
                Some(Loaded { index, read_by, .. }) => {
                    let settings = spec.settings_over(read_by);
                    (spec.position_over(read_by), Arc::clone(index), settings)
                }
                None => (spec.position, Arc::new(Index::empty()), spec.settings()),
            };
            let feed = in_force(&row.name, version, index, settings, closed);
            Some(((position, row.name.clone()), Arc::new(feed)))
        });
        feeds.collect()
    }

    pub(super) fn set(
        &mut self,
        mut feeds: Vec<((u32, String), Arc<FeedInForce>)>,
        now: Timestamp,
    ) -> PolicySet {
        feeds.sort_by(|(a, _), (b, _)| a.cmp(b));
        let standing = Arc::clone(&self.standing);
        let instant = self.own(0, INSTANT, standing.instant_version, &standing.instant, now);
        let allow = self.own(1, ALLOW, standing.allow_version, &standing.allow, now);
        let suspended = standing.suspended.iter();
        let suspended = suspended
            .map(|(feed, rule)| Suspended {
                feed: feed.as_str().into(),
                rule: rule.as_str().into(),
            })
            .collect();
        self.sets += 1;
        let feeds = feeds.into_iter().map(|(_, feed)| feed).collect();
        PolicySet::new(self.sets, feeds, Extras { instant, allow, suspended, warns: self.warns })
    }

    /// The operator's own rules as a feed.
    fn own(
        &mut self,
        at: usize,
        feed: &str,
        version: u64,
        rules: &[OwnRule],
        now: Timestamp,
    ) -> Option<Arc<FeedInForce>> {
        let (built, kept) = &self.own[at];
        if *built == version {
            return kept.clone();
        }
        // Of several about one thing, the one that lasts longest counts: until it ends, nobody looks
        // for another. When each begins, the rule itself says.
        let ends = |r: &OwnRule| match r.expires {
            Timestamp::ZERO => Timestamp::MAX,
            end => end,
        };
        let over = |r: &OwnRule| r.ended_at != Timestamp::ZERO || ends(r) <= now;
        let mut rules: Vec<&OwnRule> = rules.iter().filter(|r| !over(r)).collect();
        rules.sort_by_key(|r| std::cmp::Reverse(ends(r)));
        let mut builder = Index::builder();
        for rule in rules {
            if let Some(rule) = own_rule(feed, rule) {
                builder.add(&rule);
            }
        }
        let settings = FeedSettings { allow_may_win: false, ..FeedSettings::default() };
        let built = (!builder.is_empty()).then(|| {
            Arc::new(in_force(feed, version, Arc::new(builder.finish()), settings, false))
        });
        self.own[at] = (version, built.clone());
        built
    }
}

fn in_force(
    name: &str,
    version: u64,
    index: Arc<Index>,
    settings: FeedSettings,
    closed: bool,
) -> FeedInForce {
    FeedInForce { name: Arc::from(name), version, index, settings, closed }
}

/// An own rule as deciding takes it.
pub(in crate::feeds::service) fn own_rule(feed: &str, rule: &OwnRule) -> Option<Rule> {
    let trigger = rule.rule.parse().ok()?;
    let (action, tier) = match feed {
        ALLOW => (Action::Passthru, None),
        _ => (Action::Nxdomain, Some(Tier::Block)),
    };
    let legal = Legal {
        authority: rule.authority.as_str().into(),
        order_number: rule.order_number.as_str().into(),
        reason: rule.reason.as_str().into(),
        tier,
        effective_from: rule.since,
        expires_at: rule.expires,
        approver: rule.confirmed_by.as_str().into(),
        ..Legal::default()
    };
    Some(Rule { trigger, action, legal: Arc::new(legal) })
}
