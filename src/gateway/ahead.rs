//! What lies ahead of a jump: addresses it must not lead to, and ourselves.
//!
//! No link may lead to our own hosts when it is made. A link can come to do so all the same: a host
//! becomes ours later, or a stranger's name is pointed at us. A browser that follows a redirect brings
//! nothing along that would tell how often it has been here, so nothing is put into the way of the
//! visitor: before a jump that would come back to us, the way is followed, link by link and forward by
//! forward, with what is handed on of this visitor's path and query, at most `gateway.hops_max` steps,
//! and the jump is stopped with 508 where it meets itself (`loop`) or does not leave us by then
//! (`too_many_hops`).
//!
//! What is outside is not seen from here. Another gateway, proxy or walker of ours that follows
//! redirects itself says in `Tracegate-Hop` how many of us it has passed; anybody may, because it can
//! only stop the one who says it. It is answered with the number to send next.
//!
//! A host leads to us if it is one of our hosts, if an alias of it is, or if it has the very address
//! and port that we listen on. An address in front of us, such as a proxy's, is no sign: other sites
//! may be behind it. A host that is forwarded leads to us by declaration; that is looked up where a
//! forward begins the way or it leads to us anyhow, so that jumps to strangers cost nothing.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderMap;
use url::Url;

use super::{request::code_of_path, worker::Worker};
use crate::{
    config::{self, OnTarget},
    links::{
        AskedPath, Link, Refusal, State, Target, TargetRules, Way, is_forward,
        onward::{Beyond, onward},
        target::has_tls,
    },
    record::PublicSuffixes,
    resolver::Lookup,
    special::{canonical_address, is_special_address},
};

/// The name of the header that counts.
pub(super) const HOP: &str = "tracegate-hop";

/// What a request says of the gateways it has passed; the most that any such header says.
pub(super) fn hop(headers: &HeaderMap) -> u8 {
    let said = headers.get_all(HOP).iter().filter_map(|v| v.to_str().ok());
    said.filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
        .map(|v| v.parse().unwrap_or(u8::MAX))
        .max()
        .unwrap_or(0)
}

/// Where we are, and what a target may be.
pub(super) struct Places {
    rules: TargetRules,
    endpoints: Vec<SocketAddr>,
    /// Whether short URLs have TLS.
    tls: bool,
}

impl Places {
    /// `listening` is where the gateway listens; visitors of a wildcard come to one of `public`.
    pub(super) fn new(
        config: &config::Gateway,
        listening: &[SocketAddr],
        public: &[IpAddr],
    ) -> Self {
        let at = |a: &SocketAddr| match a.ip().is_unspecified() {
            true => public.iter().map(|ip| SocketAddr::new(*ip, a.port())).collect(),
            false => vec![*a],
        };
        Self {
            rules: TargetRules::new(config, listening),
            endpoints: listening.iter().flat_map(at).collect(),
            tls: has_tls(&config.public_url),
        }
    }

    /// Reads a target that nobody has read before.
    pub(super) fn target(&self, text: &str, suffixes: &PublicSuffixes) -> Result<Target, Refusal> {
        self.rules.parse(text, suffixes)
    }

    /// Whether short URLs have TLS.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.tls
    }

    fn lead_to_us(&self, link: &Link, lookup: &Lookup) -> bool {
        self.has(&link.target_host, &link.target, lookup)
    }

    /// Whether `url`, whose host is `host`, is here.
    pub(super) fn has(&self, host: &str, url: &str, lookup: &Lookup) -> bool {
        let own = |name: &str| {
            let name = name.strip_suffix('.').unwrap_or(name);
            self.rules.is_own(&name.to_ascii_lowercase())
        };
        if self.rules.is_own(host) || lookup.chain.iter().any(|n| own(n)) {
            return true;
        }
        let ours = |ip: &IpAddr| self.endpoints.iter().any(|e| e.ip() == canonical_address(*ip));
        lookup.addresses.iter().any(ours)
            && Url::parse(url)
                .ok()
                .and_then(|url| url.port_or_known_default())
                .is_some_and(|port| self.endpoints.iter().any(|e| e.port() == port))
    }
}

/// Why a jump that no rule stops is remarkable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) reason: &'static str,
    pub(super) then: Then,
}

/// What follows from a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The visitor is sent on.
    Jump,
    /// 403.
    Refuse,
    /// 508.
    Loop,
}

impl Remark {
    pub(super) const fn looped(reason: &'static str) -> Self {
        Self { reason, then: Then::Loop }
    }

    const fn of_target(reason: &'static str, on: OnTarget) -> Self {
        let then = match on {
            OnTarget::Jump => Then::Jump,
            OnTarget::Stop => Then::Refuse,
        };
        Self { reason, then }
    }
}

impl Worker {
    /// Looks ahead along `link` to `target`, which is its own or one with something handed on, and
    /// whose addresses are in `lookup`. Questions asked on the way are added to those that `lookup`
    /// took.
    pub(super) async fn ahead(
        &self,
        link: &Link,
        target: &str,
        lookup: &mut Lookup,
    ) -> Option<Remark> {
        let (places, config) = (&self.gateway.places, &self.gateway.parts.config);
        let special = lookup.addresses.iter().any(|a| is_special_address(canonical_address(*a)));
        if special && !places.rules.may_be_special(&link.target_host) {
            let on = config.targets.special_addresses;
            return Some(Remark::of_target("target_special_address", on));
        }
        let here = places.lead_to_us(link, lookup);
        if (here || is_forward(&link.code))
            && let Some(remark) = Box::pin(self.walk(link, target, here, lookup)).await
        {
            return Some(remark);
        }
        let downgrade = places.tls && link.target.starts_with("http:");
        downgrade
            .then(|| Remark::of_target("target_scheme_downgrade", config.targets.scheme_downgrade))
    }

    /// Follows the way from `first` to `target` through our own links and forwards. What cannot be
    /// read ends it: the visitor who comes there is told. `here` is whether `target` is known to lead
    /// to us.
    async fn walk(
        &self,
        first: &Link,
        target: &str,
        here: bool,
        lookup: &mut Lookup,
    ) -> Option<Remark> {
        let parts = &self.gateway.parts;
        let mut way = Way::new(&first.code, parts.config.hops_max);
        let (mut next, mut beyond) = self.next(target, here).await?;
        loop {
            if let Err(lost) = way.pass(&next.code) {
                return Some(Remark::looped(lost.code()));
            }
            if next.state != State::Enabled || next.is_expired(parts.clock.now()) {
                return None;
            }
            let mut there = self.look_up(&next.target_host).await;
            let here = self.gateway.places.lead_to_us(&next, &there);
            lookup.caused.append(&mut there.caused);
            let (path, query) = beyond.split_once('?').unwrap_or((&beyond, ""));
            let length_max = parts.config.targets.length_max;
            let onward = onward(&next, Beyond { path, query }, length_max).ok()?;
            let target = onward.map_or_else(|| next.target.to_string(), |o| o.target);
            (next, beyond) = self.next(&target, here).await?;
        }
    }

    /// The forward or link of ours that `target` asks for, with what it asks beyond; `here` where it is
    /// known to lead to us.
    async fn next(&self, target: &str, here: bool) -> Option<(Arc<Link>, String)> {
        let url = Url::parse(target).ok()?;
        let query = url.query().unwrap_or("");
        let stranger = url.domain().and_then(|host| self.gateway.own.foreign(host));
        if let Some(host) = stranger {
            let path = AskedPath::new(url.path());
            if let Some((link, rest)) = self.forward(&host, &path).await? {
                return Some((link, format!("{rest}?{query}")));
            }
        }
        let code = code_of_path(url.path()).filter(|_| here)?;
        Some((self.link(code).await??, format!("?{query}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_numbers_and_nothing_else() {
        for (values, expected) in [
            (&[][..], 0),
            (&["3"], 3),
            (&["2", "7", "1"], 7),
            (&["300"], 255),
            (&["99999999999999999999"], 255),
            (&["", "-1", "+1", "1.5", "a", "1, 2", " 1x"], 0),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HOP, value.parse().unwrap());
            }
            assert_eq!(hop(&headers), expected, "{values:?}");
        }
    }
}
