//! Jumps under rules: who is stopped, what a visitor reads, and what is on record.

use std::sync::Arc;

use tracegate::{
    policy::{Action, EdeNote, Legal, Override, Tier},
    record::Table,
};

use crate::{
    policy_lab::{Feed, feed, set},
    site::Site,
};

fn order() -> Legal {
    Legal {
        authority: "通信管理局 <b>".into(),
        order_number: "2026-17 & more".into(),
        reason: "\"fraud\" 'x'".into(),
        ..Legal::default()
    }
}

fn block(feed: Feed, trigger: &str) -> Feed {
    feed.legal_rule(trigger, Action::Nxdomain, order())
}

/// A site under these feeds.
fn under(site: &Site, feeds: &[&Feed]) {
    site.in_force.swap(set(feeds));
}

#[test]
fn every_trigger_stops_a_jump_and_is_on_record() {
    let site = Site::start(|c| c.policy.blocked_by = "https://isp.example/why".into());
    let code = site.link("https://www.demo.test/a/b?c=1");
    let triggers = [
        format!("code:{code}"),
        "url:www.demo.test/a/b?c=1".into(),
        "url-prefix:www.demo.test/a/".into(),
        "url-host:demo.test".into(),
        "www.demo.test".into(),
        "*.demo.test".into(),
        "32.80.2.0.192.rpz-ip".into(),
        "128.80.zz.db8.2001.rpz-ip".into(),
    ];
    for (i, trigger) in triggers.iter().enumerate() {
        under(&site, &[&block(feed("regulator"), trigger).version(i as u64 + 1)]);
        let reply = site.visit("GET", &format!("/{code}"), &[]);
        assert_eq!(reply.status, 451, "{trigger}");
        assert_eq!(reply.header("Location"), None);
        assert_eq!(reply.header("Cache-Control"), Some("no-store"));
        assert_eq!(reply.header("Link"), Some("<https://isp.example/why>; rel=\"blocked-by\""));
        assert_eq!(site.visit("HEAD", &format!("/{code}"), &[]).status, 451);
    }
    // Somewhere else nothing is stopped.
    under(&site, &[&block(block(feed("regulator"), "url-prefix:www.demo.test/b/"), "demo.test")]);
    assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, 302);
    let kept = site.stop();
    let jumps = kept.of(Table::Jumps);
    let stopped: Vec<_> = jumps.iter().filter(|j| j["outcome"] == "stopped").collect();
    assert_eq!((jumps.len(), stopped.len()), (2 * triggers.len() + 1, 2 * triggers.len()));
    for (i, trigger) in triggers.iter().enumerate() {
        let version = (i + 1).to_string();
        let mine = |j: &&&serde_json::Value| j["feed_version"] == version.as_str();
        let jump = stopped.iter().find(mine).unwrap();
        for (column, value) in [
            ("rule", trigger.as_str()),
            ("feed", "regulator"),
            ("tier", "block"),
            ("action", "stop"),
        ] {
            assert_eq!(jump[column], value, "{trigger}");
        }
        // Where the name leads is known all the same.
        assert!(jump["target_addresses"].to_string().contains("192.0.2.80"), "{jump}");
    }
    assert!(jumps.iter().any(|j| j["outcome"] == "jumped" && j["rule"] == "" && j["action"] == ""));
}

#[test]
fn the_page_says_who_ordered_it_in_the_visitors_language() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    under(&site, &[&block(feed("regulator"), "www.demo.test")]);
    for (language, tag, texts) in [
        ("en", "en", ["Access to this site has been stopped", "Order number"]),
        ("zh", "zh-CN", ["此网站的访问已被停止", "文号"]),
    ] {
        let reply = site.visit("GET", &format!("/{code}"), &[("Accept-Language", language)]);
        let body = &reply.body;
        assert!(body.contains(&format!("<html lang=\"{tag}\">")), "{body}");
        let said = ["通信管理局 &lt;b&gt;", "2026-17 &amp; more", "&quot;fraud&quot; &#39;x&#39;"];
        for text in texts.iter().chain(&said) {
            assert!(body.contains(text), "{text}: {body}");
        }
        assert!(!body.contains("<b>") && !body.contains("href=\"https://www.demo.test"));
        assert_eq!(reply.header("Link"), None, "nobody is named");
        assert_eq!(reply.header("Content-Language"), Some(tag));
        assert!(reply.header("Content-Security-Policy").unwrap().starts_with("default-src 'none'"));
    }
    site.stop();
}

#[test]
fn tiers_and_actions_at_the_gateway() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    let rule = |action| feed("f").rule("www.demo.test", action);
    let cases = [
        (rule(Action::Nxdomain), 451, "block", "stop"),
        (rule(Action::Drop), 451, "block", "stop"),
        (rule(Action::Nxdomain).tier(Tier::Interstitial), 200, "interstitial", "warn"),
        (rule(Action::Nxdomain).tier(Tier::Hint), 200, "hint", "hint"),
        (rule(Action::Passthru), 302, "block", "passthru"),
        (rule(Action::TcpOnly), 302, "block", "tcp-only"),
        (
            rule(Action::Nxdomain).settings(|s| s.action = Override::Observe),
            302,
            "block",
            "observe",
        ),
    ];
    for (f, status, tier, action) in cases {
        under(&site, &[&f]);
        assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, status, "{tier} {action}");
    }
    // A feed without which nothing may be answered.
    let mut closed = feed("must");
    closed.closed = true;
    under(&site, &[&closed]);
    assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, 503);
    let text = site.metrics.render();
    assert!(
        text.contains("tracegate_policy_decisions_total{feed=\"f\",action=\"stop\"} 2"),
        "{text}"
    );
    let kept = site.stop();
    let ruled = |tier: &str, action: &str| {
        let of = |j: &&serde_json::Value| j["tier"] == tier && j["action"] == action;
        kept.of(Table::Jumps).iter().filter(of).count()
    };
    assert_eq!(
        (ruled("block", "stop"), ruled("interstitial", "warn"), ruled("hint", "hint")),
        (2, 1, 1)
    );
    assert_eq!(
        (ruled("block", "passthru"), ruled("block", "observe"), ruled("", "closed")),
        (1, 1, 1)
    );
    // The jump's own questions were not rewritten, and no rule is in their records.
    let resolutions = kept.of(Table::Resolutions);
    assert_eq!(resolutions.len(), 16);
    assert!(resolutions.iter().all(|r| r["rcode"] == 0 && r["action"] == ""));
}

#[test]
fn no_link_is_made_to_what_is_listed() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/ok");
    let listed = block(feed("regulator"), "url-prefix:www.demo.test/bad/");
    under(&site, &[&listed.rule("ns.demo.test", Action::Nxdomain)]);
    let create = |target: &str| {
        let body = serde_json::json!({ "target": target }).to_string();
        site.call(&site.operator, "POST", "/api/v1/links", &body)
    };
    for target in ["https://www.demo.test/bad/x", "https://ns.demo.test/"] {
        let reply = create(target);
        assert_eq!(reply.status, 422, "{}", reply.body);
        assert!(reply.body.contains("target_listed"), "{}", reply.body);
    }
    // Nor is a listed host forwarded.
    let body = r#"{"from":"ns.demo.test","target":"https://www.demo.test/good/"}"#;
    let reply = site.call(&site.operator, "POST", "/api/v1/forwards", body);
    assert_eq!(reply.status, 422, "{}", reply.body);
    assert!(reply.body.contains("target_listed"), "{}", reply.body);
    assert_eq!(create("https://www.demo.test/good/").status, 201);
    let path = format!("/api/v1/links/{code}");
    let change = |body: &str| site.call(&site.operator, "PATCH", &path, body);
    let moved = change(r#"{"target":"https://www.demo.test/bad/"}"#);
    assert_eq!(moved.status, 422, "{}", moved.body);
    // What leads to a listed target can be disabled all the same.
    under(&site, &[&block(feed("regulator"), "www.demo.test")]);
    assert_eq!(change(r#"{"state":"disabled"}"#).status, 200);
    // While every jump is stopped, nobody knows what is listed, and no link is made.
    let mut closed = feed("must");
    closed.closed = true;
    under(&site, &[&closed]);
    let reply = create("https://www.demo.test/good/");
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.body.contains("list_not_in_force"), "{}", reply.body);
    assert_eq!(change(r#"{"target":"https://www.demo.test/good/"}"#).status, 503);
    assert_eq!(change(r#"{"state":"disabled"}"#).status, 200);
    site.stop();
}

#[test]
fn a_note_of_the_feed_reaches_the_page() {
    let site = Site::start(|_| {});
    let code = site.link("https://www.demo.test/");
    let f = feed("f").rule("www.demo.test", Action::Nxdomain).settings(|s| {
        s.ede = Some(EdeNote { code: 17, text: Arc::from("filtered") });
        s.contact = Arc::from("abuse@isp.example");
        s.justification = Arc::from("asked for by the school");
    });
    under(&site, &[&f]);
    let body = site.visit("GET", &format!("/{code}"), &[]).body;
    assert!(
        body.contains("asked for by the school") && body.contains("abuse@isp.example"),
        "{body}"
    );
    site.stop();
}
