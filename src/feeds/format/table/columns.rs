//! What a column may hold, and by which words and headings it is known.

use super::super::LegalField;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// What the rule is about.
    Subject(SubjectKind),
    /// What it does.
    Action,
    /// What the law wants known of it.
    Legal(LegalField),
}

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A name, a URL or an address, whichever it is.
    Any,
    /// A name asked.
    Name,
    /// A URL.
    Url,
    /// An address or a prefix in an answer.
    Address,
    /// Who asks: an address or a prefix.
    Client,
    /// The name of a name server.
    Nsdname,
    /// The address of a name server.
    Nsip,
    /// A link's code.
    Code,
    /// A trigger in the form that records have it in.
    Trigger,
}

/// Words of subjects, and the headings that they are found by.
const SUBJECTS: &[(&str, SubjectKind, &[&str])] = &[
    (
        "subject",
        SubjectKind::Any,
        &["target", "indicator", "ioc", "entry", "处置对象", "对象", "违法网站", "网站"],
    ),
    (
        "name",
        SubjectKind::Name,
        &[
            "domain",
            "domain name",
            "domainname",
            "domains",
            "fqdn",
            "host",
            "hostname",
            "域名",
            "涉诈域名",
            "违法域名",
            "域名名称",
        ],
    ),
    ("url", SubjectKind::Url, &["urls", "link", "网址", "链接", "url地址", "网址链接", "涉诈网址"]),
    ("address", SubjectKind::Address, &["ip", "ip address", "ips", "ip地址", "涉诈ip"]),
    ("client", SubjectKind::Client, &["client_ip"]),
    ("nsdname", SubjectKind::Nsdname, &["name server"]),
    ("nsip", SubjectKind::Nsip, &[]),
    ("code", SubjectKind::Code, &["link code"]),
    ("trigger", SubjectKind::Trigger, &["rule"]),
];

const ACTION: (&str, &[&str]) = ("action", &["处置方式", "处置措施", "处置动作"]);

const LEGAL: &[(LegalField, &[&str])] = &[
    (LegalField::Authority, &["ordered by", "下发单位", "指令单位", "发文机关", "来源单位"]),
    (LegalField::OrderNumber, &["order number", "order", "文号", "指令编号", "通知文号", "工单号"]),
    (LegalField::Reason, &["处置原因", "事由", "原因", "违法类型", "涉诈类型"]),
    (LegalField::ContentClass, &["class", "内容类别", "违法类别"]),
    (LegalField::Tier, &["level", "处置等级", "等级", "提示级别"]),
    (LegalField::IssuedAt, &["issued", "下发时间", "下发日期", "发文日期"]),
    (LegalField::EffectiveFrom, &["effective", "from", "生效时间", "生效日期"]),
    (LegalField::ExpiresAt, &["expires", "until", "失效时间", "失效日期", "截止日期", "有效期至"]),
    (LegalField::DueAt, &["due", "处置时限", "处置期限", "办理时限"]),
    (LegalField::Approver, &["approved by", "审批人", "批准人"]),
    (LegalField::Evidence, &["证据", "证据编号", "证据链接"]),
];

/// Every word of a column.
pub const COLUMN_WORDS: &[&str] = &[
    "subject",
    "name",
    "url",
    "address",
    "client",
    "nsdname",
    "nsip",
    "code",
    "trigger",
    "action",
    "authority",
    "order_number",
    "reason",
    "content_class",
    "tier",
    "issued_at",
    "effective_from",
    "expires_at",
    "due_at",
    "approver",
    "evidence",
];

impl Column {
    /// The column of this word.
    pub fn from_name(word: &str) -> Option<Self> {
        if word == ACTION.0 {
            return Some(Self::Action);
        }
        let subject = SUBJECTS.iter().find(|(name, ..)| *name == word);
        let subject = subject.map(|(_, kind, _)| Self::Subject(*kind));
        subject.or_else(|| LegalField::from_name(word).map(Self::Legal))
    }

    /// What a heading of this text stands for.
    pub(super) fn of_heading(heading: &str) -> Option<Self> {
        let heading = heading.trim().to_lowercase();
        if let Some(column) = Self::from_name(&heading.replace(' ', "_")) {
            return Some(column);
        }
        let is = |words: &[&str]| words.contains(&heading.as_str());
        if is(ACTION.1) {
            return Some(Self::Action);
        }
        let subject = SUBJECTS.iter().find(|(.., words)| is(words)).map(|s| Self::Subject(s.1));
        subject.or_else(|| LEGAL.iter().find(|(_, words)| is(words)).map(|l| Self::Legal(l.0)))
    }
}

/// A column's place, from 0: a number from 1, or a letter.
pub(super) fn place(name: &str) -> Option<usize> {
    let name = name.trim();
    if let Ok(number) = name.parse::<usize>() {
        return number.checked_sub(1).filter(|n| *n < 16_384);
    }
    if name.is_empty() || name.len() > 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let letter = |b: u8| usize::from(b.to_ascii_uppercase() - b'A') + 1;
    let number = name.bytes().fold(0, |n, b| n * 26 + letter(b));
    Some(number - 1).filter(|n| *n < 16_384)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_columns() {
        for (name, expected) in [
            ("1", Some(0)),
            ("0", None),
            ("A", Some(0)),
            ("z", Some(25)),
            ("AA", Some(26)),
            ("XFD", Some(16_383)),
            ("XFE", None),
            ("域名", None),
            ("", None),
        ] {
            assert_eq!(place(name), expected, "{name}");
        }
    }

    #[test]
    fn headings() {
        for (heading, expected) in [
            ("Domain", Some(Column::Subject(SubjectKind::Name))),
            (" 域名 ", Some(Column::Subject(SubjectKind::Name))),
            ("Order Number", Some(Column::Legal(LegalField::OrderNumber))),
            ("文号", Some(Column::Legal(LegalField::OrderNumber))),
            ("处置方式", Some(Column::Action)),
            ("序号", None),
        ] {
            assert_eq!(Column::of_heading(heading), expected, "{heading}");
        }
        assert!(COLUMN_WORDS.iter().all(|word| Column::from_name(word).is_some()));
        assert_eq!(COLUMN_WORDS.len(), SUBJECTS.len() + 1 + LegalField::ALL.len());
        // No heading stands for two things.
        let mut words: Vec<&str> = SUBJECTS.iter().flat_map(|s| s.2).copied().collect();
        words.extend(LEGAL.iter().flat_map(|l| l.1).chain(ACTION.1));
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }
}
