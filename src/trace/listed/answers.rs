//! What was answered around a time, by kind: counts, never persons.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{
    Error, Subject, Window,
    query::{Param, Statement, before, micros, since, text},
    question::at_and_above,
    reader::Reader,
};
use crate::{
    clock::Timestamp,
    record::rowbinary::{self, Truncated, mapped},
};

/// Rows, and whether there were more.
type Rows<T> = (Vec<T>, bool);

/// Answers to DNS questions that were the same.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnsweredResolutions")]
pub(super) struct Resolved {
    /// The name asked.
    qname: String,
    /// The type asked.
    qtype: u16,
    /// The response code.
    rcode: u16,
    /// What policy did; empty for nothing.
    action: String,
    /// The feed whose rule it was.
    feed: String,
    /// The feed's version.
    feed_version: String,
    /// The rule.
    rule: String,
    /// The addresses answered.
    answers: Vec<String>,
    /// The chain of aliases.
    answer_names: Vec<String>,
    /// What the answer would have been.
    original_answers: Vec<String>,
    #[serde(flatten)]
    pub(super) seen: Seen,
}

/// Visits to links that were the same.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnsweredJumps")]
pub(super) struct Jumped {
    /// The link's code.
    code: String,
    /// Where it led.
    target: String,
    /// The status answered.
    status: u16,
    /// What came of it.
    outcome: String,
    /// The tier; empty for none.
    tier: String,
    /// What policy did; empty for nothing.
    action: String,
    /// The feed whose rule it was.
    feed: String,
    /// The feed's version.
    feed_version: String,
    /// The rule.
    rule: String,
    #[serde(flatten)]
    pub(super) seen: Seen,
}

/// How often, and when.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Seen {
    /// How often.
    pub(super) count: u64,
    /// The first time.
    first: Timestamp,
    /// The last time.
    last: Timestamp,
}

impl Seen {
    fn read(r: &mut rowbinary::Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self { count: r.u64()?, first: r.ts()?, last: r.ts()? })
    }
}

/// Answers to DNS questions about the subject.
pub(super) async fn resolutions(
    reader: &Reader,
    subject: &Subject,
    window: Window,
    rows_max: u64,
) -> Result<Rows<Resolved>, Error> {
    let (condition, params) = match subject {
        Subject::Domain(name) => named("registrable_domain", "qname", name),
        Subject::Url { target } => match host(target) {
            Some(name) => named("registrable_domain", "qname", &name),
            None => return Ok((Vec::new(), false)),
        },
        Subject::Address(a) => {
            let address = ("address", Param::Text(mapped(*a).to_string()));
            ("has(answers, {address:IPv6})".to_owned(), vec![address])
        }
        _ => return Ok((Vec::new(), false)),
    };
    let columns = "qname, qtype, rcode, action, feed, feed_version, rule, \
                   arraySort(answers) AS addresses, answer_names, \
                   arraySort(arrayMap(x -> x.rdata, original_answers)) AS would_have_been";
    let statement = grouped("resolutions", columns, &condition, params, window, rows_max);
    let row = |r: &mut rowbinary::Reader<'_>| {
        Ok(Resolved {
            qname: word(r)?,
            qtype: r.u16()?,
            rcode: r.u16()?,
            action: word(r)?,
            feed: word(r)?,
            feed_version: word(r)?,
            rule: word(r)?,
            answers: addresses(r)?,
            answer_names: words(r)?,
            original_answers: words(r)?,
            seen: Seen::read(r)?,
        })
    };
    read(reader, statement, rows_max, row).await
}

/// Visits to links that lead to the subject.
pub(super) async fn jumps(
    reader: &Reader,
    subject: &Subject,
    window: Window,
    rows_max: u64,
) -> Result<Rows<Jumped>, Error> {
    let (condition, params) = match subject {
        Subject::Domain(name) => named("target_registrable_domain", "target_host", name),
        Subject::Url { target } => {
            ("target = {target:String}".to_owned(), vec![text("target", target)])
        }
        Subject::Link { code } => ("code = {code:String}".to_owned(), vec![text("code", code)]),
        Subject::Address(a) => {
            let address = ("address", Param::Text(mapped(*a).to_string()));
            ("has(target_addresses, {address:IPv6})".to_owned(), vec![address])
        }
        _ => return Ok((Vec::new(), false)),
    };
    let columns = "code, target, status, outcome, tier, action, feed, feed_version, rule";
    let statement = grouped("jumps", columns, &condition, params, window, rows_max);
    let row = |r: &mut rowbinary::Reader<'_>| {
        Ok(Jumped {
            code: word(r)?,
            target: word(r)?,
            status: r.u16()?,
            outcome: word(r)?,
            tier: word(r)?,
            action: word(r)?,
            feed: word(r)?,
            feed_version: word(r)?,
            rule: word(r)?,
            seen: Seen::read(r)?,
        })
    };
    read(reader, statement, rows_max, row).await
}

/// The rows of one name: the domain it lies under, whatever list was in force, adds only speed.
fn named(domain: &str, column: &str, name: &str) -> (String, Vec<(&'static str, Param)>) {
    let above = at_and_above(name).into_iter().map(str::to_owned).collect();
    let condition = format!("{domain} IN {{above:Array(String)}} AND {column} = {{name:String}}");
    (condition, vec![text("name", name), ("above", Param::Texts(above))])
}

fn grouped(
    table: &str,
    columns: &str,
    condition: &str,
    mut params: Vec<(&'static str, Param)>,
    window: Window,
    rows_max: u64,
) -> Statement {
    let sql = format!(
        "SELECT {columns}, count() AS times, min(ts) AS first, max(ts) AS last FROM {table} \
         WHERE {} AND {} AND ({condition}) GROUP BY ALL ORDER BY times DESC, first \
         LIMIT {{rows_max:UInt64}}",
        since("ts", "from"),
        before("ts", "to"),
    );
    params.extend([micros("from", window.from), micros("to", window.to)]);
    params.push(("rows_max", Param::Unsigned(rows_max + 1)));
    Statement { sql, params }
}

async fn read<T>(
    reader: &Reader,
    statement: Statement,
    rows_max: u64,
    row: impl Fn(&mut rowbinary::Reader<'_>) -> Result<T, Truncated>,
) -> Result<Rows<T>, Error> {
    let (bytes, whole) = reader.bytes(statement).await?;
    let mut input = rowbinary::Reader(&bytes);
    let mut rows = Vec::new();
    while !input.is_empty() {
        match row(&mut input) {
            Ok(row) => rows.push(row),
            Err(Truncated) if !whole => break,
            Err(Truncated) => return Err(Error::Malformed),
        }
    }
    let more = !whole || rows.len() as u64 > rows_max;
    rows.truncate(usize::try_from(rows_max).unwrap_or(usize::MAX));
    Ok((rows, more))
}

fn word(r: &mut rowbinary::Reader<'_>) -> Result<String, Truncated> {
    Ok(String::from_utf8_lossy(r.bytes()?).into_owned())
}

fn words(r: &mut rowbinary::Reader<'_>) -> Result<Vec<String>, Truncated> {
    (0..r.len()?).map(|_| word(r)).collect()
}

fn addresses(r: &mut rowbinary::Reader<'_>) -> Result<Vec<String>, Truncated> {
    (0..r.len()?).map(|_| Ok(r.ip()?.to_canonical().to_string())).collect()
}

/// The name that a URL's host is, in the form of `qname`.
fn host(target: &str) -> Option<String> {
    let url = url::Url::parse(target).ok()?;
    url.domain().map(|d| d.trim_end_matches('.').to_owned()).filter(|d| !d.is_empty())
}
