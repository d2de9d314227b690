//! `rules`: is this name, URL, code or address listed, by whom, since when, with what effect; and
//! what was true at another time.

use std::io::Write as _;

use clap::Args;
use http::Method;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{
    Exit, Format, Global,
    client::{Api, ServerArgs, block_on},
    layout::{self, Lines},
    progress::busy,
    trace::zone,
};

/// The column where values begin.
const AT: usize = 26;

/// Ask whether something is listed, by whom, since when and with what effect.
#[derive(Clone, Debug, Args)]
pub(super) struct Rules {
    /// A name, URL, link code or address.
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    name: String,
    /// What was true then, with the answers given around it: RFC 3339, a date, or a span before
    /// now such as -2h. Such a question is a look at the records.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// The case number, kept with the look.
    #[arg(long = "case", value_name = "NUMBER")]
    case_number: Option<String>,
    /// What it is for, kept with the look.
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// The time zone of text: UTC, local, an IANA name, or an offset such as +08:00.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone,
        allow_hyphen_values = true)]
    tz: TimeZone,
    #[command(flatten)]
    server: ServerArgs,
}

impl Rules {
    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// When there is no server, or it gives no answer.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let api = Api::open(&self.server, global)?;
        let mut query = vec![("name", self.name.as_str())];
        let given = [("at", &self.at), ("case", &self.case_number), ("purpose", &self.purpose)];
        query.extend(given.iter().filter_map(|(n, v)| Some((*n, v.as_deref()?))));
        let asking = api.json(Method::GET, &["api", "v1", "rules"], &query, None);
        let answer = block_on(busy("asking 查询中", asking))?;
        let shown = match global.format() {
            Format::Json => layout::print(&answer, Format::Json),
            Format::Text => text(&answer, &self.tz),
        };
        std::io::stdout().lock().write_all(shown.as_bytes())?;
        Ok(Exit::Ok)
    }
}

/// The answer for a person: one sentence, then what is behind it.
fn text(answer: &Value, tz: &TimeZone) -> String {
    let mut out = Lines::default();
    let name = word(&answer["name"]);
    let rules = list(&answer["rules"]);
    out.text(0, &sentence(&name, answer, rules));
    if let Some(at) = answer["at"].as_str() {
        out.labelled("At 时间", AT, &time(at, tz));
    }
    for rule in rules {
        out.gap();
        one(&mut out, rule, tz);
    }
    if answer.get("answers").is_some() {
        answers(&mut out, &answer["answers"], tz);
    }
    let gaps = list(&answer["gaps"]).len();
    if gaps > 0 {
        out.gap();
        let said =
            format!("{gaps} gaps touch this time: not everything was kept. 该时段有缺失记录。");
        out.text(0, &said);
    }
    out.0
}

fn sentence(name: &str, answer: &Value, rules: &[Value]) -> String {
    let acting = rules.iter().find(|r| r["acts"] == true);
    let listed = rules.iter().filter(|r| r["counts"] == true).count();
    match (acting, answer["decision"].as_str().unwrap_or_default()) {
        (Some(rule), decision) => {
            let feed = word(&rule["feed"]);
            format!("{name}: {decision}, by feed {feed}. 已列入名单，处置措施：{decision}。")
        }
        (None, "closed") => {
            format!("{name}: not answered, a feed is closed. 名单未能加载，暂停应答。")
        }
        (None, _) if listed > 0 => {
            format!("{name}: listed, but no rule acts on it. 已列入名单，未采取措施。")
        }
        (None, _) if rules.is_empty() => format!("{name}: not listed. 未列入任何名单。"),
        (None, _) => format!("{name}: not listed in effect. 所列规则均未生效。"),
    }
}

fn one(out: &mut Lines, rule: &Value, tz: &TimeZone) {
    let feed = format!("{} · version {}", word(&rule["feed"]), word(&rule["feed_version"]));
    out.labelled("Feed 名单", AT, &feed);
    put(out, "Rule 规则", &rule["trigger"]);
    put(out, "Entry 原文", &rule["text"]);
    put(out, "Action 措施", &rule["action"]);
    put(out, "Tier 层级", &rule["tier"]);
    put(out, "Authority 下达机关", &rule["authority"]);
    put(out, "Order number 文号", &rule["order_number"]);
    put(out, "Reason 原因", &rule["reason"]);
    put(out, "Content class 内容类别", &rule["content_class"]);
    put(out, "Approved by 批准人", &rule["approver"]);
    put(out, "Evidence 证据", &rule["evidence"]);
    for (label, member) in [
        ("Listed since 列入时间", "since"),
        ("Issued 下达时间", "issued_at"),
        ("Effective from 生效起", "effective_from"),
        ("Expires 失效", "expires_at"),
        ("Due 时限", "due_at"),
    ] {
        if let Some(at) = rule[member].as_str() {
            out.labelled(label, AT, &time(at, tz));
        }
    }
    put(out, "Nodes 节点", &rule["nodes"]);
    if rule["acts"] != true {
        out.labelled("Effect 效果", AT, &effect(rule));
    }
}

/// Why a rule that was found does not act.
fn effect(rule: &Value) -> String {
    match rule["effect"].as_str().unwrap_or_default() {
        "suspended" => "suspended by an appeal 因申诉中止".into(),
        "not-yet" => "not in effect yet 尚未生效".into(),
        "expired" => "expired 已失效".into(),
        "observed" => "counted and recorded only 仅计数记录".into(),
        "answer" => "applies when the answer has it 视应答内容而定".into(),
        "client" => "applies to this client 仅对该来访者".into(),
        "server" => "applies to names of this server 视权威服务器而定".into(),
        "jump" => "applies to jumps 仅对跳转".into(),
        "superseded" => "another rule comes first 其他规则优先".into(),
        other => other.to_owned(),
    }
}

fn answers(out: &mut Lines, answers: &Value, tz: &TimeZone) {
    out.gap();
    let window =
        format!("{} to {}", time(&word(&answers["from"]), tz), time(&word(&answers["to"]), tz));
    out.labelled("Answers 当时应答", AT, &window);
    let (resolutions, jumps) = (list(&answers["resolutions"]), list(&answers["jumps"]));
    if resolutions.is_empty() && jumps.is_empty() {
        out.text(2, "none on record 无记录");
    }
    for r in resolutions {
        let what = match list(&r["answers"]) {
            [] => format!("rcode {}", word(&r["rcode"])),
            all => all.iter().map(word).collect::<Vec<_>>().join(" "),
        };
        out.text(2, &format!("{} × {} {what}{}", word(&r["count"]), word(&r["qname"]), by(r)));
        out.text(4, &span(r, tz));
    }
    for j in jumps {
        let what = format!("{} {} → {}", word(&j["status"]), word(&j["code"]), word(&j["target"]));
        out.text(2, &format!("{} × {what}{}", word(&j["count"]), by(j)));
        out.text(4, &span(j, tz));
    }
}

fn by(answer: &Value) -> String {
    let (action, feed, rule) =
        (word(&answer["action"]), word(&answer["feed"]), word(&answer["rule"]));
    match feed.is_empty() {
        true => String::new(),
        false => format!(" — {action} by {feed} {}: {rule}", word(&answer["feed_version"])),
    }
}

fn span(answer: &Value, tz: &TimeZone) -> String {
    format!("{} to {}", time(&word(&answer["first"]), tz), time(&word(&answer["last"]), tz))
}

/// An instant in a person's zone; what is none as it is.
fn time(text: &str, tz: &TimeZone) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => at.to_zoned(tz.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => text.to_owned(),
    }
}

fn put(out: &mut Lines, label: &str, value: &Value) {
    let shown = word(value);
    if !shown.is_empty() {
        out.labelled(label, AT, &shown);
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(word).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
