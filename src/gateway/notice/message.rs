//! Pages that are no notices: what went wrong, thanks, and the question for a password.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::{
    Error, Notices, Token,
    frame::{ANYWHERE, Fact, Frame, html},
};
use crate::{
    clock::Timestamp,
    gateway::{
        Language,
        told::{self, Told},
    },
};

/// The pages that are no notices.
pub(super) const MESSAGES: [&str; 16] = [
    "unknown",
    "disabled",
    "expired",
    "unresolved",
    "busy",
    "method",
    "refused",
    "loop",
    "limited",
    "not_yet",
    "used_up",
    "go_malformed",
    "go_unsigned",
    "go_expired",
    "returned",
    "reported",
];

#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    frame: Frame<'a>,
    text: String,
    facts: Vec<Fact>,
}

#[derive(Serialize)]
struct Password<'a> {
    #[serde(flatten)]
    frame: Frame<'a>,
    /// Whether one was given that is not it.
    wrong: bool,
}

impl Notices {
    /// A page that is no notice, by the name of its wording; `switches` where the same address can
    /// be asked for again in the other language.
    pub(in crate::gateway) fn message(
        &self,
        name: &'static str,
        status: StatusCode,
        language: Language,
        switches: bool,
    ) -> Response<Full<Bytes>> {
        self.message_with(name, status, language, switches, Vec::new())
    }

    /// The same with what is to be said of it.
    pub(in crate::gateway) fn message_with(
        &self,
        name: &'static str,
        status: StatusCode,
        language: Language,
        switches: bool,
        facts: Vec<told::Fact>,
    ) -> Response<Full<Bytes>> {
        let page = self.render_message(name, language, switches, &facts, String::new());
        let page = page.unwrap_or_else(|e| {
            tracing::error!(error = %e, page = name, "a page cannot be shown");
            status.as_str().to_owned()
        });
        let mut response = html(language, page, "'none'");
        *response.status_mut() = status;
        response.extensions_mut().insert(Told {
            code: name,
            words: ["message", name],
            language,
            facts,
        });
        response
    }

    /// The page that asks for a password. Its form goes to where it came from.
    pub(in crate::gateway) fn password(
        &self,
        language: Language,
        wrong: bool,
        switches: bool,
    ) -> Response<Full<Bytes>> {
        let status = StatusCode::FORBIDDEN;
        let page = self.render_password(language, wrong, switches).unwrap_or_else(|e| {
            tracing::error!(error = %e, page = "password", "a page cannot be shown");
            status.as_str().to_owned()
        });
        // What comes after the password may be anywhere.
        let mut response = html(language, page, ANYWHERE);
        *response.status_mut() = status;
        let (code, words) = ("password", ["password", ""]);
        response.extensions_mut().insert(Told { code, words, language, facts: Vec::new() });
        response
    }

    pub(super) fn render_password(
        &self,
        language: Language,
        wrong: bool,
        switches: bool,
    ) -> Result<String, Error> {
        let title = self.templates.text(language, &["password", "title"]);
        let frame = self.frame(language, title, switches);
        self.templates.render("password.html", &Password { frame, wrong })
    }

    pub(super) fn render_message(
        &self,
        name: &str,
        language: Language,
        switches: bool,
        facts: &[told::Fact],
        report_url: String,
    ) -> Result<String, Error> {
        let text = |key| self.templates.text(language, &["message", name, key]);
        let mut frame = self.frame(language, text("title"), switches);
        if matches!(name, "returned" | "reported") {
            frame.help = self.help(language);
        }
        if name == "reported" {
            frame.appeal_url = Cow::Borrowed(&self.config.appeal_url);
        }
        frame.report_url = report_url;
        let facts = facts.iter().filter_map(|f| self.shown(f, language)).collect();
        self.templates.render("message.html", &Message { text: text("text"), frame, facts })
    }

    /// A fact in words; none for what is for programs alone.
    fn shown(&self, fact: &told::Fact, language: Language) -> Option<Fact> {
        let word = |table, key: &str| self.templates.text(language, &[table, key]);
        let (name, value) = match fact {
            told::Fact::Since(at) => ("since", instant(*at)),
            told::Fact::Ended(at) => ("ended", instant(*at)),
            told::Fact::StoppedBy(by) => ("stopped_by", word("stopped_by", by)),
            told::Fact::PublicReason(reason) => ("reason", word("public_reason", reason)),
            told::Fact::Reason(_) | told::Fact::Said(..) => return None,
        };
        (!value.is_empty()).then_some(Fact { name, value })
    }

    /// Thanks for a report by one press, and the way to say more.
    pub(in crate::gateway) fn reported(&self, token: &Token) -> Response<Full<Bytes>> {
        let language = token.language;
        let more = match self.reports {
            true => format!("/report?notice={}", self.tokens.write(token)),
            false => String::new(),
        };
        match self.render_message("reported", language, false, &[], more) {
            Ok(page) => html(language, page, "'none'"),
            Err(_) => self.message("reported", StatusCode::OK, language, false),
        }
    }
}

/// An instant for people.
fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    let cut = text.split('.').next().unwrap_or(&text);
    format!("{} UTC", cut.replace('T', " "))
}
