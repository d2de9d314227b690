//! What a regional registry says of the network that an address is in (RFC 9082 §3.1.1).

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use url::Url;

use super::registry::{Registries, source};
use crate::verify::{
    Fault,
    evidence::{Bundle, Kind, Question, Transport},
    registration::read_network,
};

/// The regional registries, as their statistics call them, and where each is asked.
const REGIONAL: [(&str, &str); 5] = [
    ("afrinic", "https://rdap.afrinic.net/rdap/"),
    ("apnic", "https://rdap.apnic.net/"),
    ("arin", "https://rdap.arin.net/registry/"),
    ("lacnic", "https://rdap.lacnic.net/rdap/"),
    ("ripencc", "https://rdap.db.ripe.net/"),
];

/// Who is asked about which networks.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    by_prefix: Vec<(IpNet, Url)>,
    by_registry: Vec<(String, Url)>,
}

/// A line that names nobody who could be asked about networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: write PREFIX|REGISTRY RDAP, by https")]
pub struct BadNetwork(String);

impl Networks {
    /// Those that are known, and over them those of the configuration.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn new(lines: &[String]) -> Result<Self, BadNetwork> {
        let mut found = Self::default();
        for line in lines {
            let bad = || BadNetwork(line.clone());
            let (what, base) = line.split_once(' ').ok_or_else(bad)?;
            let base = Url::parse(base.trim()).ok().filter(|u| u.scheme() == "https");
            let base = base.filter(|u| u.path().ends_with('/')).ok_or_else(bad)?;
            match what.parse() {
                Ok(prefix) => found.by_prefix.push((prefix, base)),
                Err(_) => found.by_registry.push((what.to_owned(), base)),
            }
        }
        let known = REGIONAL
            .into_iter()
            .filter_map(|(name, base)| Some((name.to_owned(), Url::parse(base).ok()?)));
        found.by_registry.extend(known);
        Ok(found)
    }

    /// Who is asked about an address: by the longest prefix, else by the registry that gave it to
    /// somebody.
    pub fn of(&self, address: IpAddr, registry: Option<&str>) -> Option<&Url> {
        let covering = self.by_prefix.iter().filter(|(net, _)| net.contains(&address));
        let longest = covering.max_by_key(|(net, _)| net.prefix_len()).map(|(_, base)| base);
        let named = || self.by_registry.iter().find(|(name, _)| Some(name.as_str()) == registry);
        longest.or_else(|| named().map(|(_, base)| base))
    }
}

impl Registries {
    /// Adds to `bundle` what the registry of networks at `base` says of `address`, within `limit`.
    pub async fn ask_network(
        &self,
        address: IpAddr,
        base: &Url,
        limit: Duration,
        bundle: &mut Bundle,
    ) {
        let cell = self.cell(&format!("ip {address}"));
        let mut kept = cell.lock().await;
        let question = Question::Network { address: address.to_string() };
        let is_fresh = kept.first().is_some_and(|h| h.observation.expires > self.clock.now());
        if !is_fresh {
            let began = self.clock.monotonic();
            let asked = tokio::time::timeout(limit, self.network_body(address, base)).await;
            let came = asked.unwrap_or(Err(Fault::Deadline));
            let host = base.host_str().unwrap_or_default();
            let source = source(host, base.as_str(), Transport::Https);
            let came = came.map(|body| (Kind::RdapJson, body));
            *kept = vec![self.heard_of(question, source, began, came, false)];
        }
        for heard in kept.iter().cloned() {
            heard.into_bundle(bundle);
        }
    }

    async fn network_body(&self, address: IpAddr, base: &Url) -> Result<Vec<u8>, Fault> {
        let host = base.host_str().unwrap_or_default().to_owned();
        let _turn = self.pace.turn(&host).await?;
        let came = self.fetch(base, &format!("ip/{address}")).await;
        let came = came.and_then(|(answer, _)| {
            let body = self.whole(&answer)?;
            let malformed = |why: &dyn std::fmt::Display| Fault::Malformed { why: why.to_string() };
            let body = self.stripper.network(body).map_err(|e| malformed(&e))?;
            // Another network is no evidence of this one.
            read_network(&body, address).map_err(|e| malformed(&e))?;
            Ok(body)
        });
        self.pace.went(&host, &came);
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts_before_the_registry() {
        let lines = [
            "5.0.0.0/8 https://a.example/",
            "5.6.0.0/16 https://b.example/",
            "apnic https://c.example/",
        ];
        let networks = Networks::new(&lines.map(str::to_owned)).unwrap();
        let check = |address: &str, registry: Option<&str>, expected: Option<&str>| {
            let found = networks.of(address.parse().unwrap(), registry);
            assert_eq!(found.and_then(Url::host_str), expected, "{address}");
        };
        check("5.6.7.8", None, Some("b.example"));
        check("5.7.7.8", Some("apnic"), Some("a.example"));
        check("8.8.8.8", Some("apnic"), Some("c.example"));
        check("8.8.8.8", Some("arin"), Some("rdap.arin.net"));
        check("8.8.8.8", None, None);
        for bad in ["5.0.0.0/8", "arin http://a.example/", "arin https://a.example/x"] {
            assert!(Networks::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
