//! Addresses by what registries, names and files say of them.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{Server, eventually},
    verify_cli::builder,
    verify_lab::{BOTH, Lab, Zone},
    verify_registry_lab::{Registry, domain, http},
};

fn told(server: &Server, subject: &str) -> Value {
    let output = server.cli(["check", subject, "--format", "json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn finding<'a>(told: &'a Value, id: &str) -> &'a Value {
    let findings = told["findings"].as_array().unwrap();
    findings.iter().find(|f| f["id"] == id).unwrap_or_else(|| panic!("{id}: {told:#}"))
}

fn network(first: &str, last: &str) -> crate::verify_registry_lab::Act {
    let body = json!({
        "objectClassName": "ip network", "rdapConformance": ["rdap_level_0"], "handle": "NET-5-6",
        "startAddress": first, "endAddress": last, "ipVersion": "v4", "name": "EXAMPLE-NET",
        "type": "ALLOCATED PA", "country": "NL", "status": ["active"],
        "entities": [{ "roles": ["administrative"],
            "vcardArray": ["vcard", [["fn", {}, "text", "Jane Doe"]]] }],
    });
    http("200 OK", "Content-Type: application/rdap+json\r\n", &body.to_string())
}

#[test]
fn networks_names_and_files_tell_of_addresses() {
    let other = format!("{BOTH}www A 5.6.7.77\nmute A 5.6.7.78\n");
    let lab = Lab::start(&[Zone::good("good"), Zone::good("misnamed").lines(&other)], "");
    let registry = Registry::start();
    for name in ["good.test", "misnamed.test"] {
        let servers = [format!("ns1.{name}"), format!("ns2.{name}")];
        let servers = servers.each_ref().map(String::as_str);
        registry.keep(&format!("/domain/{name}"), domain(name, &servers, json!({})));
    }
    registry.keep("/ip/5.6.7.8", network("5.6.0.0", "5.6.255.255"));
    // The network of somebody else is no evidence.
    registry.keep("/ip/5.6.7.77", network("7.0.0.0", "7.0.0.255"));
    let builder = builder(&lab, &registry);
    let file = builder.path().join("icp.csv");
    fs::write(&file, "# 备案\ngood.test,京ICP备12345678号\n").unwrap();
    let line = format!("5.6.0.0/16 https://{}/", registry.rdap);
    let written = file.clone();
    let server = builder
        .config(move |c| {
            c.verify.registries.networks = vec![line];
            c.verify.data.icp_file = Some(written);
            c.verify.data.icp_required = true;
            c.verify.data.reload_s = 1;
        })
        .start();

    let good = told(&server, "www.good.test");
    let net = finding(&good, "IP-07");
    assert_eq!((&net["outcome"], &net["grade"]), (&"true".into(), &"A".into()), "{net:#}");
    assert_eq!(net["args"]["name"], "EXAMPLE-NET");
    assert!(!good.to_string().contains("Jane"), "persons are taken out");
    let named = finding(&good, "IP-08");
    assert_eq!(
        (&named["outcome"], &named["args"]["names"][0]),
        (&"true".into(), &"www.good.test".into())
    );
    let filed = finding(&good, "REG-12");
    assert_eq!(
        (&filed["outcome"], &filed["args"]["number"]),
        (&"true".into(), &"京ICP备12345678号".into())
    );
    assert_eq!(good["overall"], "verified", "{good:#}");

    let other = told(&server, "www.misnamed.test");
    assert_eq!(finding(&other, "IP-07")["cause"], "malformed", "{other:#}");
    let named = finding(&other, "IP-08");
    assert_eq!((&named["outcome"], &named["severity"]), (&"false".into(), &"notice".into()));
    let filed = finding(&other, "REG-12");
    assert_eq!((&filed["outcome"], &filed["severity"]), (&"false".into(), &"warning".into()));
    // Nobody has to name an address, and no registry has to be known.
    let mute = told(&server, "mute.misnamed.test");
    assert_eq!(finding(&mute, "IP-08")["severity"], "info", "{mute:#}");

    // Another number than the one that was declared.
    let declare = ["declaration", "set", "good.test", "--icp", "京ICP备87654321号"];
    assert_eq!(server.cli(declare).status.code(), Some(0));
    let drifted = told(&server, "www.good.test");
    assert_eq!(finding(&drifted, "REG-12")["severity"], "error", "{drifted:#}");
    fs::write(&file, "good.test,京ICP备87654321号\n").unwrap();
    eventually("the file is loaded anew", || {
        (finding(&told(&server, "www.good.test"), "REG-12")["outcome"] == "true").then_some(())
    });
}
