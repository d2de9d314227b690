//! What `tracegate demo` serves: loopback only, a zone, and nothing to set up.

use std::{net::SocketAddr, path::Path};

use crate::config::{Config, UpstreamMode, Zone};

/// The zone `demo.test`: names, an alias, a wildcard, IPv6.
pub const DEMO_ZONE: &str = include_str!("../../zones/demo.test.zone");

/// The configuration of the demo below `data_dir`; `zone_root` holds `demo.test.zone` and lists.
pub fn demo_config(data_dir: &Path, zone_root: &Path) -> Config {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut config = Config { data_dir: data_dir.to_owned(), ..Config::default() };
    config.dns.listen = vec![at(5300)];
    config.dns.zone_root = zone_root.to_owned();
    config.dns.zones = vec![Zone { name: "demo.test".into(), file: "demo.test.zone".into() }];
    // Only our own zone: the demo asks nobody outside this machine.
    config.dns.upstream.mode = UpstreamMode::Off;
    config.verify.network = false;
    config.feeds.roots = vec![zone_root.to_owned()];
    config.gateway.listen = Some(at(8080));
    config.gateway.targets.special_hosts = vec!["demo.test".into()];
    config.api.listen = Some(at(8081));
    config.store.engine.listen = at(8124);
    config
}
