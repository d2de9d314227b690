//! Enforcement: what the rules in force make of a question and its answer.
//!
//! One [`PolicySet`] decides a question from beginning to end; a question that waits for upstream is
//! decided anew with the set that is in force then. The answer before policy comes from our zones,
//! the cache or upstream ([`Resolver::plain`]); what rules make of it ([`rewrite`]) is an entry of its
//! own, never kept in the place of the other.
//!
//! # What makes a hit free
//!
//! - Beside each answer lies a memo: which set looked at it, until when that stays true, and whether
//!   a rule applies. With no rule, the answer leaves as it would without policy.
//! - Where a rule applies, the entry it makes is in a cache of its own (`policy.answers_bytes_max`),
//!   marked with its set and its time. Another set, or a rule's beginning or end, makes both void
//!   without anybody looking for them.
//! - What applies to the client alone is looked up at every query, and where there is something,
//!   nothing is kept.
//!
//! # What is never done
//!
//! - A bogus answer is not made a valid-looking one, by whatever rule ([`Answer::fault`]): the client
//!   gets its SERVFAIL, and the record names the rule with the action `leave-bogus`. Where a rule
//!   decides before anybody was asked, nothing is known, and nobody is asked to find out.
//! - A name that nobody can resolve is not spared for that: where an upstream does not say why it
//!   fails and a rule would act, it is asked once more without checking (CD). A failure again has
//!   nothing to do with validation. Without an answer to that, the first one is left as it is.
//! - Another failure is not made one by what an answer would trigger: without an answer there are no
//!   addresses and no servers. Rules about the name itself need none.
//! - An alias that a rule answers with is followed without policy: one rule per answer.
//! - Questions that are refused without looking (no recursion, other classes) are none of policy's.

mod facts;
mod rewrite;
mod words;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) use facts::Servers;
use rewrite::{Case, Effect, With};

use super::{
    Context, Found, Resolver,
    cache::{Hit as Kept, Key},
    entry::{Answer, Applied, Entry, Fault, Life},
    message::{Ede, Rcode},
    query::Query,
    wait::{Got, joined},
};
use crate::{
    clock::Timestamp,
    config::PolicyDnssec,
    policy::{Decision, Hit, Matches, Outcome, PolicySet},
};

/// For how long something stays true that was found with a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    set: u64,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Validity {
    fn new(set: &PolicySet, now: Timestamp) -> Self {
        Self { set: set.id(), from: now, until: set.next_boundary(now) }
    }

    fn holds(&self, set: &PolicySet, now: Timestamp) -> bool {
        self.set == set.id() && self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// What a set makes of an answer, whoever asks.
#[derive(Debug)]
pub(super) struct Memo {
    validity: Validity,
    /// What applies to the answer; none where the question decided.
    matches: Option<Matches>,
    /// No rule applies, and none would.
    nothing: bool,
}

impl Resolver {
    /// The answer to a question under the set in force.
    pub(super) fn decide(&self, q: &Query, ctx: &Context, got: &Got) -> Found {
        let plain = self.plain(q, ctx.now_mono, got);
        let set = self.in_force.load();
        if set.is_empty() || is_refused(&plain) {
            return plain;
        }
        let client = set.client(ctx.client.ip(), ctx.now);
        let case = Case { q, ctx, set: &set, alone: client.is_empty() };
        let guard = match &plain {
            Found::Ready(entry, _) => Some(entry.memo()),
            Found::Ask(_) => None,
        };
        let memo = guard.as_ref().and_then(|m| m.as_deref());
        let memo = memo.filter(|m| m.validity.holds(&set, ctx.now));
        if case.alone {
            if memo.is_some_and(|m| m.nothing) {
                return plain;
            }
            if let Some(found) = self.made(&case, &plain, memo.is_some()) {
                return found;
            }
        }
        match set.question(&q.lower, client.clone(), ctx.now) {
            Decision::None => plain,
            Decision::Closed(feed) => self.closed(&case, &feed),
            Decision::Decided(outcome) => {
                if case.alone
                    && let Found::Ready(entry, _) = &plain
                {
                    let validity = Validity::new(&set, ctx.now);
                    entry.remember(Memo { validity, matches: None, nothing: false });
                }
                self.enforce(&case, &outcome, plain, got)
            }
            Decision::Undecided => {
                let Found::Ready(entry, from) = plain else { return plain };
                let known = memo.and_then(|m| m.matches.clone());
                let matches = known.unwrap_or_else(|| self.look_at(&case, &entry));
                let outcome = matches.and(client).outcome();
                if outcome == Outcome::default() {
                    return Found::Ready(entry, from);
                }
                self.enforce(&case, &outcome, Found::Ready(entry, from), got)
            }
        }
    }

    /// The entry that rules made of this question before, where it still holds. Without a memo
    /// beside the answer, only where there is no answer: a newer one has not been looked at.
    fn made(&self, case: &Case<'_>, plain: &Found, remembered: bool) -> Option<Found> {
        let from = match plain {
            Found::Ready(_, from) if remembered => *from,
            Found::Ready(..) => return None,
            Found::Ask(_) => "none",
        };
        let Case { q, ctx, set, .. } = case;
        match self.made.get(&Key::made(q, ctx.transport), ctx.now_mono) {
            Kept::Fresh(entry) if entry.validity()?.holds(set, ctx.now) => {
                Some(Found::Ready(entry, from))
            }
            _ => None,
        }
    }

    /// What applies to an answer, remembered beside it.
    fn look_at(&self, case: &Case<'_>, entry: &Arc<Entry>) -> Matches {
        let Case { q, ctx, set, .. } = case;
        let facts = self.facts(q, entry, set.has_server_triggers());
        let matches = facts.with(|facts| set.answer(&q.lower, facts, ctx.now));
        for feed in set.not_evaluable(&matches) {
            self.metrics.not_evaluable(feed).increment(1);
        }
        entry.remember(Memo {
            validity: Validity::new(set, ctx.now),
            nothing: matches.is_empty(),
            matches: Some(matches.clone()),
        });
        matches
    }

    /// SERVFAIL, because a feed without which nothing may be answered is not there.
    fn closed(&self, case: &Case<'_>, feed: &str) -> Found {
        let text = "a list without which nothing may be answered is not in force";
        let mut answer = Answer::error(Rcode::SERVFAIL, Ede::NOT_READY, text);
        answer.applied = Some(Box::new(Applied {
            action: "closed",
            rule: String::new(),
            feed: feed.to_owned(),
            feed_version: String::new(),
            original: Vec::new(),
            counts: vec![self.metrics.decisions(feed, "closed")],
        }));
        let entry = Entry::new(case.q, &answer, Life::FOR_EVER, &self.style);
        Found::Ready(Arc::new(entry), "none")
    }

    /// Does what the rule says; what stands or what has to be asked for it comes back as it is.
    fn enforce(&self, case: &Case<'_>, outcome: &Outcome, plain: Found, got: &Got) -> Found {
        let Some(hit) = outcome.hit.as_ref().or(outcome.observed.as_ref()) else { return plain };
        let mut effect = match outcome.hit {
            Some(_) => rewrite::effect(hit, case, &self.rules),
            None => Effect::Stand("observe"),
        };
        let looks_valid = matches!(
            effect,
            Effect::Replace(_, With::Nxdomain | With::Records(_) | With::Alias(_))
        );
        let leave_signed = self.rules.dnssec == PolicyDnssec::LeaveSigned;
        let signatures = looks_valid && leave_signed && case.q.do_bit();
        let (plain, from) = match plain {
            Found::Ready(entry, from) => (Some(entry), from),
            Found::Ask(_) if signatures || matches!(effect, Effect::Stand(_)) => return plain,
            Found::Ask(_) => (None, "none"),
        };
        if signatures && plain.as_ref().is_some_and(|p| p.is_signed()) {
            effect = Effect::Stand("leave-signed");
        }
        if looks_valid && let Some(plain) = &plain {
            match self.is_bogus(case.q, plain, case.ctx.now_mono, got) {
                Ok(true) => effect = Effect::Stand("leave-bogus"),
                Ok(false) => {}
                Err(ask) => return Found::Ask(ask),
            }
        }
        let made = match (effect, &plain) {
            (Effect::Replace(action, with), plain) => {
                let applied = self.applied(outcome, hit, action);
                self.replaced(case, hit, with, plain.as_deref(), applied, got)
            }
            (Effect::Stand(action), Some(plain)) => {
                let applied = Some(Box::new(self.applied(outcome, hit, action)));
                Ok((Answer { applied, ..plain.answer() }, plain.life()))
            }
            // What stands was asked for above.
            (Effect::Stand(_), None) => Err(Box::new(*case.q)),
        };
        let (answer, life) = match made {
            Ok(made) => made,
            Err(ask) => return Found::Ask(ask),
        };
        let mut entry = Entry::new(case.q, &answer, life, &self.style);
        entry.hold(Validity::new(case.set, case.ctx.now));
        let entry = Arc::new(entry);
        if case.alone {
            let key = Key::made(case.q, case.ctx.transport);
            self.made.insert(&key, Arc::clone(&entry));
        }
        Found::Ready(entry, from)
    }

    /// Whether an answer is a failure of validation, or may be; or what has to be asked to know.
    fn is_bogus(
        &self,
        q: &Query,
        plain: &Entry,
        now: Instant,
        got: &Got,
    ) -> Result<bool, Box<Query>> {
        match plain.fault() {
            Fault::Other | Fault::Unchecked => Ok(false),
            Fault::Bogus => Ok(true),
            Fault::Unsaid => match self.plain(&Query { cd: true, ..*q }, now, got) {
                Found::Ask(ask) => Err(ask),
                Found::Ready(unchecked, _) => Ok(unchecked.fault() != Fault::Unchecked),
            },
        }
    }

    /// What the record says of the rule.
    fn applied(&self, outcome: &Outcome, hit: &Hit, action: &'static str) -> Applied {
        let mut counts = vec![self.metrics.decisions(&hit.feed, action)];
        if let (Some(_), Some(observed)) = (&outcome.hit, &outcome.observed) {
            counts.push(self.metrics.decisions(&observed.feed, "observe"));
        }
        Applied {
            action,
            rule: hit.rule.to_string(),
            feed: hit.feed.to_string(),
            feed_version: hit.feed_version.to_string(),
            original: Vec::new(),
            counts,
        }
    }

    /// The answer that a rule puts in the place of `plain`, and how long it lives; or what has to be
    /// asked for it.
    fn replaced(
        &self,
        case: &Case<'_>,
        hit: &Hit,
        with: With,
        plain: Option<&Entry>,
        mut applied: Applied,
        got: &Got,
    ) -> Result<(Answer, Life), Box<Query>> {
        let now = case.ctx.now_mono;
        let original = plain.map_or_else(|| Answer::bare(Rcode::NOERROR), Entry::answer);
        let records = original.sections.answer;
        let (name, led_here) = facts::position(case.q, &records, hit.position);
        let age = plain.map_or(0, |p| p.age_s(now));
        let mut answer = Answer { upstream: original.upstream, ..Answer::bare(Rcode::NOERROR) };
        answer.sections.answer = led_here.iter().map(|r| r.aged(age)).collect();
        let alias = rewrite::fill(&mut answer, with, &name, case.q, hit, &self.rules);
        if plain.is_some_and(|p| !p.failed()) {
            applied.original = records;
        }
        answer.applied = Some(Box::new(applied));
        let made_until = now.checked_add(Duration::from_secs(self.rules.ttl_s.into()));
        let decided_until = plain.and_then(Entry::expires);
        let Some(to) = alias else {
            let life = match hit.position {
                // Nothing but what we made up, whose TTLs stay as they are.
                0 => Life::not_counting(decided_until),
                _ => Life::until(now, earlier(made_until, decided_until)),
            };
            return Ok((answer, life));
        };
        match self.plain(&Query { qname: to, lower: to, ..*case.q }, now, got) {
            Found::Ask(ask) => Err(ask),
            Found::Ready(end, _) => {
                let expires = earlier(made_until, earlier(decided_until, end.expires()));
                Ok((joined(answer, &end, now), Life::until(now, expires)))
            }
        }
    }
}

/// The earlier of two ends; none for no end.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whether the question is refused whatever the rules say.
fn is_refused(plain: &Found) -> bool {
    matches!(plain, Found::Ready(entry, "none") if entry.rcode() == Rcode::REFUSED)
}
