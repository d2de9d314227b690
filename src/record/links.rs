//! `jumps` and `conversions`: what the gateway does.

use std::net::{IpAddr, SocketAddr};

use super::{Flow, Row, Table, rowbinary::Writer};
use crate::clock::Timestamp;

/// One HTTP request that left us towards a target, or was stopped on the way.
#[derive(Clone, Debug)]
pub struct Jump<'a> {
    /// Who asked.
    pub client: SocketAddr,
    /// The epoch of the key that encrypted `client`; empty for plain.
    pub client_key: &'a str,
    /// Where the request arrived.
    pub server: SocketAddr,
    /// The request method: `GET` or `HEAD`, else `OTHER`.
    pub method: &'static str,
    /// The `Host` asked.
    pub host: &'a str,
    /// The path asked.
    pub path: &'a str,
    /// The code asked.
    pub code: &'a str,
    /// The link's revision; 0 for an unknown code.
    pub revision: u32,
    /// Where it went, or would have gone.
    pub target: &'a str,
    /// The host of `target`.
    pub target_host: &'a str,
    /// Its registrable domain.
    pub target_registrable_domain: &'a str,
    /// Its addresses as resolved now.
    pub target_addresses: &'a [IpAddr],
    /// The HTTP status answered.
    pub status: u16,
    /// `jumped`, `unresolved`, `unknown`, `disabled`, `expired`, `stopped` or `warned`.
    pub outcome: &'static str,
    /// The hop count claimed by the request, 0 for the first.
    pub hop: u8,
    /// The tier in force; empty for none.
    pub tier: &'static str,
    /// The policy action taken; empty for none.
    pub action: &'static str,
    /// The rule that decided.
    pub rule: &'a str,
    /// Its feed.
    pub feed: &'a str,
    /// That feed's version.
    pub feed_version: &'a str,
    /// The standing verdict on the target, as an outcome string.
    pub verification: &'static str,
    /// The host of the `Referer`.
    pub referrer_host: &'a str,
    /// The `User-Agent`.
    pub user_agent: &'a str,
    /// From receipt to the moment the row was encoded, in microseconds.
    pub latency_us: u32,
    /// The public suffix list in use.
    pub psl_version: &'a str,
    /// The exchange.
    pub flow: Flow,
    /// What was asked: `link`, `forward`, `outbound`, or `name` for a host that policy led to us.
    pub service: &'static str,
    /// Why the visitor was not sent on, or what was remarkable, as a code; empty where a rule or the
    /// outcome says it.
    pub reason: &'static str,
    /// What the client seems to be: `person`, `bot`, `preview` or `tool`. It is what the client
    /// says of itself.
    pub client_class: &'static str,
    /// The version of the rules that made the tier; empty without a tier.
    pub tier_version: &'a str,
}

impl Row for Jump<'_> {
    const TABLE: Table = Table::Jumps;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.ip(self.client.ip()).u16(self.client.port()).str(self.client_key);
        w.ip(self.server.ip()).u16(self.server.port()).str(self.method);
        w.str(self.host).str(self.path).str(self.code).u32(self.revision).str(self.target);
        w.str(self.target_host).str(self.target_registrable_domain);
        w.len(self.target_addresses.len());
        for a in self.target_addresses {
            w.ip(*a);
        }
        w.u16(self.status).str(self.outcome).u8(self.hop).str(self.tier).str(self.action);
        w.str(self.rule).str(self.feed).str(self.feed_version).str(self.verification);
        w.str(self.referrer_host).str(self.user_agent).u32(self.latency_us);
        w.str(self.psl_version).u128(self.flow.0).str(self.service).str(self.reason);
        w.str(self.client_class).str(self.tier_version);
    }
}

/// One creation or change of a link.
#[derive(Clone, Debug)]
pub struct Conversion<'a> {
    /// The link's code.
    pub code: &'a str,
    /// The revision this conversion made.
    pub revision: u32,
    /// `create`, `edit`, `disable`, `enable` or `expire`.
    pub operation: &'static str,
    /// The target byte for byte as submitted.
    pub target_submitted: &'a str,
    /// The target in its WHATWG serialisation: what `Location` carries.
    pub target: &'a str,
    /// The host of `target`.
    pub target_host: &'a str,
    /// Its registrable domain.
    pub target_registrable_domain: &'a str,
    /// The token that asked for it.
    pub actor: &'a str,
    /// Whose link it is.
    pub owner: &'a str,
    /// The reason given.
    pub reason: &'a str,
    /// Who connected.
    pub client: SocketAddr,
    /// The epoch of the key that encrypted `client`; empty for plain.
    pub client_key: &'a str,
    /// When the link ends; [`Timestamp::ZERO`] for never.
    pub expires: Timestamp,
    /// The verdict on the target, as an outcome string.
    pub verification: &'static str,
    /// The public suffix list in use.
    pub psl_version: &'a str,
    /// The exchange.
    pub flow: Flow,
    /// What was made or changed: `link` or `forward`.
    pub service: &'static str,
    /// The host it is served at; empty for every host of ours.
    pub domain: &'a str,
    /// Whether it may be followed, after this conversion.
    pub state: &'static str,
    /// Everything else that was set, as a JSON object.
    pub settings: &'a str,
    /// What the changed members were before, as a JSON object; empty for a creation.
    pub previous: &'a str,
}

impl Row for Conversion<'_> {
    const TABLE: Table = Table::Conversions;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.code).u32(self.revision).str(self.operation).str(self.target_submitted);
        w.str(self.target).str(self.target_host).str(self.target_registrable_domain);
        w.str(self.actor).str(self.owner).str(self.reason);
        w.ip(self.client.ip()).u16(self.client.port()).str(self.client_key).ts(self.expires);
        w.str(self.verification).str(self.psl_version).u128(self.flow.0);
        w.str(self.service).str(self.domain).str(self.state).str(self.settings);
        w.str(self.previous);
    }
}
