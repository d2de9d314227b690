//! Reach and compliance of warnings: how many that were issued were seen, and how many who saw one
//! did not go on.
//!
//! What is counted are warnings: one flow under one tier and its rule. A page that is loaded twice, or
//! answered twice, or read in both languages, is one, in the language that the visitor answered, else
//! saw last. It belongs to the window in which it was issued, with all that was done with it, later,
//! too. Whoever answered a page has seen it, with or without its style sheet. Clients that say that
//! they are no persons do not count, and nobody is named. A link that is opened again or reloaded is a
//! warning of its own: nothing tells one visit from another without a cookie.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

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

/// Longer than any page can be answered (`gateway.notices.valid_s`).
const OPEN_MAX: Duration = Duration::from_secs(3_600);

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
#[derive(Serialize, JsonSchema)]
pub struct NoticesSummary {
    /// The beginning of the window.
    from: Timestamp,
    /// Its end.
    to: Timestamp,
    /// Warnings shown to persons, by what tells them apart.
    notices: Vec<Reached>,
    /// Whether there are more kinds than one answer holds (`api.page_rows_max`): ask for less time.
    truncated: bool,
    #[serde(flatten)]
    coverage: Coverage,
}

/// Warnings of one kind. A page that is loaded twice, answered twice or read in both languages is one.
#[derive(Serialize, JsonSchema)]
struct Reached {
    /// The tier.
    tier: String,
    /// The form of the page.
    form: String,
    /// What they were shown for.
    service: String,
    /// The language in which the page was answered, else last seen.
    language: String,
    /// The version of its words.
    text_version: String,
    /// The version of the rules that made the tier.
    tier_version: String,
    /// The feed behind them; empty for none.
    feed: String,
    /// How many were issued.
    issued: u64,
    /// How many of them were seen.
    rendered: u64,
    /// After how many the visitor went on, by hand or identified.
    continued: u64,
    /// After how many the page went on by itself.
    passed: u64,
    /// After how many they turned back.
    returned: u64,
    /// How many were reported.
    reported: u64,
    /// The median time until a visitor went on by hand, in milliseconds.
    continued_after_ms: u64,
    /// Seen of issued, to four places; null of none.
    reach: Option<f64>,
    /// Those who did not go on, nor were taken on by the page, of those who saw it, to four places;
    /// null of none.
    compliance: Option<f64>,
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
            let row = row(&mut input)?;
            events += row.issued;
            notices.push(row);
        }
        let truncated = notices.len() > parts.limits.page_rows_max as usize;
        notices.truncate(parts.limits.page_rows_max as usize);
        let coverage = coverage::of_streams(reader, &STREAMS, window, through).await?;
        let page =
            NoticesSummary { from: window.from, to: window.to, notices, truncated, coverage };
        let page = serde_json::to_vec(&page).map_err(|_| Error::Malformed)?;
        Ok((page, events))
    }
}

fn statement(window: Window, rows_max: u32) -> Statement {
    let columns = COLUMNS.join(", ");
    let of_window = format!("{} AND {}", since("issued_at", "from"), before("issued_at", "to"));
    let of_events = format!("{} AND {}", since("ts", "seen_from"), before("ts", "seen_to"));
    // Of each warning first: the language and words that the visitor last acted on, else was last
    // shown; what was done, once.
    let sql = format!(
        "SELECT tier, form, service, shown.1 AS language, shown.2 AS text_version, tier_version, \
         feed, toUInt64(count()), countIf(seen), countIf(by_hand), countIf(by_itself), \
         countIf(returned), countIf(reported), \
         toUInt64(ifNull(quantileExactIfOrNull(0.5)(dwell, by_hand), 0)) FROM (\
         SELECT tier, form, service, tier_version, feed, flow, \
         argMax((language, text_version), (event != 'issued', ts, seq)) AS shown, \
         minIf(ts, event = 'issued') AS issued_at, countIf(event = 'issued') > 0 AS issued, \
         countIf(event != 'issued') > 0 AS seen, \
         countIf(event = 'continued' AND continued_by != 'page') > 0 AS by_hand, \
         countIf(event = 'continued' AND continued_by = 'page') > 0 AS by_itself, \
         countIf(event = 'returned') > 0 AS returned, countIf(event = 'reported') > 0 AS reported, \
         minIf(dwell_ms, event = 'continued' AND continued_by != 'page') AS dwell \
         FROM notices WHERE {of_events} AND client_class = 'person' \
         GROUP BY tier, form, service, tier_version, feed, flow \
         HAVING issued AND {of_window}) \
         GROUP BY {columns} ORDER BY {columns} LIMIT {}",
        u64::from(rows_max) + 1
    );
    let params = vec![
        micros("from", window.from),
        micros("to", window.to),
        micros("seen_from", window.from.saturating_sub(OPEN_MAX)),
        micros("seen_to", window.to.saturating_add(OPEN_MAX)),
    ];
    Statement { sql, params }
}

fn row(input: &mut rowbinary::Reader<'_>) -> Result<Reached, Error> {
    let mut words = COLUMNS.map(|_| String::new());
    for word in &mut words {
        *word = String::from_utf8_lossy(input.bytes()?).into_owned();
    }
    let [tier, form, service, language, text_version, tier_version, feed] = words;
    let mut counts = [0; 7];
    for count in &mut counts {
        *count = input.u64()?;
    }
    let [issued, rendered, continued, passed, returned, reported, median] = counts;
    Ok(Reached {
        tier,
        form,
        service,
        language,
        text_version,
        tier_version,
        feed,
        issued,
        rendered,
        continued,
        passed,
        returned,
        reported,
        continued_after_ms: median,
        reach: share(rendered, issued),
        compliance: share(rendered.saturating_sub(continued + passed), rendered),
    })
}

/// A part of a whole, to four places; none of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}
