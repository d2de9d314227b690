//! Forwards beyond one gateway's plain HTTP: obeyed by others within a second, served while the
//! database is away, and over TLS with certificates of their own.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tracegate::{clock::Clock, record::Table};

use crate::{
    forwards::made,
    gateway_tls::{certificate, curl},
    gateways::{api, node},
    harness::{Server, eventually},
    postgres_lab::Postgres,
    site::{Site, ask},
};

fn visit(server: &Server, host: &str, path: &str) -> (u16, String) {
    let reply = ask(server.gateway(), "GET", path, &[("Host", host)], "");
    (reply.status, reply.header("Location").unwrap_or_default().to_owned())
}

fn add(server: &Server, from: &str, target: &str) {
    let made = api(server, "POST", "/api/v1/forwards", &json!({ "from": from, "target": target }));
    assert_eq!(made.status, 201, "{}", made.body);
}

fn edit(server: &Server, from: &str, change: &Value) {
    let path = format!("/api/v1/forwards/{}", from.replace('/', "%2F"));
    let changed = api(server, "PATCH", &path, change);
    assert_eq!(changed.status, 200, "{}", changed.body);
}

const ONE: &str = "https://www.example.com/1";

#[test]
fn what_one_gateway_declares_the_other_obeys_within_a_second() {
    let postgres = Postgres::start();
    let database = postgres.database();
    let [a, b] = ["a", "b"].map(|name| node(&postgres, &database, name).start());
    let clock = Clock::system();
    let mut slowest = Duration::ZERO;
    // The other one has just looked and found nothing: that it must not believe for long.
    let mut obeyed = |host: &str, path: &str, expected: (u16, &str)| {
        let began = clock.monotonic();
        eventually("the other obeys", || {
            let (status, location) = visit(&b, host, path);
            ((status, location.as_str()) == expected).then_some(())
        });
        slowest = slowest.max(began.elapsed());
    };
    for round in 0..5 {
        let (host, two) = (format!("r{round}.example.com"), "https://www.example.com/2");
        for path in ["/", "/deep/x"] {
            assert_eq!(visit(&b, &host, path).0, 404, "nobody has declared it yet");
        }
        add(&a, &host, ONE);
        obeyed(&host, "/deep/x", (302, ONE));
        add(&a, &format!("{host}/deep"), two);
        obeyed(&host, "/deep/x", (302, two));
        edit(&a, &host, &json!({ "target": two }));
        obeyed(&host, "/", (302, two));
        edit(&a, &format!("{host}/deep"), &json!({ "state": "disabled" }));
        obeyed(&host, "/deep/x", (410, ""));
        edit(&a, &host, &json!({ "state": "disabled" }));
        obeyed(&host, "/", (410, ""));
    }
    eprintln!("obeyed by the other after at most {slowest:?}");
    // Declared here, changed there: one history.
    edit(&b, "r0.example.com", &json!({ "state": "enabled" }));
    let shown = api(&a, "GET", "/api/v1/forwards/r0.example.com", &Value::Null).json();
    assert_eq!(shown["revision"], 4);
}

#[test]
fn forwards_go_on_while_the_database_is_away() {
    let mut postgres = Postgres::start();
    let database = postgres.database();
    let server = node(&postgres, &database, "serves").start();
    add(&server, "whole.example.com", ONE);
    add(&server, "part.example.com/p", ONE);
    assert_eq!(visit(&server, "whole.example.com", "/a/b").0, 302);
    assert_eq!(visit(&server, "part.example.com", "/p/q").0, 302);
    assert_eq!(visit(&server, "part.example.com", "/other.html").0, 404);
    assert_eq!(visit(&server, "none.example.com", "/").0, 404);
    postgres.kill();
    let ready = || ask(server.api(), "GET", "/readyz", &[("Host", "127.0.0.1")], "").body;
    eventually("it is noticed", || ready().contains("not heard").then_some(()));
    // What was known last is what holds.
    assert_eq!(visit(&server, "whole.example.com", "/a/b"), (302, ONE.to_owned()));
    assert_eq!(visit(&server, "part.example.com", "/p/q").0, 302);
    assert_eq!(visit(&server, "part.example.com", "/other.html").0, 404);
    assert_eq!(visit(&server, "none.example.com", "/").0, 404);
    assert_eq!(visit(&server, "new.example.com", "/").0, 503, "nobody can say");
    postgres.restart();
    eventually("it goes on", || (visit(&server, "new.example.com", "/").0 == 404).then_some(()));
    assert_eq!(visit(&server, "whole.example.com", "/a/b").0, 302);
}

#[test]
fn a_forwarded_host_is_served_over_tls_with_its_own_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let own = certificate(dir.path(), "own", "s.example.com");
    let old = certificate(dir.path(), "old", "old.demo.test");
    let (ca_own, ca_old) = (own.chain.clone(), old.chain.clone());
    let site = Site::start(|c| c.gateway.certificates = vec![own.clone(), old]);
    made(&site, "old.demo.test", "https://www.demo.test/moved");
    made(&site, "old.demo.test/sale", "https://www.demo.test/sale");
    made(&site, "bare.demo.test", "https://www.demo.test/");
    let get = |host: &str, path: &str, ca: &Path| curl(&site, host, path, ca);
    let jumped = Some("302".to_owned());
    assert_eq!(get("old.demo.test", "/sale/x", &ca_old), jumped);
    assert_eq!(get("OLD.demo.test", "/", &ca_old), jumped);
    assert_eq!(get("old.demo.test", "/", &ca_own), None, "another host's certificate");
    assert_eq!(get("bare.demo.test", "/", &ca_old), None, "it has no certificate");
    // The certificate is replaced while we run.
    fs::copy(&ca_old, dir.path().join("before.pem")).unwrap();
    certificate(dir.path(), "old", "old.demo.test");
    assert!(site.certificates.clone().unwrap().refresh().unwrap());
    assert_eq!(get("old.demo.test", "/sale", &ca_old), jumped);
    assert_eq!(get("old.demo.test", "/sale", &dir.path().join("before.pem")), None);
    let kept = site.stop();
    assert_eq!(kept.of(Table::Jumps).len(), 3);
    assert!(kept.column(Table::Jumps, "service").iter().all(|s| s == "forward"));
    let mut targets = kept.column(Table::Jumps, "target");
    targets.sort();
    let sale = "https://www.demo.test/sale";
    assert_eq!(targets, ["https://www.demo.test/moved", sale, sale]);
}
