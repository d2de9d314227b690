//! What reading and judging a version found, in a sentence each.

use serde_json::Value;

use super::text::flat;
use crate::cli::layout::{AT, Lines, put, text};

/// Every finding; one that has no sentence here is shown as it is.
pub(super) fn findings(out: &mut Lines, findings: &Value) {
    for (name, value) in findings.as_object().into_iter().flatten() {
        match name.as_str() {
            "blast" => blast(out, value),
            "held_for" => {
                for why in all(value) {
                    out.labelled("Held because 待批准原因", AT, &held(why));
                }
            }
            "rejected_by" => put(out, "Rejected for 拒收原因", &Value::String(flat(value))),
            "ignored" if *value == 0 => {}
            "manifest_unused" => put(out, "Manifest without rule 清单无对应规则", value),
            "ignored" => put(out, "Ignored lines 略过行数", value),
            // How it was read: for whoever compares two versions, in JSON.
            "reading" | "conflicts_in_list" => {}
            _ => {
                for (i, one) in all(value).iter().enumerate() {
                    out.labelled(if i == 0 { name } else { "" }, AT, &flat(one));
                }
            }
        }
    }
}

/// What would have been decided otherwise lately, and which domains most.
fn blast(out: &mut Lines, blast: &Value) {
    let line = format!(
        "{} of {} resolutions 解析, {} of {} jumps 跳转 since {}",
        blast["resolutions_changed"],
        blast["resolutions_seen"],
        blast["jumps_changed"],
        blast["jumps_seen"],
        text(&blast["from"]),
    );
    out.labelled("Decided otherwise 受影响", AT, &line);
    if blast["clients_seen"].as_u64().is_some_and(|seen| seen > 0) {
        let line = format!(
            "{} of {} resolutions 解析, by their client 按客户端",
            blast["clients_changed"], blast["clients_seen"],
        );
        out.labelled("", AT, &line);
    }
    if !all(&blast["not_countable"]).is_empty() {
        let feeds: Vec<_> = all(&blast["not_countable"]).iter().map(text).collect();
        let line = format!(
            "rules about name servers in {}: which servers a name had is not recorded 域名服务器规则无法统计",
            feeds.join(", ")
        );
        out.labelled("Not counted 未计入", AT, &line);
    }
    for domain in all(&blast["domains"]) {
        let (before, after) = (text(&domain["before"]), text(&domain["after"]));
        let or = |word: String| if word.is_empty() { "nothing 无".to_owned() } else { word };
        let line = format!(
            "{} × {}: {} → {}",
            domain["count"],
            text(&domain["domain"]),
            or(before),
            or(after)
        );
        out.labelled("", AT, &line);
    }
}

fn held(why: &Value) -> String {
    let (before, after, percent) = (&why["before"], &why["after"], &why["percent_max"]);
    match why["why"].as_str() {
        Some("grown") => {
            format!("it grew from {before} to {after} rules, by more than {percent} % 规则增幅超限")
        }
        Some("shrunk") => {
            format!(
                "it shrank from {before} to {after} rules, by more than {percent} % 规则降幅超限"
            )
        }
        Some("rejected") => {
            format!(
                "{} entries were rejected, more than {} 拒收条数超限",
                why["rejected"], why["rejected_max"]
            )
        }
        Some("blast") => format!(
            "{} recent answers and jumps would be decided otherwise, {:.1} %, more than {percent} % 影响面超限",
            why["changed"],
            why["percent"].as_f64().unwrap_or_default(),
        ),
        Some("rolled-back") => {
            format!(
                "it is what was rolled back as version {} 内容与已回滚的版本相同",
                why["version"]
            )
        }
        Some("store-away") => {
            format!("what it would change is not known: {} 影响面不详", text(&why["because"]))
        }
        _ => flat(why),
    }
}

/// The elements of a list; of anything else, itself; of null, nothing.
fn all(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        Value::Null => &[],
        other => std::slice::from_ref(other),
    }
}
