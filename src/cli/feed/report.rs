//! What is answered to an authority (处置反馈), for a person.

use serde_json::Value;

use crate::cli::layout::{AT, Lines, put, text as shown};

/// The answer to an authority, as far as a terminal holds it.
pub(super) fn text(answer: &Value) -> String {
    let mut out = Lines::default();
    out.labelled("Feed 名单", AT, &shown(&answer["feed"]));
    put(&mut out, "Authority 下达机关", &answer["authority"]);
    put(&mut out, "Order number 文号", &answer["order_number"]);
    put(&mut out, "Made 生成时间", &answer["generated_at"]);
    complete(&mut out, &answer["complete_through"]);
    for order in answer["orders"].as_array().into_iter().flatten() {
        out.gap();
        let number = or(&shown(&order["order_number"]), "(no number 无文号)");
        out.labelled("Order 文号", AT, &number);
        put(&mut out, "Authority 下达机关", &order["authority"]);
        put(&mut out, "Rules 规则数", &order["rules"]);
        timing(&mut out, order);
        hits(&mut out, &order["hits"]);
    }
    for version in answer["versions"].as_array().into_iter().flatten() {
        out.gap();
        let line = format!("{} · {}", shown(&version["version"]), shown(&version["state"]));
        out.labelled("Version 版本", AT, &line);
        for (label, name) in [
            ("Accepted 采纳", "accepted"),
            ("Rejected 拒收", "rejected"),
            ("Duplicates 重复", "duplicates"),
            ("Conflicts 冲突", "conflicts"),
            ("Not evaluable 无法判定", "not_evaluable"),
        ] {
            put(&mut out, label, &version[name]);
        }
        timing(&mut out, version);
        for node in version["in_force"].as_array().into_iter().flatten() {
            let line = format!("{} {}", shown(&node["node"]), shown(&node["at"]));
            out.labelled("In force on 节点生效", AT, &line);
        }
        hits(&mut out, &version["hits"]);
    }
    out.0
}

/// Through which time hits are counted, by node.
fn complete(out: &mut Lines, through: &Value) {
    let Some(nodes) = through.as_object() else {
        out.text(0, "The store could not be asked: hits are not known. 无法查询存储，命中数不详。");
        return;
    };
    let mut label = "Complete through 完整至";
    for (node, ts) in nodes {
        out.labelled(label, AT, &format!("{} · {node}", shown(ts)));
        label = "";
    }
    if nodes.is_empty() {
        out.labelled(label, AT, "unknown 不详: no node has reported yet");
    }
}

fn timing(out: &mut Lines, of: &Value) {
    put(out, "Received 接收", &of["received_at"]);
    put(out, "In force 生效", &of["in_force_at"]);
    put(out, "Seconds to force 用时", &of["seconds_to_force"]);
    put(out, "Approved by 批准人", &of["approved_by"]);
    put(out, "Due 时限", &of["due_at"]);
    if !of["due_at"].is_null() {
        put(out, "In time 是否按时", &of["in_time"]);
    }
}

fn hits(out: &mut Lines, hits: &Value) {
    if hits.is_null() {
        return;
    }
    let line = format!("{} resolutions 解析, {} jumps 跳转", hits["resolutions"], hits["jumps"]);
    out.labelled("Hits 命中", AT, &line);
    for (action, count) in hits["by_action"].as_object().into_iter().flatten() {
        out.labelled("", AT, &format!("{action} {count}"));
    }
}

fn or(text: &str, other: &str) -> String {
    if text.is_empty() { other } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        json!({
            "feed": "antifraud", "authority": "", "order_number": "",
            "generated_at": "2026-11-22T19:40:00.000000Z",
            "complete_through": {
                "ns1": "2026-11-22T19:39:58.859589Z", "ns2": "2026-11-22T19:39:57.000000Z",
            },
            "orders": [{
                "order_number": "反诈〔2026〕121号", "authority": "国家反诈中心", "rules": 6,
                "received_at": "2026-11-22T19:39:25.802790Z",
                "in_force_at": "2026-11-22T19:39:26.059206Z", "seconds_to_force": 0.256416,
                "approved_by": "operator", "due_at": "2026-12-01T00:00:00.000000Z",
                "in_time": "true",
                "hits": { "resolutions": 1, "jumps": 0, "by_action": { "nxdomain": 1 } },
            }],
            "versions": [],
        })
    }

    #[test]
    fn an_authority_is_told_through_when_hits_are_counted() {
        assert_snapshot!(text(&report()), @r"
        Feed 名单                 antifraud
        Made 生成时间             2026-11-22T19:40:00.000000Z
        Complete through 完整至   2026-11-22T19:39:58.859589Z · ns1
                                  2026-11-22T19:39:57.000000Z · ns2

        Order 文号                反诈〔2026〕121号
        Authority 下达机关        国家反诈中心
        Rules 规则数              6
        Received 接收             2026-11-22T19:39:25.802790Z
        In force 生效             2026-11-22T19:39:26.059206Z
        Seconds to force 用时     0.256416
        Approved by 批准人        operator
        Due 时限                  2026-12-01T00:00:00.000000Z
        In time 是否按时          true
        Hits 命中                 1 resolutions 解析, 0 jumps 跳转
                                  nxdomain 1
        ");
    }

    #[test]
    fn what_nobody_could_count_is_said() {
        for (through, said) in [
            (Value::Null, "hits are not known"),
            (json!({}), "Complete through 完整至   unknown 不详"),
        ] {
            let mut report = report();
            report["complete_through"] = through;
            assert!(text(&report).contains(said), "{}", text(&report));
        }
    }
}
