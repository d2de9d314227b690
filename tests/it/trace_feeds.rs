//! What was listed at a time and what feeds did, against the real engine.

use serde_json::{Map, Value, json};
use tracegate::{
    clock::Timestamp,
    record::{Flow, Row, Table, rowbinary::Writer},
    trace::{AskListed, Counted, Error, Listed, Subject},
};

use crate::trace::{Bed, Rows, VISITOR, at, jump, look, resolution, tail};

/// A row of `rules`.
struct Rule {
    feed: &'static str,
    version: u64,
    rule: &'static str,
    action: &'static str,
    order_number: &'static str,
    legal: &'static str,
}

impl Row for Rule {
    const TABLE: Table = Table::Rules;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.feed).str(&self.version.to_string()).str(self.rule).str(self.rule);
        w.str(self.action).str("block").str("police").str(self.order_number);
        w.ts(Timestamp::ZERO).ts(Timestamp::ZERO).str(self.rule).str(self.legal);
    }
}

/// A row of `feed_events`.
struct Event {
    feed: &'static str,
    version: u64,
    event: &'static str,
}

impl Row for Event {
    const TABLE: Table = Table::FeedEvents;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.feed).str(&self.version.to_string()).str(self.event).raw(&[0; 32]).str("");
        w.u64(0).u64(0).str("{}");
    }
}

const fn rule(version: u64, rule: &'static str, order_number: &'static str) -> Rule {
    let legal = r#"{"content_class":"vice-or-crime","due_at":"2026-11-20T00:00:00.000000Z"}"#;
    Rule { feed: "f", version, rule, action: "nxdomain", order_number, legal }
}

fn blocked(version: &str, rule: &str, qname: &str) -> Vec<u8> {
    let mut tail = tracegate::record::ResolutionTail {
        registrable_domain: "evil.test".into(),
        qname: qname.into(),
        qtype: 1,
        qclass: 1,
        rcode: 3,
        ..Default::default()
    };
    tail.action = "nxdomain";
    tail.rule = rule.into();
    tail.feed = "f".into();
    tail.feed_version = version.into();
    tail.encode()
}

fn scene(rows: &mut Rows) {
    rows.add("n1", 0, &rule(1, "*.evil.test", "2026-1"));
    rows.add("n1", 0, &rule(1, "old.test", "2026-1"));
    rows.add("n1", 5_000, &rule(2, "a.evil.test", "2026-2"));
    let gone = Rule { action: "removed", legal: "", order_number: "", ..rule(2, "old.test", "") };
    rows.add("n1", 5_000, &gone);
    let reset = Rule { action: "reset", legal: "", order_number: "", ..rule(3, "", "") };
    rows.add("n1", 8_000, &reset);
    rows.add("n1", 100, &Event { feed: "f", version: 1, event: "in-force" });
    rows.add("n2", 200, &Event { feed: "f", version: 1, event: "in-force" });
    rows.add("n1", 5_100, &Event { feed: "f", version: 2, event: "in-force" });
    rows.add("n1", 5_050, &Event { feed: "f", version: 2, event: "received" });
    let open = tail("a.evil.test", "evil.test", &["192.0.2.66"]);
    rows.add("n1", 50, &resolution(VISITOR, Flow::NONE, &open));
    for (millis, version, rule) in
        [(1_000, "1", "*.evil.test"), (2_000, "1", "*.evil.test"), (6_000, "2", "a.evil.test")]
    {
        let tail = blocked(version, rule, "a.evil.test");
        rows.add("n1", millis, &resolution(VISITOR, Flow::NONE, &tail));
    }
    let other = blocked("1", "*.evil.test", "b.evil.test");
    rows.add("n1", 1_500, &resolution(VISITOR, Flow::NONE, &other));
    let mut stopped = jump("abc", "https://a.evil.test/x", Flow::NONE);
    (stopped.target_host, stopped.target_registrable_domain) = ("a.evil.test", "evil.test");
    (stopped.status, stopped.outcome, stopped.action) = (451, "stopped", "nxdomain");
    (stopped.rule, stopped.feed, stopped.feed_version) = ("a.evil.test", "f", "2");
    rows.add("n1", 7_000, &stopped);
}

fn texts(_: &Subject) -> Vec<String> {
    ["a.evil.test", "*.evil.test", "old.test"].map(str::to_owned).to_vec()
}

async fn judged(listed: Listed) -> Result<Map<String, Value>, Error> {
    let rules: Vec<_> =
        listed.rules.iter().map(|r| json!([r.version, r.rule, r.columns["action"]])).collect();
    let nodes: Vec<_> =
        listed.on_nodes.iter().map(|n| format!("{} {} {}", n.node, n.feed, n.version)).collect();
    let Value::Object(map) = json!({ "rules": rules, "nodes": nodes }) else { unreachable!() };
    Ok(map)
}

#[tokio::test]
async fn a_time_is_told_as_it_was() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    scene(&mut rows);
    bed.insert(&rows).await;
    let tracer = bed.tracer(|limits| limits.around_s = 3);
    let ask = |text: &str, millis: i64| AskListed {
        text: text.into(),
        at: at(millis).to_string(),
        misfit: false,
    };
    let listed = async |ask: AskListed| -> Value {
        let page = tracer.listed(&look("auditor"), &ask, texts, judged).await.unwrap();
        serde_json::from_slice(&page).unwrap()
    };

    let page = listed(ask("A.evil.test.", 1_200)).await;
    assert_eq!(page["name"], "A.evil.test.");
    assert_eq!(page["kind"], "domain");
    assert_eq!(page["nodes"], json!(["n1 f 1", "n2 f 1"]));
    // Rows of every version: which one was in force is for whoever judges.
    let expected = json!([
        [3, "", "reset"],
        [2, "a.evil.test", "nxdomain"],
        [2, "old.test", "removed"],
        [1, "*.evil.test", "nxdomain"],
        [1, "old.test", "nxdomain"],
    ]);
    let sorted = |v: &Value| {
        let mut all: Vec<_> = v.as_array().unwrap().iter().map(Value::to_string).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&page["rules"]), sorted(&expected));
    let answers = &page["answers"];
    let shown: Vec<_> = answers["resolutions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| format!("{} {} {} {}", a["count"], a["rule"], a["feed_version"], a["answers"]))
        .collect();
    assert_eq!(shown, [r#"2 "*.evil.test" "1" []"#, r#"1 "" "" ["192.0.2.66"]"#]);
    assert_eq!(answers["jumps"], json!([]));
    assert!(page["complete_through"]["here"].is_string() && page["gaps"].is_array());
    assert!(!page.to_string().contains("198.51.100.9"), "{page}");

    let page = listed(ask("https://a.evil.test/x", 6_500)).await;
    assert_eq!(page["nodes"], json!(["n1 f 2", "n2 f 1"]));
    assert_eq!(page["answers"]["jumps"][0]["outcome"], "stopped");
    assert_eq!(page["answers"]["resolutions"][0]["rule"], "a.evil.test");
    let page = listed(ask("192.0.2.66", 0)).await;
    assert_eq!(page["answers"]["resolutions"][0]["qname"], "a.evil.test");

    let error = tracer.listed(&look("writer"), &ask("x.test", 0), texts, judged).await;
    assert_eq!(error.unwrap_err(), Error::Role);
    let bad = AskListed { at: "soon".into(), ..ask("x.test", 0) };
    let error = tracer.listed(&look("operator"), &bad, texts, judged).await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
    let looks = bed.looks(5);
    let outcomes: Vec<_> = looks.iter().map(|l| l["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["answered", "answered", "answered", "refused", "refused"]);
    assert_eq!(looks[0]["rows"], 3);
    let question: Value = serde_json::from_str(looks[0]["question"].as_str().unwrap()).unwrap();
    assert_eq!(question["kind"], "rules");
    assert_eq!(question["to"], at(1_200).to_string());
}

#[tokio::test]
async fn hits_are_counted_by_version_rule_and_order() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    scene(&mut rows);
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    let (send, mut counted) = tokio::sync::mpsc::unbounded_channel::<Counted>();
    let write = async |c: Option<Counted>| -> Result<Vec<u8>, Error> {
        send.send(c.unwrap()).unwrap();
        Ok(b"report".to_vec())
    };
    let page = tracer.report(&look("auditor"), "f", at(0), write).await.unwrap();
    assert_eq!(page, b"report");
    let counted = counted.recv().await.unwrap();
    let versions: Vec<_> = counted
        .versions
        .iter()
        .map(|v| format!("{} {} {} {}", v.version, v.jumps, v.action, v.count))
        .collect();
    assert_eq!(versions, ["1 false nxdomain 3", "2 false nxdomain 1", "2 true nxdomain 1"]);
    let hit: Vec<_> = counted
        .rules
        .iter()
        .map(|r| format!("{} {} {} {}", r.rule, r.version, r.jumps, r.count))
        .collect();
    assert_eq!(hit, ["*.evil.test 1 false 3", "a.evil.test 2 false 1", "a.evil.test 2 true 1"]);
    assert_eq!((counted.rules[0].first, counted.rules[0].last), (at(1_000), at(2_000)));
    let orders: Vec<_> = counted
        .orders
        .iter()
        .map(|o| {
            format!("{} {} {} {} {}", o.order_number, o.content_class, o.version, o.rules, o.due_at)
        })
        .collect();
    assert_eq!(
        orders,
        [
            "2026-1 vice-or-crime 1 2 2026-11-20T00:00:00.000000Z",
            "2026-2 vice-or-crime 2 1 2026-11-20T00:00:00.000000Z",
        ]
    );
    let by_order: Vec<_> = counted
        .order_hits
        .iter()
        .map(|o| format!("{} {} {}", o.order_number, o.jumps, o.count))
        .collect();
    assert_eq!(by_order, ["2026-1 false 3", "2026-2 false 1", "2026-2 true 1"]);
    assert!(!counted.more);

    let refused = tracer.report(&look("writer"), "f", at(0), async |_| Ok(Vec::new())).await;
    assert_eq!(refused, Err(Error::Role));
    let looks = bed.looks(2);
    let shown: Vec<_> = looks
        .iter()
        .map(|l| format!("{} {} {}", l["outcome"], l["rows"], l["question"].as_str().unwrap()))
        .collect();
    assert_eq!(shown[0], r#""answered" 5 {"text":"f","kind":"feed"}"#);
    assert_eq!(shown[1], r#""refused" 0 {"text":"f","kind":"feed"}"#);
}
