//! Reach and compliance of warnings, against the real engine.

use serde_json::Value;
use tracegate::{
    record::{Flow, Notice},
    trace::{AskReach, Error},
};

use crate::trace::{Bed, Rows, VISITOR, look};

fn notice(flow: u128, event: &'static str) -> Notice<'static> {
    Notice {
        client: VISITOR.parse().unwrap(),
        client_key: "",
        code: "abc1234",
        tier: "interstitial",
        text_version: "1+a",
        language: "zh-CN",
        event,
        dwell_ms: 4_000,
        rule: "www.demo.test",
        feed: "regulator",
        feed_version: "7",
        flow: Flow(flow),
        service: "link",
        host: "127.0.0.1:8080",
        target: "https://www.demo.test/",
        target_registrable_domain: "demo.test",
        form: "",
        tier_version: "1+b",
        authority: "",
        order_number: "",
        reason: "",
        client_class: "person",
        psl_version: "",
        continued_by: if event == "continued" { "visitor" } else { "" },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_count_once_and_machines_not_at_all() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let mut add = |n: &Notice<'_>| drop(rows.add("n1", 1_000, n));
    for flow in 1..=10 {
        add(&notice(flow, "issued"));
    }
    // Five were laid out, one of them twice; two went on, one of them in a browser without styles.
    for (flow, event) in [
        (1, "rendered"),
        (1, "rendered"),
        (2, "rendered"),
        (3, "rendered"),
        (4, "rendered"),
        (5, "rendered"),
        (1, "continued"),
        (1, "continued"),
        (6, "continued"),
        (2, "returned"),
        (3, "reported"),
    ] {
        add(&notice(flow, event));
    }
    // One read it in the other language, too, and went on there; one turned stricter on the way; a
    // page went on by itself; a preview is nobody.
    let en = |flow, event| Notice { language: "en", ..notice(flow, event) };
    for n in [
        notice(11, "issued"),
        notice(11, "rendered"),
        en(11, "issued"),
        en(11, "rendered"),
        en(11, "continued"),
        Notice { tier: "block", ..en(11, "issued") },
        en(12, "issued"),
        Notice { continued_by: "page", ..en(12, "continued") },
        Notice { client_class: "preview", ..notice(99, "issued") },
    ] {
        add(&n);
    }
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    let page = tracer.reach(&look("auditor"), &AskReach::default()).await.unwrap();
    let page: Value = serde_json::from_slice(&page).unwrap();
    let found = page["notices"].as_array().unwrap();
    assert_eq!(found.len(), 3, "{page}");
    let zh = found.iter().find(|r| r["language"] == "zh-CN").unwrap();
    for (column, value) in [
        ("tier", Value::from("interstitial")),
        ("feed", "regulator".into()),
        ("text_version", "1+a".into()),
        ("issued", 10.into()),
        ("rendered", 6.into()),
        ("continued", 2.into()),
        ("returned", 1.into()),
        ("reported", 1.into()),
        ("continued_after_ms", 4_000.into()),
        ("reach", 0.6.into()),
        ("compliance", 0.6667.into()),
    ] {
        assert_eq!(zh[column], value, "{column}: {zh}");
    }
    let of = |tier: &str| {
        let row = found.iter().find(|r| r["language"] == "en" && r["tier"] == tier).unwrap();
        ["issued", "rendered", "continued", "passed", "reach", "compliance"].map(|c| row[c].clone())
    };
    assert_eq!(
        of("interstitial"),
        [2, 2, 1, 1]
            .map(Value::from)
            .into_iter()
            .chain([1.0.into(), 0.0.into()])
            .collect::<Vec<_>>()[..]
    );
    assert_eq!(of("block")[4..], [0.0.into(), Value::Null]);
    assert_eq!(page["truncated"], false);
    assert!(page["complete_through"].is_object());
    let before = AskReach { to: Some("2020-01-01".into()), ..AskReach::default() };
    let page = tracer.reach(&look("operator"), &before).await.unwrap();
    let page: Value = serde_json::from_slice(&page).unwrap();
    assert_eq!(page["notices"], Value::Array(Vec::new()));
    assert_eq!(tracer.reach(&look("writer"), &before).await.unwrap_err(), Error::Role);
    let looks = bed.looks(3);
    assert_eq!(looks[0]["rows"], 13);
    assert_eq!(looks[2]["outcome"], "refused");
}
