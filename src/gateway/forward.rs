//! Visitors of hosts that are not ours.
//!
//! Such a host may be forwarded, or a path of it: a request there is one for the forward's link
//! ([`crate::links::ForwardFrom`]), with its terms, checks, warnings and records, and policy is asked
//! about the place as well as about the target. Where no forward answers, DNS policy may have led the
//! visitor of a listed name here. Everything else at that host is as at any other.
//!
//! Memory knows for a moment which hosts have no forward; beyond it few requests at a time ask the
//! database, because strangers choose what hosts they ask for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;

use super::{
    page::Page,
    request::host,
    rules::{self, Ruling},
    worker::{Asked, Worker},
};
use crate::{
    links::{AskedPath, ForwardFrom, Link, Remembered, onward::Beyond},
    policy::PolicySet,
};

/// Requests that ask the database for forwards at once.
pub(super) const READERS_MAX: usize = 16;

impl Worker {
    /// The answer to a request for a host that is not ours, where it is forwarded or listed; none for
    /// others.
    pub(super) async fn at_stranger(&self, asked: &Asked<'_>) -> Option<Response<Full<Bytes>>> {
        let name = self.gateway.own.foreign(host(asked.uri, asked.headers))?;
        let path = AskedPath::new(asked.uri.path());
        match self.forward(&name, &path).await {
            Some(Some((link, rest))) => Some(Box::pin(self.along(asked, &link, rest)).await),
            Some(None) => Box::pin(self.at_name(asked)).await,
            // Whoever is kept from a listed name need not wait for our database.
            None => Some(match Box::pin(self.at_name(asked)).await {
                Some(notice) => notice,
                None => self.busy(asked),
            }),
        }
    }

    /// Whether `asked` is for what is forwarded, and no rule lists it: then no path of it is ours.
    /// Where a rule does, the notice leads to our form at this very host.
    pub(super) async fn is_forwarded(&self, asked: &Asked<'_>) -> bool {
        let Some(name) = self.gateway.own.foreign(host(asked.uri, asked.headers)) else {
            return false;
        };
        let path = AskedPath::new(asked.uri.path());
        if !matches!(self.forward(&name, &path).await, Some(Some(_))) {
            return false;
        }
        let set = self.gateway.parts.in_force.load();
        let url = format!("http://{name}{}", asked.uri.path());
        rules::of_name(&set, &name, &url, asked.now).is_none()
    }

    /// Answers a request for the forward `link`, which leaves `rest` of the path.
    async fn along(&self, asked: &Asked<'_>, link: &Link, rest: &str) -> Response<Full<Bytes>> {
        let parts = &self.gateway.parts;
        match *asked.method {
            Method::GET | Method::HEAD => {}
            Method::POST if link.settings().is_some_and(|s| !s.password.is_empty()) => {
                if let Some(over) = self.attempt(asked, &link.code) {
                    return over;
                }
            }
            _ => {
                parts.metrics.gateway.malformed.increment(1);
                return Page::Method.response(&parts.notices, asked.language);
            }
        }
        let beyond = Beyond { path: rest, query: asked.uri.query().unwrap_or("") };
        self.visit(&Asked { beyond, ..asked.of(&link.code, None) }).await
    }

    /// The forward for `path` at `host`, and what it leaves of the path; the outer none when the
    /// database fails.
    pub(super) async fn forward<'p>(
        &self,
        host: &str,
        path: &'p AskedPath<'_>,
    ) -> Option<Option<(Arc<Link>, &'p str)>> {
        let links = &self.gateway.parts.links;
        match links.remembered_forward(host, path) {
            Remembered::Forward(link, rest) => return Some(Some((link, rest))),
            Remembered::None => return Some(None),
            Remembered::Unknown => {}
        }
        let permit = Arc::clone(&self.gateway.readers).acquire_owned().await.ok()?;
        let (links, host, whole) = (Arc::clone(links), host.to_owned(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let found = links.forward(&host, &whole);
            drop(permit);
            Ok::<_, crate::links::Error>(found?.map(|(link, rest)| (link, rest.len())))
        });
        let found = self.gateway.told(read.await)?;
        Some(found.map(|(link, left)| (link, path.last(left))))
    }

    /// What the rules in force say of the place that was asked for, where `link` is a forward.
    pub(super) fn of_place(
        &self,
        set: &PolicySet,
        link: &Link,
        asked: &Asked<'_>,
    ) -> Option<Ruling> {
        let from = ForwardFrom::of_code(&link.code)?;
        // What is listed may be longer than what is forwarded.
        let rest = asked.beyond.rest();
        let slash = if from.path().is_empty() && !rest.starts_with('/') { "/" } else { "" };
        let url = format!("http://{from}{slash}{rest}");
        let ruling = rules::of_name(set, from.host(), &url, asked.now)?;
        let place = url.split(['?', '#']).next().unwrap_or(&url).trim_start_matches("http://");
        Some(Ruling { place: Some(place.into()), ..ruling })
    }
}
