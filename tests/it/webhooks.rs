//! Changes told to those who asked for them: by the real server, to a real one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
};

use serde_json::{Value, json};
use tracegate::config::Config;

use crate::{
    harness::{Builder, Server, eventually},
    postgres_lab::Postgres,
    server::{call, json as printed},
    site::{Reply, ask},
    webhook_lab::Receiver,
};

fn quick(receiver: &Receiver) -> impl FnOnce(&mut Config) {
    let ca = receiver.ca.clone();
    move |c| {
        c.store.url = "http://127.0.0.1:9".into();
        c.dns.listen.clear();
        c.webhooks.allowed_hosts = vec!["127.0.0.1".into()];
        c.webhooks.ca_file = Some(ca);
        c.webhooks.poll_ms = 20;
        c.webhooks.retry_ms = 20;
        c.webhooks.retry_ms_max = 40;
        c.webhooks.attempts_max = 3;
        // What a process had in hand when it died waits for as long as that may take.
        c.webhooks.connect_timeout_ms = 500;
        c.webhooks.answer_timeout_ms = 1_000;
    }
}

fn server(receiver: &Receiver) -> Server {
    Server::builder().config(quick(receiver)).start()
}

fn api(server: &Server, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(server, &server.token(), method, path, &body)
}

fn add(server: &Server, receiver: &Receiver, events: &[&str]) -> Value {
    let body = json!({"url": receiver.url(), "events": events});
    let made = api(server, "POST", "/api/v1/webhooks", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()
}

fn link(server: &Server, code: &str) -> Reply {
    let body = json!({
        "target": "https://www.example.com/", "code": code, "owner": "Somebody Private",
        "reason": "told by a person", "expires": null,
    });
    let made = api(server, "POST", "/api/v1/links", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    made
}

fn dead(server: &Server) -> Vec<Value> {
    let page = api(server, "GET", "/api/v1/webhooks/1/deliveries?state=dead", &Value::Null).json();
    page["deliveries"].as_array().unwrap().clone()
}

#[test]
fn changes_are_told_signed_and_without_persons() {
    let receiver = Receiver::start();
    let server = server(&receiver);
    link(&server, "before");
    let hook = add(&server, &receiver, &[]);
    let secret = hook["secret"].as_str().unwrap().to_owned();
    link(&server, "one");
    let change = |body: Value| {
        let changed = api(&server, "PATCH", "/api/v1/links/one", &body);
        assert_eq!(changed.status, 200, "{}", changed.body);
    };
    change(json!({"target": "https://www.example.org/a"}));
    change(json!({"state": "disabled", "public_reason": "fraud", "reason": "a tip by somebody"}));
    change(json!({"state": "enabled"}));
    let report = json!({
        "category": "fraud", "subject": "https://bad.example.com/", "text": "they took my money",
        "contact": "victim@example.com",
    });
    let host = server.gateway().to_string();
    let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
    let sent = ask(server.gateway(), "POST", "/api/v1/reports", &headers, &report.to_string());
    assert!((200..300).contains(&sent.status), "{} {}", sent.status, sent.body);
    let number = sent.json()["number"].as_str().unwrap().to_owned();
    let place = format!("/api/v1/reports/{}/decision", number.replace('-', ""));
    let decision = json!({"decision": "rejected", "act": "none", "reason": "nothing found"});
    let decided = api(&server, "POST", &place, &decision);
    assert!((200..300).contains(&decided.status), "{}", decided.body);
    let expected = [
        "link.created",
        "link.edited",
        "link.disabled",
        "link.restored",
        "report.received",
        "report.decided",
    ];
    for kind in expected {
        let taken = receiver.wait(kind, |t| t.kind() == kind);
        assert!(taken.is_signed(&secret), "{taken:?}");
        assert_eq!(taken.json()["id"], taken.id());
        assert_eq!(taken.header("content-type"), "application/json");
        for private in ["Somebody", "person", "tip", "money", "victim", "127.0.0.1", "operator"] {
            assert!(!taken.body.contains(private), "{private}: {}", taken.body);
        }
    }
    let taken = receiver.taken();
    assert!(!taken.iter().any(|t| t.body.contains("before")), "what was before is not told");
    let stopped = taken.iter().find(|t| t.kind() == "link.disabled").unwrap().json();
    assert_eq!(stopped["data"]["code"], "one");
    assert_eq!(
        (&stopped["data"]["revision"], &stopped["data"]["state"]),
        (&json!(3), &json!("disabled"))
    );
    assert_eq!(stopped["data"]["public_reason"], "fraud");
    let ids: BTreeSet<String> = taken.iter().map(|t| t.id()).collect();
    assert_eq!(ids.len(), taken.len(), "each once: {taken:?}");

    // Another secret: for a while both sign, and neither is told again.
    let rotated = server.cli(["webhook", "rotate", "1", "--format", "json"]);
    let next = printed(&rotated)["secret"].as_str().unwrap().to_owned();
    assert_ne!(secret, next);
    let tried = printed(&server.cli(["webhook", "test", "1", "--format", "json"]));
    let message = tried["message"].as_str().unwrap();
    let test = receiver.wait("the try", |t| t.id() == message);
    assert_eq!(test.kind(), "webhook.test");
    assert!(test.is_signed(&secret) && test.is_signed(&next), "{test:?}");
    let shown = server.cli(["webhook", "status", "1"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("/hook?a=1") && shown.contains("enabled"), "{shown}");
    let list = api(&server, "GET", "/api/v1/webhooks", &Value::Null).body;
    let metrics = api(&server, "GET", "/metrics", &Value::Null).body;
    assert!(metrics.contains("tracegate_webhook_delivered_total"), "{metrics}");
    let database = fs::read(server.data().join("control.sqlite")).unwrap();
    let log = server.home().log();
    for secret in [&secret, &next] {
        let bare = secret.strip_prefix("whsec_").unwrap();
        assert!(!list.contains(bare) && !shown.contains(bare) && !log.contains(bare));
        assert!(!database.windows(bare.len()).any(|w| w == bare.as_bytes()));
    }
    let (status, _home) = server.terminate();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_endpoint_gets_the_kinds_it_asked_for() {
    let receiver = Receiver::start();
    let server = server(&receiver);
    add(&server, &receiver, &["link.disabled"]);
    link(&server, "one");
    let disabled = server.cli(["link", "disable", "one", "--reason", "x"]);
    assert!(disabled.status.success(), "{disabled:?}");
    receiver.wait("the end", |t| t.kind() == "link.disabled");
    assert_eq!(receiver.taken().len(), 1);
    // Nobody is told where nobody should be, or what nobody has heard of.
    let refused = |body: Value| {
        let reply = api(&server, "POST", "/api/v1/webhooks", &body);
        (reply.status, reply.json()["code"].as_str().unwrap().to_owned())
    };
    let bad = (422, "webhook_url_refused".to_owned());
    assert_eq!(refused(json!({"url": "http://example.com/"})), bad);
    assert_eq!(refused(json!({"url": "https://10.0.0.1/"})), bad);
    assert_eq!(refused(json!({"url": "https://localhost/"})), bad);
    assert_eq!(refused(json!({"url": "https://example.com/", "events": ["x"]})).0, 400);
    let writer = json!({"name": "shop", "role": "writer"});
    let token = api(&server, "POST", "/api/v1/tokens", &writer).json();
    let token = token["token"].as_str().unwrap();
    assert_eq!(call(&server, token, "GET", "/api/v1/webhooks", "").status, 403);
}

#[test]
fn what_is_not_taken_is_tried_again_under_one_id_and_then_kept() {
    let receiver = Receiver::start();
    let server = server(&receiver);
    add(&server, &receiver, &[]);
    let elsewhere = format!("302 Found\r\nLocation: {}", receiver.url());
    receiver.answer(&["500 Oops", &elsewhere, "429 Slow"]);
    link(&server, "one");
    let given_up = eventually("it is given up", || dead(&server).pop());
    assert_eq!((&given_up["attempts"], &given_up["status"]), (&json!(3), &json!(429)));
    let taken = receiver.taken();
    assert_eq!(taken.len(), 3, "no redirect is followed: {taken:?}");
    assert!(taken.iter().all(|t| t.id() == taken[0].id() && t.body == taken[0].body));
    let resent = server.cli(["webhook", "resend", "1", "--format", "json"]);
    assert_eq!(printed(&resent)["resent"], 1);
    eventually("it is taken", || (receiver.taken().len() == 4).then_some(()));
    assert_eq!(receiver.taken()[3].id(), taken[0].id());
    eventually("it is not dead", || dead(&server).is_empty().then_some(()));
    // One that says it is gone is not asked again.
    receiver.answer(&["410 Gone"]);
    link(&server, "two");
    let hook = || api(&server, "GET", "/api/v1/webhooks/1", &Value::Null).json();
    eventually("it is disabled", || (hook()["state"] == "disabled").then_some(()));
    assert_eq!(hook()["disabled_because"], "gone");
    link(&server, "three");
    assert_eq!(api(&server, "POST", "/api/v1/webhooks/1/test", &json!({})).status, 409);
    let enabled = server.cli(["webhook", "enable", "1"]);
    assert!(enabled.status.success(), "{enabled:?}");
    link(&server, "four");
    receiver.wait("it is told again", |t| t.body.contains("\"four\""));
    assert!(!receiver.taken().iter().any(|t| t.body.contains("\"three\"")));
    let gone = api(&server, "DELETE", "/api/v1/webhooks/1", &Value::Null);
    assert_eq!((gone.status, hook()["disabled_because"].clone()), (204, json!("asked")));
}

#[test]
fn who_asks_to_be_left_alone_is() {
    let receiver = Receiver::start();
    let server = server(&receiver);
    add(&server, &receiver, &[]);
    receiver.answer(&["503 Busy\r\nRetry-After: 3600"]);
    link(&server, "one");
    let path = "/api/v1/webhooks/1/deliveries?state=waiting";
    let waits = eventually("it waits", || {
        let page = api(&server, "GET", path, &Value::Null).json();
        page["deliveries"].as_array()?.iter().find(|d| d["status"] == 503).cloned()
    });
    let at = |name: &str| -> tracegate::clock::Timestamp {
        waits[name].as_str().unwrap().parse().unwrap()
    };
    assert!(at("due").since(at("created")).as_secs() >= 3_590, "{waits}");
}

#[test]
fn a_crash_loses_nothing() {
    let receiver = Receiver::start();
    // Nobody answers until the second start.
    let nobody = "https://127.0.0.1:9/";
    let node = server(&receiver);
    let hook = add(&node, &receiver, &["link.created", "link.disabled"]);
    let moved = |server: &Server, url: &str| {
        let moved = api(server, "PATCH", "/api/v1/webhooks/1", &json!({"url": url}));
        assert_eq!(moved.status, 200, "{}", moved.body);
    };
    moved(&node, nobody);
    for i in 0..20 {
        link(&node, &format!("crash-{i}"));
    }
    let mut node = node.kill9().config(|c| c.webhooks.attempts_max = 1_000).start();
    for i in 20..40 {
        link(&node, &format!("crash-{i}"));
        if i % 7 == 0 {
            // Acknowledged is kept: it dies with the answer.
            node = node.kill9().start();
        }
    }
    moved(&node, &receiver.url());
    assert_eq!(api(&node, "POST", "/api/v1/webhooks/1/resend", &json!({})).status, 200);
    let told = || -> BTreeMap<String, BTreeSet<String>> {
        let mut told = BTreeMap::<_, BTreeSet<_>>::new();
        for taken in receiver.taken() {
            let code = taken.json()["data"]["code"].as_str().unwrap().to_owned();
            told.entry(code).or_default().insert(taken.id());
        }
        told
    };
    eventually("all are told", || (told().len() == 40).then_some(()));
    assert!(told().values().all(|ids| ids.len() == 1), "one id each: {:?}", told());
    let secret = hook["secret"].as_str().unwrap();
    assert!(receiver.taken().iter().all(|t| t.is_signed(secret)));
}

/// A node named `name` on a database, with the key that all of them have.
fn node(postgres: &Postgres, database: &str, name: &str, receiver: &Receiver) -> Server {
    let (url, password_file) = (postgres.url(database), postgres.password_file());
    let builder: Builder = Server::builder().config(quick(receiver)).config(|c| {
        c.node = Some(name.parse().unwrap());
        c.control.url = url;
        c.control.password_file = password_file;
    });
    let secrets = builder.path().join("data/secrets");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets).unwrap();
    fs::write(secrets.join("codes.key"), "ab".repeat(32)).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(secrets.join("codes.key"), mode).unwrap();
    builder.start()
}

#[test]
fn of_several_gateways_one_delivers_each() {
    let receiver = Receiver::start();
    let postgres = Postgres::start();
    let database = postgres.database();
    let nodes = ["a", "b"].map(|name| node(&postgres, &database, name, &receiver));
    let hook = add(&nodes[0], &receiver, &["link.created"]);
    for i in 0..30 {
        link(&nodes[i % 2], &format!("many-{i}"));
    }
    eventually("all are told", || (receiver.taken().len() >= 30).then_some(()));
    let waiting =
        || api(&nodes[1], "GET", "/api/v1/webhooks/1", &Value::Null).json()["waiting"].clone();
    eventually("nothing waits", || (waiting() == 0).then_some(()));
    let taken = receiver.taken();
    let ids: BTreeSet<String> = taken.iter().map(|t| t.id()).collect();
    assert_eq!((taken.len(), ids.len()), (30, 30), "each once");
    let secret = hook["secret"].as_str().unwrap();
    assert!(taken.iter().all(|t| t.is_signed(secret)), "whoever sends");
    for node in nodes {
        let (status, _home) = node.terminate();
        assert_eq!(status.code(), Some(0));
    }
}
