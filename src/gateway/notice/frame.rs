//! What all pages have, and how a page becomes a response.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use minijinja::Value;
use serde::Serialize;

use super::Notices;
use crate::gateway::{Language, respond::common};

/// Where the style sheet of pages that are no notices is.
const PLAIN_STYLE: &str = "/.notice/style.css";

/// Where a form may lead that a visitor goes on with.
pub(super) const ANYWHERE: &str = "'self' http: https:";

#[derive(Serialize)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) number: &'a str,
    pub(super) what: &'a str,
}

#[derive(Serialize)]
pub(super) struct Other {
    pub(super) url: String,
    pub(super) tag: &'static str,
    pub(super) name: &'static str,
}

#[derive(Serialize)]
pub(super) struct Refresh {
    pub(super) seconds: u32,
    pub(super) url: String,
    /// The same page, which does not (WCAG 2.2, 2.2.1).
    pub(super) stay: String,
}

/// What every page has.
#[derive(Serialize)]
pub(super) struct Frame<'a> {
    pub(super) lang: &'static str,
    pub(super) kind: &'a str,
    pub(super) title: String,
    pub(super) style: String,
    pub(super) refresh: Option<Refresh>,
    pub(super) other: Option<Other>,
    pub(super) w: &'a Value,
    pub(super) help: Vec<Line<'a>>,
    pub(super) appeal_url: Cow<'a, str>,
    /// Where more can be said; empty for nowhere.
    pub(super) report_url: String,
}

impl Notices {
    pub(super) fn help(&self, language: Language) -> Vec<Line<'_>> {
        let lines = self.config.help.iter();
        lines.map(|[number, en, zh]| Line { number, what: language.pick(en, zh) }).collect()
    }

    /// What a page that is no notice has of every page.
    pub(super) fn frame(&self, language: Language, title: String, switches: bool) -> Frame<'_> {
        let (_, other, _) = language.other();
        self.frame_at(language, title, switches.then(|| format!("?lang={other}")))
    }

    /// The same; `other` is its place in the other language.
    pub(super) fn frame_at(
        &self,
        language: Language,
        title: String,
        other: Option<String>,
    ) -> Frame<'_> {
        let (tag, _, name) = language.other();
        Frame {
            lang: language.tag(),
            kind: "message",
            title,
            style: PLAIN_STYLE.to_owned(),
            refresh: None,
            other: other.map(|url| Other { url, tag, name }),
            w: self.templates.words(language),
            help: Vec::new(),
            appeal_url: "".into(),
            report_url: String::new(),
        }
    }

    /// The style sheet.
    pub(in crate::gateway) fn style(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.templates.style()));
        let headers = response.headers_mut();
        common(headers);
        let css = HeaderValue::from_static("text/css; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, css);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// A page as a response with status 200.
pub(super) fn html(language: Language, page: String, form_action: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(page));
    let headers = response.headers_mut();
    common(headers);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, language.tag()),
        (header::VARY, "Accept-Language"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // A form of ours says its origin to us, which it does not under `no-referrer`, and to nobody
        // else.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action {form_action}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy)
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let opener = header::HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(opener, HeaderValue::from_static("same-origin"));
    response
}
