//! `/report`: the public reports a link, a URL, a host or a notice, or appeals against a block.
//!
//! | request | answer |
//! |---|---|
//! | GET `/report`, `?notice={token}`, `?subject=…` | the form, which carries a signed token |
//! | POST `/report` | 303 to the report's own page, or the form with what is wrong |
//! | GET `/report/{number}/{secret}` | how it stands |
//! | GET, POST `/report/look` | asks for number and secret; 303 to that page |
//! | POST `/api/v1/reports` | 201 and a JSON object, or a problem (RFC 9457) |
//! | GET `/api/v1/reports/{number}/{secret}` | the same state as JSON |
//!
//! No script, no cookie, no third party. A form is taken only with the token it was shown with, and
//! from our own pages; the API takes JSON alone, which no form of a foreign page can send. Each
//! client prefix has a quota. A report of a notice has the notice's flow, and the event `reported`
//! of that notice is recorded with it.
//!
//! Nothing here is a jump: requests are counted, and what is kept is the report.

mod fields;
mod page;
mod reply;
mod subject;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::Full;

pub(in crate::gateway) use self::page::Desk;
pub use self::{
    fields::ReportGiven,
    reply::{ReportStanding, ReportTaken},
};
use self::{
    fields::{Fields, Given},
    subject::Subject,
};
use super::{
    Language,
    limit::Over,
    notice::{Refused, Token, is_elsewhere},
    page::Page,
    worker::{Asked, Worker},
};
use crate::reports::{self, Category, NewReport, Receipt, Reports, is_number};

/// The largest report read, in bytes: every character of its text may take nine.
pub(super) const REPORT_BYTES_MAX: usize = 65_536;

/// What a request wants of the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// The form, or what it sends.
    Form,
    /// The page that asks for number and secret.
    Look,
    /// How a report stands; as JSON, if so.
    State(&'a str, &'a str, bool),
    /// What a program sends.
    Api,
}

/// What the path asks for; none where it does not concern reports.
pub(super) fn wanted(path: &str) -> Option<Wanted<'_>> {
    match path {
        "/report" => Some(Wanted::Form),
        "/report/look" => Some(Wanted::Look),
        "/api/v1/reports" => Some(Wanted::Api),
        _ => {
            let page = path.strip_prefix("/report/").map(|rest| (rest, false));
            let api = || path.strip_prefix("/api/v1/reports/").map(|rest| (rest, true));
            let (rest, json) = page.or_else(api)?;
            let (number, secret) = rest.split_once('/')?;
            let fits = is_number(number) && !secret.contains('/');
            fits.then_some(Wanted::State(number, secret, json))
        }
    }
}

/// The most bytes of a body that are read for this path.
pub fn body_bytes_max(path: &str) -> usize {
    match wanted(path) {
        Some(_) => REPORT_BYTES_MAX,
        None => super::FORM_BYTES_MAX,
    }
}

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The form is not ours, or was open for too long.
    Form,
    /// The body is no form, or no such object.
    Body,
    /// The body is too long.
    Long,
    /// Something in it, by its name.
    Field(&'static str),
    /// Too many of this client.
    Limited(Over),
    /// It cannot be kept now.
    Busy,
    /// There is no report with this number and secret.
    Unknown,
}

impl Wrong {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Form => StatusCode::FORBIDDEN,
            Self::Body => StatusCode::BAD_REQUEST,
            Self::Long => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Field(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::NOT_FOUND,
        }
    }

    /// The name of its wording.
    const fn name(&self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Body => "body",
            Self::Long => "long",
            Self::Field(name) => name,
            Self::Limited(_) => "limited",
            Self::Busy => "busy",
            Self::Unknown => "look",
        }
    }
}

impl Worker {
    /// Answers a request that concerns reports.
    pub(super) async fn report(
        &self,
        asked: &Asked<'_>,
        wanted: Wanted<'_>,
        body: &[u8],
    ) -> Response<Full<Bytes>> {
        let given = Given::of(asked.uri);
        let asked = Asked { language: given.language.unwrap_or(asked.language), ..*asked };
        let Some(desk) = self.gateway.parts.reports.clone() else {
            return Page::Unknown.response(&self.gateway.parts.notices, asked.language);
        };
        let gets = matches!(*asked.method, Method::GET | Method::HEAD);
        let posts = *asked.method == Method::POST;
        match wanted {
            Wanted::Form if gets => {
                let token = self.token(given.notice.as_deref(), &asked);
                let notice = self.notice(token.as_ref()).await;
                let fields = Fields::opened(&given, notice.as_ref());
                self.form(&desk, &asked, &fields, notice.as_ref(), None)
            }
            Wanted::Form if posts => self.submitted(&desk, &asked, body).await,
            Wanted::Look if gets => self.look(&asked, false),
            Wanted::Look if posts => match fields::number_and_secret(body) {
                Some((number, secret)) => {
                    let lang = tag(asked.language);
                    reply::see_other(&format!("/report/{number}/{secret}?lang={lang}"))
                }
                None => self.look(&asked, true),
            },
            Wanted::State(number, secret, json) if gets => {
                self.state(&desk, &asked, (number, secret), json).await
            }
            Wanted::Api if posts => self.posted(&desk, &asked, body).await,
            _ => self.no_method(&asked, wanted),
        }
    }

    /// A form that was sent.
    async fn submitted(
        &self,
        desk: &Arc<Reports>,
        asked: &Asked<'_>,
        body: &[u8],
    ) -> Response<Full<Bytes>> {
        let fields = Fields::of_form(body);
        let asked = &Asked { language: fields.language.unwrap_or(asked.language), ..*asked };
        let token = self.token(fields.notice.as_deref(), asked);
        let notice = self.notice(token.as_ref()).await;
        let nonce = match desk.forms().read(&fields.form, asked.now) {
            _ if is_too_long(asked.headers) => Err(Wrong::Long),
            Some(nonce) if !is_elsewhere(asked) => Ok(nonce),
            _ => Err(Wrong::Form),
        };
        let taken = match nonce {
            Ok(nonce) => {
                self.take(desk, asked, &fields, token.as_ref(), notice.as_ref(), nonce).await
            }
            Err(wrong) => Err(wrong),
        };
        match taken {
            Ok(Receipt { number, secret, .. }) => {
                reply::see_other(&format!("/report/{number}/{secret}?lang={}", tag(asked.language)))
            }
            Err(wrong) => self.form(desk, asked, &fields, notice.as_ref(), Some(&wrong)),
        }
    }

    /// A report by a program.
    async fn posted(
        &self,
        desk: &Arc<Reports>,
        asked: &Asked<'_>,
        body: &[u8],
    ) -> Response<Full<Bytes>> {
        let fields = match Fields::of_json(asked.headers, body) {
            _ if is_too_long(asked.headers) => Err(Wrong::Long),
            Some(fields) => Ok(fields),
            None => Err(Wrong::Body),
        };
        let taken = match fields {
            Ok(fields) => {
                let token = self.token(fields.notice.as_deref(), asked);
                let notice = self.notice(token.as_ref()).await;
                match desk.forms().nonce() {
                    Ok(nonce) => {
                        self.take(desk, asked, &fields, token.as_ref(), notice.as_ref(), nonce)
                            .await
                    }
                    Err(_) => Err(Wrong::Busy),
                }
            }
            Err(wrong) => Err(wrong),
        };
        match taken {
            Ok(receipt) => reply::created(&receipt),
            Err(wrong) => {
                reply::problem(&wrong, asked.language, &self.said(&wrong, asked.language))
            }
        }
    }

    /// Takes a report; everything that may be wrong with it is found here.
    async fn take(
        &self,
        desk: &Arc<Reports>,
        asked: &Asked<'_>,
        fields: &Fields,
        token: Option<&Token>,
        notice: Option<&Subject>,
        nonce: [u8; 16],
    ) -> Result<Receipt, Wrong> {
        let client = asked.peer.client;
        let category = Category::from_name(&fields.category).ok_or(Wrong::Field("category"))?;
        let subject = match notice {
            Some(subject) => subject.clone(),
            None => self.subject(&fields.subject).await.ok_or(Wrong::Field("subject"))?,
        };
        let subject = self.judged(subject, token, asked.now);
        let new = NewReport {
            nonce,
            category,
            kind: subject.kind,
            subject: subject.text,
            host: subject.host,
            rule: subject.rule,
            code: subject.code,
            text: fields.text.clone(),
            contact: fields.contact.clone(),
            client,
            feed: subject.feed,
            flow: token.map_or(asked.flow, |t| t.flow),
        };
        if let Err(reports::Error::Missing(what) | reports::Error::TooLong(what, _)) =
            desk.check(&new)
        {
            return Err(Wrong::Field(what));
        }
        // What is not understood uses up nothing; how often that is tried is bounded for all requests.
        if let Some(over) = self.gateway.limits.report(client.ip(), asked.began) {
            self.gateway.parts.metrics.gateway.limited.increment(1);
            return Err(Wrong::Limited(over));
        }
        let desk = Arc::clone(desk);
        match tokio::task::spawn_blocking(move || desk.receive(&new)).await {
            Ok(Ok(receipt)) => match token {
                // Who is told to come back is given the same receipt then.
                Some(token) if self.note(asked, token, "reported").await.is_some() => {
                    Err(Wrong::Busy)
                }
                _ => Ok(receipt),
            },
            Ok(Err(reports::Error::Missing(what) | reports::Error::TooLong(what, _))) => {
                Err(Wrong::Field(what))
            }
            // Counted, and told by the gauge of those that are open.
            Ok(Err(reports::Error::TooMany(_))) => Err(Wrong::Busy),
            Ok(Err(error)) => {
                tracing::error!(%error, "a report cannot be taken");
                Err(Wrong::Busy)
            }
            Err(error) => {
                tracing::error!(%error, "a report cannot be taken");
                Err(Wrong::Busy)
            }
        }
    }

    /// The notice that a report is about: ours, however long ago it was shown.
    fn token(&self, text: Option<&str>, asked: &Asked<'_>) -> Option<Token> {
        match self.gateway.parts.notices.read(text?, asked.now) {
            Ok(token) => Some(token),
            Err(Refused::Expired(token)) => Some(*token),
            Err(Refused::Forged) => None,
        }
    }

    /// How a report stands.
    async fn state(
        &self,
        desk: &Arc<Reports>,
        asked: &Asked<'_>,
        (number, secret): (&str, &str),
        json: bool,
    ) -> Response<Full<Bytes>> {
        let (of, number, secret) = (Arc::clone(desk), number.to_owned(), secret.to_owned());
        let found = tokio::task::spawn_blocking(move || of.find(&number, &secret)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::error!(%error, "reports cannot be read");
                return Page::Busy.response(&self.gateway.parts.notices, asked.language);
            }
            Err(_) => return Page::Busy.response(&self.gateway.parts.notices, asked.language),
        };
        match found {
            Some(standing) if json => reply::state(&standing, asked.now),
            Some(standing) => self.state_page(asked, &standing),
            None if json => {
                let said = self.said(&Wrong::Unknown, asked.language);
                reply::problem(&Wrong::Unknown, asked.language, &said)
            }
            None => self.look(asked, true),
        }
    }

    fn no_method(&self, asked: &Asked<'_>, wanted: Wanted<'_>) -> Response<Full<Bytes>> {
        let mut response = Page::Method.response(&self.gateway.parts.notices, asked.language);
        let allowed = match wanted {
            Wanted::Form | Wanted::Look => "GET, HEAD, POST",
            Wanted::State(..) => "GET, HEAD",
            Wanted::Api => "POST",
        };
        response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static(allowed));
        response
    }
}

/// How addresses of pages say a language.
const fn tag(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::Chinese => "zh",
    }
}

/// Whether a body was left out because it is longer than is read.
fn is_too_long(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    length.and_then(|l| l.parse::<u64>().ok()).is_some_and(|l| l > REPORT_BYTES_MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_reports_are_told_from_codes() {
        for (path, expected) in [
            ("/report", Some(Wanted::Form)),
            ("/report/look", Some(Wanted::Look)),
            ("/api/v1/reports", Some(Wanted::Api)),
            ("/report/ABCD1234WXYZ/00ff", Some(Wanted::State("ABCD1234WXYZ", "00ff", false))),
            (
                "/api/v1/reports/ABCD1234WXYZ/00ff",
                Some(Wanted::State("ABCD1234WXYZ", "00ff", true)),
            ),
            ("/report/abcd1234wxyz/00ff", None),
            ("/report/ABCD1234WXYZ", None),
            ("/report/ABCD1234WXYZ/00/ff", None),
            ("/reports", None),
            ("/report/", None),
            ("/api/v1/links", None),
            ("/reporter", None),
        ] {
            assert_eq!(wanted(path), expected, "{path}");
        }
    }
}
