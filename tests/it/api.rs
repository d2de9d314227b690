//! The API through real sockets: who may what, what is refused, what comes back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use tracegate::{
    api::{Check, Need, PUBLIC_ROUTES, ROUTES, document, may},
    links::{Refusal, Role},
    record::Table,
};

use crate::site::{Reply, Site, ask};

fn operator(site: &Site, method: &str, path: &str, body: Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    site.call(&site.operator, method, path, &body)
}

fn code_of(reply: &Reply) -> String {
    assert!(
        reply.header("Content-Type").is_some_and(|t| t.starts_with("application/problem+json")),
        "{reply:?}"
    );
    let body = reply.json();
    assert_eq!(body["status"], reply.status);
    body["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_link_lives_through_its_revisions() {
    let site = Site::start(|_| {});
    let new = json!({"url": "https://www.demo.test/1", "owner": "shop", "reason": "order 7"});
    let made = operator(&site, "POST", "/api/v1/links", new);
    assert_eq!(made.status, 201, "{}", made.body);
    let link = made.json();
    let code = link["code"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/links/{code}");
    assert_eq!(made.header("Location"), Some(path.as_str()));
    assert_eq!(made.header("ETag"), Some("\"1\""));
    assert_eq!(made.header("Cache-Control"), Some("no-store"));
    assert_eq!(link["short_url"], format!("http://{}/{code}", site.gateway));
    assert_eq!(link["owner"], "shop");
    assert_eq!(link["expires"], Value::Null);
    assert_eq!(link["created"], "2030-03-17T17:46:40.000000Z");

    let steps = [
        (json!({"target": "https://www.demo.test/2", "reason": "moved"}), "edit", "enabled"),
        (json!({"expires": "2031-01-01T00:00:00+08:00"}), "edit", "enabled"),
        (json!({"expires": null}), "edit", "enabled"),
        (json!({"state": "disabled", "reason": "abuse"}), "disable", "disabled"),
        (json!({"state": "enabled", "revision": 5}), "enable", "enabled"),
    ];
    for (n, (body, operation, state)) in (2..).zip(steps) {
        let changed = operator(&site, "PATCH", &path, body);
        assert_eq!(changed.status, 200, "{}", changed.body);
        let link = changed.json();
        assert_eq!(link["revision"], n);
        assert_eq!(link["operation"], operation);
        assert_eq!(link["state"], state);
        assert_eq!(link["owner"], "shop");
    }
    // The same again changes nothing and records nothing.
    let same = operator(&site, "PATCH", &path, json!({"state": "enabled"}));
    assert_eq!(
        (same.status, &same.json()["revision"], &same.json()["record"]),
        (200, &json!(6), &Value::Null)
    );

    let read = operator(&site, "GET", &path, Value::Null);
    assert_eq!(read.header("ETag"), Some("\"6\""));
    let body = read.json();
    let targets: Vec<_> =
        body["revisions"].as_array().unwrap().iter().map(|r| &r["target"]).collect();
    assert_eq!(targets.len(), 6);
    assert_eq!(targets[0], "https://www.demo.test/1");
    assert_eq!(body["revisions"][3]["expires"], Value::Null);
    assert_eq!(body["next_revision"], Value::Null);
    let later = operator(&site, "GET", &format!("{path}?from_revision=6"), Value::Null).json();
    assert_eq!(later["revisions"].as_array().unwrap().len(), 1);

    let kept = site.stop();
    let operations = kept.column(Table::Conversions, "operation");
    assert_eq!(operations, ["create", "edit", "edit", "edit", "disable", "enable"]);
    let first = &kept.of(Table::Conversions)[0];
    let id = format!(
        "it-{}-{}",
        first["lane"].to_string().trim_matches('"'),
        first["seq"].to_string().trim_matches('"')
    );
    assert_eq!(link["record"], id);
    assert_eq!(kept.of(Table::Conversions)[4]["reason"], "abuse");
}

#[test]
fn revisions_come_in_pages() {
    let site = Site::start(|c| c.api.revisions_max = 2);
    let code = site.link("https://www.demo.test/1");
    let path = format!("/api/v1/links/{code}");
    for n in 2..=5 {
        let body = json!({"target": format!("https://www.demo.test/{n}")});
        assert_eq!(operator(&site, "PATCH", &path, body).status, 200);
    }
    let mut numbers = Vec::new();
    let mut next = json!(0);
    while !next.is_null() {
        let page =
            operator(&site, "GET", &format!("{path}?from_revision={next}"), Value::Null).json();
        let list = page["revisions"].as_array().unwrap();
        assert!(list.len() <= 2);
        numbers.extend(list.iter().map(|r| r["revision"].as_u64().unwrap()));
        next = page["next_revision"].clone();
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    site.stop();
}

#[test]
fn changes_that_come_too_late_are_refused() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    let path = format!("/api/v1/links/{code}");
    let stale = operator(&site, "PATCH", &path, json!({"state": "disabled", "revision": 2}));
    assert_eq!((stale.status, code_of(&stale).as_str()), (409, "revision_conflict"));
    assert_eq!(stale.json()["current_revision"], 1);
    let host = site.api.to_string();
    let bearer = format!("Bearer {}", site.operator);
    let with = |tag: &str| {
        let headers = [
            ("Host", host.as_str()),
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
            ("If-Match", tag),
        ];
        ask(site.api, "PATCH", &path, &headers, r#"{"state":"disabled"}"#)
    };
    assert_eq!(with("\"7\"").status, 412);
    assert_eq!(with("nonsense").status, 400);
    let changed = with("\"1\"");
    assert_eq!((changed.status, changed.header("ETag")), (200, Some("\"2\"")));
    assert_eq!(with("\"1\"").status, 412);
    site.stop();
}

#[test]
fn what_makes_no_link() {
    let site = Site::start(|_| {});
    let new = |body: Value| operator(&site, "POST", "/api/v1/links", body);
    assert_eq!(new(json!({"target": "https://www.demo.test/", "code": "sale-1"})).status, 201);
    for (body, status, code) in [
        (json!({"target": "https://www.demo.test/", "code": "sale-1"}), 409, "code_taken"),
        (json!({"target": "https://www.demo.test/", "code": "a/b"}), 422, "code_not_allowed"),
        (json!({"target": "https://www.demo.test/", "code": "partner"}), 422, "code_not_allowed"),
        (json!({"target": "https://www.demo.test/", "code": ""}), 422, "code_not_allowed"),
        (json!({"target": "javascript:alert(1)"}), 422, "target_scheme"),
        (json!({"target": "http://127.0.0.1/"}), 422, "target_own_host"),
        (json!({"target": "http://u@www.demo.test/"}), 422, "target_user_info"),
        (
            json!({"target": "https://www.demo.test/", "expires": "2020-01-01T00:00:00Z"}),
            422,
            "expires_in_the_past",
        ),
        (json!({"target": "https://www.demo.test/", "expires": "soon"}), 400, "bad_request"),
        (
            json!({"target": "https://www.demo.test/", "owner": "a".repeat(1025)}),
            400,
            "bad_request",
        ),
        (json!({"target": "https://www.demo.test/", "unknown": 1}), 400, "bad_request"),
        (json!({"target": 1}), 400, "bad_request"),
        (json!({}), 400, "bad_request"),
        (json!([]), 400, "bad_request"),
    ] {
        let reply = new(body.clone());
        assert_eq!((reply.status, code_of(&reply).as_str()), (status, code), "{body}");
    }
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({"state": "disabled"}))] {
        assert_eq!(operator(&site, method, "/api/v1/links/nothing", body).status, 404);
    }
    for body in [json!({}), json!({"state": "gone"}), json!({"actor": "me"})] {
        assert_eq!(operator(&site, "PATCH", "/api/v1/links/sale-1", body).status, 400);
    }
    let kept = site.stop();
    assert_eq!(kept.of(Table::Conversions).len(), 1, "refusals are no conversions");
}

#[test]
fn problems_speak_both_languages() {
    let site = Site::start(|_| {});
    let host = site.api.to_string();
    let bearer = format!("Bearer {}", site.operator);
    for (language, title) in [
        ("zh-CN", Refusal::Scheme.chinese()),
        ("en", Refusal::Scheme.english()),
        ("", Refusal::Scheme.english()),
    ] {
        let headers = [
            ("Host", host.as_str()),
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
            ("Accept-Language", language),
        ];
        let reply = ask(site.api, "POST", "/api/v1/links", &headers, r#"{"target":"x"}"#);
        assert_eq!(reply.json()["title"], title);
        assert_eq!(reply.json()["type"], "urn:tracegate:problem:target_scheme");
    }
    site.stop();
}

#[test]
fn every_role_may_what_the_table_says() {
    let site = Site::start(|_| {});
    let secrets: Vec<(Role, String)> = Role::ALL
        .into_iter()
        .map(|role| {
            let body = json!({"name": format!("t-{}", role.name()), "role": role.name()});
            let made = operator(&site, "POST", "/api/v1/tokens", body);
            assert_eq!(made.status, 201, "{}", made.body);
            (role, made.json()["token"].as_str().unwrap().to_owned())
        })
        .collect();
    for route in ROUTES {
        let path =
            route.path.replace("{code}", "none").replace("{name}", "none").replace("{id}", "9");
        let path = path.replace("{version}", "9");
        let body = if route.method == "POST" || route.method == "PATCH" { "{}" } else { "" };
        let bare = site.call("wrong", route.method.as_str(), &path, body);
        // Whoever looks at records is judged where the refusal is recorded.
        let looks = [
            "/trace", "/records", "/rules", "/report", "/stats", "/hops", "/summary", "/person",
            "{record}",
        ];
        let here = looks.iter().all(|part| !path.contains(part));
        let open = matches!(route.need, Need::Nothing | Need::RightUnlessLoopback(_));
        if here {
            assert_eq!(bare.status == 401, !open, "{path}: {}", bare.status);
            assert_eq!(bare.header("WWW-Authenticate").is_some(), !open);
        }
        for (role, secret) in &secrets {
            let status = site.call(secret, route.method.as_str(), &path, body).status;
            let allowed = match route.need {
                Need::Right(right) => may(*role, right),
                _ => true,
            };
            if here {
                assert_eq!(status == 403, !allowed, "{role:?} {} {path}: {status}", route.method);
            }
        }
    }
    site.stop();
}

#[test]
fn foreign_pages_get_nowhere() {
    let site = Site::start(|c| {
        c.api.hosts = vec!["trace.example".into()];
        c.api.body_bytes_max = 1024;
    });
    let own = site.api.to_string();
    let bearer = format!("Bearer {}", site.operator);
    let body = r#"{"target":"https://www.demo.test/"}"#;
    let send = |headers: &[(&str, &str)], body: &str| {
        ask(site.api, "POST", "/api/v1/links", headers, body)
    };
    let json_type = ("Content-Type", "application/json");
    let auth = ("Authorization", bearer.as_str());
    for (host, status) in [
        (own.as_str(), 201),
        ("localhost", 201),
        ("trace.example", 201),
        ("TRACE.example:443", 201),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.0.2.1", 421),
    ] {
        assert_eq!(send(&[("Host", host), auth, json_type], body).status, status, "{host}");
    }
    assert_eq!(send(&[auth, json_type], body).status, 421, "no host");
    let twice = [("Host", own.as_str()), ("Host", "evil.example"), auth, json_type];
    assert_ne!(send(&twice, body).status, 201);
    let host = ("Host", own.as_str());
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let reply = send(&[host, auth, ("Content-Type", kind)], body);
        assert_eq!((reply.status, code_of(&reply).as_str()), (415, "json_required"), "{kind}");
    }
    assert_eq!(send(&[host, auth], body).status, 415);
    let origin = send(&[host, auth, json_type, ("Origin", "https://evil.example")], body);
    assert_eq!(origin.header("Access-Control-Allow-Origin"), None);
    let cookie = format!("token={}", site.operator);
    assert_eq!(send(&[host, ("Cookie", &cookie), json_type], body).status, 401);
    let large = format!(r#"{{"target":"https://www.demo.test/","reason":"{}"}}"#, "a".repeat(1024));
    let reply = send(&[host, auth, json_type], &large);
    assert_eq!((reply.status, code_of(&reply).as_str()), (413, "body_too_large"));
    let preflight = ask(site.api, "OPTIONS", "/api/v1/links", &[host], "");
    assert_eq!(preflight.status, 405);
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/links", 405),
        ("GET", "/api/v1/links/../tokens", 404),
    ] {
        let reply = site.call(&site.operator, method, path, "");
        assert_eq!(reply.status, status, "{method} {path}");
        code_of(&reply);
    }
    site.stop();
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let site = Site::start(|c| c.api.tokens_max = 2);
    let new = |body: Value| operator(&site, "POST", "/api/v1/tokens", body);
    let made = new(json!({"name": "w", "role": "writer", "expires": "2030-03-17T18:00:00Z"}));
    assert_eq!(made.status, 201, "{}", made.body);
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let body = r#"{"target":"https://www.demo.test/"}"#;
    let create = |secret: &str| site.call(secret, "POST", "/api/v1/links", body);
    assert_eq!(create(&secret).json()["actor"], "w");
    for (body, status) in [
        (json!({"name": "w", "role": "auditor"}), 409),
        (json!({"name": "operator", "role": "operator"}), 409),
        (json!({"name": "a b", "role": "auditor"}), 400),
        (json!({"name": "", "role": "auditor"}), 400),
        (json!({"name": "x", "role": "root"}), 400),
        (json!({"name": "x", "role": "auditor", "expires": "2020-01-01T00:00:00Z"}), 422),
        (json!({"name": "x", "role": "auditor"}), 201),
        (json!({"name": "y", "role": "auditor"}), 409),
    ] {
        assert_eq!(new(body.clone()).status, status, "{body}");
    }
    let list = operator(&site, "GET", "/api/v1/tokens", Value::Null);
    let names: Vec<_> =
        list.json()["tokens"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
    assert_eq!(names, ["w", "x"]);
    assert!(!list.body.contains(&secret), "secrets are shown once");
    site.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(create(&secret).status, 401, "ended");
    assert_eq!(operator(&site, "DELETE", "/api/v1/tokens/w", Value::Null).status, 204);
    assert_eq!(operator(&site, "DELETE", "/api/v1/tokens/w", Value::Null).status, 404);
    assert_eq!(operator(&site, "DELETE", "/api/v1/tokens/operator", Value::Null).status, 404);
    assert_eq!(create(&site.operator).status, 201, "the operator's own stays");
    // The database holds digests only.
    for file in ["control.sqlite", "control.sqlite-wal"] {
        let bytes = std::fs::read(site.dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{file}");
    }
    site.stop();
}

#[test]
fn readiness_says_why_not() {
    let ready = Arc::new(AtomicBool::new(false));
    let whole = Arc::new(AtomicBool::new(true));
    let look = Arc::clone(&ready);
    let checks = vec![
        Check {
            name: "spool",
            needed: true,
            look: {
                let whole = Arc::clone(&whole);
                Box::new(move || (!whole.load(Ordering::SeqCst)).then(|| "a lane".into()))
            },
        },
        Check {
            name: "store",
            needed: false,
            look: Box::new(move || {
                (!look.load(Ordering::SeqCst)).then(|| "ClickHouse does not answer".into())
            }),
        },
    ];
    let site = Site::start_with(|_| {}, checks);
    let host = site.api.to_string();
    let get = |path| ask(site.api, "GET", path, &[("Host", host.as_str())], "");
    assert_eq!(get("/healthz").status, 200);
    // Who asks is answered and recorded all the same.
    let not = get("/readyz");
    assert_eq!((not.status, &not.json()["status"]), (200, &"degraded".into()));
    assert_eq!(not.json()["checks"]["store"], "ClickHouse does not answer");
    assert_eq!(not.json()["checks"]["spool"], "ok");
    for store in [false, true] {
        ready.store(store, Ordering::SeqCst);
        whole.store(false, Ordering::SeqCst);
        let not = get("/readyz");
        assert_eq!((not.status, &not.json()["status"]), (503, &"not ready".into()));
        assert_eq!(not.json()["checks"]["spool"], "a lane");
        whole.store(true, Ordering::SeqCst);
    }
    let reply = get("/readyz");
    assert_eq!((reply.status, &reply.json()["status"]), (200, &"ready".into()));
    assert!(get("/metrics").body.contains("tracegate_gateway_jumps_total"));
    site.stop();
}

#[test]
fn zones_are_loaded_anew() {
    let site = Site::start(|_| {});
    let zone = site.dir.path().join("zones/demo.zone");
    let reload = || operator(&site, "POST", "/api/v1/zones/reload", json!({}));
    assert_eq!(reload().json()["zones"][0]["outcome"], "loaded");
    std::fs::write(zone, "nonsense").unwrap();
    let reply = reload();
    assert_eq!(reply.json()["zones"][0]["outcome"], "kept-last", "{}", reply.body);
    site.stop();
}

#[test]
fn the_description_names_every_route_and_no_other() {
    let site = Site::start(|_| {});
    let served = operator(&site, "GET", "/api/v1/openapi.json", Value::Null);
    let doc = served.json();
    assert_eq!(doc, document());
    let described: BTreeSet<(String, String)> = doc["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|m| (m.to_uppercase(), path.clone()))
        })
        .collect();
    let own = ROUTES.iter().map(|r| (&r.method, r.path));
    let all = own.chain(PUBLIC_ROUTES.iter().map(|r| (&r.method, r.path)));
    let routes: BTreeSet<(String, String)> =
        all.map(|(method, path)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(described, routes);
    // Every reference leads somewhere.
    let text = doc.to_string();
    for part in text.split("\"#/").skip(1) {
        let pointer = format!("/{}", part.split('"').next().unwrap());
        assert!(doc.pointer(&pointer).is_some(), "{pointer}");
    }
    site.stop();
}
