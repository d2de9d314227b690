//! The pages of reports and appeals in a real browser: both languages, by the keyboard alone, what is
//! wrong beside its field. Pictures are kept in `target/screenshots`.

use tracegate::{
    policy::{Action, Legal, Tier},
    record::Table,
};

use crate::{
    browser::Browser,
    policy_lab::{feed, set},
    reports::site,
    site::Site,
};

/// The words of one language.
struct Words {
    language: &'static str,
    tag: &'static str,
    title: &'static str,
    fields: [&'static str; 4],
    send: &'static str,
    subject: &'static str,
    text: &'static str,
    contact: &'static str,
    received: &'static str,
    appeal: &'static str,
    none: &'static str,
}

const BOTH: [Words; 2] = [
    Words {
        language: "zh-CN",
        tag: "zh",
        title: "举报或申诉",
        fields: ["反映的问题", "链接、网址或域名", "情况说明", "联系方式（申诉必填）"],
        send: "提交",
        subject: "请填写网址、域名或本站链接。",
        text: "未填写说明，或内容过长。",
        contact: "未填写联系方式，或内容过长。",
        received: "已收到，尚未处理",
        appeal: "申诉：被误拦截",
        none: "没有与此编号和查询码相符的举报。",
    },
    Words {
        language: "en",
        tag: "en",
        title: "Report a site, or appeal",
        fields: [
            "What is it about?",
            "Link, address or name",
            "What happened?",
            "How to reach you (needed for an appeal)",
        ],
        send: "Send",
        subject: "Write the address of a page, the name of a site, or one of our links.",
        text: "The text is missing or too long.",
        contact: "A way to reach you is missing or too long.",
        received: "Received, not decided yet",
        appeal: "Appeal: it is blocked and should not be",
        none: "There is no report with this number and secret.",
    },
];

#[test]
fn a_report_by_the_keyboard_alone_says_what_is_wrong_beside_its_field() {
    let site = site(|c| c.gateway.abuse_contact = "mailto:abuse@example.org".into());
    let mut browser = Browser::start("");
    let form = format!("http://{}/report", site.gateway);
    for words in &BOTH {
        for scheme in ["light", "dark"] {
            browser.look(words.language, scheme, 900);
            browser.open(&form);
            browser.picture(&format!("report-{}-{scheme}", words.tag));
        }
        // As narrow as text is to be read without turning two ways (WCAG 1.4.10).
        browser.look(words.language, "light", 320);
        browser.open(&form);
        assert!(browser.width() <= 320.0, "{}", browser.width());
        browser.picture(&format!("report-{}-narrow", words.tag));

        browser.look(words.language, "light", 900);
        browser.open(&form);
        let html = browser.html();
        assert!(!html.contains("<script") && !html.contains("role=\"alert\""), "{html}");
        let spoken = browser.spoken();
        let says = |role: &str, name: &str| spoken.iter().any(|(r, n)| r == role && n == name);
        assert!(says("heading", words.title) && says("button", words.send), "{spoken:?}");
        // In the order of the page: the other language, then the fields.
        browser.press("Tab", 1);
        for name in words.fields {
            browser.press("Tab", 1);
            assert_eq!(browser.focused().1, name);
        }
        browser.open(&form);
        browser.press("Tab", 2);
        browser.press("ArrowDown", 1);
        browser.press("Tab", 1);
        browser.write("two words");
        browser.enter();
        let (role, name, described, wrong) = browser.focused();
        assert_eq!(
            (role.as_str(), name.as_str()),
            ("textbox", words.fields[1]),
            "where it is wrong"
        );
        assert_eq!((described.as_str(), wrong), (words.subject, true));
        let html = browser.html();
        assert!(html.contains("role=\"alert\"") && html.contains("href=\"#subject\""), "{html}");
        assert!(html.contains("value=\"fraud\" selected"), "what was chosen stays: {html}");
        browser.picture(&format!("report-wrong-{}", words.tag));
        browser.replace("bad.example");
        browser.enter();
        let html = browser.html();
        assert!(html.contains(words.received) && html.contains("bad.example"), "{html}");
        browser.picture(&format!("report-state-{}", words.tag));
        looked_up(&mut browser, &site, words);
    }
    drop(browser);
    let kept = site.stop();
    assert_eq!(kept.column(Table::Reports, "category"), ["fraud", "fraud"]);
}

/// Asks for the report that the page shows, with its number and its secret.
fn looked_up(browser: &mut Browser, site: &Site, words: &Words) {
    let state = browser.address();
    let path = state.split_once("/report/").unwrap().1;
    let (number, secret) = path.split('?').next().unwrap().split_once('/').unwrap();
    browser.open(&format!("http://{}/report/look?lang={}", site.gateway, words.tag));
    browser.press("Tab", 2);
    browser.write(number);
    browser.press("Tab", 1);
    browser.write("00");
    browser.enter();
    let (_, _, described, wrong) = browser.focused();
    assert_eq!((described.as_str(), wrong), (words.none, true));
    browser.picture(&format!("report-look-wrong-{}", words.tag));
    browser.write(number);
    browser.press("Tab", 1);
    browser.write(secret);
    browser.enter();
    assert!(browser.html().contains(words.received), "{}", browser.html());
}

#[test]
fn an_appeal_from_a_block_page_asks_for_reasons_and_a_way_back() {
    let site = site(|_| {});
    let legal = Legal {
        authority: "示例省通信管理局 Example Communications Administration".into(),
        order_number: "2026-17".into(),
        ..Legal::default()
    };
    let listed = feed("regulator").legal_rule("www.demo.test", Action::Nxdomain, legal);
    let code = site.link("https://www.demo.test/pay");
    site.in_force.swap(set(&[&listed.tier(Tier::Block)]));
    let mut browser = Browser::start("");
    for words in &BOTH {
        browser.look(words.language, "light", 900);
        browser.open(&format!("http://{}/{code}", site.gateway));
        // The other language, back, a wrong warning, the appeal.
        browser.choose(4);
        let html = browser.html();
        assert!(html.contains("value=\"appeal\" selected"), "{html}");
        assert!(html.contains(words.appeal));
        assert!(html.contains("value=\"https://www.demo.test/pay\"") && html.contains("readonly"));
        browser.picture(&format!("appeal-{}", words.tag));
        // Without reasons, then without a way to answer.
        browser.press("Tab", 6);
        browser.enter();
        for (field, said, written) in [
            (2, words.text, "our shop, not what the order means"),
            (3, words.contact, "shop@demo.test"),
        ] {
            let (role, name, described, wrong) = browser.focused();
            assert_eq!((role.as_str(), name.as_str()), ("textbox", words.fields[field]));
            assert!(described.starts_with(said) && wrong, "{described}");
            browser.picture(&format!("appeal-wrong-{}-{field}", words.tag));
            browser.write(written);
            // To the button: Enter in a text of several lines begins another.
            browser.press("Tab", 4 - field);
            browser.enter();
        }
        assert!(browser.html().contains(words.received), "{}", browser.html());
        browser.picture(&format!("appeal-state-{}", words.tag));
    }
    drop(browser);
    let kept = site.stop();
    for column in ["category", "subject_kind", "feed"] {
        let expected = match column {
            "category" => "appeal",
            "subject_kind" => "notice",
            _ => "regulator",
        };
        assert_eq!(kept.column(Table::Reports, column), [expected, expected], "{column}");
    }
    assert!(kept.column(Table::Reports, "appeal").iter().all(|a| a.starts_with("it-")));
}
