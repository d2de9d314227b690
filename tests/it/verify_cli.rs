//! `tracegate check`, as a person and a program see it.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::{
    harness::{Server, eventually},
    verify_lab::{Lab, ROOT},
    verify_registry_lab::{Registry, domain},
    verify_scenarios::zones,
};

/// A server that begins at the root of `lab`, and asks `registry` about what is below `test`.
fn server(lab: &Lab, registry: &Registry) -> Server {
    let builder = Server::builder();
    let anchors = builder.path().join("root.ds");
    fs::write(&anchors, &lab.anchors).unwrap();
    let port = lab.port;
    let line = format!("test https://{}/ -", registry.rdap);
    let ca = registry.ca.clone();
    let builder = builder.config(move |c| {
        c.verify.roots = vec![format!("ns.root {ROOT}")];
        c.verify.anchors_file = Some(anchors);
        c.verify.port = port;
        c.verify.servers_allow = vec!["127.0.0.0/8".parse().unwrap()];
        c.verify.registries.servers = vec![line];
        c.verify.registries.ca_file = Some(ca);
        c.verify.registries.allowed_hosts = vec!["127.0.0.1".into()];
        c.verify.registries.interval_ms = 0;
    });
    builder.start()
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
    assert!(traced.contains("Verification 核验"), "{traced}");
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
