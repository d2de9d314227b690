//! Forwards under rules: listed hosts and targets are refused with the rule's name, and at the jump
//! the stricter of place and target counts.

use serde_json::{Value, json};
use tracegate::{
    policy::{Action, Legal, Tier},
    record::Table,
};

use crate::{
    forwards::{forward, leads, made, operator, visit},
    notices::act,
    policy_lab::{Feed, feed, set},
    site::{Reply, Site, ask},
};

fn order() -> Legal {
    Legal {
        authority: "通信管理局".into(),
        order_number: "2026-17".into(),
        reason: "fraud".into(),
        ..Legal::default()
    }
}

fn listed(name: &str, trigger: &str, tier: Tier) -> Feed {
    feed(name).legal_rule(trigger, Action::Nxdomain, order()).tier(tier)
}

#[track_caller]
fn names_the_rule(reply: &Reply, code: &str, what: &str, rule: &str) {
    assert_eq!(reply.status, 422, "{}", reply.body);
    let problem = reply.json();
    assert_eq!(problem["code"], code, "{problem}");
    for (member, expected) in [
        ("feed", "regulator"),
        ("feed_version", "7"),
        ("rule", rule),
        ("tier", "block"),
        ("authority", "通信管理局"),
        ("order_number", "2026-17"),
    ] {
        assert_eq!(problem[member], expected, "{member}: {problem}");
    }
    let detail = format!(
        "{what} is on the list regulator (version 7, rule {rule}), ordered by 通信管理局, \
         order number 2026-17."
    );
    assert_eq!(problem["detail"], detail.as_str());
}

#[test]
fn a_refusal_names_the_rule_for_links_and_forwards_alike() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    made(&site, "before.demo.test", "https://www.demo.test/");
    let one = listed("regulator", "bad.demo.test", Tier::Block);
    let one = one.legal_rule("url-prefix:ns.demo.test/pay/", Action::Nxdomain, order());
    let one = one.legal_rule("before.demo.test", Action::Nxdomain, order());
    site.in_force.swap(set(&[&one]));
    let link =
        |target: &str| operator(&site, "POST", "/api/v1/links", &json!({ "target": target }));
    let (bad, pay) = ("https://bad.demo.test/x", "url-prefix:ns.demo.test/pay/");
    names_the_rule(&link(&format!("{bad}?secret=1")), "target_listed", bad, "bad.demo.test");
    let deep = "https://ns.demo.test/pay/now";
    names_the_rule(&link(deep), "target_listed", deep, pay);
    let change =
        operator(&site, "PATCH", &format!("/api/v1/links/{code}"), &json!({ "target": bad }));
    names_the_rule(&change, "target_listed", bad, "bad.demo.test");
    let target = forward(&site, "f.demo.test", bad);
    names_the_rule(&target, "target_listed", bad, "bad.demo.test");
    // The host of a forward, or a path of it.
    let host = forward(&site, "Bad.demo.test/y", "https://www.demo.test/");
    let place = "https://bad.demo.test/y";
    names_the_rule(&host, "forward_from_refused", place, "bad.demo.test");
    assert_eq!(host.json()["reason"], "target_listed");
    let path = forward(&site, "ns.demo.test/%70ay/x", "https://www.demo.test/");
    names_the_rule(&path, "forward_from_refused", "https://ns.demo.test/pay/x", pay);
    made(&site, "ns.demo.test/payments", "https://www.demo.test/");
    // One that was there before leads nowhere else, and can be stopped, but not come back.
    let at = "/api/v1/forwards/before.demo.test";
    let edit = |body: Value| operator(&site, "PATCH", at, &body);
    let place = "https://before.demo.test/";
    let moved = edit(json!({ "target": "https://www.demo.test/2" }));
    names_the_rule(&moved, "forward_from_refused", place, "before.demo.test");
    assert_eq!(edit(json!({ "state": "disabled" })).status, 200);
    names_the_rule(
        &edit(json!({ "state": "enabled" })),
        "forward_from_refused",
        place,
        "before.demo.test",
    );
    // In the other language, and where nobody said who ordered it.
    let anonymous = feed("house").rule("anon.demo.test", Action::Nxdomain).tier(Tier::Block);
    site.in_force.swap(set(&[&anonymous]));
    let host = site.api.to_string();
    let bearer = format!("Bearer {}", site.operator);
    let headers = [
        ("Host", host.as_str()),
        ("Authorization", &bearer),
        ("Content-Type", "application/json"),
        ("Accept-Language", "zh"),
    ];
    let body = r#"{"target":"https://anon.demo.test/"}"#;
    let problem = ask(site.api, "POST", "/api/v1/links", &headers, body).json();
    assert_eq!((&problem["authority"], &problem["order_number"]), (&Value::Null, &Value::Null));
    let detail = "https://anon.demo.test/ 在名单 house 中（版本 7，规则 anon.demo.test）。";
    assert_eq!(problem["detail"], detail);
    site.stop();
}

/// Each row: the rule about the place, the one about the target, what the visitor gets and by whom.
#[test]
fn the_stricter_of_place_and_target_is_in_force() {
    use Tier::{Block, Hint, Interstitial};
    let site = Site::start(|c| c.gateway.threads = 1);
    made(&site, "old.demo.test", "https://www.demo.test/");
    let place = |tier| listed("of-place", "old.demo.test", tier);
    let target = |tier| listed("of-target", "www.demo.test", tier);
    let pass = |name: &str, trigger: &str| feed(name).rule(trigger, Action::Passthru);
    let cases: [(Vec<Feed>, u16, &str, &str); 9] = [
        (vec![place(Block)], 451, "block", "of-place"),
        (vec![target(Block)], 451, "block", "of-target"),
        (vec![place(Interstitial), target(Block)], 451, "block", "of-target"),
        (vec![place(Block), target(Interstitial)], 451, "block", "of-place"),
        (vec![place(Interstitial), target(Hint)], 200, "interstitial", "of-place"),
        (vec![place(Hint), target(Interstitial)], 200, "interstitial", "of-target"),
        (vec![place(Block), target(Block)], 451, "block", "of-target"),
        // What lets one of them pass says nothing of the other.
        (vec![pass("allow", "www.demo.test"), place(Block)], 451, "block", "of-place"),
        (vec![pass("allow", "old.demo.test"), target(Block)], 451, "block", "of-target"),
    ];
    for (feeds, status, tier, by) in &cases {
        let feeds: Vec<&Feed> = feeds.iter().collect();
        site.in_force.swap(set(&feeds));
        let reply = visit(&site, "old.demo.test", "/x");
        assert_eq!((reply.status, reply.header("Location")), (*status, None), "{tier} {by}");
        // Nobody is told that the target is listed where it is not.
        let said = reply.body.contains("<dd>old.demo.test/x</dd>");
        assert_eq!(said, *by == "of-place", "{tier} {by}: {}", reply.body);
    }
    let (allow, both) = (pass("allow", "old.demo.test"), pass("both", "www.demo.test"));
    site.in_force.swap(set(&[&allow, &both]));
    assert_eq!(leads(&site, "old.demo.test", "/").0, 302);
    let kept = site.stop();
    let jumps = kept.of(Table::Jumps);
    assert_eq!(jumps.len(), cases.len() + 1);
    for (jump, (_, _, tier, by)) in jumps.iter().zip(&cases) {
        assert_eq!((&jump["tier"], &jump["feed"]), (&json!(tier), &json!(by)), "{jump}");
        let rule = if *by == "of-place" { "old.demo.test" } else { "www.demo.test" };
        assert_eq!((&jump["rule"], &jump["service"]), (&json!(rule), &json!("forward")), "{jump}");
        assert_eq!(jump["code"], "fwd:old.demo.test");
    }
    for notice in kept.of(Table::Notices) {
        assert_eq!(
            (&notice["service"], &notice["authority"]),
            (&json!("forward"), &json!("通信管理局"))
        );
    }
}

#[test]
fn a_listed_path_of_a_forwarded_host_is_warned_of_and_gone_on_from() {
    let site = Site::start(|c| c.gateway.threads = 1);
    let body = json!({ "from": "old.demo.test", "target": "https://www.demo.test/",
        "forward_path": true });
    assert_eq!(operator(&site, "POST", "/api/v1/forwards", &body).status, 201);
    let warns = listed("regulator", "url-prefix:old.demo.test/pay/", Tier::Interstitial);
    site.in_force.swap(set(&[&warns]));
    let to = |path: &str| (302, Some(format!("https://www.demo.test/{path}")));
    assert_eq!(leads(&site, "old.demo.test", "/shop"), to("shop"));
    let page = visit(&site, "old.demo.test", "/x/../pay/q?a=1");
    assert_eq!((page.status, page.header("Location")), (200, None), "{}", page.body);
    assert!(page.body.contains("<dd>old.demo.test/pay/q</dd>"), "{}", page.body);
    let headers = [("Host", "old.demo.test"), ("Content-Length", "0")];
    let press = format!("{}/continue/pay/q", act(&page));
    let on = ask(site.gateway, "POST", &press, &headers, "");
    assert_eq!((on.status, on.header("Location")), (303, Some("https://www.demo.test/pay/q")));
    let kept = site.stop();
    let kinds = kept.column(Table::Notices, "event");
    assert_eq!(kinds, ["issued", "continued"]);
    let warned = kept.of(Table::Jumps).iter().find(|j| j["outcome"] == "warned").unwrap();
    assert_eq!(warned["rule"], "url-prefix:old.demo.test/pay/");
}
