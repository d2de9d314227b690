//! Webhooks and deliveries as callers write and read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Problem;
use crate::{
    clock::Timestamp,
    webhooks::{Counts, Delivery, Endpoint, Kind},
};

/// An endpoint to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewWebhook {
    /// Where to, by HTTPS.
    pub(super) url: String,
    /// Everything where there are none.
    #[serde(default)]
    pub(super) events: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub(super) note: String,
}

/// A change of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Change {
    /// Where to, by HTTPS.
    pub(super) url: Option<String>,
    /// Which events; none for everything.
    pub(super) events: Option<Vec<String>>,
    /// What it is for.
    pub(super) note: Option<String>,
    /// `enabled` or `disabled`.
    pub(super) state: Option<String>,
    /// Make another secret.
    #[serde(default)]
    pub(super) rotate_secret: bool,
}

/// Which deliveries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Wanted {
    /// `waiting`, `delivered` or `dead`; dead when absent.
    pub(super) state: Option<String>,
    /// Those with numbers below this.
    pub(super) before: Option<i64>,
}

/// What to send again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Again {
    /// One delivery, by its number; all when absent.
    pub(super) delivery: Option<i64>,
}

/// Nothing more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Nothing {}

/// A webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Webhook {
    /// Its number.
    pub(super) id: i64,
    /// Where to.
    pub(super) url: String,
    /// Which events; none for everything.
    #[schemars(with = "Vec<String>")]
    pub(super) events: Vec<&'static str>,
    /// `enabled` or `disabled`.
    #[schemars(with = "String")]
    pub(super) state: &'static str,
    /// `asked`, or `gone` where it said so itself.
    pub(super) disabled_because: Option<String>,
    /// What it is for.
    pub(super) note: String,
    /// When it was registered.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub(super) created: Timestamp,
    /// By which token.
    pub(super) actor: String,
    /// Deliveries that wait.
    pub(super) waiting: u64,
    /// Since when the oldest of them does.
    pub(super) waiting_since: Timestamp,
    /// Deliveries that were given up and are still kept.
    pub(super) dead: u64,
    /// The secret that signs, where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
}

/// Every webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Webhooks {
    pub(super) webhooks: Vec<Webhook>,
}

/// One message on its way to one endpoint.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(in crate::api) struct Shown {
    /// Its number.
    pub(super) delivery: i64,
    /// The message's id.
    pub(super) message: String,
    /// What is told.
    pub(super) event: String,
    /// `waiting`, `delivered` or `dead`.
    pub(super) state: String,
    /// When it came into the queue, or was sent again.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub(super) created: Timestamp,
    /// When it is tried next.
    pub(super) due: Timestamp,
    /// Attempts so far.
    pub(super) attempts: i64,
    /// When it ended.
    pub(super) ended: Timestamp,
    /// The status of the last answer.
    pub(super) status: Option<i64>,
    /// What came of the last attempt, where it was not taken.
    pub(super) outcome: Option<String>,
}

/// Deliveries, and where the next page begins.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Deliveries {
    pub(super) deliveries: Vec<Shown>,
    /// For `before`.
    pub(super) next_before: Option<i64>,
}

/// A try in the queue.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Tried {
    /// The webhook's number.
    pub(super) webhook: i64,
    /// The message's id.
    pub(super) message: String,
}

/// Deliveries in the queue again.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Resent {
    /// The webhook's number.
    pub(super) webhook: i64,
    /// How many.
    pub(super) resent: u64,
}

pub(super) fn shown(e: &Endpoint, counts: Counts) -> Webhook {
    Webhook {
        id: e.id,
        url: e.url.clone(),
        events: e.kinds.iter().map(|k| k.name()).collect(),
        state: if e.enabled { "enabled" } else { "disabled" },
        disabled_because: Some(e.why.clone()).filter(|why| !why.is_empty()),
        note: e.note.clone(),
        created: e.created,
        actor: e.actor.clone(),
        waiting: counts.waiting,
        waiting_since: counts.oldest,
        dead: counts.dead,
        secret: None,
    }
}

pub(super) fn delivery(d: Delivery) -> Shown {
    Shown {
        due: if d.ended == Timestamp::ZERO { d.due } else { Timestamp::ZERO },
        delivery: d.id,
        message: d.message,
        event: d.kind,
        state: d.state,
        created: d.created,
        attempts: d.attempts,
        ended: d.ended,
        status: Some(d.status).filter(|status| *status != 0),
        outcome: Some(d.outcome).filter(|outcome| !outcome.is_empty()),
    }
}

pub(super) fn kinds(events: &[String]) -> Result<Vec<Kind>, Problem> {
    let mut kinds = Vec::new();
    for event in events {
        let kind = Kind::from_name(event).ok_or_else(|| {
            let all: Vec<&str> = Kind::ALL.iter().map(|k| k.name()).collect();
            Problem::bad_request(format!("events are of {}", all.join(", ")))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}
