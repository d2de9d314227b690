//! Going on from a notice: with what was handed on, with the password, and with one visit.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tracegate::{
    config::Config,
    policy::{Action, Tier},
    record::Table,
};

use crate::{
    notices::act,
    policy_lab::{feed, set},
    site::{NOTICE_KEYS, Reply, Site, ask},
};

const AGENT: (&str, &str) = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");

/// A site where `www.demo.test` is listed, and one link; its path.
fn site(tier: Tier, link: &Value, change: impl FnOnce(&mut Config)) -> (Site, String) {
    let site = Site::start(|c| {
        c.gateway.threads = 1;
        change(c);
    });
    let reply = site.call(&site.operator, "POST", "/api/v1/links", &link.to_string());
    assert_eq!(reply.status, 201, "{}", reply.body);
    let path = format!("/{}", reply.json()["code"].as_str().unwrap());
    list(&site, tier);
    (site, path)
}

fn list(site: &Site, tier: Tier) {
    let rule = feed("regulator").rule("www.demo.test", Action::Nxdomain).tier(tier);
    site.in_force.swap(set(&[&rule]));
}

fn get(site: &Site, path: &str) -> Reply {
    site.visit("GET", path, &[AGENT, ("Accept-Language", "en")])
}

fn post(site: &Site, path: &str, form: &str) -> Reply {
    let length = form.len().to_string();
    let headers = [
        ("Host", "x"),
        AGENT,
        ("Accept-Language", "en"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let empty = [&headers[..], &[("Content-Length", length.as_str())]].concat();
    ask(site.gateway, "POST", path, if form.is_empty() { &empty } else { &headers }, form)
}

fn location(reply: &Reply) -> (u16, Option<&str>) {
    (reply.status, reply.header("Location"))
}

fn edit(site: &Site, path: &str, change: &Value) {
    let reply =
        site.call(&site.operator, "PATCH", &format!("/api/v1/links{path}"), &change.to_string());
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[test]
fn what_was_handed_on_goes_on_from_the_notice() {
    let link = json!({
        "target": "https://www.demo.test/a?id=1#f", "forward_query": true, "forward_path": true
    });
    let (site, path) = site(Tier::Interstitial, &link, |_| {});
    let asked = format!("{path}/b%20c/d?x=2&id=9&y=%3C'%22");
    let target = "https://www.demo.test/a/b%20c/d?id=1&x=2&y=%3C%27%22#f";
    let page = get(&site, &asked);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("/a/b%20c/d?id=1&amp;x=2"), "the page says it: {}", page.body);
    let rest = "/b%20c/d?x=2&y=%3C%27%22";
    // As it was asked, for HTML.
    let carried = "/continue/b%20c/d?x=2&amp;y=%3C&#39;%22\"";
    assert!(page.body.contains(carried), "{}", page.body);
    let on = |page: &Reply, rest: &str| post(&site, &format!("{}/continue{rest}", act(page)), "");
    assert_eq!(location(&on(&page, rest)), (303, Some(target)));
    let other = get(&site, &format!("{}/zh{rest}", act(&page)));
    assert!(
        other.body.contains("继续访问") && other.body.contains("id=1&amp;x=2"),
        "{}",
        other.body
    );
    assert_eq!(location(&on(&other, rest)), (303, Some(target)));
    // Whoever agreed to one target agreed to no other.
    for changed in ["", "/b%20c/d?x=3&y=%3C%27%22", "/b%20c/e?x=2&y=%3C%27%22", "/b%20c/d"] {
        let shown = on(&page, changed);
        assert_eq!(location(&shown), (200, None), "{changed}");
        assert!(shown.body.contains("This site may harm you"), "{changed}");
    }
    assert_eq!(location(&on(&page, "/../x")), (404, None), "nobody climbs out of the target");
    // Too late: back to the link, with all that was asked.
    site.clock.advance(Duration::from_secs(901));
    let late = on(&page, rest);
    assert_eq!(location(&late), (303, Some(&*format!("{path}{rest}"))));
    let kept = site.stop();
    let notices = kept.of(Table::Notices);
    let continued: Vec<_> = notices.iter().filter(|n| n["event"] == "continued").collect();
    assert_eq!(continued.len(), 2);
    assert!(continued.iter().all(|n| n["target"] == target), "{continued:?}");
    assert_eq!(notices[0]["target"], target);
    let jumps = kept.of(Table::Jumps);
    let jumped: Vec<_> = jumps.iter().filter(|j| j["outcome"] == "jumped").collect();
    assert!(jumped.len() == 2 && jumped.iter().all(|j| j["target"] == target), "{jumped:?}");
}

#[test]
fn a_password_comes_before_the_notice_and_is_never_passed_by() {
    let link = json!({
        "target": "https://www.demo.test/", "password": "sesame", "forward_query": true
    });
    let (site, path) = site(Tier::Interstitial, &link, |_| {});
    let target = "https://www.demo.test/?q=1";
    let asked = format!("{path}?q=1");
    let form = get(&site, &asked);
    assert_eq!(location(&form), (403, None));
    assert!(form.body.contains("autocomplete=\"off\"") && !form.body.contains("harm you"));
    let csp = form.header("Content-Security-Policy").unwrap();
    assert!(csp.contains("default-src 'none'") && csp.contains("form-action 'self' http: https:"));
    let wrong = post(&site, &asked, "password=open");
    assert!(wrong.status == 403 && wrong.body.contains("That is not the password."));
    let page = post(&site, &asked, "password=sesame");
    assert_eq!(location(&page), (200, None));
    let act = act(&page);
    // The other language, and on: the password is not asked again.
    let other = get(&site, &format!("{act}/zh?q=1"));
    assert!(other.status == 200 && other.body.contains("继续访问"), "{}", other.body);
    let on = format!("{}/continue?q=1", crate::notices::act(&other));
    assert_eq!(location(&post(&site, &on, "")), (303, Some(target)));
    // Another password: whoever gave the first has not given it.
    edit(&site, &path, &json!({ "password": "simsim" }));
    let on = format!("{act}/continue?q=1");
    for form in ["", "password=sesame", "x=y"] {
        let reply = post(&site, &on, form);
        assert_eq!(location(&reply), (403, None), "{form}");
        assert!(reply.body.contains("type=\"password\""), "{}", reply.body);
    }
    assert_eq!(location(&get(&site, &format!("{act}/en?q=1"))), (403, None));
    assert_eq!(location(&post(&site, &format!("{act}/en?q=1"), "password=simsim")).0, 200);
    assert_eq!(location(&post(&site, &on, "password=simsim")), (303, Some(target)));
    let kept = site.stop();
    let outcomes = kept.column(Table::Jumps, "outcome");
    let count = |wanted: &str| outcomes.iter().filter(|o| *o == wanted).count();
    assert_eq!((count("jumped"), count("password"), count("warned")), (2, 6, 3), "{outcomes:?}");
    let events = kept.column(Table::Notices, "event");
    assert_eq!(events.iter().filter(|e| *e == "continued").count(), 2);
}

#[test]
fn attempts_on_the_way_from_a_notice_are_counted_too() {
    let link = json!({ "target": "https://www.demo.test/" });
    let (site, path) = site(Tier::Interstitial, &link, |c| {
        c.gateway.limits.password_attempts_max = 3;
        c.gateway.limits.window_s = 3_600;
    });
    let on = format!("{}/continue", act(&get(&site, &path)));
    edit(&site, &path, &json!({ "password": "sesame" }));
    for _ in 0..3 {
        assert_eq!(post(&site, &on, "password=x").status, 403);
    }
    assert_eq!(post(&site, &on, "password=sesame").status, 429);
    assert_eq!(post(&site, &path, "password=sesame").status, 429, "the same link");
    site.stop();
}

#[test]
fn a_jump_through_a_notice_uses_one_visit() {
    let link = json!({ "target": "https://www.demo.test/", "visits_max": 2 });
    let (site, path) = site(Tier::Interstitial, &link, |_| {});
    let pages: Vec<Reply> = (0..4).map(|_| get(&site, &path)).collect();
    assert!(pages.iter().all(|p| p.status == 200), "looking at a page uses nothing up");
    for (page, status) in pages.iter().zip([303, 303, 410, 410]) {
        assert_eq!(post(&site, &format!("{}/continue", act(page)), "").status, status);
    }
    let kept = site.stop();
    let outcomes = kept.column(Table::Jumps, "outcome");
    let count = |wanted: &str| outcomes.iter().filter(|o| *o == wanted).count();
    assert_eq!((count("warned"), count("jumped"), count("used_up")), (4, 2, 2));
}

#[test]
fn whoever_checks_identities_sends_back_to_what_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("tiers.toml");
    let text = "format = 1\nversion = \"x\"\n\
        [[rules]]\nwhen = { listed = [\"block\"] }\ntier = \"block\"\nform = \"step_up\"\n\
        [[rules]]\nwhen = { listed = [\"interstitial\"] }\ntier = \"interstitial\"\n";
    std::fs::write(&rules, text).unwrap();
    let link = json!({
        "target": "https://www.demo.test/a", "forward_query": true, "forward_path": true
    });
    let (site, path) = site(Tier::Block, &link, |c| {
        c.gateway.notices.step_up_url = "https://id.example/check".into();
        c.gateway.notices.tier_rules = Some(rules.clone());
    });
    let page = get(&site, &format!("{path}/b%2Fc?sig=1&expires=%26"));
    assert_eq!(page.status, 451);
    let step = format!("{}/step_up/b%2Fc?sig=1&expires=%26", act(&page));
    assert!(page.body.contains(&step.replace('&', "&amp;")), "{}", page.body);
    let sent = post(&site, &step, "");
    let url = url::Url::parse(sent.header("Location").unwrap()).unwrap();
    let of = |n: &str| url.query_pairs().find(|(k, _)| k == n).unwrap().1.into_owned();
    let (back, flow, expires) = (of("return"), of("flow"), of("expires"));
    assert!(!back.contains('?'), "{back}");
    let mut mac = Hmac::<Sha256>::new_from_slice(&NOTICE_KEYS.step_up).unwrap();
    mac.update(["step-up grant 1", &flow, &expires].join("\n").as_bytes());
    let sig = hex::encode(mac.finalize().into_bytes());
    let back = url::Url::parse(&back).unwrap().path().to_owned();
    let granted = get(&site, &format!("{back}?expires={expires}&sig={sig}"));
    let target = "https://www.demo.test/a/b%2Fc?sig=1&expires=%26";
    assert_eq!(location(&granted), (303, Some(target)));
    site.stop();
}

/// A page that has no room for everything leaves out what is there for comfort, not what is needed.
#[test]
fn pages_stay_small_whatever_is_handed_on() {
    let link = json!({ "target": "https://www.demo.test/", "forward_query": true });
    let (site, path) = site(Tier::Interstitial, &link, |c| {
        c.gateway.targets.length_max = 9_000;
    });
    for length in [100, 3_000, 8_500] {
        let asked = format!("q={}", "%3C".repeat(length / 3));
        let page = get(&site, &format!("{path}?{asked}"));
        assert!(page.status == 200 && page.body.len() < 30_000, "{}: {}", length, page.body.len());
        let on = post(&site, &format!("{}/continue?{asked}", act(&page)), "");
        assert_eq!(on.status, 303, "{length}");
    }
    site.stop();
}

#[test]
fn whom_to_call_is_configured() {
    let link = json!({ "target": "https://www.demo.test/" });
    let (site, path) = site(Tier::Interstitial, &link, |c| {
        c.gateway.notices.help =
            vec![["999".into(), "the bank's <line>".into(), "银行专线".into()]];
    });
    let page = get(&site, &path);
    assert!(
        page.body.contains(
            "<dt>999</dt><dd>the bank's &lt;line&gt;</dd>".replace('\'', "&#39;").as_str()
        )
    );
    assert!(!page.body.contains("96110"));
    let chinese = site.visit("GET", &path, &[AGENT, ("Accept-Language", "zh")]);
    assert!(chinese.body.contains("银行专线") && !chinese.body.contains("the bank"));
    site.stop();
}
