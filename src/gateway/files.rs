//! Files every site has: robots.txt (RFC 9309) and security.txt (RFC 9116).

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;

use crate::config;

/// Those that show a card of a link where it is posted; they ask robots.txt first.
const PREVIEWERS: [&str; 6] = [
    "facebookexternalhit",
    "Twitterbot",
    "LinkedInBot",
    "Slackbot-LinkExpanding",
    "TelegramBot",
    "Discordbot",
];

/// The files, made once.
pub(super) struct Files {
    robots: Bytes,
    /// Empty for none.
    security: Bytes,
}

impl Files {
    pub(super) fn new(config: &config::Gateway) -> Self {
        Self { robots: robots(config.allow_crawlers).into(), security: security(config).into() }
    }

    /// The file at `path`.
    pub(super) fn find(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        let body = match path {
            "/robots.txt" => &self.robots,
            "/.well-known/security.txt" if !self.security.is_empty() => &self.security,
            _ => return None,
        };
        let mut response = Response::new(Full::new(body.clone()));
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "max-age=3600"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }
}

fn robots(allow_crawlers: bool) -> String {
    if allow_crawlers {
        return "User-agent: *\nAllow: /\n".to_owned();
    }
    let mut text = String::new();
    for agent in PREVIEWERS {
        writeln!(text, "User-agent: {agent}").ok();
    }
    text + "Allow: /\n\nUser-agent: *\nDisallow: /\n"
}

fn security(config: &config::Gateway) -> String {
    let s = &config.security_txt;
    let mut text = String::new();
    if s.contact.is_empty() {
        return text;
    }
    let base = config.public_url.trim_end_matches('/');
    let canonical = match base {
        "" => String::new(),
        base => format!("{base}/.well-known/security.txt"),
    };
    if !config.abuse_contact.is_empty() {
        // Its fields are about weaknesses alone.
        write!(text, "# Abuse of links: {}\r\n", config.abuse_contact).ok();
    }
    if config.reports.enabled && !base.is_empty() {
        write!(text, "# Reports and appeals: {base}/report\r\n").ok();
    }
    let contacts = s.contact.iter().map(|c| ("Contact", c));
    for (name, value) in contacts.chain([
        ("Expires", &s.expires),
        ("Preferred-Languages", &s.preferred_languages),
        ("Canonical", &canonical),
        ("Policy", &s.policy),
    ]) {
        if !value.is_empty() {
            write!(text, "{name}: {value}\r\n").ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_txt_says_what_is_configured_and_nothing_without_a_contact() {
        let mut config = config::Gateway::default();
        config.security_txt.expires = "2030-01-31T12:00:00Z".into();
        assert!(Files::new(&config).find("/.well-known/security.txt").is_none());
        config.public_url = "https://s.example.org/".into();
        config.abuse_contact = "mailto:abuse@example.org".into();
        config.security_txt.contact = vec!["mailto:a@example.org".into(), "tel:+86-10-1".into()];
        assert_eq!(
            security(&config),
            "# Abuse of links: mailto:abuse@example.org\r\n\
             # Reports and appeals: https://s.example.org/report\r\n\
             Contact: mailto:a@example.org\r\nContact: tel:+86-10-1\r\n\
             Expires: 2030-01-31T12:00:00Z\r\n\
             Canonical: https://s.example.org/.well-known/security.txt\r\n"
        );
    }
}
