//! The target of one jump: the link's, and what is handed on of the visitor's path and query.
//!
//! What is handed on is only ever added behind the target's own path and query. Scheme, user
//! information, host and port are the target's, whatever a visitor asks; a path does not climb out of
//! the target's (`..`, also in disguise); a parameter that the target has of its own is not handed
//! on, so that nobody sets another amount or recipient. Before anything is sent, what was put together
//! is read again as a browser would, and held against the target.

use std::collections::HashSet;

use http::HeaderValue;
use url::{Url, form_urlencoded};

use super::Link;

/// Where a visitor is sent whose path or query is handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Onward {
    /// The URL: its WHATWG serialisation.
    pub target: String,
    /// The same for `Location`.
    pub location: HeaderValue,
    /// What was handed on, as it stands behind the code: to ask for the same again.
    pub rest: String,
}

/// What a visitor asked beyond the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond<'a> {
    /// The rest of the path, without the slash before it.
    pub path: &'a str,
    /// The query, without the question mark.
    pub query: &'a str,
}

impl Beyond<'_> {
    /// As it stands behind the code.
    pub(crate) fn rest(&self) -> String {
        let slash = if self.path.is_empty() { "" } else { "/" };
        let mark = if self.query.is_empty() { "" } else { "?" };
        [slash, self.path, mark, self.query].concat()
    }
}

/// Where `link` leads a visitor who asked for more than its code; none for its target as it is.
///
/// # Errors
/// The reason it leads nowhere, as a code.
pub(crate) fn onward(
    link: &Link,
    beyond: Beyond<'_>,
    length_max: usize,
) -> Result<Option<Onward>, &'static str> {
    let Some(settings) = link.settings() else { return Ok(None) };
    let path = if settings.forward_path { beyond.path } else { "" };
    let query = if settings.forward_query { beyond.query } else { "" };
    if path.is_empty() && query.is_empty() {
        return Ok(None);
    }
    joined(&link.target, path, query, length_max).map(Some)
}

fn joined(
    target: &str,
    path: &str,
    query: &str,
    length_max: usize,
) -> Result<Onward, &'static str> {
    let own = Url::parse(target).map_err(|_| "target_malformed")?;
    let mut url = own.clone();
    if !path.is_empty() {
        if climbs(path) {
            return Err("path_not_forwarded");
        }
        let before = own.path().strip_suffix('/').unwrap_or(own.path());
        url.set_path(&format!("{before}/{path}"));
    }
    let query = without_own(own.query().unwrap_or(""), query);
    let rest = Beyond { path, query: &query }.rest();
    if !query.is_empty() {
        let all = match own.query().filter(|q| !q.is_empty()) {
            Some(before) => format!("{before}&{query}"),
            None => query,
        };
        url.set_query(Some(&all));
    }
    let text = String::from(url);
    if text.len() > length_max {
        return Err("target_too_long");
    }
    let location = HeaderValue::from_str(&text).map_err(|_| "path_not_forwarded")?;
    match is_behind(&own, &text) {
        true => Ok(Onward { target: text, location, rest }),
        false => Err("path_not_forwarded"),
    }
}

/// Whether a path would lead out of the one it is put behind (WHATWG URL, path state).
fn climbs(path: &str) -> bool {
    let dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    path.contains('\\') || path.split('/').any(dots)
}

/// `query` without the parameters that `own` has.
fn without_own(own: &str, query: &str) -> String {
    let name = |pair: &str| {
        form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned())
    };
    let taken: HashSet<String> = own.split('&').filter_map(name).collect();
    let handed = query.split('&').filter(|pair| name(pair).is_some_and(|n| !taken.contains(&n)));
    handed.collect::<Vec<_>>().join("&")
}

/// Whether `text` reads as `own` with something added behind its path and its query.
fn is_behind(own: &Url, text: &str) -> bool {
    let Ok(read) = Url::parse(text) else { return false };
    let place = |u: &Url| {
        let user = (u.username().to_owned(), u.password().map(str::to_owned));
        (u.scheme().to_owned(), user, u.host().map(|h| h.to_owned()), u.port())
    };
    let path = own.path().strip_suffix('/').unwrap_or(own.path());
    let query = own.query().unwrap_or("");
    read.as_str() == text
        && place(&read) == place(own)
        && read.path().starts_with(path)
        && read.query().unwrap_or("").starts_with(query)
        && read.fragment() == own.fragment()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_handed_on_comes_behind_what_is_the_targets_own() {
        for (target, path, query, expected) in [
            ("https://h.com/", "a/b", "", Ok("https://h.com/a/b")),
            ("https://h.com/x", "a", "", Ok("https://h.com/x/a")),
            ("https://h.com/x/", "a", "q=1", Ok("https://h.com/x/a?q=1")),
            ("https://h.com/?a=1#f", "", "b=2&c=3", Ok("https://h.com/?a=1&b=2&c=3#f")),
            (
                "https://h.com/?amount=1",
                "",
                "amount=9&b=2&am%6Funt=8",
                Ok("https://h.com/?amount=1&b=2"),
            ),
            ("https://h.com/?", "", "b=2", Ok("https://h.com/?b=2")),
            ("https://h.com/", "/evil.com/", "", Ok("https://h.com//evil.com/")),
            ("https://h.com:8443/", "@evil.com", "", Ok("https://h.com:8443/@evil.com")),
            ("https://h.com/", "https://evil.com", "", Ok("https://h.com/https://evil.com")),
            ("https://h.com/x", "%0d%0aSet-Cookie:a", "", Ok("https://h.com/x/%0d%0aSet-Cookie:a")),
            ("https://h.com/x", "../y", "", Err("path_not_forwarded")),
            ("https://h.com/x", "a/%2E%2e/y", "", Err("path_not_forwarded")),
            ("https://h.com/x", "a/.", "", Err("path_not_forwarded")),
            ("https://h.com/x", "\\evil.com", "", Err("path_not_forwarded")),
            (
                "https://h.com/x",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "",
                Err("target_too_long"),
            ),
        ] {
            let got = joined(target, path, query, 60);
            assert_eq!(
                got.as_ref().map(|o| o.target.as_str()).map_err(|e| *e),
                expected,
                "{target} {path} {query}"
            );
        }
    }

    proptest! {
        /// Whatever a visitor asks, a browser that reads `Location` is at the target, and behind it.
        #[test]
        fn nobody_is_led_elsewhere(
            target in prop::sample::select(vec![
                "https://h.com/", "http://h.com:81/a/b?c=d#e", "https://h.com/?x=", "https://u@h.com/a/",
            ]),
            path in "[!-~\u{80}-\u{ff}]{0,40}",
            query in "[!-~\u{80}-\u{ff}]{0,40}",
        ) {
            if let Ok(onward) = joined(target, &path, &query, 4_096) {
                let (own, read) = (Url::parse(target).unwrap(), Url::parse(&onward.target).unwrap());
                prop_assert_eq!(onward.location.to_str().unwrap(), read.as_str());
                prop_assert_eq!(own.origin(), read.origin());
                prop_assert_eq!(own.username(), read.username());
                prop_assert_eq!(own.fragment(), read.fragment());
                prop_assert!(read.path().starts_with(own.path().trim_end_matches('/')));
                prop_assert!(read.query().unwrap_or("").starts_with(own.query().unwrap_or("")));
            }
        }
    }
}
