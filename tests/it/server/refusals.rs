//! What is refused, through the sockets of the running server.

use super::{accepts, call, json, node, read};
use crate::{
    harness::eventually,
    site::{self, Reply},
};

const LINK: &str = r#"{"target":"https://www.demo.test/"}"#;

#[test]
fn the_api_refuses_what_is_not_ours() {
    let server = node().start();
    let (operator, host) = (format!("Bearer {}", server.token()), server.api().to_string());
    let token = |name: &str, role: &str| {
        let made = server.cli(["token", "create", name, "--role", role, "--format", "json"]);
        format!("Bearer {}", json(&made)["token"].as_str().unwrap())
    };
    let (writer, auditor) = (token("w-1", "writer"), token("a-1", "auditor"));
    let post = |headers: &[(&str, &str)], body: &str| {
        site::ask(server.api(), "POST", "/api/v1/links", headers, body)
    };
    let kind = ("Content-Type", "application/json");
    let (host, auth) = (("Host", host.as_str()), ("Authorization", operator.as_str()));
    assert_eq!(post(&[host, auth, kind], LINK).status, 201);
    let evil = ("Host", "evil.example");
    refused(&post(&[evil, auth, kind], LINK), 421, "unknown_host");
    refused(&post(&[host, auth, ("Content-Type", "text/plain")], LINK), 415, "json_required");
    refused(&post(&[host, auth], LINK), 415, "json_required");
    refused(&post(&[host, kind], LINK), 401, "unauthorized");
    refused(&post(&[host, kind, ("Authorization", "Bearer wrong")], LINK), 401, "unauthorized");
    refused(&post(&[host, kind, ("Authorization", &auditor)], LINK), 403, "forbidden");
    let long = format!(r#"{{"target":"https://www.demo.test/{}"}}"#, "x".repeat(2 << 20));
    refused(&post(&[host, auth, kind], &long), 413, "body_too_large");
    refused(&post(&[host, auth, kind], "{"), 400, "bad_request");
    let trace = |token: &str, q: &str| {
        let token = token.strip_prefix("Bearer ").unwrap();
        call(&server, token, "GET", &format!("/api/v1/trace?q={q}"), "")
    };
    refused(&trace(&writer, "demo.test"), 403, "forbidden");
    refused(&trace(&auditor, "127.0.0.1&kind=client&case=1&purpose=p"), 403, "persons");
    let token = auditor.strip_prefix("Bearer ").unwrap();
    refused(&call(&server, token, "POST", "/api/v1/zones/reload", "{}"), 403, "forbidden");
    // A revoked token opens nothing.
    assert!(server.cli(["token", "revoke", "w-1"]).status.success());
    refused(&trace(&writer, "demo.test"), 401, "unauthorized");
    // Our own hosts are no targets.
    for own in [server.api(), server.gateway()] {
        let body = format!(r#"{{"target":"http://{own}/"}}"#);
        refused(&post(&[host, auth, kind], &body), 422, "target_own_host");
    }
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{}", reply.body);
    assert_eq!(reply.json()["code"], code);
    assert_eq!(reply.header("content-type"), Some("application/problem+json; charset=utf-8"));
}

#[test]
fn the_engine_refuses_readers_more_than_reading() {
    let server = node().start();
    eventually("the engine serves", || {
        let look = || read(&server, "SELECT count() FROM tracegate.access");
        accepts(server.engine()).then(look).filter(|r| r.status == 200)
    });
    let bare = |headers: &[(&str, &str)]| {
        let host = server.engine().to_string();
        let all: Vec<_> =
            [("Host", host.as_str())].into_iter().chain(headers.iter().copied()).collect();
        site::ask(server.engine(), "POST", "/", &all, "SELECT 1").status
    };
    assert_eq!(bare(&[]), 401);
    assert_eq!(bare(&[("X-ClickHouse-Key", "wrong")]), 403);
    assert_eq!(bare(&[("X-ClickHouse-User", "default")]), 401);
    let out = server.home().path().join("out");
    let outfile = format!("SELECT 1 INTO OUTFILE '{}'", out.display());
    for sql in [
        outfile.as_str(),
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT 1; SELECT 2",
        "INSERT INTO tracegate.access SELECT * FROM tracegate.access",
        "DROP TABLE tracegate.resolutions",
        "ALTER TABLE tracegate.access DELETE WHERE 1",
        "SYSTEM SHUTDOWN",
    ] {
        let reply = read(&server, sql);
        assert!(reply.status >= 400 && reply.body.contains("Code: "), "{sql}: {}", reply.body);
        // Refused, not merely misunderstood.
        assert!(!reply.body.contains("Code: 60."), "{sql}: {}", reply.body);
    }
    assert!(!out.exists());
    // What a reader asked is a record, in the reader's own words, and what was refused is one too.
    let marked = "SELECT 'marked-look'";
    assert_eq!(read(&server, marked).status, 200);
    eventually("the reader's look is in the store", || {
        let sql = "SELECT actor, role, outcome, question FROM tracegate.access \
                   WHERE (question LIKE '%marked-look%' OR question LIKE '%SHUTDOWN%') \
                   AND question NOT LIKE '%LIKE%' FORMAT TSVRaw";
        let body = read(&server, sql).body;
        let looks = [
            r#"engine-reader	reader	answered	{"statement":"SELECT 'marked-look'"}"#,
            r#"engine-reader	reader	refused	{"statement":"SYSTEM SHUTDOWN"}"#,
        ];
        looks.iter().all(|look| body.contains(&look.replace("\\t", "\t"))).then_some(())
    });
}
