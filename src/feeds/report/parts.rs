//! The parts of a report as tables: the same columns whether they become lines or sheets.

use std::fmt::Write as _;

use super::{Hits, Report};
use crate::clock::Timestamp;

/// A part of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The orders and what was done: the answer to an authority.
    Orders,
    /// The versions.
    Versions,
    /// The rules that were hit.
    Rules,
    /// The entries that were not taken.
    Rejected,
}

/// A table with a name and headings in two languages.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) headings: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Count(u64),
    Seconds(Option<f64>),
    /// Empty for [`Timestamp::ZERO`].
    Time(Timestamp),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<Timestamp> for Cell {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl From<Option<f64>> for Cell {
    fn from(seconds: Option<f64>) -> Self {
        Self::Seconds(seconds)
    }
}

impl Part {
    /// Every part, in the order of the sheets.
    pub const ALL: [Self; 4] = [Self::Orders, Self::Versions, Self::Rules, Self::Rejected];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Versions => "versions",
            Self::Rules => "rules",
            Self::Rejected => "rejected",
        }
    }

    /// The part of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    pub(super) fn of(self, report: &Report) -> Table {
        match self {
            Self::Orders => orders(report),
            Self::Versions => versions(report),
            Self::Rules => rules(report),
            Self::Rejected => rejected(report),
        }
    }
}

fn orders(report: &Report) -> Table {
    let row = |o: &super::Order| -> Vec<Cell> {
        vec![
            (&o.order_number).into(),
            (&o.authority).into(),
            (&o.content_class).into(),
            (&report.feed).into(),
            o.version.into(),
            o.rules.into(),
            o.received_at.into(),
            (&o.approved_by).into(),
            o.in_force_at.into(),
            o.seconds_to_force.into(),
            o.due_at.into(),
            outcome(o.in_time).into(),
            count(o.hits.as_ref(), |h| h.resolutions),
            count(o.hits.as_ref(), |h| h.jumps),
            (&o.hits.as_ref().map(effect).unwrap_or_default()).into(),
        ]
    };
    Table {
        name: "处置反馈 orders",
        headings: vec![
            "文号 order number",
            "下达机关 authority",
            "内容类别 content class",
            "名单 feed",
            "首个版本 first version",
            "规则数 rules",
            "接收时间 received",
            "批准人 approved by",
            "生效时间 in force",
            "处置用时(秒) seconds to force",
            "要求时限 due",
            "是否按时 in time",
            "解析命中 resolutions hit",
            "跳转命中 jumps hit",
            "处置效果 effect",
        ],
        rows: report.orders.iter().map(row).collect(),
    }
}

fn versions(report: &Report) -> Table {
    let row = |v: &super::Version| -> Vec<Cell> {
        vec![
            (&report.feed).into(),
            v.version.into(),
            (&v.state).into(),
            (&report.order_number).into(),
            (&report.authority).into(),
            v.received_at.into(),
            (&nodes(v)).into(),
            v.seconds_to_force.into(),
            (&v.approved_by).into(),
            v.approved_at.into(),
            v.due_at.into(),
            outcome(v.in_time).into(),
            v.accepted.into(),
            v.rejected.into(),
            v.duplicates.into(),
            v.conflicts.into(),
            v.not_evaluable.into(),
            count(v.hits.as_ref(), |h| h.resolutions),
            count(v.hits.as_ref(), |h| h.jumps),
            (&v.hits.as_ref().map(effect).unwrap_or_default()).into(),
            (&v.signer).into(),
            (&v.digest).into(),
        ]
    };
    Table {
        name: "版本 versions",
        headings: vec![
            "名单 feed",
            "版本 version",
            "状态 state",
            "文号 order number",
            "下达机关 authority",
            "接收时间 received",
            "各节点生效 in force on",
            "处置用时(秒) seconds to force",
            "批准人 approved by",
            "批准时间 approved",
            "要求时限 due",
            "是否按时 in time",
            "采纳 accepted",
            "拒收 rejected",
            "重复 duplicates",
            "冲突 conflicts",
            "无法判定 not evaluable",
            "解析命中 resolutions hit",
            "跳转命中 jumps hit",
            "处置效果 effect",
            "来源签名 signer",
            "摘要 SHA-256",
        ],
        rows: report.versions.iter().map(row).collect(),
    }
}

fn rules(report: &Report) -> Table {
    let row = |r: &super::RuleHits| -> Vec<Cell> {
        vec![
            (&report.feed).into(),
            (&r.version).into(),
            (&r.rule).into(),
            r.hits.resolutions.into(),
            r.hits.jumps.into(),
            (&effect(&r.hits)).into(),
            r.first.into(),
            r.last.into(),
        ]
    };
    Table {
        name: "规则命中 rules",
        headings: vec![
            "名单 feed",
            "版本 version",
            "规则 rule",
            "解析命中 resolutions hit",
            "跳转命中 jumps hit",
            "处置效果 effect",
            "首次命中 first hit",
            "末次命中 last hit",
        ],
        rows: report.rules.iter().map(row).collect(),
    }
}

fn rejected(report: &Report) -> Table {
    let row = |r: &super::Rejected| -> Vec<Cell> {
        vec![
            (&report.feed).into(),
            r.version.into(),
            r.line.into(),
            (&r.code).into(),
            (&r.reason).into(),
            (&r.text).into(),
        ]
    };
    Table {
        name: "拒收条目 rejected",
        headings: vec![
            "名单 feed",
            "版本 version",
            "行号 line",
            "原因代码 code",
            "原因 reason",
            "原文 text",
        ],
        rows: report.rejected.iter().map(row).collect(),
    }
}

/// An outcome as people say it.
const fn outcome(outcome: &str) -> &'static str {
    match outcome.as_bytes() {
        b"true" => "是 yes",
        b"false" => "否 no",
        b"not_evaluated" => "未到期 not due yet",
        b"unknown" => "不明 unknown",
        _ => "无时限 no date",
    }
}

/// A count; empty where nobody could be asked.
fn count(hits: Option<&Hits>, pick: fn(&Hits) -> u64) -> Cell {
    hits.map_or_else(|| "".into(), |h| pick(h).into())
}

/// What was done how often, in one line.
fn effect(hits: &Hits) -> String {
    let mut out = String::new();
    for (action, count) in &hits.by_action {
        let gap = if out.is_empty() { "" } else { "; " };
        // Writing to a `String` cannot fail.
        write!(out, "{gap}{action} {count}").ok();
    }
    out
}

fn nodes(version: &super::Version) -> String {
    let one = |n: &super::InForce| format!("{} {}", n.node, n.at);
    version.in_force.iter().map(one).collect::<Vec<_>>().join("; ")
}
