//! The rules about something, as they are told.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::{
    clock::Timestamp,
    policy::{Effect, Tier},
    trace::{Kind, ListedThen},
};

/// The rules about something, and what is done with it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Judged {
    /// The word of an action, of a tier that is no block, `closed` or `none`.
    pub(super) decision: &'static str,
    /// The one that acts first, then in the order of feeds.
    pub(super) rules: Vec<RuleAbout>,
}

/// The rules about something now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RulesNow<'a> {
    /// What was asked about, as it was read.
    pub(super) name: &'a str,
    /// What it was taken for.
    pub(super) kind: Kind,
    #[serde(flatten)]
    pub(super) judged: Judged,
}

/// What stood at another time.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JudgedThen {
    #[serde(flatten)]
    pub(super) judged: Judged,
    /// The version of every feed that was to be in force.
    pub(super) feeds: Vec<FeedThen>,
}

/// A feed at another time.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FeedThen {
    /// The feed.
    pub(super) feed: String,
    /// Its version; 0 for none.
    pub(super) version: u64,
}

/// A rule about something.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RuleAbout {
    /// The feed.
    pub(super) feed: String,
    /// The version in force.
    pub(super) feed_version: String,
    /// What makes it apply.
    pub(super) trigger: String,
    /// What it does.
    pub(super) action: &'static str,
    /// What being listed means.
    pub(super) tier: Tier,
    /// Who ordered it.
    pub(super) authority: String,
    /// The order's number.
    pub(super) order_number: String,
    /// The reason, as the authority writes it.
    pub(super) reason: String,
    /// The class of content.
    pub(super) content_class: String,
    /// Who approved it.
    pub(super) approver: String,
    /// Where the evidence is.
    pub(super) evidence: String,
    /// When the order was made; null for unknown.
    pub(super) issued_at: Timestamp,
    /// From when on it counts; null for from the beginning.
    pub(super) effective_from: Timestamp,
    /// Until when it counts; null for without end.
    pub(super) expires_at: Timestamp,
    /// By when it must be in force.
    pub(super) due_at: Timestamp,
    /// What it means for what was asked about.
    #[schemars(extend("enum" = Effect::ALL.map(Effect::name)))]
    pub(super) effect: &'static str,
    /// Whether it decides.
    pub(super) acts: bool,
    /// Whether it counts, be it for this or for what has to do with it.
    pub(super) counts: bool,
    #[serde(flatten)]
    pub(super) history: Option<History>,
}

/// Since when a rule had been there; with `at` alone.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct History {
    /// Since when it was in force; null where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub(super) since: Option<Option<Timestamp>>,
    /// The version that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since_version: Option<u64>,
    /// The entry as the list has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) text: Option<Value>,
    /// The nodes that had the feed in force.
    pub(super) nodes: Vec<String>,
}

/// What the answer is: of now, or of the time asked for.
#[derive(Debug)]
pub(in crate::api) struct Rules;

impl JsonSchema for Rules {
    fn schema_name() -> Cow<'static, str> {
        "Rules".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let now = generator.subschema_for::<RulesNow<'static>>();
        let then = generator.subschema_for::<ListedThen<'static, JudgedThen>>();
        json_schema!({ "anyOf": [then, now] })
    }
}
