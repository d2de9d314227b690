//! Forwards as their operators meet them: commands, a table with a report, counts, traces, backup.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{Server, eventually, tracegate},
    server::{complete, json, node, said},
    site,
};

#[track_caller]
fn run(server: &Server, args: &[&str]) -> Value {
    let output = server.cli([args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    json(&output)
}

fn visit(server: &Server, host: &str, path: &str) -> u16 {
    site::ask(server.gateway(), "GET", path, &[("Host", host)], "").status
}

const TABLE: &str = "\
from,target,status,forward_path,forward_query,owner,purpose,expires,reason
one.example.com,https://www.demo.test/1,301,yes,yes,shop,\"moved, for good\",2040-01-01,order
one.example.com/%73ale/,https://www.demo.test/2,,,,,,,
ring.example.com,https://knot.example.com/,,,,,,,
knot.example.com,https://ring.example.com/,,,,,,,
localhost,https://www.demo.test/,,,,,,,
two.example.com,javascript:alert(1),,,,,,,
two.example.com,https://www.demo.test/,moved,,,,,,
one.example.com,https://www.demo.test/again,,,,,,,
";

#[test]
fn a_table_of_forwards_is_taken_over_with_a_report_for_each_row() {
    let server = node().start();
    let dir = server.home().path().to_owned();
    let file = dir.join("forwards.csv");
    fs::write(&file, TABLE).unwrap();
    let import = |out: &str| -> Vec<Value> {
        let (file, out) = (file.to_str().unwrap(), dir.join(out));
        let report = out.to_str().unwrap();
        let args = ["forward", "import", file, "--owner", "isp", "--report", report];
        let done = server.cli(args);
        assert_eq!(done.status.code(), Some(1), "some were refused: {}", said(&done));
        let text = fs::read_to_string(out).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    let rows = import("first");
    let why: Vec<_> = rows.iter().map(|r| r["problem"]["code"].as_str().unwrap_or("")).collect();
    assert_eq!(
        why,
        ["", "", "", "loop", "forward_from_refused", "target_scheme", "", "code_taken"],
        "{rows:?}"
    );
    assert_eq!(rows[6]["problem"]["title"], "moved: no status");
    assert_eq!(
        (&rows[1]["from"], &rows[1]["code"], &rows[1]["row"]),
        (&json!("one.example.com/%73ale/"), &json!("fwd:one.example.com/sale"), &json!(2))
    );
    let chain = "fwd:knot.example.com -> fwd:ring.example.com -> fwd:knot.example.com";
    assert_eq!(rows[3]["problem"]["chain"], chain);
    // The same again makes nothing twice.
    let again = import("second");
    for row in &again[..3] {
        assert_eq!((&row["repeated"], row.get("problem")), (&json!(true), None), "{row}");
    }
    let one = run(&server, &["forward", "show", "one.example.com"]);
    for (member, expected) in [
        ("status", json!(301)),
        ("forward_path", json!(true)),
        ("owner", json!("shop")),
        ("purpose", json!("moved, for good")),
        ("expires", json!("2040-01-01T00:00:00.000000Z")),
        ("reason", json!("order")),
    ] {
        assert_eq!(one[member], expected, "{member}: {one}");
    }
    assert_eq!(run(&server, &["forward", "show", "one.example.com/sale"])["owner"], "isp");
    // A table that says something else makes nothing.
    fs::write(&file, "from,target,expire\nthree.example.com,https://www.demo.test/,2030-01-01\n")
        .unwrap();
    let odd = server.cli(["forward", "import", file.to_str().unwrap()]);
    assert!(said(&odd).contains("the column \"expire\" is none of"), "{}", said(&odd));
    let gone = server.cli(["forward", "show", "three.example.com"]);
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn forwards_are_counted_traced_exported_and_backed_up() {
    let server = node().start();
    let target = "https://www.demo.test/";
    run(&server, &["forward", "add", "old.example.com", target, "--owner", "shop"]);
    run(&server, &["forward", "add", "old.example.com/sale", target]);
    for (path, status) in [("/", 302), ("/x", 302), ("/sale/today", 302)] {
        assert_eq!(visit(&server, "old.example.com", path), status, "{path}");
    }
    run(&server, &["forward", "disable", "old.example.com", "--reason", "order 7"]);
    assert_eq!(visit(&server, "old.example.com", "/"), 410);
    complete(&server);
    let stats = |from: &str| run(&server, &["forward", "stats", from, "--from", "-1h"]);
    let whole = stats("Old.example.com/");
    assert_eq!((&whole["code"], &whole["visits"]), (&json!("fwd:old.example.com"), &json!(3)));
    assert_eq!(whole["outcomes"][0]["outcome"], "jumped");
    assert_eq!(whole["outcomes"][1]["outcome"], "disabled");
    assert_eq!(stats("old.example.com/%73ale")["visits"], 1);
    let text = server.cli(["forward", "stats", "old.example.com/sale"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("fwd:old.example.com/sale"), "{text}");
    // A host, a URL and a code find what became of them.
    let count = |args: &[&str], kind: &str| {
        let page = run(&server, &[&["trace"], args].concat());
        let records = page["records"].as_array().unwrap();
        records.iter().filter(|r| r["kind"] == kind && r["service"] == "forward").count()
    };
    assert_eq!(count(&["old.example.com"], "conversion"), 3);
    assert_eq!(count(&["old.example.com"], "jump"), 4);
    assert_eq!(count(&["http://old.example.com/sale/x"], "jump"), 4);
    assert_eq!(count(&["http://old.example.com/other"], "jump"), 3);
    let sale = "fwd:old.example.com/sale";
    assert_eq!(count(&["--kind", "link", sale], "jump"), 1);
    // Exported and backed up with the links.
    let link = run(&server, &["link", "create", target]);
    let exported = server.cli(["link", "export"]);
    let lines = String::from_utf8(exported.stdout).unwrap();
    let codes: Vec<Value> =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["code"].clone()).collect();
    assert_eq!(codes, [link["code"].clone(), json!("fwd:old.example.com"), json!(sale)]);
    let backup = server.home().path().join("links.backup");
    let path = backup.to_str().unwrap();
    let told = run(&server, &["link", "backup", path]);
    assert_eq!((&told["links"], &told["revisions"]), (&json!(3), &json!(4)));
    let data = server.data();
    let (status, home) = server.terminate();
    assert!(status.success());
    for gone in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
        fs::remove_file(data.join(gone)).ok();
    }
    fs::remove_file(data.join("secrets/codes.key")).unwrap();
    let restored = tracegate(["link", "restore", path, "--data-dir"]).arg(&data).output().unwrap();
    assert!(restored.status.success(), "{}", said(&restored));
    let server = home.start();
    assert_eq!(visit(&server, "old.example.com", "/sale"), 302);
    assert_eq!(visit(&server, "old.example.com", "/x"), 410);
}

/// Whoever is refused is told whom to ask, in the text as well.
#[test]
fn the_text_of_a_refusal_names_the_list_and_the_order() {
    let server = node().start();
    run(
        &server,
        &[
            "feed",
            "block-now",
            "bad.example.com",
            "--authority",
            "通信管理局",
            "--order-number",
            "2026-17",
            "--reason",
            "fraud",
        ],
    );
    let target = "https://www.demo.test/";
    for args in [
        &["link", "create", "https://bad.example.com/x"][..],
        &["forward", "add", "f.example.com", "https://bad.example.com/x"],
        &["forward", "add", "bad.example.com/x", target],
    ] {
        eventually("it is refused", || {
            let refused = server.cli(args);
            (refused.status.code() == Some(1)).then(|| {
                let text = said(&refused);
                for part in
                    ["https://bad.example.com/x is on the list ", "通信管理局", "2026-17", "(422"]
                {
                    assert!(text.contains(part), "{part}: {text}");
                }
            })
        });
    }
}
