//! From a primary until it is in force: the source of zones under the life of feeds.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tracegate::{
    clock::Clock,
    feeds::{
        share::{NotHeard, NotifyBounds, tell},
        source::{Guard, Resolve},
        transfer::{Client, Soa, Zones},
    },
    name::Name,
};

use super::{
    bounds, keys,
    peers::{self, KEY, Primary as _, SECRET, ZONE, many_rules, zone_text},
    share::Ours,
};
use crate::{
    feeds_lab::{BEGIN, Machine, Node, by},
    harness::eventually,
};

/// A machine whose lists come from primaries, names resolved to this machine; `allowed` as
/// `feeds.allowed_hosts`.
fn machine(ours: &Ours, allowed: &[String]) -> Machine {
    let resolve: Resolve = Arc::new(|_| Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) }));
    machine_that(ours, allowed, resolve)
}

fn machine_that(ours: &Ours, allowed: &[String], resolve: Resolve) -> Machine {
    let mut machine = Machine::new();
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

#[test]
fn nobody_tells_us_of_a_feed_that_was_removed() {
    let ours = Ours::new();
    let server = peers::bind(&zone_text(1, &many_rules(10)), ours.address.port());
    let machine = machine(&ours, &["127.0.0.1".into()]);
    let node = machine.node("a");
    hear(&ours, &node);
    node.run();
    node.add(&spec(&format!("axfr://{}/{ZONE}", server.address())));
    eventually("the zone is in force", || node.blocks("bad1.example").then_some(()));
    let zone = Name::from_text(ZONE).unwrap();
    // Both names the root, serial 2, no timers.
    let mut rdata = vec![0; 22];
    rdata[5] = 2;
    let soa = Soa::from_rdata(60, &rdata).unwrap();
    let notify = || {
        let bounds = NotifyBounds { attempts_max: 3, timeout: Duration::from_secs(1) };
        let (key, clock) = (keys(SECRET).find(KEY), Clock::system());
        let telling = tell(ours.address, &zone, &soa, key.as_ref(), &clock, bounds);
        node.runtime.block_on(telling)
    };
    notify().unwrap();
    node.with(|f| f.remove("list", &by("alice"))).unwrap();
    eventually("it is refused", || matches!(notify(), Err(NotHeard::Refused(5))).then_some(()));
    node.end();
}

#[test]
fn a_primarys_name_is_asked_for_once_a_look_and_no_other_address_is_connected_to() {
    let ours = Ours::new();
    let server = peers::bind(&zone_text(1, &many_rules(10)), ours.address.port());
    let asked = Arc::new(AtomicUsize::new(0));
    let resolve: Resolve = {
        let asked = Arc::clone(&asked);
        // Public enough once; then another, where nothing listens and nobody may go.
        Arc::new(move |_| {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            let address = if first { [127, 0, 0, 1] } else { [10, 0, 0, 1] };
            Box::pin(async move { Ok(vec![IpAddr::from(address)]) })
        })
    };
    let machine = machine_that(&ours, &["127.0.0.1".into()], resolve);
    let node = machine.node("a");
    let source = format!("axfr://primary.example.com:{}/{ZONE}", server.address().port());
    node.add(&spec(&source));
    // Its serial by UDP and the zone by TCP: each to the address that was checked.
    assert_eq!(node.refresh("list").problem, None);
    assert!(node.blocks("bad1.example"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // The next look asks anew, and is held to what it finds.
    let problem = node.refresh("list").problem.unwrap();
    assert!(problem.contains("10.0.0.1"), "{problem}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    node.end();
}
