//! A trace for a person: Chinese and English at once, at most 100 columns.
//!
//! First what was asked and how far the answer reaches, then one block per record in the order of
//! time. Records of one HTTP exchange carry the same number. Everything an outsider may have
//! chosen goes through the escaper.

mod blocks;
mod reports;
mod values;
mod words;

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde_json::Value;

use self::{
    blocks::{client, hop, jump, notice, other, push, resolution, verification},
    reports::{decided, report_head, reporter},
    values::str,
    words::{han, operation_word, plural, title},
};
use super::super::layout::Lines;

/// Where values begin in the heading.
const AT: usize = 26;

/// Writes pages, one after another.
pub(super) struct Printer {
    zone: TimeZone,
    exchanges: HashMap<String, usize>,
    records: u64,
}

impl Printer {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, exchanges: HashMap::new(), records: 0 }
    }

    /// What was asked, and what the answer can claim.
    pub(super) fn heading(&self, page: &Value) -> String {
        let mut out = Lines::default();
        let question = &page["question"];
        let kind = str(question, "kind");
        out.labelled(
            "Trace 溯源",
            AT,
            &format!("{} ({kind} {})", str(question, "text"), han(&kind)),
        );
        let mut label = "Complete through 完整至";
        for (node, ts) in page["complete_through"].as_object().into_iter().flatten() {
            let ts = self.time(ts.as_str().unwrap_or_default());
            out.labelled(label, AT, &format!("{ts} · {node}"));
            label = "";
        }
        if !label.is_empty() {
            out.labelled(label, AT, "unknown 不详: no node has reported yet");
        }
        let gaps = page["gaps"].as_array().map(Vec::as_slice).unwrap_or_default();
        if gaps.is_empty() {
            out.labelled("Gaps 缺口", AT, "none 无");
        }
        for (i, gap) in gaps.iter().enumerate() {
            out.labelled(if i == 0 { "Gaps 缺口" } else { "" }, AT, &self.missing(gap));
        }
        if page["gaps_more"] == true {
            out.labelled("", AT, "and more 还有更多: ask for a shorter window");
        }
        out.0
    }

    fn missing(&self, gap: &Value) -> String {
        let bound = match &*str(gap, "bound") {
            "upper" => "at most 至多 ",
            _ => "",
        };
        let detail = str(gap, "detail");
        format!(
            "{bound}{} {} missing 缺失 between {} and {}: {}{}{detail} (lane {}-{})",
            str(gap, "count"),
            str(gap, "stream"),
            self.time(&str(gap, "from_ts")),
            self.time(&str(gap, "to_ts")),
            str(gap, "reason"),
            if detail.is_empty() { "" } else { ", " },
            str(gap, "node"),
            str(gap, "gap_lane"),
        )
    }

    /// One block.
    pub(super) fn record(&mut self, record: &Value) -> String {
        self.records += 1;
        let mut out = Lines::default();
        let kind = str(record, "kind");
        let mut head =
            format!("{} · {} {}", self.time(&str(record, "ts")), title(&kind), han(&kind));
        if let Some(n) = self.exchange(record) {
            head.push_str(&format!(" · exchange 同一访问 {n}"));
        }
        out.gap().text(0, &head);
        match &*kind {
            "resolution" => resolution(&mut out, record),
            "jump" => jump(&mut out, record),
            "conversion" => self.conversion(&mut out, record),
            "notice" => notice(&mut out, record),
            "verification" => verification(&mut out, record),
            "hop" => hop(&mut out, record),
            "report" => self.report(&mut out, record),
            _ => other(&mut out, record),
        }
        out.text(2, &format!("id {}", str(record, "id")));
        out.0
    }

    /// What is to be said after the last record.
    pub(super) fn ending(&self, page: &Value) -> String {
        let mut out = Lines::default();
        out.gap();
        match (self.records, page["next_cursor"].as_str()) {
            (0, _) => {
                let gaps = page["gaps"].as_array().is_some_and(|g| !g.is_empty());
                let so = if gaps { ", but for the gaps above" } else { "" };
                out.text(
                    0,
                    &format!(
                        "No record 无记录. That is a statement: up to the times above there was \
                         none{so}. 截至上述时间无相关记录。"
                    ),
                )
            }
            (n, None) => out.text(0, &format!("{n} {} 条记录", plural(n))),
            (n, Some(cursor)) => {
                out.text(0, &format!("{n} {} 条记录, and more 还有更多: --all, or", plural(n)));
                out.text(2, &format!("--cursor {cursor}"))
            }
        };
        out.0
    }

    fn exchange(&mut self, record: &Value) -> Option<usize> {
        let flow = str(record, "flow");
        if flow.is_empty() || flow == "0" {
            return None;
        }
        let next = self.exchanges.len() + 1;
        Some(*self.exchanges.entry(flow.into_owned()).or_insert(next))
    }

    fn conversion(&self, out: &mut Lines, r: &Value) {
        let operation = str(r, "operation");
        let (code, revision) = (str(r, "code"), str(r, "revision"));
        out.text(
            2,
            &format!("{operation} {} {code}, revision 版本 {revision}", operation_word(&operation)),
        );
        out.text(2, &format!("{code} → {}", str(r, "target")));
        let submitted = str(r, "target_submitted");
        if submitted != str(r, "target") && !submitted.is_empty() {
            out.text(2, &format!("submitted 提交 {submitted}"));
        }
        let mut by = vec![format!("by 操作者 {} from {}", str(r, "actor"), client(r))];
        push(&mut by, "owner 所有者 ", r, "owner");
        push(&mut by, "reason 原因 ", r, "reason");
        let expires = str(r, "expires");
        if !expires.starts_with("1970-01-01T00:00:00") {
            by.push(format!("expires 到期 {}", self.time(&expires)));
        }
        out.text(2, &by.join(" · "));
    }

    fn report(&self, out: &mut Lines, r: &Value) {
        let event = str(r, "event");
        report_head(out, r);
        match &*event {
            "received" => {
                let due = self.time(&str(r, "due"));
                reporter(out, r, &format!("to be decided by 最迟处理 {due}"));
            }
            _ => decided(out, r),
        }
    }

    fn time(&self, ts: &str) -> String {
        let Ok(at) = ts.parse::<jiff::Timestamp>() else { return ts.to_owned() };
        let zoned = at.to_zoned(self.zone.clone());
        let zone = if self.zone == TimeZone::UTC { "UTC" } else { "%:z" };
        zoned.strftime(&format!("%Y-%m-%d %H:%M:%S%.6f {zone}")).to_string()
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::cli::layout::{COLUMNS, width};

    fn page() -> Value {
        json!({
            "question": { "text": "abc1234", "kind": "link" },
            "complete_through": { "edge-1": "2026-11-22T10:00:05.000000Z" },
            "gaps": [],
            "next_cursor": null,
            "records": [
                { "kind": "conversion", "id": "edge-1-30114480128002819-0",
                  "ts": "2026-11-22T10:00:00.000001Z", "flow": "7", "code": "abc1234",
                  "revision": 1, "operation": "create", "target": "https://www.demo.test/",
                  "target_submitted": "HTTPS://www.demo.test", "actor": "operator", "owner": "",
                  "reason": "", "client": null, "client_port": null,
                  "expires": "1970-01-01T00:00:00.000000Z" },
                { "kind": "resolution", "id": "edge-1-30114480128002817-4",
                  "ts": "2026-11-22T10:00:01.000000Z", "flow": "9", "client": "192.0.2.7",
                  "client_port": 4242, "server_address": "::1", "server_port": 5300,
                  "transport": "udp", "qname": "www.demo.test", "qtype": 1, "rcode": 0,
                  "ede": [], "answers": ["192.0.2.80", "192.0.2.81"],
                  "answer_names": ["web.demo.test"], "answer_data": [], "original_answers": [],
                  "cache": "local", "upstream": "", "min_ttl": 300, "latency_us": 35,
                  "rule": "" },
                { "kind": "jump", "id": "edge-1-30114480128002818-0",
                  "ts": "2026-11-22T10:00:01.000200Z", "flow": "9", "client": null,
                  "client_port": null, "method": "GET", "host": "127.0.0.1:8080",
                  "path": "/abc1234", "code": "abc1234", "revision": 1,
                  "target": "https://www.demo.test/", "target_addresses": ["192.0.2.80"],
                  "status": 302, "outcome": "jumped", "tier": "", "rule": "",
                  "referrer_host": "", "user_agent": null, "latency_us": 1234 },
                { "kind": "report", "id": "edge-1-30114480128002829-0",
                  "ts": "2026-11-22T10:00:03.000000Z", "flow": "9", "report": "7K2M9QXA03WD",
                  "event": "received", "category": "phishing", "subject_kind": "link",
                  "subject": "https://www.demo.test/", "host": "www.demo.test", "code": "abc1234",
                  "text": null, "contact": null, "client": null, "client_port": null,
                  "decision": "", "act": "", "reason": "", "answer": "", "actor": "",
                  "due": "2026-11-25T10:00:03.000000Z", "feed": "", "appeal": "" },
                { "kind": "report", "id": "edge-1-30114480128002829-1",
                  "ts": "2026-11-22T11:00:03.000000Z", "flow": "9", "report": "7K2M9QXA03WD",
                  "event": "decided", "category": "phishing", "subject_kind": "link",
                  "subject": "https://www.demo.test/", "host": "www.demo.test", "code": "abc1234",
                  "text": null, "contact": null, "client": null, "client_port": null,
                  "decision": "accepted", "act": "disable_link", "reason": "seen",
                  "answer": "Thank you", "actor": "operator",
                  "due": "2026-11-25T10:00:03.000000Z", "feed": "", "appeal": "" },
            ],
        })
    }

    fn print(page: &Value, zone: TimeZone) -> String {
        let mut printer = Printer::new(zone);
        let mut out = printer.heading(page);
        for r in page["records"].as_array().unwrap() {
            out.push_str(&printer.record(r));
        }
        out + &printer.ending(page)
    }

    #[test]
    fn a_chain_is_read_at_once() {
        assert_snapshot!(print(&page(), TimeZone::UTC), @r"
        Trace 溯源                abc1234 (link 链接)
        Complete through 完整至   2026-11-22 10:00:05.000000 UTC · edge-1
        Gaps 缺口                 none 无

        2026-11-22 10:00:00.000001 UTC · Conversion 链接转换 · exchange 同一访问 1
          create 创建 abc1234, revision 版本 1
          abc1234 → https://www.demo.test/
          submitted 提交 HTTPS://www.demo.test
          by 操作者 operator from ‹withheld 不予显示›
          id edge-1-30114480128002819-0

        2026-11-22 10:00:01.000000 UTC · Resolution 解析 · exchange 同一访问 2
          192.0.2.7:4242 → [::1]:5300 udp
          www.demo.test A → web.demo.test → 192.0.2.80, 192.0.2.81
          NOERROR · cache 缓存 local · TTL 300 s · 35 µs
          id edge-1-30114480128002817-4

        2026-11-22 10:00:01.000200 UTC · Jump 跳转 · exchange 同一访问 2
          ‹withheld 不予显示› → GET 127.0.0.1:8080/abc1234
          abc1234 (revision 版本 1) → https://www.demo.test/ → 192.0.2.80
          302 jumped 已跳转 · user agent ‹withheld 不予显示› · 1.2 ms
          id edge-1-30114480128002818-0

        2026-11-22 10:00:03.000000 UTC · Report 举报申诉 · exchange 同一访问 2
          received 收到 7K2M-9QXA-03WD · phishing 仿冒
          link abc1234 → https://www.demo.test/
          by 举报人 ‹withheld 不予显示› · contact 联系方式 ‹withheld 不予显示›
          text 内容 ‹withheld 不予显示›
          to be decided by 最迟处理 2026-11-25 10:00:03.000000 UTC
          id edge-1-30114480128002829-0

        2026-11-22 11:00:03.000000 UTC · Report 举报申诉 · exchange 同一访问 2
          decided 已决定 7K2M-9QXA-03WD · phishing 仿冒
          link abc1234 → https://www.demo.test/
          accepted 成立 · act 处置 disable_link · by 操作者 operator · reason 原因 seen
          told 告知 Thank you
          id edge-1-30114480128002829-1

        5 records 条记录
        ");
    }

    #[test]
    fn no_record_is_a_statement() {
        let mut page = page();
        page["records"] = json!([]);
        page["gaps"] = json!([{ "node": "edge-1", "gap_lane": "30114480128001281",
            "count": 12, "bound": "upper", "stream": "resolutions", "reason": "disk_full",
            "detail": "", "from_ts": "2026-11-22T09:00:00.000000Z",
            "to_ts": "2026-11-22T09:00:02.000000Z" }]);
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        assert_snapshot!(print(&page, zone), @r"
        Trace 溯源                abc1234 (link 链接)
        Complete through 完整至   2026-11-22 18:00:05.000000 +08:00 · edge-1
        Gaps 缺口                 at most 至多 12 resolutions missing 缺失 between 2026-11-22
                                  17:00:00.000000 +08:00 and 2026-11-22 17:00:02.000000 +08:00: disk_full
                                  (lane edge-1-30114480128001281)

        No record 无记录. That is a statement: up to the times above there was none, but for the gaps above.
          截至上述时间无相关记录。
        ");
    }

    #[test]
    fn hostile_text_neither_acts_nor_overflows() {
        let mut page = page();
        let hostile = format!("\x1b[2J\u{202e}{}", "例え\u{9b}".repeat(300));
        for record in page["records"].as_array_mut().unwrap() {
            for (_, value) in record.as_object_mut().unwrap() {
                if value.is_string() {
                    *value = hostile.clone().into();
                }
            }
        }
        page["records"][0]["kind"] = "resolution".into();
        page["records"][1]["kind"] = "jump".into();
        let text = print(&page, TimeZone::UTC);
        assert!(!text.contains(['\x1b', '\u{202e}', '\u{9b}']));
        assert!(text.lines().all(|l| width(l) <= COLUMNS));
    }
}
