//! What becomes of a request: decided from the link, the rules in force and where the target is now.

use std::sync::Arc;

use super::{
    ahead::{Remark, Then},
    page::Page,
    rules::{self, Ruling},
    worker::Worker,
};
use crate::{
    config::{FullPolicy, OnUnresolved},
    links::{Link, State},
    resolver::Lookup,
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
    /// None to send the visitor on.
    pub(super) page: Option<Page>,
}

impl Fate {
    /// The end of a request that nothing was looked up for.
    fn stopped(
        link: Option<Arc<Link>>,
        outcome: &'static str,
        full: FullPolicy,
        page: Page,
    ) -> Self {
        let page = Some(page);
        Self { link, outcome, reason: "", full, lookup: None, ruling: None, page }
    }
}

impl Worker {
    pub(super) async fn fate(&self, link: Option<Arc<Link>>, hop: u8) -> Fate {
        let parts = &self.gateway.parts;
        let Some(link) = link else {
            return Fate::stopped(None, "unknown", parts.on_full.unknown_jumps, Page::Unknown);
        };
        let full = parts.on_full.jumps;
        if link.state == State::Disabled {
            return Fate::stopped(Some(link), "disabled", full, Page::Disabled);
        }
        if link.is_expired(parts.clock.now()) {
            return Fate::stopped(Some(link), "expired", full, Page::Expired);
        }
        if hop >= parts.config.hops_max {
            let stopped = Fate::stopped(Some(link), "stopped", full, Page::Loop);
            return Fate { reason: "too_many_hops", ..stopped };
        }
        let mut lookup = self.look_up(&link.target_host).await;
        let ruling = self.ruling(&link, &lookup);
        let unresolved = lookup.addresses.is_empty();
        let (outcome, reason, page) = match &ruling {
            Some(r) if r.hit.is_none() => ("stopped", "", Some(Page::Busy)),
            Some(r) if r.stops() => ("stopped", "", Some(Page::Blocked)),
            _ if unresolved && parts.config.on_unresolved == OnUnresolved::Stop => {
                ("unresolved", "", Some(Page::Unresolved))
            }
            _ => {
                let jumps = if unresolved { "unresolved" } else { "jumped" };
                match self.ahead(&link, &mut lookup).await {
                    None => (jumps, "", None),
                    Some(Remark { reason, then: Then::Jump }) => (jumps, reason, None),
                    Some(Remark { reason, then: Then::Refuse }) => {
                        ("stopped", reason, Some(Page::Refused))
                    }
                    Some(Remark { reason, then: Then::Loop }) => {
                        ("stopped", reason, Some(Page::Loop))
                    }
                }
            }
        };
        Fate { link: Some(link), outcome, reason, full, lookup: Some(lookup), ruling, page }
    }

    /// What the rules in force say of a jump along `link`.
    fn ruling(&self, link: &Link, lookup: &Lookup) -> Option<Ruling> {
        let parts = &self.gateway.parts;
        let set = parts.in_force.load_full();
        if set.is_empty() {
            return None;
        }
        let ruling = rules::of_jump(&set, link, lookup, parts.clock.now())?;
        parts.metrics.decisions(&ruling.feed, ruling.action).increment(1);
        Some(ruling)
    }
}
