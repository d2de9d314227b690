//! Outbound pages: `/go?url=…&sig=…`, the moment before a visitor leaves another site through us.
//!
//! What is asked is read strictly ([`GoQuery`]); a signature under one of our keys says that an
//! embedder leads there ([`OutboundKeys`](crate::links::OutboundKeys)). From then on the target is
//! treated as that of a link: the same rules of targets, the same policy on its URL, host, addresses and
//! aliases, the same tiers (`service = "outbound"`), notices, limits and records.
//!
//! | asked | answer | reason |
//! |---|---|---|
//! | a signed target | as a link to it | as of a link |
//! | no signature | by `gateway.outbound.unsigned`: 403, or a notice at least | `unsigned` |
//! | a signature that does not count | by `gateway.outbound.wrongly_signed` | `signature_…`, also in the record of the jump |
//! | one that has expired, and is refused | 410 | `signature_expired` |
//! | a query that can be read in two ways, or not at all | 400 | see [`Misfit`](crate::links::Misfit) |
//! | a target that no link could have | 403 | see [`Refusal`] |
//!
//! Without a signature that counts nobody is sent on but by hand, from a page that names the target,
//! whatever the rules of tiers say: no address of ours is an open redirect. What is refused may be shed
//! when the spool is full, as unknown codes are: anybody can make any number of it.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::{
    fate::Fate,
    notice::{Form, Reason, Service, Tiered},
    page::Page,
    request::{host, host_name},
    worker::{Asked, Worker},
};
use crate::{
    config::{self, OnUnsigned},
    links::{Doubt, GoQuery, Link, Refusal, onward::Beyond},
    policy::Tier,
};

/// The path of outbound pages. It is no code: `go` is reserved.
pub(super) const PATH: &str = "/go";

/// Why a target is shown before anybody goes there, whatever else is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unproven {
    /// The reason's code.
    pub(super) reason: &'static str,
    least: Tier,
}

impl Unproven {
    /// The warning that is shown where `tiered` would be.
    pub(super) fn warning(self, tiered: Option<Tiered>) -> Tiered {
        let own = Tiered {
            tier: self.least,
            form: Form::Stop,
            continue_after_s: None,
            reason: Reason::Unsigned,
        };
        match tiered {
            // Nobody goes on by itself.
            Some(tiered) if tiered.tier >= self.least => {
                Tiered { continue_after_s: None, ..tiered }
            }
            _ => own,
        }
    }
}

/// Where `/go` leads.
struct Go {
    link: Arc<Link>,
    unproven: Option<Unproven>,
}

/// Why it leads nowhere.
struct Nowhere {
    reason: &'static str,
    page: Page,
    /// Where it would have led, as far as that can be said.
    link: Option<Arc<Link>>,
}

impl Worker {
    /// Answers a request for an outbound page; the query is what is asked beyond the path.
    pub(super) async fn go(&self, asked: &Asked<'_>) -> Response<Full<Bytes>> {
        let asked = Asked { service: Service::Outbound, ..*asked };
        match self.read_go(&asked) {
            Ok(Go { link, unproven }) => {
                let asked = Asked { unproven, ..asked };
                let fate = self.fate(Some(link), &asked).await;
                self.answer_with(&asked, fate).await
            }
            Err(Nowhere { reason, page, link }) => {
                let full = self.gateway.parts.on_full.unknown_jumps;
                let fate = Fate { reason, ..Fate::stopped(link, "stopped", full, page) };
                self.answer_with(&asked, fate).await
            }
        }
    }

    fn read_go(&self, asked: &Asked<'_>) -> Result<Go, Nowhere> {
        let parts = &self.gateway.parts;
        let (config, Beyond { query, .. }) = (&parts.config.outbound, asked.beyond);
        let go = GoQuery::parse(query, config.query_bytes_max).map_err(|e| Nowhere {
            reason: e.code(),
            page: Page::GoMalformed,
            link: None,
        })?;
        let link = self.ad_hoc(&go.target);
        let here = host_name(host(asked.uri, asked.headers));
        let doubt = parts.links.outbound().verify(&go, here, asked.now).err();
        let unproven = match doubt.map(|d| (d, unproven(d, config))) {
            None => None,
            Some((_, Ok(unproven))) => Some(unproven),
            Some((doubt, Err(page))) => {
                return Err(Nowhere { reason: doubt.code(), page, link: link.ok() });
            }
        };
        let refused = |reason| Nowhere { reason, page: Page::Refused, link: None };
        Ok(Go { link: link.map_err(refused)?, unproven })
    }

    /// A link to `target`; else why none could lead there.
    fn ad_hoc(&self, target: &str) -> Result<Arc<Link>, &'static str> {
        let suffixes = &self.gateway.parts.suffixes;
        let target = self.gateway.places.target(target, suffixes).map_err(Refusal::code)?;
        let link = Link::ad_hoc(target, suffixes.version());
        link.map(Arc::new).map_err(|_| Refusal::Malformed.code())
    }
}

/// What follows from a doubt; the page of a refusal.
fn unproven(doubt: Doubt, config: &config::Outbound) -> Result<Unproven, Page> {
    let declared = match doubt {
        Doubt::Unsigned => config.unsigned,
        _ => config.wrongly_signed,
    };
    let least = match (declared, doubt) {
        (OnUnsigned::Hint, _) => Tier::Hint,
        (OnUnsigned::Interstitial, _) => Tier::Interstitial,
        (OnUnsigned::Refuse, Doubt::Expired) => return Err(Page::GoExpired),
        (OnUnsigned::Refuse, _) => return Err(Page::GoUnsigned),
    };
    Ok(Unproven { reason: doubt.code(), least })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_signature_nobody_goes_on_by_itself() {
        let tiered = |tier, continue_after_s| Tiered {
            tier,
            form: Form::Stop,
            continue_after_s,
            reason: Reason::Listed,
        };
        for least in [Tier::Hint, Tier::Interstitial] {
            let unproven = Unproven { reason: "unsigned", least };
            let own = unproven.warning(None);
            assert_eq!(
                (own.tier, own.continue_after_s, own.reason),
                (least, None, Reason::Unsigned)
            );
            for tier in [Tier::Hint, Tier::Interstitial, Tier::Block] {
                let shown = unproven.warning(Some(tiered(tier, Some(5))));
                assert_eq!((shown.tier, shown.continue_after_s), (tier.max(least), None));
            }
        }
    }
}
