//! The blast radius: what would have been decided otherwise in the last hours.
//!
//! Pure: the past is handed in as distinct answers with their counts, and both sets of rules decide
//! each of them. Rules about clients are not looked at: who asked is nobody's business here.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Serialize;
use url::Url;

use crate::{
    clock::Timestamp,
    name::Name,
    policy::{AnswerFacts, JumpFacts, Outcome, PolicySet},
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
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Distinct answers.
    pub answers: Vec<PastAnswer>,
    /// Distinct jumps.
    pub jumps: Vec<PastJump>,
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
    /// Jumps in that time.
    pub jumps: u64,
    /// Of these, looked at.
    pub jumps_seen: u64,
    /// Of these, decided otherwise.
    pub jumps_changed: u64,
    /// The domains that this is about most.
    pub domains: Vec<Touched>,
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
    /// Resolutions and jumps decided otherwise.
    pub fn changed(&self) -> u64 {
        self.resolutions_changed + self.jumps_changed
    }

    /// The share of what was looked at that is decided otherwise, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn percent(&self) -> f64 {
        match self.resolutions_seen + self.jumps_seen {
            0 => 0.0,
            seen => self.changed() as f64 * 100.0 / seen as f64,
        }
    }
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
