//! From what becomes of a request to what the visitor gets.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{
    Language,
    ahead::HOP,
    fate::Fate,
    limit::Over,
    page::{Page, blocked},
    rules::Ruling,
    worker::Asked,
};
use crate::{config, links::Link};

/// The answer to a request whose record is kept.
pub(super) fn to<B>(
    rules: &config::Policy,
    asked: &Asked<'_, B>,
    fate: &Fate,
) -> Response<Full<Bytes>> {
    match (fate.page, &fate.link, &fate.ruling) {
        (None, Some(link), _) => found(link, asked),
        (Some(Page::Blocked), _, Some(Ruling { hit: Some(hit), .. })) => {
            blocked(hit, asked.language, &rules.blocked_by)
        }
        (page, ..) => page.unwrap_or(Page::Unknown).response(asked.language),
    }
}

/// The answer to a request over a limit.
pub(super) fn limited(over: &Over, language: Language) -> Response<Full<Bytes>> {
    let mut response = Page::Limited.response(language);
    over.tell(response.headers_mut());
    response
}

/// The way to the target.
fn found<B>(link: &Link, asked: &Asked<'_, B>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, link.location.clone());
    if asked.request.headers().contains_key(HOP) {
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
