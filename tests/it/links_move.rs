//! Links moved from one database to another by export and import.

use std::fs;

use serde_json::{Value, json};

use crate::{
    gateways::{api, node},
    harness::{Server, eventually},
    postgres_lab::Postgres,
    site::ask,
};

/// The newest revision of each link, without what says when and by whom it was written.
fn exported(server: &Server) -> Vec<Value> {
    let out = server.cli(["link", "export"]);
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).unwrap();
    let mut all: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for link in &mut all {
        let link = link.as_object_mut().unwrap();
        for name in ["revision", "operation", "modified", "source", "short_url", "stopped", "actor"]
        {
            link.remove(name);
        }
    }
    all.sort_by_key(|l| l["code"].as_str().unwrap().to_owned());
    all
}

fn status(server: &Server, code: &str) -> u16 {
    let host = server.gateway().to_string();
    ask(server.gateway(), "GET", &format!("/{code}"), &[("Host", &host)], "").status
}

#[test]
fn links_move_from_sqlite_to_postgresql() {
    let old = Server::builder().config(|c| c.dns.listen.clear()).start();
    let verified = json!({
        "how": "id_card", "when": "2026-01-02T03:04:05Z", "reference": "kyc-7", "icp": "ICP 1"
    });
    for link in [
        json!({ "code": "plain-one", "owner": "shop", "reason": "spring" }),
        json!({ "code": "all-of-it", "owner": "shop", "purpose": "sale", "tags": ["a", "b"],
            "expires": "2040-01-01T00:00:00Z", "not_before": "2026-01-01T00:00:00Z",
            "status": 307, "forward_query": true, "tier_hint": "hint",
            "owner_verification": verified, "reason": "spring" }),
        json!({ "code": "stopped-one", "owner": "shop", "reason": "spring" }),
        json!({ "code": "limited-one", "owner": "shop", "visits_max": 3, "reason": "spring" }),
        json!({ "code": "secret-one", "owner": "shop", "password": "sesame", "reason": "spring" }),
    ] {
        let mut link = link;
        link["target"] = "https://WWW.example.com/a%20b".into();
        let made = api(&old, "POST", "/api/v1/links", &link);
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let stop = json!({ "state": "disabled", "reason": "order 7" });
    assert_eq!(api(&old, "PATCH", "/api/v1/links/stopped-one", &stop).status, 200);
    let file = old.home().path().join("links.ndjson");
    let path = file.to_str().unwrap();
    assert!(old.cli(["link", "export", "--out", path]).status.success());
    let before = exported(&old);

    let postgres = Postgres::start();
    let new = node(&postgres, &postgres.database(), "new").start();
    let report = new.home().path().join("report.ndjson");
    let args = ["link", "import", path, "--from", "tracegate", "--report"];
    let done = new.cli([&args[..], &[report.to_str().unwrap()]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report = fs::read_to_string(report).unwrap();
    let without = |code: &str| {
        let line = report.lines().find(|l| l.contains(&format!("\"code\":\"{code}\""))).unwrap();
        serde_json::from_str::<Value>(line).unwrap()["without"].clone()
    };
    assert_eq!(without("plain-one"), Value::Null);
    assert_eq!(without("limited-one"), json!(["visits made so far"]));
    assert_eq!(without("secret-one"), json!(["password"]));
    let after = exported(&new);
    for (before, after) in before.iter().zip(&after) {
        // Whoever could not be let through rightly is not let through.
        if ["secret-one", "limited-one"].map(Value::from).contains(&before["code"]) {
            assert_eq!((&after["state"], &after["password"]), (&"disabled".into(), &false.into()));
            continue;
        }
        assert_eq!(before, after);
    }
    assert_eq!((before.len(), after.len()), (5, 5));
    for (code, expected) in [("plain-one", 302), ("all-of-it", 200), ("stopped-one", 410)] {
        eventually("links do as they did", || (status(&new, code) == expected).then_some(()));
    }
    // Once more makes nothing.
    let again = new.cli(args[..5].iter().copied());
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(again.status.success() && said.contains("made_before  5"), "{said}");
}
