//! Reach and compliance of warnings: how many that were issued were seen, and how many who saw one
//! did not go on.
//!
//! What is counted are warnings, which are flows: a page that is loaded twice, or answered twice, is
//! one. Whoever answered a page has seen it, with or without its style sheet. Clients that say that
//! they are no persons do not count, and nobody is named.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Error, Look, Tracer, Window,
    access::{Asked, Begun},
    coverage::{self, Coverage},
    query::{Statement, before, micros, since},
};
use crate::{
    clock::Timestamp,
    record::{Table, rowbinary},
};

/// The tables whose gaps could hide something here.
const STREAMS: [Table; 1] = [Table::Notices];

/// What warnings are told apart by.
const COLUMNS: [&str; 7] =
    ["tier", "form", "service", "language", "text_version", "tier_version", "feed"];

/// A question about warnings.
#[derive(Clone, Debug, Default)]
pub struct AskReach {
    /// The beginning of the window.
    pub from: Option<String>,
    /// The end of the window.
    pub to: Option<String>,
    /// Whether something was given that no such question has.
    pub misfit: bool,
}

/// The whole answer.
#[derive(Serialize)]
struct Page {
    from: Timestamp,
    to: Timestamp,
    notices: Vec<Map<String, Value>>,
    #[serde(flatten)]
    coverage: Coverage,
}

impl Tracer {
    /// Reach and compliance of the warnings of a window, as JSON, recorded before it is returned.
    ///
    /// # Errors
    /// As [`Tracer::page`].
    pub async fn reach(&self, look: &Look, ask: &AskReach) -> Result<Vec<u8>, Error> {
        let (from, to) = (ask.from.as_deref(), ask.to.as_deref());
        let asked = Asked { text: "", kind: Some("notices"), from, to, cursor: None };
        let begun = Begun::new(self.access(), look, &asked);
        let answer = self.reach_page(look, ask).await;
        self.finish(begun, answer).await
    }

    async fn reach_page(&self, look: &Look, ask: &AskReach) -> Result<(Vec<u8>, u64), Error> {
        look.sight()?;
        if ask.misfit {
            return Err(Error::Parameter);
        }
        let parts = self.parts();
        let window = Window::parse(ask.from.as_deref(), ask.to.as_deref(), parts.clock.now())?;
        let _permit = self.permit()?;
        let reader = self.reader();
        // Completeness is read first: what arrives in between is then more than is claimed.
        let through = coverage::through(reader, self.local()).await?;
        let (bytes, _) = reader.bytes(statement(window, parts.limits.page_rows_max)).await?;
        let mut input = rowbinary::Reader(&bytes);
        let (mut notices, mut events) = (Vec::new(), 0);
        while !input.is_empty() {
            let (row, issued) = row(&mut input)?;
            notices.push(row);
            events += issued;
        }
        let coverage = coverage::of_streams(reader, &STREAMS, window, through).await?;
        let page = Page { from: window.from, to: window.to, notices, coverage };
        let page = serde_json::to_vec(&page).map_err(|_| Error::Malformed)?;
        Ok((page, events))
    }
}

fn statement(window: Window, rows_max: u32) -> Statement {
    let columns = COLUMNS.join(", ");
    let (since, before) = (since("ts", "from"), before("ts", "to"));
    let sql = format!(
        "SELECT {columns}, uniqExactIf(flow, event = 'issued'), \
         uniqExactIf(flow, event != 'issued'), uniqExactIf(flow, event = 'continued'), \
         uniqExactIf(flow, event = 'returned'), uniqExactIf(flow, event = 'reported'), \
         toUInt64(ifNull(quantileExactIfOrNull(0.5)(dwell_ms, event = 'continued'), 0)) \
         FROM notices WHERE {since} AND {before} AND client_class = 'person' \
         GROUP BY {columns} ORDER BY {columns} LIMIT {rows_max}"
    );
    Statement { sql, params: vec![micros("from", window.from), micros("to", window.to)] }
}

/// One row, and how many warnings it counts.
fn row(input: &mut rowbinary::Reader<'_>) -> Result<(Map<String, Value>, u64), Error> {
    let mut row = Map::new();
    for column in COLUMNS {
        let text = String::from_utf8_lossy(input.bytes()?).into_owned();
        row.insert(column.to_owned(), text.into());
    }
    let mut counts = [0; 6];
    for count in &mut counts {
        *count = input.u64()?;
    }
    let [issued, rendered, continued, returned, reported, median] = counts;
    for (name, count) in [
        ("issued", issued),
        ("rendered", rendered),
        ("continued", continued),
        ("returned", returned),
        ("reported", reported),
        ("continued_after_ms", median),
    ] {
        row.insert(name.to_owned(), count.into());
    }
    row.insert("reach".to_owned(), share(rendered, issued));
    row.insert("compliance".to_owned(), share(rendered.saturating_sub(continued), rendered));
    Ok((row, issued))
}

/// A part of a whole, to four places; null of nothing.
fn share(part: u64, whole: u64) -> Value {
    if whole == 0 {
        return Value::Null;
    }
    json!((part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}
