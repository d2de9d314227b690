//! Which problems an operation may answer with.

use std::collections::BTreeMap;

use http::Method;

use super::{
    super::routes::{Carries, Need, Route},
    Code, Operation,
};
use crate::links::Refusal;

/// There is nothing by that name.
pub(super) const NOT_FOUND: Code = (404, "not_found");

/// Reading links.
pub(super) const READING: [Code; 1] = [(503, "control_away")];

/// Writing links.
pub(super) const WRITING: [Code; 14] = [
    (409, "request_under_way"),
    (422, "expires_in_the_past"),
    (422, "domain_not_served"),
    (422, "loop"),
    (422, "too_many_hops"),
    (503, "changed_at_once"),
    (503, "control_away"),
    (503, "control_state_failed"),
    (422, "target_refuted"),
    (503, "list_not_in_force"),
    (503, "no_room_for_record"),
    (503, "not_in_force_yet"),
    (503, "pending_elsewhere"),
    (503, "starting"),
];

/// Making them.
pub(super) const MAKING: [Code; 7] = [
    (403, "out_of_scope"),
    (403, "owner_full"),
    (409, "code_taken"),
    (422, "code_not_allowed"),
    (422, "idempotency_key_reused"),
    (429, "owner_quota"),
    (429, "token_quota"),
];

/// Changing them.
pub(super) const CHANGING: [Code; 8] = [
    NOT_FOUND,
    (403, "out_of_scope"),
    (403, "owner_full"),
    (409, "code_taken"),
    (409, "revision_conflict"),
    (412, "revision_conflict"),
    (422, "public_reason_without_stop"),
    (429, "token_quota"),
];

/// Reading them line by line.
pub(super) const LINES: [Code; 4] =
    [(400, "bad_request"), (413, "line_too_long"), (413, "too_many_items"), (500, "internal")];

/// Where a forward begins.
pub(super) const FORWARDING: [Code; 2] =
    [(422, "forward_from_refused"), (422, "forward_host_foreign")];

/// Why a target is refused.
pub(super) fn targets() -> impl Iterator<Item = Code> {
    Refusal::ALL.into_iter().map(|refusal| (422, refusal.code()))
}

/// Looks at the records.
pub(super) const LOOKING: [Code; 5] = [
    (400, "bad_request"),
    (422, "limit"),
    (503, "busy"),
    (503, "not_recorded"),
    (503, "store_unavailable"),
];

/// A look at a person without what it takes.
pub(super) const PERSONS: Code = (403, "persons");

/// A feed's account.
pub(super) const ACCOUNTING: [Code; 1] = [(409, "version_not_kept")];

/// Changing the control state of policy.
pub(super) const STORED: [Code; 4] = [
    (400, "bad_request"),
    (409, "changed_meanwhile"),
    (503, "control_state_failed"),
    (503, "no_room_for_record"),
];

/// A feed's settings.
pub(super) const SETTING: [Code; 1] = [(422, "bad_settings")];

/// Taking a version.
pub(super) const TAKING: [Code; 3] = [NOT_FOUND, (409, "version_not_kept"), (422, "bad_settings")];

/// Deciding about one.
pub(super) const DECIDING: [Code; 6] = [
    NOT_FOUND,
    (409, "in_force_already"),
    (409, "not_held"),
    (409, "over_already"),
    (409, "superseded"),
    (409, "version_not_kept"),
];

/// Rules of the operator's own.
pub(super) const OWN: [Code; 6] = [
    (409, "too_many"),
    (422, "bad_rule"),
    (422, "expires_in_the_past"),
    (422, "missing"),
    (422, "protected"),
    (422, "too_long"),
];

/// Reports by the public.
pub(super) const DESK: [Code; 2] = [(409, "changed_meanwhile"), (503, "control_unavailable")];

/// All codes of an operation by status: those that it names, and those that follow from its route.
pub(super) fn of(route: &Route, is: &Operation) -> BTreeMap<u16, Vec<&'static str>> {
    let mut all: Vec<Code> = is.problems.clone();
    all.extend([(421, "unknown_host"), (503, "request_timeout")]);
    if route.path.starts_with("/api/") {
        all.push((500, "internal"));
    }
    if route.need != Need::Nothing {
        all.extend([(401, "unauthorized"), (429, "rate_limited")]);
    }
    if is.asks.is_some() || matches!(route.need, Need::Right(_) | Need::RightUnlessLoopback(_)) {
        all.push((403, "forbidden"));
    }
    if is.query.is_some() {
        all.push((400, "bad_request"));
    }
    if is.places.iter().any(|place| place.number) {
        all.push((400, "refused"));
    }
    if matches!(route.method, Method::POST | Method::PATCH) {
        all.extend(match route.carries {
            Carries::Json => {
                [(415, "json_required"), (413, "body_too_large"), (400, "bad_request")]
            }
            Carries::Lines => {
                [(415, "json_lines_required"), (400, "bad_request"), (400, "bad_request")]
            }
            Carries::Bytes => [(415, "bytes_required"), (400, "bad_request"), (400, "bad_request")],
        });
    }
    by_status(all)
}

/// Codes by their status, in order.
pub(super) fn by_status(all: Vec<Code>) -> BTreeMap<u16, Vec<&'static str>> {
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for (status, code) in all {
        by_status.entry(status).or_default().push(code);
    }
    for codes in by_status.values_mut() {
        codes.sort_unstable();
        codes.dedup();
    }
    by_status
}

/// What a status means here.
pub(super) const fn words(status: u16) -> &'static str {
    match status {
        400 => "Not understood",
        401 => "No valid token",
        403 => "The role may not",
        404 => "No such thing",
        409 => "In conflict with what is",
        412 => "The precondition does not hold: somebody else changed it first",
        413 => "The body is too large",
        415 => "The body is of another kind",
        421 => "Not a host of ours",
        422 => "Understood and refused",
        429 => "Over a quota, of the token or of an owner",
        500 => "Failed on our side",
        503 => "Not now",
        _ => "Refused",
    }
}

/// The headers that come with a status.
pub(super) const fn headers(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        401 => &[("WWW-Authenticate", "Bearer")],
        429 => &[
            ("Retry-After", "Seconds until there is room"),
            ("RateLimit", "What is left, and for how long (draft-ietf-httpapi-ratelimit-headers)"),
            ("RateLimit-Policy", "The quota and its window"),
        ],
        503 => &[("Retry-After", "Seconds")],
        _ => &[],
    }
}
