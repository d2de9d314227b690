//! The desk of reports: its clock, and who may see whoever reported or appealed.

use std::{fs, process::Output, time::Duration};

use serde_json::{Value, json};
use tracegate::record::Table;

use crate::{
    harness::tracegate,
    reports::site,
    site::{Records, Site},
};

const CONTACT: &str = "shop@demo.test";

/// A command of the operator, against the site.
fn run(site: &Site, args: &[&str]) -> Output {
    let (token, server) = (site.dir.path().join("secrets/operator.token"), site.api.to_string());
    let server = format!("http://{server}");
    let output = tracegate(args).args(["--server", &server, "--token-file"]).arg(token).output();
    output.unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn the_clock_tells_who_waits_too_long() {
    let site = site(|c| c.gateway.reports.decide_within_s = 3_600);
    let status = || site.api("GET", "/api/v1/reports/status", &Value::Null).json();
    let idle = json!({"open": 0, "overdue": 0, "next_due": null, "decide_within_s": 3_600});
    assert_eq!(status(), idle);
    let report = |subject: &str| {
        let made = site.post(&json!({"category": "fraud", "subject": subject}));
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["number"].as_str().unwrap().to_owned()
    };
    let first = report("bad.example");
    site.clock.advance(Duration::from_secs(1_800));
    let second = report("worse.example");
    let due = site.api("GET", &format!("/api/v1/reports/{first}"), &Value::Null).json();
    let waiting = |open: u64, overdue: u64| {
        let status = status();
        assert_eq!((&status["open"], &status["overdue"]), (&open.into(), &overdue.into()));
        let metrics = site.metrics.render();
        for (name, n) in [("open", open), ("overdue", overdue)] {
            assert!(metrics.contains(&format!("tracegate_reports_{name} {n}\n")), "{metrics}");
        }
        // Whoever is late, the node is ready.
        assert_eq!(site.api("GET", "/readyz", &Value::Null).status, 200);
        status
    };
    site.clock.advance(Duration::from_secs(1_800));
    assert_eq!(waiting(2, 0)["next_due"], due["due"], "the last moment is in time");
    site.clock.advance(Duration::from_millis(1));
    waiting(2, 1);
    let late = said(&run(&site, &["report", "list", "--overdue"]));
    assert!(late.contains(&first) && !late.contains(&second), "{late}");
    let told = said(&run(&site, &["report", "status"]));
    assert!(told.contains("overdue") && told.contains('1'), "{told}");
    site.clock.advance(Duration::from_secs(1_800));
    waiting(2, 2);
    // Decided late is decided: the wait is over.
    let decide = |number: &str| {
        let args = ["report", "decide", number, "rejected", "--reason", "nothing there"];
        let decided = run(&site, &args);
        assert!(decided.status.success(), "{}", said(&decided));
    };
    decide(&first);
    waiting(1, 1);
    decide(&second);
    assert_eq!(waiting(0, 0)["next_due"], Value::Null);
    assert!(!said(&run(&site, &["report", "list", "--overdue"])).contains(&first));
    let kept = site.stop();
    assert_eq!(
        kept.column(Table::Reports, "event"),
        ["received", "received", "decided", "decided"]
    );
}

#[test]
fn whoever_appeals_is_seen_for_a_case_and_a_purpose_alone() {
    let site = site(|_| {});
    let own = json!({"subject": "other.demo.test", "contact": CONTACT, "reason": "it is ours"});
    let opened = site.api("POST", "/api/v1/appeals", &own);
    assert_eq!(opened.status, 201, "{}", opened.body);
    let id = opened.json()["id"].as_u64().unwrap();
    let made = site.post(&json!({"category": "appeal", "subject": "shop.demo.test",
        "text": "my shop, call me", "contact": CONTACT}));
    assert_eq!(made.status, 201, "{}", made.body);
    let number = made.json()["number"].as_str().unwrap().to_owned();
    let list = site.api("GET", "/api/v1/appeals", &Value::Null);
    let of_public = list.json()["appeals"][0].clone();
    let decided = site.api("PATCH", &format!("/api/v1/appeals/{id}"), &json!({"status": "lifted"}));
    for page in [&opened, &list, &decided] {
        for person in [CONTACT, "call me"] {
            assert!(!page.body.contains(person), "{}", page.body);
        }
    }
    assert_eq!(of_public["withheld"], json!(["claimant"]));
    assert!(of_public["reason"].as_str().unwrap().contains(&number), "{of_public}");
    let listed = run(&site, &["feed", "appeal", "list"]);
    assert!(listed.status.success() && !said(&listed).contains(CONTACT), "{}", said(&listed));

    let of = |id: u64| format!("/api/v1/appeals/{id}/person");
    assert_eq!(site.api("GET", &of(id), &Value::Null).status, 403);
    let because = "?case=A-1&purpose=call+back";
    let person = site.api("GET", &format!("{}{because}", of(id)), &Value::Null).json();
    assert_eq!(person, json!({"appeal": id, "contact": CONTACT}));
    let auditor = json!({"name": "auditor", "role": "auditor"});
    let auditor = site.api("POST", "/api/v1/tokens", &auditor).json();
    let auditor = auditor["token"].as_str().unwrap();
    assert_eq!(site.call(auditor, "GET", &format!("{}{because}", of(id)), "").status, 403);
    let public = of_public["id"].to_string();
    let args = ["feed", "appeal", "person", &public, "--case", "A-2", "--purpose", "call back"];
    let shown = said(&run(&site, &args));
    for part in [CONTACT, "my shop, call me", &number] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(site.api("GET", &format!("{}{because}", of(99)), &Value::Null).status, 404);
    // The database of policy knows nothing of whom the public's reports are.
    for file in ["policy.sqlite", "policy.sqlite-wal"] {
        let policy = fs::read(site.dir.path().join("feeds").join(file)).unwrap();
        assert!(!String::from_utf8_lossy(&policy).contains("call me"), "{file}");
    }
    looks(&site.stop());
}

#[test]
fn an_accepted_appeal_against_a_block_of_our_own_ends_it() {
    let site = site(|_| {});
    let code = site.link("https://www.demo.test/sale");
    let visit = || site.visit("GET", &format!("/{code}"), &[]).status;
    let block = |path: &str| {
        let body = json!({"name": format!("https://www.demo.test/{path}"), "reason": "order 7"});
        let made = site.api("POST", "/api/v1/blocks", &body);
        assert_eq!(made.status, 201, "{}", made.body);
    };
    block("sale");
    block("other");
    assert_eq!(visit(), 451);
    let made = site.post(&json!({"category": "appeal", "subject": code, "text": "ours",
        "contact": CONTACT}));
    let number = made.json()["number"].as_str().unwrap().to_owned();
    let decide = format!("/api/v1/reports/{number}/decision");
    let decided =
        site.api("POST", &decide, &json!({"decision": "accepted", "reason": "a mistake"}));
    assert_eq!(decided.json()["state"], "acted", "{}", decided.body);
    assert_eq!(visit(), 302);
    let blocks = site.api("GET", "/api/v1/blocks", &Value::Null).json();
    let standing = blocks["rules"].as_array().unwrap().iter().filter(|r| r["in_force"] == true);
    let standing: Vec<_> = standing.map(|r| r["rule"].as_str().unwrap()).collect();
    assert_eq!(standing, ["url:www.demo.test/other"]);
    // An order that comes afterwards is obeyed.
    block("sale");
    assert_eq!(visit(), 451);
    site.stop();
}

fn looks(kept: &Records) {
    let looks = kept.of(Table::Access);
    let told: Vec<_> = looks.iter().map(|l| (&l["outcome"], &l["case_number"])).collect();
    let all = [("refused", ""), ("answered", "A-1"), ("refused", "A-1"), ("answered", "A-2")]
        .map(|(outcome, case)| (Value::from(outcome), Value::from(case)));
    let expected: Vec<_> = all.iter().map(|(outcome, case)| (outcome, case)).collect();
    assert_eq!(told[..4], expected);
    assert_eq!((told.len(), told[4].0), (5, &"failed".into()));
    let asked: Value = serde_json::from_str(looks[1]["question"].as_str().unwrap()).unwrap();
    assert_eq!(asked["kind"], "appeal");
}
