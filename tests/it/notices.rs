//! Warnings from the page to what the visitor chose, over plain HTTP: no script is needed.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::{sync::Arc, time::Duration};

use tracegate::{
    config::Config,
    policy::{Action, Legal, Tier},
    record::Table,
};

use crate::{
    policy_lab::{Feed, feed, set},
    site::{NOTICE_KEYS, Records, Reply, Site, ask},
};

const AGENT: (&str, &str) = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");
const TARGET: &str = "https://www.demo.test/pay?a=1";

fn order() -> Legal {
    Legal {
        authority: "通信管理局".into(),
        order_number: "2026-17".into(),
        reason: "fraud".into(),
        ..Legal::default()
    }
}

fn listed(tier: Tier) -> Feed {
    feed("regulator").legal_rule("www.demo.test", Action::Nxdomain, order()).tier(tier)
}

fn site(tier: Tier, change: impl FnOnce(&mut Config)) -> (Site, String) {
    // One lane, so that records are in the order of what happened.
    let site = Site::start(|c| {
        c.gateway.threads = 1;
        change(c);
    });
    let code = site.link(TARGET);
    site.in_force.swap(set(&[&listed(tier)]));
    (site, code)
}

impl Site {
    fn open(&self, path: &str) -> Reply {
        self.visit("GET", path, &[AGENT, ("Accept-Language", "zh")])
    }

    fn press(&self, path: &str) -> Reply {
        self.visit("POST", path, &[AGENT, ("Content-Length", "0")])
    }
}

/// The address of the page's own place, before its step.
pub(crate) fn act(page: &Reply) -> String {
    let at = page.body.find("/.notice/").unwrap_or_else(|| panic!("{}", page.body));
    let rest = &page.body[at..];
    rest[..rest.find(".css").unwrap()].to_owned()
}

fn events(kept: &Records) -> Vec<(String, String)> {
    let pair =
        |n: &Value| (n["event"].as_str().unwrap().into(), n["tier"].as_str().unwrap().into());
    kept.of(Table::Notices).iter().map(pair).collect()
}

#[test]
fn an_interstitial_is_dismissed_by_hand_and_every_step_is_on_record() {
    let (site, code) = site(Tier::Interstitial, |_| {});
    let page = site.open(&format!("/{code}"));
    assert_eq!(page.status, 200);
    assert_eq!((page.header("Location"), page.header("Refresh")), (None, None));
    assert_eq!(page.header("Cache-Control"), Some("no-store"));
    for part in
        ["<html lang=\"zh-CN\">", "<strong>demo.test</strong>", "96110", "通信管理局", "2026-17"]
    {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    for never in ["<script", "http-equiv=\"refresh\"", "javascript:", "href=\"http", "src="] {
        assert!(!page.body.contains(never), "{never}: {}", page.body);
    }
    let act = act(&page);
    let style = site.open(&format!("{act}.css"));
    assert_eq!(
        (style.status, style.header("Content-Type")),
        (200, Some("text/css; charset=utf-8"))
    );
    assert_eq!(style.header("Cache-Control"), Some("no-store"));
    site.clock.advance(Duration::from_millis(4_200));
    // Nobody goes on by following a link.
    assert_eq!(site.open(&format!("{act}/continue")).status, 405);
    let gone = site.press(&format!("{act}/continue"));
    assert_eq!((gone.status, gone.header("Location")), (303, Some(TARGET)));
    assert_eq!(gone.header("Cache-Control"), Some("no-store"));

    let kept = site.stop();
    let all = |e: &[&str]| {
        e.iter().map(|e| ((*e).to_owned(), "interstitial".to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(events(&kept), all(&["issued", "rendered", "continued"]));
    let notices = kept.of(Table::Notices);
    for (notice, dwell) in notices.iter().zip([0, 0, 4_200]) {
        for (column, value) in [
            ("code", code.as_str()),
            ("language", "zh-CN"),
            ("feed", "regulator"),
            ("feed_version", "7"),
            ("rule", "www.demo.test"),
            ("service", "link"),
            ("form", ""),
            ("target", TARGET),
            ("target_registrable_domain", "demo.test"),
            ("client_class", "person"),
        ] {
            assert_eq!(notice[column], value, "{column}");
        }
        assert_eq!(notice["dwell_ms"], dwell);
        assert_eq!(notice["flow"], notices[0]["flow"]);
        assert!(notice["text_version"].as_str().unwrap().starts_with("default-1+"));
        assert!(notice["tier_version"].as_str().unwrap().starts_with("default-2+"));
    }
    assert_eq!(
        (&notices[0]["authority"], &notices[0]["order_number"]),
        (&"通信管理局".into(), &"2026-17".into())
    );
    assert_eq!(notices[0]["reason"], "fraud");
    let jumps = kept.of(Table::Jumps);
    let of = |o: &str| {
        jumps.iter().find(|j| j["outcome"] == o).unwrap_or_else(|| panic!("{o}: {jumps:?}"))
    };
    assert_eq!(
        (of("warned")["status"].as_u64(), of("jumped")["status"].as_u64()),
        (Some(200), Some(303))
    );
    assert_eq!(
        (jumps.len(), &of("jumped")["method"], &of("jumped")["path"]),
        (2, &"POST".into(), &"/.notice/".into())
    );
    for jump in jumps {
        assert_eq!((&jump["flow"], &jump["action"]), (&notices[0]["flow"], &"warn".into()));
        assert_eq!(jump["tier_version"], notices[0]["tier_version"]);
    }
}

#[test]
fn turning_back_and_reporting_lead_nowhere_and_are_on_record() {
    let (site, code) =
        site(Tier::Hint, |c| c.gateway.notices.appeal_url = "https://isp.example/appeal".into());
    let page = site.open(&format!("/{code}"));
    assert!(page.body.contains("href=\"https://isp.example/appeal\""), "{}", page.body);
    let act = act(&page);
    for (step, says) in [("return", "您未继续访问"), ("report", "感谢您")] {
        let told = site.press(&format!("{act}/{step}"));
        assert_eq!((told.status, told.header("Location")), (200, None));
        assert!(told.body.contains(says), "{}", told.body);
        assert!(!told.body.contains("demo.test"));
    }
    let kept = site.stop();
    let names: Vec<_> = events(&kept).into_iter().map(|e| e.0).collect();
    assert_eq!(names, ["issued", "returned", "reported"]);
    assert_eq!(kept.column(Table::Jumps, "outcome"), ["warned"]);
}

#[test]
fn no_button_opens_a_block() {
    let (site, code) = site(Tier::Block, |_| {});
    let page = site.open(&format!("/{code}"));
    assert_eq!(page.status, 451);
    let act = act(&page);
    assert!(!page.body.contains("/continue"), "{}", page.body);
    let again = site.press(&format!("{act}/continue"));
    assert_eq!((again.status, again.header("Location")), (451, None));
    assert_eq!(site.press(&format!("{act}/step_up")).status, 404);
    assert_eq!(
        site.open(&format!("{act}/granted?expires=9&sig=00")).header("Location"),
        Some(&*format!("/{code}"))
    );
    let kept = site.stop();
    assert!(kept.of(Table::Notices).iter().all(|n| n["event"] == "issued" && n["form"] == "stop"));
    assert!(kept.of(Table::Jumps).iter().all(|j| j["outcome"] == "stopped"));
}

/// What was agreed to is this warning of this target, and nothing that came later.
#[test]
fn going_on_asks_policy_again() {
    let (site, code) = site(Tier::Interstitial, |_| {});
    let go = |page: &Reply| site.press(&format!("{}/continue", act(page)));
    let open = || site.open(&format!("/{code}"));
    let page = open();
    site.in_force.swap(set(&[&listed(Tier::Block)]));
    assert_eq!(go(&page).status, 451, "a stricter rule came");
    let other = feed("other").rule("www.demo.test", Action::Nxdomain).tier(Tier::Interstitial);
    site.in_force.swap(set(&[&other]));
    assert_eq!(go(&page).status, 200, "somebody else says something else");
    site.in_force.swap(set(&[&listed(Tier::Interstitial)]));
    let moved = format!("/api/v1/links/{code}");
    let edit = |body: &str| site.call(&site.operator, "PATCH", &moved, body).status;
    site.in_force.swap(set(&[]));
    assert_eq!(edit(r#"{"target":"https://www.demo.test/other"}"#), 200);
    site.in_force.swap(set(&[&listed(Tier::Interstitial)]));
    assert_eq!(go(&page).status, 200, "the link leads elsewhere");
    let page = open();
    site.in_force.swap(set(&[]));
    assert_eq!(go(&page).status, 303, "nothing is said any more");
    assert_eq!(edit(r#"{"state":"disabled"}"#), 200);
    assert_eq!(go(&page).status, 410);
    let kept = site.stop();
    let continued = events(&kept).into_iter().filter(|e| e.0 == "continued").count();
    assert_eq!(continued, 1);
}

#[test]
fn late_forged_and_foreign_answers_show_the_notice_anew() {
    let (site, code) = site(Tier::Interstitial, |_| {});
    let act = act(&site.open(&format!("/{code}")));
    let anew = Some(format!("/{code}"));
    let location = |r: Reply| (r.status == 303).then(|| r.header("Location").unwrap().to_owned());
    let step = format!("{act}/continue");
    let foreign =
        [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example"), ("Origin", "null")];
    for header in foreign {
        let reply = site.visit("POST", &step, &[AGENT, header, ("Content-Length", "0")]);
        assert_eq!(location(reply), anew, "{header:?}");
    }
    let own = format!("http://{}", site.gateway);
    for header in [("Sec-Fetch-Site", "same-origin"), ("Origin", own.as_str())] {
        let reply = site.visit("POST", &step, &[AGENT, header, ("Content-Length", "0")]);
        assert_eq!(location(reply).as_deref(), Some(TARGET), "{header:?}");
    }
    let forged =
        format!("{}{}/continue", &act[..act.len() - 1], if act.ends_with('0') { '1' } else { '0' });
    assert_eq!(site.press(&forged).status, 404);
    site.clock.advance(Duration::from_secs(901));
    assert_eq!(location(site.press(&step)), anew);
    assert_eq!(site.open(&format!("{act}.css")).status, 200, "an old page keeps its looks");
    let kept = site.stop();
    assert_eq!(events(&kept).iter().filter(|e| e.0 == "continued").count(), 2);
    assert_eq!(events(&kept).iter().filter(|e| e.0 == "rendered").count(), 0);
}

#[test]
fn the_language_is_switched_within_the_flow() {
    let (site, code) = site(Tier::Interstitial, |_| {});
    let page = site.open(&format!("/{code}"));
    let english = site.open(&format!("{}/en", act(&page)));
    assert_eq!((english.status, english.header("Content-Language")), (200, Some("en")));
    assert!(english.body.contains("This site may harm you"), "{}", english.body);
    assert_eq!(site.press(&format!("{}/continue", act(&english))).status, 303);
    let unknown = site.open("/unknown?lang=en");
    assert!(
        unknown.body.contains("does not exist") && unknown.body.contains("href=\"?lang=zh\""),
        "{}",
        unknown.body
    );
    let kept = site.stop();
    let notices = kept.of(Table::Notices);
    assert_eq!(kept.column(Table::Notices, "language"), ["zh-CN", "en", "en"]);
    assert!(notices.iter().all(|n| n["flow"] == notices[0]["flow"]));
}

fn signed(lines: &[&str]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&NOTICE_KEYS.step_up).unwrap();
    mac.update(lines.join("\n").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[test]
fn a_step_up_goes_to_whoever_checks_and_comes_back_with_a_grant() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("tiers.toml");
    let text = "format = 1\nversion = \"bank-2\"\n\
        [[rules]]\nwhen = { listed = [\"block\"] }\ntier = \"block\"\nform = \"step_up\"\n\
        [[rules]]\nwhen = { listed = [\"interstitial\"] }\ntier = \"interstitial\"\n";
    std::fs::write(&rules, text).unwrap();
    let (site, code) = site(Tier::Block, |c| {
        c.gateway.notices.step_up_url = "https://id.example/check".into();
        c.gateway.notices.tier_rules = Some(rules.clone());
    });
    let page = site.open(&format!("/{code}"));
    assert_eq!(page.status, 451);
    let csp = page.header("Content-Security-Policy").unwrap();
    assert!(csp.contains("form-action 'self' https://id.example;"), "{csp}");
    let act = act(&page);
    let sent = site.press(&format!("{act}/step_up"));
    let url = url::Url::parse(sent.header("Location").unwrap()).unwrap();
    let of = |n: &str| url.query_pairs().find(|(k, _)| k == n).unwrap().1.into_owned();
    let (flow, back, expires) = (of("flow"), of("return"), of("expires"));
    assert_eq!(back, format!("http://{}{act}/granted", site.gateway));
    assert_eq!(of("sig"), signed(&["step-up request 1", &flow, &code, &back, &expires]));
    let grant = |until: &str, sig: &str| {
        let reply = site.open(&format!("{act}/granted?expires={until}&sig={sig}"));
        (reply.status, reply.header("Location").map(str::to_owned))
    };
    let refused = (303, Some(format!("/{code}")));
    let right = signed(&["step-up grant 1", &flow, &expires]);
    assert_eq!(grant("1", &signed(&["step-up grant 1", &flow, "1"])), refused, "too late");
    assert_eq!(
        grant(&expires, &signed(&["step-up grant 1", "77", &expires])),
        refused,
        "another's"
    );
    assert_eq!(grant(&expires, "zz"), refused);
    // A grant that somebody handed on.
    let path = format!("{act}/granted?expires={expires}&sig={right}");
    let theirs = site.get_from([127, 0, 0, 9], &path);
    assert_eq!((theirs.status, theirs.header("Location").map(str::to_owned)), refused);
    assert_eq!(grant(&expires, &right), (303, Some(TARGET.into())));
    let kept = site.stop();
    let notices = kept.of(Table::Notices);
    assert!(
        notices.iter().all(|n| n["form"] == "step_up"
            && n["tier_version"].as_str().unwrap().starts_with("bank-2+"))
    );
    assert_eq!(notices.last().unwrap()["event"], "continued");
    assert_eq!(notices.last().unwrap()["continued_by"], "identified");
    assert_eq!(kept.of(Table::Jumps)[0]["action"], "step_up");
}

#[test]
fn a_hint_goes_on_by_itself_only_where_a_rule_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("tiers.toml");
    let text = "format = 1\nversion = \"x\"\n\
        [[rules]]\nwhen = { listed = [\"block\"] }\ntier = \"block\"\n\
        [[rules]]\nwhen = { listed = [\"interstitial\"] }\ntier = \"interstitial\"\n\
        [[rules]]\nwhen = { listed = [\"hint\"], feed = [\"slow\"] }\ntier = \"hint\"\ncontinue_after_s = 27\n";
    std::fs::write(&rules, text).unwrap();
    let (site, code) = site(Tier::Hint, |c| c.gateway.notices.tier_rules = Some(rules.clone()));
    // No rule of tiers for this list: visitors pass, and the record says why.
    assert_eq!(site.open(&format!("/{code}")).status, 302);
    let slow = feed("slow").rule("www.demo.test", Action::Nxdomain).tier(Tier::Hint);
    site.in_force.swap(set(&[&slow]));
    let page = site.open(&format!("/{code}"));
    assert!(page.body.contains("http-equiv=\"refresh\" content=\"27;url="), "{}", page.body);
    let gone = site.open(&format!("{}/continue", act(&page)));
    assert_eq!((gone.status, gone.header("Location")), (303, Some(TARGET)));
    // Whoever needs more time has it.
    let stay = format!("{}/zh", act(&page));
    assert!(page.body.contains(&format!("<a href=\"{stay}\">停留在本页</a>")), "{}", page.body);
    let stays = site.open(&stay);
    assert!(stays.status == 200 && !stays.body.contains("refresh"), "{}", stays.body);
    assert_eq!(site.open(&format!("{}/continue", act(&stays))).status, 405, "by hand alone");
    assert_eq!(site.press(&format!("{}/continue", act(&stays))).status, 303);
    let kept = site.stop();
    let outcomes = ["jumped", "warned", "jumped", "warned", "jumped"];
    assert_eq!(kept.column(Table::Jumps, "outcome"), outcomes);
    assert_eq!(kept.column(Table::Jumps, "tier"), ["hint"; 5]);
    let by = kept.column(Table::Notices, "continued_by");
    assert_eq!(by, ["", "page", "", "visitor"]);
}

#[test]
fn a_host_that_policy_led_to_us_gets_its_notice_and_no_way_through() {
    let site = Site::start(|c| {
        c.gateway.threads = 1;
        c.gateway.own_hosts = vec!["go.example".into()];
    });
    let visit = |host: &str, method: &str, path: &str, accept: &str| {
        ask(
            site.gateway,
            method,
            path,
            &[("Host", host), AGENT, ("Accept", accept), ("Accept-Language", "en")],
            "",
        )
    };
    let html = "text/html,*/*;q=0.8";
    assert_eq!(visit("www.demo.test", "GET", "/", html).status, 404, "nothing is listed");
    let go = feed("regulator").rule("go.example", Action::Nxdomain);
    site.in_force.swap(set(&[&listed(Tier::Interstitial), &go]));
    let page = visit("WWW.demo.test:80", "GET", "/login?x=%3Cscript%3E", html);
    assert_eq!(page.status, 403);
    assert!(page.body.contains("<strong>demo.test</strong>"), "{}", page.body);
    assert!(page.body.contains("通信管理局") && !page.body.contains("/continue"), "{}", page.body);
    assert!(!page.body.contains("login"), "nothing of the path comes back");
    assert_eq!(visit("www.demo.test", "POST", "/login", html).status, 403);
    let picture = visit("www.demo.test", "GET", "/favicon.ico", "image/avif,image/*,*/*;q=0.8");
    assert_eq!((picture.status, picture.body.as_str()), (403, ""));
    let act = act(&page);
    assert_eq!(visit("www.demo.test", "GET", &format!("{act}.css"), "text/css").status, 200);
    assert_eq!(
        visit("www.demo.test", "GET", &format!("{act}/zh"), html).header("Content-Language"),
        Some("zh-CN")
    );
    assert_eq!(visit("www.demo.test", "POST", &format!("{act}/return"), html).status, 200);
    assert_eq!(visit("www.demo.test", "POST", &format!("{act}/continue"), html).status, 403);
    assert_eq!(visit("go.example", "GET", "/", html).status, 404, "we ourselves");
    site.in_force.swap(set(&[&listed(Tier::Block)]));
    assert_eq!(visit("www.demo.test", "GET", "/", html).status, 451);
    let kept = site.stop();
    let notices = kept.of(Table::Notices);
    assert!(notices.iter().all(|n| n["service"] == "name" && n["code"] == ""));
    assert_eq!(notices[0]["target"], "http://www.demo.test/login?x=%3Cscript%3E");
    let jumps = kept.of(Table::Jumps);
    assert!(jumps.iter().all(|j| j["service"] == "name" && j["outcome"] != "jumped"), "{jumps:?}");
    assert_eq!(jumps.len(), 6);
    assert_eq!(jumps[0]["target_registrable_domain"], "demo.test");
}

/// A rule about a path alone: the other language finds it again, and nothing else does.
#[test]
fn a_listed_path_of_a_host_that_policy_led_to_us_keeps_its_notice() {
    let site = Site::start(|_| {});
    let rule = feed("regulator").rule("url-prefix:www.demo.test/pay/", Action::Nxdomain);
    site.in_force.swap(set(&[&rule.tier(Tier::Block)]));
    let visit = |path: &str| {
        let headers = [("Host", "www.demo.test"), AGENT, ("Accept-Language", "en")];
        ask(site.gateway, "GET", path, &headers, "")
    };
    assert_eq!(visit("/").status, 404);
    let page = visit("/pay/now?to=%22%3E%3Cscript%3E");
    assert_eq!(page.status, 451);
    assert!(!page.body.contains("<script"), "{}", page.body);
    let zh = format!("{}/zh/pay/now?to=%22%3E%3Cscript%3E", act(&page));
    assert!(page.body.contains(&format!("href=\"{zh}\"")), "{}", page.body);
    let zh = visit(&zh);
    assert_eq!((zh.status, zh.header("Content-Language")), (451, Some("zh-CN")));
    let kept = site.stop();
    let notices = kept.of(Table::Notices);
    let target = "http://www.demo.test/pay/now?to=%22%3E%3Cscript%3E";
    assert!(notices.len() == 2 && notices.iter().all(|n| n["target"] == target), "{notices:?}");
}

#[test]
fn pages_stay_small_whatever_a_list_says() {
    let long = |c: &str| -> Box<str> { c.repeat(5_000).into() };
    let (site, _) = site(Tier::Block, |_| {});
    let code = {
        site.in_force.swap(set(&[]));
        site.link(&format!("https://www.demo.test/{}", "%3C".repeat(1_300)))
    };
    let legal = Legal {
        authority: long("<"),
        order_number: long("&"),
        reason: long("\u{202e}"),
        ..Legal::default()
    };
    let f = feed("f").legal_rule("www.demo.test", Action::Nxdomain, legal).settings(|s| {
        s.contact = Arc::from("'".repeat(5_000));
    });
    site.in_force.swap(set(&[&f]));
    for language in ["zh", "en"] {
        let page = site.visit("GET", &format!("/{code}"), &[("Accept-Language", language)]);
        assert_eq!(page.status, 451);
        assert!(page.body.len() < 30_000, "{} bytes", page.body.len());
        assert!(!page.body.contains('\u{202e}'));
    }
    site.stop();
}
