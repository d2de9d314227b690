//! Problems: what went wrong, for programs and for people in two languages (RFC 9457).

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::gateway::Language;

/// One text in two languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    english: Cow<'static, str>,
    chinese: Cow<'static, str>,
}

impl Words {
    /// The text in English and in Chinese.
    pub fn new(
        english: impl Into<Cow<'static, str>>,
        chinese: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { english: english.into(), chinese: chinese.into() }
    }

    fn pick(&self, language: Language) -> &str {
        language.pick(&self.english, &self.chinese)
    }
}

/// A problem. As a response it is a status and an extension; [`render`] gives it its body.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    title: Words,
    detail: Option<Words>,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem by its code, which never changes, and its title.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        english: &'static str,
        chinese: &'static str,
    ) -> Self {
        let title = Words::new(english, chinese);
        let (more, headers) = (Map::new(), Vec::new());
        Self(Box::new(Inner { status, code, title, detail: None, more, headers }))
    }

    /// Says more about this occurrence.
    #[must_use]
    pub fn detail(mut self, words: Words) -> Self {
        self.0.detail = Some(words);
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(member.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same for a precondition of a header that does not hold (RFC 9110 §15.5.13).
    #[must_use]
    pub(super) fn precondition(mut self) -> Self {
        if matches!(self.0.code, "revision_conflict" | "changed_meanwhile") {
            self.0.status = StatusCode::PRECONDITION_FAILED;
        }
        self
    }

    /// Its code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Something of ours failed. It is logged here, once; the caller learns only that.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "an API request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something failed on our side.",
            "服务内部错误。",
        )
    }

    /// There is nothing by that path or name.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing.", "没有此项内容。")
    }

    /// The request's query or body is wrong; `why` says how.
    pub fn bad_request(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "The request is not understood.",
            "无法理解该请求。",
        )
        .detail(Words::new(why.clone(), why))
    }

    /// It cannot be done now.
    pub fn unavailable(code: &'static str, english: &'static str, chinese: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, english, chinese)
            .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// The object that a body holds, in `language`.
    pub(super) fn told(&self, language: Language) -> ProblemTold<'_> {
        ProblemTold {
            kind: format!("urn:tracegate:problem:{}", self.0.code),
            title: self.0.title.pick(language),
            status: self.0.status.as_u16(),
            code: self.0.code,
            detail: self.0.detail.as_ref().map(|detail| detail.pick(language)),
            more: &self.0.more,
        }
    }
}

/// A problem (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemTold<'a> {
    /// `urn:tracegate:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What is wrong, in the caller's language.
    title: &'a str,
    /// The response's status.
    status: u16,
    /// For programs; it never changes.
    code: &'a str,
    /// What is wrong this time, in the caller's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// What else programs may want to know.
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        for (name, value) in &self.0.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The outermost layer: gives problems their bodies in the caller's language, and turns bare
/// refusals of the framework into problems.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let language = Language::of(request.headers());
    let response = next.run(request).await;
    let problem = match response.extensions().get::<Arc<Problem>>() {
        Some(problem) => Arc::clone(problem),
        None if is_bare_refusal(&response) => Arc::new(bare(response.status())),
        None => return response,
    };
    let (mut parts, _) = response.into_parts();
    // Texts, numbers and maps with texts as keys are always JSON.
    let body = serde_json::to_string(&problem.told(language)).unwrap_or_default();
    let headers = &mut parts.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json; charset=utf-8"),
    );
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Language"));
    Response::from_parts(parts, Body::from(body))
}

/// A 4xx or 5xx that no handler of ours shaped.
fn is_bare_refusal(response: &Response) -> bool {
    let status = response.status();
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|t| t.as_bytes().starts_with(b"application/"));
    (status.is_client_error() || status.is_server_error()) && !json
}

fn bare(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => method_not_allowed(),
        _ => Problem::new(status, "refused", "The request was refused.", "请求被拒绝。"),
    }
}

/// The path is ours, the method is not for it.
pub(super) fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This cannot be done with this path.",
        "该路径不支持此操作。",
    )
}
