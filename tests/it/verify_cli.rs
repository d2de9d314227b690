//! `tracegate check`, as a person and a program see it.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::{
    harness::{Builder, Server, eventually},
    verify_lab::{Lab, ROOT},
    verify_registry_lab::{Registry, domain},
    verify_scenarios::zones,
};

/// A server that begins at the root of `lab`, and asks `registry` about what is below `test`.
fn server(lab: &Lab, registry: &Registry) -> Server {
    builder(lab, registry).start()
}

pub(crate) fn builder(lab: &Lab, registry: &Registry) -> Builder {
    let builder = Server::builder();
    let anchors = builder.path().join("root.ds");
    fs::write(&anchors, &lab.anchors).unwrap();
    let port = lab.port;
    let line = format!("test https://{}/ -", registry.rdap);
    let ca = registry.ca.clone();
    builder.config(move |c| {
        c.verify.network = true;
        c.verify.roots = vec![format!("ns.root {ROOT}")];
        c.verify.anchors_file = Some(anchors);
        c.verify.port = port;
        c.verify.servers_allow = vec!["127.0.0.0/8".parse().unwrap()];
        c.verify.registries.servers = vec![line];
        c.verify.registries.ca_file = Some(ca);
        c.verify.registries.allowed_hosts = vec!["127.0.0.1".into()];
        c.verify.registries.interval_ms = 0;
    })
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_verdict_is_printed_recorded_and_traced() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let servers = ["NS1.good.test", "ns2.good.test"];
    registry.keep("/domain/good.test", domain("good.test", &servers, json!({})));
    let held = json!({ "status": ["server hold"] });
    registry.keep("/domain/glue.test", domain("glue.test", &["ns1.elsewhere.test"], held));
    let server = server(&lab, &registry);
    let good = server.cli(["check", "www.good.test"]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
    let text = said(&good);
    for expected in [
        "verified 核验一致",
        "REG-06",
        "RES-07 · 签名链从信任锚通到本区",
        "Asked 询问",
        "127.0.0.1",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }

    // Not registered, and delegated all the same; held by its registry, and leading somewhere.
    let gone = server.cli(["check", "www.signed.test"]);
    assert_eq!(gone.status.code(), Some(3), "{}", said(&gone));
    assert!(said(&gone).contains("yet the zone above"), "{}", said(&gone));
    let hijacked = said(&server.cli(["check", "www.glue.test"]));
    for expected in ["discrepant 存在不符", "REG-03", "server hold, yet its name leads", "REG-06"]
    {
        assert!(hijacked.contains(expected), "{expected}: {hijacked}");
    }

    let bad = server.cli(["check", "https://www.mismatch.test/x", "--format", "json"]);
    assert_eq!(bad.status.code(), Some(3));
    let told: Value = serde_json::from_str(&said(&bad)).unwrap();
    assert_eq!(told["overall"], "discrepant");
    assert_eq!(told["subject"], "https://www.mismatch.test/x");
    assert_eq!(told["registrable_domain"], "mismatch.test");
    assert_eq!(told["grid"]["resolution"]["accurate"]["outcome"], "false");
    let findings = told["findings"].as_array().unwrap();
    let finding = findings.iter().find(|f| f["id"] == "RES-04").unwrap();
    assert_eq!(finding["outcome"], "false");
    assert_eq!(finding["standard"][0]["id"], "DELEGATION07");
    let first = finding["evidence"][0].as_str().unwrap();
    let observations = told["observations"].as_array().unwrap();
    assert!(observations.iter().any(|o| o["got"]["evidence"] == first), "{told:#}");

    let address = server.cli(["check", "10.1.2.3"]);
    assert_eq!(address.status.code(), Some(3), "{}", said(&address));
    assert!(said(&address).contains("private use (RFC 1918)"), "{}", said(&address));
    let refused = server.cli(["check", "no name"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("neither a name nor an address"), "{why}");

    let record = told["record"].as_str().unwrap();
    eventually("the verdict is in the store", || {
        let traced = server.cli(["trace", record, "--format", "json"]);
        let page: Value = serde_json::from_slice(&traced.stdout).ok()?;
        let row = page["records"].as_array()?.first()?.clone();
        assert_eq!((&row["kind"], &row["overall"]), (&"verification".into(), &"discrepant".into()));
        Some(())
    });
    let traced = said(&server.cli(["trace", "mismatch.test"]));
    assert!(traced.contains("Verification 核验") && traced.contains("RES-04 warning"), "{traced}");
    replays(&server, record);
}

/// The recorded verdict is judged again from what is kept alone; without a body it is not.
fn replays(server: &Server, record: &str) {
    let again = eventually("the evidence is in the store", || {
        let again = server.cli(["check", "--replay", record]);
        (again.status.code() == Some(0)).then_some(again)
    });
    for expected in ["the same 一致", "discrepant"] {
        assert!(said(&again).contains(expected), "{expected}: {}", said(&again));
    }
    let looks = said(&server.cli(["trace", record, "--format", "json"]));
    assert!(looks.contains("\"dossier\""), "{looks}");
    let none = server.cli(["check", "--replay", "it-1-1"]);
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
}

#[test]
fn many_are_verified_and_accounted_for() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let servers = ["ns1.good.test", "ns2.good.test"];
    registry.keep("/domain/good.test", domain("good.test", &servers, json!({})));
    let server = server(&lab, &registry);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("customers.txt");
    fs::write(&file, "# ours\nwww.good.test\n10.1.2.3\n\nwww.lame.test\n").unwrap();
    let file = file.to_str().unwrap();
    let bulk = server.cli(["check", "--file", file, "--format", "json"]);
    assert_eq!(bulk.status.code(), Some(3), "{}", String::from_utf8_lossy(&bulk.stderr));
    let lines: Vec<Value> =
        said(&bulk).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |subject: &str| lines.iter().find(|l| l["subject"] == subject).unwrap();
    assert_eq!((lines.len(), &of("www.good.test")["overall"]), (3, &"verified".into()));
    assert_eq!(of("10.1.2.3")["adverse"][0]["id"], "IP-01");
    let text = said(&server.cli(["check", "--file", file]));
    assert!(text.contains("discrepant") && text.contains("RES-03"), "{text}");

    let coverage = server.cli(["check", "--coverage", "--format", "json"]);
    let coverage: Value = serde_json::from_str(&said(&coverage)).unwrap();
    assert_eq!((&coverage["subjects"], &coverage["verified"]), (&3.into(), &1.into()));
    assert_eq!(coverage["discrepant"], 2);

    let set = [
        "declaration",
        "set",
        "good.test",
        "--nameserver",
        "ns1.good.test",
        "--address",
        "5.6.7.0/24",
    ];
    let set = server.cli([&set[..], &["--holder", "Jane Doe", "--format", "json"]].concat());
    assert_eq!(set.status.code(), Some(0), "{}", String::from_utf8_lossy(&set.stderr));
    assert!(!said(&set).contains("Jane"), "{}", said(&set));
    let drifted = server.cli(["check", "www.good.test"]);
    assert_eq!(drifted.status.code(), Some(3));
    let text = said(&drifted);
    for expected in ["RES-11 · error", "IP-09", "REG-10"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let listed = said(&server.cli(["declaration", "list", "--format", "json"]));
    assert!(listed.contains("good.test") && !listed.contains("Jane"), "{listed}");
    assert_eq!(server.cli(["declaration", "withdraw", "good.test"]).status.code(), Some(0));
    assert_eq!(server.cli(["check", "www.good.test"]).status.code(), Some(0));
}

#[test]
fn targets_of_links_are_verified_by_themselves_and_findings_refuse() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let builder = builder(&lab, &registry);
    let server = builder
        .config(|c| {
            c.gateway.targets.special_hosts = vec!["test".into()];
            c.verify.schedule.poll_ms = 50;
            c.verify.schedule.refuse = vec!["RES-07".into()];
        })
        .start();
    let make = |host: &str| {
        server.cli(["link", "create", &format!("https://{host}/"), "--format", "json"])
    };
    let first = make("www.expired.test");
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    // Unverified alone never blocks; what is found afterwards does.
    let refused = eventually("the target is verified", || {
        let again = make("www.expired.test");
        (again.status.code() != Some(0)).then_some(again)
    });
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("is not as it should be"), "{why}");
    let other = make("www.lame.test");
    assert_eq!(other.status.code(), Some(0), "other findings refuse nothing");
    eventually("the verdict is in the store", || {
        let traced = said(&server.cli(["trace", "expired.test", "--format", "json"]));
        let page: Value = serde_json::from_str(&traced).ok()?;
        let rows = page["records"].as_array()?;
        let row = rows.iter().find(|r| r["kind"] == "verification")?;
        assert_eq!(
            (&row["occasion"], &row["host"]),
            (&"create".into(), &"www.expired.test".into())
        );
        Some(())
    });
}

#[test]
fn whoever_waits_for_the_verdict_is_told_at_once() {
    let lab = Lab::start(&zones(), "");
    let registry = Registry::start();
    let server = builder(&lab, &registry)
        .config(|c| {
            c.gateway.targets.special_hosts = vec!["test".into()];
            c.verify.schedule.create_wait_ms = 30_000;
            c.verify.schedule.refuse = vec!["discrepant".into()];
        })
        .start();
    let refused = server.cli(["link", "create", "https://www.altered.test/"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("is not as it should be"), "{why}");
}

#[test]
fn without_networks_nothing_is_asked_and_that_is_said() {
    let server = Server::builder().config(|c| c.verify.network = false).start();
    let checked = server.cli(["check", "www.example.com", "--format", "json"]);
    assert_eq!(checked.status.code(), Some(0));
    let told: Value = serde_json::from_str(&said(&checked)).unwrap();
    assert_eq!(told["overall"], "unverified");
    let cell = &told["grid"]["resolution"]["authentic"];
    assert_eq!((&cell["outcome"], &cell["cause"]), (&"not_evaluated".into(), &"offline".into()));
    assert_eq!(told["observations"], serde_json::json!([]));
}
