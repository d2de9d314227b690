//! What a subject means: which rows of which table answer it, and which share a flow with those.

use std::net::IpAddr;

use url::Url;

use super::{
    Subject, Window,
    query::{CHAIN, FLOW_SPAN, Param, Place, Statement, before, micros, place, rows, since, text},
    question::at_and_above,
};
use crate::record::{RecordId, Table, rowbinary::mapped};

/// What a subject means in each table.
#[derive(Clone, Debug)]
pub(super) struct Matching {
    conditions: Vec<(Table, &'static str)>,
    params: Vec<(&'static str, Param)>,
}

impl Matching {
    /// The rows that answer `subject`. `registered` tells whether a name has a registrable domain
    /// at or above it; where it has none, the rows below are found by the name alone, slowly.
    /// `around` is when a record asked for by id was written.
    pub(super) fn new(
        subject: &Subject,
        registered: impl Fn(&str) -> bool,
        around: Window,
    ) -> Self {
        match subject {
            Subject::Record(id) => Self::record(id, around),
            Subject::Url { target } => Self::url(target),
            Subject::Link { code } => Self {
                conditions: [Table::Jumps, Table::Conversions, Table::Notices]
                    .map(|t| (t, "code = {code:String}"))
                    .to_vec(),
                params: vec![text("code", code)],
            },
            Subject::Address(a) => Self {
                conditions: vec![
                    (Table::Resolutions, "has(answers, {address:IPv6})"),
                    (Table::Jumps, "has(target_addresses, {address:IPv6})"),
                ],
                params: vec![address(*a)],
            },
            Subject::Domain(name) => Self::domain(name, registered(name)),
            Subject::Client { address: a, port } => {
                let condition = match port {
                    Some(_) => "client = {address:IPv6} AND client_port = {port:UInt16}",
                    None => "client = {address:IPv6}",
                };
                let mut params = vec![address(*a)];
                params.extend(port.map(|p| ("port", Param::Unsigned(p.into()))));
                Self { conditions: CHAIN[..4].iter().map(|t| (*t, condition)).collect(), params }
            }
        }
    }

    /// One record.
    pub(super) fn record(id: &RecordId, around: Window) -> Self {
        let condition = "node = {node:String} AND lane = {lane:UInt64} AND seq = {seq:UInt64} \
                         AND ts >= fromUnixTimestamp64Micro({written_from:Int64}, 'UTC') \
                         AND ts < fromUnixTimestamp64Micro({written_to:Int64}, 'UTC')";
        let mut params = place(id).to_vec();
        params.extend([micros("written_from", around.from), micros("written_to", around.to)]);
        let table = id.lane.table().map(|t| (t, condition));
        Self { conditions: table.into_iter().collect(), params }
    }

    /// Jumps to a target, and all that was ever done to the links that had it.
    fn url(target: &str) -> Self {
        let url = Url::parse(target).ok();
        let Some(host) = url.as_ref().and_then(Url::domain) else {
            return Self {
                conditions: vec![
                    (Table::Jumps, "target = {target:String}"),
                    (
                        Table::Conversions,
                        "code IN (SELECT code FROM conversions WHERE target = {target:String})",
                    ),
                ],
                params: vec![text("target", target)],
            };
        };
        // The domain adds nothing but speed: targets are indexed by it.
        let bare = host.trim_end_matches('.');
        let above = at_and_above(bare).into_iter().chain(at_and_above(host));
        Self {
            conditions: vec![
                (
                    Table::Jumps,
                    "target_registrable_domain IN {above:Array(String)} \
                     AND target = {target:String}",
                ),
                (
                    Table::Conversions,
                    "code IN (SELECT code FROM conversions \
                     WHERE target_registrable_domain IN {above:Array(String)} \
                     AND target = {target:String})",
                ),
            ],
            params: vec![
                text("target", target),
                ("above", Param::Texts(above.map(str::to_owned).collect())),
            ],
        }
    }

    fn domain(name: &str, registered: bool) -> Self {
        let conditions = if name == "." {
            CHAIN.iter().filter(|t| **t != Table::Notices).map(|t| (*t, "true")).collect()
        } else if registered {
            vec![
                (
                    Table::Resolutions,
                    "registrable_domain IN {above:Array(String)} \
                     AND (qname = {name:String} OR endsWith(qname, {below:String}))",
                ),
                (
                    Table::Jumps,
                    "target_registrable_domain IN {above:Array(String)} \
                     AND (target_host = {name:String} OR endsWith(target_host, {below:String}))",
                ),
                (
                    Table::Conversions,
                    "target_registrable_domain IN {above:Array(String)} \
                     AND (target_host = {name:String} OR endsWith(target_host, {below:String}))",
                ),
                (
                    Table::Verifications,
                    "registrable_domain IN {above:Array(String)} \
                     AND (subject = {name:String} OR endsWith(subject, {below:String}))",
                ),
            ]
        } else {
            vec![
                (Table::Resolutions, "qname = {name:String} OR endsWith(qname, {below:String})"),
                (
                    Table::Jumps,
                    "target_host = {name:String} OR endsWith(target_host, {below:String})",
                ),
                (
                    Table::Conversions,
                    "target_host = {name:String} OR endsWith(target_host, {below:String})",
                ),
                (
                    Table::Verifications,
                    "subject = {name:String} OR endsWith(subject, {below:String})",
                ),
            ]
        };
        let above = at_and_above(name).into_iter().map(str::to_owned).collect();
        Self {
            conditions,
            params: vec![
                text("name", name),
                text("below", &format!(".{name}")),
                ("above", Param::Texts(above)),
            ],
        }
    }

    /// The tables that hold answers.
    pub(super) fn tables(&self) -> impl Iterator<Item = Table> {
        self.conditions.iter().map(|(t, _)| *t)
    }

    /// The rows of `table` that answer, in order.
    pub(super) fn answers(&self, table: Table, place: &Place) -> Option<Statement> {
        let (_, condition) = self.conditions.iter().find(|(t, _)| *t == table)?;
        Some(rows(table, condition, place, &self.params))
    }

    /// Whether an answer near `place` belongs to a flow at all.
    pub(super) fn has_flows(&self, place: &Place) -> Option<Statement> {
        let sql = format!("SELECT 1 FROM ({}) LIMIT 1", self.flows()?);
        Some(Statement { sql, params: self.near(place) })
    }

    /// The rows of `table` that share a flow with an answer near `place`, in order.
    pub(super) fn mates(&self, table: Table, place: &Place) -> Option<Statement> {
        let flows = self.flows()?;
        Some(rows(table, &format!("flow IN ({flows})"), place, &self.near(place)))
    }

    fn flows(&self) -> Option<String> {
        let one = |(table, condition): &(Table, &str)| {
            CHAIN.contains(table).then(|| {
                format!(
                    "SELECT flow FROM {table} WHERE flow != 0 AND {} AND {} AND ({condition})",
                    since("ts", "near_from"),
                    before("ts", "near_to"),
                )
            })
        };
        let parts: Vec<_> = self.conditions.iter().filter_map(one).collect();
        (!parts.is_empty()).then(|| parts.join(" UNION ALL "))
    }

    fn near(&self, place: &Place) -> Vec<(&'static str, Param)> {
        let Window { from, to } = place.asked;
        let from = from.max(place.begin().saturating_sub(FLOW_SPAN));
        let to = to.min(place.end().saturating_add(FLOW_SPAN));
        let mut params = self.params.clone();
        params.extend([micros("near_from", from), micros("near_to", to)]);
        params
    }
}

fn address(a: IpAddr) -> (&'static str, Param) {
    ("address", Param::Text(mapped(a).to_string()))
}

#[cfg(test)]
mod tests {
    use super::{super::cursor::Key, *};
    use crate::{clock::Timestamp, record::LaneId};

    const HOSTILE: &str = r"x') OR 1=1 --\' \u{202e} {name:String}";

    fn place_() -> Place {
        Place { asked: Window::ALL, after: None, last: None, rows_max: 11 }
    }

    #[test]
    fn nothing_asked_is_ever_part_of_a_statement() {
        let a: IpAddr = "192.0.2.7".parse().unwrap();
        for subject in [
            Subject::Url { target: HOSTILE.into() },
            Subject::Url { target: format!("https://www.demo.test/{HOSTILE}") },
            Subject::Link { code: HOSTILE.into() },
            Subject::Domain(HOSTILE.into()),
            Subject::Address(a),
            Subject::Client { address: a, port: Some(53) },
        ] {
            let m = Matching::new(&subject, |_| true, Window::ALL);
            for table in CHAIN {
                let answers = m.answers(table, &place_()).into_iter();
                for s in answers.chain(m.mates(table, &place_())).chain(m.has_flows(&place_())) {
                    assert!(!s.sql.contains("1=1") && !s.sql.contains("192.0"), "{}", s.sql);
                    for (name, _) in &s.params {
                        assert!(s.sql.contains(&format!("{{{name}:")), "{name} in {}", s.sql);
                    }
                }
            }
        }
    }

    #[test]
    fn a_page_knows_its_stretch() {
        let key = |secs| Key {
            ts: Timestamp::from_secs(secs),
            node: "n".parse().unwrap(),
            lane: LaneId(1),
            seq: 2,
        };
        let place = Place { after: Some(key(10_000)), last: Some(key(20_000)), ..place_() };
        let m = Matching::new(&Subject::Link { code: "c".into() }, |_| true, Window::ALL);
        let s = m.mates(Table::Resolutions, &place).unwrap();
        let number = |name| {
            let (_, p) = s.params.iter().find(|(n, _)| *n == name).unwrap();
            match p {
                Param::Signed(n) => n / 1_000_000,
                _ => panic!("{name} is no number"),
            }
        };
        assert_eq!((number("from"), number("to")), (10_000, 20_000));
        assert_eq!((number("near_from"), number("near_to")), (6_400, 23_600));
    }
}
