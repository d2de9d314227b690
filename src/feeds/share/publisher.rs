//! Keeps the zones that we share as what is in force, and tells secondaries.
//!
//! It looks at the set in force a few times a second, because nobody who swaps it should wait for
//! zones. A zone is made anew when its feed changed, when a rule's time came or ended, or, merged,
//! when anything changed; it is a new version only when a record differs.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use domain::tsig::Key;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    access::{Registry, Sharing},
    notify::{NotifyBounds, tell},
    rules::{Manner, Tally, write},
    zone::{SharedZone, Timers},
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    feeds::{
        ALLOW, FeedSpec, OnFailure,
        transfer::{Growing, Keys, Soa},
    },
    name::Name,
    policy::{FeedInForce, InForce, PolicySet},
};

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_millis(200);

/// A zone that somebody wants shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The feed; none for all of them merged.
    pub feed: Option<String>,
    /// The zone's name.
    pub zone: String,
    /// The key that transfers must be signed with; empty for none.
    pub key: String,
    /// Who is told.
    pub secondaries: Vec<SocketAddr>,
    /// Whether none of its rules counts while it cannot be loaded: secondaries are told so.
    pub open: bool,
}

impl Wanted {
    /// All feeds merged, where the configuration wants that.
    pub fn merged(config: &config::Transfers) -> Option<Self> {
        (!config.merged_zone.is_empty()).then(|| Self {
            feed: None,
            zone: config.merged_zone.clone(),
            key: config.merged_tsig_key.clone(),
            secondaries: config.merged_secondaries.clone(),
            open: false,
        })
    }

    /// A feed, where its settings want that. Secondaries without a port are told at port 53.
    pub fn of(spec: &FeedSpec) -> Option<Self> {
        let share = spec.share.as_ref()?;
        let address = |text: &String| {
            text.parse().ok().or_else(|| text.parse().ok().map(|ip: IpAddr| (ip, 53).into()))
        };
        Some(Self {
            feed: Some(spec.name.clone()),
            zone: share.zone.clone(),
            key: share.tsig_key.clone(),
            secondaries: share.secondaries.iter().filter_map(address).collect(),
            open: spec.on_failure == OnFailure::Open,
        })
    }
}

/// Which zones are wanted now. May block on the database.
pub type WhatIsWanted = Arc<dyn Fn() -> Vec<Wanted> + Send + Sync>;

/// What a [`Publisher`] is made of.
pub struct PublisherOptions {
    /// The set in force.
    pub in_force: InForce,
    /// Which zones are wanted; asked after every change of the set.
    pub wanted: WhatIsWanted,
    /// What the sockets serve.
    pub registry: Arc<Registry>,
    /// The keys that there are.
    pub keys: Keys,
    /// The directory of zones.
    pub root: PathBuf,
    /// What their SOA records say.
    pub timers: Timers,
    /// Versions whose differences are kept.
    pub differences_max: usize,
    /// Where names of tier `interstitial` lead.
    pub gateway: Vec<IpAddr>,
    /// The TTL of rules without one, in seconds.
    pub ttl: u32,
    /// How secondaries are told.
    pub notify: NotifyBounds,
    /// The clock.
    pub clock: Clock,
    /// Owns the tasks.
    pub tasks: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
}

/// Keeps shared zones up to date.
pub struct Publisher {
    options: Arc<PublisherOptions>,
    zones: HashMap<String, Kept>,
    /// The set that was looked at last, and when.
    seen: Option<(u64, Timestamp)>,
}

/// A zone that is shared.
struct Kept {
    wanted: Wanted,
    zone: Arc<SharedZone>,
    /// What it was made of.
    made: Option<Made>,
    telling: Option<AbortHandle>,
}

/// What a zone was made of, and until when that holds.
#[derive(Clone)]
struct Made {
    set: u64,
    feed: Option<Arc<FeedInForce>>,
    allow: Option<Arc<FeedInForce>>,
    suspends: bool,
    until: Option<Timestamp>,
}

impl Publisher {
    /// One that has shared nothing yet.
    pub fn new(options: PublisherOptions) -> Self {
        Self { options: Arc::new(options), zones: HashMap::new(), seen: None }
    }

    /// Shares until the end.
    pub async fn run(mut self) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.options.stop.clone();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if stop.run_until_cancelled(self.look()).await.is_none() {
                return;
            }
        }
    }

    async fn look(&mut self) {
        let (set, now) = (self.options.in_force.load_full(), self.options.clock.now());
        let nothing = self.seen.is_some_and(|(id, at)| {
            id == set.id() && set.next_boundary(at).is_none_or(|boundary| now < boundary)
        });
        if nothing {
            return;
        }
        let wanted = Arc::clone(&self.options.wanted);
        let Ok(wanted) = self.options.tasks.spawn_blocking(move || wanted()).await else { return };
        self.keep(&wanted).await;
        for kept in self.zones.values_mut() {
            kept.bring_up_to_date(&self.options, &set, now).await;
        }
        self.seen = Some((set.id(), now));
    }

    /// Opens zones that are newly wanted and closes those that are no longer.
    async fn keep(&mut self, wanted: &[Wanted]) {
        let is_wanted = |kept: &Kept| wanted.contains(&kept.wanted);
        let gone: Vec<String> =
            self.zones.iter().filter(|(_, k)| !is_wanted(k)).map(|(n, _)| n.clone()).collect();
        for name in gone {
            let Some(kept) = self.zones.remove(&name) else { continue };
            self.options.registry.unshare(kept.zone.apex());
            if wanted.iter().any(|w| w.zone == name) {
                continue;
            }
            let removed = self.options.tasks.spawn_blocking(move || kept.zone.remove()).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(zone = name, %error, "a zone that is no longer shared stays on disk");
            }
        }
        for wanted in wanted {
            if self.zones.get(&wanted.zone).is_some_and(|k| k.wanted == *wanted) {
                continue;
            }
            if self.zones.contains_key(&wanted.zone) {
                tracing::warn!(zone = wanted.zone, "two feeds want to be shared as this zone");
                continue;
            }
            if let Some(kept) = self.open(wanted) {
                self.zones.insert(wanted.zone.clone(), kept);
            }
        }
    }

    fn open(&self, wanted: &Wanted) -> Option<Kept> {
        let o = &self.options;
        let name = Name::from_text(&wanted.zone).ok()?;
        if !wanted.key.is_empty() && o.keys.find(&wanted.key).is_none() {
            let key = &wanted.key;
            tracing::warn!(
                zone = wanted.zone,
                key,
                "not shared: feeds.transfer.keys has no such key"
            );
            return None;
        }
        let zone = match SharedZone::open(&o.root, &name, o.timers, o.differences_max) {
            Ok(zone) => Arc::new(zone),
            Err(error) => {
                tracing::warn!(zone = wanted.zone, %error, "not shared");
                return None;
            }
        };
        o.registry.share(Sharing {
            zone: Arc::clone(&zone),
            key: wanted.key.trim_end_matches('.').to_ascii_lowercase(),
            secondaries: wanted.secondaries.clone(),
        });
        Some(Kept { wanted: wanted.clone(), zone, made: None, telling: None })
    }
}

impl Kept {
    async fn bring_up_to_date(
        &mut self,
        options: &Arc<PublisherOptions>,
        set: &Arc<PolicySet>,
        now: Timestamp,
    ) {
        let feed = self.wanted.feed.as_deref();
        let feed = feed.map(|name| set.feeds().find(|f| *f.name == *name).cloned());
        let feed = match feed {
            None if set.closed().is_some() => return,
            None => None,
            // It failed, and declares that none of its rules counts then.
            Some(None) if self.wanted.open && self.zone.soa().is_some() => None,
            // Nothing of it was ever in force, or nothing can be loaded: what there is stays.
            Some(None) => return,
            Some(Some(feed)) if feed.closed || feed.version == 0 => return,
            Some(feed) => feed,
        };
        let made = Made {
            set: set.id(),
            suspends: set.has_suspended(),
            until: set.next_boundary(now),
            feed,
            allow: set.feeds().find(|f| *f.name == *ALLOW).cloned(),
        };
        if self.made.as_ref().is_some_and(|before| before.holds_for(&made, now)) {
            self.made = Some(made);
            return;
        }
        let (zone, set, o) = (Arc::clone(&self.zone), Arc::clone(set), Arc::clone(options));
        let name = self.wanted.feed.clone();
        let building =
            options.tasks.spawn_blocking(move || build(&zone, &set, name.as_deref(), &o, now));
        match building.await {
            Ok(Ok(published)) => {
                self.made = Some(made);
                if let Some(soa) = published {
                    self.tell(options, soa);
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(zone = self.wanted.zone, %error, "a shared zone stays as it was");
            }
            Err(_) => tracing::warn!(zone = self.wanted.zone, "a shared zone could not be made"),
        }
    }

    /// Tells every secondary; what is still being told of the last version is forgotten.
    fn tell(&mut self, options: &Arc<PublisherOptions>, soa: Soa) {
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
        let key = options.keys.find(&self.wanted.key);
        let (zone, o) = (Arc::clone(&self.zone), Arc::clone(options));
        let secondaries = self.wanted.secondaries.clone();
        let telling = options.tasks.spawn(async move {
            let all = secondaries.iter().zip(1..);
            let all = all.map(|(s, number)| tell_one((*s, number), &zone, &soa, key.as_ref(), &o));
            let all = futures_util::future::join_all(all);
            if o.stop.run_until_cancelled(all).await.is_none() {
                tracing::debug!("secondaries were not told: the end came first");
            }
        });
        self.telling = Some(telling.abort_handle());
    }
}

/// Tells a secondary; logs know it by its place among those of the zone, never by its address.
async fn tell_one(
    (secondary, number): (SocketAddr, usize),
    zone: &SharedZone,
    soa: &Soa,
    key: Option<&Key>,
    options: &PublisherOptions,
) {
    let told = tell(secondary, zone.apex(), soa, key, &options.clock, options.notify).await;
    if let Err(error) = told {
        tracing::warn!(zone = %zone.apex(), secondary = number, %error, "a secondary did not hear of it");
    }
}

impl Made {
    /// Whether what was made of this is what would be made of `new`.
    fn holds_for(&self, new: &Self, now: Timestamp) -> bool {
        if self.until.is_some_and(|until| until <= now) {
            return false;
        }
        match (&self.feed, &new.feed) {
            (None, None) => self.set == new.set,
            (Some(a), Some(b)) => {
                // Appeals are not part of a feed.
                let suspends = self.suspends || new.suspends;
                (self.set == new.set || !suspends)
                    && self.allow.as_ref().map(|f| f.version)
                        == new.allow.as_ref().map(|f| f.version)
                    && (Arc::ptr_eq(a, b)
                        || (a.version == b.version
                            && Arc::ptr_eq(&a.index, &b.index)
                            && format!("{:?}", a.settings) == format!("{:?}", b.settings)))
            }
            _ => false,
        }
    }
}

/// Makes the zone; the SOA record of its new version, where there is one.
fn build(
    zone: &SharedZone,
    set: &PolicySet,
    feed: Option<&str>,
    options: &PublisherOptions,
    now: Timestamp,
) -> std::io::Result<Option<Soa>> {
    let apex = zone.apex();
    let (ttl, gateway) = (options.ttl, &options.gateway);
    let manner = Manner { apex, now, ttl, gateway, alone: feed.is_some() };
    let mut records = Growing::new(apex);
    let alone = feed.map(|feed| set.alone(feed));
    let tally = match &alone {
        None => write(set, &manner, &mut records),
        Some(Some(set)) => write(set, &manner, &mut records),
        // None of its rules counts.
        Some(None) => Tally::default(),
    };
    let Some(serial) = zone.publish(records, now)? else { return Ok(None) };
    tracing::info!(
        zone = %apex,
        %serial,
        not_in_dns = tally.not_in_dns,
        standing = tally.standing,
        superseded = tally.superseded,
        inactive = tally.inactive,
        unfit = tally.unfit,
        "a new version of a shared zone is served"
    );
    Ok(zone.soa())
}
