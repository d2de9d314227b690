//! What a form or a program says.

use http::{HeaderMap, Uri, header};
use schemars::JsonSchema;
use serde::Deserialize;
use url::form_urlencoded;

use super::{REPORT_BYTES_MAX, subject::Subject};
use crate::{
    gateway::Language,
    reports::{Category, is_number},
};

/// What the address of a form says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) language: Option<Language>,
    /// The token of a notice.
    pub(super) notice: Option<String>,
    pub(super) subject: String,
    pub(super) category: String,
}

impl Given {
    pub(super) fn of(uri: &Uri) -> Self {
        let mut given = Self::default();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()) {
            match &*name {
                "lang" => given.language = language(&value),
                "notice" if !value.is_empty() => given.notice = Some(value.into_owned()),
                "subject" => given.subject = value.into_owned(),
                "category" => given.category = value.into_owned(),
                _ => {}
            }
        }
        given
    }
}

/// What is said of a report. What is not known is left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) form: String,
    pub(super) language: Option<Language>,
    pub(super) notice: Option<String>,
    pub(super) category: String,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) contact: String,
}

/// A report to be, as a program sends it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportGiven {
    /// What is said: one of the form's categories, `appeal` among them.
    category: String,
    /// A short URL, another URL, or a host; not needed with `notice`.
    #[serde(default)]
    subject: String,
    /// What happened; an appeal says why.
    #[serde(default)]
    text: String,
    /// How to reach whoever reports; an appeal needs it.
    #[serde(default)]
    contact: String,
    /// The token of the notice it is about.
    #[serde(default)]
    notice: Option<String>,
}

impl Fields {
    /// A form nobody has filled in.
    pub(super) fn opened(given: &Given, notice: Option<&Subject>) -> Self {
        Self {
            notice: given.notice.clone(),
            category: match Category::from_name(&given.category) {
                Some(category) => category.name().to_owned(),
                None => String::new(),
            },
            subject: notice.map_or_else(|| given.subject.clone(), |s| s.text.clone()),
            ..Self::default()
        }
    }

    pub(super) fn of_form(body: &[u8]) -> Self {
        let mut fields = Self::default();
        if body.len() > REPORT_BYTES_MAX {
            return fields;
        }
        for (name, value) in form_urlencoded::parse(body) {
            let value = value.into_owned();
            match &*name {
                "form" => fields.form = value,
                "lang" => fields.language = language(&value),
                "notice" if !value.is_empty() => fields.notice = Some(value),
                "category" => fields.category = value,
                "subject" => fields.subject = value,
                // Browsers send line ends as CRLF.
                "text" => fields.text = value.replace("\r\n", "\n"),
                "contact" => fields.contact = value,
                _ => {}
            }
        }
        fields
    }

    /// None for what is no JSON object of ours.
    pub(super) fn of_json(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok())?;
        let kind = kind.split(';').next().unwrap_or("").trim();
        if !kind.eq_ignore_ascii_case("application/json") || body.len() > REPORT_BYTES_MAX {
            return None;
        }
        let ReportGiven { category, subject, text, contact, notice } =
            serde_json::from_slice(body).ok()?;
        let notice = notice.filter(|n| !n.is_empty());
        Some(Self { category, subject, text, contact, notice, ..Self::default() })
    }
}

/// A number as people write it, and a secret; none where they cannot be such.
pub(super) fn number_and_secret(body: &[u8]) -> Option<(String, String)> {
    let (mut number, mut secret) = (String::new(), String::new());
    for (name, value) in form_urlencoded::parse(body.get(..body.len().min(1_024))?) {
        match &*name {
            "number" => number = value.to_ascii_uppercase().replace(['-', ' '], ""),
            "secret" => value.trim().clone_into(&mut secret),
            _ => {}
        }
    }
    let fits = is_number(&number) && secret.len() <= 64 && !secret.is_empty();
    let hex = secret.bytes().all(|b| b.is_ascii_hexdigit());
    (fits && hex).then_some((number, secret.to_ascii_lowercase()))
}

fn language(tag: &str) -> Option<Language> {
    match tag {
        "zh" => Some(Language::Chinese),
        "en" => Some(Language::English),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_objects_say_the_same() {
        let form = Fields::of_form(
            b"form=00&lang=zh&category=fraud&subject=bad.example&text=a%0D%0Ab&contact=&notice=&x=y",
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        let object = br#"{"category":"fraud","subject":"bad.example","text":"a\nb"}"#;
        let object = Fields::of_json(&headers, object).unwrap();
        assert_eq!(form.language, Some(Language::Chinese));
        assert_eq!(Fields { form: String::new(), language: None, ..form }, object);
        for bad in [&b"{}"[..], b"[]", b"", br#"{"category":"fraud","client":"x"}"#] {
            assert_eq!(Fields::of_json(&headers, bad), None);
        }
        headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(Fields::of_json(&headers, br#"{"category":"fraud"}"#), None);
    }

    #[test]
    fn a_number_is_read_as_people_write_it() {
        for (body, expected) in [
            ("number=abcd-1234-WXYZ&secret=00FF", Some(("ABCD1234WXYZ", "00ff"))),
            ("number=ABCD+1234+WXYZ&secret=+00ff+", Some(("ABCD1234WXYZ", "00ff"))),
            ("number=ABCD1234WXYZ&secret=", None),
            ("number=ABCD1234WXYZ&secret=../x", None),
            ("number=x&secret=00", None),
        ] {
            let expected = expected.map(|(n, s)| (n.to_owned(), s.to_owned()));
            assert_eq!(number_and_secret(body.as_bytes()), expected, "{body}");
        }
    }
}
