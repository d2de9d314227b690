//! One visitor from the question to the trace, and whether it is all still there after a crash.

use std::{collections::BTreeSet, net::Ipv4Addr};

use serde_json::Value;
use tracegate::config::Durability;

use super::{call, complete, json, kinds, node, query_from, read, said};
use crate::{
    harness::{Server, eventually},
    site,
};

const TARGET: &str = "https://www.demo.test/sale?id=7";
const CASE: [&str; 4] = ["--case", "T-1", "--purpose", "a complaint"];

/// What happened, as its actors saw it.
struct Story {
    code: String,
    short_url: String,
    /// The port from which the name was asked.
    port: u16,
}

#[test]
fn the_chain_is_there_and_stays() {
    tell(Durability::Written);
}

#[test]
fn the_chain_is_there_and_stays_when_synced() {
    tell(Durability::Synced);
}

fn tell(durability: Durability) {
    let server = node()
        .config(|c| {
            c.spool.durability = durability;
            c.gateway.public_url = "https://go.example".into();
        })
        .start();
    let story = live(&server);
    complete(&server);
    let before = chains(&server, &story);
    looks_are_kept(&server);

    let server = server.kill9().start();
    complete(&server);
    let after = chains(&server, &story);
    for ((question, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before["records"], after["records"], "{question}");
        // A process that dies loses nothing it wrote, so nothing may be claimed missing.
        assert_eq!(after["gaps"], serde_json::json!([]), "{question}");
    }
    looks_are_kept(&server);
    // The link itself lives on, and the next code is another one.
    let location = jump(&server, &story.code);
    assert_eq!(location.as_deref(), Some(TARGET));
    let next = json(&server.cli(["link", "create", TARGET, "--format", "json"]));
    assert_ne!(next["code"], story.code.as_str());
}

/// A name is asked, a link made, the link followed.
fn live(server: &Server) -> Story {
    let (response, port) = query_from(Ipv4Addr::LOCALHOST, server.dns(), "www.demo.test", 1);
    assert_eq!(response.answers[0].data.ip_addr(), Some([192, 0, 2, 80].into()));
    let made = server.cli(["link", "create", TARGET, "--owner", "shop", "--format", "json"]);
    assert!(made.status.success(), "{}", said(&made));
    let link = json(&made);
    let text = |name: &str| link[name].as_str().expect(name).to_owned();
    let story = Story { code: text("code"), short_url: text("short_url"), port };
    assert_eq!(story.short_url, format!("https://go.example/{}", story.code));
    assert_eq!(jump(server, &story.code).as_deref(), Some(TARGET));
    story
}

fn jump(server: &Server, code: &str) -> Option<String> {
    let host = server.gateway().to_string();
    let headers = [("Host", host.as_str()), ("User-Agent", "visitor/1")];
    let reply = site::ask(server.gateway(), "GET", &format!("/{code}"), &headers, "");
    assert_eq!(reply.status, 302, "{}", reply.body);
    reply.header("location").map(str::to_owned)
}

/// Every kind of question, each in both formats; the pages in JSON by question.
fn chains(server: &Server, story: &Story) -> Vec<(String, Value)> {
    let client = format!("127.0.0.1:{}", story.port);
    let questions: [(&str, &str, &[&str]); 8] = [
        (TARGET, "url", &["conversion", "jump", "resolution"]),
        (&story.code, "link", &["conversion", "jump", "resolution"]),
        ("demo.test", "domain", &["conversion", "jump", "resolution"]),
        ("192.0.2.80", "address", &["jump", "resolution"]),
        ("2001:db8::80", "address", &["jump", "resolution"]),
        (&client, "client", &["resolution"]),
        ("127.0.0.1", "client", &["jump", "resolution"]),
        (&story.short_url, "link", &["conversion", "jump", "resolution"]),
    ];
    let mut pages = Vec::new();
    for (question, kind, expected) in questions {
        // A client has to be asked for by name; the other kinds are known by their looks.
        let page = both_formats(server, question, (kind == "client").then_some(kind));
        assert_eq!(page["question"]["kind"], kind, "{question}");
        let found = kinds(&page);
        let expected = BTreeSet::from_iter(expected.iter().copied());
        assert!(found.is_superset(&expected), "{question}: {found:?}");
        pages.push((question.to_owned(), page));
    }
    let (_, chain) = &pages[1];
    check_chain(chain, story);
    for record in chain["records"].as_array().unwrap() {
        let id = record["id"].as_str().unwrap();
        let page = both_formats(server, id, None);
        assert_eq!(page["question"]["kind"], "record", "{id}");
        let records = page["records"].as_array().unwrap();
        assert!(records.iter().any(|r| r["id"] == id), "{id}: {page}");
        let one = call(server, &server.token(), "GET", &format!("/api/v1/records/{id}"), "");
        assert_eq!((one.status, &one.json()["id"]), (200, &record["id"]), "{}", one.body);
    }
    pages
}

/// The JSON page, after the text has been found to tell the same records.
fn both_formats(server: &Server, question: &str, kind: Option<&str>) -> Value {
    let mut args = vec!["trace", question];
    args.extend(kind.iter().flat_map(|k| ["--kind", k]));
    args.extend(CASE);
    let text = server.cli(&args);
    assert!(text.status.success(), "{question}: {}", said(&text));
    let text = String::from_utf8(text.stdout).unwrap();
    args.extend(["--format", "json"]);
    let page = json(&server.cli(&args));
    for record in page["records"].as_array().unwrap() {
        let id = record["id"].as_str().unwrap();
        assert!(text.contains(id), "{question}: the text lacks {id}:\n{text}");
    }
    assert!(text.contains("Complete through"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    page
}

/// The link's chain: conversion, the jump's own questions, the jump; one flow, in order of time.
fn check_chain(page: &Value, story: &Story) {
    let records = page["records"].as_array().unwrap();
    let times: Vec<_> = records.iter().map(|r| r["ts"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let of = |kind| records.iter().filter(move |r| r["kind"] == kind);
    let conversion = of("conversion").next().unwrap();
    assert_eq!(
        (&conversion["code"], &conversion["owner"]),
        (&story.code.as_str().into(), &"shop".into())
    );
    let jump = of("jump").next().unwrap();
    assert_eq!(jump["target"], TARGET);
    assert_eq!(jump["user_agent"], "visitor/1");
    assert_ne!(jump["flow"], 0);
    assert!(of("resolution").any(|r| r["flow"] == jump["flow"] && r["qname"] == "www.demo.test"));
}

/// Every look of the command line is a record of its own.
fn looks_are_kept(server: &Server) {
    let sql = "SELECT count() FROM tracegate.access WHERE actor = 'operator' AND outcome = 'answered' AND \
               case_number = 'T-1' AND purpose = 'a complaint' AND JSONExtractString(question, \
               'kind') = 'client' AND rows > 0 FORMAT TSV";
    eventually("looks at a client are in the store", || {
        let reply = read(server, sql);
        assert_eq!(reply.status, 200, "{}", reply.body);
        // Two questions by client, each in text and JSON.
        let count: u64 =
            reply.body.lines().find_map(|l| l.trim().parse().ok().filter(|n| *n > 3))?;
        Some(count)
    });
}

/// What is left of a machine is its secrets, and the store.
#[test]
fn a_lost_database_gives_out_no_code_again() {
    let make = |server: &Server| {
        let made = server.cli(["link", "create", TARGET, "--format", "json"]);
        json(&made)["code"].as_str().unwrap_or_else(|| panic!("{}", said(&made))).to_owned()
    };
    let server = node().start();
    let first: BTreeSet<String> = (0..3).map(|_| make(&server)).collect();
    complete(&server);
    let (status, home) = server.terminate();
    assert!(status.success(), "{}", home.log());
    let data = home.path().join("data");
    for file in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
        std::fs::remove_file(data.join(file)).ok();
    }
    std::fs::remove_dir_all(data.join("spool")).unwrap();
    let clock = tracegate::clock::Clock::system();
    let then = clock.now().secs();
    eventually("the second is over", || (clock.now().secs() > then).then_some(()));
    let server = home.start();
    let next: BTreeSet<String> = (0..3).map(|_| make(&server)).collect();
    assert!(first.is_disjoint(&next), "{first:?} {next:?}");
}
