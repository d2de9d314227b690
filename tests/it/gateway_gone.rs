//! Links that lead nowhere: why and since when, for people in two languages and for programs.

use std::time::Duration;

use serde_json::{Value, json};
use tracegate::{
    policy::{Action, Legal, Tier},
    record::Table,
};

use crate::{
    policy_lab::{feed, set},
    site::{Reply, Site, ask},
};

const JSON: (&str, &str) = ("Accept", "application/problem+json");
const HTML: (&str, &str) =
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

fn link(site: &Site, token: &str, body: &Value) -> String {
    let reply = site.call(token, "POST", "/api/v1/links", &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.json()["code"].as_str().unwrap().to_owned()
}

fn change(site: &Site, token: &str, code: &str, body: &Value) -> Reply {
    site.call(token, "PATCH", &format!("/api/v1/links/{code}"), &body.to_string())
}

/// The secret of a new token.
fn writer(site: &Site, name: &str) -> String {
    let body = json!({ "name": name, "role": "writer" }).to_string();
    let made = site.call(&site.operator, "POST", "/api/v1/tokens", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["token"].as_str().unwrap().to_owned()
}

fn problem(reply: &Reply) -> Value {
    let kind = reply.header("Content-Type");
    assert_eq!(kind, Some("application/problem+json; charset=utf-8"), "{reply:?}");
    assert_eq!(reply.header("Vary"), Some("Accept, Accept-Language"));
    assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    let problem = reply.json();
    assert_eq!(problem["status"], reply.status);
    problem
}

#[test]
fn a_stopped_link_says_who_stopped_it_why_and_since_when() {
    let site = Site::start(|_| {});
    let shop = writer(&site, "shop");
    let target = json!({ "target": "https://www.demo.test/" });
    let code = link(&site, &shop, &target);
    let stop = json!({
        "state": "disabled", "reason": "ticket 17: Mr Li called", "public_reason": "fraud"
    });
    let stopped = change(&site, &site.operator, &code, &stop);
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    let since = "2030-03-17T17:46:40.000000Z";
    let said = json!({ "since": since, "by": "operator", "reason": "fraud" });
    assert_eq!(stopped.json()["stopped"], said);
    // Later changes do not move it.
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(change(&site, &site.operator, &code, &json!({ "purpose": "x" })).status, 200);
    let path = format!("/{code}");
    for (language, texts) in [
        ("en", ["This link has been disabled.", "The operator of this service", "Fraud"]),
        ("zh", ["此链接已停用。", "本服务运营者", "涉嫌诈骗"]),
    ] {
        let page = site.visit("GET", &path, &[HTML, ("Accept-Language", language)]);
        assert_eq!(page.status, 410);
        assert_eq!(page.header("Cache-Control"), Some("no-store"));
        for text in texts.into_iter().chain(["2030-03-17 17:46:40 UTC"]) {
            assert!(page.body.contains(text), "{text}: {}", page.body);
        }
        assert!(!page.body.contains("ticket") && !page.body.contains("demo.test"));
        let told = problem(&site.visit("GET", &path, &[JSON, ("Accept-Language", language)]));
        assert_eq!(told["title"], texts[0]);
        for (member, value) in [
            ("type", "urn:tracegate:problem:disabled"),
            ("code", "disabled"),
            ("by", "operator"),
            ("reason", "fraud"),
            ("since", since),
        ] {
            assert_eq!(told[member], value, "{member}");
        }
        assert!(!told.to_string().contains("ticket"));
    }
    let head = site.visit("HEAD", &path, &[JSON]);
    assert_eq!((head.status, head.body.as_str()), (410, ""));
    assert_eq!(head.header("Content-Type"), Some("application/problem+json; charset=utf-8"));
    // Another reason, none, and on again.
    let say =
        |reason: Value| change(&site, &site.operator, &code, &json!({ "public_reason": reason }));
    assert_eq!(say("order".into()).json()["stopped"]["since"], since);
    assert_eq!(problem(&site.visit("GET", &path, &[JSON]))["reason"], "order");
    assert_eq!(say(Value::Null).json()["stopped"], json!({ "since": since, "by": "operator" }));
    assert_eq!(say("secret".into()).status, 400);
    assert_eq!(change(&site, &shop, &code, &json!({ "state": "enabled" })).status, 200);
    assert_eq!(say("fraud".into()).json()["code"], "public_reason_without_stop");
    assert_eq!(site.visit("GET", &path, &[JSON]).status, 302);
    // The owner.
    let stop = json!({ "state": "disabled", "public_reason": "owner" });
    assert_eq!(change(&site, &shop, &code, &stop).json()["stopped"]["by"], "owner");
    let page = site.visit("GET", &path, &[HTML, ("Accept-Language", "en")]);
    assert!(page.body.contains("The owner of this link"), "{}", page.body);
    let kept = site.stop();
    let settings = kept.column(Table::Conversions, "settings");
    assert!(settings[1].contains(r#""reason":"fraud""#), "{settings:?}");
    assert!(kept.column(Table::Conversions, "reason")[1].contains("ticket"));
}

#[test]
fn an_ended_link_says_when_it_ended() {
    let site = Site::start(|_| {});
    let ends = json!({ "target": "https://www.demo.test/", "expires": "2030-03-17T18:00:00Z" });
    let code = link(&site, &site.operator, &ends);
    let path = format!("/{code}");
    site.clock.advance(Duration::from_secs(3_600));
    let page = site.visit("GET", &path, &[HTML, ("Accept-Language", "zh")]);
    assert_eq!(page.status, 410);
    assert!(page.body.contains("到期时间") && page.body.contains("2030-03-17 18:00:00 UTC"));
    let told = problem(&site.visit("GET", &path, &[JSON]));
    assert_eq!(
        (&told["code"], &told["ended"]),
        (&"expired".into(), &"2030-03-17T18:00:00.000000Z".into())
    );
    site.stop();
}

#[test]
fn whatever_is_refused_is_told_to_programs() {
    let site = Site::start(|c| c.gateway.limits.password_attempts_max = 1);
    let later = json!({ "target": "https://www.demo.test/", "not_before": "2031-01-01T00:00:00Z" });
    let later = link(&site, &site.operator, &later);
    let secret = json!({ "target": "https://www.demo.test/", "password": "sesame" });
    let secret = link(&site, &site.operator, &secret);
    let none = json!({ "target": "https://none.demo.test/" });
    let once = json!({ "target": "https://www.demo.test/", "visits_max": 1 });
    let (none, once) = (link(&site, &site.operator, &none), link(&site, &site.operator, &once));
    assert_eq!(site.visit("GET", &format!("/{once}"), &[]).status, 302);
    assert_eq!(site.visit("GET", &format!("/{none}"), &[JSON]).status, 302, "no problem at all");
    for (method, path, status, code, reason) in [
        ("GET", "/unknown".to_owned(), 404, "unknown", None),
        ("GET", "/a/b/c".to_owned(), 404, "unknown", None),
        ("PUT", "/unknown".to_owned(), 405, "method", None),
        ("GET", format!("/{later}"), 404, "not_yet", None),
        ("GET", format!("/{secret}"), 403, "password", None),
        ("GET", format!("/{once}"), 410, "used_up", None),
        (
            "GET",
            "/go?url=https%3A%2F%2Fa.example%2F".to_owned(),
            403,
            "go_unsigned",
            Some("unsigned"),
        ),
        ("GET", "/go".to_owned(), 400, "go_malformed", Some("url_missing")),
    ] {
        let reply = site.visit(method, &path, &[JSON, ("Accept-Language", "en")]);
        assert_eq!(reply.status, status, "{path}");
        let told = problem(&reply);
        assert_eq!(told["code"], code, "{path}");
        assert_eq!(told["reason"].as_str(), reason, "{path}");
        assert!(!told["title"].as_str().unwrap().is_empty(), "{path}");
        let page = site.visit(method, &path, &[HTML]);
        assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"), "{path}");
    }
    let attempt = || {
        let headers = [("Host", "x"), JSON, ("Content-Type", "application/x-www-form-urlencoded")];
        ask(site.gateway, "POST", &format!("/{secret}"), &headers, "password=x")
    };
    assert_eq!(problem(&attempt())["code"], "password");
    let over = attempt();
    assert_eq!((over.status, &problem(&over)["code"]), (429, &"limited".into()));
    assert!(over.header("RateLimit-Policy").is_some() && over.header("Retry-After").is_some());
    site.stop();
}

#[test]
fn whoever_blocks_is_named_on_every_451() {
    let site = Site::start(|c| c.policy.blocked_by = "https://isp.example/blocking".into());
    let code = link(&site, &site.operator, &json!({ "target": "https://www.demo.test/" }));
    let legal = Legal {
        authority: "通信管理局".into(),
        order_number: "2026-17".into(),
        reason: "fraud".into(),
        ..Legal::default()
    };
    let rule = |name: &str| feed("regulator").legal_rule(name, Action::Nxdomain, legal.clone());
    site.in_force.swap(set(&[&rule("www.demo.test").tier(Tier::Block)]));
    let blocked_by = Some("<https://isp.example/blocking>; rel=\"blocked-by\"");
    let path = format!("/{code}");
    for (method, accept) in [("GET", HTML), ("HEAD", HTML), ("GET", JSON), ("HEAD", JSON)] {
        let reply = site.visit(method, &path, &[accept]);
        assert_eq!((reply.status, reply.header("Link")), (451, blocked_by), "{method}");
        assert_eq!(reply.header("Cache-Control"), Some("no-store"));
        assert!(!reply.body.contains("href=\"http"), "no live link: {}", reply.body);
    }
    let told = problem(&site.visit("GET", &path, &[JSON, ("Accept-Language", "en")]));
    for (member, value) in [
        ("code", "stopped"),
        ("title", "Access to this site has been stopped"),
        ("tier", "block"),
        ("form", "stop"),
        ("authority", "通信管理局"),
        ("order_number", "2026-17"),
        ("reason", "fraud"),
        ("feed", "regulator"),
    ] {
        assert_eq!(told[member], value, "{member}");
    }
    assert!(told["flow"].as_str().is_some_and(|f| !f.is_empty()));
    // A host that policy led to us: its pages, and what is no page.
    for (method, accept) in [("GET", HTML), ("HEAD", HTML), ("GET", ("Accept", "image/png"))] {
        let reply = ask(site.gateway, method, "/x", &[("Host", "www.demo.test"), accept], "");
        assert_eq!((reply.status, reply.header("Link")), (451, blocked_by), "{method} {accept:?}");
    }
    // What is no block names nobody.
    site.in_force.swap(set(&[&rule("www.demo.test").tier(Tier::Interstitial)]));
    let reply = site.visit("GET", &path, &[HTML]);
    assert_eq!((reply.status, reply.header("Link")), (200, None));
    site.stop();
}
