//! Statements in, rows out: the only place that talks to the store.
//!
//! Rows come back in `RowBinary`, the bytes they were kept in, and are read by their schema, so
//! that what is shown is what was kept. A stream is read up to a limit of bytes; rows arrive in
//! order, so what was read is then complete up to its last row, and the page simply ends there.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Error, Limit, cursor::Key, query::Statement};
use crate::{
    config,
    record::{LaneId, RecordId, SchemaId, Table, rowbinary},
};

/// A bounded reader of the store.
#[derive(Clone)]
pub(super) struct Reader {
    client: clickhouse::Client,
    timeout: Duration,
    bytes_max: usize,
}

/// One row as it was kept.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) table: Table,
    /// The length of the row in the store, in bytes.
    pub(super) bytes: usize,
    pub(super) columns: Map<String, Value>,
}

impl Found {
    pub(super) fn id(&self) -> RecordId {
        RecordId { node: self.key.node.clone(), lane: self.key.lane, seq: self.key.seq }
    }

    /// The flow it belongs to, if any.
    pub(super) fn flow(&self) -> Option<u128> {
        let flow = match self.columns.get("flow")? {
            Value::String(s) => s.parse().ok()?,
            n => n.as_u64()?.into(),
        };
        (flow != 0).then_some(flow)
    }
}

/// Rows in order; all there are up to `end`, or all there are.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<Found>,
    pub(super) end: Option<Key>,
}

impl Reader {
    /// A server of its own is told that we only read. The embedded engine is ours, and refuses to
    /// have that setting changed.
    pub(super) fn new(client: &clickhouse::Client, external: bool, limits: &config::Trace) -> Self {
        // A few rows more than a page: the row after a page tells that there is one.
        let rows_max = u64::from(limits.page_rows_max) + 1;
        let readonly = external.then_some(("readonly", "2"));
        let client = readonly
            .into_iter()
            .fold(client.clone(), |c, (name, value)| c.with_setting(name, value))
            .with_setting("max_execution_time", limits.timeout_ms.div_ceil(1_000).to_string())
            .with_setting("max_memory_usage", limits.memory_bytes_max.to_string())
            .with_setting("max_result_rows", rows_max.max(ROWS_MIN).to_string())
            .with_setting("result_overflow_mode", "throw")
            // A page has room for most of what is found, and its rows are scattered: reading their
            // other columns afterwards, by one thread, costs twice as much as reading them at once.
            // A statement whose rows lie together says otherwise.
            .with_setting("query_plan_optimize_lazy_materialization", "0")
            // A part smaller than a million rows is otherwise read whole, in spite of its index.
            .with_setting("min_table_rows_to_use_projection_index", "0")
            // Every answer is wanted, so no index is worth reading granule by granule.
            .with_setting("use_skip_indexes_on_data_read", "0");
        Self {
            client,
            timeout: Duration::from_millis(limits.timeout_ms),
            bytes_max: limits.page_bytes_max,
        }
    }

    /// Rows of `table`; `rows_max` is what the statement was limited to.
    pub(super) async fn rows(
        &self,
        table: Table,
        statement: Statement,
        rows_max: u64,
    ) -> Result<Rows, Error> {
        let (bytes, whole) = self.bytes(statement).await?;
        let mut input = rowbinary::Reader(&bytes);
        let mut rows = Vec::new();
        while !input.is_empty() {
            let before = input.0;
            match row(table, &mut input) {
                Ok(mut found) => {
                    found.bytes = before.len() - input.0.len();
                    rows.push(found);
                }
                Err(Error::Malformed) if !whole && !rows.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        let all = whole && (rows.len() as u64) < rows_max;
        let end = rows.last().filter(|_| !all).map(|r| r.key.clone());
        Ok(Rows { rows, end })
    }

    /// The answer's bytes, and whether they are all of it.
    pub(super) async fn bytes(&self, statement: Statement) -> Result<(Vec<u8>, bool), Error> {
        let read = async {
            let mut query = self.client.query_raw(&statement.sql);
            for (name, value) in &statement.params {
                query = query.param(name, value);
            }
            let mut cursor = query.fetch_bytes("RowBinary")?;
            let mut bytes = Vec::new();
            while let Some(chunk) = cursor.next().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > self.bytes_max {
                    return Ok((bytes, false));
                }
            }
            Ok((bytes, true))
        };
        match tokio::time::timeout(self.timeout, read).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(e)) => Err(failure(&e)),
            Err(_) => Err(Error::Limit(Limit::Time)),
        }
    }
}

/// Small answers (nodes, a frame) have room whatever the page size.
const ROWS_MIN: u64 = 10_000;

fn row(table: Table, input: &mut rowbinary::Reader<'_>) -> Result<Found, Error> {
    let mut head = rowbinary::Reader(input.0);
    let node = std::str::from_utf8(head.bytes()?).map_err(|_| Error::Malformed)?;
    let node = node.parse().map_err(|_| Error::Malformed)?;
    let (lane, seq, ts) = (LaneId(head.u64()?), head.u64()?, head.ts()?);
    let columns = SchemaId::newest(table).read_json(input)?;
    Ok(Found { key: Key { ts, node, lane, seq }, table, bytes: 0, columns })
}

impl From<rowbinary::Truncated> for Error {
    fn from(_: rowbinary::Truncated) -> Self {
        Self::Malformed
    }
}

/// Sorts a failure by the server's exception code, which is only in the text.
fn failure(e: &clickhouse::error::Error) -> Error {
    let text = e.to_string();
    match code(&text) {
        Some(159 | 160) => Limit::Time.into(),
        Some(241) => Limit::Memory.into(),
        Some(158 | 396) => Limit::Rows.into(),
        code => Error::Store { code, name: name(&text).unwrap_or("unreachable").to_owned() },
    }
}

fn code(text: &str) -> Option<u32> {
    let rest = text.split_once("Code: ")?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// The exception's name, which the server gives in brackets: the one word that repeats nothing.
fn name(text: &str) -> Option<&str> {
    let of_name = |s: &&str| {
        s.len() > 3 && s.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    text.rsplit('(').filter_map(|s| s.split_once(')')).map(|(s, _)| s).find(of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_code_is_found_in_its_text() {
        for (text, expected) in [
            ("bad response: Code: 159. DB::Exception: Timeout exceeded", Some(159)),
            ("Code: 241", Some(241)),
            ("connection refused", None),
            ("Code: x", None),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
        let text = "Code: 60. DB::Exception: Table x (secret) is not. (UNKNOWN_TABLE) (version 1)";
        assert_eq!(name(text), Some("UNKNOWN_TABLE"));
    }
}
