//! Outbound pages: signed targets are followed, and nothing else is.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tracegate::{
    clock::Timestamp,
    config::{Config, OnUnsigned},
    links::OutboundKeys,
    policy::{Action, Tier},
    record::Table,
};
use url::Url;

use crate::{
    notices::act,
    policy_lab::{feed, set},
    site::{BEGIN, Reply, Site, ask},
};

const AGENT: (&str, &str) = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");
const TARGET: &str = "https://www.demo.test/pay?a=1&b=%2B#c";

fn start(change: impl FnOnce(&mut Config)) -> Site {
    Site::start(|c| {
        c.gateway.threads = 1;
        c.gateway.domains = vec!["go.example.org".into()];
        change(c);
    })
}

fn sign(site: &Site, body: &Value) -> Value {
    let reply = site.call(&site.operator, "POST", "/api/v1/outbound", &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.json()
}

/// The path and query of a signed address.
fn path(signed: &Value) -> String {
    let url = signed["url"].as_str().unwrap();
    url[url.find("/go?").unwrap()..].to_owned()
}

fn open(site: &Site, path: &str) -> Reply {
    site.visit("GET", path, &[AGENT, ("Accept-Language", "en")])
}

fn press(site: &Site, path: &str) -> Reply {
    site.visit("POST", path, &[AGENT, ("Content-Length", "0"), ("Accept-Language", "en")])
}

fn location(reply: &Reply) -> (u16, Option<&str>) {
    (reply.status, reply.header("Location"))
}

#[test]
fn a_signed_target_is_a_jump_and_its_signing_a_conversion() {
    let site = start(|_| {});
    let signed = sign(&site, &json!({ "target": TARGET, "owner": "forum", "reason": "posts" }));
    assert_eq!((&signed["target"], &signed["key"]), (&TARGET.into(), &"k1".into()));
    assert!(signed["url"].as_str().unwrap().starts_with(&format!("http://{}/go?", site.gateway)));
    let go = path(&signed);
    let reply = open(&site, &go);
    assert_eq!(location(&reply), (302, Some(TARGET)));
    assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    assert_eq!(reply.header("Referrer-Policy"), Some("no-referrer"));
    assert_eq!(location(&site.visit("HEAD", &go, &[AGENT])), (302, Some(TARGET)));
    // What others append means nothing.
    assert_eq!(location(&open(&site, &format!("{go}&fbclid=x%zz"))), (302, Some(TARGET)));
    assert_eq!(press(&site, &go).status, 405);
    let chinese = "https://www.demo.test/%E8%B7%AF";
    let signed = sign(&site, &json!({ "target": "https://www.demo.test/路" }));
    assert_eq!(signed["target"], chinese);
    assert_eq!(location(&open(&site, &path(&signed))), (302, Some(chinese)));
    let kept = site.stop();
    let made = &kept.of(Table::Conversions)[0];
    for (column, value) in [
        ("service", "outbound"),
        ("operation", "create"),
        ("code", ""),
        ("target", TARGET),
        ("target_registrable_domain", "demo.test"),
        ("owner", "forum"),
        ("actor", "operator"),
        ("reason", "posts"),
        ("settings", r#"{"key":"k1"}"#),
    ] {
        assert_eq!(made[column], value, "{column}");
    }
    let jumps = kept.of(Table::Jumps);
    assert_eq!(jumps.len(), 4);
    for (column, value) in [
        ("service", "outbound"),
        ("outcome", "jumped"),
        ("code", ""),
        ("path", "/go"),
        ("target", TARGET),
        ("target_host", "www.demo.test"),
        ("reason", ""),
        ("client_class", "person"),
    ] {
        assert_eq!(jumps[0][column], value, "{column}");
    }
    assert!(!jumps[0]["target_addresses"].as_array().unwrap().is_empty(), "resolved now");
    assert_eq!(jumps[1]["client_class"], "tool");
}

#[test]
fn what_is_not_signed_leads_nowhere_and_says_why() {
    let site = start(|c| c.gateway.outbound.query_bytes_max = 1_000);
    let until = "2030-03-17T18:00:00Z";
    let bound = path(&sign(
        &site,
        &json!({ "target": TARGET, "domain": "go.example.org", "expires": until }),
    ));
    let any = path(&sign(&site, &json!({ "target": TARGET })));
    let at = |host: &str, path: &str| {
        ask(site.gateway, "GET", path, &[("Host", host), AGENT, ("Accept-Language", "en")], "")
    };
    assert_eq!(location(&at("GO.example.org:8080", &bound)), (302, Some(TARGET)));
    let zeros = "0".repeat(64);
    let plain = "https%3A%2F%2Fwww.demo.test%2F";
    let encoded = |target: &str| {
        let keys = OutboundKeys::open(&site.dir.path().join("secrets/outbound.keys")).unwrap();
        format!("/go?{}", keys.sign(target, Timestamp::ZERO, "").unwrap().query)
    };
    let mut reasons = Vec::new();
    for (path, status, reason) in [
        (format!("/go?url={plain}"), 403, "unsigned"),
        (format!("/go?url={plain}&exp=9999999999"), 403, "unsigned"),
        (format!("/go?url={plain}&sig="), 403, "signature_malformed"),
        (format!("/go?url={plain}&sig=k1.{zeros}"), 403, "signature_wrong"),
        (format!("/go?url={plain}&sig=k9.{zeros}"), 403, "signature_key_unknown"),
        (any.replace("pay", "bay"), 403, "signature_wrong"),
        (any.replace("%3A%2F%2F", "%3a%2F%2F"), 403, "signature_wrong"),
        (format!("{any}&domain=go.example.org"), 403, "signature_wrong"),
        (bound.clone(), 403, "signature_other_host"),
        (bound.replace("&exp=", "&exp=1"), 403, "signature_wrong"),
        ("/go".into(), 400, "url_missing"),
        ("/go?".into(), 400, "url_missing"),
        (format!("{any}&url={plain}"), 400, "parameter_twice"),
        (format!("{any}&u%72l={plain}"), 400, "parameter_encoding"),
        ("/go?url=https://www.demo.test/a+b".into(), 400, "parameter_encoding"),
        ("/go?url=https://www.demo.test/%ff".into(), 400, "parameter_encoding"),
        (format!("{any}&exp=01"), 400, "exp_malformed"),
        (format!("{any}&domain=Go"), 400, "domain_malformed"),
        (format!("{any}&x={}", "y".repeat(1_000)), 400, "query_too_long"),
        // Signed by somebody who signs everything: what no link could have stays refused.
        (encoded("javascript:alert(1)"), 403, "target_scheme"),
        (encoded("//evil.example/"), 403, "target_scheme"),
        (encoded("https:\\\\evil.example"), 403, "target_backslash"),
        (encoded("https://www.demo.test/\r\nSet-Cookie:a=b"), 403, "target_whitespace"),
        (encoded("https://bank.example@www.demo.test/"), 403, "target_user_info"),
        (encoded("https://192.0.2.1/"), 403, "target_ip_literal"),
        (encoded("https://go.example.org/x"), 403, "target_own_host"),
        (encoded("https://www.demo.test/\u{202e}"), 403, "target_invisible_character"),
        (encoded("%68ttps://www.demo.test/"), 403, "target_scheme"),
    ] {
        let reply = open(&site, &path);
        assert_eq!(location(&reply), (status, None), "{path}");
        // Nothing of the query comes back, and no other language at an address without it.
        assert!(!reply.body.contains("demo.test") && !reply.body.contains("?lang"), "{path}");
        assert_eq!(reply.header("Set-Cookie"), None);
        reasons.push(reason);
    }
    assert_eq!(open(&site, "/go/x").status, 404);
    site.clock.advance(Duration::from_secs(3_600));
    let late = at("go.example.org", &bound);
    assert_eq!(location(&late), (410, None));
    assert!(late.body.contains("This link has expired."), "{}", late.body);
    reasons.push("signature_expired");
    let kept = site.stop();
    let jumps = kept.of(Table::Jumps);
    let stopped: Vec<_> = jumps.iter().filter(|j| j["outcome"] == "stopped").collect();
    let told: Vec<_> = stopped.iter().map(|j| j["reason"].as_str().unwrap()).collect();
    assert_eq!(told, reasons);
    assert!(stopped.iter().all(|j| j["service"] == "outbound" && j["path"] == "/go"));
    assert_eq!(stopped[0]["target"], "https://www.demo.test/", "where it would have led");
}

#[test]
fn the_api_signs_nothing_that_no_link_could_have() {
    let site = start(|c| c.gateway.outbound.query_bytes_max = 1_000);
    let refused = |body: Value| {
        let reply = site.call(&site.operator, "POST", "/api/v1/outbound", &body.to_string());
        (reply.status, reply.json()["code"].as_str().unwrap().to_owned())
    };
    let of = |status: u16, code: &str| (status, code.to_owned());
    let long = format!("https://www.demo.test/{}", "%".repeat(400));
    for (body, expected) in [
        (json!({}), of(400, "bad_request")),
        (json!({ "target": TARGET, "code": "x" }), of(400, "bad_request")),
        (json!({ "target": "javascript:alert(1)" }), of(422, "target_scheme")),
        (json!({ "target": "https://a@b.demo.test/" }), of(422, "target_user_info")),
        (json!({ "target": TARGET, "domain": "evil.example" }), of(422, "domain_not_served")),
        (
            json!({ "target": TARGET, "expires": "2020-01-01T00:00:00Z" }),
            of(422, "expires_in_the_past"),
        ),
        (json!({ "target": long }), of(422, "target_too_long")),
    ] {
        let (status, code) = refused(body.clone());
        assert_eq!((status, &code), (expected.0, &expected.1), "{body}");
    }
    let listed = feed("f").rule("www.demo.test", Action::Nxdomain).tier(Tier::Block);
    site.in_force.swap(set(&[&listed]));
    assert_eq!(refused(json!({ "target": TARGET })), of(422, "target_listed"));
    let none = site.stop();
    assert!(none.of(Table::Conversions).is_empty());
}

#[test]
fn a_list_warns_of_a_signed_target_and_the_visitor_goes_on_to_it() {
    let site = start(|_| {});
    let go = path(&sign(&site, &json!({ "target": TARGET })));
    let list = |tier| {
        let rule = feed("regulator").rule("www.demo.test", Action::Nxdomain).tier(tier);
        site.in_force.swap(set(&[&rule]));
    };
    list(Tier::Interstitial);
    let page = open(&site, &go);
    assert_eq!(location(&page), (200, None));
    assert!(page.body.contains("<strong>demo.test</strong>"), "{}", page.body);
    let query = &go[3..];
    let step = |page: &Reply, step: &str| format!("{}/{step}{query}", act(page));
    assert!(page.body.contains(&step(&page, "continue").replace('&', "&amp;")), "{}", page.body);
    assert_eq!(location(&press(&site, &step(&page, "continue"))), (303, Some(TARGET)));
    let chinese = open(&site, &step(&page, "zh"));
    assert!(chinese.body.contains("继续访问"), "{}", chinese.body);
    assert_eq!(location(&press(&site, &step(&chinese, "continue"))), (303, Some(TARGET)));
    assert_eq!(press(&site, &format!("{}/return", act(&page))).status, 200);
    // What was agreed to is this target, signed.
    let other = path(&sign_listed(&site, "https://www.demo.test/other"));
    let swapped = format!("{}/continue{}", act(&page), &other[3..]);
    assert_eq!(location(&press(&site, &swapped)), (200, None), "another target, its own notice");
    let unsigned = format!("{}/continue?url=https%3A%2F%2Fwww.demo.test%2Fpay", act(&page));
    assert_eq!(location(&press(&site, &unsigned)), (403, None));
    assert_eq!(location(&press(&site, &format!("{}/continue", act(&page)))), (400, None));
    list(Tier::Block);
    assert_eq!(location(&press(&site, &step(&page, "continue"))), (451, None));
    let blocked = open(&site, &go);
    assert_eq!(blocked.status, 451);
    assert!(!blocked.body.contains("/continue") && !blocked.body.contains("href=\"http"));
    site.clock.advance(Duration::from_secs(901));
    assert_eq!(location(&press(&site, &step(&page, "continue"))), (303, Some(&*go)), "anew");
    let kept = site.stop();
    let notices = kept.of(Table::Notices);
    assert!(notices.iter().all(|n| n["service"] == "outbound" && n["code"] == ""), "{notices:?}");
    let count = |event: &str| notices.iter().filter(|n| n["event"] == event).count();
    assert_eq!((count("issued"), count("continued"), count("returned")), (5, 2, 1));
    assert_eq!(notices[0]["target"], TARGET);
    let jumped: Vec<_> =
        kept.of(Table::Jumps).iter().filter(|j| j["outcome"] == "jumped").collect();
    assert!(jumped.iter().all(|j| j["target"] == TARGET && j["tier"] == "interstitial"));
    assert_eq!(jumped.len(), 2);
}

/// Signed by the site itself: the API would refuse what is listed.
fn sign_listed(site: &Site, target: &str) -> Value {
    let query = site.links.outbound().sign(target, Timestamp::ZERO, "").unwrap().query;
    json!({ "url": format!("/go?{query}") })
}

#[test]
fn without_a_signature_a_visitor_is_warned_where_that_is_declared() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("tiers.toml");
    // Rules of an operator's own, which say nothing of outbound pages.
    let text = "format = 1\nversion = \"x\"\n\
        [[rules]]\nwhen = { listed = [\"block\"] }\ntier = \"block\"\n\
        [[rules]]\nwhen = { listed = [\"interstitial\"] }\ntier = \"interstitial\"\n\
        [[rules]]\nwhen = { unsigned = true }\ntier = \"hint\"\ncontinue_after_s = 30\nreason = \"unsigned\"\n";
    std::fs::write(&rules, text).unwrap();
    for own_rules in [false, true] {
        let site = start(|c| {
            c.gateway.outbound.unsigned = OnUnsigned::Hint;
            c.gateway.outbound.wrongly_signed = OnUnsigned::Interstitial;
            c.gateway.notices.tier_rules = own_rules.then(|| rules.clone());
        });
        let unsigned = "/go?url=https%3A%2F%2Fwww.demo.test%2F";
        let page = open(&site, unsigned);
        assert_eq!(page.status, 200);
        assert!(page.body.contains("did not confirm this address"), "{}", page.body);
        assert!(page.body.contains("You are leaving for another site"), "{}", page.body);
        assert!(!page.body.contains("http-equiv=\"refresh\""), "by hand alone");
        let on = format!("{}/continue{}", act(&page), &unsigned[3..]);
        assert_eq!(open(&site, &on).status, 405, "nobody goes on by following a link");
        assert_eq!(location(&press(&site, &on)), (303, Some("https://www.demo.test/")));
        let wrong = format!("{unsigned}&sig=k1.{}", "0".repeat(64));
        let page = open(&site, &wrong);
        assert!(page.status == 200 && page.body.contains("This site may harm you"));
        // Having left the weaker warning, nobody has left the stronger one.
        let on = format!("{}/continue{}", act(&page), &unsigned[3..]);
        assert_eq!(press(&site, &on).status, 303);
        let hint = open(&site, unsigned);
        let on = format!("{}/continue{}", act(&hint), &wrong[3..]);
        assert_eq!(press(&site, &on).status, 200);
        // A block stays one, and what is malformed leads nowhere.
        assert_eq!(open(&site, "/go?url=javascript%3Aalert(1)").status, 403);
        let rule = feed("f").rule("www.demo.test", Action::Nxdomain).tier(Tier::Block);
        site.in_force.swap(set(&[&rule]));
        assert_eq!(open(&site, unsigned).status, 451);
        let kept = site.stop();
        let reasons = kept.column(Table::Jumps, "reason");
        let expected = [
            "unsigned",
            "unsigned",
            "signature_wrong",
            "unsigned",
            "unsigned",
            "signature_wrong",
            "target_scheme",
        ];
        assert_eq!(reasons[..7], expected);
        assert_eq!(kept.column(Table::Jumps, "tier")[2], "interstitial");
    }
}

#[test]
fn what_stops_a_link_stops_an_outbound_page() {
    let site =
        start(|c| c.gateway.targets.special_hosts = vec!["demo.test".into(), "x.test".into()]);
    let closed = feed("f").rule("32.80.2.0.192.rpz-ip", Action::Nxdomain).tier(Tier::Block);
    let go = path(&sign(&site, &json!({ "target": "https://www.demo.test/" })));
    assert_eq!(location(&open(&site, &go)).0, 302);
    site.in_force.swap(set(&[&closed]));
    assert_eq!(location(&open(&site, &go)).0, 451, "its address is listed");
    site.in_force.swap(set(&[]));
    // A name that leads back to us.
    let back = format!("http://back.demo.test:{}/go?x=1", site.gateway.port());
    let go = path(&sign(&site, &json!({ "target": back })));
    assert!(matches!(location(&open(&site, &go)), (302 | 508, _)));
    // A name that leads nowhere.
    let go = path(&sign(&site, &json!({ "target": "https://none.x.test/" })));
    assert_eq!(location(&open(&site, &go)), (302, Some("https://none.x.test/")));
    for n in 0..7 {
        let reply = site.visit("GET", &go, &[AGENT, ("Tracegate-Hop", &n.to_string())]);
        assert_eq!(reply.status, if n <= 5 { 302 } else { 508 });
    }
    let kept = site.stop();
    let outcomes = kept.column(Table::Jumps, "outcome");
    assert_eq!(outcomes[1], "stopped");
    assert!(outcomes.iter().filter(|o| *o == "unresolved").count() >= 5);
}

#[test]
fn keys_are_exchanged_while_what_they_signed_goes_on() {
    let site = start(|_| {});
    let first = path(&sign(&site, &json!({ "target": TARGET })));
    let file = site.dir.path().join("secrets/outbound.keys");
    let old = std::fs::read_to_string(&file).unwrap();
    let line = format!("k2 {}\n", "5a".repeat(32));
    std::fs::write(&file, format!("{old}{line}")).unwrap();
    assert!(site.links.outbound().refresh().unwrap());
    let second = sign(&site, &json!({ "target": TARGET }));
    assert_eq!(second["key"], "k2");
    for go in [&first, &path(&second)] {
        assert_eq!(location(&open(&site, go)), (302, Some(TARGET)));
    }
    std::fs::write(&file, line).unwrap();
    assert!(site.links.outbound().refresh().unwrap());
    assert_eq!(open(&site, &first).status, 403);
    assert_eq!(open(&site, &path(&second)).status, 302);
    std::fs::write(&file, "").unwrap();
    assert!(site.links.outbound().refresh().unwrap());
    let body = json!({ "target": TARGET }).to_string();
    let none = site.call(&site.operator, "POST", "/api/v1/outbound", &body);
    assert_eq!((none.status, none.json()["code"].as_str()), (503, Some("no_signing_key")));
    let kept = site.stop();
    let reasons = kept.column(Table::Jumps, "reason");
    assert_eq!(reasons.iter().filter(|r| *r == "signature_key_unknown").count(), 1);
}

/// Whatever was signed is what a browser that reads `Location` opens, or it is refused.
#[test]
fn location_is_exactly_what_was_signed() {
    let site = start(|_| {});
    let targets = (
        prop::sample::select(vec!["https", "http", "HTTPS", "ftp"]),
        "(www\\.|例子\\.|a_b\\.)?demo\\.test\\.?",
        prop::sample::select(vec!["", ":8443", ":80", ":443"]),
        "[/?#][!-~\u{a1}-\u{2fff}]{0,40}",
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let followed = std::cell::Cell::new(0);
    let ran = runner.run(&targets, |(scheme, host, port, rest)| {
        let target = format!("{scheme}://{host}{port}{rest}");
        let query = site.links.outbound().sign(&target, Timestamp::ZERO, "").unwrap().query;
        let reply = open(&site, &format!("/go?{query}"));
        match reply.header("Location") {
            Some(to) => {
                followed.set(followed.get() + 1);
                let wanted = Url::parse(&target).unwrap();
                prop_assert_eq!(to, wanted.as_str());
                prop_assert_eq!(Url::parse(to).unwrap(), wanted);
            }
            None => prop_assert_eq!(reply.status, 403, "{}", target),
        }
        Ok(())
    });
    ran.unwrap();
    assert!(followed.get() > 30, "{}", followed.get());
    assert_eq!(site.clock.now(), BEGIN);
    site.stop();
}
