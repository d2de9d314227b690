//! Links and revisions as they are told.

use serde_json::{Map, Value, json};

use super::super::{ApiState, time};
use crate::{
    clock::Timestamp,
    links::{Converted, ForwardFrom, How, Revision, State},
};

pub(super) fn shown(api: &ApiState, r: &Revision, created: Timestamp, made: &Converted) -> Value {
    let mut body = described(api, r, created);
    body.insert("record".into(), made.record.as_ref().map(ToString::to_string).into());
    body.insert("repeated".into(), (made.how == How::Repeated).into());
    Value::Object(body)
}

/// A link as it is now.
pub(super) fn described(api: &ApiState, r: &Revision, created: Timestamp) -> Map<String, Value> {
    let mut body = listed(api, r);
    body.insert("created".into(), created.to_string().into());
    body
}

/// The same without what other revisions say.
pub(super) fn listed(api: &ApiState, r: &Revision) -> Map<String, Value> {
    let mut body = revision(r);
    body.insert("short_url".into(), short_url(&api.short_url_base, r).into());
    if r.is_expired(api.clock.now()) && r.state == State::Enabled {
        body.insert("state".into(), "expired".into());
    }
    if let Some(from) = ForwardFrom::of_code(&r.code) {
        body.insert("from".into(), from.to_string().into());
        body.insert("zone_served".into(), api.links.serves(from.host()).into());
    }
    body
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

/// One revision.
pub(super) fn revision(r: &Revision) -> Map<String, Value> {
    let s = &r.settings;
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let all = json!({
        "code": r.code,
        "revision": r.revision,
        "operation": r.operation.name(),
        "modified": r.ts.to_string(),
        "target": r.target,
        "target_submitted": r.target_submitted,
        "target_host": r.target_host,
        "target_registrable_domain": r.target_registrable_domain,
        "state": r.state.name(),
        "expires": time::or_null(r.expires),
        "actor": r.actor,
        "owner": r.owner,
        "reason": r.reason,
        "domain": or_null(&r.domain),
        "not_before": time::or_null(s.not_before),
        "visits_max": if s.visits_max == 0 { Value::Null } else { s.visits_max.into() },
        "password": !s.password.is_empty(),
        "tags": s.tags,
        "purpose": s.purpose,
        "owner_verification": s.owner_verification,
        "status": s.status,
        "forward_query": s.forward_query,
        "forward_path": s.forward_path,
        "tier_hint": or_null(&s.tier_hint),
        "source": or_null(&s.source),
        "stopped": s.stopped,
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}
