//! What programs are answered, and ways to pages.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::Wrong;
use crate::{
    clock::Timestamp,
    gateway::{Language, respond::common},
    reports::{Receipt, Standing},
};

/// On to a page.
pub(super) fn see_other(to: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    common(headers);
    let to = HeaderValue::try_from(to).unwrap_or_else(|_| HeaderValue::from_static("/report"));
    headers.insert(header::LOCATION, to);
    response
}

/// A report that was taken.
#[derive(Serialize, JsonSchema)]
pub struct ReportTaken<'a> {
    /// Its number.
    number: &'a str,
    /// What shows how it stands, together with the number: to be kept, and to be shown to nobody.
    secret: &'a str,
    /// `received`.
    state: &'static str,
    /// When it came.
    received: Timestamp,
    /// When it is decided at the latest.
    due: Timestamp,
    /// The page that shows how it stands.
    page: String,
}

/// A report that was taken.
pub(super) fn created(receipt: &Receipt) -> Response<Full<Bytes>> {
    let Receipt { number, secret, received, due } = receipt;
    let place = format!("/api/v1/reports/{number}/{secret}");
    let page = format!("/report/{number}/{secret}");
    let (received, due) = (*received, *due);
    let taken = ReportTaken { number, secret, state: "received", received, due, page };
    let mut response = json_answer(StatusCode::CREATED, &taken);
    response.headers_mut().extend(HeaderValue::try_from(place).ok().map(|p| (header::LOCATION, p)));
    response
}

/// How a report stands, for whoever made it: nothing about who decided, and why, but what they are
/// told.
#[derive(Serialize, JsonSchema)]
pub struct ReportStanding<'a> {
    /// Its number.
    number: &'a str,
    /// What was said.
    category: &'a str,
    /// What it is about.
    subject: &'a str,
    /// `received`, `decided` or `acted`.
    state: &'a str,
    /// When it came.
    received: Timestamp,
    /// When it is decided at the latest.
    due: Timestamp,
    /// Whether that has passed without a decision.
    overdue: bool,
    /// When it was decided; null for not yet.
    decided: Option<Timestamp>,
    /// When that was done; null for not yet.
    acted: Option<Timestamp>,
    /// What was decided; null for nothing yet.
    decision: Option<&'a str>,
    /// What whoever reported is told.
    answer: &'a str,
}

/// How a report stands.
pub(super) fn state(standing: &Standing, now: Timestamp) -> Response<Full<Bytes>> {
    let report = &standing.report;
    let last = standing.steps.last();
    let at = |event: &str| standing.steps.iter().rfind(|s| s.event == event).map(|s| s.ts);
    let told = ReportStanding {
        number: &report.number,
        category: report.category.name(),
        subject: &report.subject,
        state: standing.state(),
        received: report.received,
        due: report.due,
        overdue: standing.is_overdue(now),
        decided: at("decided"),
        acted: at("acted"),
        decision: last.map(|s| s.decision.name()),
        answer: last.map_or("", |s| &s.answer),
    };
    json_answer(StatusCode::OK, &told)
}

/// What is wrong with a report (RFC 9457).
pub(super) fn problem(wrong: &Wrong, language: Language, said: &str) -> Response<Full<Bytes>> {
    let status = wrong.status();
    let code = match wrong {
        Wrong::Unknown => "report_unknown".to_owned(),
        _ => format!("report_{}", wrong.name()),
    };
    let body = json!({
        "type": format!("urn:tracegate:problem:{code}"),
        "title": said,
        "status": status.as_u16(),
        "code": code,
    });
    let mut response = answer(status, "application/problem+json; charset=utf-8", &body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    wait(wrong, headers);
    response
}

/// When to come back.
pub(super) fn wait(wrong: &Wrong, headers: &mut http::HeaderMap) {
    match wrong {
        Wrong::Limited(over) => over.tell(headers),
        Wrong::Busy => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        _ => {}
    }
}

fn json_answer(status: StatusCode, of: &impl Serialize) -> Response<Full<Bytes>> {
    // Texts and times are always JSON.
    answer(status, "application/json", &serde_json::to_value(of).unwrap_or_default())
}

fn answer(status: StatusCode, kind: &'static str, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    common(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
