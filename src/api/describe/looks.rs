//! Looks at the records. Their query strings are read by hand, so that what is wrong with one is
//! recorded, too: what they may hold is said here.

use schemars::JsonSchema;

use super::{
    super::{
        Right,
        links::{Found, Standing},
        rules::Rules,
    },
    Operation,
    problems::{LOOKING, NOT_FOUND, PERSONS},
};
use crate::{
    feeds::report::Part,
    trace::{Kind, LinkHops, LinkStats, NoticesSummary, Record, TracePage},
};

/// A case, and what a look is for.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct CaseQuery {
    /// The case number, kept with the look; needed for columns about persons.
    case: Option<String>,
    /// What it is for, kept with the look; needed for columns about persons.
    purpose: Option<String>,
}

/// A stretch of time.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct WindowQuery {
    /// The beginning of the window: RFC 3339, a date, or a span before now such as -2h.
    from: Option<String>,
    /// Its end.
    to: Option<String>,
    #[serde(flatten)]
    case: CaseQuery,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct TraceQuery {
    /// The question.
    q: String,
    /// What it is; guessed when absent, but for a client.
    kind: Option<Kind>,
    #[serde(flatten)]
    window: WindowQuery,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Fewer records than a page holds.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct HopsQuery {
    /// At most so many walks, the newest; 10 when absent.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
    #[serde(flatten)]
    case: CaseQuery,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct RulesQuery {
    /// A name, URL, link code or address.
    name: String,
    /// The time: RFC 3339, a date, or a span before now such as -2h; now when absent.
    at: Option<String>,
    #[serde(flatten)]
    case: CaseQuery,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ReportQuery {
    /// `json` when absent.
    #[schemars(extend("enum" = ["json", "csv", "xlsx"]))]
    format: Option<String>,
    /// The part that CSV holds; `orders` when absent.
    #[schemars(extend("enum" = Part::ALL.map(Part::name)))]
    part: Option<String>,
    /// Hits since this time; all that are kept when absent.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
}

pub(in crate::api) fn trace() -> Operation {
    Operation::new("trace", "The chain of records that answers a question, a page at a time")
        .more("Recorded as a look.")
        .asks(Right::Trace)
        .query::<TraceQuery>()
        .gives::<TracePage<'_>>(200, "One page")
        .problems(LOOKING)
        .problems([PERSONS])
}

pub(in crate::api) fn read_record() -> Operation {
    Operation::new("readRecord", "One record")
        .more("Recorded as a look.")
        .asks(Right::Trace)
        .place("id", "node-lane-seq")
        .query::<CaseQuery>()
        .gives::<Record>(200, "The record")
        .problems(LOOKING)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn read_link_stats() -> Operation {
    Operation::new(
        "readLinkStats",
        "Visits and clients of a link by outcome, tier, kind of client, referrer, hour and day",
    )
    .more("Recorded as a look.")
    .asks(Right::Trace)
    .place("code", "The link's code")
    .query::<WindowQuery>()
    .gives::<LinkStats<'_, Found>>(200, "Counts, and how complete they are")
    .problems(LOOKING)
}

pub(in crate::api) fn read_forward_stats() -> Operation {
    Operation::new(
        "readForwardStats",
        "Visits and clients of a forward by outcome, tier, kind of client, referrer, hour and day",
    )
    .more("Recorded as a look.")
    .asks(Right::Trace)
    .place("from", "What is forwarded, its slashes as %2F")
    .query::<WindowQuery>()
    .gives::<LinkStats<'_, Found>>(200, "Counts, and how complete they are")
    .problems(LOOKING)
}

pub(in crate::api) fn read_link_hops() -> Operation {
    Operation::new(
        "readLinkHops",
        "Where a link leads: its findings, its destination and its last walks hop by hop",
    )
    .more("Recorded as a look.")
    .asks(Right::Trace)
    .place("code", "The link's code")
    .query::<HopsQuery>()
    .gives::<LinkHops<'_, Standing<'_>>>(200, "Findings, destination, walks, how complete they are")
    .problems(LOOKING)
}

pub(in crate::api) fn rules() -> Operation {
    Operation::new(
        "rules",
        "Whether something is listed, by whom, since when, with what effect; now or at a time",
    )
    .more("With `at` also what was answered around it, and recorded as a look.")
    .asks(Right::ReadFeeds)
    .query::<RulesQuery>()
    .gives::<Rules>(200, "The rules about it")
    .problems(LOOKING)
}

pub(in crate::api) fn notices_summary() -> Operation {
    Operation::new("noticesSummary", "Reach and compliance of warnings shown to persons")
        .more("Recorded as a look.")
        .asks(Right::Trace)
        .query::<WindowQuery>()
        .gives::<NoticesSummary>(
            200,
            "Warnings by tier, form, service, language, versions and feed",
        )
        .problems(LOOKING)
}
