//! What a report is about, from what somebody wrote.

use url::{Host, Url};

use crate::{
    clock::Timestamp,
    gateway::{
        notice::{Token, digest},
        request::code_of_path,
        rules,
        worker::Worker,
    },
    links::{Link, is_code},
    reports::Kind,
};

/// The longest text that is read, in bytes.
const LENGTH_MAX: usize = 2_048;

/// A subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    /// The URL or host.
    pub(super) text: String,
    /// The host of it.
    pub(super) host: String,
    /// The link; empty for none.
    pub(super) code: String,
    /// The rule that stands against it, and its feed; empty for none.
    pub(super) rule: String,
    pub(super) feed: String,
}

impl Worker {
    /// What a text is about: a short URL or a code of ours, another URL, a host.
    pub(super) async fn subject(&self, text: &str) -> Option<Subject> {
        let text = text.trim();
        if text.is_empty() || text.len() > LENGTH_MAX || text.contains(char::is_control) {
            return None;
        }
        if is_code(text)
            && let Some(link) = self.link(text).await.flatten()
        {
            return Some(of_link(&link, Kind::Link));
        }
        let found = parse(text)?;
        let url = Url::parse(&found.text).ok();
        let code = url.as_ref().and_then(|u| code_of_path(u.path()));
        if let Some(code) = code
            && self.gateway.own.is_own(&found.host)
            && let Some(link) = self.link(code).await.flatten()
        {
            return Some(of_link(&link, Kind::Link));
        }
        Some(found)
    }

    /// What a notice is about, where its link says it.
    pub(super) async fn notice(&self, token: Option<&Token>) -> Option<Subject> {
        let token = token.filter(|t| !t.code.is_empty())?;
        let link = self.link(&token.code).await.flatten()?;
        Some(of_link(&link, Kind::Notice))
    }

    /// The rule against it: the notice's, where that is about this subject, or the one in force now.
    /// Whoever has a notice of one thing must not have its rule judged under another one's name.
    pub(super) fn judged(
        &self,
        subject: Subject,
        token: Option<&Token>,
        now: Timestamp,
    ) -> Subject {
        let of_it = |t: &&Token| {
            let same_link = !t.code.is_empty() && t.code == subject.code;
            same_link || t.target == digest(&subject.text)
        };
        if let Some(token) = token.filter(of_it) {
            let (rule, feed) = (token.rule.clone(), token.feed.clone());
            return Subject { kind: Kind::Notice, rule, feed, ..subject };
        }
        let set = self.gateway.parts.in_force.load();
        let url = match subject.kind {
            Kind::Host => format!("http://{}/", subject.text),
            _ => subject.text.clone(),
        };
        match rules::of_name(&set, &subject.host, &url, now) {
            Some(ruling) => {
                let (rule, feed) = (ruling.rule().to_owned(), ruling.feed.to_string());
                // The notice of a host's name says which by its rule alone.
                let told = token.is_some_and(|t| t.rule == rule && t.feed == feed);
                let kind = if told { Kind::Notice } else { subject.kind };
                Subject { kind, rule, feed, ..subject }
            }
            None => subject,
        }
    }
}

fn of_link(link: &Link, kind: Kind) -> Subject {
    Subject {
        kind,
        text: link.target.to_string(),
        host: link.target_host.to_string(),
        code: link.code.to_string(),
        rule: String::new(),
        feed: String::new(),
    }
}

/// A URL, with or without its scheme, or a host.
fn parse(text: &str) -> Option<Subject> {
    let has_scheme = text.contains("://");
    let whole = if has_scheme { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).ok().filter(|u| matches!(u.scheme(), "http" | "https"))?;
    let host = match url.host()? {
        Host::Domain(name) if name.contains('.') => name.trim_end_matches('.').to_owned(),
        Host::Domain(_) => return None,
        Host::Ipv4(a) => a.to_string(),
        Host::Ipv6(a) => a.to_string(),
    };
    let bare = !has_scheme && !text.contains(['/', '?', '#', '@', ':']);
    let (kind, text) = match bare {
        true => (Kind::Host, host.clone()),
        false => (Kind::Url, url.into()),
    };
    let (code, rule, feed) = (String::new(), String::new(), String::new());
    Some(Subject { kind, text, host, code, rule, feed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_urls_and_hosts() {
        for (text, expected) in [
            (
                "https://Bad.Example/pay?a=1",
                Some((Kind::Url, "https://bad.example/pay?a=1", "bad.example")),
            ),
            ("bad.example/pay", Some((Kind::Url, "http://bad.example/pay", "bad.example"))),
            ("BAD.example.", Some((Kind::Host, "bad.example", "bad.example"))),
            ("例子.example", Some((Kind::Host, "xn--fsqu00a.example", "xn--fsqu00a.example"))),
            ("192.0.2.7", Some((Kind::Host, "192.0.2.7", "192.0.2.7"))),
            ("ftp://bad.example/", None),
            ("javascript:alert(1)", None),
            ("localhost", None),
            ("two words", None),
        ] {
            let parsed = parse(text);
            let parsed = parsed.as_ref().map(|s| (s.kind, s.text.as_str(), s.host.as_str()));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
