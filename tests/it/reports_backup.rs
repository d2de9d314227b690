//! Reports in a backup of links: they go along, but for what was under way.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use serde_json::{Value, json};
use tracegate::{
    clock::Timestamp,
    links::OutboxRow,
    record::{self, Flow, Head, LaneId, Row as _, SchemaId, Table},
    reports::{
        Act, Category, Decision, Kind, Person, Report, ReportStore as _, SqliteReports, Step,
    },
};

use crate::{
    harness::{Server, tracegate},
    server::{call, json as printed, node, said},
    site::ask,
};

const CONTACT: &str = "shop@example.org";

/// A report through the gateway: its number and its secret.
fn reported(server: &Server, subject: &str) -> (String, String) {
    let host = server.gateway().to_string();
    let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
    let object = json!({"category": "fraud", "subject": subject, "contact": CONTACT});
    let made = ask(server.gateway(), "POST", "/api/v1/reports", &headers, &object.to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
    (text("number"), text("secret"))
}

fn state(server: &Server, (number, secret): &(String, String)) -> Value {
    let host = server.gateway().to_string();
    let path = format!("/api/v1/reports/{number}/{secret}");
    ask(server.gateway(), "GET", &path, &[("Host", &host)], "").json()["state"].clone()
}

fn run(args: &[&str], data: &Path) -> Output {
    let args = [args, &["--format", "json", "--data-dir"]].concat();
    tracegate(args).arg(data).output().unwrap()
}

#[test]
fn a_backup_brings_reports_and_their_persons_back() {
    let server = node().start();
    let open = reported(&server, "bad.example");
    let decided = reported(&server, "worse.example");
    let body = json!({"decision": "rejected", "reason": "nothing there"}).to_string();
    let decide = format!("/api/v1/reports/{}/decision", decided.0);
    assert_eq!(call(&server, &server.token(), "POST", &decide, &body).status, 200);
    let file = server.home().path().join("links.backup");
    let made = server.cli(["link", "backup", file.to_str().unwrap(), "--format", "json"]);
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(printed(&made)["reports"], 2);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let beside: Vec<_> = fs::read_dir(server.home().path()).unwrap().flatten().collect();
    assert!(beside.iter().all(|f| !f.file_name().to_string_lossy().starts_with("links.backup.")));
    // Not in the backup.
    let later = reported(&server, "later.example");

    let data = server.data();
    let (status, home) = server.terminate();
    assert!(status.success());
    let there = |name: &str| ["", "-wal", "-shm"].map(|end| data.join(format!("{name}{end}")));
    for gone in there("control.sqlite") {
        fs::remove_file(gone).ok();
    }
    // What is there is nobody's to overwrite.
    let kept = run(&["link", "restore", file.to_str().unwrap()], &data);
    assert!(kept.status.success(), "{}", said(&kept));
    assert!(printed(&kept)["reports"].as_str().unwrap().contains("as they were"));
    for gone in there("control.sqlite").into_iter().chain(there("reports.sqlite")) {
        fs::remove_file(gone).ok();
    }
    let restored = run(&["link", "restore", file.to_str().unwrap()], &data);
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(printed(&restored)["reports"], 2);
    let mode = fs::metadata(data.join("reports.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let server = home.start();
    assert_eq!(state(&server, &open), "received");
    assert_eq!(state(&server, &decided), "decided");
    assert_eq!(state(&server, &later), Value::Null);
    let person = format!("/api/v1/reports/{}/person?case=1&purpose=test", open.0);
    let person = call(&server, &server.token(), "GET", &person, "");
    assert_eq!(person.json()["contact"], CONTACT, "{}", person.body);
}

/// A report in the database alone, whose record is promised as the `seq`th.
fn promised(store: &SqliteReports, number: &str, seq: u64) -> u64 {
    let at = Timestamp::from_secs(1_900_000_000);
    let report = Report {
        id: 0,
        number: number.into(),
        secret: [7; 32],
        received: at,
        due: at,
        category: Category::Fraud,
        kind: Kind::Host,
        subject: "bad.example".into(),
        code: String::new(),
        registrable_domain: "bad.example".into(),
        psl_version: String::new(),
        flow: Flow(5),
        feed: String::new(),
        appeal_node: String::new(),
        appeal: 0,
    };
    let client = "192.0.2.7:7".parse().unwrap();
    let person = Person { contact: CONTACT.into(), text: String::new(), client };
    store.add(&report, &person, &record(number, "received", seq)).unwrap();
    store.find(number).unwrap().unwrap().report.id
}

fn record(number: &str, event: &'static str, seq: u64) -> OutboxRow {
    let row = record::Report {
        report: number,
        event,
        category: "fraud",
        subject: "bad.example",
        code: "",
        registrable_domain: "bad.example",
        text: "",
        contact: "",
        decision: "",
        reason: "",
        actor: "",
        due: Timestamp::ZERO,
        client: "192.0.2.7:7".parse().unwrap(),
        client_key: "",
        psl_version: "",
        flow: Flow(5),
        subject_kind: "host",
        host: "bad.example",
        act: "",
        answer: "",
        feed: "",
        appeal: "",
    };
    let (node, lane) = ("it".parse().unwrap(), LaneId::new(1_900_000_000, 0, Table::Reports));
    let mut bytes = Vec::new();
    row.encode(&Head { node: &node, lane, seq, ts: Timestamp::ZERO }, &mut bytes);
    OutboxRow { lane, seq, schema: SchemaId::newest(Table::Reports), bytes }
}

#[test]
fn what_is_under_way_is_in_no_backup() {
    let server = node().start();
    let data = server.data();
    let file = server.home().path().join("links.backup");
    let (status, home) = server.terminate();
    assert!(status.success());
    let path = data.join("reports.sqlite");
    let store = SqliteReports::open(&path, &"it".parse().unwrap()).unwrap();
    let step = |event: &'static str| Step {
        ts: Timestamp::from_secs(1_900_000_001),
        event,
        decision: Decision::Accepted,
        act: Act::Nothing,
        reason: "seen".into(),
        answer: String::new(),
        actor: "operator".into(),
    };
    let lane = record("", "received", 0).lane;
    // Whole; decided, but nobody can say that it is kept; and not even that it came.
    let whole = promised(&store, "AAAAAAAAAAAA", 0);
    store.step(whole, 0, &step("decided"), &record("AAAAAAAAAAAA", "decided", 1)).unwrap();
    let decided = promised(&store, "BBBBBBBBBBBB", 2);
    store.forget(&[(lane, 0), (lane, 1), (lane, 2)]).unwrap();
    store.step(decided, 0, &step("decided"), &record("BBBBBBBBBBBB", "decided", 3)).unwrap();
    store.step(decided, 1, &step("acted"), &record("BBBBBBBBBBBB", "acted", 4)).unwrap();
    promised(&store, "CCCCCCCCCCCC", 5);
    drop(store);
    let made = run(&["link", "backup", file.to_str().unwrap()], &data);
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(printed(&made)["reports"], 2);
    for name in ["control.sqlite", "reports.sqlite"] {
        for end in ["", "-wal", "-shm"] {
            fs::remove_file(data.join(format!("{name}{end}"))).ok();
        }
    }
    let restored = run(&["link", "restore", file.to_str().unwrap()], &data);
    assert!(restored.status.success(), "{}", said(&restored));
    let store = SqliteReports::open(&path, &"it".parse().unwrap()).unwrap();
    let state = |number: &str| store.find(number).unwrap().map(|s| s.state());
    assert_eq!(state("AAAAAAAAAAAA"), Some("decided"));
    assert_eq!(state("BBBBBBBBBBBB"), Some("received"));
    assert_eq!(state("CCCCCCCCCCCC"), None);
    assert!(store.outbox().unwrap().is_empty());
    let counts = store.counts(Timestamp::ZERO).unwrap();
    assert_eq!(counts.open, 1, "what was taken back waits again");
    drop((store, home));
}
