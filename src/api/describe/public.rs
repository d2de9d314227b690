//! What programs of the public ask the gateway, without a token: reports and appeals.

use http::Method;

use super::Operation;
use crate::gateway::{ReportGiven, ReportStanding, ReportTaken};

/// One operation of the gateway's.
#[derive(Clone, Debug)]
pub struct PublicRoute {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
    /// What is said of it.
    pub is: fn() -> Operation,
}

/// All of them.
pub const PUBLIC_ROUTES: [PublicRoute; 2] = [
    PublicRoute { method: Method::POST, path: "/api/v1/reports", is: make_report },
    PublicRoute {
        method: Method::GET,
        path: "/api/v1/reports/{number}/{secret}",
        is: read_own_report,
    },
];

fn make_report() -> Operation {
    Operation::new("makeReport", "Report a link, a URL or a host, or appeal against a block")
        .more("At the gateway, by anybody; a client prefix has a quota.")
        .takes::<ReportGiven>()
        .gives::<ReportTaken>(201, "The report, with the secret that shows how it stands")
        .with("Location", "Where it is seen how it stands")
        .problems([
            (400, "report_body"),
            (413, "report_long"),
            (422, "report_category"),
            (422, "report_contact"),
            (422, "report_subject"),
            (422, "report_text"),
            (429, "report_limited"),
            (503, "report_busy"),
        ])
}

fn read_own_report() -> Operation {
    Operation::new("readOwnReport", "How a report stands, for whoever made it")
        .more("At the gateway.")
        .place("number", "The report's number, without hyphens")
        .place("secret", "Its secret")
        .gives::<ReportStanding>(200, "How it stands")
        .problems([(404, "report_unknown"), (503, "report_busy")])
}
