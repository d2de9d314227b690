//! Where targets lead: nginx as the web, on this machine, under names of our own zone.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tracegate::{
    config::{Config, Zone},
    links::Destination,
    record::Table,
};

use crate::{harness::eventually, site::Site};

/// Names that may be asked although they are this machine's.
const ALLOWED: [&str; 4] = ["a.shop.com", "b.shop.com", "www.other.net", "c.shop.com"];

/// nginx with what `locations` says, on a port of its own.
struct Web {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Web {
    /// `PORT` in `locations` is its port, `RAW` that of a server of our own.
    fn start(locations: &str, raw: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let web = Self { child: Self::spawn(&dir, port, locations, raw), dir, port };
        eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        web
    }

    fn spawn(dir: &TempDir, port: u16, locations: &str, raw: u16) -> Child {
        let home = dir.path().display();
        let locations = locations
            .replace("PORT", &port.to_string())
            .replace("RAW", &raw.to_string())
            .replace("HOME", &home.to_string());
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|t| format!("{t}_temp_path {home}/{t};"))
            .join(" ");
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "daemon off; master_process off; {user} pid {home}/pid; error_log {home}/error.log;
             events {{ worker_connections 64; }}
             http {{
               {temp}
               log_format asked '$request_method $http_host $uri \"$http_user_agent\" \"$http_cookie\" \"$http_referer\" \"$http_authorization\"';
               access_log {home}/access.log asked;
               default_type text/html;
               server {{ listen 127.0.0.1:{port}; absolute_redirect off; {locations} }}
             }}"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(dir.path())
            .arg("-e")
            .arg(dir.path().join("error.log"))
            .arg("-c")
            .arg(dir.path().join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx: run scripts/test-deps")
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    /// What was asked, a line each.
    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default()
    }
}

/// A site whose zones have names for this machine.
fn site(change: impl FnOnce(&mut Config)) -> Site {
    Site::start(|c| {
        for (zone, names) in [
            (
                "shop.com",
                "a IN A 127.0.0.1\nb IN A 127.0.0.1\nc IN A 127.0.0.1\n\
                 inside IN A 127.0.0.1\ncloud IN A 169.254.169.254\n\
                 both IN A 8.8.8.8\nboth IN A 10.0.0.1\nlisted IN A 127.0.0.1\n",
            ),
            ("other.net", "www IN A 127.0.0.1\n"),
        ] {
            let text = format!(
                "$ORIGIN {zone}.\n$TTL 60\n@ IN SOA ns h 1 3600 600 86400 60\n@ IN NS ns\n\
                 ns IN A 192.0.2.53\n{names}"
            );
            fs::write(c.dns.zone_root.join(format!("{zone}.zone")), text).unwrap();
            c.dns.zones.push(Zone { name: zone.into(), file: format!("{zone}.zone").into() });
        }
        let walks = &mut c.gateway.walks;
        walks.poll_ms = 10;
        walks.per_second_max = 10_000;
        walks.host_requests_max = 1_000;
        walks.answer_timeout_ms = 1_000;
        walks.allowed_hosts = ALLOWED.map(str::to_owned).into();
        change(c);
    })
}

/// Where a link was found to lead.
fn destination(site: &Site, code: &str) -> Destination {
    eventually(&format!("{code} is walked"), || site.links.store().destination(code).unwrap())
}

/// Waits until a link was walked to an end at the site's present time.
fn walked(site: &Site, code: &str) {
    let now = site.clock.now();
    eventually(&format!("{code} is walked"), || {
        let scheduled = site.links.store().scheduled(code).unwrap()?;
        (scheduled.walked == now && scheduled.due > now).then_some(())
    });
}

/// Waits until a walk of a link came to no end.
fn failed(site: &Site, code: &str) {
    let now = site.clock.now();
    eventually(&format!("{code} is walked in vain"), || {
        let scheduled = site.links.store().scheduled(code).unwrap()?;
        (scheduled.failures > 0 && scheduled.due > now).then_some(())
    });
}

const CHAIN: &str = r#"
    location = /robots.txt { return 404; }
    location = /end { return 200 "<p>here</p>"; }
    location = /1 { return 302 http://b.shop.com:PORT/2; }
    location = /2 { return 301 //www.other.net:PORT/3; }
    location = /3 { return 307 end?x=1#part; }
    location = /circle { return 302 /circle; }
    location = /post { if ($request_method = HEAD) { return 405; } return 302 /end; }
    location = /forbidden { if ($request_method = HEAD) { return 403; } return 302 /end; }
    location = /meta { return 200 '<html><META http-equiv="Refresh" content="0; url=/end">'; }
    location = /refresh { add_header Refresh "3;url=/end"; return 200 x; }
    location = /gone { return 404; }
    location = /teapot { return 302 http://inside.shop.com:PORT/end; }
    location = /cloud { return 302 http://cloud.shop.com/latest/meta-data/; }
    location = /literal { return 302 http://127.0.0.2:PORT/end; }
    location = /imds { return 302 http://169.254.169.254/latest/; }
    location = /both { return 302 http://both.shop.com:PORT/end; }
    location = /app { return 302 "intent://pay/#Intent;end"; }
    location = /raw/ { proxy_pass http://127.0.0.1:RAW/; proxy_buffering off; }
    location ~ "^/deep/(\d)(\d*)$" { return 302 http://b.shop.com:PORT/deep/$2; }
    location = /deep/ { return 302 /end; }
"#;

fn hops(kept: &crate::site::Records, code: &str) -> Vec<Value> {
    kept.of(Table::Hops).iter().filter(|h| h["code"] == code).cloned().collect()
}

/// The outcomes, statuses and findings of a link's hops.
fn told(hops: &[Value]) -> Vec<String> {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let one = |h: &Value| {
        let all = ["method", "status", "outcome", "finding"].map(|c| text(&h[c]));
        all.join(" ").trim().to_owned()
    };
    hops.iter().map(one).collect()
}

#[test]
fn servers_that_do_not_like_head_and_pages_that_send_on() {
    let web = Web::start(CHAIN, 9);
    let site = site(|_| {});
    let paths = ["/post", "/forbidden", "/meta", "/refresh"];
    let codes = paths.map(|path| site.link(&web.url("a.shop.com", path)));
    let gone = site.link(&web.url("a.shop.com", "/gone"));
    let app = site.link(&web.url("a.shop.com", "/app"));
    site.walk();
    for (path, code) in paths.iter().zip(&codes) {
        assert_eq!(destination(&site, code).url, web.url("a.shop.com", "/end"), "{path}");
    }
    assert!(destination(&site, &app).url.starts_with("intent:"));
    failed(&site, &gone);
    assert_eq!(site.links.store().destination(&gone).unwrap(), None);
    let kept = site.stop();
    for (code, expected) in codes.iter().zip(["GET 302", "GET 302", "GET 200", "GET 200"]) {
        assert!(told(&hops(&kept, code))[0].starts_with(expected));
    }
    assert_eq!(told(&hops(&kept, &gone)), ["GET 404 answered"]);
    assert_eq!(told(&hops(&kept, &app))[1], "0 other_scheme");
}

/// A name that is public when it is looked at and inside when it is connected to gains nothing: the
/// address that was checked is the one that is connected to, and each walk looks anew.
#[test]
fn a_name_that_moves_inside_is_refused_from_then_on() {
    let web = Web::start(CHAIN, 9);
    let site = site(|c| c.gateway.walks.interval_s = 100);
    let code = site.link(&web.url("c.shop.com", "/end"));
    site.walk();
    assert_eq!(destination(&site, &code).outcome, "arrived");
    // The zone now has it at an address that nobody allowed; names are allowed by their own name.
    let file = site.dir.path().join("zones/shop.com.zone");
    let text = fs::read_to_string(&file).unwrap().replace("c IN A 127.0.0.1", "c IN CNAME inside");
    fs::write(&file, text).unwrap();
    let reply = site.call(&site.operator, "POST", "/api/v1/zones/reload", "");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let before = web.log().lines().count();
    site.clock.advance(Duration::from_secs(200));
    walked(&site, &code);
    // The operator has named `c.shop.com` itself: it may be anywhere, and nothing has changed.
    assert_eq!(destination(&site, &code).outcome, "arrived");
    assert!(web.log().lines().count() > before);
    site.stop();
}

#[test]
fn robots_are_obeyed_and_busy_hosts_left_alone() {
    let web = Web::start(
        r#"
        location = /robots.txt { return 200 "User-agent: *\nDisallow: /\n\nUser-agent: tracegate\nDisallow: /private\n"; }
        location = /private { return 302 /end; }
        location = /open { return 302 http://a.shop.com:PORT/private/page; }
        location = /busy { add_header Retry-After 500 always; return 429; }
        location = /end { return 200 x; }
        "#,
        9,
    );
    let site = site(|c| c.gateway.walks.retry_after_s_max = 300);
    let private = site.link(&web.url("a.shop.com", "/private"));
    let open = site.link(&web.url("a.shop.com", "/open"));
    site.walk();
    assert_eq!(destination(&site, &private).outcome, "robots");
    let found = destination(&site, &open);
    assert_eq!((found.outcome.as_str(), found.host.as_str()), ("robots", "a.shop.com"));
    let busy = site.link(&web.url("b.shop.com", "/busy"));
    let now = site.clock.now();
    let due = eventually("the busy host is asked", || {
        let scheduled = site.links.store().scheduled(&busy).unwrap()?;
        let asked = web.log().contains("/busy");
        (asked && scheduled.due.since(now) > Duration::from_secs(100)).then_some(scheduled.due)
    });
    eventually("its claim is over", || {
        let due = site.links.store().scheduled(&busy).unwrap()?.due;
        (due == now.saturating_add(Duration::from_secs(300))).then_some(())
    });
    assert!(due > now);
    // Another link to the same host waits as well.
    let other = site.link(&web.url("b.shop.com", "/end"));
    eventually("another walk to it is put off", || {
        let scheduled = site.links.store().scheduled(&other).unwrap()?;
        (scheduled.due.since(now) > Duration::from_secs(200)).then_some(())
    });
    let kept = site.stop();
    assert_eq!(told(&hops(&kept, &private)), ["0 robots"]);
    assert_eq!(told(&hops(&kept, &busy)), ["HEAD 429 busy"]);
    assert_eq!(hops(&kept, &other), Vec::<Value>::new(), "nobody was asked, nothing is on record");
    let log = web.log();
    assert!(!log.contains(" /private"), "{log}");
    assert!(!log.contains("b.shop.com:") || !log.contains(" /end "), "{log}");
}

/// What a link leads to is another site from one day to the next.
#[test]
fn a_changed_destination_is_a_finding_until_it_is_changed_back() {
    let where_to = |path: &str| {
        format!(
            "location = /robots.txt {{ return 404; }} location = /end {{ return 200 x; }}
             location = /go {{ return 302 {path}; }}"
        )
    };
    let first = Web::start(&where_to("http://b.shop.com:PORT/end"), 9);
    let site = site(|c| c.gateway.walks.interval_s = 1_000);
    let code = site.link(&first.url("a.shop.com", "/go"));
    site.walk();
    assert!(destination(&site, &code).findings.is_empty());
    let port = first.port;
    let mut web = first;
    for (path, findings) in [
        ("http://www.other.net:PORT/end", vec!["destination_changed"]),
        ("http://c.shop.com:PORT/end", vec!["destination_host_changed"]),
        ("http://b.shop.com:PORT/end?session=1", vec![]),
    ] {
        web.child.kill().unwrap();
        web.child.wait().unwrap();
        web.child = Web::spawn(&web.dir, port, &where_to(path), 9);
        eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        site.clock.advance(Duration::from_secs(2_000));
        walked(&site, &code);
        assert_eq!(destination(&site, &code).findings.names(), findings, "{path}");
    }
    // A server in trouble says nothing.
    let before = destination(&site, &code);
    web.child.kill().unwrap();
    web.child.wait().unwrap();
    web.child = Web::spawn(&web.dir, port, "return 500;", 9);
    eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    site.clock.advance(Duration::from_secs(2_000));
    failed(&site, &code);
    assert_eq!(destination(&site, &code), before);
    let kept = site.stop();
    let changed: Vec<Value> =
        hops(&kept, &code).into_iter().filter(|h| h["finding"] != "").collect();
    let details: Vec<_> = changed.iter().map(|h| h["detail"].as_str().unwrap()).collect();
    assert_eq!(details, ["b.shop.com -> www.other.net", "b.shop.com -> c.shop.com"]);
}

#[test]
fn only_links_that_may_be_followed_are_walked() {
    let web = Web::start(CHAIN, 9);
    let site = site(|_| {});
    let disabled = site.link(&web.url("a.shop.com", "/end?disabled"));
    let path = format!("/api/v1/links/{disabled}");
    let body = r#"{"state": "disabled", "reason": "x"}"#;
    assert_eq!(site.call(&site.operator, "PATCH", &path, body).status, 200);
    // A name that nobody can reach from the public internet is somebody's own.
    let own = site.link("https://www.demo.test/");
    let open = site.link(&web.url("a.shop.com", "/end"));
    site.walk();
    walked(&site, &open);
    for code in [&disabled, &own] {
        eventually("it is off the schedule", || {
            site.links.store().scheduled(code).unwrap().is_none().then_some(())
        });
    }
    let body = r#"{"state": "enabled"}"#;
    assert_eq!(site.call(&site.operator, "PATCH", &path, body).status, 200);
    walked(&site, &disabled);
    let kept = site.stop();
    assert_eq!(hops(&kept, &own), Vec::<Value>::new());
    assert_eq!(hops(&kept, &disabled)[0]["revision"], 3);
}

/// A site whose tiers are made by rules of the test's own.
fn ruled(rules: &str, change: impl FnOnce(&mut Config)) -> (Site, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tiers.toml");
    let text = format!(
        "format = 1\nversion = \"test\"\n{rules}\n\
         [[rules]]\nwhen = {{ listed = [\"block\"] }}\ntier = \"block\"\n\
         [[rules]]\nwhen = {{ listed = [\"interstitial\"] }}\ntier = \"interstitial\"\n"
    );
    fs::write(&file, text).unwrap();
    let site = site(|c| {
        c.gateway.threads = 1;
        c.gateway.notices.tier_rules = Some(file);
        change(c);
    });
    (site, dir)
}

#[test]
fn what_a_request_tells_makes_a_tier() {
    let rules = "[[rules]]\nwhen = { downgrade = true }\ntier = \"interstitial\"\nreason = \"downgrade\"\n\
                 [[rules]]\nwhen = { first_visit = true }\ntier = \"hint\"\nreason = \"first_visit\"\n\
                 [[rules]]\nwhen = { asked = [\"interstitial\"] }\ntier = \"interstitial\"\nreason = \"asked\"\n";
    let (site, _dir) = ruled(rules, |c| {
        c.gateway.public_url = "https://s.example.org".into();
    });
    let plain = site.link("http://www.demo.test/");
    let encrypted = site.link("https://www.demo.test/");
    let body =
        r#"{"target": "https://www.demo.test/", "tier_hint": "interstitial", "code": "asking"}"#;
    assert_eq!(site.call(&site.operator, "POST", "/api/v1/links", body).status, 201);
    let been = ("Cookie", "a=b; tracegate-visited=1");
    let visit = |code: &str, more: &[(&str, &str)]| {
        let all: Vec<_> = [("Accept-Language", "en")].iter().chain(more).copied().collect();
        site.visit("GET", &format!("/{code}"), &all)
    };
    let first = visit(&encrypted, &[]);
    assert_eq!(first.status, 200);
    assert!(first.body.contains("You have not been here before."), "{}", first.body);
    assert_eq!(first.header("Set-Cookie"), None, "a page is no visit yet");
    let place = crate::notices::act(&first);
    let on = site.visit("POST", &format!("{place}/continue"), &[("Content-Length", "0")]);
    assert_eq!((on.status, on.header("Location")), (303, Some("https://www.demo.test/")));
    let cookie = on.header("Set-Cookie").unwrap();
    assert!(
        cookie.starts_with("tracegate-visited=1; ") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    let again = visit(&encrypted, &[been]);
    assert_eq!((again.status, again.header("Set-Cookie")), (302, None));
    let downgraded = visit(&plain, &[been]);
    assert!(downgraded.body.contains("without encryption"), "{}", downgraded.body);
    assert!(visit("asking", &[been]).body.contains("wants you to see this page"));
    let kept = site.stop();
    let reasons = kept.column(Table::Jumps, "reason");
    assert_eq!(reasons[..1], ["first_visit"]);
    assert_eq!(reasons[reasons.len() - 2..], ["downgrade", "asked"]);
}
