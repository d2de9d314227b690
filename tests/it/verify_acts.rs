//! What follows from verdicts: names by their findings are a list, whose rules act in the DNS and at
//! the gateway; domains that the resolver meets are verified.

use std::net::UdpSocket;

use serde_json::Value;
use tracegate::config::UpstreamMode;

use crate::{
    dns_client::ask,
    harness::{Server, eventually},
    verify_cli::builder,
    verify_lab::{FIRST, Lab},
    verify_registry_lab::Registry,
    verify_scenarios::zones,
};

/// A server that resolves the zones of `lab` by asking one of their servers.
fn server(lab: &Lab, registry: &Registry) -> Server {
    let upstream = (FIRST, lab.port).into();
    builder(lab, registry)
        .config(move |c| {
            c.dns.upstream.mode = UpstreamMode::Forward;
            c.dns.upstream.servers = vec![upstream];
            c.verify.schedule.poll_ms = 50;
            c.verify.schedule.resolved = true;
            c.feeds.file_poll_ms = 100;
        })
        .start()
}

fn rcode(server: &Server, name: &str) -> u8 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    socket.send_to(&ask(name, 1).wire(), server.dns()).unwrap();
    let mut buffer = [0; 512];
    socket.recv(&mut buffer).unwrap();
    buffer[3] & 0xf
}

fn page(server: &Server, question: &str) -> Option<Vec<Value>> {
    let output = server.cli(["trace", question, "--format", "json"]);
    let page: Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(page["records"].as_array()?.clone())
}

#[test]
fn names_by_their_findings_are_a_list_of_rules() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let server = server(&lab, &registry);
    // IP-01: an address that nobody can reach.
    let name = "www.rebind.test";
    assert_eq!(rcode(&server, name), 0);
    let add = ["feed", "add", "refuted", "--format", "jsonl", "--source", "verdicts:IP-01"];
    let added = server.cli(add);
    assert_eq!(added.status.code(), Some(0), "{}", String::from_utf8_lossy(&added.stderr));
    assert_eq!(rcode(&server, name), 0, "what was not verified is not blocked");
    let checked = server.cli(["check", name, "--format", "json"]);
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let record = told["record"].as_str().unwrap().to_owned();
    eventually("the verdict is a rule", || (rcode(&server, name) == 3).then_some(()));
    assert_eq!(rcode(&server, "www.good.test"), 0);
    // The rule names the finding, and the record that it is in.
    let rules = server.cli(["rules", name, "--format", "json"]);
    let rules: Value = serde_json::from_slice(&rules.stdout).unwrap();
    let rule = &rules["rules"][0];
    assert!(rule["reason"].as_str().unwrap().contains("IP-01"), "{rules:#}");
    assert_eq!(rule["evidence"], record, "{rules:#}");
    let row = eventually("the resolution is in the store", || {
        page(&server, name)?
            .into_iter()
            .find(|r| r["kind"] == "resolution" && r["feed"] == "refuted")
    });
    assert_eq!(row["action"], "nxdomain", "{row:#}");
    // What is served and what is so are both told.
    let again = server.cli(["check", name, "--format", "json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    let served = again["findings"].as_array().unwrap().iter().find(|f| f["id"] == "RES-20");
    assert_eq!(served.unwrap()["args"]["served"]["sees"], "missing");
}

#[test]
fn domains_that_the_resolver_meets_are_verified() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let server = server(&lab, &registry);
    assert_eq!(rcode(&server, "www.apex.test"), 0);
    eventually("the domain is verified", || {
        let rows = page(&server, "apex.test")?;
        let row = rows.into_iter().find(|r| r["kind"] == "verification")?;
        // Which rules would make tiers of what was found.
        assert!(row["policy_version"].as_str().unwrap().contains('+'), "{row:#}");
        assert_eq!(
            (&row["subject"], &row["occasion"]),
            (&"apex.test".into(), &"first_seen".into())
        );
        Some(())
    });
}
