//! Rules for tests: sets built from texts, without feeds on disk.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tracegate::{
    name::Name,
    policy::{
        Action, Added, Extras, FeedInForce, FeedSettings, Index, Legal, LocalRecord, PolicySet,
        Rule, Tier,
    },
};

/// Ids of sets; every set of a test run has its own.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A feed while it is written.
pub(crate) struct Feed {
    name: String,
    version: u64,
    rules: Vec<Rule>,
    pub(crate) settings: FeedSettings,
    pub(crate) closed: bool,
}

/// A feed at version 7.
pub(crate) fn feed(name: &str) -> Feed {
    let settings = FeedSettings::default();
    Feed { name: name.into(), version: 7, rules: Vec::new(), settings, closed: false }
}

impl Feed {
    pub(crate) fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// One more rule: its trigger in RPZ's form.
    pub(crate) fn rule(self, trigger: &str, action: Action) -> Self {
        self.legal_rule(trigger, action, Legal::default())
    }

    pub(crate) fn legal_rule(mut self, trigger: &str, action: Action, legal: Legal) -> Self {
        let trigger = trigger.parse().unwrap_or_else(|e| panic!("{trigger}: {e}"));
        self.rules.push(Rule { trigger, action, legal: Arc::new(legal) });
        self
    }

    pub(crate) fn settings(mut self, change: impl FnOnce(&mut FeedSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn tier(self, tier: Tier) -> Self {
        self.settings(|s| s.tier = tier)
    }

    pub(crate) fn in_force(&self) -> Arc<FeedInForce> {
        let mut builder = Index::builder();
        for rule in &self.rules {
            assert_eq!(builder.add(rule), Added::New, "{rule:?}");
        }
        Arc::new(FeedInForce {
            name: self.name.as_str().into(),
            version: self.version,
            index: Arc::new(builder.finish()),
            settings: self.settings.clone(),
            closed: self.closed,
        })
    }
}

/// A set of these feeds.
pub(crate) fn set(feeds: &[&Feed]) -> Arc<PolicySet> {
    set_with(feeds, Extras::default())
}

pub(crate) fn set_with(feeds: &[&Feed], extras: Extras) -> Arc<PolicySet> {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    Arc::new(PolicySet::new(id, feeds.iter().map(|f| f.in_force()).collect(), extras))
}

/// Local data: records of a type, a TTL of 60.
pub(crate) fn local(records: &[(u16, &[u8])]) -> Action {
    let record = |(rtype, rdata): &(u16, &[u8])| LocalRecord {
        rtype: *rtype,
        ttl: 60,
        rdata: (*rdata).into(),
    };
    Action::LocalData(records.iter().map(record).collect())
}

/// An alias to this name.
pub(crate) fn alias(to: &str) -> Action {
    Action::Cname(wire(to))
}

/// `CNAME *.to`.
pub(crate) fn below(to: &str) -> Action {
    Action::CnameBelow(wire(to))
}

fn wire(name: &str) -> Arc<[u8]> {
    Name::from_text(name).unwrap().wire().into()
}
