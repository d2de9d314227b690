//! What the types cannot say: one value against another, and values with a grammar of their own.
//! Pure: looks at the configuration alone.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Component, Path},
};

use tracing_subscriber::EnvFilter;
use url::Url;

use super::{Config, Problem, RETENTION_DAYS_MIN, Source, UpstreamMode, ranges};

/// Everything wrong with `config`, whose keys stand where `source` says.
pub(super) fn check(config: &Config, source: &Source) -> Vec<Problem> {
    let mut found = Findings { source, problems: ranges::check(config, source) };
    found.listeners(config);
    found.zones(config);
    found.upstreams(config);
    found.policy(config);
    found.gateway(config);
    found.security_txt(config);
    found.certificates(config);
    found.acme(config);
    found.control(config);
    found.store(config);
    found.sizes(config);
    found.log(config);
    found.problems
}

struct Findings<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    fn add(&mut self, key: &str, problem: impl Into<String>, advice: &str) {
        self.problems.push(self.source.problem(key, problem, advice));
    }

    fn listeners(&mut self, config: &Config) {
        for (i, address) in config.dns.listen.iter().enumerate() {
            if address.ip().is_unspecified() {
                self.add(
                    &format!("dns.listen[{i}]"),
                    format!("{address} is a wildcard: a reply could leave from another address than the one asked"),
                    "List each address to serve",
                );
            }
        }
        let mut seen: BTreeMap<SocketAddr, String> = BTreeMap::new();
        for (key, address) in listeners(config) {
            if address.port() == 0 {
                continue;
            }
            if let Some(other) = seen.get(&address) {
                let other = other.clone();
                self.add(
                    &key,
                    format!("{address} is taken by {other}"),
                    "Give each listener an address and port of its own",
                );
            } else {
                seen.insert(address, key);
            }
        }
        if !config.store.engine.listen.ip().is_loopback() {
            self.add(
                "store.engine.listen",
                format!("{} is not a loopback address", config.store.engine.listen),
                "The engine speaks to this machine alone: write 127.0.0.1 and a port",
            );
        }
    }

    fn zones(&mut self, config: &Config) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (i, zone) in config.dns.zones.iter().enumerate() {
            let name = zone.name.trim_end_matches('.').to_ascii_lowercase();
            let key = format!("dns.zones[{i}].name");
            if !is_domain(&name) && zone.name != "." {
                self.add(
                    &key,
                    format!("\"{}\" is not a domain name", zone.name.escape_debug()),
                    "Write the zone's apex, such as example.org",
                );
            }
            if let Some(first) = seen.insert(name, i) {
                self.add(
                    &key,
                    format!("\"{}\" is the zone of dns.zones[{first}]", zone.name.escape_debug()),
                    "Keep one of the two",
                );
            }
            if leaves_its_root(&zone.file) {
                self.add(
                    &format!("dns.zones[{i}].file"),
                    format!("{} is not below dns.zone_root", zone.file.display()),
                    "Write a path relative to dns.zone_root, without \"..\"",
                );
            }
        }
    }

    fn upstreams(&mut self, config: &Config) {
        if config.dns.upstream.mode == UpstreamMode::Off {
            return;
        }
        for (i, server) in config.dns.upstream.servers.iter().enumerate() {
            let key = format!("dns.upstream.servers[{i}]");
            if config.dns.listen.contains(server) {
                self.add(
                    &key,
                    format!("{server} is our own listener: every question would come back to us"),
                    "Name another resolver",
                );
            }
            if server.port() == 0 || server.ip().is_unspecified() {
                self.add(
                    &key,
                    format!("{server} cannot be asked"),
                    "Write a resolver's address and port, such as 192.0.2.1:53",
                );
            }
        }
        if config.dns.nsid.len() > 128 {
            self.add("dns.nsid", "longer than 128 bytes", "Write a shorter identifier");
        }
    }

    fn policy(&mut self, config: &Config) {
        let p = &config.policy;
        for (i, address) in p.gateway_addresses.iter().enumerate() {
            if address.is_unspecified() || address.is_multicast() {
                self.add(
                    &format!("policy.gateway_addresses[{i}]"),
                    format!("{address} leads nowhere"),
                    "Write an address at which visitors reach the gateway",
                );
            }
        }
        if let Some(problem) = bad_base_url(&p.blocked_by) {
            self.add(
                "policy.blocked_by",
                problem,
                "Write the address of a page about you, such as https://www.example.org/blocking",
            );
        }
    }

    fn gateway(&mut self, config: &Config) {
        let g = &config.gateway;
        if let Some(problem) = bad_base_url(&g.public_url) {
            self.add(
                "gateway.public_url",
                problem,
                "Write what short URLs begin with, such as https://s.example.org",
            );
        }
        let n = &g.notices;
        for (key, url) in [
            ("gateway.notices.appeal_url", &n.appeal_url),
            ("gateway.notices.step_up_url", &n.step_up_url),
        ] {
            if let Some(problem) = bad_base_url(url) {
                let advice = "Write a page's address, such as https://www.example.org/appeal";
                self.add(key, problem, advice);
            }
        }
        if !n.step_up_url.is_empty() && g.public_url.is_empty() {
            self.add(
                "gateway.notices.step_up_url",
                "whoever identifies there is sent back to gateway.public_url, which is empty",
                "Set gateway.public_url: what a request calls us must not say where they go",
            );
        }
        let lists = [
            ("gateway.own_hosts", &g.own_hosts),
            ("gateway.domains", &g.domains),
            ("gateway.targets.special_hosts", &g.targets.special_hosts),
            ("api.hosts", &config.api.hosts),
        ];
        for (key, hosts) in lists {
            for (i, host) in hosts.iter().enumerate() {
                if !is_host(host) {
                    self.add(
                        &format!("{key}[{i}]"),
                        format!("\"{}\" is not a host name", host.escape_debug()),
                        "Write a name alone, such as s.example.org: no scheme, path or blank",
                    );
                }
            }
        }
    }

    fn certificates(&mut self, config: &Config) {
        let g = &config.gateway;
        if g.tls_listen.is_some() && g.certificates.is_empty() && !g.acme.is_on() {
            self.add(
                "gateway.tls_listen",
                "there is no certificate to serve with",
                "Add [[gateway.certificates]] with hosts, chain and key, or set gateway.acme",
            );
        }
        for (i, certificate) in g.certificates.iter().enumerate() {
            for (j, host) in certificate.hosts.iter().enumerate() {
                if !is_host(host.strip_prefix("*.").unwrap_or(host)) {
                    self.add(
                        &format!("gateway.certificates[{i}].hosts[{j}]"),
                        format!("\"{}\" is not a host name", host.escape_debug()),
                        "Write a name alone, such as s.example.org or *.example.org",
                    );
                }
            }
        }
    }

    fn acme(&mut self, config: &Config) {
        let a = &config.gateway.acme;
        if !a.is_on() {
            return;
        }
        let url = Url::parse(&a.directory).ok().filter(|u| u.scheme() == "https");
        if url.is_none_or(|u| u.host_str().is_none()) {
            self.add("gateway.acme.directory", "is no https URL", "Write what the authority says");
        }
        if !a.terms_agreed {
            self.add(
                "gateway.acme.terms_agreed",
                "the authority's terms of service are not agreed to",
                "Read them and write true",
            );
        }
        if config.gateway.listen.is_none() {
            self.add(
                "gateway.listen",
                "the authority verifies hosts over HTTP (gateway.acme)",
                "Write the address that port 80 of the hosts leads to",
            );
        }
        for (i, host) in a.hosts.iter().enumerate() {
            if !is_host(host) {
                self.add(
                    &format!("gateway.acme.hosts[{i}]"),
                    format!("\"{}\" is not a host name", host.escape_debug()),
                    "Write a name alone, such as s.example.org; no wildcard is verified over HTTP",
                );
            }
        }
        if a.external_account_id.is_empty() != a.external_account_key_file.is_none() {
            self.add(
                "gateway.acme.external_account_id",
                "an id without a key, or a key without an id",
                "Set both external_account_id and external_account_key_file, or neither",
            );
        }
    }

    fn security_txt(&mut self, config: &Config) {
        let s = &config.gateway.security_txt;
        for (i, contact) in s.contact.iter().enumerate() {
            let good = Url::parse(contact)
                .is_ok_and(|url| matches!(url.scheme(), "mailto" | "https" | "tel"));
            if !good || !is_plain(contact) {
                self.add(
                    &format!("gateway.security_txt.contact[{i}]"),
                    format!("\"{}\" is no way to reach anybody", contact.escape_debug()),
                    "Write mailto:security@example.org, an https address or tel:+86-10-…",
                );
            }
        }
        if !s.contact.is_empty() && s.expires.parse::<jiff::Timestamp>().is_err() {
            self.add(
                "gateway.security_txt.expires",
                "a security.txt needs the time at which it expires (RFC 9116 section 2.5.5)",
                "Write a time within a year, such as 2030-01-31T12:00:00Z",
            );
        }
        let policy_is_good = s.policy.is_empty() || Url::parse(&s.policy).is_ok();
        if !policy_is_good || !is_plain(&s.policy) {
            self.add("gateway.security_txt.policy", "is not a URL", "Write a page's address");
        }
        if !is_plain(&s.preferred_languages) {
            let key = "gateway.security_txt.preferred_languages";
            self.add(key, "holds a control character", "Write tags such as zh, en");
        }
    }

    fn control(&mut self, config: &Config) {
        let url = &config.control.url;
        if !url.is_empty()
            && let Some(problem) = crate::sql::postgres::refuse_url(url)
        {
            self.add(
                "control.url",
                problem,
                "Write postgresql://user@host/database, and its password into control.password_file",
            );
        }
    }

    fn store(&mut self, config: &Config) {
        let s = &config.store;
        if s.url != "embedded"
            && let Some(problem) = bad_base_url(&s.url)
        {
            self.add(
                "store.url",
                problem,
                "Write \"embedded\", or a ClickHouse server's HTTP address such as http://127.0.0.1:8123",
            );
        }
        if s.url.is_empty() {
            self.add("store.url", "is empty", "Write \"embedded\" or an http(s) address");
        }
        let first_is_digit = s.database.starts_with(|c: char| c.is_ascii_digit());
        let plain = s.database.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if s.database.is_empty() || s.database.len() > 64 || !plain || first_is_digit {
            self.add(
                "store.database",
                format!("\"{}\" is not a plain database name", s.database.escape_debug()),
                "Write up to 64 letters, digits and underscores, no digit first",
            );
        }
        for (key, days) in [
            ("store.retention_days", s.retention_days),
            ("store.evidence_retention_days", s.evidence_retention_days),
        ] {
            if days < RETENTION_DAYS_MIN {
                self.add(
                    key,
                    format!(
                        "{days} days are less than the six months that records are kept by law"
                    ),
                    "Write 184 or more",
                );
            }
        }
    }

    /// Each part fits into what holds it.
    fn sizes(&mut self, config: &Config) {
        let (spool, store, engine) = (&config.spool, &config.store, &config.store.engine);
        let pairs = [
            (
                "spool.batch_bytes_max",
                u64::from(spool.batch_bytes_max),
                "spool.frame_bytes_max",
                u64::from(spool.frame_bytes_max),
            ),
            (
                "spool.frame_bytes_max",
                spool.frame_bytes_max.into(),
                "spool.segment_bytes_max",
                spool.segment_bytes_max,
            ),
            (
                "spool.segment_bytes_max",
                spool.segment_bytes_max,
                "spool.disk_bytes_max",
                spool.disk_bytes_max,
            ),
            (
                "spool.frame_rows_max",
                spool.frame_rows_max.into(),
                "store.shipment_rows_max",
                store.shipment_rows_max,
            ),
            (
                "spool.frame_bytes_max",
                spool.frame_bytes_max.into(),
                "store.shipment_bytes_max",
                store.shipment_bytes_max,
            ),
            (
                "store.engine.query_memory_bytes_max",
                engine.query_memory_bytes_max,
                "store.engine.memory_bytes_max",
                engine.memory_bytes_max,
            ),
            (
                "trace.memory_bytes_max",
                config.trace.memory_bytes_max,
                "store.engine.query_memory_bytes_max",
                engine.query_memory_bytes_max,
            ),
        ];
        for (part, small, whole, large) in pairs {
            if small > large {
                self.add(
                    part,
                    format!("{small} is more than {whole} ({large}), which holds it"),
                    "Lower this one or raise the other",
                );
            }
        }
    }

    fn log(&mut self, config: &Config) {
        if let Err(e) = EnvFilter::try_new(&config.log.filter) {
            self.add(
                "log.filter",
                e.to_string(),
                "Write tracing directives, such as info,tracegate::store=debug",
            );
        }
    }
}

/// Every address listened on and the key that names it.
pub(super) fn listeners(config: &Config) -> Vec<(String, SocketAddr)> {
    let dns = config.dns.listen.iter().enumerate().map(|(i, a)| (format!("dns.listen[{i}]"), *a));
    let mut all: Vec<_> = dns.collect();
    all.extend(config.gateway.listen.map(|a| ("gateway.listen".to_owned(), a)));
    all.extend(config.gateway.tls_listen.map(|a| ("gateway.tls_listen".to_owned(), a)));
    all.extend(config.api.listen.map(|a| ("api.listen".to_owned(), a)));
    if config.store.url == "embedded" {
        all.push(("store.engine.listen".to_owned(), config.store.engine.listen));
    }
    all
}

fn leaves_its_root(file: &Path) -> bool {
    let below = |c| matches!(c, Component::Normal(_) | Component::CurDir);
    file.as_os_str().is_empty() || !file.components().all(below)
}

/// What is wrong with the address that other addresses begin with; empty means "the default".
fn bad_base_url(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(e) => return Some(format!("\"{}\" is not a URL: {e}", text.escape_debug())),
    };
    let shown = text.escape_debug();
    if !matches!(url.scheme(), "http" | "https") {
        Some(format!("\"{shown}\" is not http or https"))
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("it holds a user or password, which would show in logs".to_owned())
    } else if url.query().is_some() || url.fragment().is_some() {
        Some(format!("\"{shown}\" has a query or fragment"))
    } else {
        None
    }
}

/// Whether text may stand on a line of a header or a file.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_host(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
        || is_domain(&host.trim_end_matches('.').to_ascii_lowercase())
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63, 253 in all.
fn is_domain(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/'))
    };
    name.len() <= 253 && name.split('.').all(label)
}
