//! What a visitor sees who is not sent on.
//!
//! The pages hold nothing that a request or a link brought along: there is nothing to escape and
//! nothing to inject. The one exception is [`blocked`], which says what a list says of a rule: escaped,
//! and cut. They load nothing and run nothing.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::Language;
use crate::{escape, policy::Hit};

/// Why a visitor is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The code is not in use, or the path is no code.
    Unknown,
    /// The link was disabled.
    Disabled,
    /// The link has ended.
    Expired,
    /// A rule stops the jump; [`blocked`] says which.
    Blocked,
    /// The target's host has no address now.
    Unresolved,
    /// We cannot keep the record or read the link now.
    Busy,
    /// A method other than GET and HEAD.
    Method,
    /// Where the target leads now, nobody may be sent.
    Refused,
    /// The way leads back to us.
    Loop,
    /// Too many requests.
    Limited,
}

impl Page {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Disabled | Self::Expired => StatusCode::GONE,
            Self::Blocked => StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
            Self::Unresolved | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused => StatusCode::FORBIDDEN,
            // RFC 5842 section 7.2.
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown => ("This link does not exist.", "此链接不存在。"),
            Self::Disabled => ("This link has been disabled.", "此链接已停用。"),
            Self::Expired => ("This link has expired.", "此链接已过期。"),
            Self::Blocked => ("Access to this site has been stopped.", "此网站的访问已被停止。"),
            Self::Unresolved => (
                "The site behind this link cannot be found at the moment.",
                "目前无法找到此链接指向的网站。",
            ),
            Self::Busy => (
                "The service cannot answer at the moment. Please try again soon.",
                "服务暂时无法响应，请稍后重试。",
            ),
            Self::Method => ("Links can only be followed.", "链接仅支持访问。"),
            Self::Refused => (
                "This link leads to a place that visitors are not sent to.",
                "此链接指向的位置不允许跳转。",
            ),
            Self::Loop => ("This link leads back to itself.", "此链接循环跳转。"),
            Self::Limited => {
                ("Too many requests. Please wait a moment.", "请求过于频繁，请稍候再试。")
            }
        }
    }

    /// The page as a response.
    pub(super) fn response(self, language: Language) -> Response<Full<Bytes>> {
        let (english, chinese) = self.words();
        let text = language.pick(english, chinese);
        self.with(language, text, &format!("<p>{text}</p>\n"))
    }

    /// A page of this title and body, both safe.
    fn with(self, language: Language, title: &str, body: &str) -> Response<Full<Bytes>> {
        let tag = language.tag();
        let page = format!(
            "<!doctype html>\n<html lang=\"{tag}\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n{body}</html>\n"
        );
        let mut response = Response::new(Full::from(page));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        super::respond::common(headers);
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

/// The longest value shown of what a list says of a rule, in characters.
const SHOWN_MAX: usize = 400;

/// The page of a jump that `hit` stops: who ordered it, under which number and why, in the visitor's
/// language first. `blocked_by` names who blocks (RFC 7725 §4); empty for nobody.
pub(super) fn blocked(hit: &Hit, language: Language, blocked_by: &str) -> Response<Full<Bytes>> {
    let (english, chinese) = Page::Blocked.words();
    let both = match language {
        Language::English => [Language::English, Language::Chinese],
        Language::Chinese => [Language::Chinese, Language::English],
    };
    let why = match &*hit.legal.reason {
        "" => &*hit.justification,
        reason => reason,
    };
    let mut body = String::new();
    for l in both {
        let text = l.pick(english, chinese);
        // Writing to a `String` cannot fail.
        write!(body, "<section lang=\"{}\">\n<p>{text}</p>\n<dl>\n", l.tag()).ok();
        for (name, value) in [
            (l.pick("Ordered by", "作出机关"), &*hit.legal.authority),
            (l.pick("Order number", "文号"), &hit.legal.order_number),
            (l.pick("Reason", "事由"), why),
            (l.pick("Whom to ask", "联系方式"), &hit.contact),
        ] {
            if !value.is_empty() {
                writeln!(body, "<dt>{name}</dt><dd>{}</dd>", shown(value)).ok();
            }
        }
        body.push_str("</dl>\n</section>\n");
    }
    let mut response = Page::Blocked.with(language, language.pick(english, chinese), &body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en, zh-CN"));
    if !blocked_by.is_empty()
        && let Ok(link) = HeaderValue::try_from(format!("<{blocked_by}>; rel=\"blocked-by\""))
    {
        headers.insert(header::LINK, link);
    }
    response
}

/// What a list says, cut and made safe for a page.
fn shown(value: &str) -> String {
    let cut: String = value.chars().take(SHOWN_MAX).collect();
    let mut out = String::with_capacity(cut.len());
    for c in escape::text(&cut).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_says_cannot_leave_its_place() {
        assert_eq!(shown("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
        assert_eq!(shown("依法\u{202e}"), "依法\\u{202e}");
        assert_eq!(shown(&"x".repeat(1_000)).len(), SHOWN_MAX);
    }
}
