//! Forwards on sockets: hosts and paths that lead elsewhere, as they are made, visited and changed.

use serde_json::{Value, json};
use tracegate::{
    config::{Config, ForeignForwards},
    record::Table,
};

use crate::site::{Reply, Site, ask};

pub(crate) fn operator(site: &Site, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    site.call(&site.operator, method, path, &body)
}

pub(crate) fn forward(site: &Site, from: &str, target: &str) -> Reply {
    operator(site, "POST", "/api/v1/forwards", &json!({ "from": from, "target": target }))
}

pub(crate) fn made(site: &Site, from: &str, target: &str) {
    let reply = forward(site, from, target);
    assert_eq!(reply.status, 201, "{from}: {}", reply.body);
}

pub(crate) fn visit(site: &Site, host: &str, path: &str) -> Reply {
    ask(site.gateway, "GET", path, &[("Host", host)], "")
}

pub(crate) fn leads(site: &Site, host: &str, path: &str) -> (u16, Option<String>) {
    let reply = visit(site, host, path);
    (reply.status, reply.header("Location").map(str::to_owned))
}

#[test]
fn a_host_and_its_paths_lead_where_their_forwards_say() {
    let site = Site::start(|_| {});
    made(&site, "old.demo.test", "https://www.demo.test/moved");
    made(&site, "OLD.demo.test/shop/", "https://www.demo.test/shop");
    let deep = json!({ "from": "old.demo.test/docs/v1", "target": "https://www.demo.test/d?v=1",
        "forward_path": true, "forward_query": true, "status": 301, "owner": "acme",
        "purpose": "move of the manual" });
    let reply = operator(&site, "POST", "/api/v1/forwards", &deep);
    assert_eq!(reply.status, 201, "{}", reply.body);
    let told = reply.json();
    assert_eq!(reply.header("Location"), Some("/api/v1/forwards/old.demo.test%2Fdocs%2Fv1"));
    assert_eq!(told["from"], "old.demo.test/docs/v1");
    assert_eq!(told["short_url"], "http://old.demo.test/docs/v1");
    assert_eq!((&told["zone_served"], &told["domain"]), (&json!(true), &json!("old.demo.test")));
    let to = |path: &str| Some(format!("https://www.demo.test/{path}"));
    for (path, expected) in [
        ("/", (302, to("moved"))),
        ("/any/thing?q=1", (302, to("moved"))),
        ("/shop", (302, to("shop"))),
        ("/shop/x", (302, to("shop"))),
        ("/shopping", (302, to("moved"))),
        ("/docs", (302, to("moved"))),
        ("/docs/v1/a/b?q=1", (301, to("d/a/b?v=1&q=1"))),
        ("/docs/v1?v=2", (301, to("d?v=1"))),
        // However it is written; what means something escaped is another path.
        ("/docs/v1/../../x", (302, to("moved"))),
        ("/%64ocs/v%31/a", (301, to("d/a?v=1"))),
        ("/x/%2e%2E/docs/./v1/%7Ea", (301, to("d/%7Ea?v=1"))),
        ("/docs%2Fv1/a", (302, to("moved"))),
        ("/docs%2fv1", (302, to("moved"))),
        ("/docs/v1/%2e%2e%2fx", (301, to("d/%2e%2e%2fx?v=1"))),
        ("/docs/v1//evil.example/", (301, to("d//evil.example/?v=1"))),
    ] {
        assert_eq!(leads(&site, "Old.Demo.Test.:80", path), expected, "{path}");
    }
    let head = ask(site.gateway, "HEAD", "/shop", &[("Host", "old.demo.test")], "");
    assert_eq!((head.status, head.header("Location")), (302, Some("https://www.demo.test/shop")));
    assert_eq!(ask(site.gateway, "POST", "/", &[("Host", "old.demo.test")], "").status, 405);
    // Elsewhere everything is as before, and no code names a forward.
    let code = site.link("https://www.demo.test/");
    assert_eq!(leads(&site, "other.demo.test", &format!("/{code}")).0, 302);
    assert_eq!(leads(&site, "other.demo.test", "/shop").0, 404);
    assert_eq!(visit(&site, "other.demo.test", "/fwd:old.demo.test").status, 404);
    let kept = site.stop();
    let of = |code: &str| {
        let of = |j: &&Value| j["code"] == code;
        kept.of(Table::Jumps).iter().filter(of).cloned().collect::<Vec<_>>()
    };
    let shop = of("fwd:old.demo.test/shop");
    assert_eq!(shop.len(), 3);
    assert!(shop.iter().all(|j| j["service"] == "forward" && j["revision"] == 1), "{shop:?}");
    let docs = of("fwd:old.demo.test/docs/v1");
    let whole = |j: &Value| j["target"] == "https://www.demo.test/d/a/b?v=1&q=1";
    assert!(docs.iter().any(whole), "{docs:?}");
    let conversions = kept.of(Table::Conversions);
    let conversion = conversions.iter().find(|c| c["owner"] == "acme").unwrap();
    assert_eq!(
        (&conversion["service"], &conversion["domain"]),
        (&json!("forward"), &json!("old.demo.test"))
    );
}

#[test]
fn a_forward_is_changed_stopped_and_listed_apart_from_links() {
    let site = Site::start(|_| {});
    site.link("https://www.demo.test/");
    // Asked for before it is there: what was remembered of that is forgotten when it is made.
    assert_eq!(visit(&site, "a.demo.test", "/x").status, 404);
    for from in ["a.demo.test/x", "b.demo.test", "a.demo.test"] {
        made(&site, from, "https://www.demo.test/1");
    }
    assert_eq!(visit(&site, "a.demo.test", "/x").status, 302);
    let path = "/api/v1/forwards/a.demo.test%2Fx";
    let moved = operator(&site, "PATCH", path, &json!({ "target": "https://www.demo.test/2" }));
    assert_eq!((moved.status, moved.header("ETag")), (200, Some("\"2\"")), "{}", moved.body);
    assert_eq!(leads(&site, "a.demo.test", "/x").1.unwrap(), "https://www.demo.test/2");
    let off = json!({ "state": "disabled", "reason": "order 7" });
    assert_eq!(operator(&site, "PATCH", path, &off).status, 200);
    assert_eq!(leads(&site, "a.demo.test", "/x"), (410, None), "the host's own does not step in");
    assert_eq!(leads(&site, "a.demo.test", "/y").0, 302);
    let history = operator(&site, "GET", path, &Value::Null).json();
    assert_eq!(history["revisions"].as_array().unwrap().len(), 3);
    let page = operator(&site, "GET", "/api/v1/forwards?limit=2", &Value::Null).json();
    let names = |page: &Value| -> Vec<String> {
        let all = page["forwards"].as_array().unwrap().iter();
        all.map(|f| f["from"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&page), ["a.demo.test", "a.demo.test/x"]);
    let next = format!("/api/v1/forwards?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(names(&operator(&site, "GET", &next, &Value::Null).json()), ["b.demo.test"]);
    let links = operator(&site, "GET", "/api/v1/links", &Value::Null).json();
    assert_eq!(links["links"].as_array().unwrap().len(), 1, "{links}");
    let all = operator(&site, "GET", "/api/v1/links/export", &Value::Null);
    assert_eq!(all.body.lines().count(), 4, "{}", all.body);
    // Neither is the other's.
    let other = "/api/v1/links/fwd:b.demo.test";
    assert_eq!(operator(&site, "GET", other, &Value::Null).status, 404);
    assert_eq!(operator(&site, "PATCH", other, &off).status, 404);
    let code = json!({ "code": "fwd:c.demo.test", "target": "https://www.demo.test/" });
    assert_eq!(operator(&site, "POST", "/api/v1/links", &code).status, 422);
    assert_eq!(operator(&site, "GET", "/api/v1/forwards/c.demo.test", &Value::Null).status, 404);
    site.stop();
}

#[test]
fn what_cannot_be_forwarded_is_refused_with_the_reason() {
    let site = Site::start(|c: &mut Config| {
        c.gateway.foreign_forwards = ForeignForwards::Refuse;
        c.gateway.own_hosts = vec!["go.demo.test".into()];
    });
    for (from, code, reason) in [
        ("go.demo.test", "forward_from_refused", Some("target_own_host")),
        ("co.uk", "forward_from_refused", Some("target_public_suffix")),
        ("localhost", "forward_from_refused", Some("target_special_host")),
        ("127.0.0.1", "forward_from_refused", Some("target_malformed")),
        ("a.demo.test/1/2/3/4/5", "forward_from_refused", Some("target_malformed")),
        ("www.example.com", "forward_host_foreign", None),
    ] {
        let reply = forward(&site, from, "https://www.demo.test/");
        assert_eq!(reply.status, 422, "{from}: {}", reply.body);
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["reason"].as_str(), reason, "{problem}");
    }
    for (body, why) in [
        (json!({ "target": "https://www.demo.test/" }), "missing member from"),
        (
            json!({ "from": "a.demo.test", "target": "https://www.demo.test/", "code": "x" }),
            "no code",
        ),
        (
            json!({ "from": "a.demo.test", "target": "https://www.demo.test/", "x": 1 }),
            "unknown field",
        ),
    ] {
        let reply = operator(&site, "POST", "/api/v1/forwards", &body);
        assert!(reply.status == 400 && reply.body.contains(why), "{}", reply.body);
    }
    made(&site, "a.demo.test", "https://www.demo.test/");
    let again = forward(&site, "a.demo.test/", "https://www.demo.test/");
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("code_taken")));
    site.stop();
}

/// What a host forwards is all of it: paths that are ours elsewhere, too.
#[test]
fn paths_of_ours_are_forwarded_where_a_host_is() {
    let site = Site::start(|_| {});
    made(&site, "old.demo.test", "https://www.demo.test/new");
    for path in ["/report", "/report/look"] {
        let (status, to) = leads(&site, "old.demo.test", path);
        assert_eq!((status, to.as_deref()), (302, Some("https://www.demo.test/new")), "{path}");
    }
    let own = visit(&site, &site.gateway.to_string(), "/report");
    assert_eq!(own.status, 200, "at our own host it is the form");
    site.stop();
}
