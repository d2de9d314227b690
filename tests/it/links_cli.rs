//! Links as their owners meet them: commands, imports with a report, backup and restore.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{
    harness::{Server, eventually, tracegate},
    server::{complete, json, node, read, said},
    site,
};

#[track_caller]
fn run(server: &Server, args: &[&str]) -> Value {
    let output = server.cli([args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    json(&output)
}

#[test]
fn a_link_is_made_listed_and_changed() {
    let server = node().start();
    let password = server.home().path().join("password");
    fs::write(&password, "open sesame\n").unwrap();
    let made = run(
        &server,
        &[
            "link",
            "create",
            "https://www.demo.test/a",
            "--code",
            "my-link",
            "--owner",
            "shop",
            "--tag",
            "x",
            "--tag",
            "y",
            "--visits-max",
            "5",
            "--status",
            "307",
            "--password-file",
            password.to_str().unwrap(),
            "--verified-how",
            "id_card",
            "--verified-when",
            "2026-01-01T00:00:00Z",
            "--verified-reference",
            "case-7",
        ],
    );
    assert_eq!((&made["password"], &made["status"]), (&true.into(), &307.into()));
    assert_eq!(made["owner_verification"]["how"], "id_card");
    let page = run(&server, &["link", "list", "--tag", "y", "--owner", "shop"]);
    assert_eq!(page["links"][0]["code"], "my-link");
    fs::write(&password, "").unwrap();
    let changed = run(
        &server,
        &[
            "link",
            "edit",
            "my-link",
            "--visits-max",
            "0",
            "--expires",
            "2040-01-01T00:00:00Z",
            "--password-file",
            password.to_str().unwrap(),
            "--reason",
            "sold out",
        ],
    );
    assert_eq!((&changed["password"], &changed["visits_max"]), (&false.into(), &Value::Null));
    assert_eq!(changed["target"], "https://www.demo.test/a");
    let late = server.cli(["link", "edit", "my-link", "--revision", "1", "--purpose", "p"]);
    assert_eq!(late.status.code(), Some(1), "{}", said(&late));
    let exported = server.cli(["link", "export", "--revisions"]);
    let lines = String::from_utf8(exported.stdout).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

const SHLINK: &str = r#"{"shortUrls": {"data": [
    {"shortCode": "abcDEF1", "longUrl": "https://www.demo.test/1", "tags": ["a", "b"],
     "visitsSummary": {"total": 2, "nonBots": 2, "bots": 0}, "forwardQuery": true,
     "meta": {"validSince": null, "validUntil": "2040-01-01T00:00:00+08:00", "maxVisits": 9}},
    {"shortCode": "two/parts", "longUrl": "https://www.demo.test/2", "meta": {}},
    {"shortCode": "used-up", "longUrl": "https://www.demo.test/3", "hasRedirectRules": true,
     "visitsSummary": {"total": 3}, "forwardQuery": false, "meta": {"maxVisits": 3}},
    {"shortCode": "long-over", "longUrl": "https://www.demo.test/4",
     "meta": {"validUntil": "2020-01-01T00:00:00+08:00"}}
]}}"#;

#[test]
fn links_are_taken_over_with_a_report_for_each() {
    let server = node().start();
    let dir = server.home().path().to_owned();
    let write = |name: &str, text: &str| {
        fs::write(dir.join(name), text).unwrap();
        dir.join(name).to_str().unwrap().to_owned()
    };
    let report = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    let import = |file: &str, out: &str, more: &[&str]| {
        let out = dir.join(out);
        let args = ["link", "import", file, "--report", out.to_str().unwrap()];
        server.cli([&args[..], more].concat())
    };
    let csv = write(
        "links.csv",
        "keyword,url,title,password\n\
         one,https://www.demo.test/one,\"One, first\",\n\
         two,javascript:alert(1),,\n\
         one,https://www.demo.test/again,,\n\
         secret,https://www.demo.test/secret,,yes\n\
         \u{77ed}\u{7801},https://www.demo.test/odd,,\n\
         ,https://www.demo.test/any,,\n",
    );
    let done = import(&csv, "first", &["--from", "yourls", "--owner", "old"]);
    assert_eq!(done.status.code(), Some(1), "some were refused: {}", said(&done));
    let rows = report("first");
    let codes: Vec<_> = rows.iter().map(|r| r["problem"]["code"].as_str().unwrap_or("")).collect();
    assert_eq!(codes, ["", "target_scheme", "code_taken", "", "code_not_allowed", ""]);
    // Nobody knows its password: nobody follows it, and nobody else gets its code.
    assert_eq!(
        (&rows[3]["without"], &rows[3]["state"]),
        (&serde_json::json!(["password"]), &"disabled".into())
    );
    assert_eq!((jump(&server, "one"), jump(&server, "secret")), (302, 410));
    let taken = server.cli(["link", "create", "https://www.demo.test/", "--code", "secret"]);
    assert!(said(&taken).contains("in use"), "{}", said(&taken));
    let secret = run(&server, &["link", "show", "secret"]);
    assert!(secret["reason"].as_str().unwrap().contains("password"), "{secret}");
    assert_eq!(rows.iter().map(|r| r["row"].as_u64().unwrap()).sum::<u64>(), 21);
    // The same again makes nothing twice.
    import(&csv, "second", &["--from", "yourls", "--owner", "old"]);
    let again = report("second");
    assert_eq!((&again[0]["repeated"], &again[5]["repeated"]), (&true.into(), &true.into()));
    assert_eq!(again[5]["code"], rows[5]["code"]);
    let one = run(&server, &["link", "show", "one"]);
    assert_eq!((&one["purpose"], &one["owner"]), (&"One, first".into(), &"old".into()));
    assert_eq!((&one["source"], &one["revision"]), (&"yourls".into(), &1.into()));

    let shlink = write("shlink.json", SHLINK);
    import(&shlink, "third", &["--from", "shlink"]);
    let rows = report("third");
    assert_eq!(rows[0]["code"], "abcDEF1", "codes stay what they were: {rows:?}");
    assert_eq!(rows[1]["problem"]["code"], "code_not_allowed");
    let link = run(&server, &["link", "show", "abcDEF1"]);
    assert_eq!((&link["visits_max"], &link["tags"][1]), (&7.into(), &"b".into()));
    assert_eq!(link["forward_query"], true);
    assert_eq!(
        (&rows[2]["state"], &rows[2]["without"]),
        (&"disabled".into(), &serde_json::json!(["redirect rules"]))
    );
    assert!(rows[3]["problem"].is_null(), "{rows:?}");
    assert_eq!((jump(&server, "used-up"), jump(&server, "long-over")), (410, 410));
    assert_eq!(link["expires"], "2039-12-31T16:00:00.000000Z");

    let named = write("named.csv", "Where;Name\nhttps://www.demo.test/x;x-1\n");
    let done = import(&named, "fourth", &[]);
    assert!(said(&done).contains("--column"), "{}", said(&done));
    let done = import(&named, "fifth", &["--column", "target=Where", "--column", "code=Name"]);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(report("fifth")[0]["code"], "x-1");
}

fn jump(server: &Server, code: &str) -> u16 {
    let host = server.gateway().to_string();
    site::ask(server.gateway(), "GET", &format!("/{code}"), &[("Host", &host)], "").status
}

#[test]
fn what_is_restored_never_gives_a_code_out_again() {
    let server = node().start();
    let create = |server: &Server| -> String {
        let made = run(server, &["link", "create", "https://www.demo.test/"]);
        made["code"].as_str().unwrap().to_owned()
    };
    let mut given: BTreeSet<String> = (0..3).map(|_| create(&server)).collect();
    let dir = server.home().path().to_owned();
    let file = dir.join("links.backup");
    let path = file.to_str().unwrap();
    let told = run(&server, &["link", "backup", path]);
    assert_eq!((&told["links"], &told["revisions"]), (&3.into(), &3.into()));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = server.cli(["link", "backup", path]);
    assert_eq!(again.status.code(), Some(1), "a backup overwrites nothing");
    // These are in no backup.
    let lost: Vec<String> = (0..3).map(|_| create(&server)).collect();
    given.extend(lost.iter().cloned());
    let chosen = ["link", "create", "https://www.demo.test/", "--code", "chosen-later"];
    run(&server, &chosen);
    let refused = server.cli(["link", "restore", path]);
    assert!(said(&refused).contains("move it away"), "{}", said(&refused));
    let data = server.data();
    let (status, home) = server.terminate();
    assert!(status.success());
    for gone in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
        fs::remove_file(data.join(gone)).ok();
    }
    let key = data.join("secrets/codes.key");
    let before = fs::read(&key).unwrap();
    // Another key is not overwritten.
    fs::write(&key, format!("{}\n", "ab".repeat(32))).unwrap();
    assert!(!restore(path, &data).status.success());
    assert!(!data.join("control.sqlite").exists());
    fs::remove_file(&key).unwrap();
    let restored = restore(path, &data);
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(fs::read(&key).unwrap(), before);
    let server = home.start();
    for code in &given {
        let there = !lost.contains(code);
        assert_eq!(jump(&server, code) == 404, !there, "{code}");
    }
    for _ in 0..3 {
        let code = create(&server);
        assert!(given.insert(code.clone()), "{code} was given twice");
    }
    // Nor is one given to another that somebody chose.
    let refused = server.cli(chosen);
    assert!(said(&refused).contains("in use"), "{}", said(&refused));
}

#[test]
fn visits_are_counted() {
    let server = node().start();
    let made = run(&server, &["link", "create", "https://www.demo.test/", "--code", "my-link"]);
    assert_eq!(made["code"], "my-link");
    for _ in 0..3 {
        assert_eq!(jump(&server, "my-link"), 302);
    }
    run(&server, &["link", "disable", "my-link", "--reason", "test"]);
    assert_eq!(jump(&server, "my-link"), 410);
    complete(&server);
    let stats = run(&server, &["link", "stats", "my-link", "--from", "-1h"]);
    assert_eq!((&stats["visits"], &stats["clients"]), (&4.into(), &1.into()), "{stats}");
    let outcomes = stats["outcomes"].as_array().unwrap();
    let first = (&outcomes[0]["outcome"], &outcomes[0]["visits"]);
    assert_eq!(first, (&"jumped".into(), &3.into()), "{stats}");
    assert_eq!(outcomes[1]["outcome"], "disabled");
    let sum = |name: &str| -> u64 {
        stats[name].as_array().unwrap().iter().map(|h| h["visits"].as_u64().unwrap()).sum()
    };
    assert_eq!((sum("hours"), sum("days")), (4, 4));
    assert_eq!(stats["gaps"], serde_json::json!([]));
    // Whoever looked is on record.
    eventually("the look is in the store", || {
        // This question is on record as well, each time it is asked.
        let sql = "SELECT count() FROM tracegate.access WHERE question LIKE '%link_stats%' \
                   AND question NOT LIKE '%tracegate.access%'";
        (read(&server, sql).body.trim() == "1").then_some(())
    });
}

fn restore(file: &str, data: &Path) -> std::process::Output {
    tracegate(["link", "restore", file, "--data-dir"]).arg(data).output().unwrap()
}
