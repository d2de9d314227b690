//! Accounting back (处置反馈): what became of a feed's versions, orders and rules, for whoever
//! ordered them.
//!
//! A [`Report`] is a value: whoever asks gathers it from the control state and the records, and it
//! is written as JSON ([`Report::json`]), as CSV a part at a time ([`Report::csv`]) or as a
//! workbook with one sheet for each part ([`Report::xlsx`]). Headings are Chinese and English.
//! Whatever a list says is a stranger's text: nothing in a report acts on a terminal or as a formula
//! of a spreadsheet. Times are UTC.

mod csv;
mod parts;
mod xlsx;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub use self::parts::Part;
use crate::{clock::Timestamp, escape};

/// Everything there is to say of one feed.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "FeedReport")]
pub struct Report {
    /// When it was made.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub generated_at: Timestamp,
    /// The feed.
    pub feed: String,
    /// Who ordered it, as its settings say.
    pub authority: String,
    /// The order, as its settings say.
    pub order_number: String,
    /// Its class of content.
    pub content_class: String,
    /// Where its versions come from.
    pub source: String,
    /// What they are written in.
    pub format: String,
    /// What being listed means.
    pub tier: String,
    /// From when on hits are counted.
    pub hits_from: Timestamp,
    /// Node → time through which its hits are counted completely; none when the store was not
    /// there to be asked, and nothing that is counted from records is known.
    #[schemars(with = "Option<BTreeMap<String, Timestamp>>")]
    pub complete_through: Option<Value>,
    /// What could not be kept in that time.
    #[schemars(with = "Option<Vec<crate::record::GapColumns>>")]
    pub gaps: Value,
    /// Its versions, newest first.
    pub versions: Vec<Version>,
    /// The orders behind its rules.
    pub orders: Vec<Order>,
    /// The rules that were hit, most often first.
    pub rules: Vec<RuleHits>,
    /// The entries that were not taken.
    pub rejected: Vec<Rejected>,
    /// Which parts are cut at their limit.
    pub truncated: Vec<&'static str>,
}

/// One version of a feed.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "ReportedVersion")]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// What became of it, as the feed's status says it.
    pub state: String,
    /// SHA-256 of the bytes received, in hexadecimal.
    pub digest: String,
    /// Who signed it, or sent it.
    pub signer: String,
    /// When its last byte arrived.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub received_at: Timestamp,
    /// Rules taken.
    pub accepted: u64,
    /// Entries not taken.
    pub rejected: u64,
    /// Rules that were there already.
    pub duplicates: u64,
    /// Rules that another feed decides otherwise.
    pub conflicts: u64,
    /// Rules that cannot be decided here.
    pub not_evaluable: u64,
    /// Who let it take force; empty when nobody had to.
    pub approved_by: String,
    /// When.
    pub approved_at: Timestamp,
    /// Where and when it took force.
    pub in_force: Vec<InForce>,
    /// Seconds from its arrival until it was in force everywhere it was.
    pub seconds_to_force: Option<f64>,
    /// By when it had to be in force.
    pub due_at: Timestamp,
    /// Whether it was: an outcome as verifications have it.
    #[schemars(extend("enum" = ["true", "false", "not_evaluated", "not_applicable"]))]
    pub in_time: &'static str,
    /// How often its rules were hit; none where the store could not be asked.
    pub hits: Option<Hits>,
}

/// A version on a node.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "ReportedNode")]
pub struct InForce {
    /// The node.
    pub node: String,
    /// When it took force there.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub at: Timestamp,
    /// Seconds from its arrival until then.
    pub seconds: f64,
}

/// How often, and with what effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hits {
    /// Questions of DNS.
    pub resolutions: u64,
    /// Visits to links.
    pub jumps: u64,
    /// By what was done.
    pub by_action: BTreeMap<String, u64>,
}

impl Hits {
    /// Adds what was done `count` times, to a jump or to a resolution.
    pub fn add(&mut self, jump: bool, action: &str, count: u64) {
        *if jump { &mut self.jumps } else { &mut self.resolutions } += count;
        *self.by_action.entry(action.to_owned()).or_default() += count;
    }
}

/// One order and what was done about it.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "ReportedOrder")]
pub struct Order {
    /// Who ordered.
    pub authority: String,
    /// The order's number.
    pub order_number: String,
    /// The class of content.
    pub content_class: String,
    /// The first version of the feed that has it.
    pub version: u64,
    /// How many rules it made.
    pub rules: u64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When it was in force on the first node.
    pub in_force_at: Timestamp,
    /// Seconds in between.
    pub seconds_to_force: Option<f64>,
    /// Who approved it.
    pub approved_by: String,
    /// By when it had to be in force; the earliest of its rules.
    pub due_at: Timestamp,
    /// Whether it was: an outcome as verifications have it.
    #[schemars(extend("enum" = ["true", "false", "not_evaluated", "not_applicable"]))]
    pub in_time: &'static str,
    /// How often its rules were hit; none where the store could not be asked.
    pub hits: Option<Hits>,
}

/// One rule's hits.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "ReportedRule")]
pub struct RuleHits {
    /// The rule, as records name it.
    pub rule: String,
    /// The version it was hit in.
    pub version: String,
    /// How often.
    pub hits: Hits,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

/// An entry that was not taken.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "ReportedEntry")]
pub struct Rejected {
    /// The version it stood in.
    pub version: u64,
    /// Its line, row or element, from 1.
    pub line: u64,
    /// A word for counting.
    pub code: String,
    /// A sentence for whoever wrote the list.
    pub reason: String,
    /// The entry as it came.
    pub text: String,
}

/// Whether something due at `due` that was done at `done` was done in time, seen at `now`.
pub fn in_time(due: Timestamp, done: Option<Timestamp>, now: Timestamp) -> &'static str {
    match done {
        _ if due == Timestamp::ZERO => "not_applicable",
        Some(done) if done <= due => "true",
        Some(_) => "false",
        None if now <= due => "not_evaluated",
        None => "false",
    }
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The workbook.
    #[error("the workbook: {0}")]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
    /// The document.
    #[error("the document: {0}")]
    Json(#[from] serde_json::Error),
}

impl Report {
    /// All of it, for programs.
    ///
    /// # Errors
    /// Never in practice: everything in it can be written.
    pub fn json(&self) -> Result<Vec<u8>, Error> {
        Ok(escape::json(&serde_json::to_string(self)?).into_owned().into_bytes())
    }

    /// One part as lines of RFC 4180 in UTF-8 with a byte order mark, by which the spreadsheets of
    /// those who get it know the encoding.
    pub fn csv(&self, part: Part) -> Vec<u8> {
        csv::write(&part.of(self))
    }

    /// Every part on a sheet of its own.
    ///
    /// # Errors
    /// When the workbook cannot be put together.
    pub fn xlsx(&self) -> Result<Vec<u8>, Error> {
        let tables: Vec<_> = Part::ALL.into_iter().map(|p| p.of(self)).collect();
        Ok(xlsx::write(&tables, self.generated_at)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_time_is_said_of_what_has_a_date_alone() {
        let at = Timestamp::from_secs;
        for (due, done, now, said) in [
            (0, Some(5), 9, "not_applicable"),
            (7, Some(5), 9, "true"),
            (7, Some(7), 9, "true"),
            (7, Some(8), 9, "false"),
            (7, None, 6, "not_evaluated"),
            (7, None, 9, "false"),
        ] {
            assert_eq!(in_time(at(due), done.map(at), at(now)), said, "{due} {done:?} {now}");
        }
    }
}
