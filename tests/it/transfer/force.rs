//! From a primary until it is in force: the source of zones under the life of feeds.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde_json::json;
use tracegate::{
    clock::Clock,
    feeds::{
        source::{Guard, Resolve},
        transfer::{Client, Zones},
    },
};

use super::{
    bounds, keys,
    peers::{self, KEY, Primary as _, SECRET, ZONE, many_rules, zone_text},
    share::Ours,
};
use crate::{
    feeds_lab::{BEGIN, Machine, Node},
    harness::eventually,
};

/// A machine whose lists come from primaries, names resolved to this machine; `allowed` as
/// `feeds.allowed_hosts`.
fn machine(ours: &Ours, allowed: &[String]) -> Machine {
    let mut machine = Machine::new();
    let resolve: Resolve = Arc::new(|_| Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) }));
    let client = Client::new(Clock::system(), bounds(), None);
    let guard = Guard::new(resolve, allowed);
    let registry = Arc::clone(&ours.registry);
    let zones = Zones::new(client, keys(SECRET), guard, registry, Duration::from_secs(1));
    machine.source = Some(Arc::new(zones));
    machine
}

fn spec(source: &str) -> serde_json::Value {
    json!({"name": "list", "source": source, "format": "rpz", "tsig_key": KEY})
}

fn hear(ours: &Ours, node: &Node) {
    let feeds = Arc::downgrade(&node.feeds);
    ours.registry.on_told(move |feed| {
        if let Some(feeds) = feeds.upgrade() {
            feeds.refresh_soon(feed);
        }
    });
}

#[test]
fn a_primarys_zone_is_in_force_and_so_is_its_next_version() {
    let ours = Ours::new();
    let server = peers::bind(&zone_text(1, &many_rules(1_000)), ours.address.port());
    let machine = machine(&ours, &["127.0.0.1".into()]);
    let node = machine.node("a");
    hear(&ours, &node);
    node.run();
    let mut spec = spec(&format!("ixfr://{}/{ZONE}", server.address()));
    spec["on_failure"] = json!("open");
    node.add(&spec);
    eventually("the zone is in force", || node.blocks("bad999.example").then_some(()));
    assert!(!node.blocks("new.example"));

    // Told, it asks at once; its own time would be an hour from now.
    let added = "new.example CNAME .\n24.0.2.0.192.rpz-ip CNAME rpz-drop.\n";
    server.publish(&zone_text(2, &(many_rules(999) + added)));
    eventually("the next version is in force", || node.blocks("new.example").then_some(()));
    assert!(node.blocks("bad998.example") && !node.blocks("bad999.example"));

    // A node that comes up while the primary is away is protected at once.
    drop(server);
    node.end();
    let node = machine.node("a");
    assert!(node.blocks("new.example"));
    let outcome = node.refresh("list");
    assert!(outcome.problem.is_some(), "{outcome:?}");
    assert!(node.blocks("new.example"));

    // After its SOA record's EXPIRE it counts no longer: that the feed fails open was declared.
    let expires = node.feeds.status("list").unwrap().source.expires_at;
    let expire = Duration::from_secs(86_400);
    assert!(expires >= BEGIN.saturating_add(expire), "{expires}");
    machine.clock.advance(expire + Duration::from_secs(60));
    node.run();
    eventually("the zone has expired", || (!node.blocks("new.example")).then_some(()));
    assert!(node.feeds.status("list").unwrap().source.expired);
    node.end();
}

#[test]
fn a_primary_on_our_own_network_must_be_named() {
    let ours = Ours::new();
    let server = peers::bind(&zone_text(1, &many_rules(10)), ours.address.port());
    let machine = machine(&ours, &[]);
    let node = machine.node("a");
    for source in ["127.0.0.1", "inside.example.com"] {
        let source = format!("axfr://{source}:{}/{ZONE}", server.address().port());
        let mut spec = spec(&source);
        spec["name"] = source.split(['/', ':']).nth(3).unwrap().into();
        node.add(&spec);
        let outcome = node.refresh(spec["name"].as_str().unwrap());
        let problem = outcome.problem.unwrap();
        assert!(problem.contains("feeds.allowed_hosts"), "{problem}");
    }
    assert!(!node.blocks("bad1.example"));
    node.end();
}
