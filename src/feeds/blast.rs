//! The blast radius: what would have been decided otherwise in the last hours.
//!
//! Pure: the past is handed in as distinct answers with their counts, and both sets of rules decide
//! each of them. What rules about clients change is counted by itself, from who asked and how often;
//! nobody is named. It cannot be told how many of these are among the answers that change, too, so
//! the sum is an upper bound. Rules about name servers cannot be counted: which servers a name had
//! is not recorded. Their feeds are named ([`Blast::not_countable`]).

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Serialize;
use url::Url;

use crate::{
    clock::Timestamp,
    name::Name,
    policy::{AnswerFacts, FeedInForce, JumpFacts, Outcome, PolicySet},
    record::PublicSuffixes,
};

/// Domains that are named.
const DOMAINS_MAX: usize = 20;

/// What is asked of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastAsk {
    /// From when on.
    pub from: Timestamp,
    /// Distinct answers and distinct jumps at most, the most frequent of each.
    pub kinds_max: u64,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
    /// Whether who asked matters.
    pub clients: bool,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Distinct answers.
    pub answers: Vec<PastAnswer>,
    /// Distinct jumps.
    pub jumps: Vec<PastJump>,
    /// Distinct clients of resolutions, where they were asked for and are not encrypted.
    pub clients: Vec<PastClient>,
    /// All resolutions, those of answers left out included.
    pub resolutions: u64,
    /// All jumps.
    pub all_jumps: u64,
}

/// One answer, and how often it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastAnswer {
    /// The name asked.
    pub qname: String,
    /// The names that its aliases led to.
    pub chain: Vec<String>,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// How often.
    pub count: u64,
}

/// One jump, and how often it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastJump {
    /// The link's code.
    pub code: String,
    /// The target.
    pub target: String,
    /// The target's addresses.
    pub addresses: Vec<IpAddr>,
    /// How often.
    pub count: u64,
}

/// One client, and how often it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastClient {
    /// Its address.
    pub address: IpAddr,
    /// How often.
    pub count: u64,
}

/// Asks the store; an error says in one sentence why it cannot tell.
pub type PastQuery = Arc<dyn Fn(PastAsk) -> BoxFuture<'static, Result<Past, String>> + Send + Sync>;

/// What would be decided otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Blast {
    /// Since when.
    pub from: Timestamp,
    /// Resolutions in that time.
    pub resolutions: u64,
    /// Of these, looked at: the most frequent answers.
    pub resolutions_seen: u64,
    /// Of these, decided otherwise.
    pub resolutions_changed: u64,
    /// Resolutions looked at by their client; 0 where no rule is about clients.
    pub clients_seen: u64,
    /// Of these, decided otherwise by rules about clients.
    pub clients_changed: u64,
    /// Jumps in that time.
    pub jumps: u64,
    /// Of these, looked at.
    pub jumps_seen: u64,
    /// Of these, decided otherwise.
    pub jumps_changed: u64,
    /// The domains that this is about most.
    pub domains: Vec<Touched>,
    /// Feeds that change and have rules about name servers, which are not in these figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_countable: Vec<String>,
}

/// A domain of which something would be decided otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Touched {
    /// The registrable domain.
    pub domain: String,
    /// Resolutions and jumps.
    pub count: u64,
    /// One of the names.
    pub name: String,
    /// What was decided about it; empty for nothing.
    pub before: String,
    /// What would be.
    pub after: String,
    /// The rule that would.
    pub rule: String,
}

impl Blast {
    /// Resolutions and jumps decided otherwise, at most: one may count by its answer and its client.
    pub fn changed(&self) -> u64 {
        self.resolutions_changed + self.clients_changed + self.jumps_changed
    }

    /// The share of what was looked at that is decided otherwise, in percent, at most.
    pub fn percent(&self) -> f64 {
        let changed = self.resolutions_changed + self.jumps_changed;
        let answers = share(changed, self.resolutions_seen + self.jumps_seen);
        (answers + share(self.clients_changed, self.clients_seen)).min(100.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// The feeds with rules about name servers that only one of two sets has.
fn not_countable(old: &PolicySet, new: &PolicySet) -> Vec<String> {
    let only = |one: &PolicySet, other: &PolicySet| -> Vec<String> {
        let same = |feed: &FeedInForce| {
            other.feeds().any(|f| f.name == feed.name && Arc::ptr_eq(&f.index, &feed.index))
        };
        one.feeds_about_servers().filter(|f| !same(f)).map(|f| f.name.to_string()).collect()
    };
    let mut feeds = [only(old, new), only(new, old)].concat();
    feeds.sort_unstable();
    feeds.dedup();
    feeds
}

/// What `new` decides otherwise than `old` about `past`.
pub fn blast(
    past: &Past,
    from: Timestamp,
    (old, new): (&PolicySet, &PolicySet),
    suffixes: &PublicSuffixes,
    now: Timestamp,
) -> Blast {
    let mut blast =
        Blast { from, resolutions: past.resolutions, jumps: past.all_jumps, ..Blast::default() };
    let mut touched: HashMap<String, Touched> = HashMap::new();
    let mut touch = |name: &str, count: u64, before: &Outcome, after: &Outcome| {
        let domain = suffixes.registrable_domain(name);
        let entry = touched.entry(domain.to_owned()).or_insert_with(|| Touched {
            domain: domain.to_owned(),
            name: name.to_owned(),
            before: word(before),
            after: word(after),
            rule: after.hit.as_ref().or(before.hit.as_ref()).map_or("", |h| &h.rule).to_owned(),
            ..Touched::default()
        });
        entry.count += count;
    };
    for answer in &past.answers {
        blast.resolutions_seen += answer.count;
        let Ok(name) = Name::from_text(&answer.qname) else { continue };
        let name = name.lower();
        let chain: Vec<Name> = names(&answer.chain);
        let facts = AnswerFacts { chain: &chain, addresses: &answer.addresses, cuts: &[] };
        let decide = |set: &PolicySet| set.answer(&name, &facts, now).outcome();
        let (before, after) = (decide(old), decide(new));
        if word(&before) != word(&after) {
            blast.resolutions_changed += answer.count;
            touch(&answer.qname, answer.count, &before, &after);
        }
    }
    for client in &past.clients {
        blast.clients_seen += client.count;
        let decide = |set: &PolicySet| word(&set.client(client.address, now).outcome());
        if decide(old) != decide(new) {
            blast.clients_changed += client.count;
        }
    }
    for jump in &past.jumps {
        blast.jumps_seen += jump.count;
        let url = Url::parse(&jump.target).ok();
        let host = url.as_ref().and_then(|u| u.domain());
        let name = host.and_then(|h| Name::from_text(h).ok()).map(|n| n.lower());
        let facts = JumpFacts {
            url: &jump.target,
            host: name.as_ref(),
            code: Some(&jump.code),
            addresses: &jump.addresses,
            chain: &[],
        };
        let (before, after) = (old.jump(&facts, now), new.jump(&facts, now));
        if word(&before) != word(&after) {
            blast.jumps_changed += jump.count;
            touch(host.unwrap_or_default(), jump.count, &before, &after);
        }
    }
    let mut domains: Vec<_> = touched.into_values().collect();
    domains.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.domain.cmp(&b.domain)));
    domains.truncate(DOMAINS_MAX);
    blast.domains = domains;
    blast.not_countable = not_countable(old, new);
    blast
}

fn names(texts: &[String]) -> Vec<Name> {
    texts.iter().filter_map(|t| Name::from_text(t).ok()).map(|n| n.lower()).collect()
}

/// What a visitor notices of a decision.
fn word(outcome: &Outcome) -> String {
    match &outcome.hit {
        None => String::new(),
        Some(hit) => format!("{} {}", hit.tier.name(), hit.action.name()),
    }
}
