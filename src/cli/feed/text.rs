//! Answers for a person: what happened in one sentence, then the figures.

use serde_json::Value;

use super::{Action, Allow, findings::findings, report};
use crate::{
    cli::layout::{self, AT, Lines, put, text},
    escape,
};

/// The answer to `action`.
pub(super) fn of(action: &Action, answer: &Value) -> String {
    match action {
        Action::List => list(answer),
        Action::Add { .. }
        | Action::Change { .. }
        | Action::Status { .. }
        | Action::Approve { .. }
        | Action::Refuse { .. }
        | Action::Rollback { .. } => status(answer),
        Action::Versions { version: None, .. } => versions(answer),
        Action::Versions { version: Some(_), .. } => version(answer),
        Action::Diff { .. } => diff(answer),
        Action::BlockNow(_)
        | Action::Blocks
        | Action::Confirm { .. }
        | Action::Lift { .. }
        | Action::Allow(Allow::Add { .. } | Allow::List) => own(answer),
        Action::Remove { name, .. } => format!("{}: it has ended. 已移除。\n", escape::text(name)),
        Action::Allow(Allow::Remove { .. }) => "It has ended. 已解除。\n".to_owned(),
        Action::Refresh { .. } | Action::Apply { .. } => outcome(answer),
        Action::Report { .. } => report::text(answer),
        _ => layout::print(answer, crate::cli::Format::Text),
    }
}

/// A few lines a feed.
fn list(answer: &Value) -> String {
    let mut out = Lines::default();
    for feed in answer["feeds"].as_array().into_iter().flatten() {
        let name = text(&feed["name"]);
        let line = format!("{} · {} rules · {}", in_force(feed), feed["rules"], source(feed));
        out.labelled(&name, AT, &line);
        for line in complaints(feed) {
            out.labelled("", AT, &line);
        }
    }
    if out.0.is_empty() {
        out.text(0, "No feeds. 没有名单。");
    }
    out.0
}

fn in_force(feed: &Value) -> String {
    match feed["version"].as_u64() {
        Some(version) if version > 0 => format!("version {version} in force 已生效"),
        _ => "nothing in force 未生效".to_owned(),
    }
}

fn source(feed: &Value) -> String {
    text(&feed["spec"]["source"])
}

/// What waits for a person, and what goes wrong.
fn complaints(feed: &Value) -> Vec<String> {
    let held = feed["held"].as_array().into_iter().flatten();
    let mut lines: Vec<String> =
        held.map(|v| format!("version {v} is held for approval 待批准")).collect();
    if let Some(failure) = feed["failure"].as_str() {
        lines.push(format!("not as it should be 异常: {failure}"));
    }
    let mode = text(&feed["spec"]["on_failure"]);
    if feed["source"]["expired"] == true {
        let since = text(&feed["source"]["expires_at"]);
        lines.push(format!("expired, on_failure = {mode} since 已过期，自: {since}"));
    }
    if mode == "closed" && feed["in_force_here"] == 0 {
        lines.push(
            "closed: nothing is answered until its first version 首个版本前不作任何应答".into(),
        );
    }
    if let Some(problem) = feed["source"]["problem"].as_str() {
        lines.push(format!("last fetch failed 获取失败: {problem}"));
    }
    lines
}

/// A feed and how it stands.
fn status(answer: &Value) -> String {
    let mut out = Lines::default();
    let spec = &answer["spec"];
    out.labelled("Feed 名单", AT, &text(&answer["name"]));
    out.labelled("In force 生效", AT, &in_force(answer));
    put(&mut out, "Since 自", &answer["since"]);
    put(&mut out, "Rules 规则数", &answer["rules"]);
    for (node, on) in answer["nodes"].as_object().into_iter().flatten() {
        let line = format!("{node}: version {} since {}", on["version"], text(&on["at"]));
        out.labelled("On node 节点", AT, &line);
    }
    for line in complaints(answer) {
        out.labelled("Attention 注意", AT, &line);
    }
    put(&mut out, "Newest 最新版本", &answer["newest"]);
    put(&mut out, "State 状态", &answer["state"]);
    put(&mut out, "Last fetch 上次获取", &answer["source"]["at"]);
    put(&mut out, "Last good fetch 上次成功", &answer["source"]["ok_at"]);
    put(&mut out, "Expires 过期", &answer["source"]["expires_at"]);
    put(&mut out, "Source 来源", &spec["source"]);
    put(&mut out, "Format 格式", &spec["format"]);
    put(&mut out, "Authority 下达机关", &spec["authority"]);
    put(&mut out, "Order number 文号", &spec["order_number"]);
    put(&mut out, "Tier 层级", &spec["tier"]);
    put(&mut out, "Action 措施", &spec["action"]);
    put(&mut out, "Changed 设置修改", &answer["changed_at"]);
    put(&mut out, "Changed by 修改人", &answer["changed_by"]);
    out.0
}

/// What became of a version, or would.
fn outcome(answer: &Value) -> String {
    let mut out = Lines::default();
    let version = text(&answer["version"]);
    let dry = answer["dry_run"] == true;
    let said = match (answer["outcome"].as_str().unwrap_or_default(), dry) {
        ("in-force", false) => format!("Version {version} is in force. 已生效。"),
        ("in-force", true) => {
            "It would take force; nothing was changed. 将会生效；未作更改。".into()
        }
        ("held", false) => format!("Version {version} is held for approval. 待批准。"),
        ("held", true) => "It would be held; nothing was changed. 将待批准；未作更改。".into(),
        ("unchanged", _) => "Nothing is new. 无变化。".into(),
        ("failed", _) => "It cannot be taken; what was in force stays. 未采纳，沿用原版本。".into(),
        (other, _) => other.to_owned(),
    };
    out.text(0, &said);
    if answer["outcome"] == "unchanged" {
        return out.0;
    }
    put(&mut out, "Problem 问题", &answer["problem"]);
    for (label, name) in [
        ("Accepted 采纳", "accepted"),
        ("Rejected 拒收", "rejected"),
        ("Duplicates 重复", "duplicates"),
        ("Conflicts 冲突", "conflicts"),
        ("Not evaluable 无法判定", "not_evaluable"),
    ] {
        put(&mut out, label, &answer[name]);
    }
    if let Some(changes) = answer["changes"].as_object() {
        let flat = changes.iter().map(|(name, n)| format!("{n} {name}"));
        out.labelled("Changes 变更", AT, &flat.collect::<Vec<_>>().join(", "));
    }
    put(&mut out, "SHA-256 摘要", &answer["digest"]);
    findings(&mut out, &answer["findings"]);
    out.0
}

/// A version, what befell it, and what of it was not taken.
fn version(answer: &Value) -> String {
    let mut out = Lines::default();
    let line = format!("{} · {}", answer["version"], text(&answer["state"]));
    out.labelled("Version 版本", AT, &line);
    put(&mut out, "Received 接收", &answer["received_at"]);
    put(&mut out, "From 来源", &answer["source"]);
    put(&mut out, "Signer 签名", &answer["signer"]);
    put(&mut out, "Bytes 字节", &answer["bytes"]);
    put(&mut out, "SHA-256 摘要", &answer["digest"]);
    let judged = &answer["judgement"];
    for (label, name) in [
        ("Accepted 采纳", "accepted"),
        ("Rejected 拒收", "rejected"),
        ("Duplicates 重复", "duplicates"),
        ("Conflicts 冲突", "conflicts"),
        ("Not evaluable 无法判定", "not_evaluable"),
    ] {
        put(&mut out, label, &judged[name]);
    }
    findings(&mut out, &judged["findings"]);
    for event in answer["events"].as_array().into_iter().flatten() {
        let words =
            [&event["ts"], &event["event"], &event["node"], &event["actor"], &event["reason"]];
        let words = words.map(text).into_iter().filter(|w| !w.is_empty());
        out.labelled("Event 事件", AT, &words.collect::<Vec<_>>().join(" · "));
    }
    for entry in answer["rejected"].as_array().into_iter().flatten() {
        let line = format!(
            "line {}: {} ({})",
            entry["line"],
            text(&entry["reason"]),
            text(&entry["code"])
        );
        out.labelled("Rejected 拒收", AT, &line);
        out.labelled("", AT, &text(&entry["text"]));
    }
    out.0
}

/// One line a version.
fn versions(answer: &Value) -> String {
    let mut out = Lines::default();
    for v in answer["versions"].as_array().into_iter().flatten() {
        let judged = &v["judgement"];
        let line = format!(
            "{} · {} · accepted 采纳 {} · rejected 拒收 {}",
            text(&v["state"]),
            text(&v["received_at"]),
            text(&judged["accepted"]),
            text(&judged["rejected"]),
        );
        out.labelled(&text(&v["version"]), 8, &line);
    }
    out.0
}

/// What differs between two versions.
fn diff(answer: &Value) -> String {
    let mut out = Lines::default();
    let counts = &answer["counts"];
    let head = format!(
        "From version {} to {}: {} added 新增, {} removed 移除, {} changed 变更",
        answer["from"], answer["to"], counts["added"], counts["removed"], counts["changed"],
    );
    out.text(0, &head);
    for (sign, name) in [("+", "added"), ("-", "removed"), ("~", "changed")] {
        let list = answer[name].as_array().map_or(&[][..], Vec::as_slice);
        for rule in list {
            out.text(0, &format!("{sign} {}", text(rule)));
        }
        let left = counts[name].as_u64().unwrap_or(0).saturating_sub(list.len() as u64);
        if left > 0 {
            out.text(0, &format!("{sign} … and {left} more"));
        }
    }
    out.0
}

/// The operator's own rules, a block each.
fn own(answer: &Value) -> String {
    let mut out = Lines::default();
    let all = answer["rules"].as_array().map_or_else(|| vec![answer], |l| l.iter().collect());
    for (i, rule) in all.iter().enumerate() {
        if i > 0 {
            out.gap();
        }
        let longer = rule["expires_confirmed"] != rule["expires"];
        let state = match (rule["in_force"] == true, longer && rule["confirmed_by"] == "") {
            (true, true) => "in force until somebody confirms it or it ends 生效，待第二人确认",
            (true, false) => "in force 生效",
            (false, _) => "not in force any more 已失效",
        };
        out.labelled(&format!("{}", rule["id"]), AT, &text(&rule["rule"]));
        out.labelled("State 状态", AT, state);
        if rule["in_force"] == true && longer && rule["confirmed_by"] == "" {
            let who = text(&rule["person"]);
            let line = format!(
                "tracegate feed confirm {}, by somebody other than {who} 由 {who} 以外的人执行",
                rule["id"]
            );
            out.labelled("To confirm 确认", AT, &line);
        }
        for (label, name) in [
            ("Owner 责任人", "owner"),
            ("Made by 操作人", "actor"),
            ("Person 持有人", "person"),
            ("Authority 下达机关", "authority"),
            ("Order number 文号", "order_number"),
            ("Reason 原因", "reason"),
            ("Since 自", "since"),
            ("Until 至", "expires"),
            ("If confirmed, until 确认后至", "expires_confirmed"),
            ("Confirmed by 确认人", "confirmed_by"),
            ("Ended by 解除人", "ended_by"),
            ("Ended 解除时间", "ended_at"),
        ] {
            if name != "expires_confirmed" || rule["expires_confirmed"] != rule["expires"] {
                put(&mut out, label, &rule[name]);
            }
        }
    }
    if all.is_empty() {
        out.text(0, "None. 无。");
    }
    out.0
}

/// An object on one line.
pub(super) fn flat(value: &Value) -> String {
    let Some(object) = value.as_object() else { return text(value) };
    let shown = object.iter().filter(|(_, v)| !v.is_null());
    shown.map(|(name, v)| format!("{name} {}", text(v))).collect::<Vec<_>>().join(", ")
}
