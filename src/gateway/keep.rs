//! The record of a request, written before the answer.

use std::time::Duration;

use http::{Method, StatusCode};

use super::{
    Peer,
    fate::Fate,
    notice::{Service, Tiered},
    record::Pushed,
    request::{host, path, referrer_host, user_agent},
    rules::Ruling,
    worker::{Asked, Worker},
};
use crate::{
    config::FullPolicy,
    record::{Flow, Jump, Notice, Resolution},
    resolver::{Caused, Lookup},
};

/// What was decided of a request, as its record keeps it.
pub(super) struct Decided<'a> {
    pub(super) service: Service,
    pub(super) revision: u32,
    pub(super) target: &'a str,
    pub(super) target_host: &'a str,
    pub(super) target_registrable_domain: &'a str,
    pub(super) psl_version: &'a str,
    pub(super) status: StatusCode,
    pub(super) outcome: &'static str,
    pub(super) full: FullPolicy,
    pub(super) lookup: Option<&'a Lookup>,
    pub(super) tiered: Option<Tiered>,
    pub(super) ruling: Option<&'a Ruling>,
    /// Why, as a code, where neither a rule nor the outcome says it.
    pub(super) reason: &'static str,
}

impl Fate {
    pub(super) fn decided(&self, service: Service, status: StatusCode) -> Decided<'_> {
        let link = self.link.as_deref();
        Decided {
            service,
            revision: link.map_or(0, |l| l.revision),
            target: self.target(),
            target_host: link.map_or("", |l| &l.target_host),
            target_registrable_domain: link.map_or("", |l| &l.target_registrable_domain),
            psl_version: link.map_or("", |l| &l.psl_version),
            status,
            outcome: self.outcome,
            full: self.full,
            lookup: self.lookup.as_ref(),
            tiered: self.tiered,
            ruling: self.ruling.as_ref(),
            reason: self.reason,
        }
    }
}

impl<'a> Decided<'a> {
    /// The record of a page sent: with what the visitor was told and where the way would have led.
    pub(super) fn issued(&'a self, notice: Notice<'a>) -> Notice<'a> {
        let hit = self.ruling.and_then(|r| r.hit.as_deref());
        Notice {
            rule: hit.map_or("", |h| &h.rule),
            target: self.target,
            target_registrable_domain: self.target_registrable_domain,
            authority: hit.map_or("", |h| &h.legal.authority),
            order_number: hit.map_or("", |h| &h.legal.order_number),
            reason: match hit.map_or("", |h| &h.legal.reason) {
                "" => notice.reason,
                reason => reason,
            },
            psl_version: self.psl_version,
            ..notice
        }
    }
}

impl Worker {
    /// The last verdict on a target's host, in one word.
    fn verdict(&self, host: &str) -> &'static str {
        let parts = &self.gateway.parts;
        let standing = parts.verdicts.standing(host, parts.clock.now());
        standing.map_or("not_evaluated", |last| last.overall.name())
    }

    /// Pushes the records of a request that is decided.
    pub(super) fn push<'n>(
        &self,
        asked: &Asked<'_>,
        decided: &Decided<'_>,
        notices: impl Iterator<Item = Notice<'n>>,
    ) -> Pushed {
        let parts = &self.gateway.parts;
        let (uri, headers) = (asked.uri, asked.headers);
        let ruling = decided.ruling;
        let tiered = decided.tiered;
        let jump = Jump {
            client: asked.peer.client,
            client_key: "",
            server: asked.peer.server,
            method: match *asked.method {
                Method::GET => "GET",
                Method::HEAD => "HEAD",
                Method::POST => "POST",
                _ => "OTHER",
            },
            host: host(uri, headers),
            path: path(uri),
            code: asked.code,
            revision: decided.revision,
            target: decided.target,
            target_host: decided.target_host,
            target_registrable_domain: decided.target_registrable_domain,
            target_addresses: decided.lookup.map_or(&[], |l| &l.addresses),
            status: decided.status.as_u16(),
            outcome: decided.outcome,
            hop: asked.hop,
            tier: tiered.map_or_else(|| ruling.map_or("", |r| r.tier), |t| t.tier.name()),
            action: ruling.map_or("", |r| r.action),
            rule: ruling.map_or("", Ruling::rule),
            feed: ruling.map_or("", |r| &r.feed),
            feed_version: ruling.map_or("", |r| &r.feed_version),
            verification: self.verdict(decided.target_host),
            referrer_host: referrer_host(headers),
            user_agent: user_agent(headers),
            latency_us: micros(self.since(asked.began)),
            psl_version: decided.psl_version,
            flow: asked.flow,
            service: decided.service.name(),
            reason: decided.reason,
            client_class: asked.class,
            tier_version: tiered.map_or("", |_| parts.notices.tier_version()),
        };
        let caused = decided.lookup.iter().flat_map(|l| &l.caused);
        // An empty tail belongs to an answer that is not recorded.
        let caused = caused.filter(|c| !c.answered.tail.is_empty());
        let caused = caused.map(|c| (resolution(c, asked.peer, asked.flow), c.answered.full));
        self.recorder.push(&jump, decided.full, notices, caused)
    }
}

/// A question that a jump caused: the visitor asked it, by way of HTTP.
fn resolution(caused: &Caused, peer: Peer, flow: Flow) -> Resolution<'_> {
    let answered = &caused.answered;
    Resolution {
        client: peer.client,
        client_key: "",
        server: peer.server,
        transport: "http",
        flags: answered.flags,
        latency_us: caused.latency_us,
        min_ttl: answered.min_ttl,
        cache: answered.cache,
        flow,
        tail: &answered.tail,
    }
}

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}
