//! What a visitor sees who is not sent on, and to whom no rule says more.
//!
//! These pages hold nothing that a request or a link brought along. What a rule says is shown by
//! [notices](super::notice).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{Language, notice::Notices, told::Fact};

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
    /// A method other than those that make sense here.
    Method,
    /// Where the target leads now, nobody may be sent.
    Refused,
    /// The way leads back to us.
    Loop,
    /// Too many requests.
    Limited,
    /// The link may not be followed yet.
    NotYet,
    /// It was followed as often as it may be.
    UsedUp,
    /// It has a password; the page is a form of its own.
    Password,
    /// An outbound page is asked for in a way that can be read in two, or not at all.
    GoMalformed,
    /// Nobody has signed where it leads.
    GoUnsigned,
    /// What was signed has ended.
    GoExpired,
}

impl Page {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Unknown | Self::NotYet => StatusCode::NOT_FOUND,
            Self::Disabled | Self::Expired | Self::UsedUp | Self::GoExpired => StatusCode::GONE,
            Self::GoMalformed => StatusCode::BAD_REQUEST,
            Self::Unresolved | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused | Self::Password | Self::GoUnsigned => StatusCode::FORBIDDEN,
            // RFC 5842 section 7.2.
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The name of its wording.
    const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Unresolved => "unresolved",
            Self::Busy => "busy",
            Self::Method => "method",
            Self::Refused => "refused",
            Self::Loop => "loop",
            Self::Limited => "limited",
            Self::NotYet => "not_yet",
            Self::UsedUp => "used_up",
            Self::Password => "password",
            Self::GoMalformed => "go_malformed",
            Self::GoUnsigned => "go_unsigned",
            Self::GoExpired => "go_expired",
        }
    }

    /// The page as a response.
    pub(super) fn response(self, notices: &Notices, language: Language) -> Response<Full<Bytes>> {
        // Whoever used another method would not get the same page again.
        self.with(notices, language, self != Self::Method, Vec::new())
    }

    /// The same with what is to be said; `switches` where the address can be asked for again in the
    /// other language.
    pub(super) fn with(
        self,
        notices: &Notices,
        language: Language,
        switches: bool,
        facts: Vec<Fact>,
    ) -> Response<Full<Bytes>> {
        let mut response =
            notices.message_with(self.name(), self.status(), language, switches, facts);
        let headers = response.headers_mut();
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
