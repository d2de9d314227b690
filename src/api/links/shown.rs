//! Links and revisions as they are told.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::ApiState,
    members::{TIER_HINTS, or_null},
    walked::Standing,
};
use crate::{
    clock::Timestamp,
    links::{
        Converted, ForwardFrom, How, Operation, OwnerVerification, Revision, STATUSES, State,
        Stopped,
    },
};

/// One revision of a link or a forward.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Revision")]
pub(in crate::api) struct ToldRevision<'a> {
    /// The code; of a forward, `fwd:` and what is forwarded.
    code: &'a str,
    /// From 1, without holes.
    revision: u32,
    /// What it did.
    operation: Operation,
    /// When it was made.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    modified: Timestamp,
    /// The WHATWG serialisation: what `Location` carries.
    target: &'a str,
    /// Byte for byte as submitted.
    target_submitted: &'a str,
    /// The target's host.
    target_host: &'a str,
    /// The host's registrable domain.
    target_registrable_domain: &'a str,
    /// Whether it may be followed.
    state: State,
    /// Until when it may be followed.
    expires: Timestamp,
    /// The token that made this revision.
    actor: &'a str,
    /// Whose it is.
    owner: &'a str,
    /// The reason given.
    reason: &'a str,
    /// The host it is served at, one of `gateway.domains`; null for every host of ours.
    domain: Option<&'a str>,
    /// It may not be followed before.
    not_before: Timestamp,
    /// How many times it may be followed; null for as often as anybody likes.
    visits_max: Option<NonZeroU32>,
    /// Whether there is one.
    password: bool,
    /// The owner's own words for finding it.
    tags: &'a [String],
    /// What it is for.
    purpose: &'a str,
    /// How the owner was verified.
    owner_verification: Option<&'a OwnerVerification>,
    /// The status of its jumps.
    #[schemars(extend("enum" = STATUSES))]
    status: u16,
    /// Whether the visitor's query is handed on to the target.
    forward_query: bool,
    /// Whether the rest of the visitor's path is handed on to the target.
    forward_path: bool,
    /// The least tier the owner wants shown.
    #[schemars(extend("enum" = or_null(&TIER_HINTS)))]
    tier_hint: Option<&'a str>,
    /// What it was taken over from.
    source: Option<&'a str>,
    /// What the page with 410 says.
    stopped: Option<&'a Stopped>,
}

/// A link or a forward as it is now, without what its other revisions say.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct ListedLink<'a> {
    #[serde(flatten)]
    revision: ToldRevision<'a>,
    /// Where visitors come.
    short_url: String,
    /// What is forwarded; of forwards alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Whether a zone served here holds the host; of forwards alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_served: Option<bool>,
}

/// A link or a forward as it is now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Link")]
pub(in crate::api) struct MadeLink<'a> {
    #[serde(flatten)]
    link: ListedLink<'a>,
    /// When its first revision was made.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    created: Timestamp,
    /// The id of the conversion's record; null when nothing was changed.
    record: Option<String>,
    /// Whether the same request had made it before.
    repeated: bool,
}

/// A link or a forward, what walks found of it, and its revisions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LinkHistory")]
pub(in crate::api) struct History<'a> {
    #[serde(flatten)]
    link: ListedLink<'a>,
    /// When its first revision was made.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    created: Timestamp,
    #[serde(flatten)]
    standing: Standing<'a>,
    /// Its revisions, the first first, a page at a time.
    revisions: Vec<ToldRevision<'a>>,
    /// `from_revision` of the next page; null on the last.
    next_revision: Option<u32>,
}

impl<'a> MadeLink<'a> {
    pub(super) fn new(api: &ApiState, made: &'a Converted, created: Timestamp) -> Self {
        Self {
            link: ListedLink::new(api, &made.revision),
            created,
            record: made.record.as_ref().map(ToString::to_string),
            repeated: made.how == How::Repeated,
        }
    }
}

impl<'a> History<'a> {
    pub(super) fn new(
        api: &ApiState,
        current: &'a Revision,
        created: Timestamp,
        standing: Standing<'a>,
        revisions: &'a [Revision],
        next_revision: Option<u32>,
    ) -> Self {
        Self {
            link: ListedLink::new(api, current),
            created,
            standing,
            revisions: revisions.iter().map(ToldRevision::new).collect(),
            next_revision,
        }
    }
}

impl<'a> ListedLink<'a> {
    pub(super) fn new(api: &ApiState, r: &'a Revision) -> Self {
        let mut revision = ToldRevision::new(r);
        if r.is_expired(api.clock.now()) && r.state == State::Enabled {
            revision.state = State::Expired;
        }
        let from = ForwardFrom::of_code(&r.code);
        Self {
            revision,
            short_url: short_url(&api.short_url_base, r),
            zone_served: from.as_ref().map(|from| api.links.serves(from.host())),
            from: from.map(|from| from.to_string()),
        }
    }
}

impl<'a> ToldRevision<'a> {
    pub(super) fn new(r: &'a Revision) -> Self {
        let s = &r.settings;
        let or_null = |text: &'a str| (!text.is_empty()).then_some(text);
        Self {
            code: &r.code,
            revision: r.revision,
            operation: r.operation,
            modified: r.ts,
            target: &r.target,
            target_submitted: &r.target_submitted,
            target_host: &r.target_host,
            target_registrable_domain: &r.target_registrable_domain,
            state: r.state,
            expires: r.expires,
            actor: &r.actor,
            owner: &r.owner,
            reason: &r.reason,
            domain: or_null(&r.domain),
            not_before: s.not_before,
            visits_max: NonZeroU32::new(s.visits_max),
            password: !s.password.is_empty(),
            tags: &s.tags,
            purpose: &s.purpose,
            owner_verification: s.owner_verification.as_ref(),
            status: s.status,
            forward_query: s.forward_query,
            forward_path: s.forward_path,
            tier_hint: or_null(&s.tier_hint),
            source: or_null(&s.source),
            stopped: s.stopped.as_ref(),
        }
    }
}

/// Where a link is served: at its own domain, or where all are.
pub(super) fn short_url(base: &str, r: &Revision) -> String {
    match ForwardFrom::of_code(&r.code) {
        Some(from) => format!("{}{}", base_at(base, from.host()), from.path()),
        None => format!("{}/{}", base_at(base, &r.domain), r.code),
    }
}

/// What our addresses at `domain` begin with, without the slash; at every host of ours for none.
pub(in crate::api) fn base_at(base: &str, domain: &str) -> String {
    let base = base.trim_end_matches('/');
    if domain.is_empty() {
        return base.to_owned();
    }
    let scheme = base.split_once("://").map_or("https", |(scheme, _)| scheme);
    format!("{scheme}://{domain}")
}
