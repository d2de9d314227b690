//! Jumps through real sockets: what a visitor gets and what is kept of it.

use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

use tracegate::{
    config::{FullPolicy, OnFull, OnUnresolved, Spool},
    record::Table,
};

use crate::{
    harness::eventually,
    site::{Reply, Site, connect},
};

#[test]
fn a_visitor_is_sent_on_and_recorded() {
    let site = Site::start(|_| {});
    let code = site.link("HTTPS://www.demo.test/A?b=1#c");
    let agent = [("User-Agent", "Agent/1"), ("Referer", "https://u@from.example/x?secret")];
    let reply = site.visit("GET", &format!("/{code}?utm=1"), &agent);
    assert_eq!(reply.status, 302);
    assert_eq!(reply.body, "");
    for (name, value) in [
        ("Location", "https://www.demo.test/A?b=1#c"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Robots-Tag", "noindex, nofollow"),
        ("Content-Length", "0"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let head = site.visit("HEAD", &format!("/{code}"), &[]);
    assert_eq!((head.status, head.header("Location")), (302, reply.header("Location")));

    let kept = site.stop();
    let jumps = kept.of(Table::Jumps);
    assert_eq!(jumps.len(), 2);
    assert!(jumps.iter().any(|j| j["method"] == "HEAD"));
    let jump = jumps.iter().find(|j| j["method"] == "GET").unwrap();
    for (column, value) in [
        ("code", code.as_str()),
        ("path", &format!("/{code}")),
        ("target", "https://www.demo.test/A?b=1#c"),
        ("target_host", "www.demo.test"),
        ("target_registrable_domain", "demo.test"),
        ("outcome", "jumped"),
        ("referrer_host", "from.example"),
        ("user_agent", "Agent/1"),
        ("verification", "not_evaluated"),
    ] {
        assert_eq!(jump[column], value, "{column}");
    }
    assert_eq!((jump["status"].as_u64(), jump["revision"].as_u64()), (Some(302), Some(1)));
    let addresses = jump["target_addresses"].to_string();
    assert!(addresses.contains("192.0.2.80") && addresses.contains("2001:db8::80"), "{addresses}");
    // The questions the jump caused are kept under its flow.
    let resolutions = kept.of(Table::Resolutions);
    assert_eq!(resolutions.len(), 4);
    for question in resolutions {
        assert_eq!(question["qname"], "www.demo.test");
        assert!(jumps.iter().any(|j| j["flow"] == question["flow"]));
    }
    assert_ne!(jumps[0]["flow"], jumps[1]["flow"]);
    let conversion = &kept.of(Table::Conversions)[0];
    assert_eq!(conversion["target_submitted"], "HTTPS://www.demo.test/A?b=1#c");
    assert_eq!(conversion["actor"], "operator");
    assert_eq!(conversion["operation"], "create");
}

#[test]
fn what_is_not_sent_on_says_why() {
    let site = Site::start(|_| {});
    let live = site.link("https://www.demo.test/");
    let disabled = site.link("https://www.demo.test/d");
    let path = format!("/api/v1/links/{disabled}");
    let changed = site.call(&site.operator, "PATCH", &path, r#"{"state":"disabled"}"#);
    assert_eq!(changed.status, 200, "{}", changed.body);
    let body = r#"{"target":"https://www.demo.test/e","expires":"2030-03-17T18:00:00Z"}"#;
    let made = site.call(&site.operator, "POST", "/api/v1/links", body);
    let expiring = made.json()["code"].as_str().unwrap().to_owned();
    assert_eq!(site.visit("GET", &format!("/{expiring}"), &[]).status, 302);
    site.clock.advance(Duration::from_secs(3600));

    for (method, path, status, recorded) in [
        ("GET", "/unknown", 404, true),
        ("HEAD", "/unknown", 404, true),
        ("GET", &format!("/{disabled}"), 410, true),
        ("GET", &format!("/{expiring}"), 410, true),
        ("GET", &format!("/{live}/"), 404, false),
        ("GET", &format!("/{live}/more"), 404, false),
        ("GET", &format!("//{live}"), 404, false),
        ("GET", "/", 404, false),
        ("GET", "/favicon.ico", 404, false),
        ("GET", "/%2e%2e/etc/passwd", 404, false),
        ("POST", &format!("/{live}"), 405, false),
        ("PUT", "/", 405, false),
        ("OPTIONS", "*", 405, false),
    ] {
        let before = site.metrics.render();
        let reply = site.visit(method, path, &[]);
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header("Cache-Control"), Some("no-store"), "{path}");
        assert_eq!(reply.header("Location"), None, "{path}");
        let csp = reply.header("Content-Security-Policy").unwrap();
        assert!(csp.starts_with("default-src 'none'"), "{csp}");
        assert_eq!(reply.header("Allow").is_some(), status == 405);
        assert!(!reply.body.contains(path) || path == "/", "nothing of the request comes back");
        let malformed = |text: &str| {
            text.lines()
                .find(|l| l.starts_with("tracegate_gateway_malformed_total"))
                .map(str::to_owned)
        };
        assert_eq!(malformed(&before) == malformed(&site.metrics.render()), recorded, "{path}");
    }
    let kept = site.stop();
    let mut outcomes = kept.column(Table::Jumps, "outcome");
    outcomes.sort();
    assert_eq!(outcomes, ["disabled", "expired", "jumped", "unknown", "unknown"]);
    let mut statuses = kept.column(Table::Jumps, "status");
    statuses.sort();
    assert_eq!(statuses, ["302", "404", "404", "410", "410"]);
}

#[test]
fn pages_speak_the_visitors_language() {
    let site = Site::start(|_| {});
    for (language, tag, text) in
        [("zh-CN,zh;q=0.9", "zh-CN", "此链接不存在。"), ("en", "en", "This link does not exist.")]
    {
        let reply = site.visit("GET", "/unknown", &[("Accept-Language", language)]);
        assert!(reply.body.contains(&format!("<html lang=\"{tag}\">")), "{}", reply.body);
        assert!(reply.body.contains(text), "{}", reply.body);
        assert_eq!(reply.header("Content-Language"), Some(tag));
        assert_eq!(reply.header("Vary"), Some("Accept, Accept-Language"));
    }
    site.stop();
}

#[test]
fn a_host_without_addresses_jumps_or_stops_as_declared() {
    for (policy, status) in [(OnUnresolved::Jump, 302), (OnUnresolved::Stop, 503)] {
        let site = Site::start(|c| c.gateway.on_unresolved = policy);
        let code = site.link("https://nowhere.demo.test/");
        assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, status);
        let kept = site.stop();
        assert_eq!(kept.column(Table::Jumps, "outcome"), ["unresolved"]);
        assert_eq!(kept.column(Table::Jumps, "status"), [status.to_string()]);
        assert_eq!(kept.of(Table::Resolutions).len(), 2, "the failed questions are kept");
    }
}

#[test]
fn a_change_is_obeyed_by_the_next_visitor() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/0");
    for n in 1..=20 {
        let at = |n: u32| Some(format!("https://www.demo.test/{n}"));
        let location = |r: Reply| r.header("Location").map(str::to_owned);
        assert_eq!(location(site.visit("GET", &format!("/{code}"), &[])), at(n - 1));
        let body = serde_json::json!({ "target": at(n) }).to_string();
        let path = format!("/api/v1/links/{code}");
        assert_eq!(site.call(&site.operator, "PATCH", &path, &body).status, 200);
        assert_eq!(location(site.visit("GET", &format!("/{code}"), &[])), at(n));
    }
    let kept = site.stop();
    assert_eq!(kept.of(Table::Conversions).len(), 21);
}

/// Responses received are records kept, one to one, however many arrive at once.
#[test]
fn many_visitors_at_once_are_all_recorded() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    thread::scope(|s| {
        for _ in 0..16 {
            s.spawn(|| {
                let mut stream = connect(site.gateway);
                for _ in 0..4 {
                    // Five requests in one write: pipelined.
                    let request = format!("GET /{code} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(5);
                    stream.write_all(request.as_bytes()).unwrap();
                    let mut text = String::new();
                    let mut buffer = [0; 4096];
                    while text.matches("HTTP/1.1 302").count() < 5 || !text.ends_with("\r\n\r\n") {
                        let n = stream.read(&mut buffer).unwrap();
                        assert!(n > 0, "closed after {text}");
                        text += std::str::from_utf8(&buffer[..n]).unwrap();
                    }
                }
            });
        }
    });
    let kept = site.stop();
    assert_eq!(kept.of(Table::Jumps).len(), 16 * 4 * 5);
    assert_eq!(kept.of(Table::Resolutions).len(), 16 * 4 * 5 * 2);
}

/// A site with little room.
fn cramped(on_full: OnFull) -> Site {
    Site::start(|c| {
        // One lane, so that every visitor meets the same want of room.
        c.gateway.threads = 1;
        c.spool = Spool {
            segment_bytes_max: 1 << 20,
            shared_segment_bytes_max: 1 << 20,
            disk_bytes_max: 8 << 20,
            on_full,
            ..c.spool.clone()
        };
    })
}

/// Follows one link until twenty visits were refused; how many were sent on.
fn visit_until_refused(site: &Site) -> usize {
    let code = site.link("https://www.demo.test/");
    let mut stream = connect(site.gateway);
    let agent = "a".repeat(500);
    let request = format!("GET /{code} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n");
    let (mut jumped, mut refused) = (0, 0);
    let mut buffer = [0; 8192];
    for _ in 0..40_000 {
        stream.write_all(request.as_bytes()).unwrap();
        let n = stream.read(&mut buffer).unwrap();
        let reply = Reply::parse(&buffer[..n]);
        if reply.status == 503 {
            assert_eq!(reply.header("Retry-After"), Some("5"));
            assert_eq!(reply.header("Location"), None);
            refused += 1;
            if refused == 20 {
                break;
            }
            continue;
        }
        assert_eq!(reply.status, 302);
        jumped += 1;
    }
    drop(stream);
    assert_eq!(refused, 20, "nothing was refused");
    jumped
}

/// Without room, jumps are refused, unknown codes shed, and nothing answered is missing.
#[test]
fn a_full_spool_refuses_jumps_and_sheds_unknown_codes() {
    let site = cramped(OnFull::default());
    let jumped = visit_until_refused(&site);
    assert_eq!(site.visit("GET", "/unknown", &[]).status, 404, "shed");
    let kept = site.stop();
    let outcomes = kept.column(Table::Jumps, "outcome");
    assert_eq!(outcomes.iter().filter(|o| *o == "jumped").count(), jumped);
}

/// The questions that a jump causes are resolutions, and obey the policy of resolutions.
#[test]
fn a_full_spool_refuses_jumps_whose_questions_must_be_kept() {
    let (jumps, resolutions) = (FullPolicy::Shed, FullPolicy::Refuse);
    let site = cramped(OnFull { jumps, resolutions, ..OnFull::default() });
    let jumped = visit_until_refused(&site);
    assert_eq!(site.visit("GET", "/unknown", &[]).status, 404, "it asks nothing");
    let kept = site.stop();
    let questions = kept.of(Table::Resolutions).len();
    assert!(questions >= 2 * jumped, "{questions} questions of {jumped} jumps are kept");
}

#[test]
fn slow_idle_and_oversized_connections_end() {
    let site = Site::start(|c| {
        c.gateway.header_timeout_ms = 300;
        c.gateway.idle_timeout_ms = 600;
        c.gateway.header_bytes_max = 8192;
    });
    let closed = |mut stream: std::net::TcpStream| {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).map(|_| rest)
    };
    // Nothing at all, half a head, and nothing after an answer.
    closed(connect(site.gateway)).unwrap();
    let mut half = connect(site.gateway);
    half.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    closed(half).unwrap();
    let mut idle = connect(site.gateway);
    idle.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answered = closed(idle).unwrap();
    assert_eq!(Reply::parse(&answered).status, 404);
    // One byte at a time does not help.
    let mut drip = connect(site.gateway);
    drip.write_all(b"GET /x HTTP/1.1\r\nX: ").unwrap();
    eventually("a dripping head is cut", || drip.write_all(b"y").is_err().then_some(()));

    let big = "a".repeat(20_000);
    let reply = site.visit("GET", "/x", &[("X-Big", &big)]);
    assert_eq!(reply.status, 431);
    let many: Vec<_> = (0..150).map(|_| ("X-Many", "1")).collect();
    assert_eq!(site.visit("GET", "/x", &many).status, 431);
    let mut junk = connect(site.gateway);
    junk.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http\r\n\r\n").unwrap();
    assert_eq!(Reply::parse(&closed(junk).unwrap()).status, 400);
    assert_eq!(site.visit("GET", "/x", &[]).status, 404, "others are served");
    site.stop();
}

#[test]
fn connections_beyond_the_limit_wait() {
    let site = Site::start(|c| c.gateway.connections_max = 2);
    let held = [connect(site.gateway), connect(site.gateway)];
    eventually("both are accepted", || {
        let text = site.metrics.render();
        text.lines().any(|l| l == "tracegate_gateway_connections 2").then_some(())
    });
    let waiting = thread::scope(|s| {
        let waiting = s.spawn(|| site.visit("GET", "/x", &[]).status);
        let mut third = connect(site.gateway);
        third.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(third.read(&mut [0; 16]).is_err(), "served beyond the limit");
        drop(third);
        drop(held);
        waiting.join().unwrap()
    });
    assert_eq!(waiting, 404);
    site.stop();
}

/// A stop answers what was asked and does not wait for those who ask nothing.
#[test]
fn a_stop_does_not_wait_for_idle_connections() {
    let site = Site::start(|_| {});
    let mut kept_alive = connect(site.gateway);
    kept_alive.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(kept_alive.read(&mut [0; 4096]).unwrap() > 0);
    let silent = connect(site.gateway);
    let records = site.stop();
    assert_eq!(records.of(Table::Jumps).len(), 1);
    for mut stream in [kept_alive, silent] {
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
    }
}
