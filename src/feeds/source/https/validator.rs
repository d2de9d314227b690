//! What a server is asked with, so that it need not send what we have.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The longest value kept, in bytes; longer ones are not asked with.
const VALUE_BYTES_MAX: usize = 1_024;

/// An entity tag and a time of the last change, as the server wrote them; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validator {
    etag: String,
    modified: String,
}

impl Validator {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value = |name: HeaderName| {
            let value = headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
            if value.len() > VALUE_BYTES_MAX { String::new() } else { value.to_owned() }
        };
        Self { etag: value(header::ETAG), modified: value(header::LAST_MODIFIED) }
    }

    /// Adds what asks for a newer one alone.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        // The tag decides where there is one (RFC 9110 §13.1.3).
        for (name, value) in
            [(header::IF_NONE_MATCH, &self.etag), (header::IF_MODIFIED_SINCE, &self.modified)]
        {
            if let Ok(value) = HeaderValue::from_str(value)
                && !value.is_empty()
            {
                headers.insert(name, value);
            }
        }
    }

    fn read(lines: &mut std::str::Lines<'_>) -> Self {
        let mut line = || lines.next().unwrap_or_default().to_owned();
        Self { etag: line(), modified: line() }
    }
}

/// The validators of a list and of its manifest, as they are kept: a line each. Header values have
/// no line ends.
pub(super) fn join(list: &Validator, manifest: Option<&Validator>) -> String {
    let Validator { etag, modified } = list;
    let manifest = manifest.map(|m| format!("{}\n{}\n", m.etag, m.modified)).unwrap_or_default();
    format!("{etag}\n{modified}\n{manifest}")
}

/// The inverse.
pub(super) fn split(text: &str) -> (Validator, Validator) {
    let mut lines = text.lines();
    (Validator::read(&mut lines), Validator::read(&mut lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_read_again() {
        let validator =
            |etag: &str, modified: &str| Validator { etag: etag.into(), modified: modified.into() };
        let (a, b) = (validator("\"x\"", "yesterday"), validator("", "today"));
        assert_eq!(split(&join(&a, Some(&b))), (a.clone(), b.clone()));
        assert_eq!(split(&join(&b, None)), (b, Validator::default()));
        assert_eq!(split(""), (Validator::default(), Validator::default()));
        let mut headers = HeaderMap::new();
        a.ask(&mut headers);
        assert_eq!(headers[header::IF_NONE_MATCH], "\"x\"");
        let mut long = HeaderMap::new();
        long.insert(header::ETAG, HeaderValue::from_str(&"x".repeat(2_000)).unwrap());
        assert_eq!(Validator::of(&long), Validator::default());
    }
}
