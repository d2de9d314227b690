//! Links, their visits and their warnings for a person.

use serde_json::Value;

use super::Action;
use crate::{
    cli::{
        Format,
        layout::{self, AT, Lines, put, text},
    },
    escape,
};

/// Hours and days shown; the API tells all of them.
const STRETCHES: usize = 14;

/// What an answer is about.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Shown {
    Link,
    List,
    Stats,
    Notices,
    Other,
}

impl Shown {
    pub(super) const fn by(action: &Action) -> Self {
        match action {
            Action::Create { .. }
            | Action::Show { .. }
            | Action::Edit { .. }
            | Action::Disable { .. }
            | Action::Enable { .. } => Self::Link,
            Action::List(_) => Self::List,
            Action::Stats { .. } => Self::Stats,
            Action::Notices { .. } => Self::Notices,
            _ => Self::Other,
        }
    }

    pub(in crate::cli) fn text(self, answer: &Value) -> String {
        match self {
            Self::Link => link(answer),
            Self::List => list(answer),
            Self::Stats => stats(answer),
            Self::Notices => notices(answer),
            Self::Other => layout::print(answer, Format::Text),
        }
    }
}

/// One link as it is now, and what became of it where that was asked for.
fn link(answer: &Value) -> String {
    let mut out = Lines::default();
    if answer["from"].is_null() {
        put(&mut out, "Short URL 短链接", &answer["short_url"]);
    } else {
        put(&mut out, "Forwards 跳转起点", &answer["from"]);
        let zone = match answer["zone_served"] == true {
            true => "served here 由本服务承载",
            false => "not served here 不由本服务承载",
        };
        out.labelled("Its zone 所在区域", AT, zone);
    }
    put(&mut out, "Target 目标网址", &answer["target"]);
    if answer["target_submitted"] != answer["target"] {
        put(&mut out, "Submitted as 提交原文", &answer["target_submitted"]);
    }
    put(&mut out, "State 状态", &answer["state"]);
    put(&mut out, "Reason 原因", &answer["reason"]);
    put(&mut out, "Owner 所有者", &answer["owner"]);
    let verified = &answer["owner_verification"];
    put(&mut out, "Verified by 实名核验方式", &verified["how"]);
    put(&mut out, "Verified at 核验时间", &verified["when"]);
    put(&mut out, "Kept under 核验档案号", &verified["reference"]);
    put(&mut out, "ICP number 备案号", &verified["icp"]);
    put(&mut out, "Purpose 用途", &answer["purpose"]);
    let tags = answer["tags"].as_array().into_iter().flatten();
    let tags: Vec<String> = tags.map(text).collect();
    put(&mut out, "Tags 标签", &tags.join(", ").into());
    put(&mut out, "Not before 生效时间", &answer["not_before"]);
    put(&mut out, "Expires 到期时间", &answer["expires"]);
    put(&mut out, "Visits at most 访问上限", &answer["visits_max"]);
    put(&mut out, "Shown at least 最低提示", &answer["tier_hint"]);
    put(&mut out, "Redirects with 跳转方式", &manner(answer).into());
    put(&mut out, "Revision 版本", &answer["revision"]);
    put(&mut out, "Created 创建时间", &answer["created"]);
    if answer["modified"] != answer["created"] {
        put(&mut out, "Modified 修改时间", &answer["modified"]);
    }
    put(&mut out, "Record 记录", &answer["record"]);
    if answer["repeated"] == true {
        out.text(0, "It was there already; nothing was made. 已存在，未新建。");
    }
    if let Some(revisions) = answer["revisions"].as_array().filter(|all| !all.is_empty()) {
        out.gap();
        for one in revisions {
            revision(&mut out, one);
        }
    }
    out.0
}

/// How a visitor is carried on.
fn manner(answer: &Value) -> String {
    let mut manner = text(&answer["status"]);
    for (member, said) in [
        ("password", "password 密码"),
        ("forward_query", "query handed on 传递查询参数"),
        ("forward_path", "path handed on 传递路径"),
    ] {
        if answer[member] == true {
            manner.push_str(" · ");
            manner.push_str(said);
        }
    }
    manner
}

fn revision(out: &mut Lines, one: &Value) {
    let head = format!("{} {}", text(&one["modified"]), text(&one["operation"]));
    let label = format!("Revision 版本 {}", one["revision"]);
    out.labelled(&label, AT, &format!("{head} · by 操作者 {}", text(&one["actor"])));
    out.labelled("", AT, &format!("{} · {}", text(&one["state"]), text(&one["target"])));
    put(out, "", &one["reason"]);
}

/// A line a link, and where the next page begins.
fn list(answer: &Value) -> String {
    let mut out = Lines::default();
    let links = answer["links"].as_array().or_else(|| answer["forwards"].as_array());
    let links = links.map(Vec::as_slice).unwrap_or_default();
    let name = |link: &Value| {
        let name = if link["from"].is_null() { &link["code"] } else { &link["from"] };
        escape::text(&text(name)).into_owned()
    };
    let widest = links.iter().map(|l| layout::width(&name(l)));
    let at = widest.max().unwrap_or_default().min(2 * AT) + 2;
    for link in links {
        let line =
            format!("{} · {} · {}", state(link), text(&link["owner"]), text(&link["target"]));
        out.labelled(&name(link), at, &line);
    }
    if links.is_empty() {
        out.text(0, "None. 无。");
    }
    if let Some(cursor) = answer["next_cursor"].as_str() {
        out.gap().text(0, &format!("More 下一页: --cursor {cursor}"));
    }
    out.0
}

fn state(link: &Value) -> &'static str {
    match link["state"].as_str() {
        Some("enabled") => "enabled 启用",
        Some("disabled") => "disabled 停用",
        Some("expired") => "expired 已过期",
        _ => "",
    }
}

fn stats(answer: &Value) -> String {
    let mut out = Lines::default();
    put(&mut out, "Link 链接", &answer["code"]);
    put(&mut out, "Visits 访问", &answer["visits"]);
    put(&mut out, "Clients 客户端", &answer["clients"]);
    coverage(&mut out, answer);
    for (label, member, name) in [
        ("Outcome 结果", "outcomes", "outcome"),
        ("Kind of client 客户端类型", "classes", "client_class"),
        ("Referrer 来源", "referrers", "referrer_host"),
        ("Day 日", "days", "day"),
        ("Hour 小时", "hours", "hour"),
    ] {
        let rows = answer[member].as_array().map(Vec::as_slice).unwrap_or_default();
        let stretch = matches!(name, "day" | "hour");
        let left = if stretch { rows.len().saturating_sub(STRETCHES) } else { 0 };
        for (i, row) in rows[left..].iter().enumerate() {
            let mut what = text(&row[name]);
            if what.is_empty() {
                what.push_str("(none 无)");
            }
            let tier = text(&row["tier"]);
            let tier = if tier.is_empty() { tier } else { format!(" ({tier})") };
            let line =
                format!("{what}{tier}: {}, clients 客户端 {}", row["visits"], row["clients"]);
            out.labelled(if i == 0 { label } else { "" }, AT, &line);
        }
        if left > 0 {
            out.labelled("", AT, &format!("and {left} before 更早未显示"));
        }
    }
    out.0
}

/// Through when the records are whole, and what is missing.
fn coverage(out: &mut Lines, answer: &Value) {
    for (node, through) in answer["complete_through"].as_object().into_iter().flatten() {
        out.labelled("Complete through 完整至", AT, &format!("{} · {node}", text(through)));
    }
    match answer["gaps"].as_array().map(Vec::len) {
        Some(n) if n > 0 => out.labelled("Gaps 缺口", AT, &n.to_string()),
        _ => out.labelled("Gaps 缺口", AT, "none 无"),
    };
}

fn notices(answer: &Value) -> String {
    let mut out = Lines::default();
    coverage(&mut out, answer);
    for row in answer["notices"].as_array().into_iter().flatten() {
        out.gap();
        put(&mut out, "Tier 层级", &row["tier"]);
        put(&mut out, "Form 形式", &row["form"]);
        put(&mut out, "Wording 文案版本", &row["text_version"]);
        put(&mut out, "Language 语言", &row["language"]);
        put(&mut out, "Feed 名单", &row["feed"]);
        put(&mut out, "Issued 发出", &row["issued"]);
        put(&mut out, "Seen 已显示", &seen("rendered", "reach", row).into());
        put(&mut out, "Went on 继续访问", &row["continued"]);
        if row["passed"].as_u64().is_some_and(|n| n > 0) {
            put(&mut out, "By itself 自动前往", &row["passed"]);
        }
        put(&mut out, "Turned back 返回", &row["returned"]);
        put(&mut out, "Reported 举报", &row["reported"]);
        if let Some(share) = row["compliance"].as_f64() {
            out.labelled("Heeded 劝阻率", AT, &percent(share));
        }
    }
    if answer["truncated"] == true {
        out.text(0, "There are more: ask for less time. 结果过多，请缩短时间范围。");
    }
    if answer["notices"].as_array().is_none_or(Vec::is_empty) {
        out.text(0, "No warnings in this time. 此期间没有提示。");
    }
    out.0
}

fn seen(count: &str, share: &str, row: &Value) -> String {
    match row[share].as_f64() {
        Some(share) => format!("{} ({})", row[count], percent(share)),
        None => row[count].to_string(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_and_its_history_are_read_at_once() {
        let answer = json!({
            "code": "spring", "short_url": "https://s.test/spring", "revision": 2,
            "target": "https://www.demo.test/sale", "target_submitted": "https://www.demo.test/sale",
            "state": "disabled", "reason": "complaint 31", "owner": "acme", "purpose": "",
            "owner_verification": { "how": "business_licence", "when": "2026-01-05T00:00:00Z",
                "reference": "KYC-7", "icp": "京ICP备12345678号" },
            "tags": ["ad", "q4"], "expires": null, "status": 302, "password": true,
            "forward_query": false, "forward_path": true, "created": "2026-11-22T10:00:00.000000Z",
            "modified": "2026-11-22T11:00:00.000000Z",
            "revisions": [
                { "revision": 1, "modified": "2026-11-22T10:00:00.000000Z", "operation": "create",
                  "actor": "operator", "state": "enabled", "target": "https://www.demo.test/sale",
                  "reason": "" },
                { "revision": 2, "modified": "2026-11-22T11:00:00.000000Z",
                  "operation": "disable", "actor": "li", "state": "disabled",
                  "target": "https://www.demo.test/sale", "reason": "complaint\u{202e} 31" },
            ],
        });
        assert_snapshot!(Shown::Link.text(&answer), @r"
        Short URL 短链接          https://s.test/spring
        Target 目标网址           https://www.demo.test/sale
        State 状态                disabled
        Reason 原因               complaint 31
        Owner 所有者              acme
        Verified by 实名核验方式  business_licence
        Verified at 核验时间      2026-01-05T00:00:00Z
        Kept under 核验档案号     KYC-7
        ICP number 备案号         京ICP备12345678号
        Tags 标签                 ad, q4
        Redirects with 跳转方式   302 · password 密码 · path handed on 传递路径
        Revision 版本             2
        Created 创建时间          2026-11-22T10:00:00.000000Z
        Modified 修改时间         2026-11-22T11:00:00.000000Z

        Revision 版本 1           2026-11-22T10:00:00.000000Z create · by 操作者 operator
                                  enabled · https://www.demo.test/sale
        Revision 版本 2           2026-11-22T11:00:00.000000Z disable · by 操作者 li
                                  disabled · https://www.demo.test/sale
                                  complaint\u{202e} 31
        ");
    }

    #[test]
    fn links_take_a_line_each() {
        let answer = json!({ "next_cursor": "c", "links": [
            { "code": "a", "state": "enabled", "owner": "acme", "target": "https://a.test/" },
            { "code": "abcdefg", "state": "expired", "owner": "li", "target": "https://b.test/" },
        ] });
        assert_snapshot!(Shown::List.text(&answer), @r"
        a        enabled 启用 · acme · https://a.test/
        abcdefg  expired 已过期 · li · https://b.test/

        More 下一页: --cursor c
        ");
        assert_eq!(Shown::List.text(&json!({ "links": [] })), "None. 无。\n");
    }

    #[test]
    fn visits_and_warnings_are_counted_by_what_they_were() {
        let days: Vec<_> = (1..=16)
            .map(|d| json!({ "day": format!("2026-11-{d:02}"), "visits": d, "clients": 1 }))
            .collect();
        let answer = json!({ "code": "spring", "visits": 4, "clients": 1, "gaps": [],
            "complete_through": { "ns1": "2026-11-22T10:00:00.000000Z" },
            "outcomes": [{ "outcome": "jumped", "tier": "", "visits": 3, "clients": 1 },
                         { "outcome": "warned", "tier": "hint", "visits": 1, "clients": 1 }],
            "classes": [], "hours": [], "days": days,
            "referrers": [{ "referrer_host": "", "visits": 4, "clients": 1 }] });
        assert_snapshot!(Shown::Stats.text(&answer), @r"
        Link 链接                 spring
        Visits 访问               4
        Clients 客户端            1
        Complete through 完整至   2026-11-22T10:00:00.000000Z · ns1
        Gaps 缺口                 none 无
        Outcome 结果              jumped: 3, clients 客户端 1
                                  warned (hint): 1, clients 客户端 1
        Referrer 来源             (none 无): 4, clients 客户端 1
        Day 日                    2026-11-03: 3, clients 客户端 1
                                  2026-11-04: 4, clients 客户端 1
                                  2026-11-05: 5, clients 客户端 1
                                  2026-11-06: 6, clients 客户端 1
                                  2026-11-07: 7, clients 客户端 1
                                  2026-11-08: 8, clients 客户端 1
                                  2026-11-09: 9, clients 客户端 1
                                  2026-11-10: 10, clients 客户端 1
                                  2026-11-11: 11, clients 客户端 1
                                  2026-11-12: 12, clients 客户端 1
                                  2026-11-13: 13, clients 客户端 1
                                  2026-11-14: 14, clients 客户端 1
                                  2026-11-15: 15, clients 客户端 1
                                  2026-11-16: 16, clients 客户端 1
                                  and 2 before 更早未显示
        ");
        let answer = json!({ "gaps": [], "complete_through": {}, "notices": [{ "tier": "hint",
            "form": "", "text_version": "1-ab", "language": "zh", "feed": "antifraud",
            "issued": 4, "rendered": 3, "reach": 0.75, "continued": 1, "returned": 1,
            "reported": 0, "compliance": 0.6667 }] });
        assert_snapshot!(Shown::Notices.text(&answer), @r"
        Gaps 缺口                 none 无

        Tier 层级                 hint
        Wording 文案版本          1-ab
        Language 语言             zh
        Feed 名单                 antifraud
        Issued 发出               4
        Seen 已显示               3 (75.0 %)
        Went on 继续访问          1
        Turned back 返回          1
        Reported 举报             0
        Heeded 劝阻率             66.7 %
        ");
    }
}
