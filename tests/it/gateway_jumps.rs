//! Orderly jumps: who is asked to wait, what is looked at ahead of a jump, and what it is recorded as.

use std::net::UdpSocket;

use tracegate::{
    config::{OnTarget, UpstreamMode, Zone},
    record::Table,
};

use crate::{
    harness::Server,
    server::call,
    site::{self, Site},
};

/// Makes a link with a code of our choice.
fn named(site: &Site, code: &str, target: &str) {
    let body = serde_json::json!({ "target": target, "code": code }).to_string();
    let reply = site.call(&site.operator, "POST", "/api/v1/links", &body);
    assert_eq!(reply.status, 201, "{}", reply.body);
}

/// A public name whose addresses are what `records` says: lines such as `@ IN A 10.0.0.1`.
fn public_zone(c: &mut tracegate::config::Config, records: &str) {
    let zone = format!(
        "$ORIGIN shop.com.\n$TTL 60\n@ IN SOA ns h 1 3600 600 86400 60\n@ IN NS ns\nns IN A 192.0.2.53\n{records}\n"
    );
    std::fs::write(c.dns.zone_root.join("shop.zone"), zone).unwrap();
    c.dns.zones.push(Zone { name: "shop.com".into(), file: "shop.zone".into() });
}

#[test]
fn a_client_over_its_limit_is_told_when_to_come_back_and_not_recorded() {
    let site = Site::start(|c| {
        c.gateway.limits.client_requests_max = 5;
        c.gateway.limits.window_s = 3_600;
        c.gateway.limits.exempt = Vec::new();
    });
    let code = site.link("https://www.demo.test/");
    let path = format!("/{code}");
    let statuses: Vec<u16> = (0..8).map(|_| site.visit("GET", &path, &[]).status).collect();
    assert_eq!(statuses, [302, 302, 302, 302, 302, 429, 429, 429]);
    let reply = site.visit("GET", "/robots.txt", &[]);
    for (name, value) in
        [("RateLimit-Policy", "\"client\";q=5;w=3600"), ("Cache-Control", "no-store")]
    {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let wait: u64 = reply.header("Retry-After").unwrap().parse().unwrap();
    assert!((600..=720).contains(&wait), "a fifth of an hour less what has passed: {wait}");
    let limit = format!("\"client\";r=0;t={wait}");
    assert_eq!(reply.header("RateLimit"), Some(limit.as_str()));
    assert!(site.metrics.render().contains("tracegate_gateway_limited_total 4"));
    let kept = site.stop();
    assert_eq!(kept.of(Table::Jumps).len(), 5);
}

#[test]
fn what_a_client_seems_to_be_is_on_record() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    let path = format!("/{code}");
    for agent in ["Mozilla/5.0 Firefox/140.0", "Googlebot/2.1", "WhatsApp/2.23 A", "curl/8"] {
        assert_eq!(
            site.visit("GET", &path, &[("User-Agent", agent)]).status,
            302,
            "nobody is sent elsewhere"
        );
    }
    let kept = site.stop();
    let mut classes = kept.column(Table::Jumps, "client_class");
    classes.sort();
    assert_eq!(classes, ["bot", "person", "preview", "tool"]);
}

#[test]
fn files_that_every_site_has() {
    let site = Site::start(|c| {
        c.gateway.public_url = "https://s.example.org".into();
        c.gateway.security_txt.contact = vec!["mailto:security@example.org".into()];
        c.gateway.security_txt.expires = "2030-12-31T00:00:00Z".into();
    });
    let robots = site.visit("GET", "/robots.txt", &[]);
    assert_eq!(robots.status, 200);
    assert!(robots.body.ends_with("Allow: /\n\nUser-agent: *\nDisallow: /\n"), "{}", robots.body);
    assert_eq!(robots.header("Content-Type"), Some("text/plain; charset=utf-8"));
    let security = site.visit("GET", "/.well-known/security.txt", &[]);
    assert_eq!(
        security.body,
        "# Reports and appeals: https://s.example.org/report\r\n\
        Contact: mailto:security@example.org\r\n\
        Expires: 2030-12-31T00:00:00Z\r\n\
        Canonical: https://s.example.org/.well-known/security.txt\r\n"
    );
    let head = site.visit("HEAD", "/robots.txt", &[]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("Content-Length"), robots.header("Content-Length"));
    let kept = site.stop();
    assert_eq!(kept.of(Table::Jumps).len(), 0);
}

/// A stranger's name that is pointed at us leads in circles through our own links.
#[test]
fn a_way_that_comes_back_is_stopped_where_it_begins() {
    let site = Site::start(|c| c.gateway.hops_max = 3);
    let at = |host: &str, path: &str| format!("http://{host}:{}/{path}", site.gateway.port());
    named(&site, "itself", &at("self.demo.test", "itself"));
    named(&site, "one", &at("self.demo.test", "two"));
    named(&site, "two", &at("back.demo.test", "one"));
    named(&site, "end", "https://www.demo.test/");
    for n in 1..=4 {
        let next = if n == 1 { "end".to_owned() } else { format!("way{}", n - 1) };
        named(&site, &format!("way{n}"), &at("self.demo.test", &next));
    }
    named(&site, "page", &at("self.demo.test", "no/code"));
    named(&site, "un-known", &at("self.demo.test", "nothing"));
    // Another port, another site.
    named(&site, "elsewhere", "http://self.demo.test:9/elsewhere");
    for (code, status, reason) in [
        ("itself", 508, "loop"),
        ("one", 508, "loop"),
        ("two", 508, "loop"),
        ("end", 302, ""),
        ("way1", 302, ""),
        ("way2", 302, ""),
        ("way3", 302, ""),
        ("way4", 508, "too_many_hops"),
        ("page", 302, ""),
        ("un-known", 302, ""),
        ("elsewhere", 302, ""),
    ] {
        let reply = site.visit("GET", &format!("/{code}"), &[("User-Agent", code)]);
        assert_eq!(reply.status, status, "{code} {reason}");
        assert_eq!(reply.header("Location").is_some(), status == 302, "{code}");
    }
    let kept = site.stop();
    for jump in kept.of(Table::Jumps) {
        let stopped = jump["status"] == 508;
        let outcome = if stopped { "stopped" } else { "jumped" };
        assert_eq!(jump["outcome"], outcome, "{jump}");
        assert_eq!(jump["reason"] != "", stopped, "{jump}");
        if jump["code"] == "way4" {
            assert_eq!(jump["reason"], "too_many_hops");
        }
    }
    // The questions on the way are kept under the flow of the jump.
    let two = kept.of(Table::Jumps).iter().find(|j| j["code"] == "two").unwrap();
    let asked = kept.of(Table::Resolutions).iter().filter(|r| r["flow"] == two["flow"]).count();
    assert!(asked >= 2, "{asked}");
}

#[test]
fn a_request_that_has_passed_too_many_of_us_is_stopped() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    let path = format!("/{code}");
    for (hop, status, next) in [
        ("0", 302, Some("1")),
        ("4", 302, Some("5")),
        ("x", 302, Some("1")),
        ("5", 302, Some("6")),
        ("6", 508, None),
        ("4294967296", 508, None),
    ] {
        let reply = site.visit("GET", &path, &[("Tracegate-Hop", hop)]);
        assert_eq!((reply.status, reply.header("Tracegate-Hop")), (status, next), "{hop}");
    }
    assert_eq!(site.visit("GET", &path, &[]).header("Tracegate-Hop"), None);
    let kept = site.stop();
    let mut hops = kept.column(Table::Jumps, "hop");
    hops.sort();
    assert_eq!(hops, ["0", "0", "0", "255", "4", "5", "6"]);
    let reasons = kept.column(Table::Jumps, "reason");
    assert_eq!(reasons.iter().filter(|r| *r == "too_many_hops").count(), 2);
}

/// A name that led to the public internet when the link was made, and into a visitor's own network now.
#[test]
fn a_name_that_leads_into_private_networks_stops_or_is_remarked() {
    for (on, status, outcome) in [(OnTarget::Stop, 403, "stopped"), (OnTarget::Jump, 302, "jumped")]
    {
        let site = Site::start(|c| {
            public_zone(
                c,
                "@ IN A 8.8.8.8\nrouter IN A 8.8.8.8\nrouter IN A 192.168.1.1\nmapped IN AAAA ::ffff:10.0.0.1",
            );
            c.gateway.targets.special_addresses = on;
        });
        let public = site.link("https://shop.com/");
        assert_eq!(site.visit("GET", &format!("/{public}"), &[]).status, 302);
        for host in ["router.shop.com", "mapped.shop.com"] {
            let code = site.link(&format!("http://{host}/admin"));
            assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, status, "{host}");
        }
        let kept = site.stop();
        let remarked: Vec<_> = kept
            .of(Table::Jumps)
            .iter()
            .filter(|j| j["reason"] == "target_special_address")
            .collect();
        assert_eq!(remarked.len(), 2);
        assert!(remarked.iter().all(|j| j["outcome"] == outcome), "{remarked:?}");
    }
}

#[test]
fn a_target_without_tls_is_remarked_or_refused_where_short_urls_have_it() {
    let site = Site::start(|c| c.gateway.public_url = "https://s.example.org".into());
    let code = site.link("http://www.demo.test/");
    assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, 302);
    let kept = site.stop();
    assert_eq!(kept.column(Table::Jumps, "reason"), ["target_scheme_downgrade"]);

    let site = Site::start(|c| {
        c.gateway.public_url = "https://s.example.org".into();
        c.gateway.targets.scheme_downgrade = OnTarget::Stop;
    });
    let body = r#"{"target":"http://www.demo.test/"}"#;
    let reply = site.call(&site.operator, "POST", "/api/v1/links", body);
    assert_eq!(
        (reply.status, &*reply.json()["code"].to_string()),
        (422, "\"target_scheme_downgrade\""),
        "{}",
        reply.body
    );
    site.stop();
}

/// Looking a target's name up takes a while; whoever stops the link meanwhile is obeyed.
#[test]
fn a_link_that_is_stopped_while_a_jump_is_decided_leads_nowhere() {
    // A name server that takes questions and answers none.
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    let server = Server::builder()
        .config(|c| {
            c.dns.upstream.mode = UpstreamMode::Forward;
            c.dns.upstream.servers = vec![address];
            c.gateway.resolve_timeout_ms = 3_000;
        })
        .start();
    let ask =
        |method: &str, path: &str, body: &str| call(&server, &server.token(), method, path, body);
    let link = r#"{"target": "https://www.tracegate-test.org/", "code": "slowly"}"#;
    assert_eq!(ask("POST", "/api/v1/links", link).status, 201);
    let visit = || {
        let host = server.gateway().to_string();
        site::ask(server.gateway(), "GET", "/slowly", &[("Host", &host)], "").status
    };
    std::thread::scope(|s| {
        let visitor = s.spawn(visit);
        upstream.recv_from(&mut [0; 512]).unwrap();
        let stop = r#"{"state": "disabled", "reason": "fraud"}"#;
        assert_eq!(ask("PATCH", "/api/v1/links/slowly", stop).status, 200);
        assert_eq!(visitor.join().unwrap(), 410);
    });
}
