//! Reports and appeals by the public in chains of records, against the real engine.

use serde_json::Value;
use tracegate::{
    record::{Flow, Report},
    trace::Look,
};

use crate::trace::{Bed, Rows, VISITOR, ask, ask_kind, at, ids, in_a_case, jump, look, page};

const FLOW: Flow = Flow(77);

/// A report of a link, three days from its decision.
fn received<'a>(report: &'a str, subject: &'a str, host: &'a str, code: &'a str) -> Report<'a> {
    Report {
        report,
        event: "received",
        category: "phishing",
        subject,
        code,
        registrable_domain: "demo.test",
        text: "it lies",
        contact: "a@b.example",
        decision: "",
        reason: "",
        actor: "",
        due: at(3 * 86_400_000),
        client: VISITOR.parse().unwrap(),
        client_key: "",
        psl_version: "",
        flow: FLOW,
        subject_kind: if code.is_empty() { "url" } else { "link" },
        host,
        act: "",
        answer: "",
        feed: "",
        appeal: "",
    }
}

/// What became of it: nothing about whoever reported.
fn step<'a>(of: &Report<'a>, event: &'static str) -> Report<'a> {
    Report {
        event,
        text: "",
        contact: "",
        decision: "accepted",
        reason: "seen",
        actor: "operator",
        client: "0.0.0.0:0".parse().unwrap(),
        act: "disable_link",
        answer: "Thank you",
        ..of.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_in_the_chains_of_their_subjects() {
    const TARGET: &str = "https://pay.demo.test/login";
    let bed = Bed::new().await;
    let mut rows = Rows::default();
    let visit = rows.add("n1", 0, &jump("abc1234", TARGET, FLOW)).to_string();
    let first = received("7K2M9QXA03WD", TARGET, "pay.demo.test", "abc1234");
    let mut chain = vec![visit, rows.add("n1", 1_000, &first).to_string()];
    // Days later, far from the exchange.
    for (days, event) in [(1, "decided"), (2, "acted")] {
        chain.push(rows.add("n1", days * 86_400_000, &step(&first, event)).to_string());
    }
    let mut other = received("7K2M9QXA03WE", "http://192.0.2.99/x", "192.0.2.99", "");
    (other.registrable_domain, other.flow) = ("192.0.2.99", Flow(78));
    other.client = "203.0.113.9:9".parse().unwrap();
    let other = vec![rows.add("n1", 500, &other).to_string()];
    let nothing = Vec::new();
    bed.insert(&rows).await;
    let tracer = bed.tracer(|_| {});
    for (asked, expected) in [
        (ask("abc1234"), &chain),
        (ask(TARGET), &chain),
        (ask("demo.test"), &chain),
        // The jump's own host is another: it shares the exchange of the report.
        (ask("pay.demo.test"), &chain),
        (ask("ay.demo.test"), &nothing),
        (ask("192.0.2.99"), &other),
        (ask_kind(VISITOR, "client"), &chain),
        (ask_kind("198.51.100.9:5556", "client"), &nothing),
    ] {
        let page = page(&tracer, &in_a_case("investigator"), &asked).await;
        assert_eq!(ids(&page), *expected, "{}", asked.text);
    }
    persons_need_a_case(&bed, &chain).await;
    bed.stop().await;
}

/// Who reported, how they are reached and what they wrote is about a person.
async fn persons_need_a_case(bed: &Bed, chain: &[String]) {
    let tracer = bed.tracer(|_| {});
    let one = async |look: Look| -> Value {
        let found = tracer.record(&look, &ask_kind(&chain[1], "record")).await.unwrap();
        serde_json::from_slice(&found).unwrap()
    };
    let seen = one(in_a_case("operator")).await;
    for (column, value) in [
        ("kind", "report"),
        ("event", "received"),
        ("contact", "a@b.example"),
        ("text", "it lies"),
        ("client", "198.51.100.9"),
        ("subject_kind", "link"),
    ] {
        assert_eq!(seen[column], value, "{column}");
    }
    assert_eq!(seen["due"], at(3 * 86_400_000).to_string());
    for blind in [look("operator"), look("investigator"), in_a_case("auditor")] {
        let seen = one(blind).await;
        for person in ["a@b.example", "it lies", "198.51.100.9"] {
            assert!(!seen.to_string().contains(person), "{seen}");
        }
        let withheld = ["client", "client_port", "client_key", "contact", "text"];
        assert_eq!(seen["withheld"], Value::from(withheld.to_vec()));
    }
}
