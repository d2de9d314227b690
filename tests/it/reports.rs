//! Reports and appeals by the public: a form without a script, an API, a clock, and records.

use std::time::Duration;

use serde_json::{Value, json};
use tracegate::{
    config::Config,
    policy::{Action, Tier},
    record::Table,
};

use crate::{
    harness::{Server, eventually},
    policy_lab::{feed, set},
    server::call,
    site::{Reply, Site, ask},
};

const AGENT: (&str, &str) = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

impl Site {
    pub(crate) fn page(&self, path: &str) -> Reply {
        self.visit("GET", path, &[AGENT, ("Accept-Language", "zh")])
    }

    pub(crate) fn send(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let host = self.gateway.to_string();
        ask(self.gateway, "POST", path, &[("Host", &host), AGENT, FORM], &body)
    }

    pub(crate) fn post(&self, body: &Value) -> Reply {
        let host = self.gateway.to_string();
        let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
        ask(self.gateway, "POST", "/api/v1/reports", &headers, &body.to_string())
    }

    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call(&self.operator, method, path, &body)
    }
}

pub(crate) fn site(change: impl FnOnce(&mut Config)) -> Site {
    Site::start(|c| {
        c.gateway.threads = 1;
        change(c);
    })
}

/// The value of a hidden field.
pub(crate) fn hidden(page: &Reply, name: &str) -> String {
    let at = format!("name=\"{name}\" value=\"");
    let from = page.body.find(&at).unwrap_or_else(|| panic!("{name}: {}", page.body)) + at.len();
    page.body[from..].split('"').next().unwrap().to_owned()
}

#[test]
fn a_form_becomes_a_report_with_a_clock_that_its_number_and_secret_show() {
    let site = site(|c| c.gateway.abuse_contact = "mailto:abuse@example.org".into());
    let form = site.page("/report?subject=http://bad.example/pay&category=fraud");
    assert_eq!((form.status, form.header("Cache-Control")), (200, Some("no-store")));
    let policy = form.header("Content-Security-Policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"),
        "{policy}"
    );
    for part in [
        "<html lang=\"zh-CN\">",
        "举报或申诉",
        "value=\"http://bad.example/pay\"",
        "mailto:abuse@example.org",
        "for=\"text\"",
        "for=\"contact\"",
        "href=\"/report?lang=en&amp;subject=http%3A%2F%2Fbad.example%2Fpay&amp;category=fraud\"",
    ] {
        assert!(form.body.contains(part), "{part}: {}", form.body);
    }
    for never in ["<script", "src=", "href=\"http", "style=\""] {
        assert!(!form.body.contains(never), "{never}: {}", form.body);
    }
    let token = hidden(&form, "form");
    let fields = [
        ("form", token.as_str()),
        ("lang", "zh"),
        ("category", "fraud"),
        ("subject", "http://bad.example/pay?<b>"),
        ("text", "冒充客服\r\n转账"),
        ("contact", "张三 13800000000"),
    ];
    let sent = site.send("/report", &fields);
    assert_eq!(sent.status, 303, "{}", sent.body);
    let place = sent.header("Location").unwrap().to_owned();
    // A second press is the same report.
    assert_eq!(site.send("/report", &fields).header("Location"), Some(place.as_str()));

    let state = site.page(&place);
    assert_eq!(state.status, 200);
    for part in ["已收到，尚未处理", "2030-03-20 17:46 UTC", "http://bad.example/pay?%3Cb%3E"]
    {
        assert!(state.body.contains(part), "{part}: {}", state.body);
    }
    for person in ["13800000000", "冒充客服"] {
        assert!(!state.body.contains(person), "{person}: {}", state.body);
    }
    let path = place.split('?').next().unwrap();
    let (number, secret) = path["/report/".len()..].split_once('/').unwrap();
    // Nobody without the secret.
    let other = format!("/report/{number}/{}", "0".repeat(32));
    assert_eq!(site.page(&other).status, 404);
    let pretty = format!("{}-{}-{}", &number[..4], &number[4..8], &number[8..]).to_lowercase();
    let looked = site.send("/report/look?lang=zh", &[("number", &pretty), ("secret", secret)]);
    let own = format!("{path}?lang=zh");
    assert_eq!((looked.status, looked.header("Location")), (303, Some(&*own)));

    site.clock.advance(Duration::from_secs(3 * 86_400 + 1));
    assert!(site.page(path).body.contains("逾期"));
    let list = site.api("GET", "/api/v1/reports?state=overdue", &Value::Null).json();
    assert_eq!(list["reports"][0]["number"], number);
    assert_eq!(list["reports"].as_array().unwrap().len(), 1);

    let kept = site.stop();
    let reports = kept.of(Table::Reports);
    assert_eq!(reports.len(), 1, "{reports:?}");
    for (column, value) in [
        ("report", number),
        ("event", "received"),
        ("category", "fraud"),
        ("subject", "http://bad.example/pay?%3Cb%3E"),
        ("registrable_domain", "bad.example"),
        ("text", "冒充客服\n转账"),
        ("contact", "张三 13800000000"),
        ("decision", ""),
    ] {
        assert_eq!(reports[0][column], value, "{column}");
    }
    assert!(kept.of(Table::Jumps).is_empty());
}

#[test]
fn what_is_wrong_with_a_report_is_said_and_nothing_is_kept() {
    let site = site(|c| c.gateway.reports.client_reports_max = 1);
    let token = hidden(&site.page("/report"), "form");
    let send = |form: &str, category: &str, subject: &str, text: &str, contact: &str| {
        let fields = [
            ("form", form),
            ("lang", "en"),
            ("category", category),
            ("subject", subject),
            ("text", text),
            ("contact", contact),
        ];
        site.send("/report", &fields)
    };
    let forged = token.replace(&token[..2], if token.starts_with("00") { "01" } else { "00" });
    for (reply, status, said) in [
        (send("", "fraud", "bad.example", "x", ""), 403, "open for too long"),
        (send(&forged, "fraud", "bad.example", "x", ""), 403, "open for too long"),
        (send(&token, "nonsense", "bad.example", "x", ""), 422, "Choose"),
        (send(&token, "fraud", "javascript:alert(1)", "x", ""), 422, "Write the address"),
        (send(&token, "appeal", "bad.example", "x", ""), 422, "A way to reach you"),
        (send(&token, "fraud", "bad.example", &"x".repeat(4_001), ""), 422, "The text"),
    ] {
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(reply.body.contains(said), "{said}: {}", reply.body);
        assert!(reply.body.contains("role=\"alert\""));
    }
    // What was written is still there to be sent again.
    assert!(send(&token, "fraud", "two words", "once more", "").body.contains("once more"));
    let (object, problem) = (json!({"category": "fraud", "subject": "x y"}), "report_subject");
    let refused = site.post(&object);
    assert_eq!((refused.status, &refused.json()["code"]), (422, &problem.into()));
    assert_eq!(refused.header("Content-Type"), Some("application/problem+json; charset=utf-8"));
    assert_eq!(site.post(&json!({"category": "fraud", "client": "me"})).status, 400);
    // A foreign page's form is not taken for our own.
    let host = site.gateway.to_string();
    let foreign = [("Host", host.as_str()), FORM, ("Origin", "https://evil.example")];
    let body = format!("form={token}&category=fraud&subject=bad.example");
    assert_eq!(ask(site.gateway, "POST", "/report", &foreign, &body).status, 403);
    // What was refused did not count.
    let last = site.post(&json!({"category": "fraud", "subject": "bad.example"}));
    let over = site.post(&json!({"category": "fraud", "subject": "bad.example"}));
    assert_eq!(last.status, 201, "{}", last.body);
    assert_eq!(over.status, 429);
    assert!(over.header("RateLimit-Policy").unwrap().contains("q=1;w=3600"));
    assert!(over.header("Retry-After").is_some());
    assert_eq!(site.visit("DELETE", "/report", &[]).status, 405);
    assert_eq!(site.stop().of(Table::Reports).len(), 1);
}

/// The rule of one notice is not judged under the name of something else.
#[test]
fn a_notice_says_nothing_of_another_subject() {
    let site = site(|_| {});
    site.in_force.swap(set(&[&feed("regulator")
        .rule("bad.example.org", Action::Nxdomain)
        .tier(Tier::Block)]));
    let notice = ask(
        site.gateway,
        "GET",
        "/pay",
        &[("Host", "bad.example.org"), ("Accept", "text/html")],
        "",
    );
    assert_eq!(notice.status, 451, "{}", notice.body);
    let at = notice.body.find("/report?notice=").unwrap_or_else(|| panic!("{}", notice.body));
    let token = notice.body[at + "/report?notice=".len()..].split(['&', '"']).next().unwrap();
    let report = |subject: &str| {
        let sent = site.send(
            "/report",
            &[
                ("form", &hidden(&site.page("/report"), "form")),
                ("notice", token),
                ("category", "appeal"),
                ("subject", subject),
                ("text", "our shop"),
                ("contact", "shop@demo.test"),
            ],
        );
        assert_eq!(sent.status, 303, "{}", sent.body);
        let path = sent.header("Location").unwrap().split('?').next().unwrap().to_owned();
        let number = path["/report/".len()..].split_once('/').unwrap().0.to_owned();
        site.api("GET", &format!("/api/v1/reports/{number}"), &Value::Null).json()
    };
    let other = report("innocent-shop.org");
    assert_eq!((&other["kind"], &other["subject"]), (&"host".into(), &"innocent-shop.org".into()));
    let own = report("bad.example.org");
    assert_eq!((&own["kind"], &own["subject"]), (&"notice".into(), &"bad.example.org".into()));
    let appeals = site.api("GET", "/api/v1/appeals", &Value::Null).json();
    let mut subjects: Vec<_> = appeals["appeals"].as_array().unwrap().iter().collect();
    subjects.sort_by_key(|a| a["id"].as_u64());
    assert_eq!(subjects[0]["subject"], "innocent-shop.org", "no rule of the notice is appealed");
    assert_eq!(subjects[1]["subject"], "bad.example.org");
    site.stop();
}

#[test]
fn a_notice_leads_to_the_form_and_its_report_has_its_flow() {
    let site = site(|_| {});
    let code = site.link("https://www.demo.test/pay");
    site.in_force
        .swap(set(&[&feed("regulator").rule("www.demo.test", Action::Nxdomain).tier(Tier::Block)]));
    let notice = site.page(&format!("/{code}"));
    assert_eq!(notice.status, 451);
    let at = notice.body.find("/report?notice=").unwrap_or_else(|| panic!("{}", notice.body));
    let link = notice.body[at..].split('"').next().unwrap().replace("&amp;", "&");
    let form = site.page(&link);
    assert_eq!(form.status, 200, "{}", form.body);
    assert!(form.body.contains("<option value=\"appeal\" selected>"), "{}", form.body);
    assert!(
        form.body.contains("value=\"https://www.demo.test/pay\"") && form.body.contains("readonly")
    );
    let sent = site.send(
        "/report",
        &[
            ("form", &hidden(&form, "form")),
            ("notice", &hidden(&form, "notice")),
            ("category", "appeal"),
            ("subject", "ignored.example"),
            ("text", "our shop"),
            ("contact", "shop@demo.test"),
        ],
    );
    assert_eq!(sent.status, 303, "{}", sent.body);
    let path = sent.header("Location").unwrap().split('?').next().unwrap().to_owned();
    let number = path["/report/".len()..].split_once('/').unwrap().0.to_owned();

    // It is an appeal of policy, decided where those are; the claimant sees it.
    let appeals = site.api("GET", "/api/v1/appeals", &Value::Null).json();
    let appeal = &appeals["appeals"][0];
    assert_eq!(
        (&appeal["subject"], &appeal["status"], &appeal["claimant"]),
        (&"www.demo.test".into(), &"open".into(), &Value::Null)
    );
    let decided = site.api(
        "PATCH",
        &format!("/api/v1/appeals/{}", appeal["id"]),
        &json!({"status": "lifted", "reason": "a mistake"}),
    );
    assert_eq!(decided.status, 200, "{}", decided.body);
    let report = site.api("GET", &format!("/api/v1/reports/{number}"), &Value::Null).json();
    assert_eq!((&report["state"], &report["kind"]), (&"acted".into(), &"notice".into()));
    assert_eq!(report["steps"][0]["decision"], "accepted");
    assert!(site.page(&path).body.contains("已处理完毕"));

    let kept = site.stop();
    let (reports, notices) = (kept.of(Table::Reports), kept.of(Table::Notices));
    let events: Vec<_> = reports.iter().map(|r| r["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["received", "decided", "acted"]);
    let told: Vec<_> = notices.iter().map(|n| n["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["issued", "reported"]);
    for row in reports.iter().chain(notices) {
        assert_eq!(row["flow"], notices[0]["flow"]);
    }
    assert_eq!(
        (&reports[0]["code"], &reports[2]["actor"]),
        (&code.as_str().into(), &"operator".into())
    );
    assert!(reports[1]["contact"].as_str().unwrap().is_empty(), "once is enough");
}

#[test]
fn operators_decide_and_act_and_persons_are_looked_at_with_a_reason() {
    let site = site(|_| {});
    let code = site.link("https://www.demo.test/pay");
    let reported = |subject: &str| {
        let object = json!({"category": "phishing", "subject": subject, "text": "it lies",
            "contact": "a@b.example"});
        let made = site.post(&object);
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(
            made.header("Location").unwrap(),
            format!(
                "/api/v1/reports/{}/{}",
                made.json()["number"].as_str().unwrap(),
                made.json()["secret"].as_str().unwrap()
            )
        );
        made
    };
    let made = reported(&code);
    let number = made.json()["number"].as_str().unwrap().to_owned();
    let place = format!("/api/v1/reports/{number}");
    let report = site.api("GET", &place, &Value::Null);
    for person in ["it lies", "a@b.example", "127.0.0.1"] {
        assert!(!report.body.contains(person), "{}", report.body);
    }
    assert_eq!(
        (&report.json()["code"], &report.json()["kind"]),
        (&code.as_str().into(), &"link".into())
    );
    // Without a reason nobody sees a person, and the attempt is on record.
    assert_eq!(site.api("GET", &format!("{place}/person"), &Value::Null).status, 403);
    let person = site.api("GET", &format!("{place}/person?case=R-1&purpose=decide"), &Value::Null);
    assert_eq!(
        (&person.json()["contact"], &person.json()["text"], &person.json()["client"]),
        (&"a@b.example".into(), &"it lies".into(), &"127.0.0.1".into())
    );
    let decide = |place: &str, body: Value| site.api("POST", &format!("{place}/decision"), &body);
    for bad in [
        json!({"decision": "maybe", "reason": "x"}),
        json!({"decision": "accepted"}),
        json!({"decision": "rejected", "reason": "x", "act": "disable_link"}),
        json!({"decision": "accepted", "reason": "x", "act": "lift"}),
        json!({"decision": "accepted", "reason": "x", "act": "forward"}),
    ] {
        assert_eq!(decide(&place, bad.clone()).status, 400, "{bad}");
    }
    let decided = decide(
        &place,
        json!({"decision": "accepted", "reason": "seen", "answer": "thank you", "act": "disable_link"}),
    );
    assert_eq!(decided.status, 200, "{}", decided.body);
    assert_eq!(decided.json()["state"], "acted");
    assert_eq!(site.visit("GET", &format!("/{code}"), &[]).status, 410);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let state = site.visit("GET", &format!("{place}/{secret}"), &[]).json();
    assert_eq!(
        (&state["state"], &state["decision"], &state["answer"]),
        (&"acted".into(), &"accepted".into(), &"thank you".into())
    );
    assert_eq!(state.get("reason"), None, "what we tell one another is ours");

    let host = reported("phish.demo.test").json()["number"].as_str().unwrap().to_owned();
    let place = format!("/api/v1/reports/{host}");
    let blocked = decide(&place, json!({"decision": "accepted", "reason": "seen", "act": "block"}));
    assert_eq!(blocked.json()["state"], "acted", "{}", blocked.body);
    let blocks = site.api("GET", "/api/v1/blocks", &Value::Null).json();
    assert_eq!(blocks["rules"][0]["rule"], "phish.demo.test");
    let third = reported("fine.example").json()["number"].as_str().unwrap().to_owned();
    let place = format!("/api/v1/reports/{third}");
    let told = decide(
        &place,
        json!({"decision": "accepted", "reason": "theirs", "act": "forward",
        "authority": "12321"}),
    );
    assert_eq!(told.json()["steps"][1]["reason"], "told 12321");
    let open = site.api("GET", "/api/v1/reports?state=open", &Value::Null).json();
    assert_eq!(open["reports"], json!([]));
    let first = site.api("GET", "/api/v1/reports?limit=2", &Value::Null).json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = site.api("GET", &format!("/api/v1/reports?limit=2&cursor={cursor}"), &Value::Null);
    assert_eq!(rest.json()["reports"][0]["number"], number.as_str());
    assert_eq!(rest.json()["next_cursor"], Value::Null);

    others_may_less(&site, &place);
    let kept = site.stop();
    let looks = kept.of(Table::Access);
    let outcomes: Vec<_> = looks.iter().map(|l| l["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["refused", "answered", "refused"]);
    assert_eq!((&looks[1]["case_number"], &looks[1]["purpose"]), (&"R-1".into(), &"decide".into()));
}

/// What other roles may do with the report at `place`.
fn others_may_less(site: &Site, place: &str) {
    let token = |role: &str| {
        let made = site.api("POST", "/api/v1/tokens", &json!({"name": role, "role": role}));
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (auditor, writer) = (token("auditor"), token("writer"));
    assert_eq!(site.call(&auditor, "GET", "/api/v1/reports", "").status, 200);
    let looks = format!("{place}/person?case=1&purpose=2");
    assert_eq!(site.call(&auditor, "GET", &looks, "").status, 403);
    assert_eq!(site.call(&auditor, "POST", &format!("{place}/decision"), "{}").status, 403);
    assert_eq!(site.call(&writer, "GET", "/api/v1/reports", "").status, 403);
}

#[test]
fn a_served_report_outlives_the_server_and_is_decided_from_the_command_line() {
    let server = Server::builder()
        .config(|c| {
            c.store.url = "http://127.0.0.1:9".into();
            c.dns.listen.clear();
        })
        .start();
    let host = server.gateway().to_string();
    let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
    let object = json!({"category": "malware", "subject": "bad.example", "contact": "x@y.example"});
    let made = ask(server.gateway(), "POST", "/api/v1/reports", &headers, &object.to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let number = made.json()["number"].as_str().unwrap().to_owned();
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let server = server.kill9().start();
    let host = server.gateway().to_string();
    let state = format!("/api/v1/reports/{number}/{secret}");
    let found = ask(server.gateway(), "GET", &state, &[("Host", &host)], "");
    assert_eq!(found.json()["state"], "received", "{}", found.body);
    let run = |args: &[&str]| {
        let mut command = crate::harness::tracegate(args);
        let out = command.arg("--data-dir").arg(server.data()).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(run(&["report", "list", "--open"]).contains(&number));
    let shown = run(&["report", "show", &number, "--case", "7", "--purpose", "look"]);
    assert!(shown.contains("x@y.example"), "{shown}");
    run(&["report", "decide", &number, "rejected", "--reason", "nothing there"]);
    let report = call(&server, &server.token(), "GET", &format!("/api/v1/reports/{number}"), "");
    assert_eq!(report.json()["state"], "decided", "{}", report.body);
    eventually("nothing waits", || {
        let metrics = call(&server, &server.token(), "GET", "/metrics", "");
        metrics.body.contains("tracegate_reports_open 0").then_some(())
    });
    assert!(!server.home().log().contains("x@y.example"), "contacts are in no log");
}
