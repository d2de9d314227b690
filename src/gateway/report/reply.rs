//! What programs are answered, and ways to pages.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
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
pub(super) fn created(receipt: &Receipt) -> Response<Full<Bytes>> {
    let Receipt { number, secret, received, due } = receipt;
    let place = format!("/api/v1/reports/{number}/{secret}");
    let body = json!({
        "number": number,
        "secret": secret,
        "state": "received",
        "received": received,
        "due": due,
        "page": format!("/report/{number}/{secret}"),
    });
    let mut response = answer(StatusCode::CREATED, "application/json", &body);
    response.headers_mut().extend(HeaderValue::try_from(place).ok().map(|p| (header::LOCATION, p)));
    response
}

/// How a report stands, for whoever made it: nothing about who decided, and why, but what they are
/// told.
pub(super) fn state(standing: &Standing, now: Timestamp) -> Response<Full<Bytes>> {
    let report = &standing.report;
    let last = standing.steps.last();
    let at = |event: &str| standing.steps.iter().rfind(|s| s.event == event).map(|s| s.ts);
    let body = json!({
        "number": report.number,
        "category": report.category.name(),
        "subject": report.subject,
        "state": standing.state(),
        "received": report.received,
        "due": report.due,
        "overdue": standing.is_overdue(now),
        "decided": at("decided"),
        "acted": at("acted"),
        "decision": last.map(|s| s.decision.name()),
        "answer": last.map_or("", |s| &s.answer),
    });
    answer(StatusCode::OK, "application/json", &body)
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

fn answer(status: StatusCode, kind: &'static str, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    common(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
