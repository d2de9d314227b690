//! Fair use of the API, and links on paper.

use std::process::Command;

use serde_json::{Value, json};

use crate::{harness::Server, server::call, site::Site};

fn token(site: &Site, name: &str) -> String {
    let body = json!({"name": name, "role": "writer"}).to_string();
    let made = site.call(&site.operator, "POST", "/api/v1/tokens", &body);
    made.json()["token"].as_str().unwrap().to_owned()
}

fn make(site: &Site, token: &str, owner: &str) -> crate::site::Reply {
    let body = json!({"target": "https://www.demo.test/", "owner": owner}).to_string();
    site.call(token, "POST", "/api/v1/links", &body)
}

#[test]
fn an_owner_makes_so_many_links_a_day_and_others_as_many() {
    let site = Site::start(|c| c.api.limits.owner_links_day_max = 3);
    let writer = token(&site, "shop");
    for _ in 0..3 {
        assert_eq!(make(&site, &writer, "shop").status, 201);
    }
    let over = make(&site, &writer, "shop");
    assert_eq!((over.status, &over.json()["code"]), (429, &"owner_quota".into()));
    assert_eq!(over.header("RateLimit-Policy"), Some("\"owner\";q=3;w=86400"));
    assert!(over.header("RateLimit").unwrap().starts_with("\"owner\";r=0;t="));
    assert!(over.header("Retry-After").unwrap().parse::<u32>().unwrap() <= 86_400);
    // In bulk they count alike, and one that is refused takes no other with it.
    let line =
        |owner: &str| json!({"target": "https://www.demo.test/", "owner": owner}).to_string();
    let host = site.api.to_string();
    let bearer = format!("Bearer {writer}");
    let headers = [
        ("Host", host.as_str()),
        ("Authorization", &bearer),
        ("Content-Type", "application/x-ndjson"),
    ];
    let lines = format!("{}\n{}\n", line("shop"), line("other"));
    let bulk = crate::site::ask(site.api, "POST", "/api/v1/links/bulk", &headers, &lines);
    let statuses: Vec<Value> = bulk
        .body
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["status"].clone())
        .collect();
    assert_eq!(statuses, [json!(429), json!(201)], "{}", bulk.body);
    assert_eq!(make(&site, &site.operator, "shop").status, 201, "operators are exempt");
    site.stop();
}

/// A shop's own token makes its links and no other's, and sees nothing of theirs.
#[test]
fn a_token_for_one_owner_acts_for_no_other() {
    let site = Site::start(|_| {});
    let new = json!({ "name": "shop-app", "role": "writer", "owner": "shop" });
    let made = site.call(&site.operator, "POST", "/api/v1/tokens", &new.to_string());
    assert_eq!((made.status, &made.json()["owner"]), (201, &"shop".into()), "{}", made.body);
    let app = made.json()["token"].as_str().unwrap().to_owned();
    let auditor = json!({ "name": "a", "role": "auditor", "owner": "shop" }).to_string();
    assert_eq!(site.call(&site.operator, "POST", "/api/v1/tokens", &auditor).status, 400);
    let target = "https://www.demo.test/";
    let link = |code: &str| json!({ "target": target, "code": code });
    let own = put(&site, &app, "POST", "", &link("own-link"));
    assert_eq!((own.status, &own.json()["owner"]), (201, &"shop".into()), "{}", own.body);
    let theirs = json!({ "target": target, "code": "their-link", "owner": "bank" });
    assert_eq!(put(&site, &site.operator, "POST", "", &theirs).status, 201);
    let from = json!({ "from": "old.demo.test", "target": target, "owner": "bank" }).to_string();
    assert_eq!(site.call(&site.operator, "POST", "/api/v1/forwards", &from).status, 201);
    let scope = |reply: crate::site::Reply| (reply.status, reply.json()["code"].clone());
    let refused = (403, Value::from("out_of_scope"));
    let ask = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        site.call(&app, method, path, &body)
    };
    let null = Value::Null;
    // For others it makes nothing, one by one, in bulk, as a forward, signed or given away.
    let for_bank = json!({ "target": target, "owner": "bank" });
    let give = json!({ "owner": "bank" });
    assert_eq!(scope(ask("POST", "/api/v1/links", &for_bank)), refused);
    assert_eq!(scope(ask("POST", "/api/v1/outbound", &for_bank)), refused);
    assert_eq!(scope(ask("PATCH", "/api/v1/links/own-link", &give)), refused);
    let forward = json!({ "from": "new.demo.test", "target": target, "owner": "bank" });
    assert_eq!(scope(ask("POST", "/api/v1/forwards", &forward)), refused);
    let (host, bearer) = (site.api.to_string(), format!("Bearer {app}"));
    let lines = [("Host", &*host), ("Authorization", &*bearer)];
    let lines = [&lines[..], &[("Content-Type", "application/x-ndjson")]].concat();
    let bulk = crate::site::ask(
        site.api,
        "POST",
        "/api/v1/links/bulk",
        &lines,
        &format!("{for_bank}\n{}\n", link("own-two")),
    );
    let bulk: Vec<Value> = bulk.body.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&bulk[0]["problem"]["code"], &bulk[1]["status"]), (&refused.1, &201.into()));
    // What is theirs is not there.
    let stop = json!({ "state": "disabled" });
    for (method, path, body) in [
        ("GET", "/api/v1/links/their-link", &null),
        ("PATCH", "/api/v1/links/their-link", &stop),
        ("GET", "/api/v1/links/their-link/qr", &null),
        ("GET", "/api/v1/forwards/old.demo.test", &null),
        ("PATCH", "/api/v1/forwards/old.demo.test", &stop),
    ] {
        assert_eq!(ask(method, path, body).status, 404, "{method} {path}");
    }
    let codes = |reply: crate::site::Reply| -> Vec<String> {
        let all = reply.json()["links"].as_array().unwrap().clone();
        all.iter().map(|l| l["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(codes(ask("GET", "/api/v1/links", &null)), ["own-link", "own-two"]);
    assert_eq!(scope(ask("GET", "/api/v1/links?owner=bank", &null)), refused);
    assert_eq!(scope(ask("GET", "/api/v1/certificates", &null)), refused);
    assert_eq!(ask("GET", "/api/v1/forwards", &null).json()["forwards"], json!([]));
    let exported = ask("GET", "/api/v1/links/export", &null).body;
    assert_eq!(exported.lines().count(), 2, "{exported}");
    // Its own it reads, changes and draws.
    assert_eq!(ask("PATCH", "/api/v1/links/own-link", &stop).status, 200);
    assert_eq!(ask("GET", "/api/v1/links/own-link/qr", &null).status, 200);
    let kept = site.stop();
    let owners = kept.column(tracegate::record::Table::Conversions, "owner");
    assert_eq!(owners, ["shop", "bank", "bank", "shop", "shop"]);
}

/// Makes a link with a code, or changes it.
fn put(site: &Site, token: &str, method: &str, code: &str, body: &Value) -> crate::site::Reply {
    let path = match method {
        "POST" => "/api/v1/links".to_owned(),
        _ => format!("/api/v1/links/{code}"),
    };
    site.call(token, method, &path, &body.to_string())
}

#[test]
fn an_owner_has_so_many_links_at_once() {
    let site = Site::start(|c| c.api.limits.owner_links_max = 3);
    let writer = token(&site, "shop");
    let new = |code: &str| json!({"target": "https://www.demo.test/", "code": code});
    for code in ["one", "two", "three"] {
        assert_eq!(put(&site, &writer, "POST", code, &new(code)).status, 201);
    }
    let full = |reply: &crate::site::Reply| {
        assert_eq!((reply.status, &reply.json()["code"]), (403, &"owner_full".into()));
        assert_eq!(reply.json()["limit"], 3);
        assert!(reply.body.contains("owner_links_max"), "{}", reply.body);
    };
    full(&put(&site, &writer, "POST", "four", &new("four")));
    // One that cannot be followed makes room, once.
    let state = |state: &str| json!({"state": state});
    assert_eq!(put(&site, &writer, "PATCH", "one", &state("disabled")).status, 200);
    assert_eq!(put(&site, &writer, "POST", "four", &new("four")).status, 201);
    full(&put(&site, &writer, "PATCH", "one", &state("enabled")));
    // Nor is one given to an owner who has enough; other changes need no room.
    let other = token(&site, "other");
    assert_eq!(put(&site, &other, "POST", "five", &new("five")).status, 201);
    full(&put(&site, &other, "PATCH", "five", &json!({"owner": "shop"})));
    assert_eq!(put(&site, &writer, "PATCH", "two", &json!({"purpose": "x"})).status, 200);
    // Together they are counted as they are alone.
    let bearer = format!("Bearer {other}");
    let host = site.api.to_string();
    let headers = [
        ("Host", host.as_str()),
        ("Authorization", &bearer),
        ("Content-Type", "application/x-ndjson"),
    ];
    let lines: String = (0..5).map(|i| format!("{}\n", new(&format!("bulk-{i}")))).collect();
    let bulk = crate::site::ask(site.api, "POST", "/api/v1/links/bulk", &headers, &lines);
    let made = bulk.body.lines().filter(|l| l.contains("\"status\":201")).count();
    assert_eq!(made, 2, "{}", bulk.body);
    assert_eq!(put(&site, &site.operator, "PATCH", "one", &state("enabled")).status, 200);
    site.stop();
}

#[test]
fn a_token_makes_and_changes_so_many_links_a_day() {
    let site = Site::start(|c| c.api.limits.token_conversions_day_max = 3);
    let (writer, other) = (token(&site, "shop"), token(&site, "other"));
    assert_eq!(make(&site, &writer, "shop").status, 201);
    let code = make(&site, &writer, "shop").json()["code"].as_str().unwrap().to_owned();
    let change = json!({"purpose": "x"});
    assert_eq!(put(&site, &writer, "PATCH", &code, &change).status, 200);
    for over in [make(&site, &writer, "else"), put(&site, &writer, "PATCH", &code, &change)] {
        assert_eq!((over.status, &over.json()["code"]), (429, &"token_quota".into()));
        assert!(over.body.contains("token_conversions_day_max"), "{}", over.body);
        assert_eq!(over.header("RateLimit-Policy"), Some("\"conversions\";q=3;w=86400"));
    }
    assert_eq!(make(&site, &other, "shop").status, 201);
    site.stop();
}

#[test]
fn a_token_asks_so_often_and_another_one_as_often() {
    let site = Site::start(|c| c.api.limits.token_requests_max = 4);
    let (one, other) = (token(&site, "one"), token(&site, "other"));
    let ask = |token: &str| site.call(token, "GET", "/api/v1/links", "");
    for left in [3, 2, 1, 0] {
        let within = ask(&one);
        assert_eq!(within.status, 200);
        assert_eq!(within.header("RateLimit-Policy"), Some("\"token\";q=4;w=60"));
        // The clock stands still: what was taken comes back in a quarter of the window each.
        let expected = format!("\"token\";r={left};t={}", (4 - left) * 15);
        assert_eq!(within.header("RateLimit"), Some(&*expected));
    }
    let operators = site.call(&site.operator, "GET", "/api/v1/links", "");
    assert_eq!(operators.header("RateLimit"), None, "no quota");
    let over = ask(&one);
    assert_eq!((over.status, &over.json()["code"]), (429, &"rate_limited".into()));
    assert_eq!(over.header("RateLimit-Policy"), Some("\"token\";q=4;w=60"));
    assert_eq!(ask(&other).status, 200);
    site.stop();
}

#[test]
fn a_qr_code_is_read_as_the_short_url() {
    let server = Server::builder()
        .config(|c| {
            c.store.url = "http://127.0.0.1:9".into();
            c.dns.listen.clear();
            c.gateway.public_url = "https://s.example.org".into();
        })
        .start();
    let body = json!({"target": "https://www.example.com/", "code": "on-paper"}).to_string();
    let made = call(&server, &server.token(), "POST", "/api/v1/links", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    let place = "/api/v1/links/on-paper/qr";
    let svg = call(&server, &server.token(), "GET", place, "");
    assert_eq!((svg.status, svg.header("Content-Type")), (200, Some("image/svg+xml")));
    assert!(svg.body.starts_with("<svg xmlns=") && !svg.body.contains("on-paper"), "{}", svg.body);
    let bad =
        |query: &str| call(&server, &server.token(), "GET", &format!("{place}?{query}"), "").status;
    assert_eq!((bad("format=gif"), bad("scale=0"), bad("scale=41")), (400, 400, 400));
    let none = call(&server, &server.token(), "GET", "/api/v1/links/nobody/qr", "");
    assert_eq!(none.status, 404);
    let dir = tempfile::tempdir().unwrap();
    let png = dir.path().join("code.png");
    let out = crate::harness::tracegate(["link", "qr", "on-paper", "--out"])
        .arg(&png)
        .arg("--data-dir")
        .arg(server.data())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let read = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&png).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "https://s.example.org/on-paper");
}
