//! SQL of the questions. The text is put together from the pieces in this file alone; everything
//! asked travels as a server-side parameter, so that no question can become a statement.
//!
//! Every statement is bounded in time, memory and rows by settings, and in partitions by `ts`
//! wherever a window or a place in the pages is known.

use std::time::Duration;

use serde::Serialize;

use super::{Window, cursor::Key};
use crate::{
    clock::Timestamp,
    record::{RecordId, SchemaId, Table},
};

/// The tables of a chain.
pub(super) const CHAIN: [Table; 7] = [
    Table::Resolutions,
    Table::Jumps,
    Table::Conversions,
    Table::Notices,
    Table::Verifications,
    Table::Hops,
    Table::Reports,
];

/// The tables whose rows name the list that their registrable domain comes from.
pub(super) const LISTED: [Table; 6] = [
    Table::Resolutions,
    Table::Jumps,
    Table::Conversions,
    Table::Verifications,
    Table::Hops,
    Table::Reports,
];

/// A statement with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) params: Vec<(&'static str, Param)>,
}

/// A value bound by the server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Param {
    Text(String),
    Texts(Vec<String>),
    Signed(i64),
    Unsigned(u64),
    Flows(Vec<u128>),
}

/// The stretch of a trace that one page looks at.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The window asked.
    pub(super) asked: Window,
    /// Only records after this one.
    pub(super) after: Option<Key>,
    /// Only records up to this one.
    pub(super) last: Option<Key>,
    /// At most this many rows of a table.
    pub(super) rows_max: u64,
}

impl Place {
    pub(super) fn begin(&self) -> Timestamp {
        self.after.as_ref().map_or(self.asked.from, |k| k.ts.max(self.asked.from))
    }

    pub(super) fn end(&self) -> Timestamp {
        let next = |k: &Key| k.ts.saturating_add(Duration::from_micros(1));
        self.last.as_ref().map_or(self.asked.to, |k| next(k).min(self.asked.to))
    }
}

pub(super) fn rows(
    table: Table,
    condition: &str,
    place: &Place,
    params: &[(&'static str, Param)],
) -> Statement {
    let columns = columns(table);
    let mut params = params.to_vec();
    params.extend([micros("from", place.begin()), micros("to", place.end())]);
    params.push(("rows_max", Param::Unsigned(place.rows_max)));
    let after = match &place.after {
        Some(key) => {
            params.push(micros("after_ts", key.ts));
            params.push(text("after_node", key.node.as_str()));
            params.push(("after_lane", Param::Unsigned(key.lane.0)));
            params.push(("after_seq", Param::Unsigned(key.seq)));
            " AND (ts, node, lane, seq) > (fromUnixTimestamp64Micro({after_ts:Int64}, 'UTC'), \
             {after_node:String}, {after_lane:UInt64}, {after_seq:UInt64})"
        }
        None => "",
    };
    let sql = format!(
        "SELECT {columns} FROM {table} WHERE {} AND {}{after} AND ({condition}) \
         ORDER BY ts, node, lane, seq LIMIT {{rows_max:UInt64}}",
        since("ts", "from"),
        before("ts", "to"),
    );
    Statement { sql, params }
}

/// The columns in the order of the schema, quoted.
fn columns(table: Table) -> String {
    let columns = SchemaId::newest(table).columns().unwrap_or_default();
    columns.iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ")
}

/// The times between which a record was written, by the frame it lies in.
pub(super) fn frame_of(id: &RecordId) -> Statement {
    // Frames of a lane do not overlap: the last one that begins in time is the one, or none is.
    let sql = "SELECT min_ts, max_ts FROM (\
               SELECT min_ts, max_ts, first_seq + `count` AS end FROM frames \
               WHERE node = {node:String} AND frame_lane = {lane:UInt64} \
               AND first_seq <= {seq:UInt64} ORDER BY first_seq DESC LIMIT 1) \
               WHERE end > {seq:UInt64}";
    Statement { sql: sql.to_owned(), params: place(id).to_vec() }
}

/// The last word of every node on its completeness. Projection `last` of the table answers it in
/// this very form; half a year of `nodes` would have to be read otherwise.
pub(super) fn nodes() -> Statement {
    let sql = "SELECT node, argMax(complete_through, (ts, lane, seq)) FROM nodes GROUP BY node";
    Statement { sql: sql.to_owned(), params: vec![] }
}

/// Which of [`LISTED`], by place, have a row in `window` of another list than `version`. Rows that
/// name no list have no domain.
pub(super) fn other_lists(window: Window, version: &str) -> Statement {
    let one = |(i, table): (usize, Table)| {
        format!(
            "(SELECT toUInt8({i}) AS listed FROM {table} WHERE {} AND {} \
             AND psl_version != {{version:String}} AND psl_version != '' LIMIT 1)",
            since("ts", "from"),
            before("ts", "to"),
        )
    };
    let parts: Vec<_> = LISTED.into_iter().enumerate().map(one).collect();
    Statement {
        sql: format!("SELECT listed FROM ({})", parts.join(" UNION ALL ")),
        params: vec![
            micros("from", window.from),
            micros("to", window.to),
            text("version", version),
        ],
    }
}

/// The gaps of `streams` that touch `window`, oldest first.
pub(super) fn gaps(streams: &[Table], window: Window, rows_max: u64) -> Statement {
    let columns = columns(Table::Gaps);
    let streams = streams.iter().map(|t| t.name().to_owned()).collect();
    let sql = format!(
        "SELECT {columns} FROM gaps WHERE (stream IN {{streams:Array(String)}} \
         OR reason = 'clock_step') AND {} AND {} \
         ORDER BY from_ts, node, gap_lane, gap_id LIMIT {{rows_max:UInt64}}",
        since("to_ts", "from"),
        before("from_ts", "to"),
    );
    let params = vec![
        ("streams", Param::Texts(streams)),
        micros("from", window.from),
        micros("to", window.to),
        ("rows_max", Param::Unsigned(rows_max)),
    ];
    Statement { sql, params }
}

pub(super) fn since(column: &str, param: &str) -> String {
    format!("{column} >= fromUnixTimestamp64Micro({{{param}:Int64}}, 'UTC')")
}

pub(super) fn before(column: &str, param: &str) -> String {
    format!("{column} < fromUnixTimestamp64Micro({{{param}:Int64}}, 'UTC')")
}

pub(super) fn place(id: &RecordId) -> [(&'static str, Param); 3] {
    [
        text("node", id.node.as_str()),
        ("lane", Param::Unsigned(id.lane.0)),
        ("seq", Param::Unsigned(id.seq)),
    ]
}

pub(super) fn text(name: &'static str, value: &str) -> (&'static str, Param) {
    (name, Param::Text(value.to_owned()))
}

pub(super) const fn micros(name: &'static str, ts: Timestamp) -> (&'static str, Param) {
    (name, Param::Signed(ts.0))
}
