//! Edits that depend on what was seen, and lists that have an end.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tracegate::api::{ROUTES, document};

use crate::site::{Reply, Site, ask};

fn send(site: &Site, method: &str, path: &str, if_match: &str, body: &Value) -> Reply {
    let (host, bearer) = (site.api.to_string(), format!("Bearer {}", site.operator));
    let mut headers = vec![
        ("Host", host.as_str()),
        ("Authorization", &bearer),
        ("Content-Type", "application/json"),
    ];
    if !if_match.is_empty() {
        headers.push(("If-Match", if_match));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(site.api, method, path, &headers, &body)
}

fn made(site: &Site, path: &str, body: &Value) -> Reply {
    let made = send(site, "POST", path, "", body);
    assert_eq!(made.status, 201, "{}", made.body);
    made
}

/// Something that can be edited: where it is, and three edits that each change something.
fn something(site: &Site, path: &str) -> (String, [Value; 3]) {
    let reasons = || ["one", "two", "three"].map(|tag| json!({ "tags": [tag] }));
    let target = "https://www.demo.test/";
    match path {
        "/api/v1/links/{code}" => {
            let link = made(site, "/api/v1/links", &json!({ "target": target }));
            (link.header("Location").unwrap().to_owned(), reasons())
        }
        "/api/v1/forwards/{from}" => {
            let from = json!({ "from": "old.demo.test/sale", "target": target });
            let forward = made(site, "/api/v1/forwards", &from);
            (forward.header("Location").unwrap().to_owned(), reasons())
        }
        "/api/v1/feeds/{name}" => {
            let list = site.dir.path().join("lists/edits.txt");
            std::fs::create_dir_all(list.parent().unwrap()).unwrap();
            std::fs::write(&list, "evil.example\n").unwrap();
            let feed = json!({ "name": "edits", "source": list, "format": "domains" });
            let feed = made(site, "/api/v1/feeds", &feed);
            let edits = ["one", "two", "three"].map(|by| json!({ "authority": by }));
            (feed.header("Location").unwrap().to_owned(), edits)
        }
        "/api/v1/appeals/{id}" => {
            let appeal = json!({ "subject": "evil.example", "contact": "me", "reason": "mine" });
            let appeal = made(site, "/api/v1/appeals", &appeal).json();
            let edits = ["suspended", "refused", "lifted"].map(|word| json!({ "status": word }));
            (format!("/api/v1/appeals/{}", appeal["id"]), edits)
        }
        "/api/v1/webhooks/{id}" => {
            let hook = made(site, "/api/v1/webhooks", &json!({ "url": "https://example.org/" }));
            let edits = ["one", "two", "three"].map(|note| json!({ "note": note }));
            (format!("/api/v1/webhooks/{}", hook.json()["id"]), edits)
        }
        other => panic!("no test edits {other}"),
    }
}

#[test]
fn no_edit_undoes_one_that_was_not_seen() {
    let edits = ROUTES.iter().filter(|r| r.method == Method::PATCH);
    for route in edits {
        let site = Site::start(|_| {});
        let (path, [first, second, third]) = something(&site, route.path);
        let seen = send(&site, "GET", &path, "", &Value::Null);
        assert_eq!(seen.status, 200, "{path}: {}", seen.body);
        let tag = seen.header("ETag").unwrap().to_owned();
        let again = send(&site, "GET", &path, "", &Value::Null);
        assert_eq!(again.header("ETag"), Some(tag.as_str()), "{path}");

        let changed = send(&site, "PATCH", &path, &tag, &first);
        assert_eq!(changed.status, 200, "{path}: {}", changed.body);
        let newer = changed.header("ETag").unwrap().to_owned();
        assert_ne!(newer, tag, "{path}");
        // Somebody who saw what was there before.
        let late = send(&site, "PATCH", &path, &tag, &second);
        assert_eq!(late.status, 412, "{path}: {}", late.body);
        let now = send(&site, "GET", &path, "", &Value::Null);
        assert_eq!(now.header("ETag"), Some(newer.as_str()), "{path}");
        for odd in ["x", "W/\"1\"", "\"1\", \"2\""] {
            assert_eq!(send(&site, "PATCH", &path, odd, &second).status, 400, "{path} {odd}");
        }
        // Whoever does not mind, and whoever has looked again.
        let any = send(&site, "PATCH", &path, "*", &second);
        assert_eq!(any.status, 200, "{path}: {}", any.body);
        let last = any.header("ETag").unwrap().to_owned();
        assert_eq!(send(&site, "PATCH", &path, &last, &third).status, 200, "{path}");
        site.stop();
    }
}

/// The members of an answer, by name; what it flattens is in it already.
fn members<'a>(
    document: &'a Value,
    operation: &'a Value,
) -> Option<&'a serde_json::Map<String, Value>> {
    let schema = operation.pointer("/responses/200/content/application~1json/schema")?;
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#'))?,
        None => schema,
    };
    schema["properties"].as_object()
}

#[test]
fn lists_go_on_by_a_cursor_or_are_bounded() {
    // What goes on where: a member of a page, and the parameter that takes it.
    let cursors: BTreeMap<&str, &str> = [
        ("next_cursor", "cursor"),
        ("next_before", "before"),
        ("next_revision", "from_revision"),
        ("next_line", "from_line"),
    ]
    .into();
    let document = document();
    let mut without = Vec::new();
    for item in document["paths"].as_object().unwrap().values() {
        let Some(members) = members(&document, &item["get"]) else { continue };
        let id = item["get"]["operationId"].as_str().unwrap();
        let list = id.starts_with("list");
        let next: Vec<_> =
            cursors.iter().filter(|(next, _)| members.contains_key(**next)).collect();
        for (next, parameter) in &next {
            let given = item["get"]["parameters"].as_array().unwrap();
            assert!(given.iter().any(|p| p["name"] == **parameter), "{id} {next}");
        }
        if list && next.is_empty() {
            without.push(id);
            let said = item["get"]["description"].as_str().unwrap_or_default();
            assert!(said.contains("at most"), "{id}: {said}");
        }
    }
    assert_eq!(without, ["listCertificates", "listFeeds", "listTokens", "listWebhooks"]);
}
