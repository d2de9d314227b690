//! What a page says, for programs: a problem document (RFC 9457) where `Accept` prefers one.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::Full;
use serde_json::{Map, Value};

use super::{Language, notice::Notices};
use crate::{clock::Timestamp, links::Link};

/// What stands on a page of why and since when, and in its problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Since when a link is stopped.
    Since(Timestamp),
    /// When it ended.
    Ended(Timestamp),
    /// Who stopped it: a key of the wording.
    StoppedBy(String),
    /// Why, for everybody: a key of the wording.
    PublicReason(String),
    /// Why, as a code; for programs alone.
    Reason(&'static str),
    /// Something that a list says.
    Said(&'static str, String),
}

impl Fact {
    /// Its member in a problem document.
    fn member(&self) -> (&'static str, Value) {
        match self {
            Self::Since(at) => ("since", at.to_string().into()),
            Self::Ended(at) => ("ended", at.to_string().into()),
            Self::StoppedBy(by) => ("by", by.as_str().into()),
            Self::PublicReason(reason) => ("reason", reason.as_str().into()),
            Self::Reason(code) => ("reason", (*code).into()),
            Self::Said(name, value) => (name, value.as_str().into()),
        }
    }
}

/// Why a link leads nowhere any more, and since when.
pub(super) fn of_gone(link: &Link) -> Vec<Fact> {
    let Some(stopped) = link.settings().and_then(|s| s.stopped.as_ref()) else {
        let ends = link.expires != Timestamp::ZERO;
        return if ends { vec![Fact::Ended(link.expires)] } else { Vec::new() };
    };
    let by = Fact::StoppedBy(stopped.by.clone());
    let reason = Fact::PublicReason(stopped.reason.clone());
    let reason = Some(reason).filter(|_| !stopped.reason.is_empty());
    [Some(by), reason, Some(Fact::Since(stopped.since))].into_iter().flatten().collect()
}

/// What a page says: an extension of its response.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The problem's code.
    pub(super) code: &'static str,
    /// Where its wording is.
    pub(super) words: [&'static str; 2],
    pub(super) language: Language,
    pub(super) facts: Vec<Fact>,
}

/// The response as it is asked for: where programs prefer it, a page that says what is wrong
/// becomes a problem document with the same status and headers.
pub(super) fn as_asked(
    asked: &HeaderMap,
    mut response: Response<Full<Bytes>>,
    notices: &Notices,
) -> Response<Full<Bytes>> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let Some(told) = response.extensions_mut().remove::<Told>() else { return response };
    let vary = HeaderValue::from_static("Accept, Accept-Language");
    response.headers_mut().insert(header::VARY, vary);
    if !wants_problem(asked) {
        return response;
    }
    let place = told.words.into_iter().filter(|part| !part.is_empty());
    let [title, detail] = ["title", "text"].map(|key| {
        let path: Vec<&str> = place.clone().chain([key]).collect();
        notices.words(told.language, &path)
    });
    let mut all = Map::new();
    all.insert("type".into(), format!("urn:tracegate:problem:{}", told.code).into());
    all.insert("title".into(), title.into());
    all.insert("status".into(), status.as_u16().into());
    all.insert("code".into(), told.code.into());
    if !detail.is_empty() {
        all.insert("detail".into(), detail.into());
    }
    all.extend(told.facts.iter().map(Fact::member).map(|(name, value)| (name.to_owned(), value)));
    *response.body_mut() = Full::from(Value::Object(all).to_string());
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/problem+json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, json);
    response
}

/// Whether `Accept` (RFC 9110 §12.5.1) prefers JSON to pages. Wildcards say neither.
fn wants_problem(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    let (mut json, mut html) = (0.0_f32, 0.0_f32);
    for item in lists.flat_map(|l| l.split(',')).take(32) {
        let mut parts = item.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        let weight = weight.map_or(1.0, |q| q.parse().unwrap_or(0.0));
        match &*media {
            "application/problem+json" | "application/json" => json = json.max(weight),
            "text/html" | "application/xhtml+xml" => html = html.max(weight),
            _ => {}
        }
    }
    json > html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_what_they_prefer() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("application/problem+json", true),
            ("application/json, text/plain, */*", true),
            ("Application/JSON;q=0.5", true),
            ("text/html, application/json", false),
            ("text/html;q=0.5, application/json;q=0.6", true),
            ("application/json;q=0", false),
            ("application/json;q=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_problem(&headers), expected, "{accept}");
        }
    }
}
