//! Words for what records hold as numbers and English words.

use hickory_proto::rr::RecordType;
use serde_json::Value;

pub(super) fn rtype(v: &Value) -> String {
    let n = v.as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    match RecordType::from(n) {
        RecordType::Unknown(n) => format!("TYPE{n}"),
        known => known.to_string(),
    }
}

pub(super) fn rcode(v: &Value) -> String {
    match v.as_u64().unwrap_or_default() {
        0 => "NOERROR".into(),
        1 => "FORMERR".into(),
        2 => "SERVFAIL".into(),
        3 => "NXDOMAIN".into(),
        4 => "NOTIMP".into(),
        5 => "REFUSED".into(),
        16 => "BADVERS".into(),
        n => format!("RCODE{n}"),
    }
}

pub(super) fn title(kind: &str) -> String {
    let mut chars = kind.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

pub(super) fn han(kind: &str) -> &'static str {
    match kind {
        "resolution" => "解析",
        "jump" => "跳转",
        "conversion" => "链接转换",
        "notice" => "提示",
        "verification" => "核验",
        "hop" => "去向",
        "report" => "举报申诉",
        "access" => "调阅",
        "gap" => "缺口",
        "record" => "记录",
        "url" => "网址",
        "link" => "链接",
        "address" => "地址",
        "domain" => "域名",
        "client" => "来访者",
        _ => "",
    }
}

pub(super) fn operation_word(operation: &str) -> &'static str {
    match operation {
        "create" => "创建",
        "edit" => "修改",
        "disable" => "停用",
        "enable" => "启用",
        _ => "",
    }
}

pub(super) fn report_word(word: &str) -> &'static str {
    match word {
        "received" => "收到",
        "decided" => "已决定",
        "acted" => "已处置",
        "accepted" => "成立",
        "rejected" => "不成立",
        "phishing" => "仿冒",
        "fraud" => "诈骗",
        "malware" => "恶意程序",
        "illegal" => "违法内容",
        "other" => "其他",
        "appeal" => "申诉",
        _ => "",
    }
}

pub(super) fn outcome_word(outcome: &str) -> &'static str {
    match outcome {
        "jumped" => "已跳转",
        "unresolved" => "未解析",
        "unknown" => "未知链接",
        "disabled" => "已停用",
        "expired" => "已过期",
        "stopped" => "已阻断",
        _ => "",
    }
}

pub(super) const fn plural(n: u64) -> &'static str {
    if n == 1 { "record" } else { "records" }
}
