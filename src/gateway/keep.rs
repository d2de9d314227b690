//! The record of a request, written before the answer.

use std::time::Duration;

use http::{Method, StatusCode};

use super::{
    Peer,
    fate::Fate,
    page::Page,
    request::{host, path, referrer_host, user_agent},
    rules::Ruling,
    worker::{Asked, Worker},
};
use crate::{
    record::{Flow, Jump, Resolution},
    resolver::Caused,
};

impl Worker {
    /// Writes the record; whether the request may be answered.
    pub(super) async fn keep<B>(&self, asked: &Asked<'_, B>, fate: &Fate) -> bool {
        let (uri, headers) = (asked.request.uri(), asked.request.headers());
        let link = fate.link.as_deref();
        let ruling = fate.ruling.as_ref();
        let jump = Jump {
            client: asked.peer.client,
            client_key: "",
            server: asked.peer.server,
            method: if *asked.request.method() == Method::HEAD { "HEAD" } else { "GET" },
            host: host(uri, headers),
            path: path(uri),
            code: asked.code,
            revision: link.map_or(0, |l| l.revision),
            target: link.map_or("", |l| &l.target),
            target_host: link.map_or("", |l| &l.target_host),
            target_registrable_domain: link.map_or("", |l| &l.target_registrable_domain),
            target_addresses: fate.lookup.as_ref().map_or(&[], |l| &l.addresses),
            status: fate.page.map_or(StatusCode::FOUND, Page::status).as_u16(),
            outcome: fate.outcome,
            hop: asked.hop,
            tier: ruling.map_or("", |r| r.tier),
            action: ruling.map_or("", |r| r.action),
            rule: ruling.map_or("", Ruling::rule),
            feed: ruling.map_or("", |r| &r.feed),
            feed_version: ruling.map_or("", |r| &r.feed_version),
            verification: "not_evaluated",
            referrer_host: referrer_host(headers),
            user_agent: user_agent(headers),
            latency_us: micros(self.since(asked.began)),
            psl_version: link.map_or("", |l| &l.psl_version),
            flow: asked.flow,
            service: "link",
            reason: fate.reason,
            client_class: asked.class,
            tier_version: "",
        };
        let caused = fate.lookup.iter().flat_map(|l| &l.caused);
        // An empty tail belongs to an answer that is not recorded.
        let caused = caused.filter(|c| !c.answered.tail.is_empty());
        let caused = caused.map(|c| (resolution(c, asked.peer, asked.flow), c.answered.full));
        self.recorder.keep(&jump, fate.full, caused).await
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
