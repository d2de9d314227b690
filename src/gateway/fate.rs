//! What becomes of a request: decided from the link, the rules in force and where the target is now.

use std::sync::Arc;

use super::{
    ahead::{Remark, Then},
    notice::{self, Agreed, Form, Inputs, Tiered},
    page::Page,
    rules::{self, Ruling},
    terms::is_served_at,
    worker::{Asked, Worker},
};
use crate::{
    config::{FullPolicy, OnUnresolved},
    links::{
        Link, State,
        onward::{Onward, onward},
    },
    policy::Tier,
    resolver::Lookup,
    verify::Occasion,
};

/// What becomes of a request.
pub(super) struct Fate {
    pub(super) link: Option<Arc<Link>>,
    pub(super) outcome: &'static str,
    /// Why, as a code, where neither a rule nor the outcome says it.
    pub(super) reason: &'static str,
    /// What is done with its record when the spool is full.
    pub(super) full: FullPolicy,
    pub(super) lookup: Option<Lookup>,
    /// What a rule says of it.
    pub(super) ruling: Option<Ruling>,
    /// The tier of the warning it gets, or got and went on from.
    pub(super) tiered: Option<Tiered>,
    /// Where the visitor goes whose path or query is handed on.
    pub(super) onward: Option<Onward>,
    pub(super) answer: Answer,
}

/// What a visitor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The way to the target.
    Go,
    /// A page that says why not.
    Page(Page),
    /// The notice of this warning.
    Warn(Tiered),
}

impl Fate {
    /// Where the visitor goes, or would have gone.
    pub(super) fn target(&self) -> &str {
        match &self.onward {
            Some(onward) => &onward.target,
            None => self.link.as_deref().map_or("", |l| &l.target),
        }
    }

    /// The end of a request that nothing was looked up for.
    pub(super) fn stopped(
        link: Option<Arc<Link>>,
        outcome: &'static str,
        full: FullPolicy,
        page: Page,
    ) -> Self {
        let (answer, reason) = (Answer::Page(page), "");
        Self {
            link,
            outcome,
            reason,
            full,
            lookup: None,
            ruling: None,
            tiered: None,
            onward: None,
            answer,
        }
    }
}

impl Worker {
    pub(super) async fn fate(&self, link: Option<Arc<Link>>, asked: &Asked<'_>) -> Fate {
        let parts = &self.gateway.parts;
        let Some(link) = link.filter(|link| is_served_at(link, asked)) else {
            return Fate::stopped(None, "unknown", parts.on_full.unknown_jumps, Page::Unknown);
        };
        let full = parts.on_full.jumps;
        if link.state == State::Disabled {
            return Fate::stopped(Some(link), "disabled", full, Page::Disabled);
        }
        if link.is_expired(parts.clock.now()) {
            return Fate::stopped(Some(link), "expired", full, Page::Expired);
        }
        if asked.hop > parts.config.hops_max {
            let stopped = Fate::stopped(Some(link), "stopped", full, Page::Loop);
            return Fate { reason: "too_many_hops", ..stopped };
        }
        if let Some((outcome, page)) = self.terms(&link, asked).await {
            return Fate::stopped(Some(link), outcome, full, page);
        }
        let onward = match onward(&link, asked.beyond, parts.config.targets.length_max) {
            Ok(onward) => onward,
            Err(reason) => {
                let stopped = Fate::stopped(Some(link), "stopped", full, Page::Unknown);
                return Fate { reason, ..stopped };
            }
        };
        let target = onward.as_ref().map_or(&*link.target, |o| &o.target);
        let mut lookup = self.look_up(&link.target_host).await;
        let unresolved = lookup.addresses.is_empty();
        let (ruling, tiered) = self.ruling(&link, target, &lookup, asked);
        let warned = tiered.filter(|t| !agrees(asked, *t, ruling.as_ref(), target));
        let (outcome, reason, answer) = match (&ruling, warned) {
            (Some(r), _) if r.is_closed() => ("stopped", "", Answer::Page(Page::Busy)),
            (_, Some(t)) if t.tier == Tier::Block => ("stopped", t.reason.name(), Answer::Warn(t)),
            _ if unresolved && parts.config.on_unresolved == OnUnresolved::Stop => {
                ("unresolved", "", Answer::Page(Page::Unresolved))
            }
            _ => {
                let jumps = if unresolved { "unresolved" } else { "jumped" };
                let (jumps, reason) = match self.ahead(&link, target, &mut lookup).await {
                    None => (jumps, ""),
                    Some(Remark { reason, then: Then::Jump }) => (jumps, reason),
                    Some(Remark { reason, then: Then::Refuse }) => {
                        let fate = Fate {
                            reason,
                            ruling,
                            tiered,
                            ..Fate::stopped(Some(link), "stopped", full, Page::Refused)
                        };
                        return Fate { lookup: Some(lookup), ..fate };
                    }
                    Some(Remark { reason, then: Then::Loop }) => {
                        let fate = Fate {
                            reason,
                            ruling,
                            tiered,
                            ..Fate::stopped(Some(link), "stopped", full, Page::Loop)
                        };
                        return Fate { lookup: Some(lookup), ..fate };
                    }
                };
                match warned {
                    Some(t) => ("warned", t.reason.name(), Answer::Warn(t)),
                    None => (jumps, reason, Answer::Go),
                }
            }
        };
        let used_up = match answer {
            Answer::Go => self.use_up(&link, asked).await,
            Answer::Page(_) | Answer::Warn(_) => None,
        };
        let (outcome, reason, answer) = used_up.unwrap_or((outcome, reason, answer));
        // What is not proven is said of whoever is warned or sent on all the same.
        let reason = match asked.unproven {
            Some(unproven) if matches!(reason, "" | "unsigned") => unproven.reason,
            _ => reason,
        };
        Fate {
            link: Some(link),
            outcome,
            reason,
            full,
            lookup: Some(lookup),
            ruling,
            tiered,
            onward,
            answer,
        }
    }

    /// What the rules in force say of a jump along `link`, and the warning it gets.
    fn ruling(
        &self,
        link: &Link,
        target: &str,
        lookup: &Lookup,
        asked: &Asked<'_>,
    ) -> (Option<Ruling>, Option<Tiered>) {
        let parts = &self.gateway.parts;
        let set = parts.in_force.load_full();
        let (of_target, of_place) = match set.is_empty() {
            true => (None, None),
            false => (
                rules::of_jump(&set, link, target, lookup, parts.clock.now()),
                self.of_place(&set, link, asked),
            ),
        };
        let unresolved = lookup.addresses.is_empty();
        let now = parts.clock.now();
        let standing =
            parts.verdicts.standing_or_wanted(&link.target_host, now, Occasion::FirstSeen);
        let mut findings = link.findings.names();
        findings.extend(standing.iter().flat_map(|last| last.adverse.iter().copied()));
        let tier_of = |ruling: Option<&Ruling>| {
            let inputs = Inputs {
                unsigned: asked.unproven.is_some(),
                verdict: standing.as_ref().map_or("not_evaluated", |last| last.outcome()),
                ..rules::inputs(ruling, asked.service, unresolved)
            };
            let tiered = parts.notices.tier(&self.known(link, &findings, asked, inputs));
            asked.unproven.map_or(tiered, |unproven| Some(unproven.warning(tiered)))
        };
        let tiered = tier_of(of_target.as_ref());
        let stricter = of_place.map(|place| (tier_of(Some(&place)), place));
        let stricter = stricter.filter(|(of_place, place)| {
            let weight = of_target.as_ref().map(|r| r.weight(tiered));
            place.listed.is_some() && weight.is_none_or(|w| w < place.weight(*of_place))
        });
        let (mut ruling, tiered) = match stricter {
            Some((tiered, place)) => (Some(place), tiered),
            None => (of_target, tiered),
        };
        if let Some(ruling) = &mut ruling {
            if let Some(tiered) = tiered {
                ruling.warn(tiered);
            }
            parts.metrics.decisions(&ruling.feed, ruling.action).increment(1);
        }
        (ruling, tiered)
    }
}

/// Whether the visitor goes on from a notice of this very warning.
fn agrees(asked: &Asked<'_>, tiered: Tiered, ruling: Option<&Ruling>, target: &str) -> bool {
    let Some(Agreed { token, granted }) = asked.agreed else { return false };
    let may = match tiered.tier {
        Tier::Block => granted && tiered.form == Form::StepUp,
        Tier::Hint | Tier::Interstitial => true,
    };
    // A weaker warning than the one that was dismissed needs no other page.
    may && tiered.tier <= token.tier
        && token.target == notice::digest(target)
        && (tiered.tier < token.tier || token.feed == ruling.map_or("", |r| &r.feed))
}
