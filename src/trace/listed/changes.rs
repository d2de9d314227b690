//! Events of feeds and rows of rules, as far as they tell what was listed.

use super::super::{
    Error, Limit,
    query::{Param, Statement, micros},
    reader::Reader,
};
use crate::{
    clock::Timestamp,
    record::{SchemaId, Table, rowbinary},
};
use serde_json::{Map, Value};

/// Which version of a feed a node had in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnNode {
    /// The node.
    pub node: String,
    /// The feed.
    pub feed: String,
    /// The version.
    pub version: String,
    /// Since when.
    pub since: Timestamp,
}

/// A row of `rules`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRow {
    /// The feed.
    pub feed: String,
    /// The version that the row came with.
    pub version: u64,
    /// The rule's text; empty where the row says that none of the older ones counts any more.
    pub rule: String,
    /// Every column under its own name.
    pub columns: Map<String, Value>,
}

/// What each node had in force at `at`, feed by feed, as far as its records say.
pub(super) async fn on_nodes(reader: &Reader, at: Timestamp) -> Result<Vec<OnNode>, Error> {
    let sql = "SELECT node, feed, argMax(version, (ts, lane, seq)), max(ts) FROM feed_events \
               WHERE event = 'in-force' AND ts <= fromUnixTimestamp64Micro({at:Int64}, 'UTC') \
               GROUP BY node, feed ORDER BY feed, node";
    let statement = Statement { sql: sql.to_owned(), params: vec![micros("at", at)] };
    let (bytes, whole) = reader.bytes(statement).await?;
    if !whole {
        return Err(Limit::Rows.into());
    }
    let mut input = rowbinary::Reader(&bytes);
    let mut found = Vec::new();
    while !input.is_empty() {
        let mut text = || input.bytes().map(|b| String::from_utf8_lossy(b).into_owned());
        let (node, feed, version) = (text()?, text()?, text()?);
        found.push(OnNode { node, feed, version, since: input.ts()? });
    }
    Ok(found)
}

/// Every row of the rules with one of these texts, newest version first; those of the same version
/// with the newest first. With them those without a rule, which say that no older row counts.
pub(super) async fn rules(
    reader: &Reader,
    texts: &[String],
    rows_max: u64,
) -> Result<Vec<RuleRow>, Error> {
    let schema = SchemaId::newest(Table::Rules);
    let columns = schema.columns().unwrap_or_default();
    let columns = columns.iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {columns} FROM rules WHERE rule IN {{texts:Array(String)}} \
         ORDER BY feed, toUInt64OrZero(version) DESC, ts DESC, lane DESC, seq DESC \
         LIMIT {{rows_max:UInt64}}"
    );
    let texts = texts.iter().cloned().chain([String::new()]).collect();
    let params = vec![("texts", Param::Texts(texts)), ("rows_max", Param::Unsigned(rows_max + 1))];
    let (bytes, whole) = reader.bytes(Statement { sql, params }).await?;
    let mut input = rowbinary::Reader(&bytes);
    let mut rows = Vec::new();
    while whole && !input.is_empty() {
        let columns = schema.read_json(&mut input)?;
        let text = |name: &str| columns[name].as_str().unwrap_or_default().to_owned();
        let version = text("version").parse().unwrap_or(0);
        rows.push(RuleRow { feed: text("feed"), version, rule: text("rule"), columns });
    }
    // A rule that changed more often than a page has rows would be told wrongly.
    if !whole || rows.len() as u64 > rows_max {
        return Err(Limit::Rows.into());
    }
    Ok(rows)
}
