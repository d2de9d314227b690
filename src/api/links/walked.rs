//! What walks along a link's redirects found, as the control state has it.

use serde_json::{Map, Value, json};

use super::super::{ApiState, time};
use crate::links::{Destination, Error, LinkStore, Scheduled};

/// What stands of a link: its destination, its findings and its next walk.
pub(in crate::api) struct Walked {
    target: String,
    destination: Option<Destination>,
    scheduled: Option<Scheduled>,
}

impl Walked {
    /// Blocks on the disk.
    pub(super) fn read(store: &dyn LinkStore, code: &str, target: &str) -> Result<Self, Error> {
        Ok(Self {
            target: target.to_owned(),
            destination: store.destination(code)?,
            scheduled: store.scheduled(code)?,
        })
    }

    /// The members `findings`, `destination` and `walks`.
    pub(in crate::api) fn members(&self) -> Map<String, Value> {
        // What was found of an earlier target is history.
        let standing = self.destination.as_ref().filter(|d| d.target == self.target);
        let findings = standing.map(|d| d.findings.names()).unwrap_or_default();
        let destination = standing.map(|d| {
            json!({
                "url": d.url,
                "host": d.host,
                "registrable_domain": d.registrable_domain,
                "outcome": d.outcome,
                "detail": d.detail,
                "since": d.ts.to_string(),
                "flow": d.flow,
            })
        });
        let walks = self.scheduled.map(|s| {
            json!({
                "last": time::or_null(s.walked),
                "next": s.due.to_string(),
                "failures": s.failures,
            })
        });
        Map::from_iter([
            ("findings".to_owned(), findings.into()),
            ("destination".to_owned(), destination.into()),
            ("walks_due".to_owned(), walks.into()),
        ])
    }
}

/// What stands of the link `code`; nothing of one that is not there, or that cannot be read now.
pub(in crate::api) async fn standing(api: &ApiState, code: &str) -> Map<String, Value> {
    let (api, code) = (api.clone(), code.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let store = api.links.store();
        let Some(link) = store.current(&code)? else { return Ok(Map::new()) };
        Walked::read(&**store, &code, &link.target).map(|w| w.members())
    });
    match read.await {
        Ok(Ok(members)) => members,
        Ok(Err(error)) => {
            tracing::warn!(%error, "what walks found cannot be read");
            Map::new()
        }
        Err(_) => Map::new(),
    }
}
