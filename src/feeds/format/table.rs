//! Tables: rows of cells, whichever file they come from.
//!
//! Which column holds what is said by the feed's column map, or found by the headings that lists
//! of this kind have. A row makes a rule for every subject it names: a cell may hold several,
//! parted by spaces, line ends or the marks that Chinese lists are parted by.

use std::borrow::Cow;

use super::{LegalField, Place, Reason, TableOptions, action::action, out::Out, subject};
use crate::policy::Trigger;

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

/// How many rows are looked at for headings.
const HEADING_ROWS_MAX: u32 = 20;

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
    fn of_heading(heading: &str) -> Option<Self> {
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

/// A table as it is read, row by row.
pub(super) struct Table<'o> {
    options: &'o TableOptions,
    columns: Option<Vec<(Column, usize)>>,
    /// The cells of the headings: the files of a directory may each have them.
    headings: Vec<String>,
    /// How many cells rows have: those of the headings, or as many as the map names.
    width: usize,
    rows: u32,
    /// Rows before the headings: a title, if headings follow.
    before: Vec<(u64, Vec<u8>)>,
}

impl<'o> Table<'o> {
    pub(super) fn new(options: &'o TableOptions) -> Self {
        let mut table = Self {
            options,
            columns: None,
            headings: Vec::new(),
            width: 0,
            rows: 0,
            before: Vec::new(),
        };
        if options.header_row == Some(0) {
            table.columns = table.by_place();
            table.width = reach(table.columns.as_deref());
        }
        table
    }

    /// Whether it is known which column holds what.
    pub(super) fn is_known(&self) -> bool {
        self.columns.is_some()
    }

    /// Whether a row of this many cells has none too few.
    pub(super) fn is_whole(&self, cells: usize) -> bool {
        cells >= self.width
    }

    /// Takes the next row; rows without text are none.
    pub(super) fn row(&mut self, at: Place<'_>, cells: &[Cow<'_, str>], out: &mut Out<'_>) {
        self.rows = self.rows.saturating_add(1);
        if cells.iter().all(|c| c.trim().is_empty()) {
            return;
        }
        if self.columns.is_none() && !self.learn(at, cells, out) {
            return;
        }
        let Some(columns) = &self.columns else { return };
        if !self.headings.is_empty() && self.headings == cells {
            out.summary.ignored += 1;
            return;
        }
        if let Err(reason) = rules(at, cells, columns, out) {
            out.reject(at, reason);
        }
    }

    /// The end: where there were no headings, all rows are rejected.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) {
        for (line, text) in self.before.drain(..) {
            out.reject(Place { line, text: &text }, no_headings());
        }
    }

    /// Learns the columns from a row before they are known, and says whether that row is one of
    /// the list all the same.
    fn learn(&mut self, at: Place<'_>, cells: &[Cow<'_, str>], out: &mut Out<'_>) -> bool {
        let by_place = |table: &Self| table.by_place().filter(|c| rules_would(cells, c));
        let (columns, is_data) = match self.options.header_row {
            Some(0) => (None, true),
            Some(row) if self.rows != row => (None, false),
            Some(_) => (self.found(cells), false),
            None => match self.found(cells).map(|c| (c, false)) {
                Some((columns, is_data)) => (Some(columns), is_data),
                // No headings: the map says which column by its place, or there is but one.
                None => (by_place(self).or_else(|| the_only(cells)), true),
            },
        };
        if columns.is_some() {
            if is_data {
                // Nobody can say whether these were titles or entries.
                self.finish(out);
            }
            out.summary.ignored += self.before.len() as u64 + u64::from(!is_data);
            self.before.clear();
            self.width = if is_data { reach(columns.as_deref()) } else { cells.len() };
            if !is_data {
                self.headings = cells.iter().map(ToString::to_string).collect();
            }
            self.columns = columns;
            return is_data;
        }
        let too_late = match self.options.header_row {
            Some(row) => self.rows >= row,
            None => self.rows >= HEADING_ROWS_MAX,
        };
        if too_late {
            self.finish(out);
            out.reject(at, no_headings());
        } else {
            self.before.push((at.line, at.text.to_vec()));
        }
        false
    }

    /// The columns by this row of headings, and by the map where it names places.
    fn found(&self, cells: &[Cow<'_, str>]) -> Option<Vec<(Column, usize)>> {
        if self.options.columns.is_empty() {
            let columns = cells.iter().enumerate();
            return with_subject(columns.filter_map(|(i, c)| Some((Column::of_heading(c)?, i))));
        }
        let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
        let heading = |name: &str| cells.iter().position(|c| same(c, name));
        // A number or a letter is a place only beside a heading that is there.
        let must = self.options.header_row.is_some()
            || self.options.columns.iter().any(|(_, name)| heading(name).is_some());
        let place = |name: &str| heading(name).or_else(|| must.then(|| place(name)).flatten());
        with_subject(self.options.columns.iter().filter_map(|(c, name)| Some((*c, place(name)?))))
    }

    /// The columns by their places alone.
    fn by_place(&self) -> Option<Vec<(Column, usize)>> {
        let columns: Option<Vec<_>> =
            self.options.columns.iter().map(|(c, name)| Some((*c, place(name)?))).collect();
        with_subject(columns?.into_iter())
    }
}

/// How many cells a row has at least that has all these columns.
fn reach(columns: Option<&[(Column, usize)]>) -> usize {
    columns.into_iter().flatten().map(|(_, i)| i + 1).max().unwrap_or(0)
}

/// Columns of which one says what rules are about.
fn with_subject(columns: impl Iterator<Item = (Column, usize)>) -> Option<Vec<(Column, usize)>> {
    let columns: Vec<_> = columns.collect();
    columns.iter().any(|(c, _)| matches!(c, Column::Subject(_))).then_some(columns)
}

/// One column of subjects without a heading. A title may look like a name, but for letters of
/// other scripts or the dot.
fn the_only(cells: &[Cow<'_, str>]) -> Option<Vec<(Column, usize)>> {
    let [cell] = cells else { return None };
    let plain = cell.is_ascii() && cell.contains(['.', ':']) && subject::of_any(cell).is_ok();
    plain.then(|| vec![(Column::Subject(SubjectKind::Any), 0)])
}

fn no_headings() -> Reason {
    let why = "no row of headings so far that says which column holds the names: give the feed a column map";
    Reason::new("no-headings", why)
}

/// A column's place, from 0: a number from 1, or a letter.
fn place(name: &str) -> Option<usize> {
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

/// Whether a row makes a rule by these columns.
fn rules_would(cells: &[Cow<'_, str>], columns: &[(Column, usize)]) -> bool {
    let subjects = columns.iter().filter_map(|(c, at)| match c {
        Column::Subject(kind) => Some((*kind, cells.get(*at)?)),
        _ => None,
    });
    let mut subjects = subjects;
    subjects.any(|(kind, cell)| pieces(kind, cell).any(|p| triggers(kind, p).is_ok()))
}

/// The rules of one row. A subject that cannot be taken is rejected without the others.
fn rules(
    at: Place<'_>,
    cells: &[Cow<'_, str>],
    columns: &[(Column, usize)],
    out: &mut Out<'_>,
) -> Result<(), Reason> {
    let cell = |i: usize| cells.get(i).map_or("", |c| c.trim());
    let word = columns.iter().find(|(c, _)| *c == Column::Action).map_or("", |(_, i)| cell(*i));
    let action = action(word, out.options)?;
    let mut any = false;
    for (kind, i) in columns.iter().filter_map(|(c, i)| match c {
        Column::Subject(kind) => Some((*kind, *i)),
        _ => None,
    }) {
        for piece in pieces(kind, cell(i)) {
            any = true;
            let fields = columns.iter().filter_map(|(c, i)| match c {
                Column::Legal(field) => Some((*field, cell(*i))),
                _ => None,
            });
            let taken = triggers(kind, piece).and_then(|triggers| {
                triggers
                    .into_iter()
                    .try_for_each(|t| out.rule_with(at, t, action.clone(), fields.clone()))
            });
            if let Err(reason) = taken {
                out.reject(at, reason);
            }
        }
    }
    if any {
        Ok(())
    } else {
        Err(Reason::syntax("nothing in the columns that say what the rule is about"))
    }
}

/// The subjects in a cell. Words parted by spaces alone are subjects when all of them look like
/// ones: else they are a sentence, and its words are no names.
fn pieces(kind: SubjectKind, cell: &str) -> impl Iterator<Item = &str> {
    let sentence = cell.split_whitespace().any(|word| !word.contains(['.', ':', '。', '．']));
    let marks = move |c: char| match c {
        '、' | '；' | '，' | '\n' | '\r' => true,
        // These can stand in a URL.
        ',' | ';' => !matches!(kind, SubjectKind::Any | SubjectKind::Url | SubjectKind::Trigger),
        c => c.is_whitespace() && !sentence,
    };
    cell.split(marks).map(str::trim).filter(|p| !p.is_empty())
}

/// The triggers of a subject of this kind.
pub(super) fn triggers(kind: SubjectKind, text: &str) -> Result<Vec<Trigger>, Reason> {
    Ok(match kind {
        SubjectKind::Any => subject::of_any(text)?,
        SubjectKind::Name => subject::of_name(text)?,
        SubjectKind::Url => subject::of_url(text)?,
        SubjectKind::Address => vec![Trigger::ResponseIp(subject::net(text)?)],
        SubjectKind::Client => vec![Trigger::ClientIp(subject::net(text)?)],
        SubjectKind::Nsip => vec![Trigger::Nsip(subject::net(text)?)],
        SubjectKind::Nsdname => subject::of_name(text)?.into_iter().map(as_nsdname).collect(),
        SubjectKind::Code => vec![parsed(&format!("code:{text}"))?],
        SubjectKind::Trigger => vec![parsed(text)?],
    })
}

fn as_nsdname(trigger: Trigger) -> Trigger {
    match trigger {
        Trigger::Qname(pattern) => Trigger::Nsdname(pattern),
        other => other,
    }
}

fn parsed(text: &str) -> Result<Trigger, Reason> {
    let trigger: Trigger =
        text.parse().map_err(|e| Reason::new("bad-trigger", format!("{text:?}: {e}")))?;
    match &trigger {
        Trigger::Url(_, url) if !url.split(['/', '?']).next().is_some_and(subject::is_host) => {
            Err(Reason::new("bad-trigger", format!("{text:?}: not a URL of a host")))
        }
        _ => Ok(trigger),
    }
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
