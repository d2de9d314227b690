//! What walks along a link's redirects found, as the control state has it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::super::ApiState;
use crate::{
    clock::Timestamp,
    links::{Destination, Error, Finding, LinkStore, Scheduled},
};

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

    /// Its findings alone.
    pub(in crate::api) fn found(&self) -> Found {
        Found { findings: self.standing().findings }
    }

    /// As it is told.
    pub(in crate::api) fn standing(&self) -> Standing<'_> {
        // What was found of an earlier target is history.
        let standing = self.destination.as_ref().filter(|d| d.target == self.target);
        Standing {
            findings: standing.map(|d| d.findings.names()).unwrap_or_default(),
            destination: standing.map(|d| ToldDestination {
                url: &d.url,
                host: &d.host,
                registrable_domain: &d.registrable_domain,
                outcome: &d.outcome,
                detail: &d.detail,
                since: d.ts,
                flow: &d.flow,
            }),
            walks_due: self.scheduled.map(|s| WalksDue {
                last: s.walked,
                next: s.due,
                failures: s.failures,
            }),
        }
    }
}

/// What is to be said of where a link leads.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Found {
    /// What is to be said of where it leads.
    #[schemars(schema_with = "findings_schema")]
    findings: Vec<&'static str>,
}

/// What walks along a link's redirects found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Standing<'a> {
    /// What is to be said of where it leads.
    #[schemars(schema_with = "findings_schema")]
    findings: Vec<&'static str>,
    /// Where it leads in the end; null before the first walk of this target.
    destination: Option<ToldDestination<'a>>,
    /// When it was and will be walked; null where it is not.
    walks_due: Option<WalksDue>,
}

fn findings_schema(_: &mut SchemaGenerator) -> Schema {
    let words = Finding::ALL.map(Finding::name);
    json_schema!({ "type": "array", "items": { "type": "string", "enum": words } })
}

/// Where a link leads in the end.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Destination")]
pub(in crate::api) struct ToldDestination<'a> {
    /// The URL that the last walk ended at.
    url: &'a str,
    /// Its host.
    host: &'a str,
    /// The host's registrable domain.
    registrable_domain: &'a str,
    /// How it ended: `arrived`, or why it did not.
    outcome: &'a str,
    /// More about that.
    detail: &'a str,
    /// Since when it leads there.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    since: Timestamp,
    /// The flow of the walk's records, in decimal.
    flow: &'a str,
}

/// When a link was and will be walked.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct WalksDue {
    /// The last walk that came to an end.
    last: Timestamp,
    /// The next.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    next: Timestamp,
    /// Walks since the last that came to none.
    failures: u32,
}

/// What stands of the link `code`; nothing of one that is not there, or that cannot be read now.
pub(in crate::api) async fn standing(api: &ApiState, code: &str) -> Option<Walked> {
    let (api, code) = (api.clone(), code.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let store = api.links.store();
        let Some(link) = store.current(&code)? else { return Ok(None) };
        Walked::read(&**store, &code, &link.target).map(Some)
    });
    match read.await {
        Ok(Ok(walked)) => walked,
        Ok(Err(error)) => {
            tracing::warn!(%error, "what walks found cannot be read");
            None
        }
        Err(_) => None,
    }
}
