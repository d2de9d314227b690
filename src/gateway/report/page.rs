//! The pages of the desk, from the templates of notices.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use url::form_urlencoded;

use super::{Subject, Wrong, fields::Fields, reply, tag};
use crate::{
    clock::Timestamp,
    gateway::{
        Language,
        notice::Notices,
        worker::{Asked, Worker},
    },
    reports::{Category, Reports, Standing, pretty},
};

/// What the template is given; one of the three is there.
#[derive(Default, Serialize)]
pub(in crate::gateway) struct Desk {
    form: Option<Form>,
    state: Option<State>,
    look: Option<Look>,
    abuse_contact: String,
}

#[derive(Serialize)]
struct Form {
    token: String,
    lang: &'static str,
    notice: String,
    /// Whether the subject is known from a notice.
    known: bool,
    subject: String,
    text: String,
    contact: String,
    text_max: usize,
    contact_max: usize,
    categories: Vec<Choice>,
    days: u64,
    wrong: String,
    /// The field it is about, which is where it is said; empty for the form as a whole.
    field: &'static str,
}

#[derive(Serialize)]
struct Choice {
    word: &'static str,
    name: String,
    chosen: bool,
}

#[derive(Serialize)]
struct State {
    number: String,
    secret: String,
    subject: String,
    category: String,
    received: String,
    due: String,
    state: String,
    decided: String,
    decision: String,
    answer: String,
}

#[derive(Serialize)]
struct Look {
    lang: &'static str,
    wrong: bool,
}

impl Worker {
    pub(super) fn form(
        &self,
        desk: &Reports,
        asked: &Asked<'_>,
        fields: &Fields,
        notice: Option<&Subject>,
        wrong: Option<&Wrong>,
    ) -> Response<Full<Bytes>> {
        let notices = &self.gateway.parts.notices;
        let Ok(nonce) = desk.forms().nonce() else {
            return notices.message("busy", StatusCode::SERVICE_UNAVAILABLE, asked.language, false);
        };
        // The same form sent twice is one report; one that was refused is tried again.
        let token = match desk.forms().read(&fields.form, asked.now) {
            Some(_) => fields.form.clone(),
            None => desk.forms().token(&nonce, asked.now),
        };
        let config = desk.config();
        let form = Form {
            token,
            lang: tag(asked.language),
            notice: fields.notice.clone().unwrap_or_default(),
            known: notice.is_some(),
            subject: fields.subject.clone(),
            text: fields.text.clone(),
            contact: fields.contact.clone(),
            text_max: config.text_bytes_max,
            contact_max: config.contact_bytes_max,
            categories: choices(notices, asked.language, &fields.category),
            days: config.decide_within_s.div_ceil(86_400),
            wrong: wrong.map_or_else(String::new, |w| self.said(w, asked.language)),
            field: match wrong {
                Some(Wrong::Field(name)) => name,
                _ => "",
            },
        };
        // What was written is lost on the way; what the address said is not.
        let mut other = format!("/report?lang={}", other(asked.language));
        let notice_token = fields.notice.as_deref().unwrap_or("");
        let subject = if notice.is_some() { "" } else { &*fields.subject };
        for (name, value) in
            [("notice", notice_token), ("subject", subject), ("category", &fields.category)]
        {
            if !value.is_empty() {
                other.extend(["&", name, "="]);
                other.extend(form_urlencoded::byte_serialize(value.as_bytes()));
            }
        }
        let of = Desk { form: Some(form), ..self.desk() };
        let status = wrong.map_or(StatusCode::OK, Wrong::status);
        let mut response = notices.desk(asked.language, status, "title", Some(other), &of);
        if let Some(wrong) = wrong {
            reply::wait(wrong, response.headers_mut());
        }
        response
    }

    pub(super) fn look(&self, asked: &Asked<'_>, wrong: bool) -> Response<Full<Bytes>> {
        let of = Desk { look: Some(Look { lang: tag(asked.language), wrong }), ..self.desk() };
        let status = if wrong { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let other = format!("/report/look?lang={}", other(asked.language));
        self.gateway.parts.notices.desk(asked.language, status, "look_title", Some(other), &of)
    }

    pub(super) fn state_page(
        &self,
        asked: &Asked<'_>,
        standing: &Standing,
    ) -> Response<Full<Bytes>> {
        let (notices, report) = (&self.gateway.parts.notices, &standing.report);
        let say = |of: &str, word: &str| notices.words(asked.language, &["report", of, word]);
        let last = standing.steps.last();
        let overdue = standing.is_overdue(asked.now);
        let state = State {
            number: pretty(&report.number),
            secret: asked.uri.path().rsplit('/').next().unwrap_or("").to_owned(),
            subject: report.subject.clone(),
            category: say("kind", report.category.name()),
            received: minute(report.received),
            due: minute(report.due),
            state: say("state", if overdue { "overdue" } else { standing.state() }),
            decided: last.map_or_else(String::new, |s| minute(s.ts)),
            decision: last.map_or_else(String::new, |s| say("decision", s.decision.name())),
            answer: last.map_or_else(String::new, |s| s.answer.clone()),
        };
        let other = format!("?lang={}", other(asked.language));
        let of = Desk { state: Some(state), ..self.desk() };
        notices.desk(asked.language, StatusCode::OK, "state_title", Some(other), &of)
    }

    /// What is wrong, in the visitor's language.
    pub(super) fn said(&self, wrong: &Wrong, language: Language) -> String {
        self.gateway.parts.notices.words(language, &["report", "wrong", wrong.name()])
    }

    fn desk(&self) -> Desk {
        let abuse_contact = self.gateway.parts.config.abuse_contact.clone();
        Desk { abuse_contact, ..Desk::default() }
    }
}

impl Desk {
    /// One of each page, so that a template's mistake stops the start and no visitor.
    pub(in crate::gateway) fn examples(notices: &Notices, language: Language) -> [Self; 3] {
        let text = || "x".to_owned();
        let form = Form {
            token: text(),
            lang: "zh",
            notice: text(),
            known: true,
            subject: text(),
            text: text(),
            contact: text(),
            text_max: 1,
            contact_max: 1,
            categories: choices(notices, language, "fraud"),
            days: 3,
            wrong: text(),
            field: "subject",
        };
        let state = State {
            number: text(),
            secret: text(),
            subject: text(),
            category: text(),
            received: text(),
            due: text(),
            state: text(),
            decided: text(),
            decision: text(),
            answer: text(),
        };
        [
            Self { form: Some(form), ..Self::default() },
            Self { state: Some(state), abuse_contact: text(), ..Self::default() },
            Self { look: Some(Look { lang: "zh", wrong: true }), ..Self::default() },
        ]
    }
}

fn choices(notices: &Notices, language: Language, chosen: &str) -> Vec<Choice> {
    let choice = |c: &Category| Choice {
        word: c.name(),
        name: notices.words(language, &["report", "kind", c.name()]),
        chosen: c.name() == chosen,
    };
    Category::ALL.iter().map(choice).collect()
}

const fn other(language: Language) -> &'static str {
    match language {
        Language::English => "zh",
        Language::Chinese => "en",
    }
}

/// A time to the minute.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}
