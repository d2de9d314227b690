//! Questions about forwards against the real engine: by host, by URL and by code.

use serde_json::Value;
use tracegate::{
    record::{Conversion, Flow, Jump, LaneId},
    trace::Ask,
};

use crate::trace::{Bed, Rows, conversion, jump, look};

const HOST: &str = "fwd:old.example.com";
const SALE: &str = "fwd:old.example.com/sale";
const DEEP: &str = "fwd:www.old.example.com/sale/now";

fn made<'a>(code: &'a str, target: &'a str) -> Conversion<'a> {
    Conversion { service: "forward", domain: "old.example.com", ..conversion(code, target) }
}

fn forwarded<'a>(code: &'a str, target: &'a str, lane: u64) -> Jump<'a> {
    let flow = Flow::new(LaneId(lane), 0);
    Jump { service: "forward", host: "Old.Example.com:80", ..jump(code, target, flow) }
}

#[tokio::test]
async fn a_host_a_url_and_a_code_find_the_forwards_there() {
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let target = "https://www.demo.test/";
    let to_sale = "http://old.example.com/sale";
    let mut link = conversion("abc1234", to_sale);
    (link.target_host, link.target_registrable_domain) = ("old.example.com", "example.com");
    let mut by_link = jump("abc1234", to_sale, Flow::new(LaneId(90), 0));
    (by_link.target_host, by_link.target_registrable_domain) = ("old.example.com", "example.com");
    let all: Vec<(&str, String)> = vec![
        ("host", rows.add("n1", 0, &made(HOST, target)).to_string()),
        ("sale", rows.add("n1", 10, &made(SALE, target)).to_string()),
        ("deep", rows.add("n1", 20, &made(DEEP, target)).to_string()),
        ("other", rows.add("n1", 30, &made("fwd:xold.example.com", target)).to_string()),
        ("cousin", rows.add("n1", 40, &made("fwd:old.example.com.test", target)).to_string()),
        ("link", rows.add("n1", 50, &link).to_string()),
        ("by host", rows.add("n1", 60, &forwarded(HOST, target, 91)).to_string()),
        ("by sale", rows.add("n1", 70, &forwarded(SALE, target, 92)).to_string()),
        ("by link", rows.add("n1", 80, &by_link).to_string()),
        (
            "by other",
            rows.add("n1", 90, &forwarded("fwd:xold.example.com", target, 93)).to_string(),
        ),
    ];
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    let sale = ["host", "sale", "link", "by host", "by sale", "by link"];
    for (text, kind, answered, expected) in [
        (
            "old.example.com",
            None,
            "domain",
            &["host", "sale", "deep", "link", "by host", "by sale", "by link"][..],
        ),
        ("www.old.example.com", None, "domain", &["deep"]),
        ("cold.example.com", None, "domain", &[]),
        (to_sale, None, "url", &sale),
        (
            "HTTP://old.example.com:80/x/../%73ale",
            None,
            "url",
            &["host", "sale", "by host", "by sale"],
        ),
        (to_sale, Some("url"), "url", &sale),
        ("http://old.example.com/sales", None, "url", &["host", "by host"]),
        ("http://old.example.com/a%2Fsale", None, "url", &["host", "by host"]),
        ("https://www.old.example.com/sale/now/x", None, "url", &["deep"]),
        (SALE, None, "link", &["sale", "by sale"]),
        (HOST, Some("link"), "link", &["host", "by host"]),
        ("fwd:Old.Example.com/%73ale/", Some("link"), "link", &["sale", "by sale"]),
    ] {
        let ask = Ask { text: text.into(), kind: kind.map(str::to_owned), ..Ask::default() };
        let page = tracer.page(&look("operator"), &ask).await.unwrap();
        let page: Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["question"]["kind"], answered, "{text}");
        let records = page["records"].as_array().unwrap().iter();
        let found: Vec<&str> =
            records.map(|r| all.iter().find(|(_, id)| r["id"] == id.as_str()).unwrap().0).collect();
        assert_eq!(found, expected, "{text}");
    }
    bed.engine.supervisor.shutdown().await;
}
