//! The operator's own rules, appeals, and reports by the public.

use super::{
    super::{
        Right,
        appeals::{Appeals, Decided, Opened, Which as WhichAppeals},
        own::{Allowed, Block, OwnRules, Page, Shown, Why},
        persons::{ToldAppeal, ToldAppellant, ToldPerson},
        reports::{Listed, Said, ToldReport, ToldStatus, Which as WhichReports},
    },
    Operation,
    looks::CaseQuery,
    problems::{DESK, LOOKING, NOT_FOUND, OWN, PERSONS, STORED, WRITING, targets},
};

const ID: (&str, &str) = ("id", "Its number");
const NUMBER: (&str, &str) = ("number", "The report's number");

pub(in crate::api) fn list_blocks() -> Operation {
    Operation::new("listBlocks", "What is blocked at once, newest first, a page at a time")
        .query::<Page>()
        .gives::<OwnRules>(200, "The rules")
}

pub(in crate::api) fn block_now() -> Operation {
    Operation::new("blockNow", "Block a name at once, on every node")
        .more("Until it ends or a second person confirms it.")
        .takes::<Block>()
        .gives::<Shown>(201, "The block")
        .problems(OWN)
        .problems(STORED)
}

pub(in crate::api) fn confirm_block() -> Operation {
    Operation::new("confirmBlock", "Confirm a block that somebody else made")
        .number(ID.0, ID.1)
        .takes::<Why>()
        .gives::<Shown>(200, "The block as it is now")
        .problems(STORED)
        .problems([NOT_FOUND, (409, "over_already"), (409, "second_person")])
}

pub(in crate::api) fn lift_block() -> Operation {
    Operation::new("liftBlock", "End a block")
        .number(ID.0, ID.1)
        .takes::<Why>()
        .gives::<Shown>(200, "The block as it is now")
        .problems(STORED)
        .problems([NOT_FOUND, (409, "over_already")])
}

pub(in crate::api) fn list_allow() -> Operation {
    Operation::new("listAllow", "What is let through, newest first, a page at a time")
        .query::<Page>()
        .gives::<OwnRules>(200, "The rules")
}

pub(in crate::api) fn allow() -> Operation {
    Operation::new("allow", "Let a name through whatever feeds say that may be overruled")
        .takes::<Allowed>()
        .gives::<Shown>(201, "The rule")
        .problems(OWN)
        .problems(STORED)
}

pub(in crate::api) fn disallow() -> Operation {
    Operation::new("disallow", "Let it through no longer")
        .number(ID.0, ID.1)
        .query::<Why>()
        .gives_nothing("It has ended")
        .problems(STORED)
        .problems([NOT_FOUND, (409, "over_already")])
}

pub(in crate::api) fn list_appeals() -> Operation {
    Operation::new("listAppeals", "Appeals, newest first, a page at a time")
        .query::<WhichAppeals>()
        .gives::<Appeals>(200, "The appeals")
}

pub(in crate::api) fn appeal() -> Operation {
    Operation::new("appeal", "Take down an appeal against being listed")
        .takes::<Opened>()
        .gives::<ToldAppeal>(201, "The appeal")
        .with("ETag", "How it stands, for If-Match")
        .problems(STORED)
        .problems([
            NOT_FOUND,
            (409, "over_already"),
            (409, "too_many"),
            (422, "bad_rule"),
            (422, "missing"),
        ])
}

pub(in crate::api) fn read_appeal() -> Operation {
    Operation::new("readAppeal", "An appeal")
        .number(ID.0, ID.1)
        .gives::<ToldAppeal>(200, "The appeal")
        .with("ETag", "How it stands, for If-Match")
        .problems([NOT_FOUND])
}

pub(in crate::api) fn decide_appeal() -> Operation {
    Operation::new("decideAppeal", "Decide an appeal, or suspend the rule until then")
        .number(ID.0, ID.1)
        .header("If-Match", "The ETag that it must have: where somebody else decided, 412")
        .takes::<Decided>()
        .gives::<ToldAppeal>(200, "The appeal as it is now")
        .with("ETag", "How it stands, for If-Match")
        .problems(STORED)
        .problems([NOT_FOUND, (409, "over_already"), (412, "changed_meanwhile")])
}

pub(in crate::api) fn list_reports() -> Operation {
    Operation::new(
        "listReports",
        "Reports and appeals by the public, newest first, a page at a time",
    )
    .more("Without persons.")
    .query::<WhichReports>()
    .gives::<Listed<'_>>(200, "The reports")
    .problems(DESK)
}

pub(in crate::api) fn read_reports_status() -> Operation {
    Operation::new(
        "readReportsStatus",
        "How many reports and appeals wait for a decision, and how many for too long",
    )
    .gives::<ToldStatus>(200, "The counts")
    .problems(DESK)
}

pub(in crate::api) fn read_appeal_person() -> Operation {
    Operation::new("readAppealPerson", "Who appealed, and how they are reached")
        .more("Needs case and purpose. Recorded as a look.")
        .asks(Right::Trace)
        .number(ID.0, ID.1)
        .query::<CaseQuery>()
        .gives::<ToldAppellant<'_>>(200, "The person")
        .problems(LOOKING)
        .problems(DESK)
        .problems([NOT_FOUND, PERSONS])
}

pub(in crate::api) fn read_report() -> Operation {
    Operation::new("readReport", "A report and what was decided")
        .place(NUMBER.0, NUMBER.1)
        .gives::<ToldReport<'_>>(200, "The report")
        .problems(DESK)
        .problems([NOT_FOUND])
}

pub(in crate::api) fn read_report_person() -> Operation {
    Operation::new("readReportPerson", "Who reported, and in which words")
        .more("Needs case and purpose. Recorded as a look.")
        .asks(Right::Trace)
        .place(NUMBER.0, NUMBER.1)
        .query::<CaseQuery>()
        .gives::<ToldPerson<'_>>(200, "The person")
        .problems(LOOKING)
        .problems(DESK)
        .problems([NOT_FOUND, PERSONS])
}

pub(in crate::api) fn decide_report() -> Operation {
    Operation::new("decideReport", "Decide a report and do what follows")
        .more("An appeal is lifted or refused with it.")
        .place(NUMBER.0, NUMBER.1)
        .takes::<Said>()
        .gives::<ToldReport<'_>>(200, "The report as it stands then")
        .problems(DESK)
        .problems(OWN)
        .problems(STORED)
        .problems(targets().chain(WRITING))
        .problems([NOT_FOUND, (409, "over_already"), (409, "revision_conflict")])
}
