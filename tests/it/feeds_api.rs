//! Feeds through the API in this process: who may what, what is refused, in which words.

use std::fs;

use serde_json::{Value, json};
use tracegate::record::Table;

use crate::site::{Reply, Site, ask};

struct Desk(Site);

impl Desk {
    fn open() -> Self {
        Self(Site::start(|c| c.api.body_bytes_max = 4_096))
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.0.call(&self.0.operator, method, path, &body)
    }

    fn token(&self, name: &str, role: &str) -> String {
        let made = self.call("POST", "/api/v1/tokens", &json!({ "name": name, "role": role }));
        made.json()["token"].as_str().unwrap().to_owned()
    }

    /// A feed that has fetched `text`.
    fn feed(&self, text: &str) -> Value {
        let path = self.0.dir.path().join("lists/a.txt");
        fs::write(&path, text).unwrap();
        let spec = json!({ "name": "a", "format": "domains", "source": path,
            "authority": "police", "order_number": "=2026-1", "reason": "a first list" });
        let made = self.call("POST", "/api/v1/feeds", &spec);
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(made.header("Location"), Some("/api/v1/feeds/a"));
        let taken = self.call("POST", "/api/v1/feeds/a/refresh", &json!({}));
        assert_eq!(taken.status, 200, "{}", taken.body);
        taken.json()
    }

    /// Sends a list as bytes.
    fn send(&self, query: &str, kind: &str, body: &str) -> Reply {
        let host = self.0.api.to_string();
        let bearer = format!("Bearer {}", self.0.operator);
        let headers = [("Host", host.as_str()), ("Authorization", &bearer), ("Content-Type", kind)];
        let path = format!("/api/v1/feeds/a/content{query}");
        ask(self.0.api, "POST", &path, &headers, body)
    }
}

#[test]
fn a_feed_lives_through_the_api() {
    let desk = Desk::open();
    let taken = desk.feed("bad.example\n*.worse.example\n???\n");
    assert_eq!(taken["outcome"], "in-force", "{taken}");
    assert_eq!((&taken["accepted"], &taken["rejected"]), (&json!(2), &json!(1)), "{taken}");
    let status = desk.call("GET", "/api/v1/feeds/a", &Value::Null).json();
    assert_eq!((&status["version"], &status["rules"]), (&json!(1), &json!(2)), "{status}");
    assert_eq!(status["nodes"]["it"]["version"], 1, "{status}");

    // A patch changes what it names and takes away what it nulls.
    let patch = json!({ "subtree": true, "order_number": null, "reason": "wider" });
    let status = desk.call("PATCH", "/api/v1/feeds/a", &patch).json();
    let spec = &status["spec"];
    assert_eq!((&spec["subtree"], &spec["authority"]), (&json!(true), &json!("police")), "{spec}");
    assert_eq!(spec["order_number"], "", "{spec}");
    // What reaches further is judged first.
    let looked = desk.call("POST", "/api/v1/feeds/a/refresh", &json!({}));
    assert_eq!(looked.status, 200, "{}", looked.body);
    let rules = desk.call("GET", "/api/v1/rules?name=www.bad.example", &Value::Null).json();
    assert_eq!(rules["decision"], "nxdomain", "{rules}");
    let bad = desk.call("PATCH", "/api/v1/feeds/a", &json!({ "tier": "loud" }));
    assert_eq!((bad.status, &bad.json()["key"]), (422, &json!("tier")), "{}", bad.body);
    let bad = desk.call("PATCH", "/api/v1/feeds/a", &json!({ "colour": "red" }));
    assert_eq!(bad.status, 422, "{}", bad.body);

    let page = desk.call("GET", "/api/v1/feeds/a/versions", &Value::Null).json();
    assert_eq!(page["versions"][0]["state"], "in-force", "{page}");
    assert_eq!(page["next_before"], Value::Null);
    let version = desk.call("GET", "/api/v1/feeds/a/versions/1", &Value::Null).json();
    assert_eq!(version["rejected"][0]["line"], 3, "{version}");
    let kinds: Vec<_> = version["events"].as_array().unwrap().iter().map(|e| &e["event"]).collect();
    assert!(
        kinds.contains(&&json!("received")) && kinds.contains(&&json!("in-force")),
        "{kinds:?}"
    );
    assert_eq!(desk.call("GET", "/api/v1/feeds/a/versions/9", &Value::Null).status, 404);

    let gone = desk.call("DELETE", "/api/v1/feeds/a?reason=over", &Value::Null);
    assert_eq!(gone.status, 204, "{}", gone.body);
    let rules = desk.call("GET", "/api/v1/rules?name=bad.example", &Value::Null).json();
    assert_eq!((&rules["decision"], &rules["rules"]), (&json!("none"), &json!([])), "{rules}");
    assert_eq!(desk.call("GET", "/api/v1/feeds/a", &Value::Null).status, 404);
    desk.0.stop();
}

#[test]
fn lists_are_bytes_and_nothing_else() {
    let desk = Desk::open();
    desk.feed("bad.example\n");
    // Longer than any JSON body may be.
    let list = (0..1_000).map(|i| format!("n{i}.example\n")).collect::<String>();
    let dry = desk.send("?dry_run=true&file=x.txt", "application/octet-stream", &list);
    assert_eq!((dry.status, &dry.json()["changes"]["added"]), (200, &json!(1_000)), "{}", dry.body);
    for kind in ["application/json", "text/plain", "multipart/form-data"] {
        let refused = desk.send("", kind, "evil.example\n");
        assert_eq!((refused.status, &refused.json()["code"]), (415, &json!("bytes_required")));
    }
    let signed = json!({ "minisign_key": format!("RW{}", "A".repeat(54)) });
    assert_eq!(desk.call("PATCH", "/api/v1/feeds/a", &signed).status, 200);
    let refused = desk.send("", "application/octet-stream", "evil.example\n");
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("signature_required")));
    desk.0.stop();
}

#[test]
fn reports_account_without_a_store_and_are_recorded() {
    let desk = Desk::open();
    desk.feed("bad.example\n=1+1\n");
    let report = desk.call("GET", "/api/v1/feeds/a/report", &Value::Null);
    assert_eq!(report.status, 200, "{}", report.body);
    let report = report.json();
    assert_eq!(report["complete_through"], Value::Null, "there is no store to ask: {report}");
    let version = &report["versions"][0];
    assert_eq!((&version["accepted"], &version["hits"]), (&json!(1), &Value::Null), "{version}");
    assert_eq!(version["in_time"], "not_applicable", "{version}");
    assert_eq!(report["orders"][0]["order_number"], "=2026-1", "{report}");
    // What a stranger wrote is no formula.
    for part in ["orders", "versions", "rejected"] {
        let path = format!("/api/v1/feeds/a/report?format=csv&part={part}");
        let csv = desk.call("GET", &path, &Value::Null);
        assert!(csv.header("Content-Type").unwrap().starts_with("text/csv"), "{}", csv.head);
        for line in csv.body.trim_start_matches('\u{feff}').lines() {
            let fields = line.split(',').map(|f| f.trim_start_matches('"'));
            assert!(fields.clone().all(|f| !f.starts_with(['=', '+', '@'])), "{line}");
        }
    }
    let bad = desk.call("GET", "/api/v1/feeds/a/report?format=pdf", &Value::Null);
    assert_eq!(bad.status, 400, "{}", bad.body);
    assert_eq!(desk.call("GET", "/api/v1/feeds/none/report", &Value::Null).status, 404);
    let writer = desk.token("w", "writer");
    assert_eq!(desk.0.call(&writer, "GET", "/api/v1/feeds/a/report", "").status, 403);
    assert_eq!(desk.0.call(&writer, "GET", "/api/v1/rules?name=a.example&at=-1h", "").status, 403);
    assert_eq!(desk.0.call(&writer, "GET", "/api/v1/rules?name=a.example", "").status, 403);
    let looks = desk.0.stop();
    let looks: Vec<_> = looks
        .of(Table::Access)
        .iter()
        .map(|l| format!("{} {}", l["actor"].as_str().unwrap(), l["outcome"].as_str().unwrap()))
        .collect();
    let expected = [
        "operator answered",
        "operator answered",
        "operator answered",
        "operator answered",
        "operator failed",
        "operator failed",
        "w refused",
        "w refused",
    ];
    assert_eq!(looks, expected);
}

#[test]
fn refusals_speak_both_languages() {
    let desk = Desk::open();
    desk.feed("bad.example\n");
    let host = desk.0.api.to_string();
    let bearer = format!("Bearer {}", desk.0.operator);
    let say = |language: &str, body: &Value| {
        let headers = [
            ("Host", host.as_str()),
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
            ("Accept-Language", language),
        ];
        ask(desk.0.api, "POST", "/api/v1/blocks", &headers, &body.to_string()).json()
    };
    let suffix = json!({ "name": "com" });
    assert_eq!(say("en", &suffix)["title"], "No rule may touch that.");
    assert_eq!(say("zh", &suffix)["title"], "规则不得涉及该对象。");
    assert_eq!(say("en", &json!({ "name": "a b" }))["code"], "bad_rule");
    let again = json!({ "name": "a", "format": "domains", "source": "/x" });
    assert_eq!(desk.call("POST", "/api/v1/feeds", &again).status, 422);
    let held = desk.call("POST", "/api/v1/feeds/a/approve", &json!({}));
    assert_eq!((held.status, &held.json()["code"]), (409, &json!("not_held")));
    desk.0.stop();
}
