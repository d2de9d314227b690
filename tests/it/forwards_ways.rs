//! Ways through links and forwards on sockets: circles and ways without end, refused where they would
//! close and stopped at the jump where nobody saw them close.

use serde_json::{Value, json};
use tracegate::{
    clock::{Clock, Timestamp},
    config::Config,
    links::{
        Actor, AskedPath, By, Draft, Edit, ForwardFrom, LinkSettings, Links, NotConverted,
        Remembered, Role, State,
    },
    metrics::Metrics,
    record::Table,
};

use crate::{
    forwards::{forward, leads, made, operator, visit},
    site::{BEGIN, Reply, Site, ask, open_links},
};

fn url(host: &str) -> String {
    format!("https://{host}.demo.test/")
}

fn edit(site: &Site, from: &str, change: &Value) -> Reply {
    let (host, path) = from
        .split_once('/')
        .map_or((from, String::new()), |(host, path)| (host, format!("%2F{path}")));
    let path = format!("/api/v1/forwards/{host}.demo.test{path}");
    operator(site, "PATCH", &path, change)
}

fn link(site: &Site, code: &str, target: &str) -> Reply {
    operator(site, "POST", "/api/v1/links", &json!({ "code": code, "target": target }))
}

#[track_caller]
fn refused(reply: &Reply, code: &str, chain: &str) {
    assert_eq!(reply.status, 422, "{}", reply.body);
    let problem = reply.json();
    assert_eq!((&problem["code"], &problem["chain"]), (&json!(code), &json!(chain)));
}

#[test]
fn no_forward_is_made_changed_or_enabled_that_comes_back_to_itself() {
    let site = Site::start(|c| c.gateway.hops_max = 3);
    let itself = forward(&site, "a.demo.test", &url("a"));
    refused(&itself, "loop", "fwd:a.demo.test -> fwd:a.demo.test");
    made(&site, "a.demo.test", &url("b"));
    made(&site, "b.demo.test/out", "https://www.demo.test/");
    let ring = "fwd:b.demo.test -> fwd:a.demo.test -> fwd:b.demo.test";
    refused(&forward(&site, "b.demo.test", &url("a")), "loop", ring);
    made(&site, "b.demo.test", "https://www.demo.test/");
    // An edit elsewhere would close it.
    refused(&edit(&site, "b", &json!({ "target": url("a") })), "loop", ring);
    // While it is stopped it may lead anywhere, but not come back so.
    let off = json!({ "state": "disabled", "target": url("a") });
    assert_eq!(edit(&site, "b", &off).status, 200);
    refused(&edit(&site, "b", &json!({ "state": "enabled" })), "loop", ring);
    // Nor does one whose end has come go on so.
    assert_eq!(edit(&site, "b", &json!({ "target": url("www") })).status, 200);
    // What is handed on of a path may close it, too.
    made(&site, "h.demo.test", &format!("{}x/", url("k")));
    let handed = json!({ "forward_path": true, "target": url("k") });
    made(&site, "k.demo.test/p", &format!("{}p", url("h")));
    let closed = "fwd:h.demo.test -> fwd:k.demo.test/p -> fwd:h.demo.test";
    let closes = edit(&site, "h", &json!({ "target": format!("{}p", url("k")) }));
    refused(&closes, "loop", closed);
    assert_eq!(edit(&site, "h", &handed).status, 200, "not for everybody");
    let closes = edit(&site, "k/p", &json!({ "target": format!("{}p", url("h")), "status": 307 }));
    assert_eq!(closes.status, 200, "its way is as it was");
    let back = forward(&site, "k.demo.test/q", &format!("{}q", url("h")));
    refused(&back, "loop", "fwd:k.demo.test/q -> fwd:h.demo.test -> fwd:k.demo.test/q");
    site.stop();
}

#[test]
fn a_way_of_too_many_steps_is_refused_for_links_as_for_forwards() {
    let site = Site::start(|c| c.gateway.hops_max = 2);
    made(&site, "d1.demo.test", "https://www.demo.test/");
    for (from, to) in [("d2", "d1"), ("d3", "d2")] {
        made(&site, &format!("{from}.demo.test"), &url(to));
    }
    let rest = "fwd:d3.demo.test -> fwd:d2.demo.test -> fwd:d1.demo.test";
    let long = |begin: &str| format!("{begin} -> {rest}");
    let d4 = forward(&site, "d4.demo.test", &url("d3"));
    refused(&d4, "too_many_hops", &long("fwd:d4.demo.test"));
    refused(&link(&site, "mine", &url("d3")), "too_many_hops", &long("mine"));
    let new = operator(&site, "POST", "/api/v1/links", &json!({ "target": url("d3") }));
    refused(&new, "too_many_hops", &long("(new)"));
    // One step less may be gone, and is.
    assert_eq!(link(&site, "mine", &url("d2")).status, 201);
    assert_eq!(site.visit("GET", "/mine", &[]).status, 302);
    // At an edit, and when it goes on again.
    let change = |body: Value| operator(&site, "PATCH", "/api/v1/links/mine", &body);
    refused(&change(json!({ "target": url("d3") })), "too_many_hops", &long("mine"));
    assert_eq!(change(json!({ "target": url("d3"), "state": "disabled" })).status, 200);
    refused(&change(json!({ "state": "enabled" })), "too_many_hops", &long("mine"));
    // An edit of what lies ahead lets it pass, and closes the way for the next.
    assert_eq!(edit(&site, "d2", &json!({ "target": url("www") })).status, 200);
    assert_eq!(change(json!({ "state": "enabled" })).status, 200);
    made(&site, "d0.demo.test", "https://www.demo.test/");
    assert_eq!(edit(&site, "d1", &json!({ "target": url("d0") })).status, 200);
    assert_eq!(edit(&site, "d2", &json!({ "target": url("d1") })).status, 200);
    let all = "fwd:d3.demo.test -> fwd:d2.demo.test -> fwd:d1.demo.test -> fwd:d0.demo.test";
    let again = edit(&site, "d3", &json!({ "forward_query": true }));
    refused(&again, "too_many_hops", all);
    // Whoever was already on that way is stopped at the jump.
    assert_eq!(leads(&site, "d3.demo.test", "/"), (508, None));
    assert_eq!(leads(&site, "d2.demo.test", "/").0, 302);
    let kept = site.stop();
    let stopped = kept.of(Table::Jumps).iter().find(|j| j["status"] == 508).unwrap();
    assert_eq!(
        (&stopped["code"], &stopped["reason"], &stopped["outcome"]),
        (&json!("fwd:d3.demo.test"), &json!("too_many_hops"), &json!("stopped"))
    );
}

/// A path that one visitor asks for closes what is open for everybody else; DNS need not lead here.
#[test]
fn a_circle_that_slipped_in_is_stopped_at_the_jump() {
    let site = Site::start(|c| c.gateway.threads = 1);
    made(&site, "k.demo.test/p", &format!("{}p", url("h")));
    let h = json!({ "from": "h.demo.test", "target": url("k"), "forward_path": true });
    assert_eq!(operator(&site, "POST", "/api/v1/forwards", &h).status, 201);
    let on = leads(&site, "h.demo.test", "/q");
    assert_eq!(on, (302, Some(format!("{}q", url("k")))));
    assert_eq!(leads(&site, "h.demo.test", "/p"), (508, None));
    assert_eq!(leads(&site, "k.demo.test", "/%70"), (508, None));
    let kept = site.stop();
    assert_eq!(kept.of(Table::Jumps).len(), 3);
    for jump in kept.of(Table::Jumps).iter().filter(|j| j["status"] == 508) {
        assert_eq!((&jump["service"], &jump["reason"]), (&json!("forward"), &json!("loop")));
        assert_eq!((&jump["outcome"], &jump["revision"]), (&json!("stopped"), &json!(1)));
    }
}

/// What nobody saw coming is stopped at the jump: a link leads to a forward that leads to the link.
#[test]
fn a_way_through_a_forward_that_comes_back_is_stopped_at_the_jump() {
    let site = Site::start(|_| {});
    let at = |host: &str, path: &str| format!("http://{host}:{}/{path}", site.gateway.port());
    assert_eq!(link(&site, "ring", &at("back.demo.test", "x")).status, 201);
    assert_eq!(site.visit("GET", "/ring", &[]).status, 302, "it ends at a host of nobody");
    made(&site, "back.demo.test", &at("self.demo.test", "ring"));
    assert_eq!(site.visit("GET", "/ring", &[]).status, 508);
    assert_eq!(visit(&site, "back.demo.test", "/").status, 508);
    let kept = site.stop();
    let reasons = kept.column(Table::Jumps, "reason");
    assert_eq!(reasons.iter().filter(|r| *r == "loop").count(), 2, "{reasons:?}");
}

#[test]
fn whoever_says_how_many_of_us_were_passed_is_believed_at_forwards_too() {
    let site = Site::start(|c| c.gateway.hops_max = 2);
    made(&site, "f.demo.test", "https://www.demo.test/");
    for (said, status, next) in [("0", 302, Some("1")), ("2", 302, Some("3")), ("3", 508, None)] {
        let headers = [("Host", "f.demo.test"), ("Tracegate-Hop", said)];
        let reply = ask(site.gateway, "GET", "/", &headers, "");
        assert_eq!((reply.status, reply.header("Tracegate-Hop")), (status, next), "{said}");
    }
    let kept = site.stop();
    // In the order of lanes, which is nobody's.
    let mut reasons = kept.column(Table::Jumps, "reason");
    reasons.sort();
    assert_eq!(reasons, ["", "", "too_many_hops"]);
}

fn by() -> By {
    let actor = Actor { name: "t".into(), person: "p".into(), role: Role::Operator, owner: None };
    By { actor, client: "127.0.0.1:1".parse().unwrap() }
}

fn draft(code: Option<&str>, from: Option<&str>, target: &str) -> Draft {
    Draft {
        target: target.into(),
        code: code.map(str::to_owned),
        expires: Timestamp::ZERO,
        disabled: false,
        owner: "o".into(),
        reason: String::new(),
        domain: String::new(),
        settings: LinkSettings::default(),
        request: String::new(),
        reuse: false,
        forward: from.map(|f| ForwardFrom::parse(f).unwrap()),
    }
}

fn state(state: State) -> Edit {
    Edit { state: Some(state), ..Edit::default() }
}

/// A host that becomes ours later makes links lead to links; letting one go on closes no circle.
#[test]
fn links_that_came_to_lead_to_each_other_are_not_enabled() {
    let (dir, mut config) = (tempfile::tempdir().unwrap(), Config::default());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let open = |config: &Config| {
        open_links(dir.path(), config, &clock, &metrics, &[], |s| std::sync::Arc::new(s))
    };
    let (spool, links) = open(&config);
    for (code, to) in [("ring-a", "ring-b"), ("ring-b", "ring-a"), ("way-in", "ring-a")] {
        let target = format!("https://go.example.com/{to}");
        links.create(draft(Some(code), None, &target), &by()).unwrap();
    }
    links.edit("ring-b", &state(State::Disabled), &by()).unwrap();
    drop((links, spool));
    config.gateway.own_hosts = vec!["go.example.com".into()];
    let (_spool, links) = open(&config);
    let closed = links.edit("ring-b", &state(State::Enabled), &by());
    let Err(NotConverted::Loop(chain)) = closed else { panic!("{closed:?}") };
    assert_eq!(chain, ["ring-b", "ring-a", "ring-b"]);
    links.edit("ring-a", &state(State::Disabled), &by()).unwrap();
    links.edit("ring-b", &state(State::Enabled), &by()).unwrap();
}

fn unknown(links: &Links, host: &str, path: &str) -> bool {
    matches!(links.remembered_forward(host, &AskedPath::new(path)), Remembered::Unknown)
}

fn found(links: &Links, host: &str, path: &str) -> Option<(String, String)> {
    let path = AskedPath::new(path);
    let (link, rest) = links.forward(host, &path).unwrap()?;
    Some((link.code.to_string(), rest.to_owned()))
}

/// Strangers choose what hosts they ask us for.
#[test]
fn hosts_without_a_forward_ask_the_database_once() {
    let (dir, config) = (tempfile::tempdir().unwrap(), Config::default());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let (_spool, links) =
        open_links(dir.path(), &config, &clock, &metrics, &[], |s| std::sync::Arc::new(s));
    assert!(unknown(&links, "x.example.com", "/a"));
    assert_eq!(found(&links, "x.example.com", "/a"), None);
    // The bound is three quarters of a second; what is known is asked again within a few rounds.
    let settled = |asked: &dyn Fn() -> bool| (0..100).any(|_| asked());
    let none = || {
        found(&links, "x.example.com", "/a");
        !unknown(&links, "y.example.com", "/b")
    };
    assert!(settled(&none), "without any forward no host has one");
    let make = |from| links.create(draft(None, Some(from), "https://www.example.org/"), &by());
    make("z.example.com/p").unwrap();
    assert!(unknown(&links, "x.example.com", "/"), "there is one now");
    let no_host = || {
        found(&links, "x.example.com", "/a");
        !unknown(&links, "x.example.com", "/whatever/the/path")
    };
    assert!(settled(&no_host));
    make("x.example.com/d").unwrap();
    let one = ("fwd:x.example.com/d".to_owned(), "e/f".to_owned());
    assert_eq!(found(&links, "x.example.com", "/d/e/f"), Some(one), "it is served at once");
    assert_eq!(found(&links, "x.example.com", "/g"), None);
    let no_path = || {
        found(&links, "x.example.com", "/g");
        !unknown(&links, "x.example.com", "/g")
    };
    assert!(settled(&no_path));
    make("x.example.com").unwrap();
    let whole = ("fwd:x.example.com".to_owned(), "g".to_owned());
    assert_eq!(found(&links, "x.example.com", "/g"), Some(whole));
}
