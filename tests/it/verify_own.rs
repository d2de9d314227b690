//! What this node itself serves, tells its clients and has seen, as evidence.

use std::{fs, net::UdpSocket};

use serde_json::Value;

use crate::{
    dns_client::ask,
    harness::{Server, eventually},
    verify_cli::builder,
    verify_lab::Lab,
    verify_registry_lab::Registry,
    verify_scenarios::zones,
};

const SHOP: &str = "$ORIGIN shop.example.\n$TTL 300\n@ SOA ns admin 7 7200 3600 604800 300\n\
    @ NS ns\nns A 5.6.7.1\nwww A 5.6.7.8\nstats CNAME eye\neye A 5.6.7.9\n\
    mail CNAME away.example.net.\ninside A 10.0.0.1\n";

fn told(server: &Server, subject: &str) -> Value {
    let output = server.cli(["check", subject, "--format", "json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn finding<'a>(told: &'a Value, id: &str) -> &'a Value {
    let findings = told["findings"].as_array().unwrap();
    findings.iter().find(|f| f["id"] == id).unwrap_or_else(|| panic!("{id}: {told:#}"))
}

fn look_up(server: &Server, name: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
    socket.send_to(&ask(name, 1).wire(), server.dns()).unwrap();
    socket.recv(&mut [0; 512]).unwrap();
}

#[test]
fn a_zone_of_ours_is_the_authority() {
    // Nothing is asked over any network.
    let server = Server::builder().zone("shop.example", SHOP).start();
    let www = told(&server, "www.shop.example");
    assert_eq!(www["overall"], "verified", "{www:#}");
    let exists = finding(&www, "RES-01");
    assert_eq!((&exists["outcome"], &exists["grade"]), (&"true".into(), &"A".into()));
    for id in ["REG-01", "RES-02", "RES-04", "RES-07", "RES-10"] {
        assert_eq!(finding(&www, id)["outcome"], "not_applicable", "{id}: {www:#}");
    }
    assert_eq!(finding(&www, "RES-09")["outcome"], "true", "{www:#}");
    assert_eq!(finding(&www, "RES-20")["outcome"], "true", "{www:#}");
    assert!(
        www["observations"].as_array().unwrap().iter().all(|o| o["source"]["transport"] == "file")
    );
    // What it says is judged like anybody's.
    let inside = told(&server, "inside.shop.example");
    assert_eq!(
        (&inside["overall"], &finding(&inside, "IP-01")["outcome"]),
        (&"discrepant".into(), &"false".into())
    );
    // Others' names are not ours to know of.
    let other = told(&server, "www.example.net");
    assert_eq!(other["overall"], "unverified");
    assert_eq!(finding(&other, "RES-01")["cause"], "offline");

    look_up(&server, "www.shop.example");
    eventually("passive DNS has it", || {
        let found = told(&server, "www.shop.example");
        (finding(&found, "RES-15")["args"]["addresses"] == 1).then_some(())
    });
}

#[test]
fn what_hides_behind_an_alias_and_what_rules_rewrite_is_named() {
    let builder = Server::builder().zone("shop.example", SHOP);
    let lists = builder.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let list = lists.join("trackers.txt");
    fs::write(&list, "eye.shop.example\n").unwrap();
    let root = lists.clone();
    let server = builder.config(move |c| c.feeds.roots = vec![root]).start();
    let before = told(&server, "stats.shop.example");
    assert_eq!(finding(&before, "RES-13")["outcome"], "true", "{before:#}");
    let add =
        ["feed", "add", "trackers", "--format", "domains", "--source", list.to_str().unwrap()];
    let added = server.cli(add);
    assert_eq!(added.status.code(), Some(0), "{}", String::from_utf8_lossy(&added.stderr));
    let after = eventually("the rule is in force", || {
        let found = told(&server, "stats.shop.example");
        (finding(&found, "RES-13")["outcome"] == "false").then_some(found)
    });
    let cloaked = finding(&after, "RES-13");
    assert_eq!(cloaked["args"]["listed"], serde_json::json!(["eye.shop.example"]));
    assert!(cloaked["says"].as_str().unwrap().contains("of trackers (nxdomain)"), "{cloaked:#}");
    assert_eq!(after["overall"], "discrepant");
    // Both what is served and what is so are kept, with the rule.
    let served = finding(&after, "RES-20");
    assert_eq!((&served["outcome"], &served["severity"]), (&"false".into(), &"info".into()));
    assert_eq!(served["args"]["served"]["sees"], "missing", "{served:#}");
    assert_eq!(served["args"]["resolved"]["addresses"], serde_json::json!(["5.6.7.9"]));
    assert!(served["says"].as_str().unwrap().contains("of trackers version 1"), "{served:#}");
}

#[test]
fn a_zone_is_verified_when_it_is_loaded() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let server = builder(&lab, &registry)
        .zone("shop.example", SHOP)
        .config(|c| c.verify.schedule.poll_ms = 50)
        .start();
    let occasions = |expected: usize| {
        eventually("the zone is verified", || {
            let output = server.cli(["trace", "shop.example", "--format", "json"]);
            let page: Value = serde_json::from_slice(&output.stdout).ok()?;
            let rows = page["records"].as_array()?;
            let of_zone = |r: &&Value| r["kind"] == "verification" && r["occasion"] == "zone";
            (rows.iter().filter(of_zone).count() == expected).then_some(())
        })
    };
    occasions(1);
    let file = server.home().path().join("zones/shop.example.zone");
    fs::write(file, SHOP.replace("admin 7", "admin 8")).unwrap();
    assert_eq!(server.cli(["zone", "reload"]).status.code(), Some(0));
    occasions(2);
}
