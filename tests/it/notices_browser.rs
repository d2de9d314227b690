//! Warnings in a real browser, without scripts, by the keyboard alone; pictures are kept in
//! `target/screenshots`.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use serde_json::json;
use tracegate::{
    config::OnUnsigned,
    policy::{Action, Legal, Tier},
    record::Table,
};

use crate::{
    browser::Browser,
    policy_lab::{Feed, feed, set},
    site::Site,
};

fn listed(tier: Tier, name: &str) -> Feed {
    let legal = Legal {
        authority: "示例省通信管理局 Example Communications Administration".into(),
        order_number: "2026-17".into(),
        reason: "fraud: impersonation of a bank 冒充银行".into(),
        ..Legal::default()
    };
    feed("regulator").legal_rule(name, Action::Nxdomain, legal).tier(tier)
}

/// A site that says that somebody arrived. Its thread ends with the test's process.
fn elsewhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok() {
                let body = "<!doctype html><title>arrived</title><p>arrived";
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).ok();
            }
        }
    });
    address
}

#[test]
fn warnings_in_a_browser_by_the_keyboard_alone() {
    let there = elsewhere();
    let site = Site::start(|c| {
        c.gateway.threads = 1;
        c.gateway.notices.appeal_url = "https://isp.example/appeal".into();
        c.gateway.notices.contact = "400-000-0000".into();
    });
    let target = format!("http://www.demo.test:{}/pay?a=1", there.port());
    let code = site.link(&target);
    let rules = format!("MAP www.demo.test 127.0.0.1,MAP bad.demo.test:80 {}", site.gateway);
    let mut browser = Browser::start(&rules);
    let link = format!("http://{}/{code}", site.gateway);
    for (language, tag) in [("zh-CN", "zh"), ("en", "en")] {
        for (tier, name) in
            [(Tier::Hint, "hint"), (Tier::Interstitial, "interstitial"), (Tier::Block, "stop")]
        {
            site.in_force.swap(set(&[&listed(tier, "www.demo.test")]));
            for scheme in ["light", "dark"] {
                browser.look(language, scheme, 900);
                browser.open(&link);
                browser.picture(&format!("{name}-{tag}-{scheme}"));
            }
        }
    }
    browser.look("en", "light", 360);
    browser.open(&link);
    browser.picture("stop-en-narrow");
    let html = browser.html();
    assert!(!html.contains("<script") && !html.contains("http://www.demo.test"), "{html}");

    // By the keyboard: the other language, back, on, report, in the order of the page.
    site.in_force.swap(set(&[&listed(Tier::Interstitial, "www.demo.test")]));
    browser.look("en", "light", 900);
    browser.open(&link);
    let spoken = browser.spoken();
    let says = |role: &str, name: &str| spoken.iter().any(|(r, n)| r == role && n == name);
    for (role, name) in [
        ("heading", "This site may harm you"),
        ("heading", "Where this link leads"),
        ("button", "Go back"),
        ("button", "I understand the risk, go on"),
        ("link", "中文"),
    ] {
        assert!(says(role, name), "{role} {name}: {spoken:?}");
    }
    browser.press("Tab", 2);
    browser.picture("focus-en-light");
    browser.choose(1);
    assert_eq!(browser.address(), target, "went on");
    browser.open(&link);
    browser.choose(1);
    assert!(browser.html().contains("该网站可能危害您的安全"), "the other language");
    browser.choose(2);
    assert!(browser.html().contains("您未继续访问"), "turned back");
    browser.picture("returned-zh-light");
    browser.open(&link);
    browser.choose(4);
    assert!(browser.html().contains("your report was recorded"), "reported");
    browser.open(&format!("http://{}/unknown", site.gateway));
    browser.picture("unknown-en-light");
    // A host that policy led to us.
    site.in_force.swap(set(&[&listed(Tier::Interstitial, "bad.demo.test")]));
    browser.open("http://bad.demo.test/login");
    assert!(browser.html().contains("no way through"), "{}", browser.html());
    browser.picture("name-en-light");
    drop(browser);

    let kept = site.stop();
    let notices = kept.of(Table::Notices);
    let count = |event: &str| notices.iter().filter(|n| n["event"] == event).count();
    // Every page that was sent was laid out, and each is told apart.
    assert_eq!((count("issued"), count("rendered")), (18, 18), "{notices:?}");
    assert_eq!((count("continued"), count("returned"), count("reported")), (1, 1, 1));
    assert!(notices.iter().all(|n| n["client_class"] == "person"), "{notices:?}");
}

/// Signed targets, a password before a warning, and links that are gone, all by the keyboard.
#[test]
fn outbound_pages_passwords_and_gone_links_in_a_browser() {
    let there = elsewhere();
    let site = Site::start(|c| {
        c.gateway.threads = 1;
        c.gateway.outbound.unsigned = OnUnsigned::Hint;
    });
    let rules = format!("MAP www.demo.test 127.0.0.1,MAP bad.demo.test:80 {}", site.gateway);
    let mut browser = Browser::start(&rules);
    browser.look("en", "light", 900);
    let target = format!("http://www.demo.test:{}/a?b='c'&d=1%2B1+1#e", there.port());
    let asked = json!({ "target": target }).to_string();
    let signed = site.call(&site.operator, "POST", "/api/v1/outbound", &asked).json();
    // As a browser writes it, which is what was signed.
    let arrived = signed["target"].as_str().unwrap().to_owned();
    let go = signed["url"].as_str().unwrap().to_owned();
    browser.open(&go);
    assert_eq!(browser.address(), arrived);
    site.in_force.swap(set(&[&listed(Tier::Interstitial, "www.demo.test")]));
    for (language, tag) in [("zh-CN", "zh"), ("en", "en")] {
        browser.look(language, "light", 900);
        browser.open(&go);
        browser.picture(&format!("outbound-{tag}-light"));
    }
    // The other language and on: what was signed goes along.
    browser.choose(1);
    browser.choose(3);
    assert_eq!(browser.address(), arrived);
    // Nobody has signed this one.
    site.in_force.swap(set(&[]));
    browser.look("en", "light", 900);
    browser.open(&format!(
        "http://{}/go?url=http%3A%2F%2Fwww.demo.test%3A{}%2F",
        site.gateway,
        there.port()
    ));
    assert!(browser.html().contains("did not confirm this address"), "{}", browser.html());
    browser.picture("unsigned-en-light");
    browser.choose(3);
    assert_eq!(browser.address(), format!("http://www.demo.test:{}/", there.port()));
    browser.open(&go.replace("%2Fa%3F", "%2Fz%3F"));
    assert!(browser.html().contains("You were not sent on"), "{}", browser.html());
    browser.picture("refused-en-light");

    // A password, then the warning, then on.
    let make = json!({ "target": target, "password": "sesame" }).to_string();
    let made = site.call(&site.operator, "POST", "/api/v1/links", &make);
    let code = made.json()["code"].as_str().unwrap().to_owned();
    site.in_force.swap(set(&[&listed(Tier::Interstitial, "www.demo.test")]));
    browser.open(&format!("http://{}/{code}", site.gateway));
    assert!(browser.spoken().iter().any(|(_, name)| name == "Password"), "the field has a name");
    browser.picture("password-en-light");
    browser.press("Tab", 2);
    browser.write("open");
    browser.enter();
    assert!(browser.html().contains("That is not the password."), "{}", browser.html());
    browser.picture("password-wrong-en-light");
    // Tab order of a page after a form is from the top again.
    browser.press("Tab", 2);
    browser.write("sesame");
    browser.enter();
    assert!(browser.html().contains("This site may harm you"), "{}", browser.html());
    browser.choose(3);
    assert_eq!(browser.address(), arrived);

    // Gone, in both languages.
    site.in_force.swap(set(&[]));
    let stop = json!({ "state": "disabled", "public_reason": "fraud" }).to_string();
    let stopped = site.call(&site.operator, "PATCH", &format!("/api/v1/links/{code}"), &stop);
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    for (language, tag, says) in [("zh-CN", "zh", "涉嫌诈骗"), ("en", "en", "Fraud")] {
        browser.look(language, "light", 900);
        browser.open(&format!("http://{}/{code}", site.gateway));
        assert!(browser.html().contains(says), "{}", browser.html());
        browser.picture(&format!("gone-{tag}-light"));
    }
    drop(browser);
    let kept = site.stop();
    let events = kept.column(Table::Notices, "event");
    let count = |event: &str| events.iter().filter(|e| *e == event).count();
    assert_eq!((count("issued"), count("rendered"), count("continued")), (5, 5, 3), "{events:?}");
}
