//! The API's description: a document of OpenAPI 3.1, and true of every answer that a test sees.

use std::{collections::BTreeSet, path::Path, sync::OnceLock};

use boon::{Compiler, Schemas};
use serde_json::{Value, json};
use tracegate::api::{PUBLIC_ROUTES, ROUTES, document};

use crate::site::{Reply, Site};

/// Where the validator has the description.
const DOCUMENT: &str = "http://tracegate.test/openapi.json";

/// The description, made once.
fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(document)
}

/// Holds an answer of the API to what the description says of its route: the status is there, its
/// body is of a kind and a schema that are there, and a problem's code is.
pub(crate) fn check(method: &str, target: &str, reply: &Reply) {
    let path = target.split('?').next().unwrap_or_default();
    let own = ROUTES.iter().map(|r| (&r.method, r.path));
    let mut all = own.chain(PUBLIC_ROUTES.iter().map(|r| (&r.method, r.path)));
    let Some((_, route)) = all.find(|(of, at)| *of == method && is_at(at, path)) else { return };
    let method = method.to_ascii_lowercase();
    let mut at = format!("/paths/{}/{method}/responses/{}", escaped(route), reply.status);
    let said = format!("{method} {target}: {} {}", reply.status, reply.body);
    let mut response =
        description().pointer(&at).unwrap_or_else(|| panic!("not described: {said}"));
    if let Some(reference) = response["$ref"].as_str() {
        at = reference.trim_start_matches('#').to_owned();
        response = description().pointer(&at).unwrap();
    }
    let Some(content) = response["content"].as_object() else {
        assert!(reply.body.is_empty(), "{said}");
        return;
    };
    let kind = reply.header("Content-Type").unwrap_or_default().split(';').next().unwrap_or("");
    let kind = content.keys().find(|k| k.split(';').next() == Some(kind));
    let kind = kind.unwrap_or_else(|| panic!("another kind: {} {said}", reply.head));
    let at = format!("{at}/content/{}", escaped(kind));
    if kind.ends_with("json") && !kind.ends_with("ndjson") {
        valid(&format!("{at}/schema"), &reply.json(), &said);
    }
    if content[kind].get("x-tracegate-line").is_some() {
        for line in reply.body.lines() {
            // A connection that is cut leaves half a line.
            let Ok(line) = serde_json::from_str(line) else { break };
            valid(&format!("{at}/x-tracegate-line"), &line, &said);
        }
    }
}

/// Holds a message to an endpoint to what the description says of its kind.
pub(crate) fn check_told(message: &Value) {
    let kind = message["type"].as_str().unwrap();
    let at = format!("/webhooks/{kind}/post/requestBody/content/application~1json/schema");
    valid(&at, message, &format!("told: {message}"));
}

/// Whether `path` is one of a route's.
fn is_at(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(r), Some(p)) if r == p || (r.starts_with('{') && !p.is_empty()) => {}
            _ => return false,
        }
    }
}

/// As a step of a JSON pointer (RFC 6901).
fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// Holds a value to the schema at a pointer of the description.
fn valid(at: &str, value: &Value, said: &str) {
    let mut compiler = Compiler::new();
    compiler.enable_format_assertions();
    compiler.add_resource(DOCUMENT, description().clone()).unwrap();
    // As a fragment of a URL.
    let at = at.replace('{', "%7B").replace('}', "%7D").replace(' ', "%20");
    let mut schemas = Schemas::new();
    let schema = compiler.compile(&format!("{DOCUMENT}#{at}"), &mut schemas).unwrap();
    if let Err(why) = schemas.validate(value, schema) {
        panic!("{why:#}\n{said}");
    }
}

#[test]
fn it_is_a_document_of_openapi() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/openapi-3.1.schema.json");
    let rules: Value = serde_json::from_slice(&std::fs::read(data).unwrap()).unwrap();
    let mut compiler = Compiler::new();
    let id = rules["$id"].as_str().unwrap().to_owned();
    compiler.add_resource(&id, rules).unwrap();
    let mut schemas = Schemas::new();
    let schema = compiler.compile(&id, &mut schemas).unwrap();
    if let Err(why) = schemas.validate(description(), schema) {
        panic!("{why:#}");
    }
}

/// Every schema in it is one of JSON Schema 2020-12, and every reference leads somewhere.
#[test]
fn its_schemas_are_schemas() {
    let names: Vec<_> =
        description()["components"]["schemas"].as_object().unwrap().keys().collect();
    assert!(names.len() > 30, "{names:?}");
    let mut compiler = Compiler::new();
    compiler.add_resource(DOCUMENT, description().clone()).unwrap();
    let mut schemas = Schemas::new();
    for name in names {
        let at = format!("{DOCUMENT}#/components/schemas/{name}");
        compiler.compile(&at, &mut schemas).unwrap_or_else(|why| panic!("{name}: {why:#}"));
    }
    let text = description().to_string();
    for part in text.split("\"#/").skip(1) {
        let pointer = format!("/{}", part.split('"').next().unwrap());
        assert!(description().pointer(&pointer).is_some(), "{pointer}");
    }
}

/// Codes are literals where problems are made; each of them is in the description.
#[test]
fn every_code_of_a_problem_is_described() {
    let mut described = BTreeSet::new();
    for response in description()["components"]["responses"].as_object().unwrap().values() {
        let schema = &response["content"]["application/problem+json"]["schema"];
        let codes = schema.pointer("/allOf/1/properties/code/enum").and_then(Value::as_array);
        described.extend(codes.into_iter().flatten().map(|c| c.as_str().unwrap().to_owned()));
    }
    let codes = &description()["paths"]["/api/v1/links/bulk"]["post"]["x-tracegate-line-codes"];
    described.extend(codes.as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()));
    let mut found = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for (call, literal) in [("unavailable(", 0), ("refuse(", 0), ("new(", 1)] {
                for rest in text.split(call).skip(1) {
                    let Some(argument) = rest.split(',').nth(literal) else { continue };
                    let Some(code) = argument.trim().strip_prefix('"') else { continue };
                    let code = code.trim_end_matches('"');
                    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
                    if code.is_empty() || !code.bytes().all(plain) || code == "method_not_allowed" {
                        continue;
                    }
                    found += 1;
                    assert!(described.contains(code), "{code} of {}", path.display());
                }
            }
        }
    }
    assert!(found > 30, "{found}");
}

/// What is not described is found out.
#[test]
fn answers_that_are_not_described_are_seen() {
    let site = Site::start(|_| {});
    let made = site.call(
        &site.operator,
        "POST",
        "/api/v1/links",
        &json!({ "target": "https://www.demo.test/" }).to_string(),
    );
    check("POST", "/api/v1/links", &made);
    let seen = |change: &dyn Fn(&mut Value), status: u16| {
        let mut body = made.json();
        change(&mut body);
        let reply = Reply { status, head: made.head.clone(), body: body.to_string() };
        std::panic::catch_unwind(|| check("POST", "/api/v1/links", &reply)).is_err()
    };
    assert!(!seen(&|_| {}, 201));
    assert!(seen(&|_| {}, 202));
    assert!(seen(&|body| body["revision"] = "1".into(), 201));
    assert!(seen(&|body| body["state"] = "gone".into(), 201));
    assert!(seen(&|body| body["created"] = "yesterday".into(), 201));
    assert!(seen(&|body| body["created"] = Value::Null, 201));
    assert!(seen(&|body| drop(body.as_object_mut().unwrap().remove("short_url")), 201));
    site.stop();
}
