//! A destination, made safe to show: what decides whom the visitor deals with stands out, nothing in
//! it acts, and none of it is a link.

use std::borrow::Cow;

use serde::Serialize;
use url::Url;

use crate::escape;

/// The longest path shown, in characters; a host is always shown whole.
const PATH_MAX: usize = 200;

/// A URL in parts, each escaped for the eye; templates escape for HTML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Destination {
    /// `https` or another scheme.
    pub(super) scheme: String,
    /// What stands before the registrable domain, with its dot.
    pub(super) before: String,
    /// The registrable domain: to be emphasised.
    pub(super) domain: String,
    /// The port with its colon; empty for the scheme's own.
    pub(super) port: String,
    /// Path and query, cut.
    pub(super) path: String,
    /// Whether `path` was cut.
    pub(super) cut: bool,
    /// The host in Unicode, where that differs; empty otherwise.
    pub(super) unicode: String,
    /// Whether the URL carries a user name, which can pose as a host.
    pub(super) user: bool,
    /// Whether it is unencrypted.
    pub(super) plain: bool,
}

impl Destination {
    /// Of a URL in WHATWG form and its host's registrable domain.
    pub(super) fn new(target: &str, registrable_domain: &str) -> Self {
        let Ok(url) = Url::parse(target) else {
            return Self { domain: safe(target), ..Self::default() };
        };
        let host = url.host_str().unwrap_or("");
        let plain = host.trim_end_matches('.');
        let before =
            plain.strip_suffix(registrable_domain).filter(|b| b.is_empty() || b.ends_with('.'));
        let (before, domain) = match before {
            Some(before) if !registrable_domain.is_empty() => (before, registrable_domain),
            _ => ("", host),
        };
        let (unicode, _) = idna::domain_to_unicode(plain);
        let mut path = url.path().to_owned();
        for (mark, rest) in [('?', url.query()), ('#', url.fragment())] {
            if let Some(rest) = rest {
                path.push(mark);
                path.push_str(rest);
            }
        }
        let shown: String = path.chars().take(PATH_MAX).collect();
        Self {
            scheme: safe(url.scheme()),
            before: safe(before),
            domain: safe(domain),
            port: url.port().map(|p| format!(":{p}")).unwrap_or_default(),
            cut: shown.len() < path.len(),
            path: safe(&shown),
            unicode: if unicode == plain { String::new() } else { safe(&unicode) },
            user: !url.username().is_empty() || url.password().is_some(),
            plain: url.scheme() == "http",
        }
    }

    /// Of a host alone.
    pub(super) fn host(host: &str, registrable_domain: &str) -> Self {
        Self {
            scheme: String::new(),
            path: String::new(),
            ..Self::new(&format!("http://{host}/"), registrable_domain)
        }
    }
}

fn safe(text: &str) -> String {
    escape::text(text).into_owned()
}

/// What somebody says, cut and escaped for the eye.
pub(super) fn said(text: &str, max: usize) -> String {
    let cut: String = text.chars().take(max).collect();
    match escape::text(&cut) {
        Cow::Borrowed(_) => cut,
        Cow::Owned(escaped) => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrable_domain_stands_out_and_idn_is_shown_in_both_forms() {
        for (url, domain, before, shown, port, path, unicode) in [
            ("https://www.demo.test/a?b#c", "demo.test", "www.", "demo.test", "", "/a?b#c", ""),
            ("http://demo.test:8080/", "demo.test", "", "demo.test", ":8080", "/", ""),
            (
                "https://bank.example.evil.test/",
                "evil.test",
                "bank.example.",
                "evil.test",
                "",
                "/",
                "",
            ),
            ("https://notdemo.test/", "demo.test", "", "notdemo.test", "", "/", ""),
            (
                "https://xn--fsq.xn--0zwm56d/",
                "xn--fsq.xn--0zwm56d",
                "",
                "xn--fsq.xn--0zwm56d",
                "",
                "/",
                "例.测试",
            ),
            ("http://[2001:db8::1]/", "[2001:db8::1]", "", "[2001:db8::1]", "", "/", ""),
        ] {
            let d = Destination::new(url, domain);
            let found = (&*d.before, &*d.domain, &*d.port, &*d.path, &*d.unicode);
            assert_eq!(found, (before, shown, port, path, unicode), "{url}");
            assert_eq!(d.plain, url.starts_with("http:"));
        }
    }

    #[test]
    fn nothing_acts_and_only_paths_are_cut() {
        let long = format!("https://{}demo.test/{}", "a.".repeat(100), "p".repeat(500));
        let d = Destination::new(&long, "demo.test");
        assert!(d.cut && d.path.len() == PATH_MAX && d.before == "a.".repeat(100));
        assert!(Destination::new("https://u:p@demo.test/", "demo.test").user);
        assert_eq!(said("a\u{202e}b\u{7}", 9), "a\\u{202e}b\\u{7}");
        assert_eq!(said("网网网", 2), "网网");
    }
}
