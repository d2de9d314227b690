//! Zones that change on disk, by SIGHUP and by `zone reload`.

use std::{fs, net::IpAddr};

use nix::sys::signal::Signal;

use super::{addresses, call, json, node, said};
use crate::harness::{Server, eventually};

fn write(server: &Server, zone: &str, serial: u32, address: &str) {
    let text = format!(
        "$ORIGIN {zone}.\n$TTL 300\n@ SOA ns hostmaster {serial} 3600 600 86400 60\n@ NS ns\n\
         ns A 192.0.2.53\nwww A {address}\n"
    );
    let file = server.home().path().join(format!("zones/{zone}.zone"));
    fs::write(file, text).unwrap();
}

fn served(server: &Server, name: &str, address: &str) -> bool {
    addresses(server.dns(), name) == [address.parse::<IpAddr>().unwrap()]
}

#[test]
fn changed_zones_are_served_and_bad_ones_are_named() {
    let other = "$ORIGIN other.test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n\
                 @ NS ns\nns A 192.0.2.53\nwww A 192.0.2.90\n";
    let server = node().zone("other.test", other).start();
    assert!(served(&server, "www.demo.test", "192.0.2.80"));
    write(&server, "demo.test", 2, "192.0.2.81");
    server.signal(Signal::SIGHUP);
    eventually("the changed zone is served", || {
        served(&server, "www.demo.test", "192.0.2.81").then_some(())
    });

    write(&server, "demo.test", 3, "192.0.2.82");
    let good = server.cli(["zone", "reload", "--format", "json"]);
    assert_eq!(good.status.code(), Some(0), "{} {}", json(&good), said(&good));
    assert!(served(&server, "www.demo.test", "192.0.2.82"));

    write(&server, "demo.test", 4, "no.address");
    write(&server, "other.test", 2, "192.0.2.91");
    let bad = server.cli(["zone", "reload", "--format", "json"]);
    assert_eq!(bad.status.code(), Some(1), "{}", json(&bad));
    let by_api = call(&server, &server.token(), "POST", "/api/v1/zones/reload", "{}");
    assert_eq!(by_api.status, 200);
    for report in [json(&bad), by_api.json()] {
        let zones = report["zones"].as_array().unwrap();
        let of = |name| zones.iter().find(|z| z["zone"] == name).unwrap();
        let (demo, other) = (of("demo.test"), of("other.test"));
        assert_eq!((&demo["outcome"], &demo["serial"]), (&"kept-last".into(), &3.into()));
        let problem = &demo["problem"];
        assert!(problem["file"].as_str().unwrap().ends_with("demo.test.zone"), "{problem}");
        assert_eq!(problem["line"], 6, "{problem}");
        assert_ne!(problem["reason"], "");
        assert_eq!((&other["outcome"], &other["serial"]), (&"loaded".into(), &2.into()));
    }
    assert!(served(&server, "www.demo.test", "192.0.2.82"));
    assert!(served(&server, "www.other.test", "192.0.2.91"));
    let text = server.cli(["zone", "reload"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("demo.test.zone") && text.contains("kept-last"), "{text}");
}

/// What start-up began ends by itself; every signal after that is heard, too.
#[test]
fn every_reload_after_start_up_is_heard() {
    let server = node().start();
    // Codes are given out once start-up is over.
    let made = server.cli(["link", "create", "https://www.demo.test/", "--format", "json"]);
    assert!(made.status.success(), "{}", said(&made));
    for round in 1..=5 {
        let address = format!("192.0.2.{}", 100 + round);
        write(&server, "demo.test", 10 + round, &address);
        server.signal(Signal::SIGHUP);
        eventually("the changed zone is served", || {
            served(&server, "www.demo.test", &address).then_some(())
        });
    }
    let made = server.cli(["link", "create", "https://www.demo.test/", "--format", "json"]);
    assert!(made.status.success(), "{}", said(&made));
    let (status, home) = server.terminate();
    assert_eq!(status.code(), Some(0), "{}", home.log());
}
