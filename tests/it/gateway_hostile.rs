//! Hostile requests, byte by byte: each is refused or means one thing, and none leads anywhere else
//! than the link that it names.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tracegate::record::Table;

use crate::{
    harness::eventually,
    site::{Site, connect},
};

const TARGET: &str = "https://www.demo.test/approved";

/// Everything that comes back until the other side closes: nothing more is sent, so that it does.
fn answers(site: &Site, request: &[u8]) -> String {
    let mut stream = connect(site.gateway);
    // Who refuses early may close before everything is read.
    stream.write_all(request).ok();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok();
    String::from_utf8_lossy(&all).into_owned()
}

/// The answers to each, asked at once: whoever keeps a connection open is waited for.
fn all<'a>(site: &Site, requests: impl Iterator<Item = &'a str>) -> Vec<String> {
    thread::scope(|s| {
        let asked: Vec<_> =
            requests.map(|r| s.spawn(move || answers(site, r.as_bytes()))).collect();
        asked.into_iter().map(|a| a.join().unwrap()).collect()
    })
}

/// The status of every answer.
fn statuses(answers: &str) -> Vec<u16> {
    // One follows another without a line's end in between.
    let begins = answers.match_indices("HTTP/1.");
    begins.map(|(at, _)| answers[at + 9..at + 12].parse().unwrap()).collect()
}

/// Every place that a visitor is sent to.
fn locations(answers: &str) -> Vec<&str> {
    let names = answers.lines().filter_map(|l| l.split_once(": "));
    names.filter(|(n, _)| n.eq_ignore_ascii_case("location")).map(|(_, v)| v).collect()
}

/// A site with one link of the code `code`.
fn site() -> Site {
    let site = Site::start(|c| {
        c.gateway.domains = vec!["only.example.net".into()];
        c.gateway.idle_timeout_ms = 500;
        c.gateway.header_timeout_ms = 500;
    });
    made(&site, &serde_json::json!({"target": TARGET, "code": "code"}));
    site
}

fn made(site: &Site, link: &serde_json::Value) {
    let reply = site.call(&site.operator, "POST", "/api/v1/links", &link.to_string());
    assert_eq!(reply.status, 201, "{}", reply.body);
}

/// Sends each; each gets these statuses in this order, and no way but to the target.
fn check(site: &Site, table: &[(&str, &[u16])]) {
    let mut wrong = Vec::new();
    for ((request, expected), got) in table.iter().zip(all(site, table.iter().map(|(r, _)| *r))) {
        if statuses(&got) != *expected {
            wrong.push(format!("{request:?}: {expected:?}, got {:?}", statuses(&got)));
        }
        let ways = locations(&got);
        let jumps = expected.iter().filter(|s| **s == 302).count();
        assert!(ways.len() == jumps && ways.iter().all(|l| *l == TARGET), "{request:?}: {ways:?}");
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn codes_have_one_spelling() {
    let site = site();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let before = site.metrics.render();
    let paths = [
        "/%63ode",
        "/c%6Fde",
        "/code%00",
        "/code%0d%0a",
        "/code%20",
        "/./code",
        "/../code",
        "//code",
        "/%2fcode",
        "/%2e/code",
        "/code/",
        "/code/..",
        "/x/../code",
        "/code/%2e%2e",
        "/code;x",
        "/code.",
        "/code%2f",
        "/code%2523",
        "/\u{ff43}ode",
        "/c\u{200d}ode",
        "\\code",
        "/\\code",
        "*",
        "http://x//code",
        "http://x/./code",
        "/http://x/code",
        "/x/code",
    ];
    let requests = paths.map(get);
    let got = all(&site, requests.iter().map(String::as_str));
    for (path, got) in paths.iter().zip(got) {
        assert!(matches!(statuses(&got)[..], [400 | 404]), "{path}: {got}");
        assert_eq!(locations(&got), [""; 0], "{path}");
        assert!(!got.contains("approved"), "{path}");
    }
    assert_ne!(before, site.metrics.render());
    // Another code is asked for, and recorded as such.
    assert_eq!(statuses(&answers(&site, get("/Code").as_bytes())), [404]);
    check(
        &site,
        &[
            (&get("/code"), &[302]),
            (&get("/code?x=%0d%0aLocation:%20https://evil.example.net/"), &[302]),
            (&get("/code?x=\u{e9}"), &[302]),
            // What is behind # is not sent; whoever sends it asks for something else.
            (&get("/code#@evil.example.net"), &[302]),
        ],
    );
    let kept = site.stop();
    let mut outcomes = kept.column(Table::Jumps, "outcome");
    outcomes.sort();
    assert_eq!(outcomes, ["jumped", "jumped", "jumped", "jumped", "unknown"]);
}

#[test]
fn lines_are_not_broken_up() {
    let site = site();
    check(
        &site,
        &[
            ("GET /code\r\nX: y HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            ("GET /code\rX HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            ("GET /code\0 HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1 GET /other HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            ("GET  /code HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            ("GET\t/code\tHTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            ("G\0T /code HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            (" GET /code HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
            // Folded lines, names with blanks, values with what ends a line.
            ("GET /code HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1\r\nHost:\r\n x\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1\r\n Host: x\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1\r\nHost : x\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1\r\nHost: x\r\nX A: a\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n", &[400]),
            ("GET /code HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n", &[400]),
            // Nothing that was sent comes back.
            ("GET /code HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: evil.example.net\r\n\r\n", &[302]),
            (
                "GET /code HTTP/1.1\r\nHost: x\r\nX-Original-URL: /other\r\nX-Rewrite-URL: /other\r\n\r\n",
                &[302],
            ),
            ("GET /code HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: DELETE\r\n\r\n", &[302]),
        ],
    );
    let kept = site.stop();
    assert_eq!(kept.of(Table::Jumps).len(), 3);
}

#[test]
fn a_host_is_named_once() {
    let site = site();
    made(
        &site,
        &serde_json::json!({"target": TARGET, "code": "only", "domain": "only.example.net"}),
    );
    let own = "only.example.net";
    let cases = [
        ("GET /code HTTP/1.1\r\n\r\n".to_owned(), &[400][..]),
        ("GET /code HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".into(), &[400]),
        (format!("GET /only HTTP/1.1\r\nHost: x\r\nHost: {own}\r\n\r\n"), &[400]),
        (format!("GET /only HTTP/1.1\r\nHost: {own}\r\nhOST: x\r\n\r\n"), &[400]),
        (format!("GET /only HTTP/1.1\r\nHost: {own}, x\r\n\r\n"), &[400]),
        (format!("GET /only HTTP/1.1\r\nHost: x@{own}\r\n\r\n"), &[400]),
        (format!("GET /only HTTP/1.1\r\nHost: {own}/x\r\n\r\n"), &[400]),
        (format!("GET /only HTTP/1.1\r\nHost: {own} x\r\n\r\n"), &[400]),
        (format!("GET /only HTTP/1.1\r\nHost: {own}\r\n\r\n"), &[302]),
        (format!("GET /only HTTP/1.1\r\nHost: {}.:80\r\n\r\n", own.to_uppercase()), &[302]),
        ("GET /only HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[404]),
        // The host of an absolute request counts, and not what `Host` says (RFC 9112 §3.2.2).
        (format!("GET http://{own}/only HTTP/1.1\r\nHost: x\r\n\r\n"), &[302]),
        (format!("GET http://x/only HTTP/1.1\r\nHost: {own}\r\n\r\n"), &[404]),
        (format!("GET http://{own}@x/only HTTP/1.1\r\nHost: {own}\r\n\r\n"), &[404]),
        (format!("GET http://x@{own}/only HTTP/1.1\r\nHost: x\r\n\r\n"), &[404]),
        (format!("GET //{own}/only HTTP/1.1\r\nHost: x\r\n\r\n"), &[404]),
        ("CONNECT evil.example.net:443 HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[405]),
        ("TRACE /code HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[405]),
    ];
    let table: Vec<_> = cases.iter().map(|(r, s)| (r.as_str(), *s)).collect();
    check(&site, &table);
    let kept = site.stop();
    assert_eq!(kept.column(Table::Jumps, "outcome").iter().filter(|o| *o == "jumped").count(), 3);
}

/// One request more or less than was sent would be another visitor's.
#[test]
fn a_request_in_a_body_is_none() {
    let site = site();
    let inner = "GET /code HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = inner.len();
    let unknown = "GET /nothing HTTP/1.1\r\nHost: x\r\n";
    let chunked = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    let cases = [
        (format!("{unknown}Content-Length: {length}\r\n\r\n{inner}"), &[404][..]),
        (format!("{unknown}Transfer-Encoding: chunked\r\n\r\n{chunked}"), &[404]),
        // Both: the length is not believed, and the connection ends (RFC 9112 §6.3).
        (
            format!(
                "{unknown}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
            &[404],
        ),
        (
            format!(
                "{unknown}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{inner}"
            ),
            &[404],
        ),
        (format!("{unknown}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Content-Length: {length}, 0\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Content-Length: +{length}\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Content-Length: -1\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Content-Length: 0x5\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Content-Length: 99999999999999999999\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Content-Length : {length}\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Transfer-Encoding: xchunked\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Transfer-Encoding: chunked, identity\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Transfer-Encoding: identity\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Transfer-Encoding:\u{b}chunked\r\n\r\n{inner}"), &[400]),
        (format!("{unknown}Transfer-Encoding : chunked\r\n\r\n{inner}"), &[400]),
        (format!("GET /nothing HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{inner}"), &[400]),
        // Sizes that others would read otherwise.
        (format!("{unknown}Transfer-Encoding: chunked\r\n\r\n-1\r\n{inner}"), &[404]),
        (
            format!("{unknown}Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n{inner}"),
            &[404],
        ),
        (
            format!("{unknown}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{inner}"),
            &[404],
        ),
        // Two in a row are two, whatever the first one brought.
        (format!("{unknown}\r\n{inner}"), &[404, 302]),
        (format!("{inner}{unknown}\r\n"), &[302, 404]),
        (format!("{unknown}Content-Length: 3\r\n\r\nabc{inner}"), &[404, 302]),
        (format!("{unknown}Connection: close\r\n\r\n{inner}"), &[404]),
    ];
    let table: Vec<_> = cases.iter().map(|(r, s)| (r.as_str(), *s)).collect();
    check(&site, &table);
    let kept = site.stop();
    let jumped = kept.column(Table::Jumps, "outcome").iter().filter(|o| *o == "jumped").count();
    assert_eq!(jumped, 3, "a request was found that nobody sent");
}

#[test]
fn other_versions_and_sizes() {
    let site = site();
    let long = "a".repeat(70_000);
    let cases = [
        ("GET /code\r\n\r\n".to_owned(), &[400][..]),
        ("GET /code HTTP/0.9\r\n\r\n".into(), &[400]),
        ("GET /code HTTP/1.0\r\n\r\n".into(), &[302]),
        ("GET /code HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /code HTTP/1.0\r\n\r\n".into(), &[302, 302]),
        ("GET /code HTTP/1.0\r\n\r\nGET /code HTTP/1.0\r\n\r\n".into(), &[302]),
        ("GET /code HTTP/1.2\r\nHost: x\r\n\r\n".into(), &[400]),
        ("GET /code HTTP/2.0\r\nHost: x\r\n\r\n".into(), &[400]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), &[]),
        ("GET /code HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n".into(), &[302]),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), &[431]),
        (format!("GET /code?{} HTTP/1.1\r\nHost: x\r\n\r\n", &long[..12_000]), &[302]),
        (format!("GET /code HTTP/1.1\r\nHost: x\r\n{long}: a\r\n\r\n"), &[431]),
        (format!("GET /code HTTP/1.1\r\nHost: {}\r\n\r\n", &long[..9_000]), &[302]),
        (format!("{long} /code HTTP/1.1\r\nHost: x\r\n\r\n"), &[431]),
        (format!("POST /code HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n{long}"), &[405]),
    ];
    let table: Vec<_> = cases.iter().map(|(r, s)| (r.as_str(), *s)).collect();
    check(&site, &table);
    let kept = site.stop();
    // What is kept of a request has a limit of its own.
    for jump in kept.of(Table::Jumps) {
        for column in ["host", "path", "user_agent"] {
            assert!(jump[column].as_str().unwrap().len() <= 1_024, "{column}");
        }
    }
}

/// Who asks and does not read what comes back is not waited for.
#[test]
fn a_visitor_who_does_not_read_is_cut() {
    let site = Site::start(|c| {
        c.gateway.idle_timeout_ms = 300;
        c.gateway.header_timeout_ms = 300;
    });
    let code = site.link("https://www.demo.test/");
    // The page that says that there is nothing here is long, and the window small.
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&site.gateway.into()).unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut writer = TcpStream::from(socket);
    // Nothing is read: both sides' buffers fill, then the server gives up.
    let mut at = 0;
    eventually("the connection is cut", || match writer.write(&requests.as_bytes()[at..]) {
        Ok(n) => {
            at = (at + n) % requests.len();
            None
        }
        Err(e) => {
            let full = matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            (!full).then_some(())
        }
    });
    drop(writer);
    assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, 302, "others are served");
    site.stop();
}

/// Nobody takes every connection: one client's are counted, and another's place is free again when
/// one of its own ends.
#[test]
fn a_client_holds_no_more_connections_than_it_may() {
    let site = Site::start(|c| {
        c.gateway.limits.client_connections_max = 3;
        c.gateway.limits.exempt = Vec::new();
    });
    let request = format!("GET /none HTTP/1.1\r\nHost: {}\r\n\r\n", site.gateway);
    // Whether it is answered; one that is not was closed.
    let answered = |stream: &mut TcpStream| {
        stream.write_all(request.as_bytes()).ok();
        let mut first = [0; 12];
        stream.read_exact(&mut first).is_ok_and(|()| first == *b"HTTP/1.1 404")
    };
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(site.gateway)).collect();
    assert!(held.iter_mut().all(answered));
    for _ in 0..5 {
        assert!(!answered(&mut connect(site.gateway)), "one too many");
    }
    held.pop();
    eventually("a place is free", || {
        let mut stream = connect(site.gateway);
        answered(&mut stream).then_some(())
    });
    site.stop();
}
