//! What a visitor sees who is not sent on.
//!
//! The pages hold nothing that a request or a link brought along: there is nothing to escape and
//! nothing to inject. They load nothing and run nothing.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::Language;

/// Why a visitor is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The code is not in use, or the path is no code.
    Unknown,
    /// The link was disabled.
    Disabled,
    /// The link has ended.
    Expired,
    /// The target's host has no address now.
    Unresolved,
    /// We cannot keep the record or read the link now.
    Busy,
    /// A method other than GET and HEAD.
    Method,
}

impl Page {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Disabled | Self::Expired => StatusCode::GONE,
            Self::Unresolved | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown => ("This link does not exist.", "此链接不存在。"),
            Self::Disabled => ("This link has been disabled.", "此链接已停用。"),
            Self::Expired => ("This link has expired.", "此链接已过期。"),
            Self::Unresolved => (
                "The site behind this link cannot be found at the moment.",
                "目前无法找到此链接指向的网站。",
            ),
            Self::Busy => (
                "The service cannot answer at the moment. Please try again soon.",
                "服务暂时无法响应，请稍后重试。",
            ),
            Self::Method => ("Links can only be followed.", "链接仅支持访问。"),
        }
    }

    /// The page as a response.
    pub(super) fn response(self, language: Language) -> Response<Full<Bytes>> {
        let (english, chinese) = self.words();
        let text = language.pick(english, chinese);
        let tag = language.tag();
        let body = format!(
            "<!doctype html>\n<html lang=\"{tag}\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{text}</title>\n<p>{text}</p>\n</html>\n"
        );
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        super::worker::common(headers);
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_LANGUAGE, tag),
            (header::VARY, "Accept-Language"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            Self::Busy | Self::Unresolved => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}
