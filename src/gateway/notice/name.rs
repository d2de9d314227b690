//! Hosts that are not ours: DNS policy leads the visitors of a listed name here instead.
//!
//! Over HTTP they get the notice of the rule that lists the name. There is no way through: the name
//! leads here, and we are no proxy. Over HTTPS there is nothing to show: nobody but the name's owner
//! has a certificate for it, so that the browser warns by itself.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;

use super::{Service, Warned, answer::wanted, event};
use crate::{
    config,
    gateway::{
        keep::Decided,
        request::host,
        respond::common,
        rules,
        worker::{Asked, Worker},
    },
    policy::Tier,
};

/// Hosts that are our own, in lower case.
pub(in crate::gateway) struct OwnHosts(Vec<String>);

impl OwnHosts {
    pub(in crate::gateway) fn new(gateway: &config::Gateway) -> Self {
        let public = url::Url::parse(&gateway.public_url).ok();
        let public = public.as_ref().and_then(|u| u.host_str()).map(str::to_owned);
        let own = gateway.own_hosts.iter().chain(&gateway.domains);
        let own = own.map(|h| h.trim_end_matches('.').to_ascii_lowercase());
        Self(own.chain(public).chain(["localhost".to_owned()]).collect())
    }

    /// Whether a host is ours; addresses may be.
    pub(in crate::gateway) fn is_own(&self, host: &str) -> bool {
        self.foreign(host).is_none()
    }

    /// The name asked for, where it is not ours; addresses are.
    pub(in crate::gateway) fn foreign(&self, host: &str) -> Option<String> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let address = name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok();
        (!name.is_empty() && !address && !self.0.contains(&name)).then_some(name)
    }
}

impl Worker {
    /// The answer to a request for a host that is not ours and that a rule lists; none for others.
    pub(in crate::gateway) async fn at_name(
        &self,
        asked: &Asked<'_>,
    ) -> Option<Response<Full<Bytes>>> {
        let parts = &self.gateway.parts;
        let set = parts.in_force.load();
        if set.is_empty() {
            return None;
        }
        let name = self.gateway.own.foreign(host(asked.uri, asked.headers))?;
        // The path of a step of a notice (another language, its form) is ours, with its token.
        let rest = match wanted(asked.uri) {
            Some(_) => asked.beyond.rest(),
            None => asked.uri.path_and_query().map_or("", |p| p.as_str()).to_owned(),
        };
        let of = |rest: &str| format!("http://{name}{}", if rest.is_empty() { "/" } else { rest });
        let target = of(&rest);
        let mut ruling = rules::of_name(&set, &name, &target, asked.now)?;
        // Nothing of what a stranger's link asks for comes back in a page, but where it is the path
        // that is listed: without it the other language would find nothing.
        let whole = rules::of_name(&set, &name, &of(""), asked.now).and_then(|r| r.listed);
        let rest = if whole.is_some() { "" } else { &*rest };
        drop(set);
        ruling.listed?;
        let tiered = parts.notices.tier(&rules::inputs(Some(&ruling), Service::Name, false))?;
        ruling.warn(tiered);
        let hit = ruling.hit.as_deref();
        let warned = Warned {
            tiered,
            hit,
            listed: None,
            service: Service::Name,
            code: "",
            target: &target,
            registrable_domain: parts.suffixes.registrable_domain(&name),
            rest,
            passed: "",
            flow: asked.flow,
            language: asked.language,
            client: asked.peer.client.ip(),
            stays: asked.stays,
            now: asked.now,
        };
        let wants_page = wants_page(asked);
        let issued = wants_page.then(|| parts.notices.issue(&warned));
        let decided = Decided {
            service: Service::Name,
            revision: 0,
            full: parts.on_full.jumps,
            lookup: None,
            target: &target,
            target_host: &name,
            target_registrable_domain: warned.registrable_domain,
            psl_version: parts.suffixes.version(),
            status: issued.as_ref().map_or(warned.status(), |i| i.response.status()),
            outcome: if tiered.tier == Tier::Block { "stopped" } else { "warned" },
            tiered: Some(tiered),
            reason: tiered.reason.name(),
            ruling: Some(&ruling),
        };
        let shown = issued.as_ref().map(|i| decided.issued(event(asked, &i.token, None, "issued")));
        let pushed = self.push(asked, &decided, shown.into_iter());
        if !self.recorder.committed(pushed).await {
            let busy = StatusCode::SERVICE_UNAVAILABLE;
            return Some(parts.notices.message("busy", busy, asked.language, false));
        }
        parts.metrics.gateway.stopped.increment(1);
        Some(match issued {
            Some(issued) => issued.response,
            None => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = warned.status();
                common(response.headers_mut());
                parts.notices.tell_who_blocks(tiered, response.headers_mut());
                response
            }
        })
    }
}

/// Whether somebody would look at a page: pictures and scripts of a page get none, and are no notices.
fn wants_page(asked: &Asked<'_>) -> bool {
    let accept = asked.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    accept.is_none_or(|a| a.contains("text/html") || a.trim() == "*/*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_hosts_and_addresses_are_not_foreign() {
        let gateway = config::Gateway {
            public_url: "https://S.example:8443/".into(),
            own_hosts: vec!["go.example.".into()],
            domains: vec!["Links.example.".into()],
            ..config::Gateway::default()
        };
        let own = OwnHosts::new(&gateway);
        for host in [
            "s.example",
            "S.Example:80",
            "go.example",
            "go.example.",
            "links.example",
            "127.0.0.1:8080",
            "[::1]:80",
            "localhost:1",
            "",
        ] {
            assert_eq!(own.foreign(host), None, "{host}");
        }
        assert_eq!(own.foreign("WWW.Bad.example.:80"), Some("www.bad.example".into()));
    }
}
