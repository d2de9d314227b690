//! Feeds and their versions.

use super::{
    super::{
        Right,
        feeds::{
            AllFeeds, Apply, Before, Between, Content as Sent, FeedPatch, FromLine, NewFeed,
            Reason, Refresh, Step, VersionPage, Versions, Wanted,
        },
    },
    Operation,
    looks::ReportQuery,
    operation::Content,
    problems::{ACCOUNTING, DECIDING, LOOKING, NOT_FOUND, SETTING, STORED, TAKING},
};
use crate::feeds::{Diff, FeedStatus, Outcome, report::Report};

const NAME: (&str, &str) = ("name", "The feed's name");
const ETAG: (&str, &str) = ("ETag", "Its settings, for If-Match");

pub(in crate::api) fn list_feeds() -> Operation {
    Operation::new("listFeeds", "Every feed and how it stands")
        .more("There are at most feeds.feeds_max.")
        .gives::<AllFeeds>(200, "The feeds, in their order")
}

pub(in crate::api) fn add_feed() -> Operation {
    Operation::new("addFeed", "Declare a feed; it is fetched at once")
        .takes::<NewFeed>()
        .gives::<FeedStatus>(201, "The feed")
        .with("Location", "Where it is read")
        .with(ETAG.0, ETAG.1)
        .problems(SETTING)
        .problems(STORED)
        .problems([(409, "feed_exists"), (409, "too_many")])
}

pub(in crate::api) fn read_feed() -> Operation {
    Operation::new("readFeed", "A feed and how it stands")
        .place(NAME.0, NAME.1)
        .gives::<FeedStatus>(200, "The feed")
        .with(ETAG.0, ETAG.1)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn change_feed() -> Operation {
    Operation::new("changeFeed", "Change a feed's settings by a merge patch (RFC 7396)")
        .place(NAME.0, NAME.1)
        .header("If-Match", "The ETag that it must have: where somebody else changed it, 412")
        .takes::<FeedPatch>()
        .gives::<FeedStatus>(200, "As it is now")
        .with(ETAG.0, ETAG.1)
        .problems(SETTING)
        .problems(STORED)
        .problems([NOT_FOUND, (412, "changed_meanwhile")])
}

pub(in crate::api) fn remove_feed() -> Operation {
    Operation::new("removeFeed", "End a feed; its history stays")
        .place(NAME.0, NAME.1)
        .query::<Reason>()
        .gives_nothing("It has ended")
        .problems(STORED)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn refresh_feed() -> Operation {
    Operation::new("refreshFeed", "Fetch a feed now")
        .place(NAME.0, NAME.1)
        .takes::<Refresh>()
        .gives::<Outcome>(200, "What became of it")
        .problems(TAKING)
        .problems(STORED)
}

pub(in crate::api) fn apply_feed() -> Operation {
    Operation::new("applyFeed", "Take a version from the source, or say what it would change")
        .place(NAME.0, NAME.1)
        .takes::<Apply>()
        .gives::<Outcome>(200, "What became of it")
        .problems(TAKING)
        .problems(STORED)
}

pub(in crate::api) fn send_feed() -> Operation {
    Operation::new(
        "sendFeed",
        "Take a version from the body: the list itself, as its author wrote it",
    )
    .place(NAME.0, NAME.1)
    .query::<Sent>()
    .gives::<Outcome>(200, "What became of it")
    .problems(TAKING)
    .problems(STORED)
    .problems([(409, "signature_required"), (413, "list_too_long"), (503, "no_room_for_list")])
}

pub(in crate::api) fn approve_feed() -> Operation {
    step("approveFeed", "Let a held version take force")
}

pub(in crate::api) fn refuse_feed() -> Operation {
    step("refuseFeed", "Refuse a held version")
}

pub(in crate::api) fn rollback_feed() -> Operation {
    step("rollbackFeed", "Put an earlier version in force again")
}

fn step(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary)
        .place(NAME.0, NAME.1)
        .takes::<Step>()
        .gives::<FeedStatus>(200, "The feed as it is now")
        .problems(DECIDING)
        .problems(STORED)
}

pub(in crate::api) fn list_feed_versions() -> Operation {
    Operation::new("listFeedVersions", "A feed's versions, newest first, a page at a time")
        .place(NAME.0, NAME.1)
        .query::<Before>()
        .gives::<Versions>(200, "The versions")
        .problems([NOT_FOUND])
}

pub(in crate::api) fn read_feed_version() -> Operation {
    Operation::new(
        "readFeedVersion",
        "A version, what befell it, and the entries that were not taken, a page at a time",
    )
    .place(NAME.0, NAME.1)
    .number("version", "Its number")
    .query::<FromLine>()
    .gives::<VersionPage>(200, "The version")
    .problems([NOT_FOUND])
}

pub(in crate::api) fn diff_feed() -> Operation {
    Operation::new("diffFeed", "What differs between two versions")
        .more("At most 1,000 rules of each kind are named; the counts are of all.")
        .place(NAME.0, NAME.1)
        .query::<Between>()
        .gives::<Diff>(200, "The difference")
        .problems([NOT_FOUND, (409, "version_not_kept")])
}

pub(in crate::api) fn report_feed() -> Operation {
    let sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    Operation::new("reportFeed", "What became of versions, orders and rules")
        .more("Recorded as a look.")
        .asks(Right::Trace)
        .place(NAME.0, NAME.1)
        .query::<ReportQuery>()
        .gives::<Report>(200, "The report")
        .or("text/csv", Content::Text)
        .or(sheet, Content::Bytes)
        .with("Content-Disposition", "A name for the file")
        .problems(LOOKING)
        .problems(ACCOUNTING)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn export_feed() -> Operation {
    Operation::new("exportFeed", "The rules of a version")
        .place(NAME.0, NAME.1)
        .query::<Wanted>()
        .gives_other(
            "The rules",
            &[
                ("text/dns", Content::Text),
                ("application/jsonl", Content::Text),
                ("text/plain", Content::Text),
            ],
        )
        .with("Content-Disposition", "A name for the file")
        .problems([NOT_FOUND, (409, "version_not_kept")])
}
