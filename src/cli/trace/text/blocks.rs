//! The lines of one record, by kind.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    super::super::layout::Lines,
    values::{list, plain, str},
    words::{outcome_word, rcode, rtype},
};

pub(super) const WITHHELD: &str = "‹withheld 不予显示›";

pub(super) fn resolution(out: &mut Lines, r: &Value) {
    let server = socket(r, "server_address", "server_port");
    out.text(2, &format!("{} → {server} {}", client(r), str(r, "transport")));
    let mut chain = format!("{} {}", str(r, "qname"), rtype(&r["qtype"]));
    for name in list(r, "answer_names") {
        chain.push_str(&format!(" → {name}"));
    }
    let addresses = list(r, "answers");
    if !addresses.is_empty() {
        chain.push_str(&format!(" → {}", addresses.join(", ")));
    }
    out.text(2, &chain);
    records(out, "answer 应答", r, "answer_data");
    records(out, "before policy 策略前", r, "original_answers");
    let mut how = vec![rcode(&r["rcode"])];
    let ede = list(r, "ede");
    if !ede.is_empty() {
        how.push(format!("EDE {}", ede.join(", ")));
    }
    push(&mut how, "cache 缓存 ", r, "cache");
    push(&mut how, "upstream 上游 ", r, "upstream");
    if r["min_ttl"].as_u64().is_some_and(|t| t > 0) {
        how.push(format!("TTL {} s", str(r, "min_ttl")));
    }
    how.push(latency(r));
    policy(&mut how, r);
    out.text(2, &how.join(" · "));
}

pub(super) fn jump(out: &mut Lines, r: &Value) {
    out.text(
        2,
        &format!("{} → {} {}{}", client(r), str(r, "method"), str(r, "host"), str(r, "path")),
    );
    let mut chain = format!("{} (revision 版本 {})", str(r, "code"), str(r, "revision"));
    let target = str(r, "target");
    if !target.is_empty() {
        chain.push_str(&format!(" → {target}"));
    }
    let addresses = list(r, "target_addresses");
    if !addresses.is_empty() {
        chain.push_str(&format!(" → {}", addresses.join(", ")));
    }
    out.text(2, &chain);
    let outcome = str(r, "outcome");
    let mut how = vec![format!("{} {outcome} {}", str(r, "status"), outcome_word(&outcome))];
    push(&mut how, "tier 等级 ", r, "tier");
    policy(&mut how, r);
    push(&mut how, "referrer 来源 ", r, "referrer_host");
    if r["user_agent"].is_null() {
        how.push(format!("user agent {WITHHELD}"));
    } else {
        push(&mut how, "user agent ", r, "user_agent");
    }
    how.push(latency(r));
    out.text(2, &how.join(" · "));
}

pub(super) fn notice(out: &mut Lines, r: &Value) {
    let mut what = vec![format!("{} · {}", str(r, "event"), client(r))];
    push(&mut what, "code ", r, "code");
    push(&mut what, "tier 等级 ", r, "tier");
    push(&mut what, "language 语言 ", r, "language");
    push(&mut what, "text 文本 ", r, "text_version");
    if r["dwell_ms"].as_u64().is_some_and(|t| t > 0) {
        what.push(format!("after {} ms", str(r, "dwell_ms")));
    }
    policy(&mut what, r);
    out.text(2, &what.join(" · "));
}

/// The verdict, the grid and what is not as it should be; what was well is in JSON.
pub(super) fn verification(out: &mut Lines, r: &Value) {
    let mut what = vec![format!("{} · {}", str(r, "subject"), str(r, "verification_kind"))];
    what.push(format!("overall 总体 {}", str(r, "overall")));
    push(&mut what, "occasion 缘由 ", r, "occasion");
    push(&mut what, "code ", r, "code");
    out.text(2, &what.join(" · "));
    let parsed = |name: &str| serde_json::from_str::<Value>(&str(r, name)).unwrap_or_default();
    let grid = parsed("grid");
    for (row, label) in [
        ("registration", "registration 注册"),
        ("resolution", "resolution 解析"),
        ("address", "address 地址"),
    ] {
        let cell = |aspect: &str| outcome_of(&grid[row][aspect]);
        if !grid[row].is_null() {
            let cells = (cell("authentic"), cell("accurate"));
            out.text(
                2,
                &format!("{label}: authentic 真实 {} · accurate 准确 {}", cells.0, cells.1),
            );
        }
    }
    for finding in parsed("findings").as_array().into_iter().flatten() {
        if finding["outcome"] == "false" {
            let (id, severity) = (str(finding, "id"), str(finding, "severity"));
            out.text(2, &format!("{id} {severity}: {}", str(finding, "says")));
        }
    }
}

/// An outcome with its cause.
fn outcome_of(cell: &Value) -> String {
    match cell["cause"].as_str() {
        Some(cause) => format!("{} ({cause})", str(cell, "outcome")),
        None => str(cell, "outcome").into_owned(),
    }
}

pub(super) fn hop(out: &mut Lines, r: &Value) {
    let mut way = format!("{} {}", str(r, "hop"), str(r, "url"));
    let addresses = list(r, "addresses");
    if !addresses.is_empty() {
        way.push_str(&format!(" ({})", addresses.join(", ")));
    }
    let location = str(r, "location");
    if !location.is_empty() {
        way.push_str(&format!(" → {location}"));
    }
    out.text(2, &way);
    let mut how = Vec::new();
    push(&mut how, "", r, "method");
    if r["status"].as_u64().is_some_and(|s| s > 0) {
        push(&mut how, "", r, "status");
    }
    push(&mut how, "", r, "outcome");
    push(&mut how, "finding 发现 ", r, "finding");
    push(&mut how, "", r, "detail");
    how.push(latency(r));
    out.text(2, &how.join(" · "));
}

/// A kind this build knows no layout for: every column by name.
pub(super) fn other(out: &mut Lines, r: &Value) {
    let known = ["kind", "id", "ts", "node", "lane", "seq", "withheld"];
    let empty = Map::new();
    for (name, value) in r.as_object().unwrap_or(&empty) {
        if !known.contains(&name.as_str()) {
            let value = if value.is_null() { Cow::from(WITHHELD) } else { plain(value) };
            out.text(2, &format!("{name} {value}"));
        }
    }
}

fn records(out: &mut Lines, label: &str, r: &Value, column: &str) {
    for rr in r[column].as_array().into_iter().flatten() {
        let (owner, rdata) = (str(rr, "owner"), str(rr, "rdata"));
        let text = format!("{label} {owner} {} {} {rdata}", str(rr, "ttl"), rtype(&rr["type"]));
        out.text(2, &text);
    }
}

fn policy(how: &mut Vec<String>, r: &Value) {
    let rule = str(r, "rule");
    if !rule.is_empty() {
        let (feed, version) = (str(r, "feed"), str(r, "feed_version"));
        how.push(format!("{} by rule 规则 {rule} of {feed} {version}", str(r, "action")));
    }
}

pub(super) fn push(list: &mut Vec<String>, label: &str, r: &Value, column: &str) {
    let value = str(r, column);
    if !value.is_empty() {
        list.push(format!("{label}{value}"));
    }
}

pub(super) fn client(r: &Value) -> String {
    if r["client"].is_null() { WITHHELD.to_owned() } else { socket(r, "client", "client_port") }
}

fn socket(r: &Value, address: &str, port: &str) -> String {
    let (address, port) = (str(r, address), str(r, port));
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn latency(r: &Value) -> String {
    let us = r["latency_us"].as_u64().unwrap_or_default();
    if us < 1_000 { format!("{us} µs") } else { format!("{}.{} ms", us / 1_000, us % 1_000 / 100) }
}
