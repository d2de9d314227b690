//! What is set of a link beyond its target, as visitors meet it.

use serde_json::{Value, json};
use tracegate::record::Table;

use crate::site::{Reply, Site, ask};

const BROWSER: (&str, &str) = ("User-Agent", "Mozilla/5.0 Firefox/140.0");

/// Makes a link; its path.
fn link(site: &Site, body: &Value) -> String {
    let reply = site.call(&site.operator, "POST", "/api/v1/links", &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.body);
    format!("/{}", reply.json()["code"].as_str().unwrap())
}

fn location(reply: &Reply) -> (u16, Option<&str>) {
    (reply.status, reply.header("Location"))
}

#[test]
fn a_link_is_served_at_its_host_from_its_time_with_its_status() {
    let site = Site::start(|c| c.gateway.domains = vec!["go.example.org".into()]);
    let bound =
        link(&site, &json!({ "target": "https://www.demo.test/", "domain": "go.example.org" }));
    for (host, status) in [
        ("go.example.org", 302),
        ("GO.example.org.:8080", 302),
        ("www.example.org", 404),
        ("127.0.0.1", 404),
    ] {
        let reply = ask(site.gateway, "GET", &bound, &[("Host", host)], "");
        assert_eq!(reply.status, status, "{host}");
    }
    let later = link(
        &site,
        &json!({ "target": "https://www.demo.test/", "not_before": "2030-03-17T18:00:00Z" }),
    );
    assert_eq!(site.visit("GET", &later, &[]).status, 404);
    site.clock.advance(std::time::Duration::from_secs(3_600));
    assert_eq!(site.visit("GET", &later, &[]).status, 302);
    for status in [301, 302, 307, 308] {
        let path = link(&site, &json!({ "target": "https://www.demo.test/", "status": status }));
        let reply = site.visit("GET", &path, &[]);
        assert_eq!(location(&reply), (status, Some("https://www.demo.test/")));
        assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    }
    let kept = site.stop();
    let mut outcomes = kept.column(Table::Jumps, "outcome");
    outcomes.sort();
    assert_eq!(
        outcomes,
        [
            "jumped", "jumped", "jumped", "jumped", "jumped", "jumped", "jumped", "not_yet",
            "unknown", "unknown"
        ]
    );
}

#[test]
fn path_and_query_are_handed_on_where_the_owner_wants_it() {
    let site = Site::start(|_| {});
    let both = link(
        &site,
        &json!({ "target": "https://www.demo.test/a?id=1#f", "forward_query": true, "forward_path": true }),
    );
    let query = link(&site, &json!({ "target": "https://www.demo.test/a", "forward_query": true }));
    for (path, status, target) in [
        (both.clone(), 302, Some("https://www.demo.test/a?id=1#f")),
        (format!("{both}/b/c?x=2&id=9"), 302, Some("https://www.demo.test/a/b/c?id=1&x=2#f")),
        (
            format!("{both}//evil.example/"),
            302,
            Some("https://www.demo.test/a//evil.example/?id=1#f"),
        ),
        (format!("{both}/%2e%2e/x"), 404, None),
        (
            format!("{both}/%0d%0aSet-Cookie:x=1"),
            302,
            Some("https://www.demo.test/a/%0d%0aSet-Cookie:x=1?id=1#f"),
        ),
        (format!("{query}?x=%0d%0a"), 302, Some("https://www.demo.test/a?x=%0d%0a")),
        (format!("{query}/b"), 404, None),
    ] {
        let reply = site.visit("GET", &path, &[]);
        assert_eq!(location(&reply), (status, target), "{path}");
        assert_eq!(reply.header("Set-Cookie"), None);
    }
    let kept = site.stop();
    let jumps = kept.of(Table::Jumps);
    assert_eq!(jumps.len(), 6, "where no path is handed on, none is asked for");
    assert!(jumps.iter().any(|j| j["target"] == "https://www.demo.test/a/b/c?id=1&x=2#f"));
    assert!(jumps.iter().any(|j| j["reason"] == "path_not_forwarded" && j["outcome"] == "stopped"));
}

#[test]
fn a_password_opens_its_link_and_nothing_else_does() {
    let site = Site::start(|c| {
        c.gateway.limits.password_attempts_max = 4;
        c.gateway.limits.window_s = 3_600;
    });
    let path =
        link(&site, &json!({ "target": "https://www.demo.test/", "password": "芝麻 & 开门" }));
    let open = link(&site, &json!({ "target": "https://www.demo.test/o" }));
    let post = |path: &str, form: &str| {
        let headers = [("Host", "x"), ("Content-Type", "application/x-www-form-urlencoded")];
        ask(site.gateway, "POST", path, &headers, form)
    };
    for (method, language, text) in
        [("GET", "zh", "此链接需要密码。"), ("GET", "en", "This link has a password.")]
    {
        let reply = site.visit(method, &path, &[("Accept-Language", language)]);
        assert_eq!(location(&reply), (403, None));
        assert!(
            reply.body.contains(text) && reply.body.contains("method=\"post\""),
            "{}",
            reply.body
        );
    }
    assert_eq!(location(&site.visit("HEAD", &path, &[])), (403, None));
    assert_eq!(location(&site.visit("GET", &format!("{path}?password=x"), &[])), (403, None));
    let wrong = post(&path, "password=wrong");
    assert_eq!(location(&wrong), (403, None));
    assert!(wrong.body.contains("That is not the password."), "{}", wrong.body);
    let right = "password=%E8%8A%9D%E9%BA%BB+%26+%E5%BC%80%E9%97%A8";
    assert_eq!(location(&post(&path, right)), (303, Some("https://www.demo.test/")));
    let huge = format!("x={}&{right}", "a".repeat(10_000));
    assert_eq!(post(&path, &huge).status, 403);
    assert_eq!(post(&open, right).status, 405, "it has no password");
    assert_eq!(post(&path, "").status, 403);
    let over = post(&path, right);
    assert_eq!(over.status, 429, "the right one too");
    assert_eq!(over.header("RateLimit-Policy"), Some("\"client\";q=4;w=3600"));
    let kept = site.stop();
    let outcomes = kept.column(Table::Jumps, "outcome");
    assert_eq!(outcomes.iter().filter(|o| *o == "jumped").count(), 1);
    assert_eq!(outcomes.iter().filter(|o| *o == "password").count(), 7);
    assert!(!format!("{:?}", kept.of(Table::Jumps)).contains("芝麻"));
}

#[test]
fn a_link_is_followed_as_often_as_it_may_be_and_by_nobody_who_does_not_count() {
    let site = Site::start(|_| {});
    let path = link(&site, &json!({ "target": "https://www.demo.test/", "visits_max": 5 }));
    for agent in ["Googlebot/2.1", "WhatsApp/2"] {
        assert_eq!(location(&site.visit("GET", &path, &[("User-Agent", agent)])), (403, None));
    }
    assert_eq!(location(&site.visit("HEAD", &path, &[BROWSER])), (403, None));
    let statuses: Vec<u16> = (0..7).map(|_| site.visit("GET", &path, &[BROWSER]).status).collect();
    assert_eq!(statuses, [302, 302, 302, 302, 302, 410, 410]);
    let kept = site.stop();
    let outcomes = kept.column(Table::Jumps, "outcome");
    let count = |wanted: &str| outcomes.iter().filter(|o| *o == wanted).count();
    assert_eq!((count("jumped"), count("used_up"), count("stopped")), (5, 2, 3));
    let reasons = kept.column(Table::Jumps, "reason");
    assert_eq!(reasons.iter().filter(|r| *r == "visit_not_counted").count(), 3);
}
