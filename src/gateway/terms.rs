//! What is set of a link beyond its target: where and from when it is served, its password, how often
//! it may be followed.
//!
//! A link with a limit of visits sends only those on who use one up: persons and tools that ask `GET`.
//! Crawlers, previews and `HEAD` are recorded and answered without the target (403, reason
//! `visit_not_counted`): the name a client gives itself must not be a way around the limit.
//!
//! A password comes as a form, is checked away from the threads that answer, a few at a time, and may
//! be tried `gateway.limits.password_attempts_max` times in a window by one client for one link. It is
//! asked for before a notice, and what the notice's page carries says so; whoever comes to answer a
//! notice without it, or after it was changed, is asked on the way.

use std::{sync::Arc, time::Duration};

use http::Method;
use tokio::time::timeout;
use url::form_urlencoded;

use super::{
    fate::Answer,
    notice::digest,
    page::Page,
    request::{host, host_name},
    worker::{Asked, Worker},
};
use crate::links::{Link, is_password};

/// The largest form read, in bytes.
pub(super) const FORM_BYTES_MAX: usize = 4_096;

/// Passwords checked at once: each takes some 19 MiB and tens of milliseconds.
pub(super) const CHECKS_MAX: usize = 2;

/// The longest wait for a turn.
const TURN_MAX: Duration = Duration::from_secs(5);

/// The password in a form; none without one.
pub(super) fn password(form: &[u8]) -> Option<String> {
    let form = form.get(..form.len().min(FORM_BYTES_MAX))?;
    let mut fields = form_urlencoded::parse(form);
    fields.find(|(name, _)| name == "password").map(|(_, value)| value.into_owned())
}

/// What a notice says of the password that was given before it; empty where `link` has none.
pub(super) fn passed(link: &Link) -> String {
    let password = link.settings().map_or("", |s| &s.password);
    if password.is_empty() { String::new() } else { digest(password) }
}

/// Whether a link is served at the host asked.
pub(super) fn is_served_at(link: &Link, asked: &Asked<'_>) -> bool {
    let domain = link.domain();
    domain.is_empty() || host_name(host(asked.uri, asked.headers)).eq_ignore_ascii_case(domain)
}

impl Worker {
    /// What keeps a visitor from going on along a link in force; none for nothing.
    pub(super) async fn terms(
        &self,
        link: &Link,
        asked: &Asked<'_>,
    ) -> Option<(&'static str, Page)> {
        let settings = link.settings()?;
        if settings.not_before > asked.now {
            return Some(("not_yet", Page::NotYet));
        }
        // Whoever answers a notice may have given the password before it was shown.
        if settings.password.is_empty() || asked.passed == digest(&settings.password) {
            return None;
        }
        let Some(attempt) = asked.password else { return Some(("password", Page::Password)) };
        let turn = Arc::clone(&self.gateway.checks).acquire_owned();
        let Ok(Ok(permit)) = timeout(TURN_MAX, turn).await else {
            return Some(("password", Page::Busy));
        };
        let (hash, attempt) = (settings.password.clone(), attempt.to_owned());
        let checked = tokio::task::spawn_blocking(move || {
            let right = is_password(&hash, &attempt);
            drop(permit);
            right
        });
        match checked.await {
            Ok(true) => None,
            _ => Some(("password", Page::Password)),
        }
    }

    /// Uses up a visit of a link with a limit, before the visitor is sent on; what is answered
    /// instead, if anything.
    pub(super) async fn use_up(
        &self,
        link: &Arc<Link>,
        asked: &Asked<'_>,
    ) -> Option<(&'static str, &'static str, Answer)> {
        if link.settings().is_none_or(|s| s.visits_max == 0) {
            return None;
        }
        let counts = matches!(asked.class, "person" | "tool") && *asked.method != Method::HEAD;
        if !counts {
            return Some(("stopped", "visit_not_counted", Answer::Page(Page::Refused)));
        }
        let links = &self.gateway.parts.links;
        let left = match links.take_visit_in_memory(link) {
            Some(left) => left,
            None => {
                let (links, link) = (Arc::clone(links), Arc::clone(link));
                let taken = tokio::task::spawn_blocking(move || links.take_visit(&link)).await;
                match taken {
                    Ok(Ok(left)) => left,
                    Ok(Err(error)) => {
                        tracing::error!(%error, "visits cannot be counted");
                        return Some(("stopped", "visits_unknown", Answer::Page(Page::Busy)));
                    }
                    Err(error) => {
                        tracing::error!(%error, "visits cannot be counted");
                        return Some(("stopped", "visits_unknown", Answer::Page(Page::Busy)));
                    }
                }
            }
        };
        (!left).then_some(("used_up", "", Answer::Page(Page::UsedUp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_field_of_a_form() {
        for (form, expected) in [
            ("password=%E8%8A%9D%E9%BA%BB+x", Some("芝麻 x")),
            ("a=b&password=c&password=d", Some("c")),
            ("password=", Some("")),
            ("pass=x", None),
            ("", None),
        ] {
            assert_eq!(password(form.as_bytes()).as_deref(), expected, "{form}");
        }
        let long = format!("{}&password=x", "a".repeat(FORM_BYTES_MAX));
        assert_eq!(password(long.as_bytes()), None);
    }
}
