//! ETags: what an edit may depend on (RFC 9110 §13.1.1).
//!
//! Whoever sends the ETag that they saw as `If-Match` changes that and nothing newer: 412 otherwise.
//! Whoever sends none does not mind. Each thing that can be changed has one, and it changes with it.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use super::Problem;

/// The ETag that `If-Match` names, without its quotes; none for none and for `*`.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut given = headers.get_all(header::IF_MATCH).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return match headers.contains_key(header::IF_MATCH) {
            true => Err(bad()),
            false => Ok(None),
        };
    };
    let text = value.to_str().unwrap_or("").trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    tag.filter(|tag| !tag.contains('"')).map(Some).ok_or_else(bad)
}

/// An `If-Match` that is no ETag of ours.
pub(super) fn bad() -> Problem {
    Problem::bad_request("If-Match is one ETag of this API, such as \"3\"")
}

/// Gives a response its ETag.
pub(super) fn tagged(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_strong_tag_counts() {
        let none = HeaderMap::new();
        assert_eq!(if_match(&none).ok(), Some(None));
        for (value, expected) in [
            ("\"3\"", Some(Some("3"))),
            (" \"open-0\" ", Some(Some("open-0"))),
            ("*", Some(None)),
            ("3", None),
            ("W/\"3\"", None),
            ("\"3\", \"4\"", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, value.parse().unwrap());
            assert_eq!(if_match(&headers).ok(), expected, "{value}");
            headers.append(header::IF_MATCH, "\"5\"".parse().unwrap());
            assert!(if_match(&headers).is_err(), "{value}");
        }
    }
}
