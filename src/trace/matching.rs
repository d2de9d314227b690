//! What a subject means: which rows of which table answer it, and which share a flow with those.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use url::Url;

use super::{
    Subject, Window,
    query::{CHAIN, Param, Place, Statement, before, micros, place, rows, since, text},
    question::at_and_above,
};
use crate::{
    clock::Timestamp,
    links::{AskedPath, candidates},
    record::{RecordId, Table, rowbinary::mapped},
};

/// Flows handed to the store at once: 80 kB, where a server takes 128 in one field of a form.
const FLOWS_MAX: usize = 2_000;

/// The rows of a page are chosen by few columns; the others are read for those rows alone.
const AFTERWARDS: &str = " SETTINGS query_plan_optimize_lazy_materialization = 1";

/// The tables whose rows name a link.
const LINKED: [Table; 6] = [
    Table::Jumps,
    Table::Conversions,
    Table::Notices,
    Table::Verifications,
    Table::Hops,
    Table::Reports,
];

/// A table, its rows at or below a name by the column of their registrable domain, and the same by
/// the column of the name alone.
macro_rules! below {
    ($table:ident, $domain:literal, $name:literal) => {
        (
            Table::$table,
            concat!(
                $domain,
                " IN {above:Array(String)} AND (",
                $name,
                " = {name:String} OR endsWith(",
                $name,
                ", {below:String}))"
            ),
            concat!($name, " = {name:String} OR endsWith(", $name, ", {below:String})"),
        )
    };
}

/// The rows at or below a name: by the registrable domains at and above it, and by the name alone.
const DOMAIN: [(Table, &str, &str); 6] = [
    below!(Resolutions, "registrable_domain", "qname"),
    below!(Jumps, "target_registrable_domain", "target_host"),
    below!(Conversions, "target_registrable_domain", "target_host"),
    below!(Verifications, "registrable_domain", "host"),
    below!(Hops, "registrable_domain", "host"),
    below!(Reports, "registrable_domain", "host"),
];

/// What a client did. Reports are followed to their end: who decided them is somebody else.
const CLIENT: [(Table, &str); 5] = [
    (Table::Resolutions, "client = {address:IPv6}"),
    (Table::Jumps, "client = {address:IPv6}"),
    (Table::Conversions, "client = {address:IPv6}"),
    (Table::Notices, "client = {address:IPv6}"),
    (
        Table::Reports,
        "report IN (SELECT report FROM reports WHERE event = 'received' \
         AND client = {address:IPv6})",
    ),
];

/// The same from one port.
const CLIENT_PORT: [(Table, &str); 5] = [
    (Table::Resolutions, "client = {address:IPv6} AND client_port = {port:UInt16}"),
    (Table::Jumps, "client = {address:IPv6} AND client_port = {port:UInt16}"),
    (Table::Conversions, "client = {address:IPv6} AND client_port = {port:UInt16}"),
    (Table::Notices, "client = {address:IPv6} AND client_port = {port:UInt16}"),
    (
        Table::Reports,
        "report IN (SELECT report FROM reports WHERE event = 'received' \
         AND client = {address:IPv6} AND client_port = {port:UInt16})",
    ),
];

/// The tables that say what became of forwards, in the order of their codes.
const FORWARDS: [Table; 2] = [Table::Jumps, Table::Conversions];

/// The forwards of hosts at or below a name. Their codes lie together.
const FORWARDED: &str = "startsWith(code, 'fwd:') \
     AND (splitByChar('/', substring(code, 5))[1] = {name:String} \
          OR endsWith(splitByChar('/', substring(code, 5))[1], {below:String}))";

/// The forwards that may answer for a URL.
const FORWARDING: &str = "code IN {forwards:Array(String)}";

/// What a subject means in each table.
#[derive(Clone, Debug)]
pub(super) struct Matching {
    /// The table where answers lie together in its order and may be far more than a page.
    together: Option<Table>,
    /// Each is asked by itself, as what finds its rows differs; of a table there may be several.
    conditions: Vec<(Table, &'static str)>,
    params: Vec<(&'static str, Param)>,
}

impl Matching {
    /// The rows that answer `subject`. `registered` tells whether a name has a registrable domain
    /// at or above it; where it has none, the rows below are found by the name alone, slowly.
    /// So are they in `others`, which hold rows of another list (see [`super::lists`]). `around` is
    /// when a record asked for by id was written.
    pub(super) fn new(
        subject: &Subject,
        registered: impl Fn(&str) -> bool,
        others: &[Table],
        around: Window,
    ) -> Self {
        match subject {
            Subject::Record(id) => Self::record(id, around),
            Subject::Url { target } => Self::url(target),
            Subject::Link { code } => Self {
                together: None,
                conditions: LINKED.map(|t| (t, "code = {code:String}")).to_vec(),
                params: vec![text("code", code)],
            },
            Subject::Address(a) => Self {
                together: None,
                conditions: vec![
                    (Table::Resolutions, "has(answers, {address:IPv6})"),
                    (Table::Jumps, "has(target_addresses, {address:IPv6})"),
                    (Table::Verifications, "has(addresses, {address:IPv6})"),
                    (Table::Hops, "has(addresses, {address:IPv6})"),
                    (Table::Reports, "toIPv6OrNull(host) = {address:IPv6}"),
                ],
                params: vec![address(*a)],
            },
            Subject::Domain(name) => {
                let registered = registered(name);
                let by_domain = |t: Table| !others.contains(&t);
                Self::domain(name, |t| registered && by_domain(t))
            }
            Subject::Client { address: a, port } => {
                let conditions = if port.is_some() { CLIENT_PORT } else { CLIENT }.to_vec();
                let mut params = vec![address(*a)];
                params.extend(port.map(|p| ("port", Param::Unsigned(p.into()))));
                Self { together: None, conditions, params }
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
        Self { together: None, conditions: table.into_iter().collect(), params }
    }

    /// Jumps to a target, and all that was ever done to the links that had it.
    fn url(target: &str) -> Self {
        let url = Url::parse(target).ok();
        let Some(host) = url.as_ref().and_then(Url::domain) else {
            return Self {
                together: None,
                conditions: vec![
                    (Table::Jumps, "target = {target:String}"),
                    (Table::Verifications, "subject = {target:String}"),
                    (Table::Hops, "url = {target:String}"),
                    (Table::Reports, "subject = {target:String}"),
                    (
                        Table::Conversions,
                        "(target = {target:String} OR code IN (SELECT code FROM conversions \
                         WHERE target = {target:String} AND code != ''))",
                    ),
                ],
                params: vec![text("target", target)],
            };
        };
        // The domain adds nothing but speed: targets are indexed by it.
        let bare = host.trim_end_matches('.');
        let above = at_and_above(bare).into_iter().chain(at_and_above(host));
        let path = AskedPath::new(url.as_ref().map_or("", Url::path));
        let forwards = candidates(bare, &path).into_iter().map(|(code, _)| code);
        let conditions = [
            (
                Table::Jumps,
                "target_registrable_domain IN {above:Array(String)} \
                 AND target = {target:String}",
            ),
            (
                Table::Verifications,
                "registrable_domain IN {above:Array(String)} AND subject = {target:String}",
            ),
            (Table::Hops, "registrable_domain IN {above:Array(String)} AND url = {target:String}"),
            (
                Table::Reports,
                "registrable_domain IN {above:Array(String)} AND subject = {target:String}",
            ),
            (
                Table::Conversions,
                // Signed targets have no code.
                "(target_registrable_domain IN {above:Array(String)} \
                 AND target = {target:String} OR code IN (SELECT code FROM conversions \
                 WHERE target_registrable_domain IN {above:Array(String)} \
                 AND target = {target:String} AND code != ''))",
            ),
        ];
        Self {
            together: None,
            conditions: conditions.into_iter().chain(FORWARDS.map(|t| (t, FORWARDING))).collect(),
            params: vec![
                text("target", target),
                ("above", Param::Texts(above.map(str::to_owned).collect())),
                ("forwards", Param::Texts(forwards.collect())),
            ],
        }
    }

    /// `by_domain` tells in which tables every row lies under a domain at or above `name`.
    fn domain(name: &str, by_domain: impl Fn(Table) -> bool) -> Self {
        let conditions = if name == "." {
            CHAIN.iter().filter(|t| **t != Table::Notices).map(|t| (*t, "true")).collect()
        } else {
            let condition = |&(table, quick, slow): &(Table, &'static str, &'static str)| {
                (table, if by_domain(table) { quick } else { slow })
            };
            DOMAIN.iter().map(condition).chain(FORWARDS.map(|t| (t, FORWARDED))).collect()
        };
        let above = at_and_above(name).into_iter().map(str::to_owned).collect();
        let params = vec![
            text("name", name),
            text("below", &format!(".{name}")),
            ("above", Param::Texts(above)),
        ];
        Self { together: Some(Table::Resolutions), conditions, params }
    }

    /// The rows that answer, by table, each in order. One may be found twice.
    pub(super) fn answers(&self, place: &Place) -> impl Iterator<Item = (Table, Statement)> {
        self.conditions.iter().map(|(table, condition)| {
            let mut statement = rows(*table, condition, place, &self.used(condition));
            if self.together == Some(*table) {
                statement.sql.push_str(AFTERWARDS);
            }
            (*table, statement)
        })
    }

    /// The flows of answers near `place`, one more than a page asks for at most.
    pub(super) fn flows(&self, place: &Place) -> Option<Statement> {
        let sql =
            format!("SELECT DISTINCT flow FROM ({}) LIMIT {{flows_max:UInt64}}", self.near()?);
        let mut params = self.near_params(place);
        params.push(("flows_max", Param::Unsigned(FLOWS_MAX as u64 + 1)));
        Some(Statement { sql, params })
    }

    /// The rows of `table` that share one of `flows`, in order. Answers that are in hand already
    /// may be left out.
    pub(super) fn mates(&self, table: Table, place: &Place, flows: &Flows) -> Option<Statement> {
        let Flows::Known { flows, around } = flows else {
            let condition = format!("flow IN ({})", self.near()?);
            return Some(rows(table, &condition, place, &self.near_params(place)));
        };
        let mut params = vec![("flows", Param::Flows(flows.clone()))];
        let mut condition = "flow IN {flows:Array(UInt128)}".to_owned();
        let answers: Vec<_> = self.conditions.iter().filter(|(t, _)| *t == table).collect();
        for (_, answers) in answers.iter().filter(|(_, c)| !c.contains("SELECT")) {
            condition = format!("{condition} AND NOT ({answers})");
        }
        params.extend(self.used(&condition));
        let place = Place { asked: place.asked.and(*around), ..place.clone() };
        Some(rows(table, &condition, &place, &params))
    }

    /// The parameters that a condition names.
    fn used(&self, condition: &str) -> Vec<(&'static str, Param)> {
        let used = |(name, _): &&(&'static str, Param)| condition.contains(&format!("{{{name}:"));
        self.params.iter().filter(used).cloned().collect()
    }

    /// The flows of answers near a place, in SQL.
    fn near(&self) -> Option<String> {
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

    fn near_params(&self, place: &Place) -> Vec<(&'static str, Param)> {
        let near = place.asked.and(Window { from: place.begin(), to: place.end() }.and_around());
        let mut params = self.params.clone();
        params.extend([micros("near_from", near.from), micros("near_to", near.to)]);
        params
    }
}

/// The flows that answers belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flows {
    /// These, of answers around this time.
    Known {
        /// Each once, in order.
        flows: Vec<u128>,
        /// When records that share them were written.
        around: Window,
    },
    /// More than [`FLOWS_MAX`]: the store has to find them again.
    Many,
}

impl Flows {
    /// The flows of all answers with their times; none where no answer has one.
    pub(super) fn of(answers: impl Iterator<Item = (u128, Timestamp)>) -> Option<Self> {
        let (mut flows, mut times) = (BTreeSet::new(), BTreeSet::new());
        for (flow, ts) in answers {
            flows.insert(flow);
            times.insert(ts);
        }
        let (from, last) = (*times.first()?, *times.last()?);
        let to = last.saturating_add(Duration::from_micros(1));
        Some(Self::new(flows.into_iter().collect(), Window { from, to }.and_around()))
    }

    /// The flows of answers of any time.
    pub(super) fn near(flows: Vec<u128>) -> Option<Self> {
        (!flows.is_empty()).then(|| Self::new(flows, Window::ALL))
    }

    fn new(flows: Vec<u128>, around: Window) -> Self {
        if flows.len() > FLOWS_MAX { Self::Many } else { Self::Known { flows, around } }
    }
}

fn address(a: IpAddr) -> (&'static str, Param) {
    ("address", Param::Text(mapped(a).to_string()))
}

#[cfg(test)]
mod tests {
    use super::{super::cursor::Key, *};
    use crate::record::LaneId;

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
            let m = Matching::new(&subject, |_| true, &[], Window::ALL);
            let known = Flows::near(vec![7, u128::MAX]).unwrap();
            for (table, flows) in CHAIN.into_iter().flat_map(|t| [(t, &known), (t, &Flows::Many)]) {
                let place = place_();
                let answers = m.answers(&place).map(|(_, statement)| statement);
                let mates = m.mates(table, &place_(), flows);
                for s in answers.chain(mates).chain(m.flows(&place_())) {
                    assert!(!s.sql.contains("1=1") && !s.sql.contains("192.0"), "{}", s.sql);
                    for (name, _) in s.params.iter().filter(|(n, _)| *n != "above") {
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
        let m = Matching::new(&Subject::Link { code: "c".into() }, |_| true, &[], Window::ALL);
        let s = m.mates(Table::Resolutions, &place, &Flows::Many).unwrap();
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

    #[test]
    fn flows_in_hand_say_when_their_records_were_written() {
        let at = |secs, flow| (flow, Timestamp::from_secs(secs));
        assert_eq!(Flows::of(std::iter::empty()), None);
        assert_eq!(Flows::near(vec![]), None);
        let flows = Flows::of([at(20_000, 9), at(10_000, 3), at(15_000, 9)].into_iter()).unwrap();
        let m = Matching::new(&Subject::Link { code: "c".into() }, |_| true, &[], Window::ALL);
        let place =
            Place { asked: Window { to: Timestamp::from_secs(22_000), ..Window::ALL }, ..place_() };
        let s = m.mates(Table::Jumps, &place, &flows).unwrap();
        assert!(s.sql.contains("AND NOT (code = "), "what answers is in hand: {}", s.sql);
        assert!(s.params.contains(&("flows", Param::Flows(vec![3, 9]))));
        assert!(s.params.contains(&("from", Param::Signed(6_400_000_000))));
        assert!(s.params.contains(&("to", Param::Signed(22_000_000_000))));
        let many = (1..=FLOWS_MAX as u128 + 1).map(|f| at(1, f));
        assert_eq!(Flows::of(many), Some(Flows::Many));
    }
}
