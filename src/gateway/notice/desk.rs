//! The pages of reports, in the templates and wording of notices.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::{
    Error, Notices,
    frame::{Frame, html},
};
use crate::gateway::{Language, report::Desk};

#[derive(Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    frame: Frame<'a>,
    #[serde(flatten)]
    of: &'a Desk,
}

impl Notices {
    /// A text of the wording, such as `report.title`.
    pub(in crate::gateway) fn words(&self, language: Language, path: &[&str]) -> String {
        self.templates.text(language, path)
    }

    /// A page of reports; `title` is a key of the wording, `other` its place in the other language.
    pub(in crate::gateway) fn desk(
        &self,
        language: Language,
        status: StatusCode,
        title: &str,
        other: Option<String>,
        of: &Desk,
    ) -> Response<Full<Bytes>> {
        match self.render_desk(language, title, other, of) {
            Ok(page) => {
                let mut response = html(language, page, "'self'");
                *response.status_mut() = status;
                response
            }
            Err(e) => {
                tracing::error!(error = %e, "a page of reports cannot be shown");
                self.message("busy", StatusCode::SERVICE_UNAVAILABLE, language, false)
            }
        }
    }

    fn render_desk(
        &self,
        language: Language,
        title: &str,
        other: Option<String>,
        of: &Desk,
    ) -> Result<String, Error> {
        let frame = self.frame_at(language, self.words(language, &["report", title]), other);
        self.templates.render("report.html", &Page { frame, of })
    }

    /// Renders each once.
    pub(super) fn try_desk(&self, language: Language) -> Result<(), Error> {
        for of in Desk::examples(self, language) {
            self.render_desk(language, "title", None, &of)?;
        }
        Ok(())
    }
}
