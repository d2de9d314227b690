//! Visitors of hosts that are forwarded.
//!
//! A host that is not one of ours may be forwarded, or a path of it: such a request is one for the
//! forward's link ([`crate::links::ForwardFrom`]). Everything else at that host is as at any other.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;

use super::{
    onward::Beyond,
    page::Page,
    request::host,
    worker::{Asked, Worker},
};
use crate::links::{Link, Remembered};

impl Worker {
    /// The answer to a request that is forwarded; none for others.
    pub(super) async fn at_forward(&self, asked: &Asked<'_>) -> Option<Response<Full<Bytes>>> {
        let name = self.gateway.own.foreign(host(asked.uri, asked.headers))?;
        let parts = &self.gateway.parts;
        let Some(found) = self.forward(&name, asked.uri.path()).await else {
            parts.metrics.gateway.stopped.increment(1);
            return Some(Page::Busy.response(&parts.notices, asked.language));
        };
        let (link, rest) = found?;
        match *asked.method {
            Method::GET | Method::HEAD => {}
            Method::POST if link.settings().is_some_and(|s| !s.password.is_empty()) => {
                if let Some(over) = self.attempt(asked, &link.code) {
                    return Some(over);
                }
            }
            _ => {
                parts.metrics.gateway.malformed.increment(1);
                return Some(Page::Method.response(&parts.notices, asked.language));
            }
        }
        let beyond = Beyond { path: rest, query: asked.uri.query().unwrap_or("") };
        Some(self.visit(&Asked { beyond, ..asked.of(&link.code, None) }).await)
    }

    /// The forward for `path` at `host`, and what it leaves of the path; the outer none when the
    /// database fails.
    pub(super) async fn forward<'p>(
        &self,
        host: &str,
        path: &'p str,
    ) -> Option<Option<(Arc<Link>, &'p str)>> {
        let links = &self.gateway.parts.links;
        match links.remembered_forward(host, path) {
            Remembered::Forward(link, rest) => return Some(Some((link, rest))),
            Remembered::None => return Some(None),
            Remembered::Unknown => {}
        }
        let (links, host, whole) = (Arc::clone(links), host.to_owned(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let found = links.forward(&host, &whole)?;
            Ok::<_, crate::links::Error>(found.map(|(link, rest)| (link, rest.len())))
        });
        match read.await {
            Ok(Ok(found)) => {
                Some(found.and_then(|(link, left)| Some((link, path.get(path.len() - left..)?))))
            }
            Ok(Err(e)) => {
                tracing::error!(error = %e, "forwards cannot be read");
                None
            }
            Err(e) => {
                tracing::error!(error = %e, "forwards cannot be read");
                None
            }
        }
    }
}
