//! Compares what clients received with what the node can show.

use std::collections::HashMap;

use super::load::{Addresses, Received, exchange};

/// Every record of a domain or link question, page by page, as JSON.
pub(super) fn trace(at: &Addresses, q: &str, kind: &str) -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/trace?q={q}&kind={kind}&case=T-1&purpose=test{cursor}");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            at.api, at.token
        );
        let (status, body) = exchange(at.api, &request).expect("a page");
        assert_eq!(status, 200, "{body}");
        let page: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        all.extend(page["records"].as_array().expect("records").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(c) => cursor = format!("&cursor={c}"),
            None => return all,
        }
    }
}

/// Responses received ⊆ records, each record once, seq without holes per lane as far as seen.
pub(super) fn check(at: &Addresses, tag: &str, got: &Received) {
    let records = trace(at, &format!("{tag}.load.test"), "domain");
    let mut ids = HashMap::new();
    let mut names: HashMap<&str, u32> = HashMap::new();
    for r in &records {
        *ids.entry(r["id"].as_str().expect("an id")).or_insert(0) += 1;
        // A jump's own questions have its flow; a client's have none.
        if r["kind"] == "resolution" && r["flow"] == 0 {
            *names.entry(r["qname"].as_str().expect("a name")).or_default() += 1;
        }
    }
    assert!(ids.values().all(|n| *n == 1), "a record is there twice");
    let missing: Vec<_> = got.names.iter().filter(|n| !names.contains_key(n.as_str())).collect();
    assert!(
        missing.is_empty(),
        "{} answers without a record: {:?}",
        missing.len(),
        missing.first()
    );
    let doubled = names.iter().find(|(_, n)| **n > 1);
    assert!(doubled.is_none(), "a question asked once has more records: {doubled:?}");
    let of = |kind: &str, code: &str| {
        records.iter().filter(|r| r["kind"] == kind && r["code"] == code).count()
    };
    for code in &got.codes {
        assert_eq!(of("conversion", code), 1, "conversions of {code}");
        let received = got.jumped.iter().filter(|c| *c == code).count();
        let jumps = of("jump", code);
        assert!(jumps >= received, "{received} jumps received over {code}, {jumps} recorded");
        assert!(jumps <= 1, "one jump was asked over {code}, {jumps} recorded");
    }
    for code in &got.unknown {
        let jumps = trace(at, code, "link").len();
        assert_eq!(jumps, 1, "records of the unknown code {code}");
    }
}

/// The rows of `stream` that the node says are missing, exactly.
pub(super) fn gaps(at: &Addresses, q: &str, stream: &str) -> u64 {
    let request = format!(
        "GET /api/v1/trace?q={q}&kind=domain&case=T-1&purpose=test HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
        at.api, at.token
    );
    let (_, body) = exchange(at.api, &request).expect("a page");
    let page: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let gaps = page["gaps"].as_array().expect("gaps").iter();
    let ours = gaps.filter(|g| g["stream"] == stream);
    ours.map(|g| {
        assert_eq!(g["bound"], "exact", "{g}");
        g["count"].as_u64().expect("a count")
    })
    .sum()
}
