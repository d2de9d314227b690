//! From what becomes of a request to what the visitor gets.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{Language, ahead::HOP, limit::Over, notice::Notices, page::Page, worker::Asked};
use crate::links::{Link, onward::Onward};

/// The answer to a request over a limit.
pub(super) fn limited(over: &Over, notices: &Notices, language: Language) -> Response<Full<Bytes>> {
    let mut response = Page::Limited.response(notices, language);
    over.tell(response.headers_mut());
    response
}

/// The answer to what is no request to us. No browser sends such, so that nobody reads a page.
pub(super) fn malformed() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    common(response.headers_mut());
    response
}

/// The way to the target; by GET from a page, whatever its form was sent with (RFC 9110 §15.4.4).
pub(super) fn found(
    link: &Link,
    onward: Option<&Onward>,
    asked: &Asked<'_>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let from_a_page = asked.agreed.is_some() || asked.password.is_some();
    *response.status_mut() = match from_a_page {
        true => StatusCode::SEE_OTHER,
        // 301 and 308 too are `no-store`: whatever can be revoked must be asked for again.
        false => StatusCode::from_u16(link.status()).unwrap_or(StatusCode::FOUND),
    };
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, onward.map_or(&link.location, |o| &o.location).clone());
    if asked.headers.contains_key(HOP) {
        headers.insert(HOP, HeaderValue::from(u16::from(asked.hop.saturating_add(1))));
    }
    common(headers);
    response
}

/// What every answer carries: nobody keeps it, nobody learns whence the visitor came, no search
/// engine lists it.
pub(super) fn common(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let robots = header::HeaderName::from_static("x-robots-tag");
    headers.insert(robots, HeaderValue::from_static("noindex, nofollow"));
}
